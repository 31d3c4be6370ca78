//! `tchvision eval`: accuracy on labelled pictures.

use super::{network, print, print_json, table};
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use tchvision::Usage;
use tchvision::classifier::Evaluated;
use tchvision::data::{self, Skipped, TestSet};
use tchvision::evaluate::{Protocol, Score};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: network::Args,
    /// A folder with a folder of pictures a class, or a data set (`tchvision data list`), its test half; without it, the
    /// test data of the run that trained the weights
    #[arg(long, value_name = "DIR|DATASET", required_unless_present_any = ["run", "weights"])]
    data: Option<String>,
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
    /// Views of pictures that go through the network at once; 32, or as many as the run that trained the weights tests
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
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
const MAX_CONFUSED: usize = 25;

pub fn run(args: &Args) -> Result<()> {
    if args.batch_size == Some(0) {
        return Err(Usage("--batch-size is 1 or more".into()).into());
    }
    let root = args.root.clone().unwrap_or_else(data::root);
    let named = args.data.as_ref().map(|name| TestSet::open(name, &root)).transpose()?;
    let mut builder = args.network.builder()?;
    if let Some(data) = &named {
        builder = builder.trained_on(data);
    }
    let classifier = network::open(builder)?;
    let is_whole = matches!(named, Some(TestSet::Images(..))) && classifier.about().is_none();
    if !is_whole {
        network::show_notes(&classifier);
    }
    let data = named.map_or_else(|| classifier.test_set(args.root.as_deref()), Ok)?;
    let batch_size = args.batch_size.or(classifier.about().map(|about| about.batch_size)).unwrap_or(32);
    let mut skipped = |picture: Skipped| eprintln!("left out: {}: {}", picture.name, picture.reason);
    let evaluated = classifier.evaluate(data, args.protocol.into(), batch_size, &mut skipped)?;
    let Evaluated { data: data_name, classes, present, accuracy, skipped } = evaluated;
    let (model, total) = (classifier.name(), accuracy.total());
    let rows = present.iter().map(|&class| (&classes[class], &accuracy.classes[class]));
    if args.json {
        let mut out = json!({
            "model": model, "data": data_name, "protocol": args.protocol, "images": total.images,
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
        for ((class, taken_for), images) in accuracy.confused().into_iter().take(MAX_CONFUSED) {
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
