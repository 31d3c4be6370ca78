//! The training loop.

mod budget;
mod evaluation;
mod features;
mod kept;
mod learner;
mod loaders;
mod network;
mod pass;
mod pictures;
mod prepared;
mod running;

use self::budget::Budget;
use self::evaluation::{Tested, evaluate, evaluate_features, evaluate_views};
use self::features::Features;
use self::learner::Learner;
use self::loaders::Loaders;
pub use self::loaders::about;
use self::network::Network;
use self::pass::{Lesson, Passed};
use self::pictures::pictures;
pub(super) use self::prepared::Prepared;
use self::running::Running;
use super::begin::Begin;
use super::checkpoint::{Point, Progress, Snapshot, Sums};
use super::config::{RunConfig, TrainConfig};
use super::event::Event;
use super::header::Header;
use super::identity::Change;
use super::init::Started;
use super::lock::Owner;
use super::log::RunLog;
use super::parts::treatments;
use super::ranks::Ranks;
use super::record::{EpochMetrics, Evaluation, RunResult, Start, Validation};
use super::run_dir::RunDir;
use super::schedule::Schedule;
use super::teacher::Teacher;
use crate::data::{Batch, Loader, Mix, Stream};
use crate::machine::{self, unix_time};
use crate::models::{Complexity, ModelSpec};
use crate::nn::Store;
use crate::statistics::median;
use crate::tensorboard::Histogram;
use crate::torch::{self, device};
use crate::weights::{self, About, Parent, StateFile};
use crate::{Interrupted, Remedy, Usage};
use anyhow::{Context, Error, Result, bail};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// A micro-batch to learn from.
enum Work {
    Images(Batch),
    /// The places of the images whose features are known.
    Features(Vec<usize>),
}

impl Work {
    /// Its images among those of training.
    fn places(&self) -> &[usize] {
        match self {
            Self::Images(batch) => &batch.places,
            Self::Features(places) => places,
        }
    }

    fn len(&self) -> usize {
        self.places().len()
    }
}

/// New tensors that the lines before a run name.
const MAX_NEW: usize = 8;

/// The processes of a run.
#[derive(Clone, Copy)]
pub(super) struct Together<'a> {
    pub ranks: &'a Ranks,
    /// Of the one that writes.
    pub owner: Option<&'a Owner>,
}

/// A run in memory.
pub(super) struct Trainer<'a> {
    config: &'a RunConfig,
    dir: &'a RunDir,
    ranks: &'a Ranks,
    owner: Option<&'a Owner>,
    header: Header,
    complexity: Complexity,
    /// What weights files say about themselves.
    about: About,
    learner: Learner,
    teacher: Option<Teacher>,
    /// Of each class, in a loss that has them.
    class_weights: Option<Vec<f64>>,
    schedule: Schedule,
    budget: Budget,
    train: Loader,
    validation: Option<Loader>,
    test: Loader,
    /// Of the training images, and of those that are looked at between epochs.
    features: Option<[Features; 2]>,
    progress: Progress,
    /// Of the rank that writes.
    log: Option<RunLog>,
}

