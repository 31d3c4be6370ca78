//! The published recipes: what libraries and papers trained their weights with, as files of runs.
//!
//! `experiments/recipes/*.yaml` are embedded in the program, and so are the papers' own studies in `experiments/paper/`,
//! which are experiments of several variants.

use crate::data::corpora;
use crate::models::ModelSpec;
use crate::names::did_you_mean;
use crate::train::{Provenance, RunConfig};
use crate::yaml::{self, Document};
use crate::{Usage, brief};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_yaml::{Mapping, Value};

macro_rules! files {
    ($folder:literal, $($name:literal)*) => {
        [$(($name, include_str!(concat!("../experiments/", $folder, "/", $name, ".yaml")))),*]
    };
}

const RECIPES: [(&str, &str); 18] = files!(
    "recipes",
    "tv_resnet50_v1" "tv_resnet50_v2" "tv_efficientnet_v2_s" "tv_mobilenet_v3" "tv_regnet" "tv_vit_b_16" "tv_swin_t"
    "tv_convnext_tiny" "timm_a1" "timm_a2" "timm_a3" "timm_efficientnet_b0" "timm_resnext50" "deit" "deit_distilled"
    "deit3_small" "swin" "convnext"
);

const PAPERS: [(&str, &str); 28] = files!(
    "paper",
    "alexnet" "densenet" "densenet_cifar" "efficientnet" "efficientnet_search" "efficientnet_single" "googlenet" "mobilenet"
    "mobilenet_depth" "resnet" "resnet_cifar" "resnet_preact" "resnext" "resnext_cifar" "resnext_twice" "senet"
    "senet_ablation" "senet_cifar" "swin" "swin_ablation" "vgg" "vit" "wrn" "wrn_blocks" "wrn_dropout" "wrn_imagenet"
    "xception" "zfnet"
);

/// A published recipe.
#[derive(Clone, Debug, Serialize)]
pub struct Recipe {
    /// The file's name; of a paper's study with `paper/` before it.
    pub name: String,
    /// Where its settings are from.
    pub source: String,
    pub model: String,
    pub epochs: u64,
    /// Training images seen, where the size of the data set is known.
    pub images_seen: Option<u64>,
    /// Published accuracies in percent, by model.
    pub top1: Vec<(String, f64)>,
    /// The public weights that were trained so, with `*` for anything.
    pub weights: Vec<String>,
    /// The file.
    #[serde(skip)]
    pub text: &'static str,
}

impl Recipe {
    /// Whether it is a paper's study, with several variants.
    pub fn is_study(&self) -> bool {
        self.name.starts_with("paper/")
    }

    /// Multiply-adds for one image of the training size.
    ///
    /// # Errors
    /// A size or a number of classes that only the data says.
    pub fn macs(&self) -> Result<u64> {
        let config: RunConfig = yaml::from_value(&self.run()?)?;
        let (input, classes) = config.data.shape()?;
        Ok(config.complexity(input, classes)?.macs)
    }

    /// The run that it spells; the base of a study.
    fn run(&self) -> Result<Value> {
        let value: Value = yaml::parse(self.text, &self.name)?;
        match self.is_study() {
            true => value.get("base").cloned().context("a study without a base"),
            false => Ok(value),
        }
    }

