//! The evaluation loop: pictures through a model, batch by batch.

use super::{Batch, Input, Protocol, Scores, Source, probabilities};
use crate::data::image::RgbImage;
use crate::data::{ModelInput, Skipped};
use crate::models::Model;
use crate::nn::Outputs;
use crate::torch::Autocast;
use anyhow::{Context, Result, ensure};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};

/// Views that go through the network at once, where pictures have several.
const MAX_VIEWS: usize = 64;

/// A model with what makes scores of pictures.
pub struct Evaluator<'a> {
    model: &'a dyn Model,
    /// Where the model is.
    device: Device,
    input: &'a ModelInput,
    autocast: Option<Kind>,
    /// Where views are of whole pictures: how many are, and height and width of the features that the head takes.
    whole: Option<(usize, [i64; 2])>,
}

/// Hears every batch of a source with its scores (N, classes) in float32 on the device, and what they are.
type Each<'a> = &'a mut dyn FnMut(&Batch, Tensor, Scores) -> Result<ControlFlow<()>>;

impl<'a> Evaluator<'a> {
    pub fn new(model: &'a dyn Model, device: Device, input: &'a ModelInput) -> Self {
        Self { model, device, input, autocast: None, whole: None }
    }

    /// For the views of a protocol.
    ///
    /// # Errors
    /// As [`Protocol::check`], and a model or an input that has no views of whole pictures: these need features that are
    /// maps, and a mean that is a colour.
    pub fn viewing(self, protocol: &Protocol) -> Result<Self> {
        protocol.check(self.input.shape())?;
        if protocol.whole() == 0 {
            return Ok(self);
        }
        let statistics = &self.input.statistics;
        ensure!(
            statistics.mean.len() == statistics.std.len(),
            "a mean image has one size, and {protocol} looks at several; take ten-crop or multi-crop"
        );
        let _no_grad = tch::no_grad_guard();
        let [c, h, w] = self.input.shape();
        let x = Tensor::f_zeros([1, c, h, w], (Kind::Float, self.device))?;
        let shape = last_features(self.model, &x)?.size();
        protocol.check_features(&shape[1..], self.input.shape())?;
        Ok(Self { whole: Some((protocol.whole(), [shape[2], shape[3]])), ..self })
    }

    /// Convolutions and matrix products are in this dtype, by autocast.
    pub fn autocast(self, kind: Kind) -> Self {
        Self { autocast: Some(kind), ..self }
    }

    /// The evaluation loop: `each` hears every batch with its scores, logits, or where pictures have several views the mean
    /// of their probabilities; `skipped` of pictures that cannot be read; a batch of nothing else has no scores.
    ///
    /// # Errors
    /// As [`Source::batches`], pictures that the model does not take, and those of `each`.
    pub fn run(&self, source: &dyn Source, skipped: &mut dyn FnMut(Skipped), each: Each) -> Result<()> {
        run(source, skipped, &|input| self.scores(input, 0), each)
    }

    /// The scores of pictures; `way` is the preprocess, among those of the source, that made its views.
    fn scores(&self, input: &Input, way: usize) -> Result<(Tensor, Scores)> {
        Ok(match input {
            Input::Images(images) => {
                (self.logits(&self.input.of_tensor(images, self.device)?)?, Scores::Logits)
            }
            Input::Views(ways) if ways[way].iter().all(|views| views.len() == 1) => {
                let input = self.input.of_views(ways[way].iter().flatten(), self.device)?;
                (self.logits(&input)?, Scores::Logits)
            }
            Input::Views(ways) => (self.means(&ways[way])?, Scores::Probabilities),
        })
    }

