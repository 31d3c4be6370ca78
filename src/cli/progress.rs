//! Progress bars: of a run in training, and of a file that arrives.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Instant;
use tchvision::train::{EpochMetrics, Event};

/// One bar: epoch, step, images per second, loss, time left. Nothing where stderr is no terminal.
pub struct RunBar {
    bar: ProgressBar,
    label: String,
    epochs: u64,
    images_per_step: usize,
    since: Option<(Instant, u64)>,
    loss: f64,
}

impl RunBar {
    /// A new last bar of `bars`; `label` stands before it where it is not empty.
    pub fn new(bars: &MultiProgress, label: &str, epochs: u64) -> Self {
        let bar = bars.add(ProgressBar::no_length());
        Self { bar, label: label.to_owned(), epochs, images_per_step: 0, since: None, loss: f64::NAN }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { steps, step, images_per_step } => {
                let style = ProgressStyle::with_template("{msg} {wide_bar} step {pos}/{len} ETA {eta}");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.bar.set_length(*steps);
                self.bar.set_position(*step);
                self.bar.reset_eta();
                self.bar.set_message(self.label.clone());
                self.images_per_step = *images_per_step;
            }
            Event::Step { epoch, step, loss } => {
                let (since, from) = *self.since.get_or_insert((Instant::now(), *step));
                self.loss = loss.unwrap_or(self.loss);
                let images = (step - from) as f64 * self.images_per_step as f64;
                let rate = images / since.elapsed().as_secs_f64().max(1e-9);
                self.bar.set_position(*step);
                let Self { label, epochs, loss, .. } = self;
                let epoch = epoch + 1;
                self.bar
                    .set_message(format!("{label} epoch {epoch}/{epochs} {rate:.0} img/s loss {loss:.3}"));
            }
            // The evaluation between two epochs is no training speed.
            Event::Epoch(_) => self.since = None,
            Event::Skipped(_) => {}
        }
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
