//! The public weights: what they were trained on, how their images are prepared, where they are.
//!
//! The files are `weights/*.yaml`, made from torchvision and timm by `make catalogue` and part of the program.

use crate::data::image::Interpolation;
use crate::data::{self, CropMode, Preprocess};
use crate::{nearest, yaml};
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

/// One file a family.
const FILES: [(&str, &str); 20] = files!(
    "alexnet" "convnext" "deit" "densenet" "efficientnet" "inception" "maxvit" "mnasnet" "mobilenet" "regnet"
    "resnet" "resnext" "senet" "shufflenet" "squeezenet" "swin" "vgg" "vit" "wrn" "xception"
);

/// torchvision's names of ImageNet-1k's classes, one a line.
const LABELS: &str = include_str!("../../weights/imagenet-1k.txt");

/// A synset of ImageNet a line, and WordNet's words for it.
const WORDS: &str = include_str!("../../weights/words.txt");

/// Where a bare name is looked for, in this order.
const SOURCES: [&str; 2] = ["torchvision", "timm"];

/// One file of weights for one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// `torchvision/resnet50`; the library before the slash is the one whose key names the file has.
    pub model: String,
    /// `IMAGENET1K_V2`
    pub tag: String,
    pub family: String,
    /// Whether the library takes these when it is asked for no others.
    pub default: bool,
    /// What it was trained on, in order: pretraining first, then fine-tuning. Names of [`crate::data::corpora`].
    pub data: Vec<String>,
    /// Outputs of the head; 0 where there is no classifier.
    pub classes: i64,
    /// As the library states it; often it does not.
    pub licence: Option<String>,
    /// Published accuracy on ImageNet-1k, in percent, for `preprocess`.
    pub top1: Option<f64>,
    pub top5: Option<f64>,
    /// How images become the input that the network was trained for.
    pub preprocess: Preprocess,
    /// The larger input, or the other crop, that the library evaluates these weights with.
    pub test: Option<Preprocess>,
    #[serde(flatten)]
    pub location: Location,
}

/// Where a file is.
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

    /// Whose key names the file has: `torchvision` or `timm`.
    pub fn naming(&self) -> &str {
        self.model.split('/').next().unwrap_or_default()
    }

    /// Whether `name` means this model, with its source or without.
    pub fn is_of(&self, name: &str) -> bool {
        name == if name.contains('/') { &self.model } else { self.bare_model() }
    }

    /// The names of the classes in the order of the logits, where the last data set is one of ImageNet's; `None` for
    /// other heads.
    pub fn labels(&self) -> Option<Vec<&'static str>> {
        let ends_in_imagenet = self.data.last().is_some_and(|set| set.starts_with("imagenet-"));
        if ends_in_imagenet { imagenet_labels(self.classes) } else { None }
    }

    fn bare_model(&self) -> &str {
        self.model.split_once('/').map_or("", |(_, bare)| bare)
    }
}

impl Location {
    /// The beginning of the file's sha256 where its name carries one: `11ad3fa6` of `resnet50-11ad3fa6.pth`.
    pub fn sha256_prefix(&self) -> Option<&str> {
        let Location::Url(url) = self else { return None };
        let (_, rest) = url.rsplit('/').next()?.rsplit_once('-')?;
        let (prefix, _) = rest.split_once('.')?;
        let hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && (8..=64).contains(&prefix.len())).then_some(prefix)
    }
}

/// The names of the classes of a head of so many: each of ImageNet's lists has its own number of them (timm's
/// `imagenet_info.py`). Beyond ImageNet-1k the names are WordNet's words.
pub fn imagenet_labels(classes: i64) -> Option<Vec<&'static str>> {
    let list = data::imagenet().iter().find(|list| list.classes == classes)?;
    if classes == 1000 {
        return Some(LABELS.lines().collect());
    }
    let words: HashMap<&str, &str> = WORDS.lines().filter_map(|line| line.split_once(' ')).collect();
    list.synsets().iter().map(|synset| words.get(synset.as_str()).copied()).collect()
}

/// All public weights, family by family, each model's default first.
///
/// # Errors
/// None in a release: the files are part of the program, and tests read them all.
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

/// The weights of this name: `torchvision/resnet50.IMAGENET1K_V2`, `timm/resnet50.a1_in1k`. Without a tag, the
/// library's default; without a source, torchvision's if it has them, else timm's.
///
/// # Errors
/// An unknown model or tag; the message has the nearest.
pub fn find(name: &str) -> Result<&'static Entry> {
    let entries = entries()?;
    let (model, tag) = name.split_once('.').map_or((name, None), |(model, tag)| (model, Some(tag)));
    let of_source = |source: &'static str| {
        entries.iter().filter(move |entry| entry.naming() == source && entry.is_of(model))
    };
    let found: Vec<&Entry> = SOURCES.into_iter().flat_map(of_source).collect();
    if found.is_empty() {
        if model.starts_with("paper/") {
            bail!("`{model}`: a paper's model has no public weights; `tchvision train` trains it");
        }
        let names = entries
            .iter()
            .map(|entry| if model.contains('/') { entry.model.as_str() } else { entry.bare_model() });
        let like = nearest(model, names).unwrap_or_default();
        bail!(
            "no public weights for a model `{model}`; did you mean `{like}`? `tchvision weights list` has them all"
        );
    }
    let Some(tag) = tag else { return Ok(found[0]) };
    found.iter().find(|entry| entry.tag == tag).copied().ok_or_else(|| {
        let tags: Vec<&str> = found.iter().map(|entry| entry.tag.as_str()).collect();
        let like = nearest(tag, tags.iter().copied()).unwrap_or_default();
        anyhow!("`{model}` has no weights `{tag}`; did you mean `{like}`? It has {}", tags.join(", "))
    })
}

/// The weights that saw a data set ([`crate::data::corpus`] knows its other names), in pretraining or fine-tuning.
///
/// # Errors
/// An unknown data set, with the nearest.
pub fn trained_on(set: &str) -> Result<Vec<&'static Entry>> {
    let name = &crate::data::corpus(set)?.name;
    Ok(entries()?.iter().filter(|entry| entry.data.contains(name)).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    family: String,
    /// What a tag has unless it tells otherwise.
    defaults: Mapping,
    models: Mapping,
}

/// What a file says of one tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    hub: Option<String>,
    url: Option<String>,
    data: Vec<String>,
    classes: i64,
    input: i64,
    /// As torchvision states it.
    resize: Option<i64>,
    /// As timm states it.
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
        for (place, (tag, fields)) in tags.iter().enumerate() {
            let tag = tag.as_str().with_context(|| format!("{file}: a tag of `{model}` is not text"))?;
            let mut row = defaults.clone();
            row.extend(fields.as_mapping().cloned().unwrap_or_default());
            let entry = yaml::from_value::<Row>(&Value::Mapping(row))
                .and_then(|row| row.entry(model.to_owned(), tag.to_owned(), family.clone(), place == 0));
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
            _ => bail!("one of `hub` and `url` tells where it is"),
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
            _ => bail!("one of `resize` and `crop_pct` tells the crop"),
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
