//! `tchvision features`: what a network knows of pictures before it names their classes.

use super::progress::Counter;
use super::{network, print, signals};
use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tch::{Kind, Tensor};
use tchvision::data::{self, Skipped, TestSet};
use tchvision::weights::Growing;
use tchvision::{Interrupted, Usage};

#[derive(clap::Args)]
pub struct Args {
    /// A folder with a folder of pictures a class, or a data set (`tchvision data list`), its test half
    data: String,
    #[command(flatten)]
    network: network::Args,
    /// The stage (`tchvision models show`) whose output is taken, flattened; without it, what the classifier takes
    #[arg(long, value_name = "STAGE")]
    layer: Option<String>,
    /// `features` (N, D) float32, `labels` (N) int64, and `names` in the metadata; run again to go on
    #[arg(long, value_name = "OUT.safetensors")]
    to: PathBuf,
    /// Where known data sets are kept; $TCHVISION_DATA, else ./datasets
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
}

pub fn run(args: Args) -> Result<()> {
    ensure!(args.batch_size > 0, Usage("--batch-size is 1 or more".into()));
    let mut data = TestSet::open(&args.data, &args.root.unwrap_or_else(data::root))?;
    let builder = args.network.builder()?;
    let classifier = network::open(builder.trained_on(&data).features(args.layer.as_deref()))?;
    network::show_notes(&classifier);
    let names = data.names();
    let metadata = [
        ("format", "pt".to_owned()),
        ("source", classifier.identity()?),
        ("layer", args.layer.unwrap_or_default()),
        ("data", data.name().to_owned()),
        ("names", serde_json::to_string(&names)?),
        ("classes", serde_json::to_string(data.classes())?),
    ];
    let metadata: Map<String, Value> =
        metadata.map(|(key, text)| (key.to_owned(), text.into())).into_iter().collect();
    let width = classifier.width()?;
    let mut file = Growing::open(&args.to, data.labels(), width, metadata)?;
    let before = file.done();
    data.keep(&mut (before..names.len()).collect::<Vec<_>>());
    let (stop, bar, mut unread) = (signals()?, Counter::new(names.len() - before), 0);
    let left_out =
        |rows: usize| Tensor::f_full([rows as i64, width as i64], f64::NAN, (Kind::Float, tch::Device::Cpu));
    let mut skipped = |picture: Skipped| {
        bar.suspend(|| eprintln!("{}: {}; its row is NaN", picture.name, picture.reason));
        unread += 1;
    };
    let result = if before == names.len() {
        Ok(())
    } else {
        classifier.features(data, args.batch_size, &mut skipped, &mut |places, rows| {
            for (i, &place) in (0..).zip(places) {
                let gap = (before + place).saturating_sub(file.done());
                file.add(&left_out(gap)?)?;
                file.add(&rows.f_narrow(0, i, 1)?)?;
                bar.step();
            }
            if stop.load(Ordering::Relaxed) {
                bail!(Interrupted("interrupted; run the same command again to go on".into()));
            }
            Ok(())
        })
    };
    bar.finish();
    result?;
    file.add(&left_out(names.len() - file.done())?)?;
    file.finish()?;
    let not_read = if unread > 0 { format!(", {unread} could not be read") } else { String::new() };
    print(format_args!("{}: features [{}, {width}]{not_read}", args.to.display(), names.len()))
}
