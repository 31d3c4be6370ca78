//! One training run as a YAML file spells it.

use crate::data::DataConfig;
use crate::models::{Architecture, Complexity, ModelSpec};
use crate::weights::{self, StateFile};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_yaml::with::singleton_map;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::Tensor;

/// Everything that decides a run: the same values and the same seed on the same CPU and thread count give the same
/// bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    pub model: ModelSpec,
    pub data: DataConfig,
    /// Layers that start from another run's weights; all start anew when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitConfig>,
    #[serde(default)]
    pub train: TrainConfig,
    #[serde(default)]
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Threads of one operation; all cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

fn auto() -> String {
    "auto".into()
}

impl RunConfig {
    /// Checks what can be known without data or model.
    ///
    /// # Errors
    /// The key and the value that cannot be.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.threads != Some(0), "`threads`: 0 is not possible; use 1 or more");
        self.train.validate()
    }

    /// The model for images of shape `input` (C, H, W): `in_chans`, `num_classes` and `image_size` are those of the data
    /// unless the run says otherwise.
    ///
    /// # Errors
    /// An unknown model or field, or a value of the wrong type.
    pub fn architecture(&self, [channels, height, _]: [i64; 3], classes: i64) -> Result<Architecture> {
        let mut model = self.model.clone();
        let fields = model.resolve()?.fields()?;
        for (name, value) in [("in_chans", channels), ("num_classes", classes), ("image_size", height)] {
            if fields.contains_key(name) && !model.set.contains_key(name) {
                model.set.insert(name.into(), value.into());
            }
        }
        model.resolve()
    }

    /// What the model costs on images of shape `input` (C, H, W).
    ///
    /// # Errors
    /// A model that cannot be built, does not take such images, or has another number of outputs than `classes`.
    pub fn complexity(&self, input: [i64; 3], classes: i64) -> Result<Complexity> {
        let complexity = self.architecture(input, classes)?.complexity(input)?;
        let outputs = complexity.stages.last().and_then(|head| head.output.last()).copied().unwrap_or(0);
        ensure!(
            outputs == classes,
            "the model has {outputs} classes and data set `{}` has {classes}: set `model.num_classes: {classes}`",
            self.data.dataset
        );
        Ok(complexity)
    }
}

/// Layers taken over from trained weights, such as those of a shallower VGG (1409.1556, section 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// A file of weights, such as a run's `best.safetensors`.
    pub from: PathBuf,
    /// Each layer by its key in the model, and its key in the file: `features.5: features.3`.
    pub layers: BTreeMap<String, String>,
}

impl InitConfig {
    /// Copies the layers into `model`.
    ///
    /// # Errors
    /// A file that is none of weights, or layers that are not there or of other shapes.
    pub fn apply(&self, model: &[(String, Tensor)]) -> Result<()> {
        let layers: Vec<(String, String)> = self.layers.clone().into_iter().collect();
        let file = StateFile::open(&self.from)?;
        weights::take_over(&file.state_dict()?, model, &layers).context("`init`")
    }
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    pub epochs: u64,
    /// Optimizer steps after which the run ends, if the epochs are not over before; the schedule spans what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The run ends with the epoch in which so many minutes are over. How far it comes is then the machine's affair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// The run ends when so many evaluations in a row were not better than the best before them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    pub batch_size: usize,
    #[serde(with = "singleton_map")]
    pub optimizer: OptimizerConfig,
    #[serde(with = "singleton_map")]
    pub schedule: ScheduleConfig,
    /// Weight of the loss of each auxiliary head, for models that have them (1409.4842, section 5); 0 leaves them
    /// untrained.
    pub auxiliary_weight: f64,
    /// Probability spread over the wrong classes (1512.00567).
    pub label_smoothing: f64,
    /// Largest 2-norm of all gradients together; none when absent.
    pub clip_grad_norm: Option<f64>,
    /// Weight decay on norms and biases too.
    pub decay_norm_and_bias: bool,
    /// Decay of an exponential moving average of the weights; none when absent.
    pub ema: Option<f64>,
    pub precision: Precision,
    /// Evaluate every this many epochs, and after the last.
    pub eval_every: u64,
    /// Images of one evaluation step.
    pub eval_batch_size: usize,
    /// Steps between two points of the training curve; 0 for none within an epoch.
    pub log_every: u64,
    /// Save within an epoch too, every this many steps; 0 saves at the end of each epoch alone.
    pub save_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            steps: None,
            minutes: None,
            patience: None,
            batch_size: 128,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            auxiliary_weight: 0.3,
            label_smoothing: 0.0,
            clip_grad_norm: None,
            decay_norm_and_bias: true,
            ema: None,
            precision: Precision::Float32,
            eval_every: 1,
            eval_batch_size: 500,
            log_every: 50,
            save_every: 0,
        }
    }
}

