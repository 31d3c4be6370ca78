//! `tchvision explain excitations`.

use crate::cli::progress::Counter;
use crate::cli::{network, print, print_json, signals, table};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tchvision::data::{self, Skipped, TestSet};
use tchvision::evaluate::Outcome;
use tchvision::explain::Excitations;
use tchvision::{Interrupted, Usage};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: network::Args,
    /// A folder with a folder of pictures a class, or a data set, its test half; without it, the test data of the run that
    /// trained the weights
    #[arg(long, value_name = "DIR|DATASET", required_unless_present_any = ["run", "weights"])]
    data: Option<String>,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Where excitations.safetensors, the figures and index.html go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let root = args.root.clone().unwrap_or_else(data::root);
    let named = args.data.as_ref().map(|name| TestSet::open(name, &root)).transpose()?;
    let mut builder = args.network.builder()?;
    if let Some(data) = &named {
        builder = builder.trained_on(data);
    }
    let classifier = network::open(builder)?;
    network::show_notes(&classifier);
    let data = named.map_or_else(|| classifier.test_set(args.root.as_deref()), Ok)?;
    let stop = signals()?;
    let bar = Counter::new(data.names().len());
    let mut skipped = |picture: Skipped| {
        bar.suspend(|| eprintln!("left out: {}: {}", picture.name, picture.reason));
        bar.step();
    };
    let mut each = |_: usize, _: &Outcome| {
        bar.step();
        if stop.load(Ordering::Relaxed) {
            bail!(Interrupted("interrupted; run the same command again".into()));
        }
        Ok(())
    };
    let found = Excitations::of(&classifier, data, args.batch_size as usize, &mut skipped, &mut each);
    bar.finish();
    let found = found?;
    if found.images.iter().all(|&images| images == 0) {
        bail!(Usage("no picture could be read".to_owned()));
    }
    found.write(&args.out, classifier.name())?;
    let rows = found.rows()?;
    if args.json {
        return print_json(&rows);
    }
    let mut out =
        table(&["block", "channels", "mean gate", "between classes", "within a class", "saturated %"]);
    for row in rows {
        let numbers = [row.mean, row.between_classes, row.within_classes].map(|x| format!("{x:.4}"));
        let cells = [row.block, row.channels.to_string()].into_iter().chain(numbers);
        out.add_row(cells.chain([format!("{:.1}", 100.0 * row.saturated)]));
    }
    print(out)?;
    print(args.out.join("index.html").display())
}
