//! The training loop.

mod evaluation;
mod pictures;

use self::evaluation::count_correct;
use super::checkpoint::{Point, Progress, Snapshot, State, Sums, save_weights};
use super::config::{Precision, RunConfig, TrainConfig};
use super::ema::Ema;
use super::log::RunLog;
use super::optimizer::Optimizer;
use super::record::{EpochMetrics, RunResult};
use super::run::{Event, RESULT};
use super::schedule::Schedule;
use crate::data::{self, Loader, LoaderConfig, Pictures, Statistics, Stream};
use crate::machine::{self, unix_time};
use crate::models::{Complexity, Model};
use crate::nn::Store;
use crate::report::statistics::median;
use crate::report::tensorboard::Histogram;
use crate::torch::{self, Autocast, device};
use crate::{Interrupted, atomic};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor};

const LAST: &str = "last.safetensors";
const BEST: &str = "best.safetensors";

/// A run in memory.
pub(super) struct Trainer<'a> {
    config: &'a RunConfig,
    dir: &'a Path,
    device: Device,
    complexity: Complexity,
    store: Store,
    model: Box<dyn Model>,
    optimizer: Optimizer,
    ema: Option<Ema>,
    schedule: Schedule,
    /// Of the whole run.
    steps: u64,
    statistics: Statistics,
    train: Loader,
    test: Loader,
    progress: Progress,
    log: RunLog,
}

impl<'a> Trainer<'a> {
    pub fn new(config: &'a RunConfig, dir: &'a Path) -> Result<Self> {
        config.validate()?;
        // Before anything else asks libtorch about CUDA.
        let device = device::resolve(&config.device)?;
        device::set_up(device, config.train.precision == Precision::Tf32)?;
        if let Some(threads) = config.threads {
            device::set_threads(threads)?;
        }
        let (train, test, mut statistics) = config.data.load(config.seed)?;
        let preprocess = config.data.preprocess(&train, &statistics)?;
        let (input, classes) = (config.data.resized(image_shape(&train))?, train.classes().len() as i64);
        let complexity = config.complexity(input, classes)?;

        tch::manual_seed(stream_seed(config.seed, "init", 0, 0));
        let store = Store::new(device);
        let model = config.architecture(input, classes)?.build(&store)?;
        let last = dir.join(LAST);
        if let (Some(init), false) = (&config.init, last.exists()) {
            init.apply(&store.state_dict())?;
        }
        store.channels_last()?;

        let TrainConfig { epochs, steps, batch_size, eval_batch_size, .. } = config.train;
        let optimizer = Optimizer::new(&config.train, &store.parameters())?;
        let ema = config.train.ema.map(|decay| Ema::new(decay, &store.state_dict())).transpose()?;
        let test_config = LoaderConfig {
            seed: config.seed,
            preprocess,
            fill: statistics.color(),
            workers: config.data.workers,
            pinned: device.is_cuda(),
            ..LoaderConfig::in_order(eval_batch_size)
        };
        let train_config = LoaderConfig {
            batch_size,
            shuffle: true,
            augment: config.data.augment.clone(),
            drop_last: true,
            ..test_config.clone()
        };
        let (mut train, test) = (Loader::new(train, train_config)?, Loader::new(test, test_config)?);
        train.learn_lighting()?;
        if config.data.mean_image {
            statistics.mean = train.mean_image()?;
        }
        let steps_per_epoch = train.batches() as u64;
        ensure!(steps_per_epoch > 0, "`train.batch_size` {batch_size}: more than there are training images");
        let lr = config.train.optimizer.lr();
        let all = steps_per_epoch.saturating_mul(epochs);
        let steps = steps.map_or(all, |steps| steps.min(all));
        let schedule = Schedule::new(&config.train.schedule, lr, steps_per_epoch, steps);

        let progress = match last.exists() {
            false => Progress::default(),
            true => {
                let model = store.state_dict();
                State { model: &model, ema: ema.as_ref(), optimizer: &optimizer }.load(&last)?
            }
        };
        let [train_skipped, test_skipped] = &progress.skipped;
        train.know_skipped(train_skipped);
        test.know_skipped(test_skipped);
        let log = RunLog::new(config, dir, &progress)?;
        Ok(Self {
            config,
            dir,
            device,
            complexity,
            store,
            model,
            optimizer,
            ema,
            schedule,
            steps,
            statistics,
            train,
            test,
            progress,
            log,
        })
    }

