//! Names what is in pictures.
//!
//! ```console
//! $ cargo run --release --example classify -- resnet50.a1_in1k cat.jpg dog.jpg
//! ```

use anyhow::{Context, Result};
use std::path::PathBuf;
use tchvision::Classifier;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let model = Classifier::builder(&args.next().context("a model, and pictures")?);
    let model = model.open(&mut |_file, _bytes, _of| {})?;
    let pictures: Vec<PathBuf> = args.map(PathBuf::from).collect();
    for (picture, top) in pictures.iter().zip(model.top(&pictures, 5)?) {
        println!("{}", picture.display());
        for likely in top {
            println!("  {:5.1} %  {}", 100.0 * likely.probability, likely.label.unwrap_or_default());
        }
    }
    Ok(())
}
