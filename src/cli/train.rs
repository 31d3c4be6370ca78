//! `tchvision train`: one run from one YAML file.

use super::progress::{Pace, RunBar, epoch_line, header_lines, log_line};
use super::{print, print_json, signals};
use anyhow::{Context, Error, Result};
use indicatif::MultiProgress;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use tchvision::train::{self, Begin, EXTENDABLE, Event, RunConfig};
use tchvision::yaml::{Document, Override};
use tchvision::{Invalid, Usage};

#[derive(clap::Args)]
pub struct Args {
    /// The run: model, data, train, seed
    run: PathBuf,
    /// Values in place of the file's, such as train.epochs=3
    #[arg(value_name = "KEY.PATH=VALUE")]
    overrides: Vec<String>,
    /// The run directory; runs/NAME when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run that is there, also after its end, such as with train.epochs=20; the schedule is that of the
    /// longer run
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    extend: Vec<String>,
    /// Begin a new run at the last checkpoint of the run in this directory: its weights, averages, optimizer state and
    /// epochs
    #[arg(long, value_name = "DIR", conflicts_with = "extend")]
    from: Option<PathBuf>,
    /// Say what would run, and run nothing
    #[arg(long, conflicts_with = "events")]
    plan: bool,
    #[arg(long)]
    json: bool,
    /// Progress as JSON lines on stdout, for a program that watches
    #[arg(long, hide = true, conflicts_with = "json")]
    events: bool,
    /// Only to the end of this epoch
    #[arg(long, hide = true, requires = "events", value_name = "EPOCH")]
    until: Option<u64>,
}

pub fn run(args: Args) -> Result<()> {
    let overrides = args.overrides.iter().chain(&args.extend);
    let overrides = overrides.map(|text| Override::new(text)).collect::<Result<_>>()?;
    let document = Document::read(&args.run, overrides)?;
    let config = RunConfig::read(&document)?;
    let name = args.run.file_stem().unwrap_or_default();
    let dir = args.out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let begin = begin(&args.extend, args.from)?;
    let located = |error: Error| if error.is::<Invalid>() { document.locate(&[], &error) } else { error };
    if args.plan {
        let header = train::plan(&config, &dir, &begin).map_err(located)?;
        return if args.json {
            print_json(&header)
        } else {
            header_lines(&header).iter().try_for_each(|line| print(aligned(line)))
        };
    }
    let stop = signals()?;
    if args.events {
        // A watcher that has gone is no reason to stop.
        let mut tell = |event: Event| {
            let line = serde_json::to_string(&event).unwrap_or_default();
            let _ = writeln!(io::stdout().lock(), "{line}");
        };
        let until = args.until.unwrap_or(u64::MAX);
        return train::run_until(&config, &dir, &begin, until, &stop, &mut tell).map(|_| ());
    }
    let mut show = Show::new(&config);
    let result = train::run_until(&config, &dir, &begin, u64::MAX, &stop, &mut |event| show.event(&event));
    show.bar.finish();
    // Some settings can only be checked against the data.
    let result = result.map_err(located)?.context("a run without an end")?;
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

/// What a run reports, on stderr: a bar on a terminal, and elsewhere a line every so many steps.
struct Show {
    bars: MultiProgress,
    bar: RunBar,
    pace: Option<Pace>,
    /// Steps between two lines; 0 for none.
    every: u64,
    epochs: u64,
}

impl Show {
    fn new(config: &RunConfig) -> Self {
        let bars = MultiProgress::new();
        let every = if io::stderr().is_terminal() { 0 } else { config.train.log_every };
        Self { bar: RunBar::new(&bars, ""), bars, pace: None, every, epochs: config.train.epochs }
    }

    fn event(&mut self, event: &Event) {
        self.bar.show(event);
        match event {
            Event::Started { header, .. } => {
                header_lines(header).iter().for_each(|line| log_line(&self.bars, &aligned(line)));
                self.pace = Some(Pace::new(header));
            }
            Event::Step { epoch, step, loss, lr } => {
                let Some(pace) = &mut self.pace else { return };
                let rate = pace.step(*step, *loss);
                if self.every > 0 && step.is_multiple_of(self.every) {
                    log_line(&self.bars, &pace.line(*epoch, *step, *lr, rate));
                }
            }
            Event::Epoch(row) => {
                self.pace.iter_mut().for_each(Pace::pause);
                log_line(&self.bars, &epoch_line(row, self.epochs));
            }
            Event::Skipped(skipped) => {
                log_line(&self.bars, &format!("skipped {}: {}", skipped.name, skipped.reason));
            }
            Event::Tested { .. } => {}
        }
    }
}

fn aligned((name, text): &(&str, String)) -> String {
    format!("{name:<10} {text}")
}

/// Where the flags begin a run.
fn begin(extend: &[String], from: Option<PathBuf>) -> Result<Begin> {
    if let Some(from) = from {
        return Ok(Begin::From(from));
    }
    let key = |text: &String| -> Result<String> {
        let key = text.split('=').next().unwrap_or_default().trim();
        if !EXTENDABLE.contains(&key) {
            let keys = EXTENDABLE.join(", ");
            return Err(Usage(format!("--extend {text}: a run is extended by one of {keys}")).into());
        }
        Ok(key.to_owned())
    };
    let keys = extend.iter().map(key).collect::<Result<Vec<_>>>()?;
    Ok(if keys.is_empty() { Begin::There } else { Begin::Extend(keys) })
}