    /// The probabilities (N, classes) of pictures by their views, the mean of the views' softmax, on the CPU.
    ///
    /// # Errors
    /// No pictures, or views that are not this protocol's.
    pub fn probabilities(&self, pictures: &[Vec<RgbImage>]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.means(pictures)?.f_to_device(Device::Cpu)?)
    }

    /// The mean over whole pictures, over crops, or of both means, which count the same.
    fn means(&self, pictures: &[Vec<RgbImage>]) -> Result<Tensor> {
        let (count, window) = self.whole.unwrap_or_default();
        let mut means = Vec::new();
        if count > 0 {
            let mean = |views: &Vec<RgbImage>| -> Result<Tensor> {
                let each = views.iter().take(count).map(|view| {
                    let logits = self.dense(&self.input.of_views([view], self.device)?, window)?;
                    probabilities(&logits)
                });
                let each = Tensor::f_cat(&each.collect::<Result<Vec<_>>>()?, 0)?;
                Ok(each.f_mean_dim(&[0i64][..], true, Kind::Float)?)
            };
            means.push(Tensor::f_cat(&pictures.iter().map(mean).collect::<Result<Vec<_>>>()?, 0)?);
        }
        let crops: Vec<&RgbImage> = pictures.iter().flat_map(|views| views.iter().skip(count)).collect();
        if !crops.is_empty() {
            let softmax = |views: &[&RgbImage]| -> Result<Tensor> {
                let input = self.input.of_views(views.iter().copied(), self.device)?;
                probabilities(&self.logits(&input)?)
            };
            let each = crops.chunks(MAX_VIEWS).map(softmax).collect::<Result<Vec<_>>>()?;
            let each = Tensor::f_cat(&each, 0)?;
            let each = each.f_view([pictures.len() as i64, -1, each.size2()?.1])?;
            means.push(each.f_mean_dim(&[1i64][..], false, Kind::Float)?);
        }
        Ok(Tensor::f_stack(&means, 0)?.f_mean_dim(&[0i64][..], false, Kind::Float)?)
    }

    /// The logits (N, classes) of inputs.
    fn logits(&self, input: &Tensor) -> Result<Tensor> {
        Ok(self.outputs(input)?.logits)
    }

    /// Logits and pooled vectors of inputs (N, C, H, W), float32.
    ///
    /// # Errors
    /// Inputs that the model does not take.
    pub fn outputs(&self, input: &Tensor) -> Result<Outputs> {
        let _autocast = self.precision()?;
        let Outputs { pooled, logits } = self.model.outputs(input, false)?;
        Ok(Outputs { pooled: pooled.f_to_kind(Kind::Float)?, logits: logits.f_to_kind(Kind::Float)? })
    }

    /// The dtype of convolutions and matrix products, while the guard lives.
    fn precision(&self) -> Result<Option<Autocast>> {
        self.autocast.map(|kind| Autocast::new(self.device, kind)).transpose()
    }

    /// The logits (1, classes) of one view of any size: the mean over every place where the head fits on the features.
    fn dense(&self, x: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
        let _autocast = self.precision()?;
        let features = last_features(self.model, x)?;
        let shape = features.size();
        ensure!(
            shape.len() == 4 && shape[2] >= height && shape[3] >= width,
            "features {shape:?} are smaller than the head's {height}×{width}: the picture's side is below the input's"
        );
        let places = features.f_unfold(2, height, 1)?.f_unfold(3, width, 1)?.f_permute([0, 2, 3, 1, 4, 5])?;
        let places = places.f_reshape([-1, shape[1], height, width])?;
        let logits = self.model.head().forward(&places, false).context("head")?;
        Ok(logits.f_mean_dim(&[0i64][..], true, Kind::Float)?)
    }
}

/// Networks whose probabilities are averaged; one alone gives its own scores.
pub struct Ensemble<'a>(pub Vec<Member<'a>>);

/// A network among others.
pub struct Member<'a> {
    pub evaluator: Evaluator<'a>,
    /// Which preprocess of the source makes its views.
    pub way: usize,
    /// Its output for each class of the ensemble; `None` where these are its own.
    pub outputs: Option<Vec<i64>>,
}

impl Ensemble<'_> {
    /// As [`Evaluator::run`], with the mean of the members' probabilities.
    ///
    /// # Errors
    /// As [`Evaluator::run`].
    pub fn run(&self, source: &dyn Source, skipped: &mut dyn FnMut(Skipped), each: Each) -> Result<()> {
        run(source, skipped, &|input| self.scores(input), each)
    }

    fn scores(&self, input: &Input) -> Result<(Tensor, Scores)> {
        if let [Member { evaluator, way, outputs: None }] = &self.0[..] {
            return evaluator.scores(input, *way);
        }
        let of_member = |member: &Member| -> Result<Tensor> {
            let probabilities = match member.evaluator.scores(input, member.way)? {
                (logits, Scores::Logits) => probabilities(&logits)?,
                (probabilities, Scores::Probabilities) => probabilities,
            };
            let Some(outputs) = &member.outputs else { return Ok(probabilities) };
            let outputs = Tensor::f_from_slice(outputs)?.f_to_device(probabilities.device())?;
            Ok(probabilities.f_index_select(1, &outputs)?)
        };
        let each = self.0.iter().map(of_member).collect::<Result<Vec<_>>>()?;
        let mean = Tensor::f_stack(&each, 0)?.f_mean_dim(&[0i64][..], false, Kind::Float)?;
        Ok((mean, Scores::Probabilities))
    }
}

/// The evaluation loop.
fn run(
    source: &dyn Source,
    skipped: &mut dyn FnMut(Skipped),
    scores: &dyn Fn(&Input) -> Result<(Tensor, Scores)>,
    each: Each,
) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    source.batches(&mut |mut batch| {
        batch.skipped.drain(..).for_each(&mut *skipped);
        if batch.labels.numel() == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let (scores, kind) = scores(&batch.input)?;
        each(&batch, scores, kind)
    })
}

/// The features that the head takes.
fn last_features(model: &dyn Model, x: &Tensor) -> Result<Tensor> {
    let mut x = x.shallow_clone();
    for (name, stage) in model.stages() {
        x = stage.forward(&x, false).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
    }
    Ok(x)
}
