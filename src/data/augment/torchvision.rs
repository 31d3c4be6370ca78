//! The operations of torchvision's automatic augmentations, with its magnitudes (`transforms/autoaugment.py`) on images as
//! Pillow has them: nearest neighbours, and black outside.

use super::{Filling, Operation, Sampling, Warp};
use crate::data::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

/// Those of which RandAugment and TrivialAugment draw.
pub(super) const DRAWN: [Kind; 14] = [
    Kind::Identity,
    Kind::ShearX,
    Kind::ShearY,
    Kind::TranslateX,
    Kind::TranslateY,
    Kind::Rotate,
    Kind::Brightness,
    Kind::Color,
    Kind::Contrast,
    Kind::Sharpness,
    Kind::Posterize,
    Kind::Solarize,
    Kind::AutoContrast,
    Kind::Equalize,
];

/// How far the operations go, and in how many steps.
pub(super) struct Space {
    pub bins: u32,
    pub shear: f32,
    /// In pixels, horizontally and vertically.
    pub translate: [f32; 2],
    /// In degrees.
    pub rotate: f32,
    /// Of the factors of brightness, colour, contrast and sharpness from 1.
    pub enhance: f32,
    /// Bits that posterising takes away.
    pub bits: f32,
}

impl Space {
    /// That of RandAugment and AutoAugment for images of this size.
    pub fn of_policies(bins: u32, width: usize, height: usize) -> Self {
        let translate = [width, height].map(|side| (150.0 / 331.0 * side as f64) as f32);
        Self { bins, shear: 0.3, translate, rotate: 30.0, enhance: 0.9, bits: 4.0 }
    }

    /// That of TrivialAugmentWide.
    pub fn wide(bins: u32) -> Self {
        Self { bins, shear: 0.99, translate: [32.0; 2], rotate: 135.0, enhance: 0.99, bits: 6.0 }
    }

    /// An operation at a magnitude below `bins`; what has a sign is `negative` or not. Nothing for the identity.
    pub fn operation(&self, kind: Kind, magnitude: u32, negative: bool) -> Option<Operation> {
        let signed = |to: f32| {
            let value = f64::from(self.step(0.0, to, magnitude));
            if negative { -value } else { value }
        };
        let factor = || 1.0 + signed(self.enhance);
        // By way of degrees, as there.
        let slope = || signed(self.shear).atan().to_degrees().to_radians().tan();
        let warp = |warp| Operation::Warp(warp, Filling { sampling: Sampling::Nearest, color: [0; 3] });
        Some(match kind {
            Kind::Identity => return None,
            Kind::ShearX => warp(Warp::ShearX(slope())),
            Kind::ShearY => warp(Warp::ShearY(slope())),
            Kind::TranslateX => warp(Warp::TranslateX(-signed(self.translate[0]).trunc())),
            Kind::TranslateY => warp(Warp::TranslateY(-signed(self.translate[1]).trunc())),
            Kind::Rotate => warp(Warp::Rotate(signed(self.rotate))),
            Kind::Brightness => Operation::Brightness(factor()),
            Kind::Color => Operation::Color(factor()),
            Kind::Contrast => Operation::Contrast(factor()),
            Kind::Sharpness => Operation::Sharpness(factor()),
            Kind::Posterize => {
                let taken = magnitude as f32 / ((self.bins - 1) as f32 / self.bits);
                Operation::Posterize(8 - taken.round_ties_even() as u32)
            }
            Kind::Solarize => Operation::Solarize(self.step(255.0, 0.0, magnitude).ceil() as u32),
            Kind::AutoContrast => Operation::AutoContrast,
            Kind::Equalize => Operation::Equalize,
            Kind::Invert => Operation::Invert,
        })
    }

    /// `torch.linspace(from, to, bins)[i]`, in float32.
    fn step(&self, from: f32, to: f32, i: u32) -> f32 {
        let step = (to - from) / (self.bins - 1) as f32;
        // Fused, as its kernel is on processors that can.
        match i < self.bins / 2 {
            true => step.mul_add(i as f32, from),
            false => (-step).mul_add((self.bins - 1 - i) as f32, to),
        }
    }
}

/// One of [`DRAWN`] at a magnitude, with a random sign.
pub(super) fn draw(space: &Space, magnitude: u32, stream: &mut Stream) -> Option<Operation> {
    let kind = DRAWN[stream.below(DRAWN.len() as u64) as usize];
    space.operation(kind, magnitude, stream.below(2) == 1)
}
