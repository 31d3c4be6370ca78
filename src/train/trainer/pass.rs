//! Forward and backward of a micro-batch.

use super::evaluation::count_correct;
use super::network::{Network, Outputs};
use super::running::Statistics;
use crate::nn::Layer;
use crate::torch::GeneratorState;
use crate::train::TrainConfig;
use crate::train::loss::{Criterion, distillation};
use crate::train::ranks::Reducer;
use anyhow::{Context, Result};
use tch::Tensor;

/// A micro-batch to learn from.
pub struct Lesson {
    /// What the trained stages see of the images.
    pub features: Tensor,
    /// Int64 (N).
    pub labels: Tensor,
    /// What the loss wants: the labels, or shares of the classes (N, classes).
    pub targets: Tensor,
    /// The teacher's logits, where there is one.
    pub taught: Option<Tensor>,
}

/// What a pass found.
pub struct Passed {
    /// The main head's mean loss, times the share.
    pub loss: Tensor,
    /// How many images were classified correctly.
    pub correct: Tensor,
    /// All that is minimised, times the share.
    pub minimised: Tensor,
}

/// Forward and backward of images that are this share of a step's; a reducer sums the gradients over the ranks.
pub fn pass(
    config: &TrainConfig,
    network: &Network,
    criterion: &Criterion,
    lesson: &Lesson,
    share: f64,
    mut reducer: Option<&mut Reducer>,
) -> Result<Passed> {
    reducer.as_mut().map_or(Ok(()), |reducer| reducer.before_forward())?;
    let mut before_backward = |passed: &Passed| {
        reducer.as_mut().map_or(Ok(()), |reducer| reducer.before_backward(&passed.minimised))
    };
    let helped = config.auxiliary_weight != 0.0 && !network.model.auxiliaries().is_empty();
    let tokens = config.distillation.is_some();
    if config.checkpoint {
        let forward = Checkpointed::forward(network, &lesson.features)?;
        let outputs = network.outputs(&forward.outputs, helped, tokens)?;
        let passed = measure(config, criterion, outputs, lesson, share)?;
        before_backward(&passed)?;
        passed.minimised.f_backward()?;
        forward.backward(network)?;
        return Ok(passed.detached());
    }
    let mut outputs = vec![("", lesson.features.shallow_clone())];
    for stage in network.trained() {
        let (_, x) = outputs.last().context("no input")?;
        let x = network.stage(stage, x, true)?;
        if !helped {
            outputs.clear();
        }
        outputs.push((stage.0, x));
    }
    let outputs = network.outputs(&outputs, helped, tokens)?;
    let passed = measure(config, criterion, outputs, lesson, share)?;
    before_backward(&passed)?;
    passed.minimised.f_backward()?;
    Ok(passed.detached())
}

impl Passed {
    fn detached(self) -> Self {
        let [loss, minimised] = [&self.loss, &self.minimised].map(Tensor::detach);
        Self { loss, minimised, ..self }
    }
}

fn measure(
    config: &TrainConfig,
    criterion: &Criterion,
    outputs: Outputs,
    lesson: &Lesson,
    share: f64,
) -> Result<Passed> {
    let Outputs { logits, distilled, auxiliary } = outputs;
    let Lesson { labels, targets, taught, .. } = lesson;
    let shared = |loss: Tensor| if share == 1.0 { Ok(loss) } else { loss.f_mul_scalar(share) };
    let loss = shared(criterion.loss(&logits, targets)?)?;
    let mut minimised = loss.shallow_clone();
    if let (Some(settings), Some(taught)) = (&config.distillation, taught) {
        let student = distilled.as_ref().unwrap_or(&logits);
        let taught = shared(distillation(settings, student, taught)?)?;
        minimised = loss.f_mul_scalar(1.0 - settings.alpha)?.f_add(&taught.f_mul_scalar(settings.alpha)?)?;
    }
    for logits in &auxiliary {
        let loss = shared(criterion.loss(logits, targets)?)?;
        minimised = minimised.f_add(&loss.f_mul_scalar(config.auxiliary_weight)?)?;
    }
    let logits = logits.detach();
    let both = match distilled {
        Some(distilled) => logits.f_add(&distilled.detach())?,
        None => logits,
    };
    Ok(Passed { loss, correct: count_correct(&both, labels)?, minimised })
}

/// A forward pass of which only what goes into each stage is kept: on the way back each stage is computed again
/// (1604.06174), with the same random numbers, which takes the memory of one stage at a time.
struct Checkpointed<'a> {
    /// The input and the output of each trained stage; each is a leaf of its own.
    outputs: Vec<(&'a str, Tensor)>,
    stages: Vec<(&'a str, &'a dyn Layer)>,
    /// Of the generator before each stage.
    states: Vec<GeneratorState>,
}

impl<'a> Checkpointed<'a> {
    fn forward(network: &'a Network, features: &Tensor) -> Result<Self> {
        let mut outputs = vec![("", features.shallow_clone())];
        let (stages, mut states) = (network.trained(), Vec::new());
        for stage in &stages {
            let (_, x) = outputs.last().context("no input")?;
            states.push(GeneratorState::save(network.device)?);
            let y = {
                let _no_grad = tch::no_grad_guard();
                network.stage(*stage, x, true)?
            };
            outputs.push((stage.0, y.detach().set_requires_grad(true)));
        }
        Ok(Self { outputs, stages, states })
    }

    /// The gradients of the stages, from those of their outputs.
    fn backward(mut self, network: &Network) -> Result<()> {
        let end = GeneratorState::save(network.device)?;
        // What computing a stage again adds to its running statistics is taken back.
        let statistics = Statistics::of(&network.store);
        let kept = statistics.copy()?;
        for (stage, state) in self.stages.into_iter().zip(self.states).rev() {
            let gradient = self.outputs.pop().context("a stage without an output")?.1.grad();
            let (_, x) = self.outputs.last().context("a stage without an input")?;
            state.restore()?;
            let y = network.stage(stage, x, true)?;
            // The gradient of this sum by y is `gradient` itself.
            y.f_mul(&gradient)?.f_sum(y.kind())?.f_backward()?;
        }
        statistics.write(&kept)?;
        end.restore()
    }
}
