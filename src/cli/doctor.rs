//! `tchvision doctor`: what this program stands on, what is wrong and how to mend it.

use super::{print, print_json};
use anyhow::{Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;
use tchvision::machine;
use tchvision::torch::{self, device};

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    tchvision: &'static str,
    libtorch_built: String,
    libtorch_loaded: String,
    libtorch_path: &'static str,
    loaded_libraries: Vec<String>,
    cpu: String,
    cpu_capability: String,
    cores: usize,
    threads: i32,
    nvidia_driver: bool,
    cuda_libraries: bool,
    gpus: usize,
    cards: Vec<String>,
    default_device: String,
    problems: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let report = examine();
    if args.json {
        print_json(&report)?;
    } else {
        print(text(&report))?;
    }
    match report.problems.len() {
        0 => Ok(()),
        n => bail!("{n} problem(s); the lines above say how to mend them"),
    }
}

/// How a checkout gets the half of libtorch that a CPU does without.
const FETCH_CUDA: &str = "`make cuda` fetches them";

fn examine() -> Report {
    let mut problems = Vec::new();
    // Before any other question to libtorch: see `torch::device`.
    let nvidia_driver = device::has_driver();
    let cuda_libraries = device::has_cuda_libraries();
    let mut cards = Vec::new();
    if nvidia_driver && !cuda_libraries {
        problems.push(format!(
            "NVIDIA's driver is installed, but not the libraries that libtorch needs on a GPU: {FETCH_CUDA}"
        ));
    } else if nvidia_driver {
        match device::cuda_count() {
            Ok(0) => problems.push(
                "NVIDIA's driver is installed but libtorch sees no GPU: look at `nvidia-smi`, and at \
                 CUDA_VISIBLE_DEVICES; the driver may be too old for this libtorch"
                    .to_owned(),
            ),
            Ok(n) => {
                let card =
                    |gpu| device::card(gpu).map_or_else(|error| format!("{error:#}"), |card| card.name);
                cards = (0..n).map(card).collect();
            }
            Err(error) => problems.push(format!("the GPU cannot be used: {error:#}")),
        }
    }
    let (libtorch_built, libtorch_loaded) = (torch::version(), loaded_version());
    if libtorch_built != libtorch_loaded {
        problems.push(format!(
            "built against libtorch {libtorch_built}, running on {libtorch_loaded}: rebuild with \
             `cargo clean -p torch-sys -p tchvision && make build`"
        ));
    }
    let cores = machine::cores();
    let threads = tch::get_num_threads();
    if usize::try_from(threads).is_ok_and(|threads| threads > cores) {
        problems.push(format!("{threads} threads on {cores} cores: lower OMP_NUM_THREADS, or unset it"));
    }
    let default_device = device::resolve("auto").map_or_else(|e| format!("{e:#}"), |d| format!("{d:?}"));
    Report {
        tchvision: env!("CARGO_PKG_VERSION"),
        libtorch_built,
        libtorch_loaded,
        libtorch_path: device::LIBTORCH,
        loaded_libraries: loaded_libraries(),
        cpu: tchvision::machine::cpu(),
        cpu_capability: torch::cpu_capability(),
        cores,
        threads,
        nvidia_driver,
        cuda_libraries,
        gpus: cards.len(),
        cards,
        default_device,
        problems,
    }
}

/// The version that the loaded library says of itself; the one built against comes from its headers.
fn loaded_version() -> String {
    let config = torch::show_config();
    let version = config.split("TORCH_VERSION=").nth(1).and_then(|rest| rest.split([',', '\n']).next());
    version.unwrap_or("unknown").trim().to_owned()
}

/// The parts of libtorch that this process has mapped.
fn loaded_libraries() -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let names = paths.filter_map(|path| Path::new(path).file_name()?.to_str());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("libtorch") || name.starts_with("libc10"))
        .map(Into::into)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn text(report: &Report) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut out = format!(
        "tchvision   {}\n\
         libtorch    {} (built against {})\n\
         linked from {}\n\
         loaded      {}\n\
         CPU         {}, {} cores, kernels {}\n\
         threads     {}\n\
         GPU         driver: {}, CUDA libraries: {}{}, visible: {}\n\
         device      {}\n",
        report.tchvision,
        report.libtorch_loaded,
        report.libtorch_built,
        report.libtorch_path,
        report.loaded_libraries.join(", "),
        report.cpu,
        report.cores,
        report.cpu_capability,
        report.threads,
        yes(report.nvidia_driver),
        yes(report.cuda_libraries),
        if report.cuda_libraries { String::new() } else { format!(" ({FETCH_CUDA})") },
        if report.cards.is_empty() { "none".to_owned() } else { report.cards.join(", ") },
        report.default_device,
    );
    match report.problems.as_slice() {
        [] => out += "no problem found",
        problems => out += &problems.iter().map(|p| format!("problem: {p}")).collect::<Vec<_>>().join("\n"),
    }
    out
}
