//! `tchvision bench infer` and `bench train`: one step of ours beside other libraries'.
//!
//! Every contestant is a process of its own that is kept warm; they take turns, in reversed order every round, so that
//! a slow minute of the machine hits all of them.

use super::contest::{Contest, product_side};
use super::peer::Peer;
use super::report::{Report, Row, taking_part};
use super::work::{CANDLE, Other, Work};
use crate::cli::{Dtype, print, print_json, resolve_device, table};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::Device;
use tchvision::Usage;
use tchvision::machine;
use tchvision::models::{ModelSpec, find};
use tchvision::torch::{self, device};

const PEERS: &str = include_str!("../../../benches/peers.py");

/// Settings of glibc's allocator that equal ours.
const TUNED: &str = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=18446744073709551615:\
                     glibc.malloc.top_pad=268435456";

#[derive(clap::Args)]
pub struct Args {
    /// Models to time, as often as wanted; those of benches/RESULTS.md where none is named
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Images of a step, as often as wanted
    #[arg(long = "batch", value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    batches: Vec<i64>,
    /// Where none is named, bfloat16 on a GPU; else float32, and bfloat16 if the processor computes in it
    #[arg(long)]
    dtype: Option<Dtype>,
    /// `cpu`, `cuda` or `cuda:N`; on a GPU the others are PyTorch's
    #[arg(long, default_value = "cpu")]
    device: String,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Turns of every contestant
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Contestants beside ours; all that are installed where none is named
    #[arg(long, value_delimiter = ',', value_name = "PEER,…")]
    peers: Vec<String>,
    /// A Python with torch, torchvision and timm
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    /// What is built of benches/candle
    #[arg(long, default_value = "benches/candle/target/release/tchvision-candle")]
    candle: PathBuf,
    #[arg(long)]
    json: bool,
    /// Be a contestant, with the first model, batch and dtype
    #[arg(long, hide = true)]
    contest: Option<Own>,
}

/// The contestants of this program itself.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Own {
    Step,
    Product,
}

pub fn run(work: Work, args: &Args) -> Result<()> {
    // Before anything else asks libtorch about CUDA.
    let device = resolve_device(&args.device)?;
    let pairs = pairs(work, device.is_cuda(), args)?;
    let dtypes = dtypes(device, args.dtype);
    if let Some(own) = args.contest {
        let (model, batch) = (&pairs[0].0, pairs[0].1);
        let contest =
            Contest { work, model, batch, dtype: dtypes[0], device, threads: args.threads as usize };
        return match own {
            Own::Step => contest.run(),
            Own::Product => contest.run_product(),
        };
    }
    let known: Vec<_> = work.others(device.is_cuda()).map(|other| other.name).collect();
    for peer in &args.peers {
        if !known.contains(&peer.as_str()) {
            let (place, known) = (device::name(device), known.join(", "));
            return Err(Usage(format!("--peers {peer}: the contestants on {place} are {known}")).into());
        }
    }
    let gpu = match device {
        Device::Cuda(index) => Some(device::card(index)?.name),
        _ => None,
    };
    let mut report = Report {
        machine: format!("{}, libtorch {} ({})", machine::cpu(), torch::version(), torch::cpu_capability()),
        threads: args.threads,
        bfloat16: gpu.is_some() || torch::computes_in_bfloat16(),
        gpu,
        versions: BTreeMap::new(),
        rows: Vec::new(),
    };
    for dtype in dtypes {
        for (model, batch) in &pairs {
            let (row, versions) = compare(work, model, *batch, dtype, device, args)?;
            report.rows.push(row);
            report.versions.extend(versions);
        }
    }
    if args.json { print_json(&report) } else { show(work, &report) }
}

fn show(work: Work, report: &Report) -> Result<()> {
    let others = taking_part(work, &report.rows.iter().collect::<Vec<_>>());
    let names: Vec<_> = others.into_iter().map(|other| other.name).collect();
    let titles = ["model", "batch", "dtype", "tchvision"].into_iter().chain(names.iter().copied());
    let mut out = table(&titles.chain(["floor"]).collect::<Vec<_>>());
    for row in &report.rows {
        let dtype = row.dtype.name().to_owned();
        out.add_row([row.model.clone(), row.batch.to_string(), dtype].into_iter().chain(row.cells(&names)));
    }
    print(out)?;
    print(format_args!(
        "{}, {} threads; in brackets our time over theirs, below 1 is faster",
        report.place(),
        report.threads
    ))
}

