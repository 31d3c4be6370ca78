//! How the papers test: one view of a picture, or the mean over several.

use crate::data::image::{Resize, RgbImage};
use crate::data::{CropMode, Preprocess};
use crate::names::did_you_mean;
use anyhow::{Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which views of a picture a model sees; its probabilities are the mean over them. In YAML and on the command line it is
/// its name, behind which its scales may stand: `multi-scale:256,384,512`.
///
/// Sides are in pixels of the network's input. Images of a data set that are of one size are pictures like others: they are
/// dense at their own size, and what is said of an input of 224 goes for theirs in proportion, 32, 48 and 64 pixels for an
/// input of 28.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// The centre, as the weights' library evaluates them.
    #[default]
    Center,
    /// Of the central square, the four corners, the centre, and their mirror images (AlexNet, section 4.1). The square is
    /// what the centre is cropped from. Where that is all of the picture the square has 8/7 of the input's side: images of a
    /// data set have a border of the mean colour, as where they are shifted in training, other pictures are enlarged.
    TenCrop,
    /// At four scales three squares of the picture: their corners, centre and whole, and mirror images (GoogLeNet,
    /// 1409.4842, section 7).
    Crops144,
    /// The whole picture and its mirror image, the classifier at every place of the features (VGG, 1409.1556, 3.2).
    Dense,
    /// Dense at several scales (VGG, 4.2).
    MultiScale(Scales),
    /// At each scale a regular grid of 5×5 crops over the whole picture, and their mirror images (VGG, 3.2 and 4.3).
    MultiCrop(Scales),
    /// The mean of the probabilities of the two before (VGG, 4.3).
    DenseMultiCrop(Scales),
}

/// Short sides, in pixels, that a picture is resized to. Where there are none, for an input of 224 those of VGG: 256, 384
/// and 512 (1409.1556, 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scales(Vec<i64>);

/// The scales where none are given, in sevenths of the input's side.
const SCALES: [i64; 3] = [8, 12, 16];
/// Those of [`Protocol::Crops144`]: for an input of 224, GoogLeNet's 256, 288, 320 and 352 pixels.
const CROP_SCALES: [i64; 4] = [8, 9, 10, 11];
/// Crops of [`Protocol::MultiCrop`] along a side.
const GRID: usize = 5;
/// What a view of a whole picture may have: one that is more elongated would take memory without bound.
const MAX_PIXELS: usize = 1 << 24;
/// No scale is larger.
const MAX_SCALE: i64 = 4096;

impl Scales {
    /// In pixels, for an input of this shape (C, H, W).
    fn sides(&self, input: [i64; 3]) -> Vec<i64> {
        if self.0.is_empty() {
            return SCALES.map(|sevenths| side(input) * sevenths / 7).into();
        }
        self.0.clone()
    }

    fn count(&self) -> usize {
        if self.0.is_empty() { SCALES.len() } else { self.0.len() }
    }
}

impl Protocol {
    /// The names, those that take scales last.
    const NAMES: [&str; 7] =
        ["center", "ten-crop", "144-crop", "dense", "multi-scale", "multi-crop", "dense+multi-crop"];

    fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Center => 0,
            Self::TenCrop => 1,
            Self::Crops144 => 2,
            Self::Dense => 3,
            Self::MultiScale(_) => 4,
            Self::MultiCrop(_) => 5,
            Self::DenseMultiCrop(_) => 6,
        }]
    }

    fn scales(&self) -> Option<&Scales> {
        match self {
            Self::MultiScale(scales) | Self::MultiCrop(scales) | Self::DenseMultiCrop(scales) => Some(scales),
            _ => None,
        }
    }

    pub fn is_center(&self) -> bool {
        *self == Self::Center
    }

    /// Whether it is possible for an input of this shape (C, H, W).
    ///
    /// # Errors
    /// A scale that is smaller than the input.
    pub fn check(&self, input: [i64; 3]) -> Result<()> {
        let scales = self.scales().map_or(Vec::new(), |scales| scales.sides(input));
        let low = scales.into_iter().find(|scale| *scale < side(input));
        low.map_or(Ok(()), |low| {
            bail!("{self}: a scale of {low} pixels is below the input's {}", side(input))
        })
    }

    /// Whether a model can be tested so that has these last features of one image, for an input of this shape.
    ///
    /// # Errors
    /// Features that are no maps (C, H, W), where views of whole pictures need such.
    pub fn check_features(&self, features: &[i64], [_, height, width]: [i64; 3]) -> Result<()> {
        // Maps have the input's proportions, up to rounding; where channels come last, as Swin's do, they have not.
        let are_maps = matches!(features, &[_, rows, columns]
            if (rows * width - columns * height).abs() <= height.max(width));
        ensure!(
            self.whole() == 0 || are_maps,
            "{self}: features of shape {features:?} are no maps (C, H, W), which views of whole pictures need; \
             take center, ten-crop or multi-crop"
        );
        Ok(())
    }

    /// The views of a picture, 8 bits a channel: first those of the whole picture, then crops of the input's size.
    ///
    /// # Errors
    /// As [`Self::check`], or a picture whose views would have too many pixels.
    pub fn views(&self, preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
        self.check(preprocess.input)?;
        let at = |scales: &Scales| -> Result<Vec<RgbImage>> {
            let sides = scales.sides(preprocess.input).into_iter();
            sides.map(|side| resized(preprocess, side, image)).collect()
        };
        match self {
            Self::Center => Ok(vec![preprocess.crop(image)?]),
            Self::TenCrop => ten_crop(preprocess, image),
            Self::Crops144 => crops_144(preprocess, image),
            Self::Dense => Ok(with_mirrored(vec![resized(preprocess, preprocess.resize, image)?])),
            Self::MultiScale(scales) => Ok(with_mirrored(at(scales)?)),
            Self::MultiCrop(scales) => Ok(with_mirrored(grids(preprocess, &at(scales)?)?)),
            Self::DenseMultiCrop(scales) => {
                let whole = at(scales)?;
                let crops = grids(preprocess, &whole)?;
                Ok([with_mirrored(whole), with_mirrored(crops)].concat())
            }
        }
    }

    /// How many views a picture has.
    pub fn count(&self) -> usize {
        let crops = match self {
            Self::Center => 1,
            Self::TenCrop => 10,
            Self::Crops144 => 144,
            Self::Dense | Self::MultiScale(_) => 0,
            Self::MultiCrop(scales) | Self::DenseMultiCrop(scales) => 2 * GRID * GRID * scales.count(),
        };
        self.whole() + crops
    }

    /// How many of the views are of the whole picture: the classifier is taken at every place of their features.
    pub fn whole(&self) -> usize {
        match self {
            Self::Dense => 2,
            Self::MultiScale(scales) | Self::DenseMultiCrop(scales) => 2 * scales.count(),
            _ => 0,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())?;
        let scales = self.scales().map_or(&[][..], |scales| &scales.0);
        for (scale, before) in scales.iter().zip([":"].into_iter().chain(std::iter::repeat(","))) {
            write!(f, "{before}{scale}")?;
        }
        Ok(())
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, scales) = text.split_once(':').map_or((text, None), |(name, scales)| (name, Some(scales)));
        let read = || scales.map_or(Ok(Scales::default()), |scales| scales_of(name, scales));
        let protocol = match name {
            "center" => Self::Center,
            "ten-crop" => Self::TenCrop,
            "144-crop" => Self::Crops144,
            "dense" => Self::Dense,
            "multi-scale" => Self::MultiScale(read()?),
            "multi-crop" => Self::MultiCrop(read()?),
            "dense+multi-crop" => Self::DenseMultiCrop(read()?),
            _ => {
                let all = format!("write one of {}", Self::NAMES.join(", "));
                bail!("no protocol is called `{name}`; {}", did_you_mean(name, Self::NAMES, &all))
            }
        };
        let takes_none = "it takes no scales; multi-scale, multi-crop and dense+multi-crop do";
        ensure!(scales.is_none() || protocol.scales().is_some(), "`{text}`: {takes_none}");
        Ok(protocol)
    }
}

fn scales_of(name: &str, text: &str) -> Result<Scales> {
    let number = |text: &str| text.trim().parse().ok().filter(|scale| (1..=MAX_SCALE).contains(scale));
    let scales: Option<Vec<i64>> = text.split(',').map(number).collect();
    let remedy = format!("write short sides in pixels, such as {name}:256,384,512");
    let Some(scales) = scales else {
        bail!("`{name}:{text}`: scales are whole numbers from 1 to {MAX_SCALE}; {remedy}")
    };
    Ok(Scales(scales))
}

impl TryFrom<String> for Protocol {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// The side that crops of an input of this shape need.
fn side([_, height, width]: [i64; 3]) -> i64 {
    height.max(width)
}

fn ten_crop(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    let [channels, height, width] = preprocess.input;
    let Preprocess { resize, crop_mode, .. } = *preprocess;
    let side = side(preprocess.input);
    let (side, resize) = match crop_mode {
        _ if resize > side => (resize, resize),
        CropMode::Border => (side * 8 / 7, resize),
        CropMode::Center | CropMode::Squash => (side * 8 / 7, side * 8 / 7),
    };
    let square = Preprocess { input: [channels, side, side], resize, ..preprocess.clone() };
    Ok(with_mirrored(corners_and_centre(&square.crop(image)?, height as usize, width as usize)?))
}

fn crops_144(preprocess: &Preprocess, image: &RgbImage) -> Result<Vec<RgbImage>> {
    let [_, height, width] = preprocess.input.map(|side| side as usize);
    let mut views = Vec::with_capacity(Protocol::Crops144.count());
    for scale in CROP_SCALES {
        let view = resized(preprocess, side(preprocess.input) * scale / 7, image)?;
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

/// The crops of regular grids over whole pictures, row by row.
fn grids(preprocess: &Preprocess, pictures: &[RgbImage]) -> Result<Vec<RgbImage>> {
    let [_, height, width] = preprocess.input.map(|side| side as usize);
    let mut views = Vec::with_capacity(GRID * GRID * pictures.len());
    for picture in pictures {
        let (down, right) = (picture.height - height, picture.width - width);
        for (row, column) in (0..GRID).flat_map(|row| (0..GRID).map(move |column| (row, column))) {
            let (top, left) = (down * row / (GRID - 1), right * column / (GRID - 1));
            views.push(picture.crop(left..left + width, top..top + height)?);
        }
    }
    Ok(views)
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
