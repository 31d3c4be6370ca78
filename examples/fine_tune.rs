//! Trains a pretrained model further on a folder of one's own, and classifies with what came out.
//!
//! `pets/train/CLASS/…` and `pets/val/CLASS/…` have the pictures:
//!
//! ```console
//! $ cargo run --release --example fine_tune -- pets resnet18.a1_in1k cat.jpg
//! ```

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tchvision::train::{self, Event, RunConfig};
use tchvision::{Classifier, yaml};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let [folder, weights] = [(); 2].map(|()| args.next().context("a folder, weights, and pictures"));
    let (folder, weights) = (folder?, weights?);
    let run = format!(
        "model: {{name: resnet18}}\n\
         init: {weights}\n\
         data: {{dataset: 'folder:{folder}', image_size: 224, augment: [random_resized_crop: {{}}, flip]}}\n\
         train: {{epochs: 5, batch_size: 16, freeze: [stem, layer1], optimizer: {{adamw: {{lr: 3.0e-4}}}}}}\n"
    );
    let config: RunConfig = yaml::parse(&run, "the run")?;
    let dir = Path::new("runs").join("fine_tune");
    let result = train::run(&config, &dir, &AtomicBool::new(false), &mut |event| {
        if let Event::Epoch(row) = event {
            println!("epoch {}: {:.1} % of the training pictures", row.epoch, row.train_top1);
        }
    })?;
    println!("{:.1} % of the others, with {}", result.top1, dir.display());
    let classifier = Classifier::of_file(&dir).open(&mut |_file, _bytes, _of| {})?;
    let pictures: Vec<PathBuf> = args.map(PathBuf::from).collect();
    for (picture, top) in pictures.iter().zip(classifier.top(&pictures, 1)?) {
        println!("{}: {}", picture.display(), top[0].label.clone().unwrap_or_default());
    }
    Ok(())
}
