//! The public weights: their training data, preprocessing and location.
//!
//! The files `weights/*.yaml` are generated from torchvision and timm by `make catalogue` and embedded in the
//! program.

use crate::data::image::Interpolation;
use crate::data::{self, CropMode, Preprocess};
use crate::names::did_you_mean;
use crate::{models, yaml};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

macro_rules! files {
    ($($name:literal)*) => {
        [$((concat!("weights/", $name, ".yaml"), include_str!(concat!("../../weights/", $name, ".yaml")))),*]
    };
}

/// One file per family.
const FILES: [(&str, &str); 20] = files!(
    "alexnet" "convnext" "deit" "densenet" "efficientnet" "inception" "maxvit" "mnasnet" "mobilenet" "regnet"
    "resnet" "resnext" "senet" "shufflenet" "squeezenet" "swin" "vgg" "vit" "wrn" "xception"
);

/// torchvision's names of ImageNet-1k's classes, one per line.
const LABELS: &str = include_str!("../../weights/imagenet-1k.txt");

/// One ImageNet synset per line, with WordNet's words for it.
const WORDS: &str = include_str!("../../weights/words.txt");

/// The sources in which a bare name is looked up, in order.
const SOURCES: [&str; 2] = ["torchvision", "timm"];

/// One weights file for one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// `torchvision/resnet50`; the file has the key names of the library before the slash.
    pub model: String,
    /// `IMAGENET1K_V2`
    pub tag: String,
    pub family: String,
    /// Whether these are the library's default weights of the model.
    pub default: bool,
    /// The training data in order, pretraining before fine-tuning. Names of [`crate::data::corpora`].
    pub data: Vec<String>,
    /// Outputs of the head; 0 if there is no classifier.
    pub classes: i64,
    /// As stated by the library; often missing.
    pub licence: Option<String>,
    /// Published accuracy on ImageNet-1k, in percent, for `preprocess`.
    pub top1: Option<f64>,
    pub top5: Option<f64>,
    /// The preprocessing that the network was trained for.
    pub preprocess: Preprocess,
    /// The larger input or other crop with which the library evaluates these weights.
    pub test: Option<Preprocess>,
    #[serde(flatten)]
    pub location: Location,
}

/// The location of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// A repository of the Hugging Face hub, `owner/name`.
    Hub(String),
    Url(String),
}

impl Entry {
    /// `torchvision/resnet50.IMAGENET1K_V2`, as [`find`] takes it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.model, self.tag)
    }

    /// The name without the source: `resnet50.IMAGENET1K_V2`.
    pub fn short_name(&self) -> String {
        format!("{}.{}", self.bare_model(), self.tag)
    }

    /// The library whose key names the file has: `torchvision` or `timm`.
    pub fn naming(&self) -> &str {
        self.model.split('/').next().unwrap_or_default()
    }

    /// Whether `name` is this model, with or without its source.
    pub fn is_of(&self, name: &str) -> bool {
        name == if name.contains('/') { &self.model } else { self.bare_model() }
    }

    /// The class names in the order of the logits if the last data set is an ImageNet, else `None`.
    pub fn labels(&self) -> Option<Vec<&'static str>> {
        let ends_in_imagenet = self.data.last().is_some_and(|set| set.starts_with("imagenet-"));
        if ends_in_imagenet { imagenet_labels(self.classes) } else { None }
    }

    fn bare_model(&self) -> &str {
        self.model.split_once('/').map_or("", |(_, bare)| bare)
    }
}

impl Location {
    /// The prefix of the file's sha256 in its name, if there is one: `11ad3fa6` in `resnet50-11ad3fa6.pth`.
    pub fn sha256_prefix(&self) -> Option<&str> {
        let Location::Url(url) = self else { return None };
        let (_, rest) = url.rsplit('/').next()?.rsplit_once('-')?;
        let (prefix, _) = rest.split_once('.')?;
        let hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && (8..=64).contains(&prefix.len())).then_some(prefix)
    }
}

/// The class names of a head with this many classes; the number identifies one of ImageNet's lists (as in
/// timm's `imagenet_info.py`). Except for ImageNet-1k the names are WordNet's words.
pub fn imagenet_labels(classes: i64) -> Option<Vec<&'static str>> {
    let list = data::imagenet().iter().find(|list| list.classes == classes)?;
    if classes == 1000 {
        return Some(LABELS.lines().collect());
    }
    let words: HashMap<&str, &str> = WORDS.lines().filter_map(|line| line.split_once(' ')).collect();
    list.synsets().iter().map(|synset| words.get(synset.as_str()).copied()).collect()
}

/// All public weights by family, each model's default first.
///
/// # Errors
/// None in a release: the files are embedded in the program, and tests parse them all.
pub fn entries() -> Result<&'static [Entry]> {
    static ENTRIES: LazyLock<Result<Vec<Entry>>> = LazyLock::new(|| {
        let mut entries = Vec::new();
        for (file, text) in FILES {
            entries.extend(read(file, text)?);
        }
        Ok(entries)
    });
    ENTRIES.as_deref().map_err(|e| anyhow!("{e:#}"))
}

