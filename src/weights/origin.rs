//! What lies beside a file of weights, or in it, and says whose they are: `config.json` of timm and transformers, with
//! `preprocessor_config.json`, and the `arch` of a checkpoint.

use super::torch::ARCH;
use super::{StateFile, candidates};
use crate::data::CropMode;
use crate::data::Preprocess;
use crate::data::image::Interpolation;
use crate::models::{ModelSpec, is_registered};
use crate::{Remedy, Usage};
use anyhow::{Context, Error, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Far longer than any such file.
const MAX_CONFIG: u64 = 1 << 24;

/// What a file says of the model that it is of.
#[derive(Clone, Debug)]
pub struct Origin {
    pub spec: ModelSpec,
    pub labels: Option<Vec<String>>,
    pub input: Option<Preprocess>,
    /// What says so.
    pub source: String,
}

/// transformers' `model_type`, and what the names of the models begin with that it may be.
const TYPES: [(&str, &[&str]); 14] = [
    ("vit", &["timm/vit_", "timm/deit_"]),
    ("deit", &["timm/deit_"]),
    ("swin", &["timm/swin_"]),
    ("swinv2", &["timm/swinv2_"]),
    ("resnet", &["torchvision/resnet", "paper/resnet"]),
    ("regnet", &["torchvision/regnet_"]),
    ("convnext", &["torchvision/convnext_"]),
    ("efficientnet", &["timm/tf_efficientnet_b"]),
    ("mobilenet_v1", &["timm/mobilenetv1_"]),
    ("mobilenet_v2", &["timm/mobilenetv2_"]),
    ("dinov2", &["timm/vit_"]),
    ("dinov2_with_registers", &["timm/vit_"]),
    ("clip_vision_model", &["timm/vit_"]),
    ("clip", &["timm/vit_"]),
];

impl Origin {
    /// What a file, or what lies in its folder, says of it; `None` where nothing does.
    ///
    /// # Errors
    /// A `config.json` that is none, or names a network that is not registered.
    pub fn of(file: &StateFile) -> Result<Option<Self>> {
        let folder = file.path().parent().unwrap_or(Path::new(""));
        let path = folder.join("config.json");
        if let Some(config) = read(&path)? {
            let at = path.display().to_string();
            if let Some(name) = config["architecture"].as_str() {
                return Self::of_timm(name, &config, &at).map(Some);
            }
            if let Some(kind) = config["model_type"].as_str() {
                let preprocessor = read(&folder.join("preprocessor_config.json"))?;
                return Self::of_transformers(kind, &config, preprocessor.as_ref(), file, &at).map(Some);
            }
        }
        let Some(name) = file.metadata(ARCH).filter(|name| is_registered(name)) else { return Ok(None) };
        let source = format!("{}: `{ARCH}`", file.path().display());
        Ok(Some(Self { spec: ModelSpec::new(name), labels: None, input: None, source }))
    }

    /// Whether this is the model that the file says.
    pub fn is_of(&self, spec: &ModelSpec) -> bool {
        let name = |spec: &ModelSpec| spec.resolve().map(|model| model.name).ok();
        spec.set.is_empty() && name(&self.spec) == name(spec)
    }

    fn of_timm(name: &str, config: &Value, at: &str) -> Result<Self> {
        let mut spec = ModelSpec::new(&format!("timm/{name}"));
        ensure!(is_registered(&spec.name), "{at}: timm's `{name}` is not registered here");
        let classes = config["num_classes"].as_i64();
        if let Some(classes) = classes {
            set(&mut spec, "num_classes", classes)?;
        }
        let weights = &config["pretrained_cfg"];
        let labels = config.get("label_names").or_else(|| weights.get("label_names")).and_then(texts);
        let input = timm_input(weights).with_context(|| format!("{at}: `pretrained_cfg`"))?;
        Ok(Self { spec, labels, input, source: at.to_owned() })
    }

    fn of_transformers(
        kind: &str,
        config: &Value,
        preprocessor: Option<&Value>,
        file: &StateFile,
        at: &str,
    ) -> Result<Self> {
        let known = TYPES.iter().find(|(name, _)| *name == kind);
        let (_, starts) =
            known.with_context(|| format!("{at}: transformers' `{kind}` is not registered here"))?;
        // A tower for images has its settings in its own part.
        let config = config.get("vision_config").unwrap_or(config);
        let mut fits = candidates(file.tensors(), starts);
        fits.retain(|candidate| candidate.whole);
        if kind == "resnet" {
            let bottleneck = config["downsample_in_bottleneck"].as_bool() == Some(true);
            fits.retain(|candidate| candidate.model.starts_with("paper/") == bottleneck);
        }
        if kind.starts_with("clip") {
            let quick = config["hidden_act"].as_str().unwrap_or("quick_gelu") == "quick_gelu";
            fits.retain(|candidate| candidate.model.contains("quickgelu") == quick);
        }
        let side = config["image_size"].as_i64();
        let input = |model: &str| ModelSpec::new(model).resolve().map(|model| model.input()[1]).ok();
        let best = fits.iter().find(|one| side.is_some() && input(one.model) == side).or(fits.first());
        let best =
            best.with_context(|| format!("{at}: no registered `{kind}` has tensors of these shapes"))?;
        let mut spec = ModelSpec::new(best.model);
        let background = best.classes == Some(1001);
        if let Some(classes) = best.classes.filter(|classes| *classes > 0 && !background) {
            set(&mut spec, "num_classes", classes)?;
        }
        if let Some(side) = side {
            set(&mut spec, "image_size", side)?;
        }
        if let Some(eps) = config["layer_norm_eps"].as_f64() {
            set(&mut spec, "eps", eps)?;
        }
        let mut labels = labels(config);
        if background && let Some(labels) = labels.as_mut().filter(|labels| labels.len() == 1001) {
            labels.remove(0);
        }
        let input = preprocessor.map(|settings| transformers_input(settings, kind)).transpose();
        let input = input.with_context(|| format!("{at}: preprocessor_config.json"))?.flatten();
        Ok(Self { spec, labels, input, source: at.to_owned() })
    }
}

/// What to say of a file that does not say which model it is of: the registered ones that its tensors fit.
pub fn unnamed(file: &StateFile) -> Error {
    /// Models that the message lists.
    const SHOWN: usize = 4;
    let fits: Vec<&str> =
        candidates(file.tensors(), &[]).iter().filter(|one| one.whole).map(|one| one.model).collect();
    let more = fits.len().saturating_sub(SHOWN);
    let shown = fits.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let fit = match (fits.len(), more) {
        (0, _) => String::new(),
        (_, 0) => format!("; its tensors fit {shown}"),
        _ => format!("; its tensors fit {shown} and {more} more"),
    };
    let text = format!("{}: it does not say which model it is of{fit}", file.path().display());
    Error::new(Remedy::Model).context(Usage(text))
}

/// A JSON file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Value>> {
    let at = || path.display().to_string();
    let Ok(metadata) = fs::metadata(path) else { return Ok(None) };
    ensure!(metadata.len() <= MAX_CONFIG, "{}: {} bytes are no settings", at(), metadata.len());
    let text = fs::read(path).with_context(at)?;
    serde_json::from_slice(&text).map(Some).with_context(at)
}

