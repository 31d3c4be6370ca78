//! How an experiment is launched.

use super::kubernetes::Pods;
use crate::Usage;
use anyhow::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// Who runs the trials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Processes of this machine, apart from the one that launches.
    Local,
    /// Job arrays by `sbatch`.
    Slurm,
    /// An Indexed Job by `kubectl`.
    Kubernetes(Pods),
}

/// How to launch.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    pub engine: Engine,
    /// This program, as the engine finds it.
    pub program: PathBuf,
    /// Trials at work at the same time; as many as the engine gives when absent.
    pub max_parallel: Option<usize>,
    pub resources: Resources,
    /// How often a trial is put back into the queue after it saved and stopped before its end.
    pub requeues: u32,
    /// Trials to run (see [`crate::experiment::Plan::only`]); all when empty.
    pub only: Vec<String>,
    /// Write and submit nothing; return what would be.
    pub dry_run: bool,
}

/// What each trial asks of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// After which the engine stops it; it saves before, and goes on in another turn.
    pub time: Option<Duration>,
    pub partition: Option<String>,
    /// GPUs on each node; a trial with several is one training over as many processes.
    pub gpus: Option<u32>,
    /// Cores on each node.
    pub cpus: Option<u32>,
    /// Memory on each node, as the engine spells it: `16G`, `16Gi`.
    pub memory: Option<String>,
    /// Machines of one trial; several are one training over as many processes.
    pub nodes: Option<u32>,
    /// Further options of `sbatch`, word for word: `--account=vision`.
    pub options: Vec<String>,
}

impl Resources {
    /// Processes of one trial: one a GPU, or one a node without GPUs.
    pub fn processes(&self) -> u32 {
        self.nodes.unwrap_or(1).max(1) * self.gpus.unwrap_or(1).max(1)
    }
}

/// A time as people write it: `90m`, `4h`, `1d12h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    pub minutes: u32,
}

impl FromStr for Duration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Usage(format!("`{text}`: write days, hours and minutes such as 4h, 90m or 1d12h"));
        let (mut minutes, mut digits) = (0_u32, String::new());
        for c in text.chars() {
            let unit = match c {
                '0'..='9' => {
                    digits.push(c);
                    continue;
                }
                'm' => 1,
                'h' => 60,
                'd' => 24 * 60,
                _ => return Err(wrong().into()),
            };
            let part = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
            minutes = part.and_then(|part| minutes.checked_add(part)).ok_or_else(wrong)?;
            digits.clear();
        }
        if minutes == 0 || !digits.is_empty() {
            return Err(wrong().into());
        }
        Ok(Self { minutes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_hours_and_minutes() {
        let minutes = |text: &str| text.parse::<Duration>().ok().map(|time| time.minutes);
        assert_eq!(minutes("4h"), Some(240));
        assert_eq!(minutes("1d12h"), Some(2160));
        assert_eq!(minutes("90m"), Some(90));
        for wrong in ["", "4", "h", "4x", "0m", "4h30", "-1h", "99999999999m"] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }
}
