//! `tchvision bench weights`.
//!
//! Each reader runs in a process of its own, so that its peak of memory is its own, on files that were just written and
//! are in memory therefore: what is compared is the readers, not the disk.

use super::turn::{OWN, median, output, turn};
use crate::cli::{print, print_json, table};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tch::{Device, Tensor};
use tchvision::torch::peak_resident_bytes;
use tchvision::weights::{self, StateFile};

const PEER: &str = include_str!("../../../benches/weights.py");

#[derive(clap::Args)]
pub struct Args {
    /// Size of the files
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// A Python with torch and safetensors
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    #[arg(long)]
    json: bool,
    /// Time this file alone, in this process
    #[arg(long, hide = true)]
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub format: String,
    pub bytes: u64,
    pub median_ms: BTreeMap<String, f64>,
    pub peak_bytes: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct Timing {
    median_ms: f64,
    peak_bytes: u64,
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(file) = &args.file {
        return print_json(&time(file, args.repeats)?);
    }
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("weights.py");
    std::fs::write(&script, PEER)?;
    let python = |arguments: &[&str]| {
        let mut command = Command::new(&args.python);
        command.arg(&script).args(arguments);
        command
    };
    let (place, megabytes) = (folder.path().to_string_lossy(), args.megabytes.to_string());
    eprintln!("writing two files of {megabytes} MB");
    output(&mut python(&["write", &place, &megabytes]))
        .context("bench weights needs a Python with torch and safetensors: name it with --python")?;

    let repeats = args.repeats.to_string();
    let mut rows = Vec::new();
    for (format, name) in [("safetensors", "model.safetensors"), ("torch", "model.pth")] {
        let path = folder.path().join(name);
        let file = path.to_string_lossy();
        let mut own = Command::new(std::env::current_exe()?);
        own.args(["bench", "weights", "--file", &file, "--repeats", &repeats]);
        let mut readers = vec![(OWN, own), ("python", python(&["time", &file, "false", &repeats]))];
        if format == "torch" {
            readers.push(("python_mmap", python(&["time", &file, "true", &repeats])));
        }
        let bytes = path.metadata()?.len();
        let (median_ms, peak_bytes) = (BTreeMap::new(), BTreeMap::new());
        let mut row = Row { format: format.to_owned(), bytes, median_ms, peak_bytes };
        eprintln!("{format}:");
        turn(&mut readers, |reader, timing: Timing, _| {
            row.median_ms.insert(reader.to_owned(), timing.median_ms);
            row.peak_bytes.insert(reader.to_owned(), timing.peak_bytes);
        })?;
        rows.push(row);
    }
    if args.json {
        return print_json(&Report { rows });
    }
    let mut out = table(&["format", "reader", "median", "peak memory"]);
    for row in rows {
        for (reader, ms) in &row.median_ms {
            let peak = row.peak_bytes.get(reader).copied().unwrap_or_default() / 1_000_000;
            out.add_row([row.format.clone(), reader.clone(), format!("{ms:.1} ms"), format!("{peak} MB")]);
        }
    }
    print(out)
}

/// From the file to the values in tensors that a model already has.
fn time(path: &Path, repeats: u64) -> Result<Timing> {
    let file = StateFile::open(path)?;
    let mut model = Vec::new();
    for info in file.tensors() {
        let tensor = Tensor::f_zeros(info.shape.as_slice(), (info.kind, Device::Cpu))?;
        model.push((info.name.clone(), tensor));
    }
    drop(file);
    let mut times = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        weights::load(&StateFile::open(path)?.state_dict()?, &model)?;
        times.push(1000.0 * start.elapsed().as_secs_f64());
    }
    let median_ms = median(times);
    Ok(Timing { median_ms, peak_bytes: peak_resident_bytes() })
}
