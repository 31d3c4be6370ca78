//! `tchvision train`: one run from one YAML file.

use super::header::header_lines;
use super::progress::{RunBar, epoch_line, log_line, step_line};
use super::{print, print_json, signals};
use anyhow::{Context, Error, Result};
use indicatif::MultiProgress;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use tchvision::torch::device;
use tchvision::train::{self, Begin, EXTENDABLE, Event, Place, Ranks, RunConfig, TrainConfig, Treatment};
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
    /// Print what the run is and what it needs, without running it
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    /// Print how each parameter is trained, without running it: the scale of its learning rate, its weight decay
    #[arg(long, conflicts_with = "plan")]
    groups: bool,
    #[arg(long)]
    json: bool,
    /// Progress as JSON lines on stdout, for a program that watches
    #[arg(long, hide = true, conflicts_with_all = ["json", "plan", "groups"])]
    events: bool,
    /// Only to the end of this epoch
    #[arg(long, hide = true, requires = "events", value_name = "EPOCH")]
    until: Option<u64>,
}

/// The processes of the run: this one alone, or those that torchrun, srun or a person has started together.
fn ranks(dir: &Path, config: &RunConfig) -> Result<Ranks> {
    let Some(place) = Place::read()? else { return Ok(Ranks::alone()) };
    train::micro_batches(config, dir, place.world)?;
    let device = device::resolve(&config.device)?;
    let lost = Box::new(|error| super::exit(Err(error), false));
    let ranks = Ranks::join(&place, dir, lost)?;
    if let Some(title) = ranks.title(device) {
        eprintln!("{title}");
    }
    Ok(ranks)
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
        // The run continues even if nobody reads its events any more.
        let tell = |event: Event| {
            let line = serde_json::to_string(&event).unwrap_or_default();
            let _ = writeln!(io::stdout().lock(), "{line}");
        };
        let until = args.until.unwrap_or(u64::MAX);
        let ranks = ranks(&dir, &config)?;
        let mut observe = |event: Event| {
            if ranks.leads() {
                tell(event)
            }
        };
        train::run_over(&ranks, &config, &dir, &begin, until, &stop, &mut observe)?;
        return ranks.part();
    }
    // Some settings can only be checked against the data.
    let locate = |error: Error| if error.is::<Invalid>() { document.locate(&[], &error) } else { error };
    if args.groups {
        let groups = train::groups(&config).map_err(locate)?;
        return if args.json { print_json(&groups) } else { print(group_lines(&groups)) };
    }
    let mut progress = Progress::new(&config);
    let mut observe = |event: Event| progress.show(&event);
    if args.plan {
        let header = train::plan(&config, &dir, &begin, &mut observe).map_err(locate);
        progress.bar.finish();
        return if args.json { print_json(&header?) } else { print(header_lines(&header?)) };
    }
    let ranks = ranks(&dir, &config).map_err(locate)?;
    // The first shows what all do; the others what is theirs alone.
    let mut observe = |event: Event| {
        if ranks.leads() || matches!(event, Event::Skipped(_)) {
            observe(event);
        }
    };
    let result =
        train::run_over(&ranks, &config, &dir, &begin, u64::MAX, &stop, &mut observe).map_err(locate);
    progress.bar.finish();
    let result = result?.context("a run without an end")?;
    let leads = ranks.leads();
    ranks.part()?;
    if !leads {
        return Ok(());
    }
    if args.json {
        return print_json(&result);
    }
    let by = if result.protocol.is_center() { String::new() } else { format!(" by {}", result.protocol) };
    print(format_args!(
        "{}: top-1 {:.2} %{by} (best {:.2} % in epoch {}), loss {:.4}, {:.0} images/s; {}",
        result.model,
        result.top1,
        result.best_top1,
        result.best_epoch,
        result.loss,
        result.images_per_second,
        dir.display()
    ))
}

/// Shows a run on stderr: lines above a bar on a terminal, otherwise lines alone.
struct Progress {
    bars: MultiProgress,
    bar: RunBar,
    is_terminal: bool,
    log_every: u64,
    epochs: u64,
}

impl Progress {
    fn new(config: &RunConfig) -> Self {
        let TrainConfig { log_every, epochs, .. } = config.train;
        let bars = MultiProgress::new();
        Self {
            bar: RunBar::new(&bars, "", epochs),
            bars,
            is_terminal: io::stderr().is_terminal(),
            log_every,
            epochs,
        }
    }

    fn show(&mut self, event: &Event) {
        self.bar.show(event);
        let line = match event {
            Event::Started(header) => Some(header_lines(header)),
            Event::Epoch(row) => Some(epoch_line(row, self.epochs)),
            Event::Skipped(skipped) => Some(format!("skipped {}: {}", skipped.name, skipped.reason)),
            Event::Step { .. } => self.bar.pace.forecast(),
            Event::Preparing(_) | Event::Testing { .. } => None,
        };
        let step = step_line(event, self.log_every, &self.bar.pace).filter(|_| !self.is_terminal);
        for line in line.into_iter().chain(step) {
            log_line(&self.bars, &line);
        }
    }
}

/// Runs of parameters that are trained alike, as aligned lines.
fn group_lines(groups: &[Treatment]) -> String {
    let alike = |a: &Treatment, b: &Treatment| {
        (a.trained, a.lr_scale, a.weight_decay) == (b.trained, b.lr_scale, b.weight_decay)
    };
    let line = |run: &[Treatment]| {
        let [first, last] = [run.first(), run.last()].map(|end| end.map_or("", |end| end.name.as_str()));
        let names =
            if run.len() == 1 { first.to_owned() } else { format!("{first} … {last} ({})", run.len()) };
        let how = match run.first() {
            Some(Treatment { trained: true, lr_scale, weight_decay, .. }) => {
                format!("lr × {lr_scale:.4}, weight decay {weight_decay}")
            }
            _ => "frozen".to_owned(),
        };
        format!("{how:<34} {names}")
    };
    groups.chunk_by(alike).map(line).collect::<Vec<_>>().join("\n")
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
