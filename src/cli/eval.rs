//! `tchvision eval`: accuracy on labelled pictures.

use super::network::{self, Network};
use super::{print, print_json, table};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use tchvision::Usage;
use tchvision::data::{self, ImageFiles, Splits, normalise, prepare};
use tchvision::evaluate::{Accuracy, Evaluator, Protocol, Score};
use tchvision::{brief, machine};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: network::Args,
    /// A folder with a folder of pictures a class, or a data set (`tchvision data list`), its test half
    #[arg(long, value_name = "DIR|DATASET")]
    data: String,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Which views of a picture the network sees
    #[arg(long, default_value = "center")]
    protocol: Views,
    /// The accuracy of every class
    #[arg(long)]
    per_class: bool,
    /// Which classes are taken for which others
    #[arg(long)]
    confusion: bool,
    /// Views of pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Views {
    /// The centre, as the weights' library evaluates them
    Center,
    /// Corners and centre of the central square, and their mirror images (AlexNet)
    TenCrop,
    /// Twelve squares' corners, centre and whole, and their mirror images (GoogLeNet)
    #[value(name = "144-crop")]
    #[serde(rename = "144-crop")]
    Crops144,
    /// The whole picture at three scales (VGG)
    MultiScale,
    /// The whole picture (VGG)
    Dense,
}

impl From<Views> for Protocol {
    fn from(views: Views) -> Self {
        match views {
            Views::Center => Self::Center,
            Views::TenCrop => Self::TenCrop,
            Views::Crops144 => Self::Crops144,
            Views::MultiScale => Self::MultiScale,
            Views::Dense => Self::Dense,
        }
    }
}

/// Rows of the table of confusions; JSON has them all.
const MOST_CONFUSED: usize = 25;

/// What came out.
struct Evaluated {
    model: String,
    classes: Vec<String>,
    /// The classes that the data has.
    present: Vec<usize>,
    accuracy: Accuracy,
    /// Pictures that could not be read.
    skipped: usize,
}

pub fn run(args: &Args) -> Result<()> {
    if args.batch_size == 0 {
        return Err(Usage("--batch-size is 1 or more".into()).into());
    }
    let folder = Path::new(&args.data);
    let root = args.root.clone().unwrap_or_else(data::root);
    let evaluated = match folder.is_dir() {
        true => on_files(args, ImageFiles::in_classes(folder)?)?,
        false => match data::open_test_files(&args.data, &root)? {
            Some(files) => on_files(args, files)?,
            None => on_known(args, &root)?,
        },
    };
    let Evaluated { model, classes, present, accuracy, skipped } = evaluated;
    let total = accuracy.total();
    ensure!(total.images > 0, "{}: none of its {skipped} pictures could be read", args.data);
    let rows = present.iter().map(|&class| (&classes[class], &accuracy.classes[class]));
    if args.json {
        let mut out = json!({
            "model": model, "data": args.data, "protocol": args.protocol, "images": total.images,
            "skipped": skipped, "top1": total.top1_percent(), "top5": total.top5_percent(),
        });
        if args.per_class {
            let row = |(class, score): (&String, &Score)| {
                json!({"class": class, "images": score.images, "top1": score.top1_percent(),
                       "top5": score.top5_percent()})
            };
            out["classes"] = rows.map(row).collect::<Vec<Value>>().into();
        }
        if args.confusion {
            let row = |((class, taken_for), images): ((usize, usize), u64)| json!({"class": classes[class], "taken_for": classes[taken_for], "images": images});
            out["confusion"] = accuracy.confused().into_iter().map(row).collect::<Vec<Value>>().into();
        }
        return print_json(&out);
    }
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    if args.per_class {
        let mut out = table(&["class", "images", "top-1", "top-5"]);
        for (class, score) in rows {
            let (top1, top5) = (percent(score.top1_percent()), percent(score.top5_percent()));
            out.add_row([class.clone(), score.images.to_string(), top1, top5]);
        }
        print(out)?;
    }
    if args.confusion {
        let mut out = table(&["class", "taken for", "images"]);
        for ((class, taken_for), images) in accuracy.confused().into_iter().take(MOST_CONFUSED) {
            out.add_row([classes[class].clone(), classes[taken_for].clone(), images.to_string()]);
        }
        print(out)?;
    }
    let not_read = if skipped > 0 { format!(", {skipped} could not be read") } else { String::new() };
    print(format_args!(
        "{model}: top-1 {} %, top-5 {} % on {} pictures{not_read}",
        percent(total.top1_percent()),
        percent(total.top5_percent()),
        total.images
    ))
}

