//! Finds the pictures of a folder that are most like one of them, by the embeddings of a pretrained model.
//!
//! ```console
//! $ cargo run --release --example embed -- query.jpg photos/ [resnet50.a1_in1k] [weights.safetensors]
//! ```

use anyhow::{Context, Result};
use std::path::PathBuf;
use tchvision::Classifier;
use tchvision::data::image;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let query = PathBuf::from(args.next().context("a picture, a folder")?);
    let folder = PathBuf::from(args.next().context("a folder")?);
    let name = args.next().unwrap_or_else(|| "resnet50.a1_in1k".to_owned());
    let mut model = Classifier::builder(&name);
    if let Some(weights) = args.next() {
        model = model.file(weights);
    }
    let model = model.open(&mut |_file, _bytes, _of| {})?;
    let files = folder.read_dir().with_context(|| folder.display().to_string())?;
    let mut files = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| image::read(file).is_ok());
    files.sort();
    let unit = |pictures: &[PathBuf]| -> Result<_> {
        let pooled = model.embed(pictures)?;
        let norm = pooled.f_norm_scalaropt_dim(2.0, [1i64], true)?;
        Ok(pooled.f_div(&norm)?)
    };
    let query = unit(&[query])?;
    let mut found = Vec::new();
    for batch in files.chunks(32) {
        let similar = Vec::<f32>::try_from(unit(batch)?.f_matmul(&query.f_tr()?)?.f_view(-1)?)?;
        found.extend(similar.into_iter().zip(batch));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (similar, file) in found.into_iter().take(10) {
        println!("{similar:.3}  {}", file.display());
    }
    Ok(())
}
