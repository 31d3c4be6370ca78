//! The configuration of a training run, as written in YAML.

use super::ema_config::EmaConfig;
use super::init_config::InitConfig;
use super::loss_config::{ClassWeights, DistillationConfig, LossConfig};
use super::optimizer_config::OptimizerConfig;
use super::parts_config::GroupConfig;
use super::provenance::Provenance;
use super::schedule_config::{ScheduleConfig, Watched};
use crate::data::DataConfig;
use crate::evaluate::Protocol;
use crate::models::{Architecture, Complexity, ModelSpec};
use crate::torch::device;
use crate::yaml::Document;
use crate::{Invalid, Usage, brief};
use anyhow::{Error, Result, ensure};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_yaml::with::singleton_map;
use std::fmt;

/// Everything that decides a run: the same values and the same seed on the same CPU and thread count give the same
/// bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    pub model: ModelSpec,
    pub data: DataConfig,
    /// Weights that start from those of another net; all are initialised when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitConfig>,
    #[serde(default)]
    pub train: TrainConfig,
    /// How the trained weights are tested at the end, for `result.json`: `ten-crop`, `multi-scale:256,384,512`, … The tests
    /// between epochs look at the centre. Default: center.
    #[serde(default, skip_serializing_if = "Protocol::is_center")]
    pub protocol: Protocol,
    #[serde(default)]
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// Threads of one operation; all cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Where the settings are from; it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Provenance>,
}

fn auto() -> String {
    "auto".into()
}

impl RunConfig {
    /// The run that a document spells, checked as far as its data need not be read.
    ///
    /// # Errors
    /// A [`ConfigError`](crate::yaml::ConfigError): what is wrong in the file or in an override, and what to write.
    pub fn read(document: &Document) -> Result<Self> {
        if document.value().get("base").is_some() {
            let message = "this is an experiment, for `tchvision experiment run`; one run has `model` and `data` at the top";
            return Err(document.key_error(&["base"], message));
        }
        document.checked(|config: &Self| config.validate().and_then(|()| config.model.check()))
    }

    /// Checks what can be known without data or model.
    ///
    /// # Errors
    /// The key and its invalid value.
    pub fn validate(&self) -> Result<()> {
        let message = format!("no device is called `{}`; write cpu, cuda, cuda:1 or auto", self.device);
        ensure!(device::is_name(&self.device), Invalid::value("device", message));
        ensure!(self.threads != Some(0), Invalid::value("threads", "0 is impossible; use 1 or more"));
        self.init.as_ref().map_or(Ok(()), |init| init.validate("init"))?;
        self.data.validate()?;
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
        let message = format!(
            "the model has {outputs} classes and data set `{}` has {classes}: set `model.num_classes: {classes}`",
            self.data.dataset
        );
        let keys = ["model", "num_classes"].map(str::to_owned).into();
        ensure!(outputs == classes, Invalid { keys, unknown: false, message });
        Ok(complexity)
    }

    /// Checks that the model takes the images of a test, where they are of another size than those of training.
    ///
    /// # Errors
    /// A size that the model does not take, at `data.test_size`.
    pub fn check_test_size(&self, input: [i64; 3], classes: i64) -> Result<()> {
        let tested = self.data.tested(input)?;
        if tested == input {
            return Ok(());
        }
        self.architecture(input, classes)?.complexity(tested).map(drop).map_err(|error| {
            let message =
                format!("the model cannot be tested on another size than it trains on: {}", brief(&error));
            Invalid::value("data.test_size", message).into()
        })
    }

    /// Checks that the model can be tested by the run's protocol, on images of shape `input` (C, H, W) in training.
    ///
    /// # Errors
    /// A scale below the images' size, or views of whole pictures for a model whose features are no maps, at `protocol`.
    pub fn check_protocol(&self, input: [i64; 3], complexity: &Complexity) -> Result<()> {
        let invalid = |error: Error| Invalid::value("protocol", brief(&error));
        let features = complexity.stages.iter().rev().nth(1).map_or(&[][..], |stage| &stage.output);
        self.protocol.check(self.data.tested(input)?).map_err(invalid)?;
        self.protocol.check_features(features, complexity.input).map_err(invalid)?;
        let message = "a mean image has one size, and this looks at several; use ten-crop or multi-crop";
        ensure!(self.protocol.whole() == 0 || !self.data.mean_image, Invalid::value("protocol", message));
        Ok(())
    }

