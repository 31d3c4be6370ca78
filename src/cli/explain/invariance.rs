//! `tchvision explain invariance`.

use super::pictures::{Common, Pictures, label};
use anyhow::{Result, ensure};
use serde_json::json;
use std::path::PathBuf;
use tch::Tensor;
use tchvision::Usage;
use tchvision::explain::{Change, Class, Curve, Network, curves, invariance};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// The class of all pictures, or one a picture: a label, a number or `top`, the most probable
    #[arg(long = "class", value_name = "top|NAME|ID", default_value = "top")]
    classes: Vec<String>,
    /// A first and a last layer, as PyTorch names the modules; without them, the first and the last stage
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    layer: Vec<String>,
    /// Values of each change
    #[arg(long, value_name = "N", default_value_t = 25)]
    steps: usize,
}

pub fn run(args: &Args) -> Result<()> {
    ensure!(args.steps > 1, Usage("--steps is 2 or more".into()));
    let mut pictures = Pictures::new(&args.images)?;
    let classifier = args.common.open()?;
    let classes: Vec<Class> =
        args.classes.iter().map(|text| Class::of(text, &classifier)).collect::<Result<_>>()?;
    let count = pictures.files.len();
    let text = format!("{} classes for {count} pictures: name one, or one for each", classes.len());
    ensure!(classes.len() == 1 || classes.len() == count, Usage(text));
    let network = Network::of(&classifier);
    let layers = if args.layer.is_empty() { network.ends()?.to_vec() } else { args.layer.clone() };
    let mut found: Vec<(String, Vec<Curve>)> = Vec::new();
    let mut about = Vec::new();
    for i in 0..count {
        if let Some(look) = pictures.look(&classifier, i) {
            let logits = tch::no_grad(|| classifier.model().forward(&look.input, false))?;
            let class = classes[if classes.len() == 1 { 0 } else { i }].chosen(&logits)?[0];
            let curves = invariance(&network, &look.input, class, &layers, args.steps)?;
            let file = pictures.files[i].display().to_string();
            about.push(
                json!({"image": file, "class": class, "label": label(&classifier, class), "curves": curves}),
            );
            let stem = pictures.files[i].file_stem().map(|stem| stem.to_string_lossy().into_owned());
            found.push((stem.unwrap_or(file), curves));
        }
        pictures.step()?;
    }
    pictures.finish();
    ensure!(!found.is_empty(), Usage("no picture could be read".into()));
    let mut tensors = Vec::new();
    for (place, change) in Change::ALL.into_iter().enumerate() {
        let rows = |of: &dyn Fn(&Curve) -> Vec<f64>| -> Result<Tensor> {
            let rows =
                found.iter().map(|(_, curves)| Tensor::from_slice(&of(&curves[place]))).collect::<Vec<_>>();
            Ok(Tensor::f_stack(&rows, 0)?.f_to_kind(tch::Kind::Float)?)
        };
        let name = serde_json::to_value(change)?.as_str().unwrap_or_default().to_owned();
        tensors.push((format!("{name}.values"), rows(&|curve| curve.values.clone())?));
        tensors.push((format!("{name}.probability"), rows(&|curve| curve.probability.clone())?));
        for (i, layer) in layers.iter().enumerate() {
            tensors.push((format!("{name}.{layer}"), rows(&|curve| curve.distances[i].clone())?));
        }
    }
    let mut folder = args.common.folder(&classifier, json!({"explain": "invariance", "layers": layers}))?;
    let figure = curves(&format!("Invariance of {}", classifier.name()), &layers, &found)?;
    let path = folder.add("invariance", &figure, &tensors, json!({"pictures": about}))?;
    args.common.say(path.display())?;
    args.common.finish(folder, pictures.failed)
}
