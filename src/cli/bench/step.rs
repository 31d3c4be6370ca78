//! `tchvision bench infer` and `bench train`: one step of ours beside other libraries'.
//!
//! Every contestant is a process of its own that is kept warm; they take turns, in reversed order every round, so that
//! a slow minute of the machine hits all of them.

use super::peer::Peer;
use crate::cli::{Dtype, print, print_json, table};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor};
use tchvision::machine;
use tchvision::models::{Model, ModelSpec, find};
use tchvision::nn::Store;
use tchvision::torch::{self, Autocast, device};
use tchvision::train::{Optimizer, TrainConfig};

const PEERS: &str = include_str!("../../../benches/peers.py");

/// Settings of glibc's allocator that equal ours.
const TUNED: &str = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=18446744073709551615:\
                     glibc.malloc.top_pad=268435456";

#[derive(clap::Args)]
pub struct Args {
    /// Models to time, as often as wanted; the set of the README where none is named
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Images of a step, as often as wanted
    #[arg(long = "batch", value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    batches: Vec<i64>,
    #[arg(long, default_value = "float32")]
    dtype: Dtype,
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
    #[arg(long)]
    json: bool,
    /// Be the contestant of this program: the first model and batch, N steps for every N on stdin
    #[arg(long, hide = true)]
    contest: bool,
}

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    Infer,
    Train,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Infer => "infer",
            Work::Train => "train",
        }
    }

    fn peers(self) -> &'static [&'static str] {
        match self {
            Work::Infer => &[
                "eager",
                "eager_channels_last",
                "eager_tuned",
                "compile",
                "torchscript",
                "onnxruntime",
                "openvino",
            ],
            Work::Train => &["eager", "eager_channels_last", "eager_tuned", "compile"],
        }
    }

    /// Models and batches that are timed where none is named.
    fn defaults(self) -> Vec<(&'static str, i64)> {
        match self {
            Work::Infer => {
                let models = [
                    "torchvision/resnet50",
                    "torchvision/resnext50_32x4d",
                    "torchvision/densenet121",
                    "timm/mobilenetv1_100",
                    "torchvision/mobilenet_v3_large",
                    "torchvision/efficientnet_b0",
                    "torchvision/vgg16",
                    "torchvision/vit_b_16",
                    "torchvision/swin_t",
                ];
                models.into_iter().flat_map(|model| [(model, 1), (model, 16)]).collect()
            }
            Work::Train => vec![
                ("paper/wrn_16_4", 128),
                ("paper/resnet20", 128),
                ("torchvision/resnet18", 16),
                ("timm/vit_tiny_patch16_224", 16),
            ],
        }
    }
}

#[derive(Serialize)]
struct Report {
    machine: String,
    threads: u64,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    work: Work,
    model: String,
    batch: i64,
    dtype: Dtype,
    median_ms: BTreeMap<String, f64>,
}

pub fn run(work: Work, args: &Args) -> Result<()> {
    let pairs = pairs(work, args)?;
    if args.contest {
        let (model, batch) = &pairs[0];
        return contest(work, model, *batch, args);
    }
    for peer in &args.peers {
        let known = work.peers();
        ensure!(known.contains(&peer.as_str()), "--peers {peer}: the contestants are {}", known.join(", "));
    }
    let machine = format!("{}, libtorch {} ({})", machine::cpu(), torch::version(), torch::cpu_capability());
    let mut rows = Vec::new();
    for (model, batch) in pairs {
        rows.push(Row {
            work,
            median_ms: compare(work, &model, batch, args)?,
            model,
            batch,
            dtype: args.dtype,
        });
    }
    let report = Report { machine, threads: args.threads, rows };
    if args.json {
        return print_json(&report);
    }
    let names: Vec<&str> = work
        .peers()
        .iter()
        .copied()
        .filter(|p| report.rows.iter().any(|r| r.median_ms.contains_key(*p)))
        .collect();
    let titles = ["model", "batch", "tchvision"].into_iter().chain(names.iter().copied());
    let mut out = table(&titles.collect::<Vec<_>>());
    for row in &report.rows {
        let own = row.median_ms.get("tchvision").copied().unwrap_or(f64::NAN);
        let mut cells = vec![row.model.clone(), row.batch.to_string(), format!("{own:.1} ms")];
        cells.extend(names.iter().map(|peer| match row.median_ms.get(*peer) {
            Some(ms) => format!("{ms:.1} ms ({:.2})", own / ms),
            None => String::new(),
        }));
        out.add_row(cells);
    }
    print(out)?;
    print(format_args!(
        "{}, {} threads, {}; in brackets our time over theirs, below 1 is faster",
        report.machine,
        report.threads,
        args.dtype.name()
    ))
}

