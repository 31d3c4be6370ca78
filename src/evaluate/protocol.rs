//! How the papers test: one view of a picture, or the mean over several.

use crate::data::image::{Resize, RgbImage};
use crate::data::{CropMode, Preprocess};
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
    /// At four scales three squares of the picture: their corners, centre and whole, and mirror images (GoogLeNet,
    /// 1409.4842, section 7).
    Crops144,
    /// The whole picture and its mirror image, the classifier at every place of the features (VGG, 1409.1556, 3.2).
    Dense,
    /// Dense at three scales, for an input of 224 those of VGG: 256, 384 and 512 pixels (1409.1556, 4.2).
    MultiScale,
}

/// The short sides of [`Protocol::MultiScale`], in sevenths of the input's.
const SCALES: [i64; 3] = [8, 12, 16];
/// Those of [`Protocol::Crops144`]: for an input of 224, GoogLeNet's 256, 288, 320 and 352 pixels.
const CROP_SCALES: [i64; 4] = [8, 9, 10, 11];
/// Views that go through the network at once.
const MOST_VIEWS: usize = 64;
/// What a view of a whole picture may have: one that is more elongated would take memory without bound.
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
            Self::Crops144 => crops_144(preprocess, image),
            Self::Dense => whole(preprocess, image),
            Self::MultiScale => {
                let mut views = Vec::with_capacity(SCALES.len());
                for scale in SCALES {
                    views.push(resized(preprocess, preprocess.input[1] * scale / 7, image)?);
                }
                Ok(with_mirrored(views))
            }
        }
    }

    /// How many views a picture has.
    pub fn count(self) -> usize {
        match self {
            Self::Center => 1,
            Self::TenCrop => 10,
            Self::Crops144 => 144,
            Self::Dense => 2,
            Self::MultiScale => 2 * SCALES.len(),
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
    Ok(with_mirrored(corners_and_centre(&square, height as usize, width as usize)?))
}

fn crops_144(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    let [_, height, width] = preprocess.input.map(|side| side as usize);
    let mut views = Vec::with_capacity(Protocol::Crops144.count());
    for scale in CROP_SCALES {
        let view = resized(preprocess, preprocess.input[1] * scale / 7, image)?;
        let side = view.width.min(view.height);
        let (across, down) = (view.width - side, view.height - side);
        // Left, middle and right, or top, middle and bottom.
        for part in 0..3 {
            let (left, top) = (across * part / 2, down * part / 2);
            let square = view.crop(left..left + side, top..top + side)?;
            views.extend(corners_and_centre(&square, height, width)?);
            views.push(square.resize(&Resize::to(width, height, preprocess.interpolation))?);
        }
    }
    Ok(with_mirrored(views))
}

fn corners_and_centre(square: &RgbImage, height: usize, width: usize) -> Result<Vec<RgbImage>> {
    let (down, right) = (square.height - height, square.width - width);
    let corners = [(0, 0), (right, 0), (0, down), (right, down), (right / 2, down / 2)];
    corners.iter().map(|&(left, top)| square.crop(left..left + width, top..top + height)).collect()
}

fn with_mirrored(mut views: Vec<RgbImage>) -> Vec<RgbImage> {
    views.extend(views.iter().map(RgbImage::mirror).collect::<Vec<_>>());
    views
}

/// The picture with its short side as the crop has it, and its mirror image.
fn whole(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    Ok(with_mirrored(vec![resized(preprocess, preprocess.resize, image)?]))
}

/// The whole picture, its short side of this length whatever the crop mode.
fn resized(preprocess: &Preprocess, side: i64, image: &RgbImage) -> Result<RgbImage> {
    let (short, long) = (image.width.min(image.height), image.width.max(image.height));
    ensure!(
        side as f64 * side as f64 * long as f64 / short as f64 <= MOST_PIXELS as f64,
        "{}×{} pixels: too elongated for a protocol that takes whole pictures; take center or ten-crop",
        image.width,
        image.height
    );
    Preprocess { resize: side, crop_mode: CropMode::Center, ..preprocess.clone() }.resize(image)
}

/// A model with the views of one protocol.
pub struct Evaluator<'a> {
    model: &'a dyn Model,
    /// Where the model is.
    device: Device,
    preprocess: &'a Preprocess,
    /// For dense protocols: height and width of the features that the head takes.
    window: Option<[i64; 2]>,
}

impl<'a> Evaluator<'a> {
    /// # Errors
    /// A model that cannot be tested so: a dense protocol needs features that are maps.
    pub fn new(
        model: &'a dyn Model,
        device: Device,
        preprocess: &'a Preprocess,
        protocol: Protocol,
    ) -> Result<Self> {
        let window = match protocol.is_dense() {
            true => {
                let _no_grad = tch::no_grad_guard();
                let [c, h, w] = preprocess.input;
                let x = Tensor::f_zeros([1, c, h, w], (Kind::Float, device))?;
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
        Ok(Self { model, device, preprocess, window })
    }

    /// The probabilities (N, classes) of pictures by their views, the mean of the views' softmax, on the CPU.
    ///
    /// # Errors
    /// No pictures, or views that are not this protocol's.
    pub fn probabilities(&self, pictures: &[Vec<RgbImage>]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let mut means = Vec::with_capacity(pictures.len());
        let probabilities = match self.window {
            Some(window) => {
                for views in pictures {
                    let mut each = Vec::with_capacity(views.len());
                    for view in views {
                        let logits = self.dense(&self.preprocess.input([view], self.device)?, window)?;
                        each.push(logits.f_softmax(1, Kind::Float)?);
                    }
                    means.push(Tensor::f_cat(&each, 0)?.f_mean_dim(&[0i64][..], true, Kind::Float)?);
                }
                Tensor::f_cat(&means, 0)?
            }
            None => {
                let views: Vec<&RgbImage> = pictures.iter().flatten().collect();
                let mut each = Vec::with_capacity(views.len().div_ceil(MOST_VIEWS));
                for views in views.chunks(MOST_VIEWS) {
                    let input = self.preprocess.input(views.iter().copied(), self.device)?;
                    let logits = self.model.forward(&input, false)?;
                    each.push(logits.f_softmax(-1, Kind::Float)?);
                }
                let each = Tensor::f_cat(&each, 0)?;
                let each = each.f_view([pictures.len() as i64, -1, each.size2()?.1])?;
                each.f_mean_dim(&[1i64][..], false, Kind::Float)?
            }
        };
        Ok(probabilities.f_to_device(Device::Cpu)?)
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