/// The weights with this name: `torchvision/resnet50.IMAGENET1K_V2`, `timm/resnet50.a1_in1k`. Without a tag,
/// the library's default; without a source, torchvision's if it has them, else timm's.
///
/// # Errors
/// An unknown model or tag; the message has those that are close.
pub fn find(name: &str) -> Result<&'static Entry> {
    let entries = entries()?;
    let (model, tag) = name.split_once('.').map_or((name, None), |(model, tag)| (model, Some(tag)));
    let of_source = |source: &'static str| {
        entries.iter().filter(move |entry| entry.naming() == source && entry.is_of(model))
    };
    let found: Vec<&Entry> = SOURCES.into_iter().flat_map(of_source).collect();
    if found.is_empty() {
        if model.starts_with("paper/") {
            bail!("`{model}`: models of papers have no public weights; train it with `tchvision train`");
        }
        let all = "`tchvision weights list` has them all";
        if models::find(model).is_ok() {
            bail!("there are no public weights for `{model}`; {all}");
        }
        let names = entries
            .iter()
            .map(|entry| if model.contains('/') { entry.model.as_str() } else { entry.bare_model() });
        bail!("no model `{model}` has public weights; {}", did_you_mean(model, names, all));
    }
    let Some(tag) = tag else { return Ok(found[0]) };
    found.iter().find(|entry| entry.tag == tag).copied().ok_or_else(|| {
        let tags: Vec<&str> = found.iter().map(|entry| entry.tag.as_str()).collect();
        let all = format!("it has {}", tags.join(", "));
        anyhow!("`{model}` has no weights `{tag}`; {}", did_you_mean(tag, tags.iter().copied(), &all))
    })
}

/// The weights pretrained or fine-tuned on a data set, by its name or an alias (see [`crate::data::corpus`]).
///
/// # Errors
/// An unknown data set; the message has those that are close.
pub fn trained_on(set: &str) -> Result<Vec<&'static Entry>> {
    let name = &crate::data::corpus(set)?.name;
    Ok(entries()?.iter().filter(|entry| entry.data.contains(name)).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    family: String,
    /// The fields of a tag that does not set them itself.
    defaults: Mapping,
    models: Mapping,
}

/// The fields of one tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    hub: Option<String>,
    url: Option<String>,
    data: Vec<String>,
    classes: i64,
    input: i64,
    /// The crop as torchvision states it.
    resize: Option<i64>,
    /// The crop as timm states it.
    crop_pct: Option<f64>,
    crop_mode: CropMode,
    test_input: Option<i64>,
    test_crop_pct: Option<f64>,
    interpolation: Interpolation,
    mean: [f64; 3],
    std: [f64; 3],
    licence: Option<String>,
    top1: Option<f64>,
    top5: Option<f64>,
}

fn read(file: &str, text: &str) -> Result<Vec<Entry>> {
    let File { family, defaults, models } = yaml::parse(text, file)?;
    let mut entries = Vec::new();
    for (model, tags) in &models {
        let model = model.as_str().with_context(|| format!("{file}: a model's name is not text"))?;
        let tags = tags.as_mapping().with_context(|| format!("{file}: `{model}` has no tags"))?;
        for (i, (tag, fields)) in tags.iter().enumerate() {
            let tag = tag.as_str().with_context(|| format!("{file}: a tag of `{model}` is not text"))?;
            let mut row = defaults.clone();
            row.extend(fields.as_mapping().cloned().unwrap_or_default());
            let entry = yaml::from_value::<Row>(&Value::Mapping(row))
                .and_then(|row| row.entry(model.to_owned(), tag.to_owned(), family.clone(), i == 0));
            entries.push(entry.with_context(|| format!("{file}: `{model}.{tag}`"))?);
        }
    }
    Ok(entries)
}

impl Row {
    fn entry(self, model: String, tag: String, family: String, default: bool) -> Result<Entry> {
        let preprocess = self.preprocess(self.input, self.crop_pct)?;
        let has_test = self.test_input.is_some() || self.test_crop_pct.is_some();
        let test =
            || self.preprocess(self.test_input.unwrap_or(self.input), self.test_crop_pct.or(self.crop_pct));
        let test = has_test.then(test).transpose()?;
        let location = match (self.hub, self.url) {
            (Some(hub), None) => Location::Hub(hub),
            (None, Some(url)) => Location::Url(url),
            _ => bail!("exactly one of `hub` and `url` must be set"),
        };
        ensure!(!self.data.is_empty(), "`data` is empty");
        Ok(Entry {
            model,
            tag,
            family,
            default,
            data: self.data,
            classes: self.classes,
            licence: self.licence,
            top1: self.top1,
            top5: self.top5,
            preprocess,
            test,
            location,
        })
    }

    fn preprocess(&self, input: i64, crop_pct: Option<f64>) -> Result<Preprocess> {
        let (resize, crop_pct) = match (self.resize, crop_pct) {
            (Some(resize), None) => (resize, input as f64 / resize as f64),
            // timm rounds down.
            (None, Some(crop_pct)) => ((input as f64 / crop_pct).floor() as i64, crop_pct),
            _ => bail!("exactly one of `resize` and `crop_pct` must be set"),
        };
        Ok(Preprocess {
            input: [3, input, input],
            resize,
            interpolation: self.interpolation,
            crop_mode: self.crop_mode,
            crop_pct,
            mean: self.mean,
            std: self.std,
        })
    }
}
