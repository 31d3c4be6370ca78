//! `tchvision bench results`: the documents of `bench … --json` as one Markdown page.

use super::contest::product_side;
use super::goals::verdicts;
use super::report::{Report, taking_part};
use super::work::Work;
use super::{loader, startup, weights};
use crate::cli::{Dtype, print};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fmt::Write;
use std::path::PathBuf;

/// Our start over Python's, at most: time and memory.
const STARTUP_GOALS: [f64; 2] = [0.12, 0.4];

#[derive(clap::Args)]
pub struct Args {
    /// What `bench infer|train|startup|weights|loader --json` printed; rows of one machine from several files are joined
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// What one run of `bench … --json` printed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Steps(Report),
    Startup(startup::Report),
    Weights(weights::Report),
    Loader(loader::Report),
}

pub fn run(args: &Args) -> Result<()> {
    // One of the processor, one of a GPU.
    let (mut steps, mut others) = (Vec::<Report>::new(), String::new());
    for file in &args.files {
        let read = || -> Result<Document> { Ok(serde_json::from_slice(&std::fs::read(file)?)?) };
        match read().with_context(|| format!("{}: not what `bench … --json` prints", file.display()))? {
            Document::Steps(more) => {
                match steps.iter_mut().find(|steps| steps.gpu.is_some() == more.gpu.is_some()) {
                    None => steps.push(more),
                    Some(steps) => {
                        let same = (more.place(), more.threads) == (steps.place(), steps.threads);
                        ensure!(same, "{}: of another machine, or of other threads", file.display());
                        steps.versions.extend(more.versions);
                        steps.rows.extend(more.rows);
                    }
                }
            }
            Document::Startup(report) => others += &startup_section(&report)?,
            Document::Weights(report) => others += &weights_section(&report)?,
            Document::Loader(report) => others += &loader_section(&report)?,
        }
    }
    let mut page = "# Measured\n".to_owned();
    for steps in &steps {
        page += &steps_sections(steps)?;
    }
    print((page + &others).trim_end())
}

fn steps_sections(report: &Report) -> Result<String> {
    let versions = report.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let mut page = format!(
        "\n{}, {} threads; {}. Random weights.\nEvery contestant is a process of its own, kept warm; they take \
         turns, and the median of all steps counts. In brackets our\ntime over theirs: below 1 is faster. The \
         floor is the time of a model's multiply-adds in a matrix product of {}³ that\nis timed in the same turns.\n",
        report.place(),
        report.threads,
        versions.collect::<Vec<_>>().join(", "),
        product_side(report.gpu.is_some())
    );
    if report.gpu.is_some() {
        page +=
            "A step ends when the GPU has done it. cuDNN's search for its fastest kernels is on for all.\n";
    }
    if !report.bfloat16 {
        page += "There are no bfloat16 rows: this processor has no instructions for it.\n";
    }
    for work in [Work::Infer, Work::Train] {
        for dtype in [Dtype::Float32, Dtype::Bfloat16] {
            page += &steps_section(work, dtype, report)?;
        }
    }
    Ok(page)
}

fn steps_section(work: Work, dtype: Dtype, report: &Report) -> Result<String> {
    let rows = report.rows.iter().filter(|row| row.work == work && row.dtype == dtype);
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(String::new());
    }
    let title = match work {
        Work::Infer => "A frozen model's forward pass",
        Work::Train => "A training step",
    };
    let place = if report.gpu.is_some() { " on a GPU" } else { "" };
    let others = taking_part(work, &rows);
    let names: Vec<_> = others.iter().map(|other| other.name).collect();
    let mut titles: Vec<_> =
        ["model", "batch", "tchvision"].into_iter().chain(names.iter().copied()).collect();
    if work == Work::Infer {
        titles.push("floor");
    }
    let mut page = format!("\n## {title}{place}, {}\n\n- tchvision: {}\n", dtype.name(), work.own());
    for other in others {
        writeln!(page, "- {}: {}", other.name, other.how)?;
    }
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.short_name().to_owned(), row.batch.to_string()];
        cells.extend(row.cells(&names));
        cells.truncate(titles.len());
        cells
    });
    write!(page, "\n{}", markdown(&titles, cells))?;
    let verdicts = verdicts(work, dtype, report);
    if !verdicts.is_empty() {
        page += "\nGoals:\n";
    }
    for verdict in verdicts {
        writeln!(page, "- {verdict}")?;
    }
    Ok(page)
}

fn startup_section(report: &startup::Report) -> Result<String> {
    let startup::Report { model, threads, median_ms, peak_bytes } = report;
    let rows = median_ms.iter().map(|(name, ms)| {
        let peak = peak_bytes.get(name).copied().unwrap_or_default();
        vec![name.clone(), format!("{ms:.0} ms"), megabytes(peak)]
    });
    let mut page = format!(
        "\n## Start-up\n\nFrom the start of the process to the logits of one image by {model}, weights from a \
         safetensors file, {threads} threads.\n\n{}",
        markdown(&["program", "time", "peak memory"], rows)
    );
    let ratio = |of: [Option<f64>; 2]| of[0].zip(of[1]).map(|(own, other)| own / other);
    let bytes = |name: &str| peak_bytes.get(name).map(|&bytes| bytes as f64);
    let time = ratio(["tchvision", "timm"].map(|name| median_ms.get(name).copied()));
    let memory = ratio(["tchvision", "timm"].map(bytes));
    if let (Some(time), Some(memory)) = (time, memory) {
        let [most_time, most_memory] = STARTUP_GOALS;
        let outcome = |is: f64, most: f64| if is <= most { "met" } else { "missed" };
        write!(
            page,
            "\nGoals:\n- at most {most_time:.2} of the time: {} with {time:.2}\n- at most {most_memory:.2} of the \
             memory: {} with {memory:.2}\n",
            outcome(time, most_time),
            outcome(memory, most_memory)
        )?;
    }
    Ok(page)
}

fn weights_section(report: &weights::Report) -> Result<String> {
    let rows = report.rows.iter().flat_map(|row| {
        row.median_ms.iter().map(|(reader, ms)| {
            let peak = row.peak_bytes.get(reader).copied().unwrap_or_default();
            vec![row.format.clone(), reader.clone(), format!("{ms:.1} ms"), megabytes(peak)]
        })
    });
    let bytes = report.rows.first().map_or(0, |row| row.bytes);
    Ok(format!(
        "\n## Weights\n\nA file of {}, read into the tensors of a model.\n\n{}",
        megabytes(bytes),
        markdown(&["format", "reader", "time", "peak memory"], rows)
    ))
}

fn loader_section(report: &loader::Report) -> Result<String> {
    Ok(format!(
        "\n## Loader\n\nJPEG files of 500×375: RandomResizedCrop 224, flip, normalised batches; {} cores. The decoders \
         beside each other decode whole pictures.\n\n{}",
        report.threads,
        markdown(&loader::TITLES, report.rows().into_iter().map(Vec::from))
    ))
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

/// A Markdown table.
fn markdown(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let rule = vec!["---".to_owned(); titles.len()];
    let mut table = line(&titles) + &line(&rule);
    rows.for_each(|row| table += &line(&row));
    table
}
