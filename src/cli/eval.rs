//! `tchvision eval`: accuracy on labelled pictures.

use super::predictions::Predictions;
use super::progress::Counter;
use super::{network, print, print_json, signals, table};
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
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
    let (classifier, data) = args.open()?;
    let found = args.evaluate(&classifier, data)?;
    if args.json { print_json(&args.json(&classifier, &found)) } else { args.show(&classifier, &found) }
}

impl Args {
    fn open(&self) -> Result<(Classifier, TestSet)> {
        let root = self.root.clone().unwrap_or_else(data::root);
        let named = self.data.as_ref().map(|name| TestSet::open(name, &root)).transpose()?;
        let mut builder = self.network.builder()?;
        if let Some(data) = &named {
            builder = builder.trained_on(data);
        }
        let classifier = network::open(builder)?;
        let is_whole = matches!(named, Some(TestSet::Images(..))) && classifier.about().is_none();
        if !is_whole {
            network::show_notes(&classifier);
        }
        let data = named.map_or_else(|| classifier.test_set(self.root.as_deref()), Ok)?;
        Ok((classifier, data))
    }

    /// Looks at all pictures, or at those that have no row among the predictions yet.
    fn evaluate(&self, classifier: &Classifier, mut data: TestSet) -> Result<Evaluated> {
        let protocol = self.protocol.to_possible_value().map_or(String::new(), |it| it.get_name().to_owned());
        let predictions = self.predictions.as_ref();
        let mut predictions =
            predictions.map(|path| Predictions::open(path, classifier, protocol, &mut data)).transpose()?;
        let stop = signals()?;
        let bar = Counter::new(data.names().len());
        let batch_size = self.batch_size.or(classifier.about().map(|about| about.batch_size)).unwrap_or(32);
        let unread = RefCell::new(Vec::new());
        let mut skipped = |picture: Skipped| {
            bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
            bar.step();
            unread.borrow_mut().push(picture);
        };
        let mut each = |place: usize, outcome: &Outcome| {
            bar.step();
            if let Some(predictions) = &mut predictions {
                unread.borrow_mut().drain(..).try_for_each(|picture| predictions.failed(&picture))?;
                predictions.add(place, outcome)?;
            }
            if stop.load(Ordering::Relaxed) {
                bail!(Interrupted("interrupted; run the same command again".into()));
            }
            Ok(())
        };
        let found = classifier.evaluate(data, self.protocol.into(), batch_size, &mut skipped, &mut each);
        bar.finish();
        let mut found = found?;
        if let Some(mut predictions) = predictions {
            unread.into_inner().iter().try_for_each(|picture| predictions.failed(picture))?;
            predictions.add_before(&mut found)?;
        }
        Ok(found)
    }

    fn json(&self, classifier: &Classifier, found: &Evaluated) -> Value {
        let Evaluated { data, classes, accuracy, skipped, .. } = found;
        let total = accuracy.total();
        let mut out = json!({
            "model": classifier.name(), "data": data, "protocol": self.protocol, "images": total.images,
            "skipped": skipped, "top1": total.top1_percent(), "top5": total.top5_percent(),
            "loss": accuracy.loss(), "ece": accuracy.calibration_error(),
            "balanced_accuracy": accuracy.balanced_percent(), "f1": accuracy.f1_percent(),
        });
        if self.per_class {
            let row = |(class, score, metrics): (&String, Score, ClassMetrics)| {
                json!({"class": class, "images": score.images, "top1": score.top1_percent(),
                       "top5": score.top5_percent(), "precision": metrics.precision, "recall": metrics.recall,
                       "f1": metrics.f1})
            };
            out["classes"] = per_class(found).into_iter().map(row).collect::<Vec<Value>>().into();
        }
        if self.confusion {
            let row = |((class, taken_for), images): ((usize, usize), u64)| json!({"class": classes[class], "taken_for": classes[taken_for], "images": images});
            out["confusion"] = accuracy.confused().into_iter().map(row).collect::<Vec<Value>>().into();
        }
        out
    }

    fn show(&self, classifier: &Classifier, found: &Evaluated) -> Result<()> {
        let Evaluated { classes, accuracy, skipped, .. } = found;
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        if self.per_class {
            let mut out = table(&["class", "images", "top-1", "top-5", "precision", "F1"]);
            for (class, score, metrics) in per_class(found) {
                let precision = metrics.precision.map(|precision| 100.0 * precision);
                let shares =
                    [score.top1_percent(), score.top5_percent(), precision, Some(100.0 * metrics.f1)];
                out.add_row([class.clone(), score.images.to_string()].into_iter().chain(shares.map(percent)));
            }
            print(out)?;
        }
        if self.confusion {
            let mut out = table(&["class", "taken for", "images"]);
            for ((class, taken_for), images) in accuracy.confused().into_iter().take(MAX_CONFUSED) {
                out.add_row([classes[class].clone(), classes[taken_for].clone(), images.to_string()]);
            }
            print(out)?;
        }
        let total = accuracy.total();
        let not_read = if *skipped > 0 { format!(", {skipped} could not be read") } else { String::new() };
        print(format_args!(
            "{}: top-1 {} %, top-5 {} % on {} pictures{not_read}",
            classifier.name(),
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
}

/// The classes that the data has.
fn per_class(found: &Evaluated) -> Vec<(&String, Score, ClassMetrics)> {
    let metrics = found.accuracy.class_metrics();
    let row = |&class: &usize| (&found.classes[class], found.accuracy.classes[class], metrics[class]);
    found.present.iter().map(row).collect()
}