impl TrainConfig {
    fn validate(&self) -> Result<()> {
        ensure!(self.epochs > 0, "`train.epochs`: 0 trains nothing");
        ensure!(self.steps != Some(0), "`train.steps`: 0 trains nothing");
        ensure!(self.patience != Some(0), "`train.patience`: 0 is not possible; use 1 or more");
        if let Some(minutes) = self.minutes {
            ensure!(minutes > 0.0, "`train.minutes`: {minutes} must be positive");
        }
        let weight = self.auxiliary_weight;
        ensure!(
            weight >= 0.0 && weight.is_finite(),
            "`train.auxiliary_weight`: {weight} must not be negative"
        );
        ensure!(self.batch_size > 0, "`train.batch_size` must be positive");
        ensure!(self.eval_batch_size > 0, "`train.eval_batch_size` must be positive");
        ensure!(self.eval_every > 0, "`train.eval_every` must be positive");
        let unit = |key: &str, x: f64| {
            ensure!((0.0..1.0).contains(&x), "`train.{key}`: {x} is not in [0, 1)");
            Ok(())
        };
        unit("label_smoothing", self.label_smoothing)?;
        self.ema.map_or(Ok(()), |decay| unit("ema", decay))?;
        if let Some(norm) = self.clip_grad_norm {
            ensure!(norm > 0.0, "`train.clip_grad_norm`: {norm} must be positive");
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}

/// In which numbers the forward and backward pass compute; weights and optimizer stay float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Float32,
    /// bfloat16 by autocast.
    Bfloat16,
}

/// The rule of the update: one of the names below with its own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerConfig {
    Sgd(Sgd),
    AdamW(AdamW),
    RmsProp(RmsProp),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(Sgd::default())
    }
}

impl OptimizerConfig {
    /// The learning rate before the schedule.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.lr,
            Self::AdamW(c) => c.lr,
            Self::RmsProp(c) => c.lr,
        }
    }

    /// The weight decay of the parameters that have any.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.weight_decay,
            Self::AdamW(c) => c.weight_decay,
            Self::RmsProp(c) => c.weight_decay,
        }
    }

    fn validate(&self) -> Result<()> {
        let not_negative = |key: &str, x: f64| {
            ensure!(x >= 0.0 && x.is_finite(), "`train.optimizer`: {key} {x} must not be negative");
            Ok(())
        };
        let unit = |key: &str, x: f64| {
            ensure!((0.0..1.0).contains(&x), "`train.optimizer`: {key} {x} is not in [0, 1)");
            Ok(())
        };
        not_negative("lr", self.lr())?;
        not_negative("weight_decay", self.weight_decay())?;
        match self {
            Self::Sgd(c) => {
                unit("momentum", c.momentum)?;
                ensure!(!c.nesterov || c.momentum > 0.0, "`train.optimizer.sgd`: nesterov needs a momentum");
                Ok(())
            }
            Self::AdamW(c) => {
                c.betas.iter().try_for_each(|&beta| unit("betas", beta))?;
                not_negative("eps", c.eps)
            }
            Self::RmsProp(c) => {
                unit("alpha", c.alpha)?;
                unit("momentum", c.momentum)?;
                not_negative("eps", c.eps)
            }
        }
    }
}

/// `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

/// `torch.optim.AdamW`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// `torch.optim.RMSprop`; with `tf` the variant of TensorFlow that the MobileNet and EfficientNet papers trained with
/// (eps inside the root, the mean square starting at 1, the learning rate inside the momentum), as timm's `RMSpropTF`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    pub lr: f64,
    pub alpha: f64,
    pub momentum: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub tf: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, momentum: 0.0, eps: 1e-8, weight_decay: 0.0, tf: false }
    }
}

/// How the learning rate goes over the run, per step, after a linear warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleConfig {
    Constant(Warmup),
    /// Times `gamma` every `every` epochs.
    Step(Step),
    /// Times `gamma` at each of the epochs in `milestones`.
    MultiStep(MultiStep),
    /// Half a cosine down to `final_lr` times the learning rate.
    Cosine(Cosine),
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl ScheduleConfig {
    /// Epochs of linear warm-up.
    pub fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Constant(c) => c.warmup_epochs,
            Self::Step(c) => c.warmup_epochs,
            Self::MultiStep(c) => c.warmup_epochs,
            Self::Cosine(c) => c.warmup_epochs,
        }
    }

    fn validate(&self) -> Result<()> {
        let warmup = self.warmup_epochs();
        let negative = "`train.schedule`: warmup_epochs must not be negative";
        ensure!(warmup >= 0.0 && warmup.is_finite(), "{negative}");
        match self {
            Self::Constant(_) => {}
            Self::Step(c) => ensure!(c.every > 0, "`train.schedule.step.every` must be positive"),
            Self::MultiStep(c) => ensure!(
                c.milestones.windows(2).all(|pair| pair[0] < pair[1]),
                "`train.schedule.multi_step.milestones` must rise"
            ),
            Self::Cosine(c) => {
                ensure!(
                    (0.0..=1.0).contains(&c.final_lr),
                    "`train.schedule.cosine.final_lr` is not in [0, 1]"
                );
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    pub warmup_epochs: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub every: u64,
    #[serde(default = "tenth")]
    pub gamma: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    pub milestones: Vec<u64>,
    #[serde(default = "tenth")]
    pub gamma: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    pub warmup_epochs: f64,
    /// The last learning rate as a fraction of the first.
    pub final_lr: f64,
}

fn tenth() -> f64 {
    0.1
}
