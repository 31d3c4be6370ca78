//! `tchvision weights verify`.

use super::arguments::{model, names_of, open};
use crate::cli::{Dtype, print, print_json};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::torch::Autocast;
use tchvision::weights::{self, Classes, Differences, Format, Mapping, Named, StateFile};

#[derive(clap::Args)]
pub struct Args {
    /// With a tag, the model as those public weights are run
    #[arg(long, value_name = "NAME[.TAG]")]
    model: String,
    /// The file of weights
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Safetensors with `input` (N, 3, H, W) and the `logits` (N, C) that belong to it, float32
    #[arg(long, value_name = "REF.safetensors")]
    reference: PathBuf,
    /// Allowed difference, relative to the largest logit (or 1)
    #[arg(long, default_value_t = 1e-4)]
    rtol: f64,
    /// Run the frozen model: norms folded, kernels fused
    #[arg(long)]
    fast: bool,
    /// Dtype of convolutions and matrix products
    #[arg(long, default_value = "float32")]
    dtype: Dtype,
    /// Height and width of the model's images, tables of positions resampled to them
    #[arg(long, value_name = "SIDE")]
    image_size: Option<i64>,
    /// Set a field of the model's configuration, such as `window=12` of a Swin
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
    /// Pairs of the model's names and the file's, as `weights map` writes them
    #[arg(long, value_name = "MAP.yaml")]
    map: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified {
    model: &'static str,
    format: Format,
    naming: String,
    params: u64,
    /// Tensors of the model that the file does not have, or not in their shape.
    missing: Vec<String>,
    unexpected: Vec<String>,
    max_abs_diff: Option<f64>,
    max_abs_logit: f64,
    passed: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let adapted = args.image_size.is_some() || !args.set.is_empty();
    let spec = |classes: Option<i64>| {
        model(&args.model, &[("num_classes", classes), ("image_size", args.image_size)], &args.set)
    };
    spec(None)?;
    let reference = StateFile::open(&args.reference)?;
    let of = |name: &str| -> Result<Tensor> {
        let tensor = reference.get(name).with_context(|| "a reference has `input` and `logits`")?;
        ensure!(tensor.kind() == Kind::Float, "{}: `{name}` must be float32", args.reference.display());
        Ok(tensor.copy())
    };
    let (input, logits) = (of("input")?, of("logits")?);
    let file = open(&args.weights, args.key.as_deref())?;
    let map = args.map.as_deref().map(Mapping::read).transpose()?;
    let fit = |classes: Option<i64>| Fitted::new(&spec(classes)?, &file, map.as_ref(), adapted);
    // The head has as many classes as the reference, whatever the model's name has; or there is none, and the reference
    // has the features.
    let mut fitted = fit(logits.size().last().copied())?;
    if !fitted.differences().is_empty()
        && let Ok(headless) = fit(Some(0))
        && headless.differences().is_empty()
    {
        fitted = headless;
    }
    let Fitted { name, net, store, naming: Named { naming, state, notes, .. }, wanted } = &fitted;
    notes.iter().for_each(|note| eprintln!("{note}"));
    let differences = fitted.differences();
    let mut verified = Verified {
        model: name,
        format: file.format(),
        naming: naming.clone(),
        params: store.count_parameters(),
        missing: [differences.missing, differences.unlike].concat(),
        unexpected: differences.unexpected,
        max_abs_diff: None,
        max_abs_logit: logits.f_abs()?.f_max()?.f_double_value(&[])?,
        passed: false,
    };
    let loaded = weights::load(state, wanted);
    if loaded.is_ok() {
        if args.fast {
            store.freeze(args.dtype.kind());
        }
        let got = forward(net.as_ref(), &input, args)?;
        ensure!(
            got.size() == logits.size(),
            "{}: `logits` have shape {:?}, the model's {:?}",
            args.reference.display(),
            logits.size(),
            got.size()
        );
        let diff = got.f_sub(&logits)?.f_abs()?.f_max()?.f_double_value(&[])?;
        verified.max_abs_diff = Some(diff);
        // Not a number is no number that is small enough.
        verified.passed = diff <= args.rtol * verified.max_abs_logit.max(1.0);
    }
    if args.json {
        print_json(&verified)?;
    } else if let Some(diff) = verified.max_abs_diff {
        let Verified { model, naming, params, max_abs_logit, .. } = &verified;
        print(format_args!("{model}: {params} parameters by {}", names_of(naming)))?;
        print(format_args!("largest difference {diff:.3e}, largest logit {max_abs_logit:.3e}"))?;
    }
    loaded?;
    if !verified.passed {
        let allowed = args.rtol * verified.max_abs_logit.max(1.0);
        bail!("{}: the logits differ from the reference by more than {allowed:.3e}", verified.model);
    }
    Ok(())
}

/// A model, and a file's tensors under its names, not yet loaded.
struct Fitted {
    name: &'static str,
    net: Box<dyn Model>,
    store: Store,
    naming: Named,
    wanted: Vec<(String, Tensor)>,
}

impl Fitted {
    fn new(spec: &ModelSpec, file: &StateFile, map: Option<&Mapping>, adapted: bool) -> Result<Self> {
        let mut naming = weights::named(spec, file, map)?;
        let spec = naming.spec.clone();
        let architecture = spec.resolve()?;
        let store = Store::uninitialised(Device::Cpu);
        let net = architecture.build(&store)?;
        let wanted = store.state_dict();
        if adapted {
            weights::adapt(&mut naming.state, &spec, &wanted, Classes::New)?;
        }
        Ok(Self { name: architecture.name, net, store, naming, wanted })
    }

    fn differences(&self) -> Differences {
        weights::compare(&self.naming.state, &self.wanted)
    }
}

fn forward(net: &dyn Model, input: &Tensor, args: &Args) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let _autocast = match args.dtype {
        Dtype::Bfloat16 if !args.fast => Some(Autocast::new(Device::Cpu, Kind::BFloat16)?),
        _ => None,
    };
    Ok(net.forward(input, false)?.f_to_kind(Kind::Float)?)
}
