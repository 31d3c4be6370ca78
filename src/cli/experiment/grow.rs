//! `tchvision experiment add-seeds` and `merge`.

use super::super::{print, print_json};
use anyhow::Result;
use std::path::{Path, PathBuf};
use tchvision::experiment::{self, Merged};

#[derive(clap::Args)]
pub struct AddSeeds {
    /// The run directory of an experiment
    dir: PathBuf,
    /// So many more for each variant
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    count: u64,
}

#[derive(clap::Args)]
pub struct Merge {
    /// Run directories of one experiment, such as from several machines
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// The directory that gets their trials
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long)]
    json: bool,
}

pub fn add_seeds(AddSeeds { dir, count }: &AddSeeds) -> Result<()> {
    let plan = experiment::add_seeds(dir, *count)?;
    print(format_args!(
        "{} trials now; what is missing: tchvision experiment run {}",
        plan.trials.len(),
        dir.display()
    ))
}

pub fn merge(Merge { from, out, json }: &Merge) -> Result<()> {
    let merged = from.iter().map(|from| experiment::merge(from, out)).collect::<Result<Vec<_>>>()?;
    if *json {
        return print_json(&merged);
    }
    for (from, Merged { copied, kept, differ }) in from.iter().zip(&merged) {
        let from = from.display();
        print(format_args!("{from}: {} trial(s) copied, {} there already", copied.len(), kept.len()))?;
        if !differ.is_empty() {
            print(format_args!(
                "note: done here and in {from} with other numbers, left as here: {}",
                differ.join(", ")
            ))?;
        }
    }
    print(format_args!("tchvision experiment report {}", Path::new(out).display()))
}
