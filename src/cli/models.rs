//! `tchvision models`: what there is, and what it costs.

use super::{assignments, print, print_json, table};
use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use tchvision::Usage;
use tchvision::models::{self, Complexity, Entry, ModelSpec};
use tchvision::report::format::count;

#[derive(Subcommand)]
pub enum Verb {
    /// Every registered model with its parameters and input
    List {
        /// Only this family, such as `ResNet`
        #[arg(long)]
        family: Option<String>,
        /// Only this source: torchvision, timm or paper
        #[arg(long)]
        source: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Parameters, MACs and activations of a model, stage by stage
    Show {
        name: String,
        /// Override a field of the model's configuration
        #[arg(long = "set", value_name = "FIELD=VALUE")]
        set: Vec<String>,
        /// Height and width of the input
        #[arg(long, value_name = "H[xW]")]
        input: Option<String>,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List { family, source, json } => list(family.as_deref(), source.as_deref(), json),
        Verb::Show { name, set, input, json } => show(&name, &set, input.as_deref(), json),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    family: &'a str,
    params: u64,
    input: [i64; 3],
}

fn list(family: Option<&str>, source: Option<&str>, json: bool) -> Result<()> {
    let same = |wanted: Option<&str>, has: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(has));
    let wanted = |entry: &&&Entry| same(family, entry.family) && same(source, entry.source());
    let mut rows = Vec::new();
    for entry in models::entries().iter().filter(wanted) {
        let model = entry.architecture()?;
        let (params, input) = (model.count_parameters()?, model.input());
        rows.push(Listed { name: &entry.name, family: entry.family, params, input });
    }
    if json {
        return print_json(&rows);
    }
    let mut out = table(&["model", "family", "params", "input"]);
    for row in rows {
        out.add_row([row.name.into(), row.family.into(), count(row.params), shape(&row.input)]);
    }
    print(out)
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    #[serde(flatten)]
    complexity: Complexity,
}

fn show(name: &str, set: &[String], input: Option<&str>, json: bool) -> Result<()> {
    let usage = |e: anyhow::Error| anyhow::Error::new(ModelSpec::usage(&e));
    let mut spec = ModelSpec::new(name);
    for (field, value) in assignments(set)? {
        spec.set(field, value).map_err(usage)?;
    }
    let model = spec.resolve().map_err(usage)?;
    let mut shape_in = model.input();
    if let Some(text) = input {
        [shape_in[1], shape_in[2]] = parse_size(text)?;
    }
    let complexity = model.complexity(shape_in).map_err(usage)?;
    if json {
        return print_json(&Shown { name: model.name, complexity });
    }
    let mut out = table(&["stage", "output", "MACs", "activations"]);
    for stage in &complexity.stages {
        let name = stage.name.clone();
        out.add_row([name, shape(&stage.output), count(stage.macs), count(stage.activations)]);
    }
    let Complexity { params, macs, activations, .. } = complexity;
    print(format_args!("{} at {}", model.name, shape(&shape_in)))?;
    print(format_args!(
        "params {} ({params}), MACs {} ({macs}), activations {} ({activations})",
        count(params),
        count(macs),
        count(activations)
    ))?;
    print(out)?;
    print(serde_yaml::to_string(&model.fields()?)?.trim_end())
}

fn parse_size(text: &str) -> Result<[i64; 2]> {
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    match (h.parse(), w.parse()) {
        (Ok(h), Ok(w)) if h > 0 && w > 0 => Ok([h, w]),
        _ => Err(Usage(format!("--input {text}: write a size such as 224, or HxW such as 192x256")).into()),
    }
}

fn shape(size: &[i64]) -> String {
    size.iter().map(i64::to_string).collect::<Vec<_>>().join("×")
}
