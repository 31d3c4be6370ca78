//! `tchvision weights list`: which weights are public, and what they were trained on.

use crate::cli::{print, print_json, table};
use anyhow::Result;
use serde::Serialize;
use tchvision::data::{self, Corpus};
use tchvision::recipes;
use tchvision::weights::catalogue::{self, Entry};
use tchvision::{Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    /// Only these, as `weights fetch` finds them: without a tag, the library's default
    #[arg(value_name = "NAME[.TAG]")]
    weights: Vec<String>,
    /// Only weights of this model, such as `resnet50` or `timm/resnet50`
    #[arg(long)]
    model: Option<String>,
    /// Only this family, such as `ResNet`
    #[arg(long)]
    family: Option<String>,
    /// Only weights trained on this data set, such as `imagenet-21k`, `jft-300m`, `yfcc100m`, `ig-1b-targeted`
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    /// Names only, one a line
    #[arg(long, conflicts_with = "json")]
    names: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: String,
    naming: &'a str,
    sha256: Option<&'a str>,
    /// What they were trained with, where it is known: a name of `tchvision recipe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<&'a str>,
    #[serde(flatten)]
    entry: &'a Entry,
}

pub fn run(args: Args) -> Result<()> {
    let entries = catalogue::entries()?;
    let find = |name: &String| catalogue::find(name).map_err(|e| Usage(brief(&e)));
    let named = args.weights.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    args.model.as_ref().map(find).transpose()?;
    if let Some(family) = &args.family {
        check_family(family, entries)?;
    }
    let corpus = args.data.as_deref().map(data::corpus).transpose()?;
    let wanted = |entry: &&Entry| {
        (named.is_empty() || named.contains(entry))
            && args.model.as_ref().is_none_or(|model| entry.is_of(model))
            && args.family.as_ref().is_none_or(|family| entry.family.eq_ignore_ascii_case(family))
            && corpus.is_none_or(|corpus| entry.data.contains(&corpus.name))
    };
    let found: Vec<&Entry> = entries.iter().filter(wanted).collect();
    let no_weights = corpus.and_then(|corpus| corpus.no_weights.as_ref());
    if let (Some(no_weights), true) = (no_weights, args.json || args.names) {
        eprintln!("{no_weights}");
    }
    let recipes = recipes::all()?;
    let recipe = |entry: &Entry| {
        let made = recipes.iter().find(|recipe| recipe.made(&entry.name()));
        made.map(|recipe| recipe.name.as_str())
    };
    if args.json {
        let listed = |entry: &&'static Entry| Listed {
            name: entry.name(),
            naming: entry.naming(),
            sha256: entry.location.sha256_prefix(),
            recipe: recipe(entry),
            entry,
        };
        return print_json(&found.iter().map(listed).collect::<Vec<_>>());
    }
    if args.names {
        return found.iter().try_for_each(|entry| print(entry.name()));
    }
    show(&found, corpus)?;
    let known = named.iter().filter_map(|entry| Some((entry.name(), recipe(entry)?)));
    known
        .into_iter()
        .try_for_each(|(name, recipe)| print(format_args!("{name}: `tchvision recipe show {recipe}`")))
}

fn check_family(wanted: &str, entries: &[Entry]) -> Result<()> {
    let mut families: Vec<&str> = entries.iter().map(|entry| entry.family.as_str()).collect();
    families.dedup();
    if families.iter().any(|family| family.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    Err(Usage(format!("unknown family `{wanted}`; there are {}", families.join(", "))).into())
}

fn show(found: &[&Entry], corpus: Option<&Corpus>) -> Result<()> {
    if !found.is_empty() {
        let mut out = table(&["weights", "trained on", "input", "classes", "top-1", "licence"]);
        for entry in found {
            out.add_row([
                entry.name(),
                entry.data.join(" → "),
                entry.preprocess.input[1].to_string(),
                entry.classes.to_string(),
                entry.top1.map_or("-".to_owned(), |top1| format!("{top1:.2}")),
                entry.licence.clone().unwrap_or_else(|| "not stated".to_owned()),
            ]);
        }
        print(out)?;
    }
    let Some(corpus) = corpus else { return Ok(()) };
    let Corpus { title, about, obtained, .. } = corpus;
    print(format_args!("{title} ({}): {about}. {obtained}.", corpus.access.name()))?;
    corpus.no_weights.as_ref().map_or(Ok(()), print)
}
