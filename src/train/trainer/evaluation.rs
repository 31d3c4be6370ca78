//! The passes over the test images.

use super::features::Features;
use super::network::Network;
use crate::data::{Loader, Pictures, Skipped};
use crate::evaluate::{Accuracy, Outcome, ReadPictures, Scores, Views};
use crate::torch;
use crate::train::ranks::Ranks;
use crate::train::{Event, Precision, RunConfig, TestMetrics, TrainConfig};
use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::ops::ControlFlow;
use tch::{Device, Kind, Reduction, Tensor};

/// What a pass over the test images found, of those that can be read.
#[derive(Clone, Copy)]
pub struct Tested {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Percent of right answers.
    pub top1: f64,
    /// Unless scores are not finite.
    pub metrics: Option<TestMetrics>,
}

/// How well the network does on the test images.
///
/// # Errors
/// As [`crate::evaluate::Evaluator::run`], or test images of which none can be read.
pub fn evaluate(
    network: &Network,
    test: &Loader,
    ranks: &Ranks,
    observe: &mut dyn FnMut(Event),
) -> Result<Tested> {
    frozen(network, || evaluate_all(network, test, ranks, observe))
}

/// As [`evaluate`], by the run's protocol.
///
/// # Errors
/// As [`evaluate`], or a model that cannot be tested so.
pub fn evaluate_views(
    config: &RunConfig,
    network: &Network,
    test: &Loader,
    observe: &mut dyn FnMut(Event),
) -> Result<Tested> {
    frozen(network, || evaluate_all_views(config, network, test, observe))
}

/// The weights do not change during an evaluation. Frozen layers would ignore autocast's dtypes.
fn frozen<T>(network: &Network, evaluation: impl FnOnce() -> Result<T>) -> Result<T> {
    let _no_grad = tch::no_grad_guard();
    if network.precision != Precision::Bfloat16 {
        network.store.freeze(Kind::Float);
    }
    let outcome = evaluation();
    network.store.thaw();
    outcome
}

/// As [`evaluate`], from the outputs of the frozen stages.
///
/// # Errors
/// Test images of which none can be read.
pub fn evaluate_features(
    config: &TrainConfig,
    network: &Network,
    features: &Features,
    observe: &mut dyn FnMut(Event),
) -> Result<Tested> {
    frozen(network, || {
        let mut tally = Tally::new(network)?;
        let all = features.readable((0..features.len()).collect());
        for places in all.chunks(config.eval_batch_size) {
            let (features, labels) = features.batch(places, network.device)?;
            tally.count(&network.suffix(&features, false)?, &labels.f_to_device(Device::Cpu)?)?;
            observe(Event::Testing { images: tally.images as usize, of: all.len() });
        }
        tally.tested(features.len(), None)
    })
}

/// Sums over batches, on the device as in training.
struct Tally {
    loss: Tensor,
    correct: Tensor,
    images: f64,
    /// Of scores that are finite.
    accuracy: Option<Accuracy>,
    all_finite: bool,
    /// What `accuracy` has counted, batch by batch.
    batches: Vec<Vec<Outcome>>,
}

impl Tally {
    fn new(network: &Network) -> Result<Self> {
        let zero = || Tensor::f_zeros([1], (Kind::Double, network.device));
        Ok(Self {
            loss: zero()?,
            correct: zero()?,
            images: 0.0,
            accuracy: None,
            all_finite: true,
            batches: Vec::new(),
        })
    }

    /// That of all ranks, which have had the batches in turn.
    fn together(mut self, ranks: &Ranks) -> Result<Self> {
        if ranks.world() == 1 {
            return Ok(self);
        }
        ranks.sum(&self.loss)?;
        ranks.sum(&self.correct)?;
        let classes = self.accuracy.as_ref().map_or(0, |accuracy| accuracy.classes.len());
        let longest = self.batches.iter().map(Vec::len).max().unwrap_or(0);
        let sums = ranks.sums(&[self.images, f64::from(u8::from(!self.all_finite))])?;
        let most = ranks.most(&[classes, longest, self.batches.len()])?;
        self.images = sums[0];
        self.all_finite = sums[1] == 0.0;
        let (classes, longest) = (most[0], most[1]);
        if !self.all_finite {
            return Ok(self);
        }
        // A row for each image: the outcomes are counted again, in the order of one process.
        let mut rows = vec![[0.0; 6]; most[2] * ranks.world() * longest];
        for (turn, batch) in self.batches.iter().enumerate() {
            let first = (turn * ranks.world() + ranks.rank()) * longest;
            for (row, &outcome) in rows[first..].iter_mut().zip(batch) {
                let Outcome { label, predicted, probability, loss, in_top5, .. } = outcome;
                *row = [1.0, label as f64, predicted as f64, probability, loss, f64::from(u8::from(in_top5))];
            }
        }
        let mut accuracy = Accuracy::new(classes);
        for row in ranks.sums(rows.as_flattened())?.chunks_exact(6).filter(|row| row[0] == 1.0) {
            accuracy.count(&Outcome {
                label: row[1] as usize,
                predicted: row[2] as usize,
                probability: row[3],
                label_probability: f64::NAN,
                loss: row[4],
                in_top5: row[5] == 1.0,
            })?;
        }
        self.accuracy = Some(accuracy);
        Ok(self)
    }