    /// Trains to the end of the run, or of epoch `until`, after which all is saved and there is no result yet.
    pub fn run(
        &mut self,
        until: u64,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Option<RunResult>> {
        let started = Instant::now();
        let before = self.progress.seconds;
        observe(Event::Started {
            steps: self.steps,
            step: self.progress.step,
            images_per_step: self.config.train.batch_size,
        });
        while !self.is_over() {
            if self.progress.epoch >= until {
                return Ok(None);
            }
            let clock = |progress: &mut Progress| progress.seconds = before + started.elapsed().as_secs_f64();
            let images_per_second = self.train_epoch(stop, observe, &clock)?;
            self.end_epoch(images_per_second, observe, &clock)?;
            if let Some(row) = self.progress.rows.last() {
                observe(Event::Epoch(row.clone()));
            }
            if stop.load(Ordering::Relaxed) && !self.is_over() {
                return Err(self.interrupted().into());
            }
        }
        self.finish().map(Some)
    }

    /// Whether the last epoch is over: all steps are done, the time is up, or patience ran out.
    fn is_over(&self) -> bool {
        let impatient = self.config.train.patience.is_some_and(|patience| {
            let evaluations = self.progress.rows.iter().filter_map(|row| row.test_top1);
            let mut best = f64::NEG_INFINITY;
            let mut since = 0;
            for top1 in evaluations {
                since = if top1 > best { 0 } else { since + 1 };
                best = best.max(top1);
            }
            since >= patience
        });
        impatient || self.budget_is_spent()
    }

    fn budget_is_spent(&self) -> bool {
        let late = self.config.train.minutes.is_some_and(|minutes| self.progress.seconds >= 60.0 * minutes);
        self.progress.step >= self.steps || late
    }

    /// The batches that are left of the running epoch; returns the images per second.
    fn train_epoch(
        &mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event),
        clock: &dyn Fn(&mut Progress),
    ) -> Result<f64> {
        let RunConfig { seed, train: TrainConfig { log_every, save_every, .. }, .. } = *self.config;
        let epoch = self.progress.epoch;
        // Summed on the device, so that no step waits for a number.
        let mut loss_sum = Tensor::f_full([1], self.progress.sums.loss, (Kind::Double, self.device))?;
        let mut correct_sum = Tensor::f_full([1], self.progress.sums.correct, (Kind::Double, self.device))?;
        let read = |sum: &Tensor| sum.f_double_value(&[0]);
        let (started, mut images) = (Instant::now(), 0.0);
        for batch in self.train.epoch(epoch, self.progress.batch as usize) {
            let batch = batch?;
            batch.skipped.iter().cloned().for_each(|skipped| observe(Event::Skipped(skipped)));
            if batch.labels.numel() == 0 {
                self.progress.step += 1;
                self.progress.batch += 1;
                continue;
            }
            // Dropout and its like draw from a stream of this step's own: a resumed run needs no random state.
            tch::manual_seed(stream_seed(seed, "step", epoch, self.progress.batch));
            let count = batch.labels.size()[0] as f64;
            let lr = self.schedule.lr(self.progress.step);
            let (loss, correct) = self.step(&batch, lr)?;
            let _summed = loss_sum.f_add_(&loss.f_mul_scalar(count)?)?;
            let _summed = correct_sum.f_add_(&correct)?;
            images += count;
            self.progress.sums.images += count;
            self.progress.step += 1;
            self.progress.batch += 1;

            let step = self.progress.step;
            let logged = log_every > 0 && step.is_multiple_of(log_every);
            let value = match logged || self.device == Device::Cpu {
                true => Some(loss.f_double_value(&[])?),
                false => None,
            };
            if let Some(loss) = value {
                self.check_finite("training loss", loss, lr)?;
                if logged {
                    let point = Point { step, loss, lr, wall_time: unix_time() };
                    self.progress.points.push(point);
                    self.log.point(&point)?;
                }
            }
            observe(Event::Step { epoch, step, loss: value });

            let stopping = stop.load(Ordering::Relaxed);
            let saving = save_every > 0 && step.is_multiple_of(save_every);
            let last = step == self.steps;
            let within = (self.progress.batch as usize) < self.train.batches() && !last;
            if within && (stopping || saving) {
                self.progress.sums.loss = read(&loss_sum)?;
                self.progress.sums.correct = read(&correct_sum)?;
                clock(&mut self.progress);
                self.save()?;
                if stopping {
                    return Err(self.interrupted().into());
                }
            }
            if last {
                break;
            }
        }
        self.progress.sums.loss = read(&loss_sum)?;
        self.progress.sums.correct = read(&correct_sum)?;
        Ok(images / started.elapsed().as_secs_f64())
    }

