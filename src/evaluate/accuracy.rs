//! Accuracy over a data set and over each of its classes.

use super::{Evaluator, Source};
use crate::data::Skipped;
use anyhow::{Result, bail, ensure};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tch::{Kind, Tensor};

/// How many pictures have their label first, or among the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    pub images: u64,
    pub top1: u64,
    pub top5: u64,
}

/// Scores class by class, added up batch by batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accuracy {
    /// One a class of the data set.
    pub classes: Vec<Score>,
    /// Pictures of the first class that were taken for the second, where there are any.
    pub confusion: BTreeMap<(usize, usize), u64>,
}

impl Accuracy {
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![Score::default(); classes], confusion: BTreeMap::new() }
    }

    /// That of a model on all of a source, with so many classes.
    ///
    /// # Errors
    /// As [`Evaluator::run`] and [`Self::add`].
    pub fn measure(
        evaluator: &Evaluator,
        source: &dyn Source,
        classes: usize,
        skipped: &mut dyn FnMut(Skipped),
    ) -> Result<Self> {
        let mut accuracy = Self::new(classes);
        evaluator.run(source, skipped, &mut |batch, scores| {
            accuracy.add(&scores, &Vec::<i64>::try_from(&batch.labels)?)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(accuracy)
    }

    /// Counts a batch: scores (N, classes), the larger the likelier, and the N right classes.
    ///
    /// # Errors
    /// Scores that are not finite, of another shape, or labels that are no classes.
    pub fn add(&mut self, scores: &Tensor, labels: &[i64]) -> Result<()> {
        let (count, classes) = scores.size2()?;
        ensure!(count as usize == labels.len(), "{count} rows of scores for {} labels", labels.len());
        let finite = scores.f_isfinite()?.f_all()?.f_int64_value(&[])?;
        ensure!(finite == 1, "the model's scores are not finite numbers: are these its weights?");
        let (_, best) = scores.f_topk(classes.min(5), 1, true, true)?;
        let best = Vec::<i64>::try_from(&best.f_to_kind(Kind::Int64)?.f_contiguous()?.f_view(-1)?)?;
        for (label, best) in labels.iter().zip(best.chunks_exact(classes.min(5) as usize)) {
            let class = usize::try_from(*label).unwrap_or(usize::MAX);
            let Some(score) = self.classes.get_mut(class) else { bail!("label {label} is no class") };
            score.images += 1;
            score.top1 += u64::from(best[0] == *label);
            score.top5 += u64::from(best.contains(label));
            if best[0] != *label {
                *self.confusion.entry((class, best[0] as usize)).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Class, what it was taken for, and how many pictures: the most first.
    pub fn confused(&self) -> Vec<((usize, usize), u64)> {
        let mut pairs: Vec<_> = self.confusion.iter().map(|(&pair, &images)| (pair, images)).collect();
        pairs.sort_by_key(|&(pair, images)| (Reverse(images), pair));
        pairs
    }

    /// All classes together.
    pub fn total(&self) -> Score {
        self.classes.iter().fold(Score::default(), |sum, class| Score {
            images: sum.images + class.images,
            top1: sum.top1 + class.top1,
            top5: sum.top5 + class.top5,
        })
    }
}

impl Score {
    /// Percent of the pictures with their label first; `None` without pictures.
    pub fn top1_percent(&self) -> Option<f64> {
        (self.images > 0).then(|| 100.0 * self.top1 as f64 / self.images as f64)
    }

    /// Percent of the pictures with their label among the first five; `None` without pictures.
    pub fn top5_percent(&self) -> Option<f64> {
        (self.images > 0).then(|| 100.0 * self.top5 as f64 / self.images as f64)
    }
}