    /// Whether weights of this name, such as `timm/resnet50.a1_in1k`, were trained so.
    pub fn made(&self, weights: &str) -> bool {
        self.weights.iter().any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => {
                weights.len() >= before.len() + after.len()
                    && weights.starts_with(before)
                    && weights.ends_with(after)
            }
            None => pattern == weights,
        })
    }

    /// The settings of a run, with those of this recipe where the run says nothing: all of `train`, and of `data` what is done
    /// with the pictures. Of `model` it gives the fields that the run's model has too. Returns what is written, and the
    /// recipe's settings that the run overrides.
    ///
    /// # Errors
    /// A file that is no run, or that is none with this recipe ([`Usage`]).
    pub fn apply(&self, run: &Document) -> Result<(String, Vec<String>)> {
        let mut run = run.value().clone();
        let own = run.as_mapping_mut().context("a run is a mapping")?;
        let recipe = self.run()?;
        let mut kept = Vec::new();
        let part = |name: &str| recipe.get(name).and_then(Value::as_mapping).cloned().unwrap_or_default();
        fill(own, "train", part("train"), &mut kept);
        let mut data = part("data");
        ["dataset", "root", "train", "test", "validation"].iter().for_each(|key| {
            data.remove(*key);
        });
        fill(own, "data", data, &mut kept);
        let model: ModelSpec = yaml::from_value(own.get("model").unwrap_or(&Value::Null))?;
        let fields = model.resolve()?.fields()?;
        let mut knobs = part("model");
        knobs.retain(|key, _| {
            let key = key.as_str().unwrap_or_default();
            key != "name" && fields.contains_key(key)
        });
        fill(own, "model", knobs, &mut kept);
        let text = yaml::to_string(&run)?;
        let config: RunConfig = yaml::parse(&text, "the run with the recipe")?;
        config.validate().map_err(|error| Usage(format!("with {}: {}", self.name, brief(&error))))?;
        Ok((text, kept))
    }
}

/// Inserts settings that a section of the run does not have; `kept` gets the names of those that it has otherwise.
fn fill(run: &mut Mapping, section: &str, recipe: Mapping, kept: &mut Vec<String>) {
    let own = run.entry(section.into()).or_insert_with(|| Value::Mapping(Mapping::new()));
    let Some(own) = own.as_mapping_mut() else { return };
    for (key, value) in recipe {
        match own.get(&key) {
            Some(theirs) if *theirs != value => {
                kept.push(format!("{section}.{}", key.as_str().unwrap_or_default()))
            }
            Some(_) => {}
            None => {
                own.insert(key, value);
            }
        }
    }
}

/// All recipes, those of libraries and repositories first.
///
/// # Errors
/// None for the files that are embedded.
pub fn all() -> Result<Vec<Recipe>> {
    let named = RECIPES.iter().map(|&(name, text)| read(name.to_owned(), text));
    let papers = PAPERS.iter().map(|&(name, text)| read(format!("paper/{name}"), text));
    named.chain(papers).collect()
}

/// The recipe of this name.
///
/// # Errors
/// An unknown name, with the nearest ([`Usage`]).
pub fn find(name: &str) -> Result<Recipe> {
    let mut all = all()?;
    match all.iter().position(|recipe| recipe.name == name) {
        Some(i) => Ok(all.swap_remove(i)),
        None => {
            let names = all.iter().map(|recipe| recipe.name.as_str());
            let meant = did_you_mean(name, names, "`tchvision recipe list` has them all");
            bail!(Usage(format!("no recipe is called `{name}`; {meant}")))
        }
    }
}

/// The recipe that made these public weights, where it is known.
///
/// # Errors
/// As [`all`].
pub fn of(weights: &str) -> Result<Option<Recipe>> {
    Ok(all()?.into_iter().find(|recipe| recipe.made(weights)))
}

fn read(name: String, text: &'static str) -> Result<Recipe> {
    let value: Value = yaml::parse(text, &name)?;
    let run = value.get("base").unwrap_or(&value);
    let text_of = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let provenance: Option<Provenance> = value.get("recipe").map(yaml::from_value).transpose()?;
    let Provenance { source, top1, weights } = provenance
        .unwrap_or_else(|| Provenance { source: text_of(value.get("paper")), ..Provenance::default() });
    let epochs = run.get("train").and_then(|train| train.get("epochs")).and_then(Value::as_u64).unwrap_or(0);
    let dataset = text_of(run.get("data").and_then(|data| data.get("dataset")));
    let images = corpora()?.iter().find(|corpus| corpus.name == dataset).and_then(|corpus| corpus.images);
    let config: RunConfig = yaml::from_value(run).with_context(|| name.clone())?;
    Ok(Recipe {
        name,
        source,
        model: config.model.name,
        epochs,
        images_seen: images.map(|images| images * epochs),
        top1: top1.into_iter().collect(),
        weights,
        text,
    })
}
