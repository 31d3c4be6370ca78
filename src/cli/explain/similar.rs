//! `tchvision explain similar`.

use super::pictures::{Common, Pictures};
use crate::cli::progress::Counter;
use crate::cli::{network, signals};
use anyhow::{Result, bail, ensure};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tch::{Kind, Tensor};
use tchvision::data::{self, Skipped, TestSet};
use tchvision::evaluate::ReadPictures;
use tchvision::explain::{Figure, Look, Panel, nearest};
use tchvision::{Interrupted, Usage, weights};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Where the nearest are looked for: a folder with a folder of pictures a class, or a data set, its test half
    #[arg(long, value_name = "DIR|DATASET")]
    data: String,
    /// The stage whose output is compared; without it, what the classifier takes
    #[arg(long, value_name = "STAGE")]
    layer: Option<String>,
    /// How many of the nearest
    #[arg(long, value_name = "K", default_value_t = 6)]
    top: usize,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
}

pub fn run(args: &Args) -> Result<()> {
    ensure!(args.top > 0 && args.batch_size > 0, Usage("--top and --batch-size are 1 or more".into()));
    let mut pictures = Pictures::new(&args.images)?;
    let root = args.root.clone().unwrap_or_else(data::root);
    let data = TestSet::open(&args.data, &root)?;
    let builder = args.common.network.builder()?.trained_on(&data).features(args.layer.as_deref());
    let classifier = network::open(builder)?;
    network::show_notes(&classifier);
    let what =
        json!({"explain": "similar", "layers": args.layer.iter().collect::<Vec<_>>(), "data": args.data});
    let mut folder = args.common.folder(&classifier, what)?;
    let (features, names) = args.features(&classifier, data)?;
    // Opened once more for the pictures that are shown: the features have taken the first.
    let data = TestSet::open(&args.data, &root)?;
    for i in 0..pictures.files.len() {
        if let Some(look) = pictures.look(&classifier, i) {
            let own = tch::no_grad(|| classifier.model().forward(&look.input, false))?;
            let found = nearest(&own, &features, args.top)?;
            let mut row = vec![Panel { image: look.shown, caption: vec!["picture".into(), String::new()] }];
            let mut about = Vec::new();
            for (place, similarity) in &found {
                let image = Look::at(&classifier, &data.decode(*place)?)?.shown;
                let name = names[*place].rsplit('/').next().unwrap_or_default().to_owned();
                row.push(Panel { image, caption: vec![name, format!("{similarity:.3}")] });
                about.push(json!({"image": names[*place], "similarity": similarity}));
            }
            let title = format!("Nearest by {}", classifier.name());
            let figure = Figure { title, rows: vec![row], ..Figure::default() };
            let places: Vec<i64> = found.iter().map(|(place, _)| *place as i64).collect();
            let file = pictures.files[i].display().to_string();
            let tensors = [("nearest".to_owned(), Tensor::from_slice(&places)), ("features".to_owned(), own)];
            let path = folder.add(&file, &figure, &tensors, json!({"nearest": about}))?;
            pictures.suspend(|| args.common.say(path.display()))?;
        }
        pictures.step()?;
    }
    pictures.finish();
    args.common.finish(folder, pictures.failed)
}

impl Args {
    /// The features (N, D) of all pictures, kept in `embeddings.safetensors`, and their names.
    fn features(&self, classifier: &tchvision::Classifier, data: TestSet) -> Result<(Tensor, Vec<String>)> {
        let (file, names) = (self.common.out.join("embeddings.safetensors"), data.names());
        let source = classifier.identity()?;
        let metadata = HashMap::from([
            ("source".to_owned(), source),
            ("layer".to_owned(), self.layer.clone().unwrap_or_default()),
            ("data".to_owned(), data.name().to_owned()),
            ("names".to_owned(), serde_json::to_string(&names)?),
        ]);
        if let Ok(state) = weights::StateFile::open(&file) {
            let same = metadata.iter().all(|(key, value)| state.metadata(key) == Some(value.as_str()));
            if same && let Ok(features) = state.get("features") {
                return Ok((features.copy(), names));
            }
        }
        let width = classifier.width()? as i64;
        let features =
            Tensor::f_full([names.len() as i64, width], f64::NAN, (Kind::Float, tch::Device::Cpu))?;
        let (stop, bar) = (signals()?, Counter::new(names.len()));
        let mut skipped = |picture: Skipped| {
            bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
        };
        let result = classifier.features(data, self.batch_size, &mut skipped, &mut |places, rows| {
            for (i, &place) in (0..).zip(places) {
                features.f_get(place as i64)?.f_copy_(&rows.f_get(i)?)?;
                bar.step();
            }
            if stop.load(Ordering::Relaxed) {
                bail!(Interrupted("interrupted; run the same command again".into()));
            }
            Ok(())
        });
        bar.finish();
        result?;
        weights::save(&file, &[("features".to_owned(), features.shallow_clone())], metadata)?;
        Ok((features, names))
    }
}
