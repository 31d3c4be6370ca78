//! Accuracy over a data set and over each of its classes.

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// How many pictures have their label first, or among the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    pub images: u64,
    pub top1: u64,
    pub top5: u64,
}

/// Scores class by class, added up batch by batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// One a class of the data set.
    pub classes: Vec<Score>,
    /// Pictures of the first class that were taken for the second, where there are any.
    pub confusion: BTreeMap<(usize, usize), u64>,
    /// The sum of the pictures' cross-entropies.
    loss: f64,
    /// Pictures by the probability of the class that they are taken for.
    bins: [Bin; BINS],
}

/// Bins of equal width of the calibration error (1706.04599).
const BINS: usize = 15;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    images: u64,
    right: u64,
    confidence: f64,
}

/// The probabilities (N, classes) of logits: their softmax, or of a single output its sigmoid.
///
/// # Errors
/// As libtorch's.
pub fn probabilities(logits: &Tensor) -> Result<Tensor> {
    Ok(match logits.size().get(1) {
        Some(1) => logits.f_to_kind(Kind::Float)?.f_sigmoid()?,
        _ => logits.f_softmax(1, Kind::Float)?,
    })
}

/// What scores are: their softmax are probabilities, or they are probabilities themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    Logits,
    Probabilities,
}

/// What a model makes of one labelled picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its class.
    pub label: usize,
    /// The likeliest class, and its probability.
    pub predicted: usize,
    pub probability: f64,
    /// The probability of the picture's own class.
    pub label_probability: f64,
    /// The cross-entropy, which tells probabilities apart that are too small for a float.
    pub loss: f64,
    /// Whether its class is among the five likeliest.
    pub in_top5: bool,
}

/// How well one class is found; `None` where it is never the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Of the pictures taken for the class, the share that are of it.
    pub precision: Option<f64>,
    /// Of the pictures of the class, the share taken for it.
    pub recall: Option<f64>,
    pub f1: f64,
    /// Pictures of the class.
    pub support: u64,
}

impl Accuracy {
    pub fn new(classes: usize) -> Self {
        Self {
            classes: vec![Score::default(); classes],
            confusion: BTreeMap::new(),
            loss: 0.0,
            bins: [Bin::default(); BINS],
        }
    }

    /// What a batch says: scores (N, classes), the larger the likelier, and the N right classes.
    ///
    /// # Errors
    /// Scores that are not finite, of another shape, or labels that are no classes.
    pub fn outcomes(scores: &Tensor, kind: Scores, labels: &[i64]) -> Result<Vec<Outcome>> {
        let (count, classes) = scores.size2()?;
        ensure!(count as usize == labels.len(), "{count} rows of scores for {} labels", labels.len());
        let finite = scores.f_isfinite()?.f_all()?.f_int64_value(&[])?;
        ensure!(finite == 1, "the model's scores are not finite numbers: are these its weights?");
        let logs = match kind {
            Scores::Logits => scores.f_log_softmax(1, Kind::Double)?,
            // What is 0 in float32 counts as the least above it.
            Scores::Probabilities => {
                scores.f_to_kind(Kind::Double)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_log()?
            }
        };
        let top = classes.min(5);
        let (_, best) = scores.f_topk(top, 1, true, true)?;
        let best = Vec::<i64>::try_from(&best.f_to_kind(Kind::Int64)?.f_contiguous()?.f_view(-1)?)?;
        let logs = Vec::<f64>::try_from(&logs.f_contiguous()?.f_view(-1)?)?;
        let rows = best.chunks_exact(top as usize).zip(logs.chunks_exact(classes as usize));
        let outcome = |(&label, (best, logs)): (&i64, (&[i64], &[f64]))| {
            let class = usize::try_from(label).ok().filter(|class| *class < logs.len());
            let Some(class) = class else { bail!("label {label} is no class") };
            let predicted = best[0] as usize;
            Ok(Outcome {
                label: class,
                predicted,
                probability: logs[predicted].exp(),
                label_probability: logs[class].exp(),
                loss: -logs[class],
                in_top5: best.contains(&label),
            })
        };
        labels.iter().zip(rows).map(outcome).collect()
    }

