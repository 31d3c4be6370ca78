//! Serves one frozen model from several threads: each classifies pictures as they come, as the workers of a server do.
//!
//! ```console
//! $ cargo run --release --example serve -- resnet50 4 10        # a name, threads, seconds; random weights
//! ```
//!
//! Prints images per second, the latency of a request, and the memory: of one model that all threads share, and of a copy
//! for each.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};
use tchvision::models::{Frozen, ModelSpec};
use tchvision::nn::Store;
use tchvision::torch;

fn main() -> Result<()> {
    torch::keep_allocations();
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "resnet18".to_owned());
    let threads: usize = args.next().map_or(Ok(4), |text| text.parse()).context("threads")?;
    let seconds: u64 = args.next().map_or(Ok(2), |text| text.parse()).context("seconds")?;
    // One thread a request: with as many requests as cores nothing is gained by more.
    tch::set_num_threads(1);
    let before = resident()?;
    let shared = frozen(&name)?;
    let freed = shared.drop_floats()?;
    let copies = vec![shared; threads];
    report("shared", &copies, seconds)?;
    println!("  {} MB, {} MB of floats freed", (resident()? - before) >> 20, freed >> 20);
    drop(copies);
    let copies = (0..threads).map(|_| frozen(&name)).collect::<Result<Vec<_>>>()?;
    report("a copy each", &copies, seconds)
}

/// The model with random weights, ready for one picture at a time.
fn frozen(name: &str) -> Result<Frozen> {
    let store = Store::new(Device::Cpu);
    let architecture = ModelSpec::new(name).resolve()?;
    let [channels, height, width] = architecture.input();
    let frozen = Frozen::new(architecture.build(&store)?, &store, Kind::Float);
    frozen.prepare(&[[1, channels, height, width]])?;
    Ok(frozen)
}

/// Each thread asks its model again and again.
fn report(what: &str, models: &[Frozen], seconds: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut waits = std::thread::scope(|scope| {
        let worker = |model: Frozen| {
            move || -> Result<Vec<Duration>> {
                tch::set_num_threads(1);
                let picture = Tensor::f_rand([1, 3, 224, 224], (Kind::Float, Device::Cpu))?;
                let mut waits = Vec::new();
                while Instant::now() < end {
                    let start = Instant::now();
                    let _logits = model.forward(&picture)?;
                    waits.push(start.elapsed());
                }
                Ok(waits)
            }
        };
        let workers: Vec<_> = models.iter().map(|model| scope.spawn(worker(model.clone()))).collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Ok(Vec::new())));
        joined.collect::<Result<Vec<_>>>()
    })?
    .concat();
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
    let rate = waits.len() as f64 / seconds as f64;
    println!("{what}: {rate:.1} images/s, p50 {:.0?}, p99 {:.0?}", at(0.5), at(0.99));
    Ok(())
}

/// Bytes of memory that the process has now.
fn resident() -> Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).context("statm")?.parse::<u64>()?;
    Ok(pages * 4096)
}