fn pairs(work: Work, gpu: bool, args: &Args) -> Result<Vec<(String, i64)>> {
    let full = |name: &str| Ok::<_, anyhow::Error>(find(name)?.name.clone());
    if args.models.is_empty() {
        let wanted = |batch: &i64| args.batches.is_empty() || args.batches.contains(batch);
        let pairs = work.defaults(gpu).into_iter().filter(|(_, batch)| wanted(batch));
        return pairs.map(|(model, batch)| Ok((full(model)?, batch))).collect();
    }
    let batches = if args.batches.is_empty() { &[1][..] } else { &args.batches };
    let pairs = args.models.iter().flat_map(|model| batches.iter().map(move |batch| (model, *batch)));
    pairs.map(|(model, batch)| Ok((full(model)?, batch))).collect()
}

fn dtypes(device: Device, named: Option<Dtype>) -> Vec<Dtype> {
    match named {
        Some(dtype) => vec![dtype],
        None if device.is_cuda() => vec![Dtype::Bfloat16],
        None if torch::computes_in_bfloat16() => vec![Dtype::Float32, Dtype::Bfloat16],
        None => vec![Dtype::Float32],
    }
}

/// The medians of every contestant, and the versions of their libraries.
fn compare(
    work: Work,
    model: &str,
    batch: i64,
    dtype: Dtype,
    device: Device,
    args: &Args,
) -> Result<(Row, BTreeMap<String, String>)> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("peers.py");
    std::fs::write(&script, PEERS)?;
    let (size, threads) = (batch.to_string(), args.threads.to_string());
    let architecture = ModelSpec::new(model).resolve()?;
    let input = architecture.input();
    let [_, height, width] = input.map(|side| side.to_string());
    let (place, gpu) = (device::name(device), device.is_cuda());

    let own = |contest: &str| -> Result<Command> {
        let mut own = Command::new(std::env::current_exe()?);
        own.args(["bench", work.name(), "--contest", contest, "--model", model, "--batch", &size]);
        own.args(["--dtype", dtype.name(), "--device", &place, "--threads", &threads]);
        Ok(own)
    };
    let title = format!("{model}, batch {batch}, {} on {place}", dtype.name());
    eprintln!("{title}: tchvision");
    let mut contestants = vec![Peer::start("tchvision", own("step")?)?];
    if work == Work::Infer {
        contestants.push(Peer::start("floor", own("product")?)?);
    }
    for Other { name, .. } in work.others(gpu) {
        if !args.peers.is_empty() && !args.peers.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("{title}: {name}");
        let start = || {
            let mut command = program(name, &script, args)?;
            command.args([work.name(), name, model, &size, &height, &width, dtype.name(), &threads, &place]);
            command.env("OMP_NUM_THREADS", &threads).env("RAYON_NUM_THREADS", &threads);
            if *name == "eager_tuned" {
                command.env("GLIBC_TUNABLES", TUNED);
            }
            Peer::start(name, command)
        };
        match start() {
            Ok(peer) => contestants.push(peer),
            Err(error) => eprintln!("left out: {error:#}"),
        }
    }
    for _ in 0..args.rounds {
        contestants.retain_mut(|contestant| {
            contestant.run().inspect_err(|error| eprintln!("left out: {error:#}")).is_ok()
        });
        contestants.reverse();
    }
    let mut median_ms: BTreeMap<_, _> =
        contestants.iter().map(|contestant| (contestant.name.clone(), contestant.median())).collect();
    ensure!(median_ms.contains_key("tchvision"), "{title}: our own step failed");
    let product_macs = (product_side(gpu) as f64).powi(3);
    let products = architecture.complexity(input)?.macs as f64 * batch as f64 / product_macs;
    let floor_ms = median_ms.remove("floor").map(|product_ms| product_ms * products);
    let versions = contestants.into_iter().flat_map(|contestant| contestant.versions.clone()).collect();
    Ok((Row { work, model: model.to_owned(), batch, dtype, median_ms, floor_ms }, versions))
}

/// Where the contestant `name` is at home.
fn program(name: &str, script: &Path, args: &Args) -> Result<Command> {
    if name == CANDLE {
        ensure!(
            args.candle.exists(),
            "candle: {} is not there; RUSTFLAGS=-Ctarget-cpu=native cargo build --release --manifest-path \
             benches/candle/Cargo.toml builds it",
            args.candle.display()
        );
        return Ok(Command::new(&args.candle));
    }
    let mut python = Command::new(&args.python);
    python.arg(script);
    Ok(python)
}
