//! `tchvision data`: what there is, getting it, looking at it.

use super::{print, print_json, table};
use anyhow::Result;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use tchvision::data::{self, Dataset, Splits};

#[derive(Subcommand)]
pub enum Verb {
    /// The data sets that are known by name
    List {
        #[arg(long)]
        json: bool,
    },
    /// Get a data set; files that are there and right are kept
    Fetch {
        name: String,
        /// A folder that has the files
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Where data sets are kept; $TCHVISION_DATA, else ./datasets
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// Counts, shape, classes, mean and standard deviation of a data set
    Inspect {
        /// A known name, or idx:DIR
        name: String,
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List { json } => list(json),
        Verb::Fetch { name, from, root } => fetch(&name, from, root),
        Verb::Inspect { name, root, json } => inspect(&name, root, json),
    }
}

fn list(json: bool) -> Result<()> {
    let root = data::root();
    let here =
        |known: &data::Known| known.files.iter().all(|file| root.join(known.name).join(file.name).exists());
    if json {
        let rows: Vec<_> = data::known()
            .iter()
            .map(|known| {
                json!({"name": known.name, "about": known.about, "shape": known.shape, "classes": known.classes,
                       "train": known.train, "test": known.test, "here": here(known)})
            })
            .collect();
        return print_json(&rows);
    }
    let mut out = table(&["data set", "images", "classes", "train", "test", "here", "about"]);
    for known in data::known() {
        let [c, h, w] = known.shape;
        out.add_row([
            known.name.to_owned(),
            format!("{c}×{h}×{w}"),
            known.classes.to_string(),
            known.train.to_string(),
            known.test.to_string(),
            if here(known) { "yes" } else { "no" }.to_owned(),
            known.about.to_owned(),
        ]);
    }
    print(out)
}

fn fetch(name: &str, from: Option<PathBuf>, root: Option<PathBuf>) -> Result<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    let root = root.unwrap_or_else(data::root);
    let fetched = data::fetch(name, &root, from.as_deref(), &mut |file, done, total| {
        bar.set_message(file.to_owned());
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    for file in fetched? {
        let source = file.source.map_or("already there".to_owned(), |source| format!("from {source}"));
        print(format_args!("{}: checksum right, {source}", file.path.display()))?;
    }
    Ok(())
}

fn inspect(name: &str, root: Option<PathBuf>, json: bool) -> Result<()> {
    let Splits { train, test } = data::load(name, &root.unwrap_or_else(data::root))?;
    let statistics = train.images.statistics();
    let shape = [train.images.channels, train.images.height, train.images.width];
    if json {
        return print_json(&json!({
            "name": train.name, "shape": shape, "classes": train.classes,
            "train": train.images.count, "test": test.images.count,
            "train_labels": train.label_counts(), "test_labels": test.label_counts(),
            "mean": statistics.mean, "std": statistics.std,
        }));
    }
    let [c, h, w] = shape;
    print(format_args!(
        "{name}: {} training and {} test images of {c}×{h}×{w}",
        count(&train),
        count(&test)
    ))?;
    print(format_args!("mean {:.4?}, std {:.4?} (training set)", statistics.mean, statistics.std))?;
    let mut out = table(&["label", "class", "train", "test"]);
    let counts = train.label_counts().into_iter().zip(test.label_counts());
    for ((label, class), (train, test)) in train.classes.iter().enumerate().zip(counts) {
        out.add_row([label.to_string(), class.clone(), train.to_string(), test.to_string()]);
    }
    print(out)
}

fn count(dataset: &Dataset) -> usize {
    dataset.images.count
}
