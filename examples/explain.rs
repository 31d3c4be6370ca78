//! What a network looks at, from Rust: the map of the most probable class, what of the picture it falls with, and what of the
//! pixels leads to the class.
//!
//! ```console
//! cargo run --release --example explain -- resnet50.a1_in1k cat.jpg
//! ```

use anyhow::{Context, Result};
use std::env;
use std::path::Path;
use tchvision::Classifier;
use tchvision::data::image;
use tchvision::explain::{
    Cam, Class, Feature, Figure, Look, Network, Occlusion, Overlay, Panel, project, signed,
};
use tchvision::nn::Backward;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let usage = "write the name of public weights and a picture";
    let (model, picture) = (args.next().context(usage)?, args.next().context(usage)?);
    let classifier = Classifier::builder(&model).open(&mut |_file, _bytes, _of| {})?;
    let network = Network::of(&classifier);

    // The picture as the network sees it: its own size, crop and normalisation.
    let look = Look::at(&classifier, &image::read(Path::new(&picture))?)?;

    let cam = Cam::default();
    let mut class = 0;
    let maps = cam.chosen(&network, &look.input, &mut |logits| {
        class = Class::Top.chosen(logits)?[0];
        Ok(vec![vec![class]])
    })?;
    let map = &maps[0][0];
    let label =
        classifier.labels().map_or_else(|| class.to_string(), |labels| labels[class as usize].clone());
    println!("{label}: {} at {}", if map.has_evidence { "evidence" } else { "none" }, map.raw[0].0);

    let occlusion = Occlusion { stride: 16, ..Occlusion::default() };
    let occluded = occlusion.of(&network, &look.input, class, &mut |_done| Ok(()))?;
    let fall = occluded.attribution.clamp_min(0.0);
    let fall = &fall / fall.max().clamp_min(f64::MIN_POSITIVE);

    let projected = project(&network, &look.input, &Feature::Class(class), Backward::Gradient)?;

    let overlay = Overlay::default();
    let panel = |image, caption: &str| Panel { image, caption: vec![caption.to_owned()] };
    let row = vec![
        panel(overlay.over(&look.shown, &map.map)?, "Grad-CAM"),
        panel(overlay.over(&look.shown, &fall)?, "occlusion"),
        panel(signed(&projected.pixels)?, "gradient"),
        panel(look.shown, "input"),
    ];
    let scale = Some((overlay.colours, ["0".to_owned(), "1".to_owned()]));
    let figure = Figure { title: label, rows: vec![row], scale, ..Figure::default() };
    std::fs::write("explained.png", figure.png()?)?;
    println!("explained.png");
    Ok(())
}
