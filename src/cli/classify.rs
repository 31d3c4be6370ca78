//! `tchvision classify`: the likeliest classes of pictures.

use super::progress::Counter;
use super::rows::Rows;
use super::{network, print, print_part, signals};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tchvision::classifier::{Ensemble, Likely};
use tchvision::data::{Skipped, pictures_below};
use tchvision::evaluate::Protocol;
use tchvision::{Classifier, Interrupted, Usage};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    network: network::Args,
    /// How many classes of each picture
    #[arg(long, value_name = "K", default_value_t = 5)]
    topk: usize,
    /// Which views of a picture the network sees, as of `eval`: center, ten-crop, 144-crop, dense, multi-scale, multi-crop,
    /// dense+multi-crop
    #[arg(long, default_value_t)]
    protocol: Protocol,
    /// Views of pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// A row a picture to this file as it goes, also for those that cannot be read; run again to go on
    #[arg(long, value_name = "FILE.jsonl|FILE.csv")]
    to: Option<PathBuf>,
    #[arg(long, conflicts_with = "to")]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if args.topk == 0 || args.batch_size == 0 {
        return Err(Usage("--topk and --batch-size are 1 or more".into()).into());
    }
    let mut files = files(&args.images)?;
    let members = args.network.builders()?.into_iter().map(network::open).collect::<Result<Vec<_>>>()?;
    members.iter().for_each(network::show_notes);
    let ensemble = Classifier::ensemble(&members)?;
    let (count, mut failed) = (files.len(), 0);
    let out = match &args.to {
        Some(path) => {
            let mut model = ensemble.identities()?.join(" + ");
            if !args.protocol.is_center() {
                model = format!("{model}, {}", args.protocol);
            }
            let (mut rows, unread) = args.rows(path, &ensemble, &model)?;
            files.retain(|file| {
                let name = file.display().to_string();
                let has_row = rows.take(&name);
                failed += usize::from(has_row && unread.contains(&name));
                !has_row
            });
            Out::Rows { rows, model }
        }
        None if args.json => Out::Json { is_first: true },
        None => Out::Text { with_names: files.len() > 1 || args.images.len() > 1 },
    };
    let stop = signals()?;
    let bar = Counter::new(files.len());
    let work = Work { out: RefCell::new(out), bar, stop: &stop };
    let mut trouble = Ok(());
    let mut skipped = |picture: Skipped| {
        failed += 1;
        let written = work.failed(&picture);
        if trouble.is_ok() {
            trouble = written;
        }
    };
    let mut each =
        |place: usize, top: Vec<Likely>| work.classified(&files[place].display().to_string(), &top);
    let classified =
        ensemble.classify(&files, &args.protocol, args.topk, args.batch_size, &mut skipped, &mut each);
    work.bar.finish();
    classified.and(trouble)?;
    work.end()?;
    ensure!(failed == 0, "{failed} of {count} pictures could not be read");
    Ok(())
}

impl Args {
    /// The file of rows, each of which says of which model it is, and the pictures whose rows say that they could not be
    /// read.
    fn rows(&self, path: &Path, ensemble: &Ensemble, model: &str) -> Result<(Rows, HashSet<String>)> {
        let mut columns = vec!["image".to_owned(), "model".to_owned()];
        for k in 1..=self.topk.min(ensemble.classes()) {
            columns.extend(["class", "label", "probability"].map(|what| format!("{what}_{k}")));
        }
        columns.push("error".to_owned());
        let mut unread = HashSet::new();
        let same = [("model", model.to_owned())];
        let rows = Rows::open(path, &columns, &same, &mut |row| {
            if !row("error").is_empty() {
                unread.insert(row("image"));
            }
            Ok(())
        })?;
        if rows.len() > 0 {
            eprintln!("{}: goes on after {} rows", path.display(), rows.len());
        }
        Ok((rows, unread))
    }
}

/// Where what is found goes.
enum Out {
    Text {
        with_names: bool,
    },
    /// One array, row by row.
    Json {
        is_first: bool,
    },
    Rows {
        rows: Rows,
        /// What each of them says of the model.
        model: String,
    },
}

struct Work<'a> {
    out: RefCell<Out>,
    bar: Counter,
    stop: &'a AtomicBool,
}

impl Work<'_> {
    fn classified(&self, image: &str, top: &[Likely]) -> Result<()> {
        match &mut *self.out.borrow_mut() {
            Out::Text { with_names } => self.bar.suspend(|| show(image, top, *with_names))?,
            Out::Json { is_first } => element(is_first, &json!({"image": image, "top": top}))?,
            Out::Rows { rows, model } => rows.add(&json!({"image": image, "model": model, "top": top}))?,
        }
        self.over()
    }

    /// A picture that cannot be read.
    fn failed(&self, Skipped { name, reason }: &Skipped) -> Result<()> {
        self.bar.suspend(|| eprintln!("error: {name}: {reason}"));
        match &mut *self.out.borrow_mut() {
            Out::Text { .. } => {}
            Out::Json { is_first } => element(is_first, &json!({"image": name, "error": reason}))?,
            Out::Rows { rows, model } => {
                rows.add(&json!({"image": name, "model": model, "error": reason}))?;
            }
        }
        self.over()
    }

    fn over(&self) -> Result<()> {
        self.bar.step();
        if self.stop.load(Ordering::Relaxed) {
            let again = match &*self.out.borrow() {
                Out::Rows { .. } => "; run the same command again to go on",
                _ => "",
            };
            bail!(Interrupted(format!("interrupted{again}")));
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        match &*self.out.borrow() {
            Out::Json { is_first: true } => print("[]"),
            Out::Json { is_first: false } => print("\n]"),
            _ => Ok(()),
        }
    }
}

/// The next element of a JSON array.
fn element(is_first: &mut bool, row: &Value) -> Result<()> {
    let before = if std::mem::take(is_first) { "[\n" } else { ",\n" };
    print_part(format_args!("{before}{}", serde_json::to_string_pretty(row)?))
}

/// The files that are named, and those in the folders that are.
pub fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let found = pictures_below(path)?;
            ensure!(!found.is_empty(), "{}: no pictures are in this folder", path.display());
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn show(image: &str, top: &[Likely], with_name: bool) -> Result<()> {
    if with_name {
        print(image)?;
    }
    for Likely { class, label, probability } in top {
        let label = label.clone().unwrap_or_else(|| format!("class {class}"));
        print(format_args!("{:6.2} %  {label}", 100.0 * probability))?;
    }
    Ok(())
}