impl<'a> Trainer<'a> {
    /// A run at its start, or at its checkpoint.
    pub fn new(
        config: &'a RunConfig,
        dir: &'a RunDir,
        begin: &Begin,
        Together { ranks, owner }: Together<'a>,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let prepared = Prepared::new(config, dir, begin, observe)?;
        prepared.check_memory(config)?;
        let Prepared { device, mut loaders, complexity, mut header, origin, teacher, class_weights } =
            prepared;
        let (own, resumed) = (dir.checkpoint(), dir.checkpoint().exists());
        let there = if resumed { About::of(&StateFile::open(&own)?)? } else { None };
        loaders.measure(config, there.as_ref(), observe)?;
        header.ranks = ranks.world();
        let precision = config.train.precision;
        let mut about = loaders.about(config)?;
        let Loaders { train, validation, test, test_input, classes, .. } = loaders;

        tch::manual_seed(stream_seed(config.seed, "init", 0, 0));
        let parent = if let Begin::From(run) = begin { Some(RunDir::new(run).checkpoint()) } else { None };
        if let (Some(_), Some(model)) = (&config.init, begun_model(&own, parent.as_deref())?) {
            // With the fields that the weights brought along.
            about.model = model;
        }
        let mut architecture = about.model.resolve()?;
        let (model, store) = match origin {
            Some(origin) => {
                let (mut parent, source) = (origin.parent.clone(), origin.to_string());
                let Started { model, store, spec, fresh, notes } = origin.start(&architecture, device)?;
                header.weights =
                    [vec![weights_of(&source, &parent.sha256, &fresh)], notes].concat().join("; ");
                architecture = spec.resolve()?;
                about.model = spec;
                parent.new = fresh;
                about.parents.push(parent);
                (model, store)
            }
            None => {
                let store = Store::new(device);
                (architecture.build(&store)?, store)
            }
        };
        store.channels_last()?;
        let size = [complexity.input[1], complexity.input[2]];
        let network = Network { device, precision, store, model, size, input: test_input, frozen: 0 };
        let teacher =
            teacher.map(|hired| hired.build(&network.input.statistics, device, precision)).transpose()?;
        let treatments = treatments(&config.train, &architecture)?;
        let mut learner = Learner::new(&config.train, network, &treatments, class_weights.as_deref(), ranks)?;

        let steps_per_epoch = (train.batches() / config.train.accumulate) as u64;
        let budget = Budget::new(&config.train, steps_per_epoch);
        let lr = config.train.optimizer.lr();
        let schedule = Schedule::new(&config.train.schedule, lr, steps_per_epoch, budget.steps);

        let progress = match &parent {
            _ if resumed => {
                let remedy = || {
                    format!("{}: not a checkpoint of this run; move it away to start afresh", own.display())
                };
                let (progress, there) = learner.load(&own).with_context(remedy)?;
                if let Some(there) = there {
                    check_data(&about, &there, dir)?;
                    about.parents = there.parents;
                }
                progress
            }
            Some(parent) => {
                let remedy = || format!("{}: not of this model and optimizer", parent.display());
                let (progress, there) = learner.load(parent).with_context(remedy)?;
                about.parents = there.map_or(Vec::new(), |there| there.parents);
                about.parents.push(Parent::of(parent)?);
                branched(progress, steps_per_epoch)
            }
            None => Progress::default(),
        };
        let micro_batches = Some(config.train.accumulate).filter(|&parts| parts > 1);
        let progress = Progress { micro_batches, ..progress };
        ranks.broadcast(
            &learner.network.store.state_dict().into_iter().map(|(_, tensor)| tensor).collect::<Vec<_>>(),
        )?;
        learner.rehearse(&config.train, classes)?;
        let [train_skipped, test_skipped] = &progress.skipped;
        train.know_skipped(train_skipped);
        test.know_skipped(test_skipped);
        if let Some(validation) = &validation {
            validation.know_skipped(&progress.skipped_validation);
        }
        let log = if ranks.leads() { Some(RunLog::new(config, dir, &progress)?) } else { None };
        let mut trainer = Self {
            config,
            dir,
            ranks,
            owner,
            header,
            complexity,
            about,
            learner,
            teacher,
            class_weights,
            schedule,
            budget,
            train,
            validation,
            test,
            features: None,
            progress,
            log,
        };
        if parent.is_some() && !resumed {
            // From here on the run is its own.
            trainer.save()?;
        }
        Ok(trainer)
    }

    /// What this process notes of its start.
    pub fn start(&self, changes: Vec<Change>) -> Start {
        let (version, libtorch) = About::versions();
        Start {
            step: self.progress.step,
            device: format!("{:?}", self.learner.network.device),
            ranks: Some(self.ranks.world()).filter(|&world| world > 1),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            workers: self.config.data.workers,
            machine: machine::cpu(),
            version,
            libtorch,
            changes,
            wall_time: unix_time(),
        }
    }