    /// Adds a batch; its labels are on the CPU.
    fn count(&mut self, logits: &Tensor, labels: &Tensor) -> Result<()> {
        let there = torch::upload(labels, logits.device())?;
        let sum = logits.f_cross_entropy_loss(&there, None::<Tensor>, Reduction::Sum, -100, 0.0)?;
        let _summed = self.loss.f_add_(&sum)?;
        let _summed = self.correct.f_add_(&count_correct(logits, &there)?)?;
        self.all_finite = self.all_finite && logits.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1;
        if self.all_finite {
            let accuracy = self.accuracy.get_or_insert_with(|| Accuracy::new(logits.size()[1] as usize));
            let outcomes = Accuracy::outcomes(logits, Scores::Logits, &Vec::<i64>::try_from(labels)?)?;
            outcomes.iter().try_for_each(|outcome| accuracy.count(outcome))?;
            self.batches.push(outcomes);
        }
        self.images += labels.size()[0] as f64;
        Ok(())
    }

    /// What was found in `of` images, the first of which that cannot be read is `first`.
    fn tested(self, of: usize, first: Option<String>) -> Result<Tested> {
        let Self { loss, correct, images, accuracy, all_finite, .. } = self;
        let why = first.map_or(String::new(), |first| format!("; the first: {first}"));
        ensure!(images > 0.0, "none of the {of} test pictures can be read{why}");
        let (loss, correct) = (loss.f_double_value(&[0])?, correct.f_double_value(&[0])?);
        let metrics = accuracy.filter(|_| all_finite).and_then(|accuracy| TestMetrics::of(&accuracy));
        Ok(Tested { loss: loss / images, top1: 100.0 * correct / images, metrics })
    }
}

fn evaluate_all(
    network: &Network,
    test: &Loader,
    ranks: &Ranks,
    observe: &mut dyn FnMut(Event),
) -> Result<Tested> {
    let mut tally = Tally::new(network)?;
    let (observe, of) = (RefCell::new(observe), test.pictures().len());
    // Whole batches, so that each has the bits that it has in one process.
    let test = &test.dealt(ranks.rank(), ranks.world());
    let mut first = None;
    let mut skipped = |picture: Skipped| {
        first.get_or_insert_with(|| format!("{}: {}", picture.name, picture.reason));
        (observe.borrow_mut())(Event::Skipped(picture));
    };
    network.evaluator(&network.input).run(test, &mut skipped, &mut |batch, logits, _| {
        tally.count(&logits, &batch.labels)?;
        (observe.borrow_mut())(Event::Testing { images: tally.images as usize, of });
        Ok(ControlFlow::Continue(()))
    })?;
    tally.together(ranks)?.tested(of, first)
}

fn evaluate_all_views(
    RunConfig { protocol, train, .. }: &RunConfig,
    network: &Network,
    test: &Loader,
    observe: &mut dyn FnMut(Event),
) -> Result<Tested> {
    let input = network.input.of_pictures();
    let (of, labels) = (test.pictures().len(), test.pictures().labels());
    let source = Views {
        pictures: match test.pictures() {
            Pictures::Memory(images) => images as &dyn ReadPictures,
            Pictures::Files(files) => files,
        },
        label: &|place| labels[place],
        ways: std::slice::from_ref(&input.preprocess),
        protocol,
        batch_size: train.eval_batch_size,
    };
    let mut accuracy = Accuracy::new(test.pictures().classes().len());
    let mut images = 0;
    // Those that cannot be read are known from the tests between epochs.
    network.evaluator(&input).viewing(protocol)?.run(&source, &mut |_| {}, &mut |batch, scores, kind| {
        let labels = Vec::<i64>::try_from(&batch.labels)?;
        let outcomes = Accuracy::outcomes(&scores, kind, &labels)?;
        outcomes.iter().try_for_each(|outcome| accuracy.count(outcome))?;
        images += labels.len();
        observe(Event::Testing { images, of });
        Ok(ControlFlow::Continue(()))
    })?;
    let none = || format!("none of the {of} test pictures can be read");
    Ok(Tested {
        loss: accuracy.loss().with_context(none)?,
        top1: accuracy.total().top1_percent().with_context(none)?,
        metrics: TestMetrics::of(&accuracy),
    })
}

/// How many rows of `logits` have their maximum at the label: a float64 scalar on the device.
pub fn count_correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Double)?)
}
