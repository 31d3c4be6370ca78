//! `tchvision bench startup`: from the start of a process to the logits of one image, weights from a file.

use super::turn::{OWN, median, turn};
use crate::cli::{print, print_json, table};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::{Device, Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::torch::peak_resident_bytes;
use tchvision::weights::{self, Archive, Classes, pretrained};

const PEER: &str = include_str!("../../../benches/startup.py");
const MODEL: &str = "timm/resnet50";

#[derive(clap::Args)]
pub struct Args {
    /// Starts of each program; they take turns
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// A Python with torch and timm
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    #[arg(long)]
    json: bool,
    /// Be the program that starts, with weights from this file
    #[arg(long, hide = true)]
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub model: String,
    pub threads: u64,
    pub median_ms: BTreeMap<String, f64>,
    pub peak_bytes: BTreeMap<String, u64>,
}

/// What a program prints when it has its logits.
#[derive(Serialize, Deserialize)]
struct Started {
    peak_bytes: u64,
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(file) = &args.file {
        return start(file);
    }
    let folder = tempfile::tempdir()?;
    let (script, file) = (folder.path().join("startup.py"), folder.path().join("model.safetensors"));
    std::fs::write(&script, PEER)?;
    let store = Store::new(Device::Cpu);
    ModelSpec::new(MODEL).resolve()?.build(&store)?;
    weights::save(&file, &store.state_dict(), HashMap::new())?;
    drop(store);

    let mut own = Command::new(std::env::current_exe()?);
    own.args(["bench", "startup", "--file"]).arg(&file);
    let mut peer = Command::new(&args.python);
    peer.arg(&script).arg(&file);
    let mut programs = vec![(OWN, own), ("timm", peer)];
    for (_, program) in &mut programs {
        program.env("OMP_NUM_THREADS", args.threads.to_string());
    }
    let (mut times, mut peak_bytes) = (BTreeMap::<_, Vec<f64>>::new(), BTreeMap::new());
    for repeat in 0..=args.repeats {
        turn(&mut programs, |name, started: Started, ms| {
            // The first start reads the program from the disk.
            if repeat > 0 {
                times.entry(name.to_owned()).or_default().push(ms);
                peak_bytes.insert(name.to_owned(), started.peak_bytes);
            }
        })?;
    }
    let median_ms = times.into_iter().map(|(name, times)| (name, median(times))).collect();
    let report = Report { model: MODEL.to_owned(), threads: args.threads, median_ms, peak_bytes };
    if args.json {
        return print_json(&report);
    }
    let mut out = table(&["program", "first logits", "peak memory"]);
    for (name, ms) in &report.median_ms {
        let peak = report.peak_bytes.get(name).copied().unwrap_or_default() / 1_000_000;
        out.add_row([name.clone(), format!("{ms:.0} ms"), format!("{peak} MB")]);
    }
    print(out)
}

/// What is timed: what `classify` does with one (black) picture, for which it does not freeze the network.
fn start(file: &Path) -> Result<()> {
    let network =
        pretrained(&ModelSpec::new(MODEL), &Archive::open(file)?.choose(None)?, Classes::New, Device::Cpu)?;
    let _no_grad = tch::no_grad_guard();
    let logits =
        network.model.forward(&Tensor::f_zeros([1, 3, 224, 224], (Kind::Float, Device::Cpu))?, false)?;
    ensure!(logits.size() == [1, 1000], "logits of {:?}", logits.size());
    print(serde_json::to_string(&Started { peak_bytes: peak_resident_bytes() })?)
}
