//! `tchvision recipe`: what public weights and papers trained with, and one's own run with it.

use super::progress::thousands;
use super::{print, print_json, print_part, table};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use tchvision::recipes::{self, Recipe};
use tchvision::yaml::{Document, Override};

#[derive(clap::Subcommand)]
pub enum Verb {
    /// The recipes: where each is from, what it costs
    List {
        #[arg(long)]
        json: bool,
    },
    /// One recipe as the file of a run, or of a paper's study
    Show {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// A run with the settings of a recipe where it says nothing itself
    Apply {
        name: String,
        /// The run: model and data, and whatever of `train` is to be otherwise
        run: PathBuf,
        /// Values in place of the file's, such as train.epochs=3
        #[arg(value_name = "KEY.PATH=VALUE")]
        overrides: Vec<String>,
        /// Where to write it; stdout when absent
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List { json } => list(json),
        Verb::Show { name, json } => show(&recipes::find(&name)?, json),
        Verb::Apply { name, run, overrides, to } => {
            let overrides = overrides.iter().map(|text| Override::new(text)).collect::<Result<_>>()?;
            let (text, kept) = recipes::find(&name)?.apply(&Document::read(&run, overrides)?)?;
            if !kept.is_empty() {
                eprintln!("the run's own: {}", kept.join(", "));
            }
            match to {
                Some(path) => fs::write(&path, text).with_context(|| path.display().to_string()),
                None => print_part(text),
            }
        }
    }
}

fn list(json: bool) -> Result<()> {
    let all = recipes::all()?;
    if json {
        return print_json(&all);
    }
    let mut out = table(&["recipe", "model", "epochs", "images seen", "top-1", "source"]);
    for recipe in &all {
        let images = recipe
            .images_seen
            .map_or("-".to_owned(), |images| format!("{} M", thousands(images / 1_000_000)));
        let own = recipe.top1.iter().find(|(model, _)| *model == recipe.model);
        let top1 = own.map_or("-".to_owned(), |(_, top1)| format!("{top1:.2}"));
        // The paper, without its tables and files.
        let source = recipe.source.split(',').next().unwrap_or_default().to_owned();
        out.add_row([
            recipe.name.clone(),
            recipe.model.clone(),
            recipe.epochs.to_string(),
            images,
            top1,
            source,
        ]);
    }
    print(out)
}

/// A recipe with what it costs.
#[derive(Serialize)]
struct Costed<'a> {
    #[serde(flatten)]
    recipe: &'a Recipe,
    /// Multiply-adds for one image.
    macs: Option<u64>,
}

fn show(recipe: &Recipe, json: bool) -> Result<()> {
    let macs = recipe.macs().ok();
    if json {
        return print_json(&Costed { recipe, macs });
    }
    let million = |n: u64| thousands(n / 1_000_000);
    let images = recipe.images_seen.map(|images| format!("{} M images", million(images)));
    let macs = macs.map(|macs| format!("{} M multiply-adds an image", million(macs)));
    let costs: Vec<String> = images.into_iter().chain(macs).collect();
    eprintln!("{}: {}", recipe.name, costs.join(", "));
    print_part(recipe.text)
}
