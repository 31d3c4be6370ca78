//! Single pictures and small batches, from any thread: what a service asks of a classifier.

use super::{Classifier, Likely, likeliest};
use crate::data::image::{self, RgbImage};
use crate::nn::Outputs;
use anyhow::{Context, Result, ensure};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// A picture: a file, its bytes, or its pixels.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
    Pixels(&'a RgbImage),
}

impl<'a> From<&'a Path> for Picture<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(path)
    }
}

impl<'a> From<&'a PathBuf> for Picture<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::File(path)
    }
}

impl<'a> From<&'a [u8]> for Picture<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Picture<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a RgbImage> for Picture<'a> {
    fn from(pixels: &'a RgbImage) -> Self {
        Self::Pixels(pixels)
    }
}

impl<'a> Picture<'a> {
    fn pixels(self) -> Result<Cow<'a, RgbImage>> {
        Ok(match self {
            Self::File(path) => Cow::Owned(image::read(path)?),
            Self::Bytes(bytes) => Cow::Owned(image::decode(bytes)?),
            Self::Pixels(pixels) => Cow::Borrowed(pixels),
        })
    }
}

/// Each takes a batch of pictures of any size, in order; several threads may ask one classifier at once. Bytes from
/// strangers are best decoded by [`image::decode_within`].
impl Classifier {
    /// The network's input (N, C, H, W) for pictures: the middle of each, as the weights want it.
    ///
    /// # Errors
    /// No pictures, and one that cannot be read.
    pub fn prepare<'a, P: Into<Picture<'a>>>(&self, pictures: impl IntoIterator<Item = P>) -> Result<Tensor> {
        let crop = |(place, picture): (usize, P)| -> Result<RgbImage> {
            let cropped = picture.into().pixels().and_then(|pixels| self.preprocess().crop(&pixels));
            cropped.with_context(|| format!("picture {place}"))
        };
        let views = pictures.into_iter().enumerate().map(crop).collect::<Result<Vec<_>>>()?;
        ensure!(!views.is_empty(), "no pictures");
        self.input().of_views(&views, self.device())
    }

    /// The `topk` likeliest classes of each picture, the likeliest first.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn top<'a, P: Into<Picture<'a>>>(
        &self,
        pictures: impl IntoIterator<Item = P>,
        topk: usize,
    ) -> Result<Vec<Vec<Likely>>> {
        self.likeliest(&self.outputs(pictures)?.logits, topk)
    }

    /// The `topk` likeliest classes for logits (N, classes).
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn likeliest(&self, logits: &Tensor, topk: usize) -> Result<Vec<Vec<Likely>>> {
        likeliest(&crate::evaluate::probabilities(logits)?, topk, self.labels())
    }

    /// The pooled embeddings (N, D) of pictures, float32 on the model's device: what the classifier takes.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn embed<'a, P: Into<Picture<'a>>>(&self, pictures: impl IntoIterator<Item = P>) -> Result<Tensor> {
        Ok(self.outputs(pictures)?.pooled)
    }

    /// Logits and pooled embeddings of pictures in one pass, float32 on the model's device.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn outputs<'a, P: Into<Picture<'a>>>(
        &self,
        pictures: impl IntoIterator<Item = P>,
    ) -> Result<Outputs> {
        let input = self.prepare(pictures)?;
        let _no_grad = tch::no_grad_guard();
        self.0.evaluator(self.input()).outputs(&input)
    }

    /// The features of every stage, by name: (N, C, H, W), in transformers (N, tokens, C) or, in Swin, (N, H, W, C).
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn stages<'a, P: Into<Picture<'a>>>(
        &self,
        pictures: impl IntoIterator<Item = P>,
    ) -> Result<Vec<(String, Tensor)>> {
        let input = self.prepare(pictures)?;
        let _no_grad = tch::no_grad_guard();
        self.model().features(&input, false)
    }

    /// Makes the model ready for batches of these sizes: from here on its weights are folded and packed, once for all
    /// threads, and the first request is as fast as any. With `drop_floats` those that are packed are freed: the classifier
    /// is then good for requests, and for nothing else.
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn warm(&self, batch_sizes: &[i64], drop_floats: bool) -> Result<()> {
        self.0.ready_for(usize::MAX);
        let [channels, height, width] = self.input().shape();
        let _no_grad = tch::no_grad_guard();
        for &size in batch_sizes {
            let blank = Tensor::f_zeros([size, channels, height, width], (Kind::Float, self.device()))?;
            self.0.evaluator(self.input()).outputs(&blank)?;
        }
        if drop_floats && self.0.store.frozen().is_some() {
            self.0.store.drop_floats()?;
        }
        Ok(())
    }
}
