//! `tchvision eval`: accuracy on labelled pictures.

use super::predictions::Predictions;
use super::progress::Counter;
use super::{fields, network, print, print_json, signals, table};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tch::Tensor;
use tchvision::classifier::{Ensemble, Evaluated};
use tchvision::data::{self, Fields, Skipped, TestSet};
use tchvision::evaluate::{Accuracy, ClassMetrics, Knn, Outcome, Protocol, Score, Scores};
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
    #[command(flatten)]
    fields: fields::Args,
    /// Which views of a picture the network sees, whose probabilities are averaged: center, ten-crop (AlexNet), 144-crop
    /// (GoogLeNet), dense, multi-scale, multi-crop or dense+multi-crop (VGG), the last three also with short sides in
    /// pixels, such as multi-scale:256,384,512; without it, center, or as a run of --run was tested at its end
    #[arg(long)]
    protocol: Option<Protocol>,
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
    /// By the nearest training pictures in place of the classifier, weighted as DINO does: its features, no protocol
    #[arg(long, conflicts_with_all = ["protocol", "per_class", "confusion", "predictions"])]
    knn: bool,
    /// Neighbours that vote
    #[arg(long, value_name = "K", default_value_t = 20, requires = "knn")]
    k: usize,
    /// What the neighbours' similarity is divided by
    #[arg(long, value_name = "T", default_value_t = 0.07, requires = "knn")]
    temperature: f64,
    #[arg(long)]
    json: bool,
}

/// Pictures whose neighbours are looked for at once.
const MAX_ASKED: usize = 256;

/// Rows of the table of confusions; JSON has them all.
const MAX_CONFUSED: usize = 25;

pub fn run(args: &Args) -> Result<()> {
    if args.batch_size == Some(0) {
        return Err(Usage("--batch-size is 1 or more".into()).into());
    }
    if args.knn {
        return args.knn();
    }
    let (members, data) = args.open()?;
    let ensemble = Classifier::ensemble(&members)?;
    let protocol = args.protocol.clone().map_or_else(|| args.network.protocol(), Ok)?;
    let batch_size = args.batch_size.or(members[0].about().map(|about| about.batch_size)).unwrap_or(32);
    let found = args.evaluate(&ensemble, &protocol, batch_size, data)?;
    if args.json {
        print_json(&args.json(&ensemble, &protocol, &found)?)
    } else {
        args.show(&ensemble, &protocol, &found)
    }
}

impl Args {
    /// The members of the ensemble, mostly one, and what they are tested on.
    fn open(&self) -> Result<(Vec<Classifier>, TestSet)> {
        let root = self.root.clone().unwrap_or_else(data::root);
        let named = self
            .data
            .as_ref()
            .map(|name| TestSet::open_with(name, &root, &self.fields.given()))
            .transpose()?;
        let mut members = Vec::new();
        for mut builder in self.network.builders()? {
            if let Some(data) = &named {
                builder = builder.trained_on(data);
            }
            let classifier = network::open(builder)?;
            let is_whole = matches!(named, Some(TestSet::Images(..))) && classifier.about().is_none();
            if !is_whole {
                network::show_notes(&classifier);
            }
            members.push(classifier);
        }
        let data = named.map_or_else(|| self.tested(&members), Ok)?;
        Ok((members, data))
    }

