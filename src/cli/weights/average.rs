//! `tchvision weights average`.

use super::arguments::local;
use crate::cli::progress::Counter;
use crate::cli::{print, print_json, signals};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tch::Tensor;
use tchvision::classifier::Builder;
use tchvision::data::{self, Skipped, TestSet};
use tchvision::evaluate::Protocol;
use tchvision::train::RunWeights;
use tchvision::weights::{self, About, Parent, StateFile, checkpoint_weights, has_averages};
use tchvision::{Classifier, Interrupted, Usage};

#[derive(clap::Args)]
pub struct Args {
    /// Files of weights, or directories of runs, of one network
    #[arg(required = true, num_args = 2.., value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Where the safetensors go
    #[arg(long, value_name = "OUT.safetensors")]
    to: PathBuf,
    /// From the best file on, only those with which the mean is not worse (2203.05482, recipe 1); it chooses by --data
    #[arg(long, requires = "data")]
    greedy: bool,
    /// The pictures that the greedy choice looks at, which no test should use again: a folder with a folder of pictures a
    /// class, or a data set, its test half
    #[arg(long, value_name = "DIR|DATASET", requires = "greedy")]
    data: Option<String>,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The network, for files that do not know it, where the choice is greedy
    #[arg(long, value_name = "NAME[.TAG]")]
    model: Option<String>,
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[arg(long)]
    json: bool,
}

/// A file, and how it does alone.
struct Member {
    path: PathBuf,
    state: StateFile,
    about: Option<About>,
    top1: Option<f64>,
}

pub fn run(args: &Args) -> Result<()> {
    ensure!(args.batch_size > 0, Usage("--batch-size is 1 or more".into()));
    let mut members = Vec::new();
    for path in &args.files {
        let RunWeights { state, about, note } = RunWeights::open(&local(path)?, None)?;
        note.iter().for_each(|note| eprintln!("{note}"));
        let same =
            |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a));
        ensure!(
            !same(&args.to, state.path()),
            Usage(format!("--to {}: is a file that is read", args.to.display()))
        );
        let averaged = has_averages(&state);
        members.push(Member {
            path: path.clone(),
            state: checkpoint_weights(state, averaged)?,
            about,
            top1: None,
        });
    }
    // Before any evaluation: files that do not go together.
    let mut tensors = mean(&members)?;
    let mut top1 = None;
    if args.greedy {
        top1 = Some(args.choose(&mut members)?);
        tensors = mean(&members)?;
    }
    weights::save(&args.to, &tensors, metadata(&members, top1)?)?;
    let names: Vec<String> = members.iter().map(|member| member.path.display().to_string()).collect();
    if args.json {
        return print_json(&json!({"to": args.to, "tensors": tensors.len(), "members": names, "top1": top1}));
    }
    let tested = top1.map_or_else(String::new, |top1| format!(", top-1 {top1:.2} %"));
    print(format_args!(
        "{}: the mean of {} files{tested}: {}",
        args.to.display(),
        names.len(),
        names.join(", ")
    ))
}

impl Args {
    /// Leaves the members of the greedy soup, the best first, and returns its accuracy in percent.
    fn choose(&self, members: &mut Vec<Member>) -> Result<f64> {
        let name = self.data.as_deref().context("--data is missing")?;
        let root = self.root.clone().unwrap_or_else(data::root);
        let folder =
            self.to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let trial = tempfile::Builder::new().prefix(".soup-").suffix(".safetensors").tempfile_in(folder)?;
        for member in members.iter_mut() {
            member.top1 = Some(self.evaluate(&member.path, TestSet::open(name, &root)?)?);
            eprintln!("{}: top-1 {:.2} %", member.path.display(), member.top1.unwrap_or_default());
        }
        members.sort_by(|a, b| b.top1.unwrap_or_default().total_cmp(&a.top1.unwrap_or_default()));
        let mut best = members[0].top1.unwrap_or_default();
        let mut kept = 1;
        for next in 1..members.len() {
            members.swap(kept, next);
            let soup = &members[..=kept];
            weights::save(trial.path(), &mean(soup)?, metadata(soup, None)?)?;
            let top1 = self.evaluate(trial.path(), TestSet::open(name, &root)?)?;
            let verdict = if top1 >= best { "kept" } else { "left out" };
            eprintln!("with {}: top-1 {top1:.2} %, {verdict}", members[kept].path.display());
            if top1 >= best {
                (best, kept) = (top1, kept + 1);
            }
        }
        members.truncate(kept);
        Ok(best)
    }

    fn evaluate(&self, file: &Path, data: TestSet) -> Result<f64> {
        let builder: Builder = match &self.model {
            Some(model) => Classifier::builder(model).file(file),
            None => Classifier::of_file(file),
        };
        let classifier = builder.trained_on(&data).open(&mut |_, _, _| {})?;
        let (stop, bar) = (signals()?, Counter::new(data.names().len()));
        let mut skipped = |picture: Skipped| {
            bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
        };
        let found =
            classifier.evaluate(data, &Protocol::Center, self.batch_size, &mut skipped, &mut |_, _| {
                bar.step();
                if stop.load(Ordering::Relaxed) {
                    bail!(Interrupted("interrupted; run the same command again".into()));
                }
                Ok(())
            });
        bar.finish();
        found?.accuracy.total().top1_percent().context("no picture could be read")
    }
}

fn mean(members: &[Member]) -> Result<Vec<(String, Tensor)>> {
    weights::average(&members.iter().map(|member| &member.state).collect::<Vec<_>>())
}

/// What the file says of itself, as far as the members say it: those are its parents.
fn metadata(members: &[Member], top1: Option<f64>) -> Result<std::collections::HashMap<String, String>> {
    let Some(about) = members.first().and_then(|member| member.about.clone()) else {
        return Ok([("format".to_owned(), "pt".to_owned())].into());
    };
    let parents = members.iter().map(|member| Parent::of(member.state.path())).collect::<Result<_>>()?;
    About { top1, loss: None, parents, ..about }.metadata()
}
