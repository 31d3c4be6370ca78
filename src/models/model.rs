//! What every model is: a [`Config`] of named fields that builds a [`Model`] of stages and a head.

use crate::nn::{Head, Layer, Outputs, Store};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A network for images: (N, C, H, W) float32 in, logits (N, classes) out.
pub trait Model: Send + Sync {
    /// The stages of the features in order, by the names of their keys in the state_dict where they have one.
    fn stages(&self) -> Vec<(&str, &dyn Layer)>;

    /// What turns the last stage's features into logits: pooling and classifier.
    fn head(&self) -> &dyn Head;

    /// The logits of a batch.
    ///
    /// # Errors
    /// Images of another shape than the model takes.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.outputs(x, train)?.logits)
    }

    /// The logits of a batch, and the pooled vectors (N, D) that its classifier takes, in one pass.
    ///
    /// # Errors
    /// As [`Model::forward`].
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let mut x = x.shallow_clone();
        for (name, stage) in self.stages() {
            x = stage.forward(&x, train).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
        }
        self.head().outputs(&x, train).context("head")
    }

    /// Heads beside the last that help training: the stage whose output each takes, and its layers.
    fn auxiliaries(&self) -> Vec<(&str, &dyn Layer)> {
        Vec::new()
    }

    /// The logits of a batch, and those of the auxiliary heads in the order of their stages.
    ///
    /// # Errors
    /// As [`Model::forward`].
    fn forward_auxiliary(&self, x: &Tensor, train: bool) -> Result<(Tensor, Vec<Tensor>)> {
        let features = self.features(x, train)?;
        let last = features.last().map_or(x, |(_, feature)| feature);
        let mut auxiliary = Vec::new();
        for (stage, head) in self.auxiliaries() {
            let (_, feature) = features
                .iter()
                .find(|(name, _)| name == stage)
                .with_context(|| format!("no stage `{stage}` for an auxiliary head"))?;
            let logits = head.forward(feature, train);
            auxiliary.push(logits.with_context(|| format!("auxiliary head of `{stage}`"))?);
        }
        Ok((self.head().forward(last, train).context("head")?, auxiliary))
    }

    /// For a model with a distillation token (DeiT, 2012.12877): the logits of its class token and of that token, apart, for
    /// the output of the last stage. Its head gives their mean.
    ///
    /// # Errors
    /// As [`Model::forward`].
    fn token_logits(&self, _x: &Tensor, _train: bool) -> Result<Option<[Tensor; 2]>> {
        Ok(None)
    }

    /// The output of every stage, by name.
    ///
    /// # Errors
    /// As [`Model::forward`].
    fn features(&self, x: &Tensor, train: bool) -> Result<Vec<(String, Tensor)>> {
        let mut features: Vec<(String, Tensor)> = Vec::new();
        for (name, stage) in self.stages() {
            let x = features.last().map_or(x, |(_, feature)| feature);
            let y =
                stage.forward(x, train).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
            features.push((name.to_owned(), y));
        }
        Ok(features)
    }
}

/// The named fields that spell one architecture of a family. Scaling knobs are fields, so that a YAML file or a flag
/// can turn them.
pub trait Config: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Channels, height and width of the input that the papers and libraries state costs for.
    fn input(&self) -> [i64; 3];

    /// The network with its tensors in `store`.
    ///
    /// # Errors
    /// Fields that do not make a network, by name.
    fn build(&self, store: &Store) -> Result<Box<dyn Model>>;

    /// Fields that had another name: the old one, and what to write now.
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// What else to say to one who writes a field by its old name, such as another field whose meaning changed.
    fn renamed_note(&self) -> Option<&'static str> {
        None
    }
}

/// The library whose keys, tables and initial values a network has, where two know the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Library {
    Torchvision,
    Timm,
}
