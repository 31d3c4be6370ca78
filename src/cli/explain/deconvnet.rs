//! `tchvision explain deconvnet`.

use super::pictures::{Common, Found, Pictures, input, label};
use crate::cli::network;
use crate::cli::progress::Counter;
use crate::cli::signals;
use anyhow::{Result, bail, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tch::Tensor;
use tchvision::data::{self, Skipped, TestSet};
use tchvision::explain::{Class, Feature, Figure, Network, Panel, Strong, Strongest, project, signed};
use tchvision::nn::Backward;
use tchvision::train::RunDir;
use tchvision::{Classifier, Interrupted, Usage};

#[derive(clap::Args)]
#[command(mut_arg("model", |model| model.required_unless_present("evolution")))]
pub struct Args {
    /// Pictures whose feature is projected; none with --data
    #[arg(value_name = "IMAGE", required_unless_present_any = ["data", "evolution"], conflicts_with = "data")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// What ReLUs do on the way back: deconvnet (what is positive), guided (also where their input was), gradient
    #[arg(long, default_value = "deconvnet", value_parser = ["deconvnet", "guided", "gradient"])]
    rule: String,
    /// The layer whose feature is projected, as PyTorch names the modules; without it, the last stage with maps
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// The map of the layer by its channel, again for more; without it, the strongest of each picture, or maps spread over the
    /// layer
    #[arg(long = "channel", value_name = "N")]
    maps: Vec<i64>,
    /// A class's logit in place of a map: a label, a number or `top`
    #[arg(long, value_name = "top|NAME|ID", conflicts_with_all = ["layer", "maps", "data", "evolution"])]
    class: Option<String>,
    /// The pictures of each map that excite it most
    #[arg(long, value_name = "K", default_value_t = 9)]
    top: usize,
    /// Maps that are shown, spread over the layer, where none is named
    #[arg(long, value_name = "N", default_value_t = 16)]
    count: usize,
    /// Where the strongest pictures are looked for: a folder, or a data set, its test half
    #[arg(long, value_name = "DIR|DATASET")]
    data: Option<String>,
    /// The run whose weights of chosen epochs (`train.keep`) are compared: the strongest picture of each map, epoch by epoch
    #[arg(long, value_name = "RUN", conflicts_with_all = ["images", "model", "run", "weights"])]
    evolution: Option<PathBuf>,
    /// Only so many of the pictures
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
}

impl Args {
    fn backward(&self) -> Backward {
        match self.rule.as_str() {
            "guided" => Backward::Guided,
            "gradient" => Backward::Gradient,
            _ => Backward::Deconvnet,
        }
    }

    fn strongest(&self, top: usize) -> Strongest {
        Strongest {
            layer: self.layer.clone(),
            maps: self.maps.clone(),
            count: self.count,
            top,
            backward: self.backward(),
            batch_size: self.batch_size,
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    ensure!(args.top > 0 && args.count > 0, Usage("--top and --count are 1 or more".into()));
    if let Some(run) = &args.evolution {
        return evolution(args, run);
    }
    match &args.data {
        Some(data) => strongest(args, data),
        None => pictures(args),
    }
}

/// A feature of each picture.
fn pictures(args: &Args) -> Result<()> {
    let pictures = Pictures::new(&args.images)?;
    let classifier = args.common.open()?;
    let network = Network::of(&classifier);
    let class = args.class.as_ref().map(|text| Class::of(text, &classifier)).transpose()?;
    let layer = match (&args.layer, &class) {
        (None, None) => Some(network.default_layer(&classifier.input().blank(classifier.device())?)?),
        (layer, _) => layer.clone(),
    };
    let maps = match args.maps.is_empty() {
        true => vec![None],
        false => args.maps.iter().copied().map(Some).collect(),
    };
    let of_layer: Vec<Feature> =
        layer.iter().flat_map(|layer| maps.iter().map(|&map| Feature::Map(layer.clone(), map))).collect();
    pictures.each(&args.common, &classifier, what(args, layer.as_deref()), &mut |_, _, look| {
        let features = match &class {
            Some(class) => {
                let logits = tch::no_grad(|| classifier.model().forward(&look.input, false))?;
                vec![Feature::Class(class.chosen(&logits)?[0])]
            }
            None => of_layer.clone(),
        };
        let mut row = vec![input(look)];
        let (mut tensors, mut about) = (Vec::new(), Vec::new());
        for (n, feature) in features.iter().enumerate() {
            let found = project(&network, &look.input, feature, args.backward())?;
            let (what, entry) = match (feature, found.place) {
                (Feature::Map(layer, _), Some((map, [y, x]))) => (
                    format!("map {map} of {layer}"),
                    json!({"layer": layer, "map": map, "place": [y, x], "value": found.value}),
                ),
                (Feature::Class(class), _) => (
                    label(&classifier, *class),
                    json!({"class": class, "label": label(&classifier, *class), "value": found.value}),
                ),
                _ => bail!("a map without a place"),
            };
            about.push(entry);
            row.push(Panel {
                image: signed(&found.pixels)?,
                caption: vec![what, format!("{:.3}", found.value)],
            });
            let suffix = if n == 0 { String::new() } else { format!(".{n}") };
            tensors.push((format!("map{suffix}"), magnitude(&found.pixels)?));
            tensors.push((format!("raw{suffix}"), found.pixels));
        }
        let title = format!("{} of {}", args.rule, classifier.name());
        let figure = Figure { title, rows: vec![row], ..Figure::default() };
        Ok(Found { figure, tensors, about: json!({"features": about}), line: String::new() })
    })
}

fn what(args: &Args, layer: Option<&str>) -> serde_json::Value {
    json!({"explain": "deconvnet", "method": args.rule, "layers": layer.into_iter().collect::<Vec<_>>()})
}

/// How strong a projection (C, H, W) is at each place, from 0 to 1: (H, W).
fn magnitude(pixels: &Tensor) -> Result<Tensor> {
    let most = pixels.f_abs()?.f_amax([0i64].as_slice(), false)?;
    let scale = most.f_max()?.f_double_value(&[])?;
    Ok(most.f_div_scalar(if scale > 0.0 { scale } else { 1.0 })?)
}

/// Looks through all pictures, or the first of them.
fn look_through(
    args: &Args,
    classifier: &Classifier,
    data: TestSet,
    top: usize,
) -> Result<(String, Vec<Strong>)> {
    let mut data = data;
    if let Some(limit) = args.limit {
        data.keep(&mut (0..data.names().len().min(limit)).collect::<Vec<_>>());
    }
    let (stop, bar) = (signals()?, Counter::new(data.names().len()));
    let mut skipped = |picture: Skipped| {
        bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
    };
    let mut each = || {
        bar.step();
        if stop.load(Ordering::Relaxed) {
            bail!(Interrupted("interrupted; run the same command again".into()));
        }
        Ok(())
    };
    let found = args.strongest(top).of(classifier, &data, &mut skipped, &mut each);
    bar.finish();
    found
}

/// ZFNet's figure 2.
fn strongest(args: &Args, name: &str) -> Result<()> {
    let data = TestSet::open(name, &args.root.clone().unwrap_or_else(data::root))?;
    let classifier = network::open(args.common.network.builder()?.trained_on(&data))?;
    network::show_notes(&classifier);
    let (layer, strong) = look_through(args, &classifier, data, args.top)?;
    let panels: Vec<[Panel; 2]> = strong.iter().map(|map| map.panels(&args.rule)).collect();
    let mut rows: Vec<Vec<Panel>> = Vec::new();
    for (i, pair) in panels.into_iter().enumerate() {
        if i % 2 == 0 {
            rows.push(Vec::new());
        }
        if let Some(row) = rows.last_mut() {
            row.extend(pair);
        }
    }
    let title = format!("What excites {layer} of {}", classifier.name());
    let figure = Figure { title, rows, ..Figure::default() };
    let mut folder = args.common.folder(&classifier, what(args, Some(&layer)))?;
    let about: Vec<_> = strong
        .iter()
        .map(|map| {
            let pictures =
                map.pictures.iter().map(|found| json!({"image": found.title, "value": found.value}));
            json!({"map": map.map, "strongest": pictures.collect::<Vec<_>>()})
        })
        .collect();
    let maps: Vec<i64> = strong.iter().map(|map| map.map).collect();
    let tensors = [("maps".to_owned(), Tensor::from_slice(&maps))];
    // What follows a dot would be taken for the ending of a file.
    let name = format!("strongest_{}", layer.replace(['.', ':'], "_"));
    let path = folder.add(&name, &figure, &tensors, json!({"maps": about}))?;
    args.common.say(path.display())?;
    args.common.finish(folder, 0)
}

/// ZFNet's figure 4.
fn evolution(args: &Args, run: &Path) -> Result<()> {
    let kept = RunDir::new(run).kept()?;
    ensure!(
        !kept.is_empty(),
        Usage(format!("{}: no weights of chosen epochs; train with train.keep=[1, 2, 5]", run.display()))
    );
    let mut rows: Vec<Vec<Panel>> = Vec::new();
    let (mut first, mut about, mut layer_name) = (None, Vec::new(), String::new());
    for (epoch, file) in &kept {
        let builder = args.common.network.set_on(Classifier::of_file(file))?;
        let classifier = network::open(builder)?;
        let data = match &args.data {
            Some(name) => TestSet::open(name, &args.root.clone().unwrap_or_else(data::root))?,
            None => classifier.test_set(args.root.as_deref())?,
        };
        let (layer, strong) = look_through(args, &classifier, data, 1)?;
        for (i, map) in strong.iter().enumerate() {
            if rows.len() <= i {
                rows.push(Vec::new());
            }
            let caption = vec![format!("map {}, epoch {epoch}", map.map)];
            let [mut projection, patch] = map.panels(&args.rule);
            projection.caption = caption;
            rows[i].push(projection);
            rows[i].push(Panel { caption: vec![String::new()], ..patch });
        }
        about.push(json!({"epoch": epoch, "maps": strong.iter().map(|map| json!({
            "map": map.map, "value": map.pictures.first().map(|found| found.value)})).collect::<Vec<_>>()}));
        layer_name = layer;
        first.get_or_insert(classifier);
    }
    let Some(classifier) = first else { bail!("no weights") };
    let title = format!("What excites {layer_name} of {}, epoch by epoch", classifier.name());
    let figure = Figure { title, rows, ..Figure::default() };
    let mut folder = args.common.folder(&classifier, what(args, Some(&layer_name)))?;
    let epochs: Vec<i64> = kept.iter().map(|(epoch, _)| *epoch as i64).collect();
    let tensors = [("epochs".to_owned(), Tensor::from_slice(&epochs))];
    let path = folder.add("evolution", &figure, &tensors, json!({"epochs": about}))?;
    args.common.say(path.display())?;
    args.common.finish(folder, 0)
}
