//! Progress on stderr: of a training run, and of a download.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tchvision::train::{EpochMetrics, Evaluation, Event};

/// The first steps of a process are slow and are not timed.
const WARM_UP: u64 = 2;

/// Timed steps before the remaining time is estimated.
const TIMED: u64 = 5;

/// How fast a run trains and how long it will take, evaluations excluded.
#[derive(Default)]
pub struct Pace {
    steps: u64,
    step: u64,
    batch_size: usize,
    /// Steps of this process.
    heard: u64,
    /// When timing started, and after which step.
    since: Option<(Instant, u64)>,
    told: bool,
}

impl Pace {
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Started(header) => {
                (self.steps, self.step, self.batch_size) = (header.steps, header.step, header.batch_size);
            }
            Event::Step { step, .. } => {
                self.step = *step;
                self.heard += 1;
                if self.heard >= WARM_UP {
                    self.since.get_or_insert((Instant::now(), *step));
                }
            }
            Event::Epoch(_) => self.since = None,
            Event::Preparing(_) | Event::Testing { .. } | Event::Skipped(_) => {}
        }
    }

    /// Steps per second, once a step is timed.
    fn rate(&self) -> Option<f64> {
        let (since, from) = self.since?;
        let steps = (self.step - from) as f64;
        (steps > 0.0).then(|| steps / since.elapsed().as_secs_f64().max(1e-9))
    }

    fn images_per_second(&self) -> f64 {
        self.rate().map_or(0.0, |rate| rate * self.batch_size as f64)
    }

    /// Estimated time for the remaining steps.
    fn left(&self) -> Option<Duration> {
        self.rate().map(|rate| Duration::from_secs_f64((self.steps.saturating_sub(self.step)) as f64 / rate))
    }

    /// The estimated duration in words, once, after the first steps.
    pub fn forecast(&mut self) -> Option<String> {
        let (since, from) = self.since?;
        let left = self.steps.saturating_sub(self.step);
        if self.told || self.step - from < TIMED || since.elapsed() < Duration::from_secs(1) || left == 0 {
            return None;
        }
        self.told = true;
        self.left()
            .map(|time| format!("about {} for {} steps, without evaluations", rough(time), thousands(left)))
    }
}

/// A bar with epoch, step, images per second, loss and time left, and a second bar during evaluations. Shows nothing if
/// stderr is not a terminal.
pub struct RunBar {
    bars: MultiProgress,
    bar: ProgressBar,
    test: Option<ProgressBar>,
    label: String,
    epochs: u64,
    pub pace: Pace,
    loss: f64,
}

