//! Slurm: the script of an array, and what `sbatch`, `squeue` and `scancel` say.

use super::element;
use super::grant::Grant;
use super::list::List;
use super::options::{LaunchOptions, Resources};
use super::quote::quoted;
use crate::Usage;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

/// Seconds between the signal and the time limit: NCCL may catch USR1, so it is USR2.
const NOTICE: u32 = 90;

/// What `MaxArraySize` is where Slurm does not say.
pub(super) const ARRAY_SIZE: usize = 1001;

/// An element of an array, or a job alone, as the queue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// The array's number.
    pub array: String,
    /// The element's index; `None` of a job alone.
    pub index: Option<usize>,
    pub state: String,
    /// Why it waits or ended so.
    pub reason: Option<String>,
    pub node: Option<String>,
    pub name: String,
}

impl Job {
    /// As people and `scontrol` name it.
    pub fn id(&self) -> String {
        self.index.map_or_else(|| self.array.clone(), |index| format!("{}_{index}", self.array))
    }

    /// Whether it runs or may still run. Finished jobs stay in the queue for a while.
    pub fn is_live(&self) -> bool {
        let over = [
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "REVOKED",
            "TIMEOUT",
        ];
        !over.contains(&self.state.as_str())
    }
}

/// The most elements that an array has here.
///
/// # Errors
/// Slurm is not here, or does not answer.
pub(super) fn array_size() -> Result<usize> {
    let text = said(Command::new("scontrol").args(["show", "config"]))?;
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("MaxArraySize")?.split_once('=')?.1.trim().parse().ok());
    Ok(size.unwrap_or(ARRAY_SIZE))
}

/// The jobs with these names, those that are over too as long as Slurm remembers them.
///
/// # Errors
/// As [`array_size`].
pub(super) fn jobs(names: &[String]) -> Result<Vec<Job>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let format = "%F|%K|%T|%r|%N|%j";
    let text = said(Command::new("squeue").args([
        "-h",
        "-a",
        "-r",
        "-t",
        "all",
        "-o",
        format,
        "-n",
        &names.join(","),
    ]))?;
    Ok(text.lines().filter_map(job).collect())
}

/// A line of the queue.
fn job(line: &str) -> Option<Job> {
    let mut fields = line.trim().splitn(6, '|');
    let mut next = || fields.next().map(str::to_owned);
    let (array, index, state, reason, node, name) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let some =
        |text: String| Some(text).filter(|text| !text.is_empty() && text != "None" && text != "(null)");
    Some(Job { array, index: index.parse().ok(), state, reason: some(reason), node: some(node), name })
}

/// Submits a script to run after these jobs, however they end, and returns the number of its job.
///
/// # Errors
/// As [`array_size`], or what Slurm has against it.
pub(super) fn submit(script: &Path, after: &[String]) -> Result<String> {
    let mut command = Command::new("sbatch");
    command.arg("--parsable");
    if !after.is_empty() {
        command.arg(format!("--dependency=afterany:{}", after.join(":")));
    }
    let text = said(command.arg(script))?;
    // On some sites `number;cluster`.
    Ok(text.trim().split(';').next().unwrap_or_default().to_owned())
}

/// Takes jobs out of the queue; those at work are asked to save and end.
///
/// # Errors
/// As [`array_size`].
pub(super) fn cancel(arrays: &[String]) -> Result<()> {
    if arrays.is_empty() { Ok(()) } else { said(Command::new("scancel").args(arrays)).map(drop) }
}

