//! `tchvision train`: one run from one YAML file.

use super::progress::{RunBar, epoch_line, log_line};
use super::{print, print_json, signals};
use anyhow::{Context, Result};
use indicatif::MultiProgress;
use std::io::{self, Write};
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
    let bars = MultiProgress::new();
    let mut bar = RunBar::new(&bars, "", config.train.epochs);
    let result = train::run_until(&config, &dir, &begin, u64::MAX, &stop, &mut |event| {
        bar.show(&event);
        match &event {
            Event::Epoch(row) => log_line(&bars, &epoch_line(row, config.train.epochs)),
            Event::Skipped(skipped) => {
                log_line(&bars, &format!("skipped {}: {}", skipped.name, skipped.reason));
            }
            Event::Started { .. } | Event::Step { .. } => {}
        }
    });
    bar.finish();
    // Some settings can only be checked against the data.
    let result =
        result.map_err(|error| if error.is::<Invalid>() { document.locate(&[], &error) } else { error })?;
    let result = result.context("a run without an end")?;
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
