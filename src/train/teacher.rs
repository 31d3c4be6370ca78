//! The teacher of a run that distils one.

use super::config::{Precision, RunConfig};
use super::event::Event;
use super::init_config::InitConfig;
use super::loss_config::DistillationConfig;
use super::run_dir::RunDir;
use super::run_weights::RunWeights;
use crate::data::{ModelInput, Statistics};
use crate::models::{Model, ModelSpec};
use crate::torch::{self, Autocast};
use crate::weights::catalogue::Entry;
use crate::weights::{self, Classes, Mapping, Pretrained, StateFile};
use crate::{Invalid, brief};
use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

/// Where the teacher stands in a run's configuration.
pub(super) const PLACE: &str = "train.distillation.teacher";

/// A teacher whose weights are found, before its model is built.
pub(super) struct Hired<'a> {
    init: &'a InitConfig,
    spec: ModelSpec,
    /// How its pictures are prepared, where it is known.
    input: Option<ModelInput>,
    state: StateFile,
}

impl<'a> Hired<'a> {
    /// The teacher of a run in `dir` on images of shape `images` (C, H, W), its weights fetched where they are elsewhere.
    ///
    /// # Errors
    /// Weights that cannot be had, or of another number of classes.
    pub fn find(
        config: &'a DistillationConfig,
        dir: &RunDir,
        images: [i64; 3],
        classes: i64,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        if let Some(known) = config.known()? {
            // Before anything is fetched.
            config.fitted(known, images, classes)?;
        }
        let init = &config.teacher;
        let path = init.path(dir, observe).context(PLACE)?;
        let weights = RunWeights::open(&path, init.key.as_deref()).context(PLACE)?;
        let input = init.input(&weights)?;
        let known = match &weights.about {
            Some(about) => Some(about.model.clone()),
            None => config.known()?,
        };
        let Some(known) = known else {
            let message =
                format!("{} does not say what it is of; write `model: NAME` beside it", path.display());
            bail!(Invalid::value(PLACE, message));
        };
        let spec = config.fitted(known, images, classes)?;
        let state = init.state(weights, PLACE)?;
        Ok(Self { init, spec, input, state })
    }

    /// The model, for a student whose images are normalised by `student`.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn build(self, student: &Statistics, device: Device, precision: Precision) -> Result<Teacher> {
        let map = self.init.map.as_deref().map(Mapping::read).transpose()?;
        let pretrained = weights::pretrained_by(map.as_ref(), &self.spec, &self.state, Classes::New, device);
        let Pretrained { model, store, fresh, .. } = pretrained.context(PLACE)?;
        let message = format!("{} has no {}", self.init, fresh.join(", "));
        ensure!(fresh.is_empty(), Invalid::value(PLACE, message));
        store.channels_last()?;
        if precision != Precision::Bfloat16 {
            store.freeze(Kind::Float);
        }
        let renormalise = match &self.input {
            Some(input) if input.statistics != *student => renormalised(student, &input.statistics, device)?,
            _ => None,
        };
        Ok(Teacher { model, renormalise, device, precision })
    }

    /// For the lines before a run.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.init, self.spec.name)
    }
}

impl DistillationConfig {
    /// The teacher's model as far as its name says it.
    fn known(&self) -> Result<Option<ModelSpec>> {
        match &self.model {
            Some(model) => Ok(Some(ModelSpec::new(model))),
            None => self.teacher.entry()?.map(Entry::spec).transpose(),
        }
    }

    /// The teacher's model for images of shape `images` (C, H, W).
    fn fitted(&self, mut spec: ModelSpec, images: [i64; 3], classes: i64) -> Result<ModelSpec> {
        let invalid = |error: anyhow::Error| Invalid::value("train.distillation.model", brief(&error));
        let fields = spec.resolve().and_then(|architecture| architecture.fields()).map_err(invalid)?;
        let of_data = self.model.is_some().then_some(("num_classes", classes));
        for (name, value) in [("image_size", images[1]), ("in_chans", images[0])].into_iter().chain(of_data) {
            if fields.contains_key(name) {
                spec.set.insert(name.into(), value.into());
            }
        }
        let complexity = spec.resolve()?.complexity(images).map_err(invalid)?;
        let outputs = complexity.stages.last().and_then(|head| head.output.last()).copied().unwrap_or(0);
        let message = format!(
            "{} has {outputs} classes and the data has {classes}; fine-tune it on this data first (`init`), and name the \
             directory of that run",
            self.teacher
        );
        ensure!(outputs == classes, Invalid::value(PLACE, message));
        Ok(spec)
    }
}

impl RunConfig {
    /// Checks that the teacher fits images of shape `input` (C, H, W), as far as that is known without its weights.
    ///
    /// # Errors
    /// A teacher of other classes, or one that does not take such images.
    pub(crate) fn check_teacher(&self, input: [i64; 3], classes: i64) -> Result<()> {
        let Some(distillation) = &self.train.distillation else { return Ok(()) };
        match distillation.known()? {
            Some(known) => distillation.fitted(known, input, classes).map(drop),
            None => Ok(()),
        }
    }
}

/// Scale and shift, both (1, C, 1, 1), from one normalisation of pixels to another; `None` where a mean image has no colours
/// to go by.
fn renormalised(from: &Statistics, to: &Statistics, device: Device) -> Result<Option<[Tensor; 2]>> {
    let channels = from.std.len();
    if [&from.mean, &to.mean, &to.std].iter().any(|list| list.len() != channels) {
        return Ok(None);
    }
    let column = |of: &dyn Fn(usize) -> f32| -> Result<Tensor> {
        let values: Vec<f32> = (0..channels).map(of).collect();
        torch::upload(&Tensor::f_from_slice(&values)?.f_view([1, -1, 1, 1])?, device)
    };
    let scale = column(&|i| from.std[i] / to.std[i])?;
    let shift = column(&|i| (from.mean[i] - to.mean[i]) / to.std[i])?;
    Ok(Some([scale, shift]))
}

/// A trained model that shows a student what it sees.
pub(super) struct Teacher {
    model: Box<dyn Model>,
    /// From the student's normalisation to its own.
    renormalise: Option<[Tensor; 2]>,
    device: Device,
    precision: Precision,
}

impl Teacher {
    /// Its logits in float32 for images as the student sees them, without a gradient.
    ///
    /// # Errors
    /// Images that it does not take.
    pub fn logits(&self, images: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let images = match &self.renormalise {
            Some([scale, shift]) => images.f_mul(scale)?.f_add(shift)?,
            None => images.shallow_clone(),
        };
        let _autocast = match self.precision {
            Precision::Bfloat16 => Some(Autocast::new(self.device, Kind::BFloat16)?),
            Precision::Float32 | Precision::Tf32 => None,
        };
        Ok(self.model.forward(&images, false).context("the teacher")?.f_to_kind(Kind::Float)?)
    }
}