    /// Whether any step was made.
    pub fn has_begun(&self) -> bool {
        self.progress.step > 0
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
        observe(Event::Started(Box::new(self.header.clone())));
        if self.caches_features()? && !self.budget.is_over(&self.progress) {
            self.compute_features(observe)?;
        }
        while !self.budget.is_over(&self.progress) {
            if self.progress.epoch >= until {
                return Ok(None);
            }
            let clock = |progress: &mut Progress| progress.seconds = before + started.elapsed().as_secs_f64();
            let images_per_second = self.train_epoch(stop, observe, &clock)?;
            self.end_epoch(images_per_second, observe, &clock)?;
            if let Some(row) = self.progress.rows.last() {
                observe(Event::Epoch(row.clone()));
            }
            if self.ranks.any(stop.load(Ordering::Relaxed))? && !self.budget.is_over(&self.progress) {
                return Err(self.interrupted().into());
            }
        }
        self.finish(observe).map(Some)
    }

    /// Trains on the remaining batches of the current epoch; returns the images per second.
    fn train_epoch(
        &mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event),
        clock: &dyn Fn(&mut Progress),
    ) -> Result<f64> {
        let TrainConfig { log_every, save_every, accumulate, .. } = self.config.train;
        let epoch = self.progress.epoch;
        // Summed on the device, so that no step waits for a number.
        let mut loss_sum =
            Tensor::f_full([1], self.progress.sums.loss, (Kind::Double, self.learner.network.device))?;
        let mut correct_sum =
            Tensor::f_full([1], self.progress.sums.correct, (Kind::Double, self.learner.network.device))?;
        let read = |sum: &Tensor| sum.f_double_value(&[0]);
        let (started, mut images) = (Instant::now(), 0.0);
        let mut batches = self.batches(epoch);
        loop {
            let batch: Vec<Work> =
                batches.by_ref().take(accumulate / self.ranks.world()).collect::<Result<_>>()?;
            if batch.is_empty() {
                break;
            }
            for work in &batch {
                if let Work::Images(part) = work {
                    part.skipped.iter().cloned().for_each(|skipped| observe(Event::Skipped(skipped)));
                }
            }
            let own = batch.iter().map(Work::len).sum::<usize>() as f64;
            let weight = batch.iter().map(|part| self.weight(part)).sum();
            let stops = f64::from(u8::from(stop.load(Ordering::Relaxed)));
            let [count, weight, stops] = self.ranks.totals([own, weight, stops])?;
            if count == 0.0 {
                self.progress.step += 1;
                self.progress.batch += 1;
                continue;
            }
            let lr = self.schedule.lr(self.progress.step, &self.progress.rows);
            let (loss, correct) = self.step(batch, weight, lr)?;
            let _summed = loss_sum.f_add_(&loss.f_mul_scalar(count)?)?;
            let _summed = correct_sum.f_add_(&correct)?;
            images += count;
            self.progress.sums.images += count;
            self.progress.step += 1;
            self.progress.batch += 1;

            let step = self.progress.step;
            let logged = log_every > 0 && step.is_multiple_of(log_every);
            // Reading it from a GPU would wait for the step to finish.
            let value = if logged || self.learner.network.device == Device::Cpu {
                Some(loss.f_double_value(&[])?)
            } else {
                None
            };
            if let Some(loss) = value {
                self.check_finite("training loss", loss, lr)?;
                if logged {
                    let point = Point { step, loss, lr, wall_time: unix_time() };
                    self.progress.points.push(point);
                    self.log.as_mut().map_or(Ok(()), |log| log.point(&point))?;
                }
            }
            observe(Event::Step { epoch, step, lr, loss: value });

            // Together: a signal that came during the step is seen in the next.
            let stopping = if self.ranks.world() > 1 { stops > 0.0 } else { stop.load(Ordering::Relaxed) };
            let saving = save_every > 0 && step.is_multiple_of(save_every);
            let last = step == self.budget.steps;
            let within = (self.progress.batch as usize) < self.train.batches() / accumulate && !last;
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

    /// Whether the frozen stages see the same in every epoch.
    fn caches_features(&self) -> Result<bool> {
        let RunConfig { data, train, .. } = self.config;
        let network = &self.learner.network;
        let is_plain = data.augment.is_empty() && data.mix.is_none() && self.teacher.is_none();
        Ok(train.cache_features && network.frozen > 0 && is_plain && !network.is_random()?)
    }

    fn compute_features(&mut self, observe: &mut dyn FnMut(Event)) -> Result<()> {
        let network = &self.learner.network;
        let tested = self.validation.as_ref().unwrap_or(&self.test);
        let trained = Features::new(network, &self.train, true, observe)?;
        self.features = Some([trained, Features::new(network, tested, false, observe)?]);
        Ok(())
    }

    /// What is left of an epoch to learn from, in micro-batches.
    fn batches(&self, epoch: u64) -> Box<dyn Iterator<Item = Result<Work>>> {
        let first = self.progress.batch as usize * self.config.train.accumulate;
        let train = self.train.dealt(self.ranks.rank(), self.ranks.world());
        let Some([features, _]) = &self.features else {
            return Box::new(train.epoch(epoch, first).map(|batch| batch.map(Work::Images)));
        };
        let places = train.places(epoch, first);
        let known = places.into_iter().map(|places| Ok(Work::Features(features.readable(places))));
        Box::new(known.collect::<Vec<_>>().into_iter())
    }

    /// Learns from one batch of `count` images, part by part, of which these are this rank's; returns the main head's mean
    /// loss, and how many images were classified correctly.
    fn step(&mut self, batch: Vec<Work>, weight: f64, lr: f64) -> Result<(Tensor, Tensor)> {
        let RunConfig { seed, train, .. } = self.config;
        let step = self.progress.step + 1;
        let first = self.progress.batch * train.accumulate as u64 + (self.ranks.rank() * batch.len()) as u64;
        let mut running = Running::new(&self.learner.network.store, train.accumulate)?;
        let mut sums: Option<(Tensor, Tensor)> = None;
        self.learner.begin_step()?;
        let mut parts = (first..).zip(batch).filter(|(_, part)| part.len() > 0).peekable();
        while let Some((place, part)) = parts.next() {
            // Each part seeds dropout and the like by itself: a resumed run needs no random state.
            tch::manual_seed(stream_seed(*seed, "step", self.progress.epoch, place));
            let share = self.weight(&part) / weight;
            let lesson = &self.lesson(part, place)?;
            if self.learner.evaluates() {
                let Passed { loss, correct, .. } = self.learner.minimise(train, lesson, step, lr)?;
                return Ok((loss, correct));
            }
            running.before_part()?;
            let is_last = parts.peek().is_none();
            let Passed { loss, correct, .. } = self.learner.accumulate(train, lesson, share, is_last)?;
            running.after_part(share)?;
            sums = Some(match sums {
                None => (loss, correct),
                Some((losses, corrects)) => (losses.f_add(&loss)?, corrects.f_add(&correct)?),
            });
        }
        if sums.is_none() {
            self.learner.accumulate_nothing()?;
        }
        running.finish(self.ranks)?;
        self.learner.update(train, step, lr)?;
        self.together(sums)
    }

    /// Loss and right answers of all ranks' images, from those of this one's.
    fn together(&self, own: Option<(Tensor, Tensor)>) -> Result<(Tensor, Tensor)> {
        if self.ranks.world() == 1 {
            return own.context("a step without images");
        }
        let all = match own {
            Some((loss, correct)) => {
                Tensor::f_stack(&[loss.f_to_kind(Kind::Double)?.f_view(-1)?, correct.f_view(-1)?], 0)?
            }
            None => Tensor::f_zeros([2, 1], (Kind::Double, self.learner.network.device))?,
        };
        self.ranks.sum(&all)?;
        Ok((all.f_get(0)?.f_to_kind(Kind::Float)?.f_squeeze()?, all.f_get(1)?.f_squeeze()?))
    }

    /// How much a micro-batch counts in its step: by its images, or by the weights of their classes.
    fn weight(&self, part: &Work) -> f64 {
        let Some(weights) = self.class_weights.as_ref().filter(|_| self.config.data.mix.is_none()) else {
            return part.len() as f64;
        };
        let labels = self.train.pictures().labels();
        part.places().iter().map(|&place| weights[labels[place] as usize]).sum()
    }

    /// What is to be learned from a micro-batch of the epoch.
    fn lesson(&self, part: Work, place: u64) -> Result<Lesson> {
        let network = &self.learner.network;
        match (part, &self.features) {
            (Work::Features(places), Some([features, _])) => {
                let (features, labels) = features.batch(&places, network.device)?;
                let targets = labels.shallow_clone();
                Ok(Lesson { features, labels, targets, taught: None })
            }
            (Work::Images(batch), _) => {
                let (images, labels) = network.batch(&batch)?;
                let (images, targets) = self.mixed(images, &labels, place)?;
                let taught = self.teacher.as_ref().map(|teacher| teacher.logits(&images)).transpose()?;
                Ok(Lesson { features: network.prefix(&images, true)?, labels, targets, taught })
            }
            (Work::Features(_), None) => bail!("features that were not computed"),
        }
    }

    /// How well the network does on the images that are looked at between epochs.
    fn look(&self, network: &Network, observe: &mut dyn FnMut(Event)) -> Result<Tested> {
        match &self.features {
            Some([_, features]) => evaluate_features(&self.config.train, network, features, observe),
            None => evaluate(network, self.validation.as_ref().unwrap_or(&self.test), self.ranks, observe),
        }
    }

    /// Images and targets of a micro-batch of the epoch after mixup or CutMix, where the run has them: shares of the classes
    /// instead of labels.
    fn mixed(&self, images: Tensor, labels: &Tensor, place: u64) -> Result<(Tensor, Tensor)> {
        let mut stream = Stream::new(self.config.seed, "mix", self.progress.epoch, place);
        let size = images.size();
        let is_on = |mix: &&Mix| mix.off_epoch.is_none_or(|off| self.progress.epoch < off);
        let mixture = self.config.data.mix.as_ref().filter(is_on);
        match mixture.and_then(|mix| mix.draw(size[3] as usize, size[2] as usize, &mut stream)) {
            Some(mixture) => mixture.apply(&images, labels, self.train.pictures().classes().len() as i64),
            None => Ok((images, labels.shallow_clone())),
        }
    }

    /// Evaluates, records and saves. Nothing is written before the numbers are known to be finite.
    fn end_epoch(
        &mut self,
        images_per_second: f64,
        observe: &mut dyn FnMut(Event),
        clock: &dyn Fn(&mut Progress),
    ) -> Result<()> {
        let eval_every = self.config.train.eval_every;
        self.tell_time(clock)?;
        let Sums { loss, correct, images } = self.progress.sums;
        let lr = self.schedule.lr(self.progress.step - 1, &self.progress.rows);
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
            test_top5: None,
            validation: None,
            raw_top1: None,
            images_per_second,
            seconds: 0.0,
            wall_time: 0.0,
            peak_memory_bytes: torch::peak_resident_bytes(),
            peak_gpu_memory_bytes: device::peak_bytes(self.learner.network.device)?,
        };
        if epoch.is_multiple_of(eval_every) || self.budget.is_spent(&self.progress) {
            // The test images are for the end where there are others to look at.
            if self.learner.has_averages() {
                row.raw_top1 = Some(self.look(&self.learner.network, observe)?.top1);
            }
            let is_validation = self.validation.is_some();
            let score = |tested: &Tested| {
                let &Tested { loss, top1, metrics } = tested;
                let top5 = metrics.map(|metrics| metrics.top5);
                Evaluation { loss, top1, top5, is_validation }.score(self.config.train.metric)
            };
            let tested = self.learner.averaged(|network| {
                let tested = self.look(network, observe)?;
                let (Tested { loss, top1, .. }, score) = (tested, score(&tested));
                if let (true, Some(owner)) = (loss.is_finite(), self.owner) {
                    owner.check()?;
                    let about = About {
                        epoch,
                        step: self.progress.step,
                        top1: Some(top1),
                        loss: Some(loss),
                        ..self.about.clone()
                    };
                    let save =
                        |path: &Path| weights::save(path, &network.store.state_dict(), about.metadata()?);
                    if self.is_best(score) {
                        save(&self.dir.best_weights())?;
                    }
                    if self.is_kept(epoch, score) {
                        save(&self.dir.epoch_weights(epoch))?;
                    }
                }
                Ok(tested)
            })?;
            let Tested { loss, top1, metrics } = tested;
            let what = if is_validation { "validation loss" } else { "test loss" };
            self.check_finite(what, loss, lr)?;
            if self.is_best(score(&tested)) {
                self.progress.best = Some((epoch, top1));
            }
            let top5 = metrics.map(|metrics| metrics.top5);
            if is_validation {
                row.validation = Some(Validation { loss, top1, top5 });
            } else {
                (row.test_loss, row.test_top1, row.test_top5) = (Some(loss), Some(top1), top5);
                self.progress.test = metrics;
            }
        }
        if row.evaluation().is_none() && self.config.train.keep.contains(&epoch) && self.ranks.leads() {
            let about = About { epoch, step: self.progress.step, ..self.about.clone() };
            let path = self.dir.epoch_weights(epoch);
            self.learner
                .averaged(|network| weights::save(&path, &network.store.state_dict(), about.metadata()?))?;
        }
        // An epoch without evaluation is not the last: its time stays as it was when that was decided.
        if row.evaluation().is_some() {
            self.tell_time(clock)?;
        }
        row.seconds = self.progress.seconds;
        row.wall_time = unix_time();
        self.progress.rows.push(row);
        if self.config.train.histograms {
            let histogram =
                |(name, parameter): (String, Tensor)| -> Result<_> { Ok((name, Histogram::of(&parameter)?)) };
            let histograms =
                self.learner.network.store.parameters().into_iter().map(histogram).collect::<Result<_>>()?;
            self.progress.snapshots.push(Snapshot { epoch, wall_time: unix_time(), histograms });
        }
        self.progress.epoch = epoch;
        self.progress.batch = 0;
        self.progress.sums = Sums::default();
        self.save()?;
        let Some(log) = &mut self.log else { return Ok(()) };
        log.epoch(&self.progress)?;
        self.drop_weights()
    }

    /// Notes the time spent; rank 0's, by which all end alike.
    fn tell_time(&mut self, clock: &dyn Fn(&mut Progress)) -> Result<()> {
        clock(&mut self.progress);
        self.progress.seconds = self.ranks.first(self.progress.seconds)?;
        Ok(())
    }

    fn finish(&mut self, observe: &mut dyn FnMut(Event)) -> Result<RunResult> {
        let last = self.progress.rows.last().context("a run without epochs")?;
        let (validation, seen) = (last.validation, last.test_loss.zip(last.test_top1));
        let is_center = self.config.protocol.is_center();
        let tested = match seen {
            Some((loss, top1)) if is_center => Tested { loss, top1, metrics: self.progress.test },
            _ => {
                let tested = self.learner.averaged(|network| {
                    if is_center {
                        evaluate(network, &self.test, self.ranks, observe)
                    } else {
                        evaluate_views(self.config, network, &self.test, observe)
                    }
                })?;
                if let Some(log) = &mut self.log {
                    log.test(self.progress.step, unix_time(), tested.loss, tested.top1)?;
                }
                tested
            }
        };
        if let Some(log) = &mut self.log {
            for (title, picture) in self.learner.averaged(|network| pictures(network, &self.test))? {
                log.image(&title, self.progress.step, &picture)?;
            }
        }
        let skipped = self.skipped()?;
        let rows = &self.progress.rows;
        let (best_epoch, best_top1) = self.progress.best.context("a run without evaluation")?;
        let result = RunResult {
            model: self.config.model.name.clone(),
            params: self.complexity.params,
            macs: self.complexity.macs,
            activations: self.complexity.activations,
            seed: self.config.seed,
            epochs: self.progress.epoch,
            steps: self.progress.step,
            protocol: self.config.protocol.clone(),
            top1: tested.top1,
            loss: tested.loss,
            test: tested.metrics,
            validation,
            best_top1,
            best_epoch,
            images_per_second: median(rows.iter().map(|row| row.images_per_second).collect()).unwrap_or(0.0),
            skipped: skipped.map(|pictures| pictures.len()).iter().sum(),
            seconds: self.progress.seconds,
            device: format!("{:?}", self.learner.network.device),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: torch::version(),
            machine: machine::cpu(),
            commit: machine::commit(),
            wall_time: unix_time(),
            parents: self.about.parents.clone(),
        };
        if let Some(log) = &mut self.log {
            self.owner.map_or(Ok(()), Owner::check)?;
            log.finish()?;
            self.dir.write_result(&result)?;
        }
        if !self.config.train.keep_optimizer {
            // After the result, which says that nothing goes on from the checkpoint.
            self.write_checkpoint(false)?;
        }
        Ok(result)
    }

    fn save(&mut self) -> Result<()> {
        let [train, test, validation] = self.skipped()?;
        (self.progress.skipped, self.progress.skipped_validation) = ([train, test], validation);
        self.write_checkpoint(true)
    }

    /// The pictures that could not be read, for training, test and validation.
    fn skipped(&self) -> Result<[Vec<usize>; 3]> {
        let all = |loader: &Loader| self.ranks.union(loader.skipped(), loader.pictures().len());
        let validation = self.validation.as_ref().map_or(Ok(Vec::new()), all)?;
        Ok([all(&self.train)?, all(&self.test)?, validation])
    }

    fn write_checkpoint(&self, with_optimizer: bool) -> Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        owner.check()?;
        let Progress { epoch, step, batch, rows, .. } = &self.progress;
        // Within an epoch the weights are no longer those that were tested.
        let tested = rows.last().filter(|_| *batch == 0).and_then(EpochMetrics::evaluation);
        let (top1, loss) = (tested.map(|tested| tested.top1), tested.map(|tested| tested.loss));
        let about = About { epoch: *epoch, step: *step, top1, loss, ..self.about.clone() };
        self.learner.save(self.dir, &self.progress, &about, with_optimizer)
    }

    fn check_finite(&self, what: &str, value: f64, lr: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let Progress { epoch, step, .. } = self.progress;
        let checkpoint = self.dir.checkpoint();
        let kept = if checkpoint.exists() {
            format!("the last good checkpoint is {}", checkpoint.display())
        } else {
            "there is no checkpoint yet".to_owned()
        };
        bail!(
            "the {what} is {value} in epoch {}, after step {step} (lr {lr:.3e}); {kept}; \
             lower the learning rate, or set `clip_grad_norm`",
            epoch + 1
        )
    }

    fn interrupted(&self) -> Interrupted {
        let Progress { epoch, step, .. } = self.progress;
        Interrupted(format!(
            "interrupted in epoch {} after step {step}, saved in {}; run the same command again to go on",
            epoch + 1,
            self.dir.checkpoint().display()
        ))
    }
}

