//! `tchvision train`: one run from one YAML file.

use super::{print, print_json, signals};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;
use tchvision::train::{self, EpochMetrics, Event, RunConfig};
use tchvision::yaml::{Document, Override};

#[derive(clap::Args)]
pub struct Args {
    /// The run: model, data, train, seed
    run: PathBuf,
    /// Values in place of the file's, such as train.epochs=3
    #[arg(value_name = "KEY.PATH=VALUE")]
    overrides: Vec<String>,
    /// The run directory; runs/NAME when absent
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let overrides = args.overrides.iter().map(|text| Override::new(text)).collect::<Result<_>>()?;
    let document = Document::read(&args.run, overrides)?;
    let config: RunConfig = document.parse()?;
    let checked = config.validate().and_then(|()| config.model.resolve()?.count_parameters());
    checked.map_err(|error| document.blame(&[], &error))?;
    let name = args.run.file_stem().unwrap_or_default();
    let dir = args.out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let stop = signals()?;
    let mut progress = Progress::new(config.train.epochs);
    let result = train::run(&config, &dir, &stop, &mut |event| progress.show(event));
    progress.bar.finish_and_clear();
    let result = result?;
    if args.json {
        return print_json(&result);
    }
    print(format_args!(
        "{}: top-1 {:.2} % (best {:.2} % in epoch {}), loss {:.4}, {:.0} images/s; {}",
        result.model,
        result.top1,
        result.best_top1,
        result.best_epoch,
        result.loss,
        result.images_per_second,
        dir.display()
    ))
}

/// One bar on a terminal, one line an epoch elsewhere.
struct Progress {
    bar: ProgressBar,
    epochs: u64,
    images_per_step: usize,
    since: Option<(Instant, u64)>,
    loss: f64,
}

impl Progress {
    fn new(epochs: u64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        Self { bar, epochs, images_per_step: 0, since: None, loss: f64::NAN }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Started { steps, step, images_per_step } => {
                let style = ProgressStyle::with_template("{msg} {wide_bar} step {pos}/{len} ETA {eta}");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.bar.set_length(steps);
                self.bar.set_position(step);
                self.bar.reset_eta();
                self.images_per_step = images_per_step;
            }
            Event::Step { epoch, step, loss } => {
                let (since, from) = *self.since.get_or_insert((Instant::now(), step));
                self.loss = loss.unwrap_or(self.loss);
                let images = (step - from) as f64 * self.images_per_step as f64;
                let rate = images / since.elapsed().as_secs_f64().max(1e-9);
                self.bar.set_position(step);
                let (epochs, loss) = (self.epochs, self.loss);
                self.bar.set_message(format!("epoch {}/{epochs} {rate:.0} img/s loss {loss:.3}", epoch + 1));
            }
            Event::Epoch(row) => {
                self.since = None;
                let line = epoch_line(row, self.epochs);
                match io::stderr().is_terminal() {
                    true => self.bar.println(line),
                    false => eprintln!("{line}"),
                }
            }
        }
    }
}

fn epoch_line(row: &EpochMetrics, epochs: u64) -> String {
    let tested = match (row.test_loss, row.test_top1) {
        (Some(loss), Some(top1)) => format!(", test loss {loss:.4} top-1 {top1:.2} %"),
        _ => String::new(),
    };
    format!(
        "epoch {}/{epochs}: train loss {:.4} top-1 {:.2} %{tested}, {:.0} img/s",
        row.epoch, row.train_loss, row.train_top1, row.images_per_second
    )
}