/// Sets a field that the model has and that is not so already.
fn set(spec: &mut ModelSpec, field: &str, value: impl Into<serde_yaml::Value>) -> Result<()> {
    let value = value.into();
    if spec.resolve()?.fields()?.get(field).is_some_and(|default| *default != value) {
        spec.set.insert(field.into(), value);
    }
    Ok(())
}

fn texts(names: &Value) -> Option<Vec<String>> {
    names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// `id2label`, from numbers as text to names; without those that only say a number.
fn labels(config: &Value) -> Option<Vec<String>> {
    let names = config["id2label"].as_object()?;
    let labels: Option<Vec<String>> =
        (0..names.len()).map(|i| names.get(&i.to_string())?.as_str().map(str::to_owned)).collect();
    labels.filter(|labels| !labels.iter().all(|label| label.starts_with("LABEL_")))
}

fn triple(values: &Value) -> Option<[f64; 3]> {
    let values: Option<Vec<f64>> = values.as_array()?.iter().map(Value::as_f64).collect();
    values?.try_into().ok()
}

/// timm's `pretrained_cfg`.
fn timm_input(config: &Value) -> Result<Option<Preprocess>> {
    let Some(sides) = triple(&config["input_size"]) else { return Ok(None) };
    let side = sides[1] as i64;
    let crop_pct = config["crop_pct"].as_f64().unwrap_or(0.875);
    let interpolation = config["interpolation"].as_str().unwrap_or("bicubic");
    let default = Preprocess::imagenet(side);
    Ok(Some(Preprocess {
        resize: (side as f64 / crop_pct).floor() as i64,
        crop_pct,
        interpolation: serde_json::from_value(interpolation.into())?,
        crop_mode: match &config["crop_mode"] {
            Value::Null => CropMode::Center,
            mode => serde_json::from_value(mode.clone())?,
        },
        mean: triple(&config["mean"]).unwrap_or(default.mean),
        std: triple(&config["std"]).unwrap_or(default.std),
        ..default
    }))
}

/// transformers' `preprocessor_config.json`.
fn transformers_input(config: &Value, kind: &str) -> Result<Option<Preprocess>> {
    let size = &config["size"];
    let short = size["shortest_edge"].as_i64();
    let crop = &config["crop_size"];
    let crop = crop["height"].as_i64().or(crop.as_i64());
    let exact = size["height"].as_i64().or(size.as_i64());
    // These shrink the picture by `crop_pct` below 384 pixels, and squash it from there on.
    let by_fraction = matches!(kind, "convnext" | "resnet" | "regnet");
    let (side, resize, crop_mode) = match (short, crop, exact) {
        (Some(side), None, _) if by_fraction && side < 384 => {
            let fraction = config["crop_pct"].as_f64().unwrap_or(224.0 / 256.0);
            (side, (side as f64 / fraction) as i64, CropMode::Center)
        }
        (Some(side), None, _) => (side, side, CropMode::Squash),
        (Some(short), Some(crop), _) => (crop, short, CropMode::Center),
        (None, _, Some(side)) => (side, side, CropMode::Squash),
        (None, _, None) => return Ok(None),
    };
    let default = Preprocess::imagenet(side);
    Ok(Some(Preprocess {
        resize,
        crop_pct: side as f64 / resize as f64,
        crop_mode,
        interpolation: match config["resample"].as_i64() {
            Some(0) => Interpolation::Nearest,
            Some(1) => Interpolation::Lanczos,
            Some(3) => Interpolation::Bicubic,
            Some(4) => Interpolation::Box,
            Some(5) => Interpolation::Hamming,
            _ => Interpolation::Bilinear,
        },
        mean: triple(&config["image_mean"]).unwrap_or(default.mean),
        std: triple(&config["image_std"]).unwrap_or(default.std),
        ..default
    }))
}