fn pairs(work: Work, args: &Args) -> Result<Vec<(String, i64)>> {
    let full = |name: &str| Ok::<_, anyhow::Error>(find(name)?.name.clone());
    if args.models.is_empty() {
        let wanted = |batch: &i64| args.batches.is_empty() || args.batches.contains(batch);
        let pairs = work.defaults().into_iter().filter(|(_, batch)| wanted(batch));
        return pairs.map(|(model, batch)| Ok((full(model)?, batch))).collect();
    }
    let batches = if args.batches.is_empty() { &[1][..] } else { &args.batches };
    let pairs = args.models.iter().flat_map(|model| batches.iter().map(move |batch| (model, *batch)));
    pairs.map(|(model, batch)| Ok((full(model)?, batch))).collect()
}

/// The median milliseconds of every contestant.
fn compare(work: Work, model: &str, batch: i64, args: &Args) -> Result<BTreeMap<String, f64>> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("peers.py");
    std::fs::write(&script, PEERS)?;
    let (size, threads) = (batch.to_string(), args.threads.to_string());
    let [_, height, width] = ModelSpec::new(model).resolve()?.input();

    let mut own = Command::new(std::env::current_exe()?);
    own.args(["bench", work.name(), "--contest", "--model", model, "--batch", &size]);
    own.args(["--dtype", args.dtype.name(), "--threads", &threads]);
    eprintln!("{model}, batch {batch}: tchvision");
    let mut contestants = vec![Peer::start("tchvision", own)?];
    for peer in work.peers() {
        if !args.peers.is_empty() && !args.peers.iter().any(|wanted| wanted == peer) {
            continue;
        }
        eprintln!("{model}, batch {batch}: {peer}");
        let mut command = Command::new(&args.python);
        command.arg(&script).args([work.name(), peer, model, &size]);
        command.args([&height.to_string(), &width.to_string(), args.dtype.name(), &threads]);
        command.env("OMP_NUM_THREADS", &threads);
        if *peer == "eager_tuned" {
            command.env("GLIBC_TUNABLES", TUNED);
        }
        match Peer::start(peer, command) {
            Ok(peer) => contestants.push(peer),
            Err(error) => eprintln!("left out: {error:#}"),
        }
    }
    for round in 0..args.rounds {
        for turn in 0..contestants.len() {
            let index = if round % 2 == 0 { turn } else { contestants.len() - 1 - turn };
            contestants[index].run()?;
        }
    }
    Ok(contestants.iter().map(|peer| (peer.name.clone(), peer.median())).collect())
}

/// The other end of [`Peer`]: this program's own step.
fn contest(work: Work, model: &str, batch: i64, args: &Args) -> Result<()> {
    device::set_threads(args.threads as usize)?;
    let architecture = ModelSpec::new(model).resolve()?;
    let [channels, height, width] = architecture.input();
    tch::manual_seed(0);
    let store = Store::new(Device::Cpu);
    let net = architecture.build(&store)?;
    let x = Tensor::f_rand([batch, channels, height, width], (Kind::Float, Device::Cpu))?;
    let x = torch::channels_last(&x)?;
    let mut step: Box<dyn FnMut() -> Result<()>> = match work {
        Work::Infer => {
            store.freeze(args.dtype.kind());
            Box::new(move || {
                let _no_grad = tch::no_grad_guard();
                net.forward(&x, false).map(drop)
            })
        }
        Work::Train => Box::new(training(store, net, x, args.dtype)?),
    };
    for _ in 0..3 {
        step()?;
    }
    print("ready")?;
    for line in io::stdin().lock().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()? {
            let start = Instant::now();
            step()?;
            times.push(1000.0 * start.elapsed().as_secs_f64());
        }
        print(serde_json::to_string(&times)?)?;
    }
    Ok(())
}

/// One step of SGD, as the trainer takes it.
fn training(
    store: Store,
    net: Box<dyn Model>,
    x: Tensor,
    dtype: Dtype,
) -> Result<impl FnMut() -> Result<()>> {
    store.channels_last()?;
    let mut optimizer = Optimizer::new(&TrainConfig::default(), &store.parameters())?;
    let labels = Tensor::f_arange(x.size()[0], (Kind::Int64, Device::Cpu))?.f_remainder(10)?;
    Ok(move || {
        optimizer.zero_grad()?;
        let logits = {
            let _autocast = match dtype {
                Dtype::Float32 => None,
                Dtype::Bfloat16 => Some(Autocast::new(Device::Cpu, Kind::BFloat16)?),
            };
            net.forward(&x, true)?.f_to_kind(Kind::Float)?
        };
        logits.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0)?.f_backward()?;
        optimizer.step(0.01)
    })
}