/// Pictures of all sizes, prepared as the weights want them.
fn on_files(args: &Args, files: ImageFiles) -> Result<Evaluated> {
    let network = args.network.open(&[])?;
    let files = among_outputs(&network, &files).unwrap_or(files);
    fits(&network, files.classes.len(), &args.data)?;
    let protocol = Protocol::from(args.protocol);
    network.expect(files.len() * protocol.count());
    let preprocess = network.preprocess();
    let evaluator = Evaluator::new(network.model.as_ref(), network.device, &preprocess, protocol)?;
    let mut accuracy = Accuracy::new(files.classes.len());
    let mut skipped = 0;
    let views = |index: &usize| {
        let views = protocol.views(&preprocess, &files.picture(*index)?);
        views.with_context(|| files.title(*index))
    };
    let together = (args.batch_size / protocol.count()).max(1);
    let all: Vec<usize> = (0..files.len()).collect();
    prepare(&all, together, machine::cores(), views, |indices, views| {
        let (mut read, mut labels) = (Vec::new(), Vec::new());
        for (index, views) in indices.iter().zip(views) {
            match views {
                Ok(views) => {
                    read.push(views);
                    labels.push(files.labels[*index]);
                }
                Err(error) => {
                    skipped += 1;
                    eprintln!("left out: {}", brief(&error));
                }
            }
        }
        if read.is_empty() { Ok(()) } else { accuracy.add(&evaluator.probabilities(&read)?, &labels) }
    })?;
    let present = (0..).zip(files.label_counts()).filter(|(_, count)| *count > 0).map(|(class, _)| class);
    Ok(Evaluated {
        model: network.name,
        present: present.collect(),
        classes: files.classes,
        accuracy,
        skipped,
    })
}

/// Pictures of some synsets for a network that knows a whole ImageNet: every output may win.
fn among_outputs(network: &Network, files: &ImageFiles) -> Option<ImageFiles> {
    let known = data::imagenet().iter().find(|known| known.classes as usize == network.classes)?;
    (files.classes.len() < network.classes).then(|| files.relabelled(known.synsets()))?
}

/// The test half of a known data set, its pictures in their own size as `train` tests on them.
fn on_known(args: &Args, root: &Path) -> Result<Evaluated> {
    let ([channels, ..], classes) = data::shape(&args.data, root)
        .map_err(|error| Usage(format!("--data {}: no such folder, and {}", args.data, brief(&error))))?;
    if args.protocol != Views::Center {
        return Err(Usage(format!(
            "--protocol: the pictures of {} are tested whole; leave it out",
            args.data
        ))
        .into());
    }
    let Splits { train, test } = data::load(&args.data, root)?;
    let statistics = train.images.statistics();
    let network = args.network.open(&[("num_classes", classes), ("in_chans", channels)])?;
    fits(&network, test.classes.len(), &args.data)?;
    network.expect(test.images.count);
    let mut accuracy = Accuracy::new(test.classes.len());
    let images = &test.images;
    let batches = images.pixels.chunks(images.stride() * args.batch_size);
    let _no_grad = tch::no_grad_guard();
    for (pixels, labels) in batches.zip(test.labels.chunks(args.batch_size)) {
        let size = [labels.len(), images.channels, images.height, images.width].map(|n| n as i64);
        let batch = Tensor::f_from_data_size(pixels, &size, Kind::Uint8)?;
        let input = normalise(&batch, &statistics, network.device)?;
        accuracy.add(&network.model.forward(&input, false)?, labels)?;
    }
    let present = (0..test.classes.len()).collect();
    Ok(Evaluated { model: network.name, classes: test.classes, present, accuracy, skipped: 0 })
}

/// The network's outputs must be the data's classes.
fn fits(network: &Network, classes: usize, data: &str) -> Result<()> {
    if network.classes != classes {
        bail!(
            "{data} has {classes} classes, {} has {} outputs; weights with a head for this data, and --set \
             num_classes={classes}, go together",
            network.name,
            network.classes
        );
    }
    Ok(())
}
