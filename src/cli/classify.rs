//! `tchvision classify`: the likeliest classes of pictures.

use super::network;
use super::{print, print_json};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::PathBuf;
use tch::Kind;
use tchvision::data::{pictures_below, prepare};
use tchvision::evaluate::{Evaluator, Protocol};
use tchvision::{Usage, brief, machine};

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
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Classified {
    image: String,
    top: Vec<Likely>,
}

#[derive(Serialize)]
struct Likely {
    class: usize,
    label: Option<&'static str>,
    probability: f64,
}

pub fn run(args: &Args) -> Result<()> {
    if args.topk == 0 || args.batch_size == 0 {
        return Err(Usage("--topk and --batch-size are 1 or more".into()).into());
    }
    let files = files(&args.images)?;
    let network = args.network.open(&[])?;
    network.expect(files.len());
    let (preprocess, labels) = (network.preprocess(), network.labels());
    let evaluator = Evaluator::new(network.model.as_ref(), network.device, &preprocess, Protocol::Center)?;
    let topk = args.topk.min(network.classes);
    let mut classified = Vec::with_capacity(files.len());
    let views = |path: &PathBuf| network::views(Protocol::Center, &preprocess, path);
    prepare(&files, args.batch_size, machine::cores(), views, |files, views| {
        let (mut names, mut read) = (Vec::new(), Vec::new());
        for (path, views) in files.iter().zip(views) {
            match views {
                Ok(views) => {
                    names.push(path);
                    read.push(views);
                }
                Err(error) => eprintln!("error: {}", brief(&error)),
            }
        }
        if read.is_empty() {
            return Ok(());
        }
        let (likely, best) = evaluator.probabilities(&read)?.f_topk(topk as i64, 1, true, true)?;
        let likely = Vec::<f64>::try_from(likely.f_to_kind(Kind::Double)?.f_view(-1)?)?;
        let best = Vec::<i64>::try_from(best.f_view(-1)?)?;
        for (path, (likely, best)) in names.iter().zip(likely.chunks(topk).zip(best.chunks(topk))) {
            let top = likely.iter().zip(best).map(|(&probability, &class)| {
                let class = class as usize;
                let label = labels.as_ref().and_then(|labels| labels.get(class).copied());
                Likely { class, label, probability }
            });
            let row = Classified { image: path.display().to_string(), top: top.collect() };
            if !args.json {
                show(&row, files.len() > 1 || args.images.len() > 1)?;
            }
            classified.push(row);
        }
        Ok(())
    })?;
    if args.json {
        print_json(&classified)?;
    }
    let failed = files.len() - classified.len();
    ensure!(failed == 0, "{failed} of {} pictures could not be read", files.len());
    Ok(())
}

/// The files that are named, and those in the folders that are.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
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

fn show(row: &Classified, with_name: bool) -> Result<()> {
    if with_name {
        print(&row.image)?;
    }
    for Likely { class, label, probability } in &row.top {
        let label = label.map_or_else(|| format!("class {class}"), str::to_owned);
        print(format_args!("{:6.2} %  {label}", 100.0 * probability))?;
    }
    Ok(())
}