    /// An error of [`Self::complexity`], at the field of the model that causes it.
    pub(crate) fn blame(&self, error: &Error, input: [i64; 3], classes: i64) -> Error {
        self.model.blame(error, |model| {
            Self { model: model.clone(), ..self.clone() }.complexity(input, classes).is_ok()
        })
    }
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    pub epochs: u64,
    /// The run ends after this many optimizer steps, if the epochs are not over before; the schedule spans the shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The run ends with the epoch in which this many minutes have passed; how far it gets depends on the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// By what the best evaluation is known, for `patience`, `best.safetensors` and `keep_best`: `top1`, `top5` or `loss`.
    #[serde(skip_serializing_if = "is_top1")]
    pub metric: Watched,
    /// The run ends after this many evaluations in a row without a new best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Images of one step.
    pub batch_size: usize,
    /// Micro-batches of a step: each takes `batch_size`/`accumulate` images through the model, and one update follows the
    /// sum of their gradients. It saves memory and gives the gradient of the whole batch, but for batch norm, which sees a
    /// micro-batch at a time. Several processes share them (docs/distributed.md).
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    #[serde(serialize_with = "singleton_map::serialize")]
    pub optimizer: OptimizerConfig,
    #[serde(serialize_with = "singleton_map::serialize")]
    pub schedule: ScheduleConfig,
    /// Weight of the loss of each auxiliary head, for models that have them (1409.4842, section 5); 0 leaves them
    /// untrained.
    pub auxiliary_weight: f64,
    #[serde(
        serialize_with = "singleton_map::serialize",
        skip_serializing_if = "LossConfig::is_cross_entropy"
    )]
    pub loss: LossConfig,
    /// Probability spread over the wrong classes (1512.00567).
    pub label_smoothing: f64,
    /// How much each class counts in the cross-entropy, for data where some are rare: `balanced`, or a number for each.
    /// Default: all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// A teacher from whom to learn beside the labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<DistillationConfig>,
    /// Largest 2-norm of all gradients together; not clipped when absent.
    pub clip_grad_norm: Option<f64>,
    /// Largest absolute value of each number of the gradients; not clipped when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad_value: Option<f64>,
    /// Largest norm of the gradient of each unit as a fraction of the norm of its weights (adaptive gradient clipping,
    /// 2102.06171), of all but the last two parameters, as in timm; not clipped when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad_adaptive: Option<f64>,
    /// What is not trained: stages by name, `stem`, `head`, or patterns (regular expressions) over keys and what lies above
    /// them, such as `layer[12]`; `all` is everything but the classifier. Frozen batch norms are in evaluation mode.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Compute the features of the stages that are frozen from the input on once, where nothing random stands before them
    /// (no augmentation, no dropout), and keep them in memory; otherwise in every epoch.
    #[serde(skip_serializing_if = "is_true")]
    pub cache_features: bool,
    /// Parameters that learn faster, slower, or with another weight decay; of several for one parameter the scales
    /// multiply, and the last decay counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
    /// Learning rates that fall by this factor from layer to layer, from the head down (2106.08254), by the layers that timm
    /// counts. Default: the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// Keep only what goes into each stage, and compute the stages again on the way back (gradient checkpointing): less
    /// memory for about a third more time, and the same numbers (beside auxiliary heads but for rounding).
    #[serde(skip_serializing_if = "is_false")]
    pub checkpoint: bool,
    /// Apply weight decay to norms and biases too.
    pub decay_norm_and_bias: bool,
    /// An exponential moving average of the weights, which is what the run tests; none when absent.
    pub ema: Option<EmaConfig>,
    pub precision: Precision,
    /// Evaluate every this many epochs, and after the last.
    pub eval_every: u64,
    /// Images of one evaluation step.
    pub eval_batch_size: usize,
    /// Steps between two points of the training curve; 0 for none within an epoch.
    pub log_every: u64,
    /// Histograms of all parameters after each epoch, for TensorBoard.
    #[serde(skip_serializing_if = "is_false")]
    pub histograms: bool,
    /// Keep the weights of this many of the best evaluations: `best.safetensors`, and with more than 1 each as
    /// `epoch-N.safetensors` too.
    #[serde(skip_serializing_if = "is_one")]
    pub keep_best: usize,
    /// Keep the weights of these epochs, counted from 1, as `epoch-N.safetensors`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<u64>,
    /// Keep the optimizer's state in `last.safetensors` after the run's end; without it the run cannot be extended.
    #[serde(skip_serializing_if = "is_true")]
    pub keep_optimizer: bool,
    /// Start even if the memory estimate exceeds what is available.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_memory: bool,
    /// Save every this many steps as well; 0 saves only at the end of each epoch.
    pub save_every: u64,
}

