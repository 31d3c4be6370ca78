//! Our own ends of a [`super::peer::Peer`]: a step of this program, and the product that the floor is made of.

use super::peer::Ready;
use super::step::Work;
use crate::cli::{Dtype, print};
use anyhow::Result;
use std::io::{self, BufRead};
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor};
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::torch::{self, Autocast, Pointwise, device};
use tchvision::train::{Optimizer, TrainConfig};

/// Rows, columns and inner size of the matrix product that stands for what the machine can do.
const SIDE: i64 = 1024;

/// The multiply-adds of that product.
pub const PRODUCT_MACS: f64 = (SIDE * SIDE * SIDE) as f64;

/// What one step of a contestant is.
pub struct Contest<'a> {
    pub work: Work,
    pub model: &'a str,
    pub batch: i64,
    pub dtype: Dtype,
    pub threads: usize,
}

impl Contest<'_> {
    /// The model's step, N times for every N on stdin.
    pub fn run(&self) -> Result<()> {
        device::set_threads(self.threads)?;
        let architecture = ModelSpec::new(self.model).resolve()?;
        let [channels, height, width] = architecture.input();
        tch::manual_seed(0);
        let store = Store::new(Device::Cpu);
        let net = architecture.build(&store)?;
        let x = Tensor::f_rand([self.batch, channels, height, width], (Kind::Float, Device::Cpu))?;
        let x = torch::channels_last(&x)?;
        match self.work {
            Work::Infer => {
                store.freeze(self.dtype.kind());
                answer(|| {
                    let _no_grad = tch::no_grad_guard();
                    net.forward(&x, false).map(drop)
                })
            }
            Work::Train => answer(training(store, net, x, self.dtype)?),
        }
    }

    /// The matrix product, N times for every N on stdin.
    pub fn run_product(&self) -> Result<()> {
        device::set_threads(self.threads)?;
        let random = || Tensor::f_rand([SIDE, SIDE], (self.dtype.kind(), Device::Cpu));
        let (a, b) = (random()?, random()?);
        let packed = match torch::has_fused_kernels(self.dtype.kind()) {
            true => Some(torch::pack_linear(&b, SIDE)?),
            false => None,
        };
        answer(|| {
            let _product = match &packed {
                Some(b) => torch::fused_linear(&a, b, None, Pointwise::NONE)?,
                None => a.f_linear(&b, None::<&Tensor>)?,
            };
            Ok(())
        })
    }
}

/// Warms up, says so, and answers every number on stdin with the milliseconds of so many steps.
fn answer(mut step: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..3 {
        step()?;
    }
    let versions = [("libtorch".to_owned(), torch::version())];
    print(serde_json::to_string(&Ready { versions: versions.into() })?)?;
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
