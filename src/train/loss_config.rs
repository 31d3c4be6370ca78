//! What a run minimises, as written in YAML.

use super::init_config::InitConfig;
use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What a run minimises, of the training images; a test always looks at the cross-entropy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossConfig {
    #[default]
    CrossEntropy,
    /// One yes or no for each class (timm's `BinaryCrossEntropy`; 2110.00476).
    BinaryCrossEntropy(BinaryCrossEntropy),
}

impl LossConfig {
    pub(super) fn is_cross_entropy(&self) -> bool {
        *self == Self::CrossEntropy
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Self::BinaryCrossEntropy(BinaryCrossEntropy { target_threshold: Some(threshold), .. }) = self
        else {
            return Ok(());
        };
        let message = format!("{threshold} is not in [0, 1)");
        let key = "train.loss.binary_cross_entropy.target_threshold";
        ensure!((0.0..1.0).contains(threshold), Invalid::value(key, message));
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinaryCrossEntropy {
    /// After mixing and smoothing, targets above this are 1 and the others 0. Default: targets stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_threshold: Option<f64>,
    /// Sum over the classes in place of their mean.
    pub sum_classes: bool,
}

/// How much each class counts in the cross-entropy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    Rule(ClassWeightRule),
    /// One for each class, in the order of the classes.
    Numbers(Vec<f64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeightRule {
    /// images / (classes · images of the class), as in scikit-learn.
    Balanced,
}

impl ClassWeights {
    pub(super) fn validate(&self) -> Result<()> {
        let Self::Numbers(numbers) = self else { return Ok(()) };
        let valid = numbers.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
        let message =
            format!("{numbers:?} are not all numbers from 0 up; write `balanced`, or one for each class");
        ensure!(
            valid && numbers.iter().any(|weight| *weight > 0.0),
            Invalid::value("train.class_weights", message)
        );
        Ok(())
    }

    /// The weights of the classes of images with these labels.
    ///
    /// # Errors
    /// Another number of weights than of classes, or a class without images.
    pub(super) fn of(&self, labels: impl Iterator<Item = i64>, classes: &[String]) -> Result<Vec<f64>> {
        let invalid = |message: String| Invalid::value("train.class_weights", message);
        match self {
            Self::Numbers(numbers) => {
                let message =
                    format!("{} weights, and the data has {} classes", numbers.len(), classes.len());
                ensure!(numbers.len() == classes.len(), invalid(message));
                Ok(numbers.clone())
            }
            Self::Rule(ClassWeightRule::Balanced) => {
                let mut counts = vec![0u64; classes.len()];
                labels.for_each(|label| counts[label as usize] += 1);
                let total = counts.iter().sum::<u64>() as f64;
                if let Some(empty) = counts.iter().position(|&count| count == 0) {
                    let message = format!(
                        "class `{}` has no training images; write one weight for each class",
                        classes[empty]
                    );
                    return Err(invalid(message).into());
                }
                Ok(counts.iter().map(|&count| total / (counts.len() as f64 * count as f64)).collect())
            }
        }
    }
}

/// A teacher beside the labels (1503.02531; with a token of its own 2012.12877).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationConfig {
    /// Public weights, a file, or the directory of a run, of as many classes as the data. It sees the student's images, in its
    /// own normalisation.
    pub teacher: InitConfig,
    /// The teacher's model, for a file that does not say what it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default)]
    pub kind: Distillation,
    /// The teacher's share of the loss; the rest is that of the labels.
    #[serde(default = "half")]
    pub alpha: f64,
    /// By which both logits are divided in `soft`.
    #[serde(default = "one")]
    pub temperature: f64,
}

/// What is learned from a teacher. A model with a distillation token learns it by that token's logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distillation {
    /// Its most probable class.
    #[default]
    Hard,
    /// All its probabilities: their Kullback-Leibler divergence, over the number of classes, times the temperature squared.
    Soft,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

impl DistillationConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let invalid =
            |key: &str, message: String| Invalid::value(&format!("train.distillation.{key}"), message);
        let Self { alpha, temperature, ref teacher, .. } = *self;
        ensure!((0.0..=1.0).contains(&alpha), invalid("alpha", format!("{alpha} is not between 0 and 1")));
        let message = format!("{temperature} is not a number above 0");
        ensure!(temperature > 0.0 && temperature.is_finite(), invalid("temperature", message));
        let parts = [("layers", !teacher.layers.is_empty()), ("head", teacher.head.is_some())];
        if let Some((key, _)) = parts.into_iter().find(|(_, given)| *given) {
            let message =
                "is for weights that are trained further, and a teacher is used as it is; remove it";
            return Err(invalid(&format!("teacher.{key}"), message.to_owned()).into());
        }
        let at = "train.distillation.teacher";
        let message = "is for trials of an experiment; write the directory of its run as `from`";
        ensure!(teacher.trial.is_none(), Invalid::value(&format!("{at}.trial"), message));
        Ok(teacher.validate(at)?)
    }
}
