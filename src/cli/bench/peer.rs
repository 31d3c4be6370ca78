//! A contestant: a process that waits for a number on stdin and answers with so many timings.

use super::turn::median;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How long one turn should take, in milliseconds.
const TURN_MS: f64 = 400.0;

pub struct Peer {
    pub name: String,
    /// Of the libraries that it uses.
    pub versions: BTreeMap<String, String>,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    times: Vec<f64>,
}

/// The first line of a contestant: it is warm.
#[derive(Serialize, Deserialize)]
pub struct Ready {
    pub versions: BTreeMap<String, String>,
}

impl Peer {
    /// Starts the process and waits until it is warm.
    ///
    /// # Errors
    /// A program that cannot be run or ends before it is ready, with what it said last.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name}: {program} cannot be run"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { bail!("{name}: no pipes") };
        // Read all along, so that a talkative library never blocks on a full pipe.
        let stderr = child.stderr.take().map(|stderr| {
            std::thread::spawn(move || {
                let lines = BufReader::new(stderr).lines().map_while(Result::ok);
                lines.filter(|line| !line.trim().is_empty()).last().unwrap_or_default()
            })
        });
        let (versions, stdout) = (BTreeMap::new(), BufReader::new(stdout));
        let mut peer = Self { name: name.to_owned(), versions, child, stdin, stdout, times: Vec::new() };
        let Ok(Ready { versions }) = serde_json::from_str(&peer.line()?) else {
            // Whatever it printed instead, it may go on waiting.
            drop(peer);
            let last = stderr.and_then(|thread| thread.join().ok()).unwrap_or_default();
            bail!("{name}: {last}")
        };
        peer.versions = versions;
        Ok(peer)
    }

    /// One turn; the first is short and tells how many steps the others take. A turn's first step does not count: it
    /// finds the caches full of another contestant's weights.
    pub fn run(&mut self) -> Result<()> {
        let steps =
            if self.times.is_empty() { 1 } else { (TURN_MS / self.median()).clamp(1.0, 200.0) as usize };
        writeln!(self.stdin, "{}", 1 + steps).and_then(|()| self.stdin.flush()).context(self.name.clone())?;
        let line = self.line()?;
        let times: Vec<f64> =
            serde_json::from_str(&line).with_context(|| format!("{}: {line}", self.name))?;
        ensure!(times.len() == 1 + steps, "{}: {} timings instead of {}", self.name, times.len(), 1 + steps);
        self.times.extend(&times[1..]);
        Ok(())
    }

    /// Over all steps of all turns, in milliseconds.
    pub fn median(&self) -> f64 {
        median(self.times.clone())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).context(self.name.clone())?;
        Ok(line)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