/// A list of texts, or one.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Spelling;
    impl<'de> Visitor<'de> for Spelling {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list such as [stem, layer1], or `all`")
        }
        fn visit_str<E>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }
        fn visit_unit<E>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, many: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(many))
        }
    }
    deserializer.deserialize_any(Spelling)
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_top1(metric: &Watched) -> bool {
    *metric == Watched::Top1
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            steps: None,
            minutes: None,
            metric: Watched::Top1,
            patience: None,
            batch_size: 128,
            accumulate: 1,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            auxiliary_weight: 0.3,
            loss: LossConfig::CrossEntropy,
            label_smoothing: 0.0,
            class_weights: None,
            distillation: None,
            clip_grad_norm: None,
            clip_grad_value: None,
            clip_grad_adaptive: None,
            freeze: Vec::new(),
            cache_features: true,
            groups: Vec::new(),
            layer_decay: None,
            checkpoint: false,
            decay_norm_and_bias: true,
            ema: None,
            precision: Precision::Float32,
            eval_every: 1,
            eval_batch_size: 500,
            log_every: 50,
            histograms: false,
            keep_best: 1,
            keep: Vec::new(),
            keep_optimizer: true,
            allow_memory: false,
            save_every: 0,
        }
    }
}

impl TrainConfig {
    fn validate(&self) -> Result<()> {
        let invalid = |key: &str, message: String| Invalid::value(&format!("train.{key}"), message);
        let positive = |key: &str, x: f64| {
            ensure!(x > 0.0, invalid(key, format!("{x} is impossible; use a number above 0")));
            Ok(())
        };
        positive("epochs", self.epochs as f64)?;
        self.steps.map_or(Ok(()), |steps| positive("steps", steps as f64))?;
        self.minutes.map_or(Ok(()), |minutes| positive("minutes", minutes))?;
        self.patience.map_or(Ok(()), |patience| positive("patience", patience as f64))?;
        positive("batch_size", self.batch_size as f64)?;
        self.validate_accumulate()?;
        positive("eval_batch_size", self.eval_batch_size as f64)?;
        positive("keep_best", self.keep_best as f64)?;
        positive("eval_every", self.eval_every as f64)?;
        self.keep.iter().try_for_each(|&epoch| positive("keep", epoch as f64))?;
        let clips = [
            ("clip_grad_norm", self.clip_grad_norm),
            ("clip_grad_value", self.clip_grad_value),
            ("clip_grad_adaptive", self.clip_grad_adaptive),
        ];
        let clips: Vec<_> = clips.into_iter().filter_map(|(key, most)| Some((key, most?))).collect();
        clips.iter().try_for_each(|&(key, most)| positive(key, most))?;
        if let [(first, _), (second, _), ..] = clips.as_slice() {
            return Err(invalid(second, format!("is another way than `train.{first}`; remove one")).into());
        }
        let weight = self.auxiliary_weight;
        ensure!(
            weight >= 0.0 && weight.is_finite(),
            invalid("auxiliary_weight", format!("{weight} is not a number from 0 up"))
        );
        let unit = |key: &str, x: f64| {
            ensure!((0.0..1.0).contains(&x), invalid(key, format!("{x} is not in [0, 1)")));
            Ok(())
        };
        unit("label_smoothing", self.label_smoothing)?;
        if let Some(decay) = self.layer_decay {
            let message = format!("{decay} is not above 0 and at most 1");
            ensure!(decay > 0.0 && decay <= 1.0, invalid("layer_decay", message));
        }
        for (i, GroupConfig { lr_scale, weight_decay, .. }) in self.groups.iter().enumerate() {
            for (key, value) in [("lr_scale", lr_scale), ("weight_decay", weight_decay)] {
                let value = value.unwrap_or(0.0);
                let message = format!("{value} is not a number from 0 up");
                ensure!(value >= 0.0 && value.is_finite(), invalid(&format!("groups.{i}.{key}"), message));
            }
        }
        self.loss.validate()?;
        if let Some(weights) = &self.class_weights {
            weights.validate()?;
            let message = "is for the cross-entropy, and `train.loss` is another; remove one";
            ensure!(self.loss.is_cross_entropy(), invalid("class_weights", message.to_owned()));
        }
        self.distillation.as_ref().map_or(Ok(()), DistillationConfig::validate)?;
        self.ema.map_or(Ok(()), EmaConfig::validate)?;
        self.optimizer.validate()?;
        let others = [
            ("layer_decay", self.layer_decay.is_some()),
            ("groups", !self.groups.is_empty()),
            (clips.first().map_or("", |(key, _)| key), !clips.is_empty()),
            ("accumulate", self.accumulate > 1),
        ];
        if let (OptimizerConfig::Lbfgs(_), Some((key, _))) =
            (&self.optimizer, others.into_iter().find(|(_, given)| *given))
        {
            let message =
                "L-BFGS takes all parameters and gradients alike, and the batch as one; remove it".to_owned();
            return Err(invalid(key, message).into());
        }
        self.schedule.validate()
    }

