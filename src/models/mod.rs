//! Model definitions and the registry that finds them by name.
//!
//! One file a family: its `Config`, its blocks, its network. A [`Model`] is the stages of its features and a head;
//! everything else (features, cost, freezing, surgery) follows from that.

pub mod alexnet;
pub mod bn_inception;
pub mod convnext;
pub mod densenet;
pub mod efficientnet;
pub mod googlenet;
pub mod inception_resnet_v2;
pub mod inception_v3;
pub mod inception_v4;
pub mod maxvit;
pub mod mnasnet;
pub mod mobile;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
mod net;
pub mod registry;
pub mod regnet;
pub mod resnet;
pub mod shufflenet_v2;
mod spec;
pub mod squeezenet;
pub mod swin;
pub mod vgg;
pub mod vit;
pub mod xception;
pub mod xception_aligned;

pub use registry::{Entry, entries, find};
pub use spec::{Architecture, ModelSpec};

use crate::nn::{self, Cost, Layer, Store};
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A network for images: (N, C, H, W) float32 in, logits (N, classes) out.
pub trait Model: Send {
    /// The stages of the features in order, by the names of their keys in the state_dict where they have one.
    fn stages(&self) -> Vec<(&str, &dyn Layer)>;

    /// What turns the last stage's features into logits: pooling and classifier.
    fn head(&self) -> &dyn Layer;

    /// The logits of a batch.
    ///
    /// # Errors
    /// Images of another shape than the model takes.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = x.shallow_clone();
        for (name, stage) in self.stages() {
            x = stage.forward(&x, train).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
        }
        self.head().forward(&x, train).context("head")
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
    /// Fields that had another name: the old one, and what to write now.
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Channels, height and width of the input that the papers and libraries state costs for.
    fn input(&self) -> [i64; 3];

    /// The network with its tensors in `store`.
    ///
    /// # Errors
    /// Fields that do not make a network, by name.
    fn build(&self, store: &Store) -> Result<Box<dyn Model>>;
}

/// The library whose keys, tables and initial values a network has, where two know the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Library {
    Torchvision,
    Timm,
}

/// What one image costs, in all and stage by stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complexity {
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    pub input: [i64; 3],
    pub stages: Vec<StageComplexity>,
}

/// The share of one stage, or of the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageComplexity {
    pub name: String,
    /// Shape of the output for one image, without the batch.
    pub output: Vec<i64>,
    pub macs: u64,
    pub activations: u64,
}

/// Counts a model by a dry run on the meta device: nothing is allocated.
///
/// # Errors
/// A configuration that makes no network, or an input it cannot take.
pub(crate) fn complexity(config: &impl Config, input: [i64; 3]) -> Result<Complexity> {
    ensure!(input.iter().all(|&n| n > 0), "input {input:?}: every number must be positive");
    let store = Store::meta();
    let model = config.build(&store)?;
    let _no_grad = tch::no_grad_guard();
    let mut x = crate::torch::empty_meta(&[1, input[0], input[1], input[2]], tch::Kind::Float)?;
    let mut total =
        Complexity { params: store.count_parameters(), macs: 0, activations: 0, input, stages: Vec::new() };
    let head: (&str, &dyn Layer) = ("head", model.head());
    for (name, stage) in model.stages().into_iter().chain([head]) {
        let (y, Cost { macs, activations }) = nn::cost::measure(|| stage.forward(&x, false));
        x = y.with_context(|| format!("`{name}` cannot take {:?} (model input {input:?})", x.size()))?;
        total.macs += macs;
        total.activations += activations;
        let output = x.size()[1..].to_vec();
        total.stages.push(StageComplexity { name: name.to_owned(), output, macs, activations });
    }
    Ok(total)
}
