//! Contestants that are programs, run from start to end in turns.

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use std::process::Command;
use std::time::Instant;
use tchvision::statistics;

/// The middle of some times.
pub fn median(values: Vec<f64>) -> f64 {
    statistics::median(values).unwrap_or(f64::NAN)
}

/// The contestant that is this program.
pub const OWN: &str = "tchvision";

/// Runs each contestant once, from start to end, and gives `took` its name, what it prints as JSON and its milliseconds.
/// Another than ours that fails is left out from then on, and named on stderr.
///
/// # Errors
/// Our own failure.
pub fn turn<T: DeserializeOwned>(
    contestants: &mut Vec<(&'static str, Command)>,
    mut took: impl FnMut(&'static str, T, f64),
) -> Result<()> {
    for (name, mut command) in std::mem::take(contestants) {
        eprintln!("{name}");
        let start = Instant::now();
        let printed = output(&mut command);
        let ms = 1000.0 * start.elapsed().as_secs_f64();
        match printed.and_then(|printed| Ok(serde_json::from_slice(&printed)?)) {
            Ok(outcome) => {
                took(name, outcome, ms);
                contestants.push((name, command));
            }
            Err(error) if name == OWN => return Err(error),
            Err(error) => eprintln!("left out: {name}: {error:#}"),
        }
    }
    Ok(())
}

/// What a program prints.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program}: cannot be run"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", stderr.trim_end());
    Ok(output.stdout)
}
