//! How the papers test: one view of a picture, or the mean over several.

use crate::data::image::{Resize, RgbImage};
use crate::data::{CropMode, Preprocess};
use anyhow::{Result, ensure};

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
/// What a view of a whole picture may have: one that is more elongated would take memory without bound.
const MAX_PIXELS: usize = 1 << 24;

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

    pub(super) fn is_dense(self) -> bool {
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
        side as f64 * side as f64 * long as f64 / short as f64 <= MAX_PIXELS as f64,
        "{}×{} pixels: too elongated for a protocol that takes whole pictures; take center or ten-crop",
        image.width,
        image.height
    );
    Preprocess { resize: side, crop_mode: CropMode::Center, ..preprocess.clone() }.resize(image)
}