    /// Counts a picture.
    ///
    /// # Errors
    /// A label that is no class.
    pub fn count(&mut self, outcome: &Outcome) -> Result<()> {
        let &Outcome { label, predicted, probability, loss, in_top5, .. } = outcome;
        let Some(score) = self.classes.get_mut(label) else { bail!("label {label} is no class") };
        score.images += 1;
        score.top1 += u64::from(predicted == label);
        score.top5 += u64::from(in_top5);
        if predicted != label {
            *self.confusion.entry((label, predicted)).or_default() += 1;
        }
        self.loss += loss;
        // The bins are open below and closed above.
        let bin = &mut self.bins[((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
        bin.images += 1;
        bin.right += u64::from(predicted == label);
        bin.confidence += probability;
        Ok(())
    }

    /// Class, what it was taken for, and how many pictures: the most first.
    pub fn confused(&self) -> Vec<((usize, usize), u64)> {
        let mut pairs: Vec<_> = self.confusion.iter().map(|(&pair, &images)| (pair, images)).collect();
        pairs.sort_by_key(|&(pair, images)| (Reverse(images), pair));
        pairs
    }

    /// The mean cross-entropy; `None` without pictures.
    pub fn loss(&self) -> Option<f64> {
        let images = self.total().images;
        (images > 0).then(|| self.loss / images as f64)
    }

    /// The expected calibration error (1706.04599): how far the probability of the class that a picture is taken for is
    /// from the share of pictures that are taken for what they are, over 15 bins; `None` without pictures.
    pub fn calibration_error(&self) -> Option<f64> {
        let images = self.total().images;
        let gap = |bin: &Bin| (bin.right as f64 - bin.confidence).abs();
        (images > 0).then(|| self.bins.iter().map(gap).sum::<f64>() / images as f64)
    }

    /// Precision, recall and F1 of every class.
    pub fn class_metrics(&self) -> Vec<ClassMetrics> {
        let mut taken: Vec<u64> = self.classes.iter().map(|score| score.top1).collect();
        for (&(_, taken_for), images) in &self.confusion {
            // A model may know classes that the data does not have.
            if let Some(taken) = taken.get_mut(taken_for) {
                *taken += images;
            }
        }
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        let metrics = |(score, taken): (&Score, u64)| ClassMetrics {
            precision: share(score.top1, taken),
            recall: share(score.top1, score.images),
            f1: share(2 * score.top1, score.images + taken).unwrap_or(0.0),
            support: score.images,
        };
        self.classes.iter().zip(taken).map(metrics).collect()
    }

    /// The mean recall, in percent, of the classes that the data has.
    pub fn balanced_percent(&self) -> Option<f64> {
        mean(self.class_metrics().iter().filter_map(|class| class.recall)).map(|mean| 100.0 * mean)
    }

    /// The mean F1, in percent, of the classes that the data has or that pictures are taken for, as scikit-learn's
    /// `f1_score(average="macro")`.
    pub fn f1_percent(&self) -> Option<f64> {
        let classes = self.class_metrics();
        let there = classes.iter().filter(|class| class.support > 0 || class.precision.is_some());
        mean(there.map(|class| class.f1)).map(|mean| 100.0 * mean)
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

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
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

#[cfg(test)]
mod tests {
    use super::{Accuracy, Scores};
    use tch::Tensor;

    /// Ten pictures of four classes, of which none is of the last and one is taken for it: the numbers are those of
    /// scikit-learn 1.9 (`balanced_accuracy_score`, `f1_score`, `log_loss`), the calibration error by NumPy.
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let labels = [0i64, 0, 0, 0, 1, 1, 1, 2, 2, 2];
        let logits: Vec<f32> = (0..40).map(|i| ((i * i * 7 + i * 3) % 23) as f32 / 5.0).collect();
        let mut accuracy = Accuracy::new(4);
        let scores = Tensor::from_slice(&logits).view([10, 4]);
        let rest = scores.narrow(0, 6, 4).softmax(1, tch::Kind::Float);
        let outcomes =
            |scores: &Tensor, kind, labels: &[i64]| Accuracy::outcomes(scores, kind, labels).unwrap();
        let first = outcomes(&scores.narrow(0, 0, 6), Scores::Logits, &labels[..6]);
        for outcome in first.iter().chain(&outcomes(&rest, Scores::Probabilities, &labels[6..])) {
            accuracy.count(outcome).unwrap();
        }
        let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-5, "{a:?} for {b}");
        close(accuracy.total().top1_percent(), 30.0);
        close(accuracy.loss(), 1.872_467_449_943_380_2);
        close(accuracy.calibration_error(), 0.308_090_091_274_529_7);
        close(accuracy.balanced_percent(), 33.333_333_333_333_33);
        close(accuracy.f1_percent(), 21.428_571_428_571_427);
    }

    #[test]
    fn the_loss_of_an_answer_that_is_sure_and_wrong_is_finite() {
        let of = |scores: [f32; 3], kind| {
            let scores = Tensor::from_slice(&scores).view([1, 3]);
            Accuracy::outcomes(&scores, kind, &[1]).unwrap()[0]
        };
        let sure = of([2000.0, 0.0, -2000.0], Scores::Logits);
        assert_eq!((sure.predicted, sure.label_probability, sure.loss), (0, 0.0, 2000.0));
        let sure = of([1.0, 0.0, 0.0], Scores::Probabilities);
        assert!((sure.loss - 126.0 * 2f64.ln()).abs() < 1e-9, "{sure:?}");
    }
}
