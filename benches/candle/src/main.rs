//! candle's side of `tchvision bench infer`, for the models that candle-transformers has.
//!
//!     tchvision-candle infer candle MODEL BATCH HEIGHT WIDTH DTYPE THREADS DEVICE
//!
//! Arguments and answers are those of `benches/peers.py`. candle takes its threads from RAYON_NUM_THREADS.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Module, ModuleT, Tensor};
use candle_nn::{VarBuilder, VarMap, func};
use candle_transformers::models::{efficientnet, resnet, vgg, vit};
use std::collections::HashMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::Instant;

const CLASSES: usize = 1000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line: `tchvision bench` prints the last line of a contestant that it leaves out.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [_, _, model, batch, height, width, dtype, _, device] = arguments.as_slice() else {
        bail!("usage: tchvision-candle infer candle MODEL BATCH HEIGHT WIDTH DTYPE THREADS DEVICE");
    };
    ensure!(dtype == "float32" && device == "cpu", "candle is timed only in float32 on the CPU");
    let size = (batch.parse()?, 3, height.parse()?, width.parse()?);
    let x = Tensor::rand(0f32, 1f32, size, &Device::Cpu)?;
    let network = with_constants(model, &x)?;
    for _ in 0..3 {
        network.forward(&x)?;
    }
    answer(serde_json::json!({"versions": {"candle": env!("CARGO_PKG_VERSION")}}))?;
    for line in stdin().lock().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()? {
            let start = Instant::now();
            network.forward(&x)?;
            times.push(1000.0 * start.elapsed().as_secs_f64());
        }
        answer(serde_json::json!(times))?;
    }
    Ok(())
}

fn answer(value: serde_json::Value) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

/// The network with random weights as constants, as from a file: with variables, passes would keep everything for the
/// gradient.
fn with_constants(model: &str, x: &Tensor) -> Result<Box<dyn Module>> {
    let variables = VarMap::new();
    let first = network(model, x, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    // VGG creates its last layer on first use.
    first.forward(x)?;
    let variables = variables.data().lock().ok().context("no variables")?.clone();
    let constants: HashMap<_, _> =
        variables.into_iter().map(|(name, variable)| (name, variable.as_detached_tensor())).collect();
    network(model, x, VarBuilder::from_tensors(constants, DType::F32, &Device::Cpu))
}

fn network(model: &str, x: &Tensor, weights: VarBuilder<'static>) -> Result<Box<dyn Module>> {
    Ok(match model {
        "torchvision/resnet50" => Box::new(resnet::resnet50(CLASSES, weights)?),
        "torchvision/efficientnet_b0" => {
            Box::new(efficientnet::EfficientNet::new(weights, efficientnet::MBConvConfig::b0(), CLASSES)?)
        }
        "torchvision/vgg16" => {
            ensure!(x.dim(0)? == 1, "candle's VGG takes one image at a time");
            let network = vgg::Vgg::new(weights, vgg::Models::Vgg16)?;
            Box::new(func(move |x| network.forward_t(&x.squeeze(0)?, false)))
        }
        "torchvision/vit_b_16" => {
            let network = vit::Model::new(&vit::Config::vit_base_patch16_224(), CLASSES, weights)?;
            Box::new(func(move |x| network.forward(x)))
        }
        _ => bail!("candle-transformers has no {model}"),
    })
}
