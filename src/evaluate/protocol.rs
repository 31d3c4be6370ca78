//! How the papers test: one view of a picture, or the mean over several.

use crate::data::Preprocess;
use crate::data::image::RgbImage;
use crate::models::Model;
use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

/// Which views of a picture a model sees; its probabilities are the mean over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The centre, as the weights' library evaluates them.
    Center,
    /// Of the central square, the four corners, the centre, and their mirror images (AlexNet, section 4.1).
    TenCrop,
    /// The whole picture and its mirror image, the classifier at every place of the features (VGG, 1409.1556, 3.2).
    Dense,
    /// Dense at three scales, for an input of 224 those of VGG: 256, 384 and 512 pixels (1409.1556, 4.2).
    MultiScale,
}

/// The short sides of [`Protocol::MultiScale`], in sevenths of the input's.
const SCALES: [i64; 3] = [8, 12, 16];
/// What a dense view may have: one that is more elongated would take memory without bound.
const MOST_PIXELS: usize = 1 << 24;

impl Protocol {
    /// The views of a picture, 8 bits a channel, of one size but for dense protocols.
    ///
    /// # Errors
    /// A picture whose views would have too many pixels.
    pub fn views(self, preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
        match self {
            Self::Center => Ok(vec![preprocess.crop(image)?]),
            Self::TenCrop => ten_crop(preprocess, image),
            Self::Dense => whole(preprocess, image),
            Self::MultiScale => {
                let mut views = Vec::new();
                for scale in SCALES {
                    let resize = preprocess.input[1] * scale / 7;
                    views.extend(whole(&Preprocess { resize, ..preprocess.clone() }, image)?);
                }
                Ok(views)
            }
        }
    }

    fn is_dense(self) -> bool {
        matches!(self, Self::Dense | Self::MultiScale)
    }
}

fn ten_crop(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    let [channels, height, width] = preprocess.input;
    let side = preprocess.resize.max(height).max(width);
    let square = Preprocess { input: [channels, side, side], ..preprocess.clone() }.crop(image)?;
    let (height, width) = (height as usize, width as usize);
    let (down, right) = (square.height - height, square.width - width);
    let corners = [(0, 0), (right, 0), (0, down), (right, down), (right / 2, down / 2)];
    let mut views = Vec::with_capacity(2 * corners.len());
    for (left, top) in corners {
        views.push(square.crop(left..left + width, top..top + height)?);
    }
    views.extend(views.iter().map(RgbImage::mirror).collect::<Vec<_>>());
    Ok(views)
}

/// The picture as it is resized for the crop, and its mirror image.
fn whole(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    let (short, long) = (image.width.min(image.height), image.width.max(image.height));
    let pixels = preprocess.resize as f64 * preprocess.resize as f64 * long as f64 / short as f64;
    ensure!(
        pixels <= MOST_PIXELS as f64,
        "{}×{} pixels: too elongated for a dense protocol",
        image.width,
        image.height
    );
    let view = preprocess.resize(image)?;
    let mirrored = view.mirror();
    Ok(vec![view, mirrored])
}

/// A model with the views of one protocol.
pub struct Evaluator<'a> {
    model: &'a dyn Model,
    preprocess: &'a Preprocess,
    /// For dense protocols: height and width of the features that the head takes.
    window: Option<[i64; 2]>,
}

impl<'a> Evaluator<'a> {
    /// # Errors
    /// A model that cannot be tested so: a dense protocol needs features that are maps.
    pub fn new(model: &'a dyn Model, preprocess: &'a Preprocess, protocol: Protocol) -> Result<Self> {
        let window = match protocol.is_dense() {
            true => {
                let _no_grad = tch::no_grad_guard();
                let [c, h, w] = preprocess.input;
                let x = Tensor::f_zeros([1, c, h, w], (Kind::Float, Device::Cpu))?;
                let shape = last_features(model, &x)?.size();
                ensure!(
                    shape.len() == 4,
                    "features of shape {shape:?} are no maps: this model has no dense protocol; take center or \
                     ten-crop"
                );
                Some([shape[2], shape[3]])
            }
            false => None,
        };
        Ok(Self { model, preprocess, window })
    }

    /// The probabilities (N, classes) of pictures by their views: the mean of the views' softmax.
    ///
    /// # Errors
    /// No pictures, or views that are not this protocol's.
    pub fn probabilities(&self, pictures: &[Vec<RgbImage>]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let mut means = Vec::with_capacity(pictures.len());
        match self.window {
            Some(window) => {
                for views in pictures {
                    let mut each = Vec::with_capacity(views.len());
                    for view in views {
                        let logits = self.dense(&self.preprocess.input([view])?, window)?;
                        each.push(logits.f_softmax(1, Kind::Float)?);
                    }
                    means.push(Tensor::f_cat(&each, 0)?.f_mean_dim(&[0i64][..], true, Kind::Float)?);
                }
                Ok(Tensor::f_cat(&means, 0)?)
            }
            None => {
                let logits = self.model.forward(&self.preprocess.input(pictures.iter().flatten())?, false)?;
                let views = pictures.first().map_or(1, Vec::len) as i64;
                let each = logits.f_softmax(-1, Kind::Float)?.f_view([-1, views, logits.size2()?.1])?;
                Ok(each.f_mean_dim(&[1i64][..], false, Kind::Float)?)
            }
        }
    }

    /// The logits (1, classes) of one view of any size: the mean over every place where the head fits on the features.
    fn dense(&self, x: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
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
