//! The verbs of the command line, and what they share: output, exit codes.

pub mod bench;
pub mod classify;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod experiment;
pub mod explain;
pub mod features;
pub mod fields;
pub mod header;
pub mod models;
pub mod network;
pub mod predictions;
pub mod preprocess;
pub mod progress;
pub mod recipe;
pub mod rows;
pub mod train;
pub mod weights;

use anyhow::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2};
use signal_hook::flag;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind};
use tchvision::torch::device;
use tchvision::weights::Mismatch;
use tchvision::yaml::ConfigError;
use tchvision::{Interrupted, Remedy, Usage, brief};

/// The exit code that asks to run the same command again to go on.
const TRY_AGAIN: u8 = 75;

/// Ends the process with the exit code of the contract, the error printed on stderr; `verbose` with all of what it cuts
/// short.
///
/// What libtorch would take down at its end, operator by operator, goes with the process: for a short command that is a
/// tenth of the time.
pub fn exit(outcome: Result<()>, verbose: bool) -> ! {
    if verbose
        && let Some(Mismatch { differences, .. }) = outcome.as_ref().err().and_then(Error::downcast_ref)
    {
        eprintln!("{}", differences.all());
    }
    let code = code(outcome);
    // A reader that left is no error.
    let _ = io::stdout().flush();
    // SAFETY: nothing of ours waits for the end of the process; files are written and temporary ones removed before.
    unsafe { libc::_exit(code.into()) }
}

/// A reader of stdout that stopped reading (`| head`) is no error.
fn code(outcome: Result<()>) -> u8 {
    let Err(error) = outcome else { return 0 };
    let broken_pipe = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken_pipe)) {
        return 0;
    }
    if error.is::<Interrupted>() {
        eprintln!("{error}");
        return TRY_AGAIN;
    }
    eprintln!("error: {}{}", brief(&error), error.downcast_ref().map_or(String::new(), flag));
    if error.is::<Usage>() || error.is::<ConfigError>() { 2 } else { 1 }
}

/// The flag by which what mends an error is chosen.
fn flag(remedy: &Remedy) -> String {
    match remedy {
        Remedy::RunDirectory => " (--out DIR)".to_owned(),
        Remedy::Extend(key, value) => format!(" (--extend {key}={value}, or --out DIR)"),
        Remedy::Trial(_) => " (--only TRIAL)".to_owned(),
        Remedy::DataFolder => " (--from DIR)".to_owned(),
        Remedy::WeightsFile => " (--weights FILE)".to_owned(),
        Remedy::Map => " (weights map FILE --model NAME --to MAP.yaml, then --map MAP.yaml)".to_owned(),
        Remedy::Key => " (--key KEY)".to_owned(),
        Remedy::Prefix => " (--prefix PREFIX)".to_owned(),
        Remedy::Model => " (--model NAME)".to_owned(),
        Remedy::Classes(Some(classes)) => format!(" (with --set num_classes={classes})"),
        Remedy::Classes(None) => " (--set num_classes=N)".to_owned(),
    }
}

/// The fields and values that `--set FIELD=VALUE` spells.
pub fn assignments(texts: &[String]) -> Result<Vec<(&str, &str)>> {
    let pairs = texts.iter().map(|text| {
        let wrong = || Usage(format!("--set {text}: write FIELD=VALUE, such as --set num_classes=10"));
        Ok(text.split_once('=').ok_or_else(wrong)?)
    });
    pairs.collect()
}

/// In which numbers convolutions and matrix products compute.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    Float32,
    Bfloat16,
}

impl Dtype {
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float32 => "float32",
            Dtype::Bfloat16 => "bfloat16",
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Dtype::Float32 => Kind::Float,
            Dtype::Bfloat16 => Kind::BFloat16,
        }
    }
}

/// What `--device` means; one that is not there is wrong usage.
pub fn resolve_device(name: &str) -> Result<Device> {
    device::resolve(name).map_err(|error| Usage(format!("--device: {error:#}")).into())
}

/// Writes a result to stdout.
pub fn print(text: impl std::fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes a part of a result to stdout.
pub fn print_part(text: impl std::fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes one JSON document to stdout.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// An empty table with these column titles.
pub fn table(titles: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY).set_header(titles.to_vec());
    table
}

/// A flag that Ctrl-C or a termination signal raises; a second one ends the program at once. USR2 raises it too: a
/// cluster's notice before a time limit, which TERM may follow while the run saves.
pub fn signals() -> Result<Arc<AtomicBool>> {
    let [stop, asked] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, the second finds it raised.
        flag::register_conditional_shutdown(signal, TRY_AGAIN.into(), Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    flag::register(SIGUSR2, Arc::clone(&stop))?;
    Ok(stop)
}
