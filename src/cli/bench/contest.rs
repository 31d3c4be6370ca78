//! Our own ends of a [`super::peer::Peer`]: a step of this program, and the product that the floor is made of.

use super::peer::Ready;
use super::work::Work;
use crate::cli::{Dtype, print};
use anyhow::Result;
use std::io::{self, BufRead};
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor};
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::torch::{self, Autocast, Pointwise, device};
use tchvision::train::{Optimizer, TrainConfig};

/// Rows, columns and inner size of the matrix product that stands for what the processor or the GPU can do.
pub const fn product_side(gpu: bool) -> i64 {
    if gpu { 8192 } else { 1024 }
}

/// What one step of a contestant is.
pub struct Contest<'a> {
    pub work: Work,
    pub model: &'a str,
    pub batch: i64,
    pub dtype: Dtype,
    pub device: Device,
    pub threads: usize,
}

impl Contest<'_> {
    /// The model's step, N times for every N on stdin.
    pub fn run(&self) -> Result<()> {
        device::set_threads(self.threads)?;
        device::set_up(self.device, false)?;
        let architecture = ModelSpec::new(self.model).resolve()?;
        let [channels, height, width] = architecture.input();
        tch::manual_seed(0);
        let store = Store::new(self.device);
        let net = architecture.build(&store)?;
        let x = Tensor::f_rand([self.batch, channels, height, width], (Kind::Float, self.device))?;
        let x = torch::channels_last(&x)?;
        match self.work {
            Work::Infer => {
                store.freeze(self.dtype.kind());
                let x = x.f_to_kind(self.dtype.kind())?;
                self.answer(|| {
                    let _no_grad = tch::no_grad_guard();
                    net.forward(&x, false).map(drop)
                })
            }
            Work::Train => self.answer(training(store, net, x, self.dtype)?),
        }
    }

    /// The matrix product, N times for every N on stdin.
    pub fn run_product(&self) -> Result<()> {
        device::set_threads(self.threads)?;
        let (side, kind) = (product_side(self.device.is_cuda()), self.dtype.kind());
        let random = || Tensor::f_rand([side, side], (kind, self.device));
        let (a, b) = (random()?, random()?);
        let packed = if self.device == Device::Cpu && torch::has_fused_kernels(kind) {
            Some(torch::pack_linear(&b, side)?)
        } else {
            None
        };
        self.answer(|| {
            let _product = match &packed {
                Some(b) => torch::fused_linear(&a, b, None, Pointwise::NONE)?,
                None => a.f_linear(&b, None::<&Tensor>)?,
            };
            Ok(())
        })
    }

    /// Warms up, says so, and answers every number on stdin with the milliseconds of so many steps.
    fn answer(&self, mut step: impl FnMut() -> Result<()>) -> Result<()> {
        let mut step = || {
            step()?;
            device::synchronize(self.device)
        };
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
    let device = x.device();
    let labels = Tensor::f_arange(x.size()[0], (Kind::Int64, device))?.f_remainder(10)?;
    Ok(move || {
        optimizer.zero_grad()?;
        let logits = {
            let _autocast = match dtype {
                Dtype::Float32 => None,
                Dtype::Bfloat16 => Some(Autocast::new(device, Kind::BFloat16)?),
            };
            net.forward(&x, true)?.f_to_kind(Kind::Float)?
        };
        logits.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0)?.f_backward()?;
        optimizer.step(0.01)
    })
}