    /// Forward, backward, update; returns the last head's mean loss and the number of images classified rightly.
    fn step(&mut self, batch: &data::Batch, lr: f64) -> Result<(Tensor, Tensor)> {
        let TrainConfig { auxiliary_weight, label_smoothing, clip_grad_norm, .. } = self.config.train;
        let (images, labels) = self.to_device(batch)?;
        let (images, targets) = self.mixed(images, &labels)?;
        self.optimizer.zero_grad()?;
        let (logits, auxiliary) = self.forward(&images)?;
        let loss = |logits: &Tensor| {
            logits.f_cross_entropy_loss(&targets, None::<Tensor>, Reduction::Mean, -100, label_smoothing)
        };
        let main = loss(&logits)?;
        let mut sum = main.shallow_clone();
        for logits in &auxiliary {
            sum = sum.f_add(&loss(logits)?.f_mul_scalar(auxiliary_weight)?)?;
        }
        sum.f_backward()?;
        if let Some(max_norm) = clip_grad_norm {
            let _norm = torch::clip_grad_norm(&self.optimizer.grads(), max_norm)?;
        }
        self.optimizer.step(lr)?;
        if let Some(ema) = &self.ema {
            ema.update()?;
        }
        Ok((main.detach(), count_correct(&logits.detach(), &labels)?))
    }

    /// Images and targets after mixup or CutMix, where the run has them: shares of the classes instead of labels.
    fn mixed(&self, images: Tensor, labels: &Tensor) -> Result<(Tensor, Tensor)> {
        let Progress { epoch, batch, .. } = self.progress;
        let mut stream = Stream::new(self.config.seed, "mix", epoch, batch);
        let size = images.size();
        let mixture = self.config.data.mix.as_ref();
        match mixture.and_then(|mix| mix.draw(size[3] as usize, size[2] as usize, &mut stream)) {
            Some(mixture) => mixture.apply(&images, labels, self.train.pictures().classes().len() as i64),
            None => Ok((images, labels.shallow_clone())),
        }
    }

    /// The logits of a training pass in float32, and those of the auxiliary heads if these are trained.
    fn forward(&self, images: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let _precision = match self.config.train.precision {
            Precision::Float32 | Precision::Tf32 => None,
            Precision::Bfloat16 => Some(Autocast::new(self.device, Kind::BFloat16)?),
        };
        if self.config.train.auxiliary_weight == 0.0 || self.model.auxiliaries().is_empty() {
            return Ok((self.model.forward(images, true)?.f_to_kind(Kind::Float)?, Vec::new()));
        }
        let (logits, auxiliary) = self.model.forward_auxiliary(images, true)?;
        let auxiliary = auxiliary.into_iter().map(|logits| logits.f_to_kind(Kind::Float));
        Ok((logits.f_to_kind(Kind::Float)?, auxiliary.collect::<Result<_, _>>()?))
    }

    /// Normalised images of the model's size in channels_last order, and labels.
    fn to_device(&self, batch: &data::Batch) -> Result<(Tensor, Tensor)> {
        let images = batch.input(&self.statistics, self.device)?;
        let [_, height, width] = self.complexity.input;
        Ok((data::fitted(&images, [height, width])?, torch::upload(&batch.labels, self.device)?))
    }

