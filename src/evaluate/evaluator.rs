//! The evaluation loop: pictures through a model, batch by batch.

use super::{Batch, Input, Protocol, Source};
use crate::data::image::RgbImage;
use crate::data::{ModelInput, Skipped};
use crate::models::Model;
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
    /// For dense protocols: height and width of the features that the head takes.
    window: Option<[i64; 2]>,
}

impl<'a> Evaluator<'a> {
    pub fn new(model: &'a dyn Model, device: Device, input: &'a ModelInput) -> Self {
        Self { model, device, input, autocast: None, window: None }
    }

    /// For the views of a protocol.
    ///
    /// # Errors
    /// A model that cannot be tested so: a dense protocol needs features that are maps.
    pub fn viewing(self, protocol: Protocol) -> Result<Self> {
        if !protocol.is_dense() {
            return Ok(self);
        }
        let _no_grad = tch::no_grad_guard();
        let [c, h, w] = self.input.shape();
        let x = Tensor::f_zeros([1, c, h, w], (Kind::Float, self.device))?;
        let shape = last_features(self.model, &x)?.size();
        ensure!(
            shape.len() == 4,
            "features of shape {shape:?} are no maps: this model has no dense protocol; take center or ten-crop"
        );
        Ok(Self { window: Some([shape[2], shape[3]]), ..self })
    }

    /// Convolutions and matrix products are in this dtype, by autocast.
    pub fn autocast(self, kind: Kind) -> Self {
        Self { autocast: Some(kind), ..self }
    }

    /// The evaluation loop. `each` hears every batch of the source with its scores (N, classes) in float32 on the
    /// device, the larger the likelier: logits, or where pictures have several views the mean of their probabilities.
    /// `skipped` hears of pictures that cannot be read; a batch of nothing else has no scores.
    ///
    /// # Errors
    /// As [`Source::batches`], pictures that the model does not take, and those of `each`.
    pub fn run(
        &self,
        source: &dyn Source,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(&Batch, Tensor) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        source.batches(&mut |mut batch| {
            batch.skipped.drain(..).for_each(&mut *skipped);
            if batch.labels.numel() == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let scores = match &batch.input {
                Input::Images(images) => self.logits(&self.input.of_tensor(images, self.device)?)?,
                Input::Views(pictures) if pictures.iter().all(|views| views.len() == 1) => {
                    self.logits(&self.input.of_views(pictures.iter().flatten(), self.device)?)?
                }
                Input::Views(pictures) => self.means(pictures)?,
            };
            each(&batch, scores)
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

    fn means(&self, pictures: &[Vec<RgbImage>]) -> Result<Tensor> {
        if let Some(window) = self.window {
            let mean = |views: &Vec<RgbImage>| -> Result<Tensor> {
                let mut each = Vec::with_capacity(views.len());
                for view in views {
                    let logits = self.dense(&self.input.of_views([view], self.device)?, window)?;
                    each.push(logits.f_softmax(1, Kind::Float)?);
                }
                Ok(Tensor::f_cat(&each, 0)?.f_mean_dim(&[0i64][..], true, Kind::Float)?)
            };
            return Ok(Tensor::f_cat(&pictures.iter().map(mean).collect::<Result<Vec<_>>>()?, 0)?);
        }
        let views: Vec<&RgbImage> = pictures.iter().flatten().collect();
        let softmax = |views: &[&RgbImage]| -> Result<Tensor> {
            let input = self.input.of_views(views.iter().copied(), self.device)?;
            Ok(self.logits(&input)?.f_softmax(-1, Kind::Float)?)
        };
        let each = Tensor::f_cat(&views.chunks(MAX_VIEWS).map(softmax).collect::<Result<Vec<_>>>()?, 0)?;
        let each = each.f_view([pictures.len() as i64, -1, each.size2()?.1])?;
        Ok(each.f_mean_dim(&[1i64][..], false, Kind::Float)?)
    }

    /// The logits (N, classes) of inputs.
    fn logits(&self, input: &Tensor) -> Result<Tensor> {
        let _autocast = self.precision()?;
        Ok(self.model.forward(input, false)?.f_to_kind(Kind::Float)?)
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

/// The features that the head takes.
fn last_features(model: &dyn Model, x: &Tensor) -> Result<Tensor> {
    let mut x = x.shallow_clone();
    for (name, stage) in model.stages() {
        x = stage.forward(&x, false).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
    }
    Ok(x)
}