/// The model of the checkpoint from which a run goes on, its own or its parent's.
fn begun_model(own: &Path, parent: Option<&Path>) -> Result<Option<ModelSpec>> {
    let from = if own.exists() { Some(own) } else { parent };
    let about = from.map(|from| About::of(&StateFile::open(from)?)).transpose()?;
    Ok(about.flatten().map(|about| about.model))
}

/// In the lines before a run: where its weights are from, and what is new.
fn weights_of(source: &str, sha256: &str, fresh: &[String]) -> String {
    let new = match fresh {
        [] => "nothing new".to_owned(),
        fresh if fresh.len() <= MAX_NEW => format!("new: {}", fresh.join(", ")),
        fresh => format!("new: {} and {} more", fresh[..MAX_NEW].join(", "), fresh.len() - MAX_NEW),
    };
    format!("{source}, sha256 {sha256:.12}; {new}")
}

/// Where a new run begins that goes on from another's checkpoint: with the epoch in which that stands, in its own count of
/// steps. Its best is still to come.
fn branched(progress: Progress, steps_per_epoch: u64) -> Progress {
    let step = progress.epoch * steps_per_epoch;
    Progress {
        step,
        batch: 0,
        sums: Sums::default(),
        best: None,
        skipped: Default::default(),
        skipped_validation: Vec::new(),
        ..progress
    }
}

/// A resumed run must see the data it began with, wherever that is now.
fn check_data(here: &About, there: &About, dir: &RunDir) -> Result<()> {
    if here.classes == there.classes && here.train_images == there.train_images {
        return Ok(());
    }
    let data =
        |about: &About| format!("{} training images in {} classes", about.train_images, about.classes.len());
    let text = format!(
        "{}: the run there began with other data: {} (`{}`), where there are now {} (`{}`)",
        dir.path().display(),
        data(there),
        there.data.dataset,
        data(here),
        here.data.dataset
    );
    Err(Error::new(Remedy::RunDirectory).context(Usage(text)))
}

/// The seed of libtorch's generator for one purpose at one place of a run.
fn stream_seed(seed: u64, purpose: &str, epoch: u64, index: u64) -> i64 {
    Stream::new(seed, purpose, epoch, index).next_u64() as i64
}