    /// Evaluates, records and saves. Nothing is written before the numbers are known to be finite.
    fn end_epoch(
        &mut self,
        images_per_second: f64,
        observe: &mut dyn FnMut(Event),
        clock: &dyn Fn(&mut Progress),
    ) -> Result<()> {
        let eval_every = self.config.train.eval_every;
        clock(&mut self.progress);
        let Sums { loss, correct, images } = self.progress.sums;
        let lr = self.schedule.lr(self.progress.step - 1);
        let epoch = self.progress.epoch + 1;
        self.check_finite("training loss", loss, lr)?;
        let mut row = EpochMetrics {
            epoch,
            step: self.progress.step,
            lr,
            train_loss: loss / images,
            train_top1: 100.0 * correct / images,
            test_loss: None,
            test_top1: None,
            raw_top1: None,
            images_per_second,
            seconds: 0.0,
            wall_time: 0.0,
            peak_memory_bytes: torch::peak_resident_bytes(),
        };
        if epoch.is_multiple_of(eval_every) || self.budget_is_spent() {
            if let Some(ema) = &self.ema {
                row.raw_top1 = Some(self.evaluate(observe)?.1);
                ema.swap()?;
            }
            let evaluated = self.evaluate(observe);
            let improved = evaluated
                .as_ref()
                .is_ok_and(|(_, top1)| self.progress.best.is_none_or(|best| *top1 > best.1));
            if let (Ok((loss, top1)), true) = (&evaluated, improved) {
                self.check_finite("test loss", *loss, lr)?;
                let about = [("model", self.config.model.name.clone()), ("epoch", epoch.to_string())];
                save_weights(&self.dir.join(BEST), &self.store.state_dict(), &about)?;
                self.progress.best = Some((epoch, *top1));
            }
            if let Some(ema) = &self.ema {
                ema.swap()?;
            }
            let (loss, top1) = evaluated?;
            self.check_finite("test loss", loss, lr)?;
            (row.test_loss, row.test_top1) = (Some(loss), Some(top1));
        }
        // An epoch without evaluation is not the last: its time stays as it was when that was decided.
        if row.test_top1.is_some() {
            clock(&mut self.progress);
        }
        row.seconds = self.progress.seconds;
        row.wall_time = unix_time();
        self.progress.rows.push(row);
        if self.config.train.histograms {
            let histogram =
                |(name, parameter): (String, Tensor)| -> Result<_> { Ok((name, Histogram::of(&parameter)?)) };
            let histograms = self.store.parameters().into_iter().map(histogram).collect::<Result<_>>()?;
            self.progress.snapshots.push(Snapshot { epoch, wall_time: unix_time(), histograms });
        }
        self.progress.epoch = epoch;
        self.progress.batch = 0;
        self.progress.sums = Sums::default();
        self.save()?;
        self.log.epoch(&self.progress)
    }

    fn finish(&mut self) -> Result<RunResult> {
        self.show()?;
        let rows = &self.progress.rows;
        let last = rows.last().context("a run without epochs")?;
        let (best_epoch, best_top1) = self.progress.best.context("a run without evaluation")?;
        let result = RunResult {
            model: self.config.model.name.clone(),
            params: self.complexity.params,
            macs: self.complexity.macs,
            activations: self.complexity.activations,
            seed: self.config.seed,
            epochs: self.progress.epoch,
            steps: self.progress.step,
            top1: last.test_top1.context("the last epoch was not evaluated")?,
            loss: last.test_loss.context("the last epoch was not evaluated")?,
            best_top1,
            best_epoch,
            images_per_second: median(rows.iter().map(|row| row.images_per_second).collect()).unwrap_or(0.0),
            skipped: self.train.skipped().len() + self.test.skipped().len(),
            seconds: self.progress.seconds,
            device: format!("{:?}", self.device),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: torch::version(),
            machine: machine::cpu(),
            commit: machine::commit(),
            wall_time: unix_time(),
        };
        self.log.finish()?;
        atomic::write(&self.dir.join(RESULT), &serde_json::to_vec_pretty(&result)?)?;
        Ok(result)
    }

    fn save(&mut self) -> Result<()> {
        self.progress.skipped = [self.train.skipped(), self.test.skipped()];
        let model = self.store.state_dict();
        let state = State { model: &model, ema: self.ema.as_ref(), optimizer: &self.optimizer };
        state.save(&self.dir.join(LAST), &self.progress)
    }

    fn check_finite(&self, what: &str, value: f64, lr: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let Progress { epoch, step, .. } = self.progress;
        let last = self.dir.join(LAST);
        let kept = match last.exists() {
            true => format!("the last good checkpoint is {}", last.display()),
            false => "there is no checkpoint yet".to_owned(),
        };
        bail!(
            "the {what} is {value} in epoch {}, after step {step} (lr {lr:.3e}); {kept}; \
             lower the learning rate, or set `clip_grad_norm`",
            epoch + 1
        )
    }

    fn interrupted(&self) -> Interrupted {
        let Progress { epoch, step, .. } = self.progress;
        let last = self.dir.join(LAST);
        Interrupted(format!(
            "interrupted in epoch {} after step {step}, saved in {}; run the same command again to go on",
            epoch + 1,
            last.display()
        ))
    }
}

/// The shape of the images in the data set (C, H, W); of pictures of all sizes their channels count.
fn image_shape(pictures: &Pictures) -> [i64; 3] {
    match pictures {
        Pictures::Memory(dataset) => {
            let images = &dataset.images;
            [images.channels as i64, images.height as i64, images.width as i64]
        }
        Pictures::Files(_) => [3, 0, 0],
    }
}

/// The seed of libtorch's generator for one purpose at one place of a run.
fn stream_seed(seed: u64, purpose: &str, epoch: u64, index: u64) -> i64 {
    Stream::new(seed, purpose, epoch, index).next_u64() as i64
}