/// What a command of Slurm prints.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!(
                "`{name}` is not here: run this where Slurm's commands are, or choose another engine"
            );
            return Err(Usage(text).into());
        }
        out => out.with_context(|| format!("{name}: cannot be started"))?,
    };
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("{name}: {}", stderr.trim().trim_start_matches(&format!("{name}: error: ")));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The script of an array: an element a trial.
pub(super) fn script(dir: &Path, list: &List, grant: &Grant, options: &LaunchOptions) -> String {
    let mut text = "#!/bin/bash\n".to_owned();
    let mut directive = |key: &str, value: &str| {
        let _ = writeln!(text, "#SBATCH --{key}={}", value_of(value));
    };
    let Resources { time, partition, gpus, cpus, memory, nodes, .. } = &options.resources;
    directive("job-name", &list.name(dir));
    let parallel = grant.parallel.map_or(String::new(), |parallel| format!("%{parallel}"));
    directive("array", &format!("0-{}{parallel}", list.trials.len() - 1));
    let logs = list.folder.display().to_string().replace('%', "%%");
    directive("output", &format!("{logs}/%a.out"));
    directive("open-mode", "append");
    if let Some(time) = time {
        directive("time", &time.minutes.to_string());
    }
    let notice = time.map_or(NOTICE, |time| NOTICE.min(time.minutes * 30));
    directive("signal", &format!("B:USR2@{notice}"));
    let several = options.resources.processes() > 1;
    if let Some(nodes) = nodes {
        directive("nodes", &nodes.to_string());
    }
    let tasks = gpus.unwrap_or(1).max(1);
    if several {
        directive("ntasks-per-node", &tasks.to_string());
    }
    if let Some(cpus) = cpus {
        directive("cpus-per-task", &(cpus / tasks).max(1).to_string());
    }
    if let Some(gpus) = gpus.filter(|&gpus| gpus > 0) {
        directive("gres", &format!("gpu:{gpus}"));
    }
    common(&mut text, partition.as_deref(), memory.as_deref(), &options.resources.options);
    text += "#SBATCH --requeue\n\n# Written by `tchvision experiment launch`: launching again submits what is missing then.\n";
    let choose = element::choose(&list.file(), "SLURM_ARRAY_TASK_ID");
    let command = element::command(&options.program, dir, list);
    let start = if several {
        // Slurm's tasks are the ranks of one training.
        format!("srun --kill-on-bad-exit=1 {command} &\n")
    } else {
        let cores = "export TCHVISION_CORES=$SLURM_CPUS_ON_NODE OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_ON_NODE}";
        format!("{cores}\n{command} &\n")
    };
    let _ = write!(text, "{choose}\n{start}{}", handled(options.requeues));
    text
}

/// Hands signals on to the trial, and puts the element back that saved and stopped before its end.
fn handled(requeues: u32) -> String {
    format!(
        "child=$! signalled= cancelled=\n\
         # USR2 before the time limit reaches this shell alone. TERM, where the job is cancelled or preempted, may have\n\
         # reached the trial as well, which a second one would end before it has saved.\n\
         trap 'signalled=1; kill -USR2 $child 2> /dev/null' USR2\n\
         trap 'signalled=1 cancelled=1; kill -USR2 $child 2> /dev/null' TERM\n\
         # A signal ends the wait, not the trial.\n\
         while wait $child; code=$?; [ \"$signalled\" ]; do signalled=; done\n\
         # 75: saved, to go on. By the array's number and index: SLURM_JOB_ID of one element is that of the whole array.\n\
         if [ $code = 75 ] && [ ! \"$cancelled\" ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {requeues} ]; then\n    \
         scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\" && sleep 300\nfi\n\
         exit $code\n"
    )
}

/// The script of the job that reports when all is over.
pub(super) fn collector(dir: &Path, list: &List, options: &LaunchOptions) -> String {
    let mut text = format!(
        "#!/bin/bash\n#SBATCH --job-name={}-report\n#SBATCH --output={}\n",
        list.name(dir),
        value_of(&list.folder.join("report.out").display().to_string().replace('%', "%%")),
    );
    let Resources { partition, options: more, .. } = &options.resources;
    common(&mut text, partition.as_deref(), None, more);
    let _ = write!(text, "\n{} experiment report {}\n", quoted(&options.program), quoted(dir));
    text
}

/// What all jobs of a launch have.
fn common(text: &mut String, partition: Option<&str>, memory: Option<&str>, options: &[String]) {
    for (key, value) in [("partition", partition), ("mem", memory)] {
        if let Some(value) = value {
            let _ = writeln!(text, "#SBATCH --{key}={}", value_of(value));
        }
    }
    for option in options {
        let _ = writeln!(text, "#SBATCH {option}");
    }
}

/// A value as sbatch reads it.
fn value_of(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if value.chars().all(plain) { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_are_read_with_odd_names_and_reasons() {
        let waits = job("7|12|PENDING|JobArrayTaskLimit||tv-demo-1").unwrap();
        assert_eq!((waits.id().as_str(), waits.is_live(), waits.node), ("7_12", true, None));
        assert_eq!(waits.reason.as_deref(), Some("JobArrayTaskLimit"));
        let failed = job("7|3|FAILED|NonZeroExitCode|n1|a|b").unwrap();
        assert!(!failed.is_live() && failed.name == "a|b" && failed.node.as_deref() == Some("n1"));
        assert_eq!(job("9|N/A|RUNNING|None|n0|x").unwrap().id(), "9");
        assert_eq!(job("nonsense"), None);
    }
}