    /// Images of one micro-batch.
    pub fn micro_batch_size(&self) -> usize {
        self.batch_size / self.accumulate
    }

    /// The micro-batches of a step over so many processes: `accumulate` of them, or more where each needs one and all the same
    /// number. A run keeps the number that it began with.
    ///
    /// # Errors
    /// What does not divide.
    pub fn micro_batches(&self, ranks: usize, begun: Option<usize>) -> Result<usize> {
        let &Self { accumulate, batch_size, .. } = self;
        let multiple = (1..=ranks).map(|n| n * accumulate).find(|parts| parts.is_multiple_of(ranks));
        let parts = begun.or(multiple).unwrap_or(accumulate);
        let message = format!(
            "the run began with {parts} micro-batches a step, which {ranks} processes cannot share alike: start as many as \
             divide {parts}, or another run"
        );
        ensure!(parts.is_multiple_of(ranks), Usage(message));
        let whole = batch_size.is_multiple_of(parts);
        let message = format!(
            "{batch_size} is not divided by the {parts} micro-batches of a step, which {ranks} processes share and \
             `train.accumulate: {accumulate}` asks for; use a multiple of {parts}"
        );
        ensure!(whole, Invalid::value("train.batch_size", message));
        let is_one = parts == 1 || !matches!(self.optimizer, OptimizerConfig::Lbfgs(_));
        let message = "L-BFGS takes the batch as one: start one process";
        ensure!(is_one, Invalid::value("train.optimizer", message));
        Ok(parts)
    }

    fn validate_accumulate(&self) -> Result<()> {
        let &Self { accumulate, batch_size, .. } = self;
        let invalid = |message: String| Invalid::value("train.accumulate", message);
        ensure!(accumulate > 0, invalid("0 is impossible; use a number above 0".to_owned()));
        let divides = |n: &usize| batch_size.is_multiple_of(*n);
        let below = (1..=accumulate.min(batch_size)).rev().find(divides).unwrap_or(1);
        let above = (accumulate..=batch_size).find(divides);
        let near = above.map_or(below.to_string(), |above| format!("{below} or {above}"));
        let message = format!("{accumulate} does not divide `train.batch_size: {batch_size}`; use {near}");
        ensure!(divides(&accumulate), invalid(message));
        Ok(())
    }
}

/// The arithmetic of the forward and backward pass; weights and optimizer stay float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Float32,
    /// float32, but with the factors of matrix products rounded to TF32 on a GPU; the same as float32 on the CPU.
    Tf32,
    /// bfloat16 by autocast.
    Bfloat16,
}
