//! `tchvision eval`: accuracy on labelled pictures.

use super::progress::Counter;
use super::rows::Rows;
use super::{network, print, print_json, signals, table};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tchvision::classifier::Evaluated;
use tchvision::data::{self, Skipped, TestSet};
use tchvision::evaluate::{ClassMetrics, Outcome, Protocol, Score};
use tchvision::{Classifier, Interrupted, Usage};

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
    /// A row a picture to this file as it goes: its class, the likeliest one, their probabilities; run again to go on
    #[arg(long, value_name = "FILE.jsonl|FILE.csv")]
    predictions: Option<PathBuf>,
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
    let mut data = named.map_or_else(|| classifier.test_set(args.root.as_deref()), Ok)?;
    let batch_size = args.batch_size.or(classifier.about().map(|about| about.batch_size)).unwrap_or(32);
    let mut predictions = match &args.predictions {
        Some(path) => Some(Predictions::open(path, &classifier, &mut data)?),
        None => None,
    };
    let stop = signals()?;
    let bar = Counter::new(data.names().len());
    let unread = RefCell::new(Vec::new());
    let mut skipped = |picture: Skipped| {
        bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
        unread.borrow_mut().push(picture);
    };
    let evaluated =
        classifier.evaluate(data, args.protocol.into(), batch_size, &mut skipped, &mut |place, outcome| {
            bar.step();
            if let Some(predictions) = &mut predictions {
                unread.borrow_mut().drain(..).try_for_each(|picture| predictions.failed(&picture))?;
                predictions.add(place, outcome)?;
            }
            if stop.load(Ordering::Relaxed) {
                bail!(Interrupted("interrupted; run the same command again".into()));
            }
            Ok(())
        });
    bar.finish();
    let Evaluated { data: data_name, classes, mut present, mut accuracy, mut skipped } = evaluated?;
    if let Some(mut predictions) = predictions {
        unread.into_inner().iter().try_for_each(|picture| predictions.failed(picture))?;
        predictions.before.iter().try_for_each(|outcome| accuracy.count(outcome))?;
        skipped += predictions.unread_before;
        present.extend(predictions.before.iter().map(|outcome| outcome.label));
        present.sort_unstable();
        present.dedup();
    }
    let (model, total) = (classifier.name(), accuracy.total());
    let metrics = accuracy.class_metrics();
    let rows = present.iter().map(|&class| (&classes[class], &accuracy.classes[class], &metrics[class]));
    if args.json {
        let mut out = json!({
            "model": model, "data": data_name, "protocol": args.protocol, "images": total.images,
            "skipped": skipped, "top1": total.top1_percent(), "top5": total.top5_percent(),
            "loss": accuracy.loss(), "ece": accuracy.calibration_error(),
            "balanced_accuracy": accuracy.balanced_percent(), "f1": accuracy.f1_percent(),
        });
        if args.per_class {
            let row = |(class, score, metrics): (&String, &Score, &ClassMetrics)| {
                json!({"class": class, "images": score.images, "top1": score.top1_percent(),
                       "top5": score.top5_percent(), "precision": metrics.precision, "recall": metrics.recall,
                       "f1": metrics.f1})
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
        let mut out = table(&["class", "images", "top-1", "top-5", "precision", "F1"]);
        for (class, score, metrics) in rows {
            let precision = metrics.precision.map(|precision| 100.0 * precision);
            let shares = [score.top1_percent(), score.top5_percent(), precision, Some(100.0 * metrics.f1)];
            out.add_row([class.clone(), score.images.to_string()].into_iter().chain(shares.map(percent)));
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
    ))?;
    print(format_args!(
        "loss {:.4}, calibration error {:.4}, balanced accuracy {} %, F1 {} %",
        accuracy.loss().unwrap_or(f64::NAN),
        accuracy.calibration_error().unwrap_or(f64::NAN),
        percent(accuracy.balanced_percent()),
        percent(accuracy.f1_percent()),
    ))
}

/// The file of predictions, and what is in it already.
struct Predictions {
    rows: Rows,
    /// What each row says of the model.
    model: String,
    /// The pictures that had no row yet.
    names: Vec<String>,
    /// What the rows of before say.
    before: Vec<Outcome>,
    unread_before: usize,
}

impl Predictions {
    const COLUMNS: [&str; 8] =
        ["image", "model", "label", "predicted", "probability", "label_probability", "in_top5", "error"];

    /// Opens the file, and leaves in `data` the pictures that have no row in it.
    fn open(path: &Path, classifier: &Classifier, data: &mut TestSet) -> Result<Self> {
        let (mut before, mut unread_before) = (Vec::new(), 0);
        let columns = Self::COLUMNS.map(str::to_owned);
        let same = [("model", classifier.source())];
        let mut rows = Rows::open(path, &columns, &same, &mut |row| {
            if row("error").is_empty() {
                before.push(outcome(row).context("a row is not of this program; choose another file")?);
            } else {
                unread_before += 1;
            }
            Ok(())
        })?;
        let names = data.names();
        let mut left: Vec<usize> = (0..names.len()).filter(|&place| !rows.take(&names[place])).collect();
        data.keep(&mut left);
        let names = left.iter().map(|&place| names[place].clone()).collect();
        Ok(Self { rows, model: classifier.source().to_owned(), names, before, unread_before })
    }

    fn add(&mut self, place: usize, outcome: &Outcome) -> Result<()> {
        let mut row = json!({"image": self.names[place], "model": self.model});
        if let (Some(row), Value::Object(outcome)) = (row.as_object_mut(), json!(outcome)) {
            row.extend(outcome);
        }
        self.rows.add(&row)
    }

    fn failed(&mut self, picture: &Skipped) -> Result<()> {
        self.rows.add(&json!({"image": picture.name, "model": self.model, "error": picture.reason}))
    }
}

/// What a row says.
fn outcome(row: &dyn Fn(&str) -> String) -> Result<Outcome> {
    Ok(Outcome {
        label: row("label").parse()?,
        predicted: row("predicted").parse()?,
        probability: row("probability").parse()?,
        label_probability: row("label_probability").parse()?,
        in_top5: row("in_top5").parse()?,
    })
}
