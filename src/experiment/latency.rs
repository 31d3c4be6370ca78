//! How long a variant's network takes for one image, measured.

use super::plan::Plan;
use super::trial::Trial;
use crate::nn::Store;
use crate::statistics::median;
use crate::torch::{self, device};
use crate::train::RunConfig;
use crate::{atomic, machine};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;
use tch::{Kind, Tensor};

/// Where the times are kept in the experiment's directory.
const FILE: &str = "latency.json";
/// Rounds over all variants; the median is taken.
const ROUNDS: usize = 9;
/// What one round takes of a variant at least, in seconds.
const LEAST: f64 = 0.02;

/// Milliseconds of one image (batch 1) through the frozen network, in float32, by the IDs of the variants' first trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Latencies {
    machine: String,
    device: String,
    threads: usize,
    pub median_ms: BTreeMap<String, f64>,
}

impl Latencies {
    /// Those that have been measured in `dir`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{}: remove it", path.display()))
    }
}

/// Times the variants of a plan, in turns, and keeps the times in `dir`; nothing is done where all are there that were taken
/// on this machine. Weights do not matter to it, so that it needs no trial.
///
/// # Errors
/// A device that is not there, or a model that cannot be built.
pub fn measure_latency(plan: &Plan, dir: &Path) -> Result<()> {
    let firsts: Vec<&Trial> =
        plan.trials.chunk_by(|a, b| a.variant == b.variant).map(|seeds| &seeds[0]).collect();
    let Some(first) = firsts.first() else { return Ok(()) };
    let device = device::resolve(&first.config.device)?;
    device::set_up(device, false)?;
    let here = Latencies {
        machine: machine::cpu(),
        device: device::name(device),
        threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
        median_ms: BTreeMap::new(),
    };
    let there = Latencies::read(dir)?;
    let is_known = there.is_some_and(|there| {
        let same = Latencies { median_ms: BTreeMap::new(), ..there.clone() } == here;
        same && firsts.iter().all(|trial| there.median_ms.contains_key(&trial.id))
    });
    if is_known {
        return Ok(());
    }
    let _no_grad = tch::no_grad_guard();
    let mut steps = Vec::new();
    for trial in &firsts {
        let mut step = forward(&trial.config, device)?;
        step()?;
        let start = Instant::now();
        step()?;
        let count = (LEAST / start.elapsed().as_secs_f64().max(1e-6)).ceil().max(1.0);
        steps.push((step, count, Vec::with_capacity(ROUNDS)));
    }
    for _ in 0..ROUNDS {
        for (step, count, times) in &mut steps {
            let start = Instant::now();
            for _ in 0..*count as usize {
                step()?;
            }
            times.push(1000.0 * start.elapsed().as_secs_f64() / *count);
        }
    }
    let medians = firsts
        .iter()
        .zip(steps)
        .filter_map(|(trial, (_, _, times))| Some((trial.id.clone(), median(times)?)));
    let measured = Latencies { median_ms: medians.collect(), ..here };
    atomic::write(&dir.join(FILE), &serde_json::to_vec_pretty(&measured)?)
}

/// One image through the frozen network of a run.
fn forward(config: &RunConfig, device: tch::Device) -> Result<impl FnMut() -> Result<()> + use<>> {
    let (shape, classes) = config.data.shape()?;
    let store = Store::new(device);
    let net = config.architecture(shape, classes)?.build(&store)?;
    store.freeze(Kind::Float);
    let [c, h, w] = config.data.tested(shape)?;
    let x = torch::channels_last(&Tensor::f_rand([1, c, h, w], (Kind::Float, device))?)?;
    Ok(move || {
        let _kept = &store;
        let _logits = net.forward(&x, false)?;
        device::synchronize(device)
    })
}
