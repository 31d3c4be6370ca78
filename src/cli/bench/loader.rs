//! `tchvision bench loader`.
//!
//! Each loader runs in a process of its own, held to as many cores as it has threads, over files that are in memory:
//! what is compared is the work on a core, not the disk. All of them crop, flip and normalise at random in batches.

use super::turn::{OWN, output, turn};
use crate::cli::{print, print_json, table};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use tch::Device;
use tchvision::data::augment::{Augment, RandomResizedCrop};
use tchvision::data::{DataConfig, Draw, ImageFiles, Loaded, Loader, LoaderConfig, image, open_files};

const PEER: &str = include_str!("../../../benches/loader.py");
const BATCH: usize = 64;
/// How often each loader has its turn, so that a busy moment of the machine strikes no one alone.
const TURNS: usize = 2;
/// Our decoding alone, by the name in the report.
const DECODING: &str = "decode_only";
/// The columns of [`Report::rows`].
pub const TITLES: [&str; 3] = ["loader", "images/s", "tchvision is"];

#[derive(clap::Args)]
pub struct Args {
    /// Pictures of 500×375 that are written for it
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(64..))]
    images: u64,
    /// Cores, and threads of a loader
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Epochs in each of two turns; the fastest of all counts
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// A folder of your own with JPEG files: train/CLASS and val/CLASS
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A Python with torch, torchvision and Pillow
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    #[arg(long)]
    json: bool,
    /// Time this one alone, in this process
    #[arg(long, hide = true, requires = "folder")]
    only: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub images_per_second: BTreeMap<String, f64>,
    pub threads: u64,
}

impl Report {
    /// Each loader with its rate and how many times as fast ours is: whole loaders beside ours, decoders beside our
    /// decoding alone.
    pub fn rows(&self) -> Vec<[String; 3]> {
        let rate = |name: &str| self.images_per_second.get(name).copied().unwrap_or(f64::NAN);
        let row = |(name, their_rate): (&String, &f64)| {
            let own = if name.ends_with("decode") { DECODING } else { OWN };
            let times = if name == own { String::new() } else { format!("{:.2}×", rate(own) / their_rate) };
            [name.clone(), format!("{their_rate:.0}"), times]
        };
        self.images_per_second.iter().map(row).collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Timing {
    images_per_second: f64,
}

pub fn run(args: &Args) -> Result<()> {
    if let (Some(only), Some(folder)) = (&args.only, &args.folder) {
        let images_per_second = match only.as_str() {
            "tchvision" => time_loader(folder, args)?,
            DECODING => time_decoding(folder, args)?,
            _ => bail!("there is no loader `{only}`"),
        };
        return print_json(&Timing { images_per_second });
    }
    let scratch = tempfile::tempdir()?;
    let script = scratch.path().join("loader.py");
    std::fs::write(&script, PEER)?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => {
            eprintln!("writing {} pictures", args.images);
            let mut write = Command::new(&args.python);
            write.arg(&script).arg("write").arg(scratch.path()).arg(args.images.to_string());
            output(&mut write)
                .context("bench loader needs a Python with torch and torchvision: name it with --python")?;
            scratch.path().to_owned()
        }
    };

    let (threads, repeats) = (args.threads.to_string(), args.repeats.to_string());
    let mut report = Report { images_per_second: BTreeMap::new(), threads: args.threads };
    let contestant = |reader: &'static str| -> Result<(&'static str, Command)> {
        let is_peer = reader.starts_with("torchvision");
        let mut command =
            held(args.threads, if is_peer { args.python.clone() } else { std::env::current_exe()? });
        if is_peer {
            command.arg(&script).args(["time", reader]).arg(&folder);
            command.args([&threads, &BATCH.to_string(), &repeats]);
        } else {
            command.args(["bench", "loader", "--only", reader, "--threads", &threads, "--repeats", &repeats]);
            command.arg("--folder").arg(&folder);
        }
        Ok((reader, command))
    };
    let readers = [OWN, DECODING, "torchvision_pil", "torchvision_v2", "torchvision_decode"];
    let mut contestants = readers.into_iter().map(contestant).collect::<Result<Vec<_>>>()?;
    for _ in 0..TURNS {
        turn(&mut contestants, |reader, timing: Timing, _| {
            let best = report.images_per_second.entry(reader.to_owned()).or_default();
            *best = best.max(timing.images_per_second);
        })?;
    }
    if args.json {
        return print_json(&report);
    }
    let mut out = table(&TITLES);
    out.add_rows(report.rows());
    print(out)
}

/// A program that is held to so many cores, where the system has `taskset`.
fn held(threads: u64, program: PathBuf) -> Command {
    let cores = format!("0-{}", threads - 1);
    let works = Command::new("taskset").args(["-c", &cores, "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &cores]).arg(program);
    command
}

/// Images per second of the fastest of some rounds, after a first one.
fn fastest(repeats: u64, mut round: impl FnMut(u64) -> Result<usize>) -> Result<f64> {
    let mut best = 0.0;
    for number in 0..=repeats {
        let start = Instant::now();
        let images = round(number)?;
        if number > 0 {
            best = f64::max(best, images as f64 / start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

fn time_loader(folder: &Path, args: &Args) -> Result<f64> {
    tchvision::torch::device::set_threads(1)?;
    let data = format!("dataset: {:?}\nimage_size: 224\n", format!("folder:{}", folder.display()));
    let data: DataConfig = tchvision::yaml::parse(&data, "bench loader")?;
    let Loaded { train, statistics, .. } = data.load(0)?;
    let config = LoaderConfig {
        batch_size: BATCH,
        parts: 1,
        shuffle: true,
        draw: Draw::default(),
        augment: vec![Augment::RandomResizedCrop(RandomResizedCrop::default()), Augment::Flip],
        drop_last: false,
        seed: 0,
        preprocess: data.preprocess(&train, &statistics)?,
        fill: statistics.color(),
        workers: Some(args.threads as usize),
        pinned: false,
    };
    let loader = Loader::new(train, config)?;
    fastest(args.repeats, |epoch| {
        let mut images = 0;
        for batch in loader.epoch(epoch, 0) {
            images += batch?.input(&statistics, Device::Cpu)?.size()[0] as usize;
        }
        Ok(images)
    })
}

fn time_decoding(folder: &Path, args: &Args) -> Result<f64> {
    let name = format!("folder:{}", folder.display());
    let files = open_files(&name, folder)?.with_context(|| format!("{name}: no folder of pictures"))?.train;
    fastest(args.repeats, |_| decode_all(&files, args.threads))
}

/// Decodes every file, each thread the next one that is left.
fn decode_all(files: &ImageFiles, threads: u64) -> Result<usize> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= files.len() {
                return Ok(());
            }
            let decode = || image::decode(&files.read(index)?);
            std::hint::black_box(decode().with_context(|| files.title(index))?);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a thread that decodes ended"),
        })
    })?;
    Ok(files.len())
}