    /// Accuracy by the nearest training pictures.
    fn knn(&self) -> Result<()> {
        let root = self.root.clone().unwrap_or_else(data::root);
        let [builder] = <[_; 1]>::try_from(self.network.builders()?)
            .map_err(|_| Usage("--knn is of one network: name one model".into()))?;
        let (config, seed) = match &self.data {
            Some(name) => {
                let Fields { picture, label, classes } = self.fields.given();
                let config = json!({"dataset": name, "root": root, "field": picture, "label": label, "classes": classes});
                (serde_json::from_value(config)?, 0)
            }
            None => {
                let classifier = network::open(self.network.builders()?.remove(0))?;
                let about = classifier.about();
                let about = about.ok_or_else(|| Usage("--knn: name the data by --data".into()))?;
                (about.data.clone(), about.seed)
            }
        };
        let halves = [TestSet::training(&config, seed)?, TestSet::of(&config, seed)?];
        let classes = halves[0].classes().len();
        let classifier = network::open(builder.trained_on(&halves[1]).features(None))?;
        let name = halves[1].name().to_owned();
        let bar = Counter::new(halves.iter().map(|half| half.labels().len()).sum());
        let skipped = RefCell::new(0);
        let mut left_out = |picture: Skipped| {
            bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
            *skipped.borrow_mut() += 1;
        };
        let stop = signals()?;
        let mut features = |half: TestSet| -> Result<(Tensor, Vec<i64>)> {
            let (all, mut rows, mut labels) = (half.labels().to_vec(), Vec::new(), Vec::new());
            classifier.features(
                half,
                self.batch_size.unwrap_or(32),
                &mut left_out,
                &mut |places, batch| {
                    rows.push(batch.shallow_clone());
                    labels.extend(places.iter().map(|&place| all[place]));
                    places.iter().for_each(|_| bar.step());
                    ensure!(
                        !stop.load(Ordering::Relaxed),
                        Interrupted("interrupted; run the same command again".into())
                    );
                    Ok(())
                },
            )?;
            ensure!(!rows.is_empty(), "no picture could be read");
            Ok((Tensor::f_cat(&rows, 0)?, labels))
        };
        let [train, test] = halves;
        let ((known, known_labels), (asked, labels)) = (features(train)?, features(test)?);
        bar.finish();
        let known_labels = Tensor::f_from_slice(&known_labels)?.f_to_device(known.device())?;
        let knn = Knn::new(&known, &known_labels, classes, self.k, self.temperature)?;
        let mut accuracy = Accuracy::new(classes);
        for (rows, labels) in asked.f_split(MAX_ASKED as i64, 0)?.iter().zip(labels.chunks(MAX_ASKED)) {
            let outcomes = Accuracy::outcomes(&knn.votes(rows)?, Scores::Probabilities, labels)?;
            outcomes.iter().try_for_each(|outcome| accuracy.count(outcome))?;
        }
        let (total, skipped) = (accuracy.total(), skipped.into_inner());
        let (model, images) = (classifier.name(), total.images);
        let [top1, top5] = [total.top1_percent(), total.top5_percent()];
        if self.json {
            return print_json(
                &json!({"model": model, "data": name, "knn": {"k": self.k, "temperature": self.temperature},
                "images": images, "skipped": skipped, "top1": top1, "top5": top5}),
            );
        }
        let [top1, top5] = [top1, top5].map(|percent| percent.unwrap_or(f64::NAN));
        print(format_args!(
            "{model}: top-1 {top1:.2} %, top-5 {top5:.2} % on {images} pictures by their {} nearest neighbours",
            self.k
        ))
    }

    /// The test data of the runs that trained the members.
    fn tested(&self, members: &[Classifier]) -> Result<TestSet> {
        let mut sets = members.iter().map(|member| member.about().map(|about| &about.data.dataset));
        let first = sets.next().flatten();
        let others = sets.any(|set| set != first);
        ensure!(!others, Usage("the networks were tested on different data: choose by --data".into()));
        members[0].test_set(self.root.as_deref())
    }

    /// Looks at all pictures, or at those that have no row among the predictions yet.
    fn evaluate(
        &self,
        ensemble: &Ensemble,
        protocol: &Protocol,
        batch_size: usize,
        mut data: TestSet,
    ) -> Result<Evaluated> {
        if let TestSet::Files(files) = &data
            && let Some(Skipped { name, reason }) = files.left_out()
        {
            eprintln!("left out: {name}: {reason}");
        }
        let predictions = self.predictions.as_ref();
        let mut predictions =
            predictions.map(|path| Predictions::open(path, ensemble, protocol, &mut data)).transpose()?;
        let stop = signals()?;
        let bar = Counter::new(data.names().len());
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
        let found = ensemble.evaluate(data, protocol, batch_size, &mut skipped, &mut each);
        bar.finish();
        let mut found = found?;
        if let Some(mut predictions) = predictions {
            unread.into_inner().iter().try_for_each(|picture| predictions.failed(picture))?;
            predictions.add_before(&mut found)?;
        }
        let Evaluated { data, accuracy, skipped, .. } = &found;
        let none = *skipped > 0 && accuracy.total().images == 0;
        ensure!(!none, "{data}: none of its {skipped} pictures could be read");
        Ok(found)
    }

    fn json(&self, ensemble: &Ensemble, protocol: &Protocol, found: &Evaluated) -> Result<Value> {
        let Evaluated { data, classes, accuracy, skipped, .. } = found;
        let total = accuracy.total();
        let mut out = json!({
            "model": ensemble.name(), "data": data, "protocol": protocol, "images": total.images,
            "skipped": skipped, "top1": total.top1_percent(), "top5": total.top5_percent(),
            "loss": accuracy.loss(), "ece": accuracy.calibration_error(),
            "balanced_accuracy": accuracy.balanced_percent(), "f1": accuracy.f1_percent(),
        });
        // They read the files of weights once more.
        if ensemble.count() > 1 {
            out["members"] = ensemble.identities()?.into();
        }
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
        Ok(out)
    }

    fn show(&self, ensemble: &Ensemble, protocol: &Protocol, found: &Evaluated) -> Result<()> {
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
        let by = if protocol.is_center() { String::new() } else { format!(", {protocol}") };
        if ensemble.count() > 1 {
            print(format_args!("the mean of {}", ensemble.identities()?.join(" + ")))?;
        }
        print(format_args!(
            "{}: top-1 {} %, top-5 {} % on {} pictures{by}{not_read}",
            ensemble.name(),
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
