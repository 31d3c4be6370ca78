//! Progress bars: of a run in training, and of a file that arrives.

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tchvision::report::format::count;
use tchvision::train::{EpochMetrics, Event, Header, Precision};

/// One bar: epoch, step, images per second, loss, time left. Nothing where stderr is no terminal.
pub struct RunBar {
    bar: ProgressBar,
    label: String,
    pace: Option<Pace>,
}

/// What a bar and lines say of a run's speed.
pub struct Pace {
    header: Header,
    /// When the first of the steps that count was over, and its number.
    since: Option<(Instant, u64)>,
    loss: f64,
}

impl Pace {
    pub fn new(header: &Header) -> Self {
        Self { header: header.clone(), since: None, loss: f64::NAN }
    }

    /// The evaluation between two epochs is no training speed.
    pub fn pause(&mut self) {
        self.since = None;
    }

    /// Counts a step; returns images and steps a second, if known yet.
    pub fn step(&mut self, step: u64, loss: Option<f64>) -> Option<f64> {
        let (since, from) = *self.since.get_or_insert((Instant::now(), step));
        self.loss = loss.unwrap_or(self.loss);
        (step > from).then(|| (step - from) as f64 / since.elapsed().as_secs_f64().max(1e-9))
    }

    /// A step that is over, in one line.
    pub fn line(&self, epoch: u64, step: u64, lr: f64, rate: Option<f64>) -> String {
        let Header { steps, epochs, batch_size, .. } = self.header;
        let speed = rate.map_or(String::new(), |rate| {
            let left = HumanDuration(Duration::from_secs_f64(steps.saturating_sub(step) as f64 / rate));
            format!(" {:.0} img/s, {left:#} left", rate * batch_size as f64)
        });
        format!("step {step}/{steps} epoch {}/{epochs} loss {:.4} lr {lr:.3e}{speed}", epoch + 1, self.loss)
    }
}

impl RunBar {
    /// A new last bar of `bars`; `label` stands before it where it is not empty.
    pub fn new(bars: &MultiProgress, label: &str) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_message(format!("{label} reading data, building the model").trim_start().to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, label: label.to_owned(), pace: None }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { header, step } => {
                let style = ProgressStyle::with_template("{msg} {wide_bar} step {pos}/{len} ETA {eta}");
                self.bar.disable_steady_tick();
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.bar.set_length(header.steps);
                self.bar.set_position(*step);
                self.bar.reset_eta();
                self.bar.set_message(self.label.clone());
                self.pace = Some(Pace::new(header));
            }
            Event::Step { epoch, step, loss, .. } => {
                let Some(pace) = &mut self.pace else { return };
                let rate = pace.step(*step, *loss).unwrap_or(0.0) * pace.header.batch_size as f64;
                self.bar.set_position(*step);
                let (label, epochs, loss) = (&self.label, pace.header.epochs, pace.loss);
                let epoch = epoch + 1;
                self.bar
                    .set_message(format!("{label} epoch {epoch}/{epochs} {rate:.0} img/s loss {loss:.3}"));
            }
            Event::Tested { images, of } => {
                self.bar.set_message(format!("{} testing {images}/{of}", self.label));
            }
            Event::Epoch(_) => {
                if let Some(pace) = &mut self.pace {
                    pace.pause();
                }
            }
            Event::Skipped(_) => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What a run is, in a few lines.
pub fn header_lines(header: &Header) -> Vec<(&'static str, String)> {
    let Header { input: [channels, height, width], batch_size, steps, steps_per_epoch, epochs, .. } = *header;
    let Header { model, params, macs, classes, train_images, test_images, .. } = header;
    let workers = header.workers.map_or(String::new(), |workers| format!(", {workers} loading"));
    vec![
        (
            "model",
            format!(
                "{model}: {} parameters, {} MACs, input {channels}×{height}×{width}",
                count(*params),
                count(*macs)
            ),
        ),
        ("data", format!("{train_images} training and {test_images} test images of {classes} classes")),
        ("steps", format!("{steps}: {epochs} epochs of {steps_per_epoch}, {batch_size} images each")),
        ("optimizer", format!("{}; schedule {}", header.optimizer, header.schedule)),
        ("weights", header.weights.clone()),
        (
            "device",
            format!(
                "{}, {} threads{workers}, {}",
                header.device,
                header.threads,
                precision(header.precision)
            ),
        ),
        ("memory", format!("about {:.1} GB", header.memory_bytes as f64 / 1e9)),
    ]
}

fn precision(precision: Precision) -> &'static str {
    match precision {
        Precision::Float32 => "float32",
        Precision::Tf32 => "tf32",
        Precision::Bfloat16 => "bfloat16",
    }
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

/// A bar on stderr for a file that arrives; nothing where stderr is no terminal.
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

/// An epoch that is over, in one line.
pub fn epoch_line(row: &EpochMetrics, epochs: u64) -> String {
    let tested = match (row.test_loss, row.test_top1) {
        (Some(loss), Some(top1)) => format!(", test loss {loss:.4} top-1 {top1:.2} %"),
        _ => String::new(),
    };
    format!(
        "epoch {}/{epochs}: train loss {:.4} top-1 {:.2} %{tested}, {:.0} img/s",
        row.epoch, row.train_loss, row.train_top1, row.images_per_second
    )
}

/// Prints a line on stderr above the bars.
pub fn log_line(bars: &MultiProgress, line: &str) {
    bars.suspend(|| eprintln!("{line}"));
}