impl RunBar {
    /// Adds a bar at the end of `bars`, prefixed with `label` unless that is empty.
    pub fn new(bars: &MultiProgress, label: &str, epochs: u64) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        let (label, pace) = (label.to_owned(), Pace::default());
        Self { bars: bars.clone(), bar, test: None, label, epochs, pace, loss: f64::NAN }
    }

    pub fn show(&mut self, event: &Event) {
        self.pace.hear(event);
        let label = if self.label.is_empty() { String::new() } else { format!("{} ", self.label) };
        match event {
            Event::Preparing(what) => {
                self.bar.set_message(format!("{label}{what}"));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            Event::Started(header) => {
                self.bar.disable_steady_tick();
                self.bar.set_style(style("{msg} {wide_bar} step {pos}/{len} ETA {eta}"));
                self.bar.set_length(header.steps);
                self.bar.set_position(header.step);
                self.bar.reset_eta();
                self.bar.set_message(self.label.clone());
            }
            Event::Step { epoch, step, loss, .. } => {
                self.loss = loss.unwrap_or(self.loss);
                self.bar.set_position(*step);
                let (epoch, epochs, loss) = (epoch + 1, self.epochs, self.loss);
                let rate = self.pace.images_per_second();
                self.bar.set_message(format!("{label}epoch {epoch}/{epochs} {rate:.0} img/s loss {loss:.3}"));
            }
            Event::Testing { images, of } => {
                let below = || {
                    let bar = self.bars.insert_after(&self.bar, ProgressBar::new(*of as u64));
                    bar.set_style(style("{msg} {wide_bar} image {pos}/{len} ETA {eta}"));
                    bar.set_message(format!("{label}test"));
                    bar
                };
                self.test.get_or_insert_with(below).set_position(*images as u64);
                if images == of {
                    self.end_test();
                }
            }
            Event::Epoch(_) => self.end_test(),
            Event::Skipped(_) => {}
        }
    }

    /// Removes the bar.
    pub fn finish(mut self) {
        self.end_test();
        self.bar.finish_and_clear();
    }

    fn end_test(&mut self) {
        if let Some(bar) = self.test.take() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A line for every `log_every`-th step, for a stderr that is not a terminal.
pub fn step_line(event: &Event, log_every: u64, pace: &Pace) -> Option<String> {
    let Event::Step { epoch, step, lr, loss } = event else { return None };
    if log_every == 0 || !step.is_multiple_of(log_every) {
        return None;
    }
    let (loss, steps) = (loss.unwrap_or(f64::NAN), pace.steps);
    let mut line = format!("step {step}/{steps} epoch {} loss {loss:.4} lr {}", epoch + 1, rate(*lr));
    if let Some(left) = pace.left() {
        line += &format!(" {:.0} img/s {} left", pace.images_per_second(), clock(left));
    }
    Some(line)
}

/// A learning rate: `0.05`, or `3.12e-5`.
fn rate(lr: f64) -> String {
    if lr < 1e-3 { format!("{lr:.2e}") } else { format!("{lr:.4}").trim_end_matches('0').to_owned() }
}

/// `0:35`, or `1:02:07`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `40 s`, `12 min`, `5 h`.
fn rough(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

/// A number with commas between groups of three digits.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many of many things are done, on stderr: a bar on a terminal, and elsewhere a line from time to time.
pub struct Counter {
    bar: ProgressBar,
    started: Instant,
    next_line: Cell<Duration>,
}

/// Between two lines where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Counter {
    pub fn new(count: usize) -> Self {
        let bar = ProgressBar::new(count as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} ETA {eta}") {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), next_line: Cell::new(LINE_EVERY) }
    }

    /// One more is done.
    pub fn step(&self) {
        self.bar.inc(1);
        let elapsed = self.started.elapsed();
        if elapsed >= self.next_line.get() && !io::stderr().is_terminal() {
            let (done, count) = (self.bar.position(), self.bar.length().unwrap_or(0));
            eprintln!("{done}/{count}, {:.0} a second", done as f64 / elapsed.as_secs_f64());
            self.next_line.set(elapsed + LINE_EVERY);
        }
    }

    /// What `write` writes, above the bar.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on stderr for a download; shows nothing if stderr is not a terminal.
pub struct FileBar(ProgressBar);

impl FileBar {
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Bytes so far and in all (0: not known).
    pub fn set(&self, file: &str, done: u64, total: u64) {
        if self.0.message() != file {
            self.0.set_message(file.to_owned());
        }
        self.0.set_length(total);
        self.0.set_position(done);
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A completed epoch in one line.
pub fn epoch_line(row: &EpochMetrics, epochs: u64) -> String {
    let tested =
        row.evaluation().map_or(String::new(), |Evaluation { loss, top1, is_validation, .. }| {
            let images = if is_validation { "validation" } else { "test" };
            format!(", {images} loss {loss:.4} top-1 {top1:.2} %")
        });
    format!(
        "epoch {}/{epochs}: train loss {:.4} top-1 {:.2} %{tested}, {:.0} img/s",
        row.epoch, row.train_loss, row.train_top1, row.images_per_second
    )
}

/// Prints a line on stderr above the bars.
pub fn log_line(bars: &MultiProgress, line: &str) {
    bars.suspend(|| eprintln!("{line}"));
}
