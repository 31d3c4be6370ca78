//! `tchvision data`: what there is, getting it, looking at it.

use super::progress::{Counter, FileBar};
use super::{fields, print, print_json, table};
use anyhow::Result;
use clap::Subcommand;
use comfy_table::ContentArrangement;
use serde_json::{Value, json};
use std::path::PathBuf;
use tchvision::data::{self, Checked, Corpus, Fields, FileSplits, ImageFiles, Skipped, Splits};
use tchvision::report::format::count;
use tchvision::weights::catalogue;

/// Damaged pictures that are named where a person reads.
const MAX_DAMAGED: usize = 20;

#[derive(Subcommand)]
pub enum Verb {
    /// The data sets that are known by name
    List {
        #[arg(long)]
        json: bool,
    },
    /// Get a data set; files that are there and right are kept
    Fetch {
        /// A known name, or hf:OWNER/NAME[@REVISION][:CONFIG] of the Hugging Face Hub
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
        /// A known name, or idx:DIR, folder:DIR, list:DIR, webdataset:DIR, manifest:FILE, parquet:DIR, hf:OWNER/NAME
        name: String,
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        #[command(flatten)]
        fields: fields::Args,
        /// Decode every picture: which are damaged, and between which sizes the others are
        #[arg(long)]
        check: bool,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List { json } => list(json),
        Verb::Fetch { name, from, root } => fetch(&name, from, root),
        Verb::Inspect { name, root, fields, check, json } => {
            inspect(&name, root, &fields.given(), check, json)
        }
    }
}

fn list(json: bool) -> Result<()> {
    let root = data::root();
    let here =
        |known: &data::Known| known.files.iter().all(|file| root.join(known.name).join(file.name).exists());
    let weights = |corpus: &Corpus| catalogue::trained_on(&corpus.name).map(|entries| entries.len());
    if json {
        let known = data::known().iter().map(|known| {
            json!({"name": known.name, "about": known.about, "shape": known.shape, "classes": known.classes,
                   "train": known.train, "test": known.test, "here": here(known)})
        });
        let mut rows: Vec<Value> = known.collect();
        for corpus in data::corpora()? {
            let mut row = serde_json::to_value(corpus)?;
            row["weights"] = weights(corpus)?.into();
            rows.push(row);
        }
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
    print(out)?;
    print(
        "\nImageNet in files of your own, as downloaded, below the root or at `root:`; each synset is a class, flat:",
    )?;
    let mut out = table(&["data set", "classes", "about"]);
    for known in data::imagenet() {
        out.add_row([known.name, &known.classes.to_string(), known.about]);
    }
    print(out)?;
    print("\nWhat pretrained weights saw (`tchvision weights list --data SET` lists them):")?;
    let mut out = table(&["data set", "images", "classes", "access", "weights", "licence", "how obtained"]);
    out.set_content_arrangement(ContentArrangement::Dynamic).set_width(150);
    for corpus in data::corpora()? {
        let number = |n: Option<u64>| n.map_or("-".to_owned(), count);
        out.add_row([
            corpus.name.clone(),
            number(corpus.images),
            number(corpus.classes),
            corpus.access.name().to_owned(),
            weights(corpus)?.to_string(),
            corpus.licence.clone().unwrap_or_else(|| "-".to_owned()),
            corpus.obtained.clone(),
        ]);
    }
    print(out)
}

fn fetch(name: &str, from: Option<PathBuf>, root: Option<PathBuf>) -> Result<()> {
    let progress = FileBar::new();
    if name.starts_with("hf:") {
        let folder = data::fetch_from_hub(name, &mut |file, done, total| progress.set(file, done, total));
        progress.finish();
        return print(format_args!("{}: as the Hub has it", folder?.display()));
    }
    let root = root.unwrap_or_else(data::root);
    let fetched = data::fetch(name, &root, from.as_deref(), &mut |file, done, total| {
        progress.set(file, done, total);
    });
    progress.finish();
    for file in fetched? {
        let source = file.source.map_or("already there".to_owned(), |source| format!("from {source}"));
        print(format_args!("{}: checksum right, {source}", file.path.display()))?;
    }
    Ok(())
}

fn inspect(name: &str, root: Option<PathBuf>, fields: &Fields, check: bool, json: bool) -> Result<()> {
    let root = root.unwrap_or_else(data::root);
    if let Some(splits) = data::open_files_with(name, &root, fields)? {
        return inspect_files(&splits, check, json);
    }
    // Images in memory are read, and held to their checksums, in any case.
    let Splits { train, test } = data::load(name, &root)?;
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
        train.images.count, test.images.count
    ))?;
    print(format_args!("mean {:.4?}, std {:.4?} (training set)", statistics.mean, statistics.std))?;
    print(class_table(&train.classes, &train.label_counts(), &test.label_counts()))
}

/// Pictures of all sizes: their pixels are left alone unless they are checked.
fn inspect_files(FileSplits { train, test }: &FileSplits, check: bool, json: bool) -> Result<()> {
    let checked = if check { Some([checked(train)?, checked(test)?]) } else { None };
    let left_out: Vec<Skipped> = [train, test].into_iter().filter_map(ImageFiles::left_out).collect();
    if json {
        let mut inspected = json!({
            "name": train.name, "classes": train.classes, "train": train.len(), "test": test.len(),
            "train_labels": train.label_counts(), "test_labels": test.label_counts(),
        });
        if !left_out.is_empty() {
            inspected["left_out"] = json!(left_out);
        }
        if let Some([train, test]) = &checked {
            inspected["checked"] = json!({"train": train, "test": test});
        }
        return print_json(&inspected);
    }
    for Skipped { name, reason } in left_out {
        eprintln!("left out {name}: {reason}");
    }
    let (name, classes) = (&train.name, train.classes.len());
    print(format_args!(
        "{name}: {} training and {} test pictures, {classes} classes",
        train.len(),
        test.len()
    ))?;
    for (half, checked) in ["training", "test"].into_iter().zip(checked.iter().flatten()) {
        print_checked(half, checked)?;
    }
    print(class_table(&train.classes, &train.label_counts(), &test.label_counts()))
}

/// Every picture of a half decoded, with a bar.
fn checked(files: &ImageFiles) -> Result<Checked> {
    let counter = Counter::new(files.len());
    let checked = data::check(files, &mut || counter.step());
    counter.finish();
    checked
}

fn print_checked(half: &str, Checked { read, damaged, widths, heights }: &Checked) -> Result<()> {
    let sizes = match (widths, heights) {
        (Some([w, wide]), Some([h, high])) => format!(", {w} to {wide} wide, {h} to {high} high"),
        _ => String::new(),
    };
    print(format_args!("{half} pictures: {read} can be read{sizes}; {} cannot", damaged.len()))?;
    for Skipped { name, reason } in damaged.iter().take(MAX_DAMAGED) {
        print(format_args!("  {name}: {reason}"))?;
    }
    match damaged.len().saturating_sub(MAX_DAMAGED) {
        0 => Ok(()),
        more => print(format_args!("  and {more} more; --json has all")),
    }
}

fn class_table(classes: &[String], train: &[usize], test: &[usize]) -> comfy_table::Table {
    let mut out = table(&["label", "class", "train", "test"]);
    for ((label, class), (train, test)) in classes.iter().enumerate().zip(train.iter().zip(test)) {
        out.add_row([label.to_string(), class.clone(), train.to_string(), test.to_string()]);
    }
    out
}
