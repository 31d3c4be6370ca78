//! A Slurm cluster of this machine alone, and experiments on it.

use crate::common::lab::{Lab, text};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nodes `n0`, `n1`, …, of one core each; ended with the value.
pub struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts one with arrays of `array_size` elements at most.
    pub fn start(nodes: u16, array_size: usize) -> Self {
        let missing: Vec<&str> = ["slurmctld", "slurmd", "munged", "sbatch"]
            .into_iter()
            .filter(|program| {
                let found = Command::new("sh")
                    .args(["-c", &format!("command -v {program}")])
                    .stdout(Stdio::null())
                    .status();
                !found.unwrap().success()
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?} missing: apt-get install slurm-wlm munge");
        // One after the other: ports are free until somebody listens.
        static STARTS: Mutex<()> = Mutex::new(());
        let _turn = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Self { folder: tempfile::tempdir().unwrap() };
        let port = free_ports(11 + nodes).to_string();
        let mut command = cluster.script("start");
        command.args([nodes.to_string(), port]).env("MAX_ARRAY_SIZE", array_size.to_string());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        cluster
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/slurm.sh"));
        // Daemons outlive the script: they must not hold a pipe of ours.
        command.arg(verb).arg(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// `kill-node`, `kill-daemon` or `start-node`.
    pub fn does(&self, verb: &str, node: &str) {
        let status = self.script(verb).arg(node).stdout(Stdio::null()).status();
        assert!(status.unwrap().success());
    }

    /// What a command of Slurm prints.
    pub fn says(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        let out = command.args(words).env("SLURM_CONF", self.conf()).output().unwrap();
        assert!(out.status.success(), "{line}: {}", text(&out.stderr));
        text(&out.stdout)
    }

    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.script("stop").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The first of so many ports side by side that nobody listens on.
fn free_ports(count: u16) -> u16 {
    let start = 20_000 + (std::process::id() % 400) as u16 * 100;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..)
        .map(|i| 20_000 + (start - 20_000 + i * count) % 40_000)
        .find(|&at| (at..at + count).all(is_free))
        .unwrap()
}

/// An experiment and the program on a cluster.
pub struct Sweep<'a> {
    pub dir: PathBuf,
    cluster: &'a Cluster,
    file: PathBuf,
    /// The data, there as long as the value.
    _lab: Lab,
}

impl<'a> Sweep<'a> {
    /// Of a small net; `train` keys, and what follows the base.
    pub fn new(cluster: &'a Cluster, train: &str, rest: &str) -> Self {
        let lab = Lab::new();
        let file = lab.folder.path().join("sweep.yaml");
        let yaml = format!(
            "question: Which?\nbase:\n  \
             model: {{name: paper/wrn_16_4, num_layers: 10, width: 0.5, in_chans: 1, num_classes: 4}}\n  \
             data: {{dataset: 'idx:{}'}}\n  train: {{batch_size: 32, log_every: 1, {train}}}\n  threads: 1\n{rest}",
            lab.folder.path().display()
        );
        fs::write(&file, yaml).unwrap();
        let dir = lab.dir("sweep");
        Self { dir, cluster, file, _lab: lab }
    }

    /// `experiment VERB FILE --out DIR …`.
    pub fn run(&self, verb: &str, more: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
        command.args(["experiment", verb]).arg(&self.file).arg("--out").arg(&self.dir);
        command.args(more.split_whitespace()).env("SLURM_CONF", self.cluster.conf()).output().unwrap()
    }

    /// What it prints.
    pub fn ok(&self, verb: &str, more: &str) -> String {
        let out = self.run(verb, more);
        assert!(out.status.success(), "{verb} {more}: {}", text(&out.stderr));
        text(&out.stdout)
    }

    pub fn launch(&self, more: &str) -> Value {
        serde_json::from_str(&self.ok("launch", &format!("--on slurm --json {more}"))).unwrap()
    }

    pub fn status(&self) -> Vec<Value> {
        serde_json::from_str(&self.ok("status", "--json")).unwrap()
    }

    /// Trials with a result.
    pub fn done(&self) -> usize {
        let trials = fs::read_dir(self.dir.join("trials")).unwrap();
        trials.filter(|trial| trial.as_ref().unwrap().path().join("result.json").exists()).count()
    }

    /// Waits until `is_over`, and looks at the processes meanwhile: no trial may be trained by two.
    pub fn until(&self, seconds: u64, what: &str, mut is_over: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_over() {
            assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: {:#?}", self.status());
            self.no_trial_twice();
            sleep(Duration::from_millis(50));
        }
    }

    /// The processes that train, by their trial; without those that one of them is about to turn into another program.
    pub fn processes(&self) -> HashMap<String, Vec<u32>> {
        let mut found: HashMap<String, Vec<u32>> = HashMap::new();
        let trials = self.dir.join("trials").display().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
            if words.get(1) == Some(&&b"train"[..]) {
                let config = String::from_utf8_lossy(words[2]).into_owned();
                let parent = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let parent = parent.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
                let own = fs::read(format!("/proc/{}/cmdline", parent.unwrap_or(0_u32))).unwrap_or_default();
                if own == line {
                    continue;
                }
                if let Some(id) = config.strip_prefix(&trials).and_then(|rest| rest.split('/').nth(1)) {
                    found.entry(id.to_owned()).or_default().push(process);
                }
            }
        }
        found
    }

    fn no_trial_twice(&self) {
        for (trial, processes) in self.processes() {
            assert!(processes.len() < 2, "{trial} is trained by {processes:?}");
        }
    }

    /// A node on which a trial has made its first steps.
    pub fn node_at_work(&self) -> Option<String> {
        let processes = self.processes();
        let begun = |trial: &str| {
            // Where a worker hears of the steps, the epochs tell.
            let rows = self.dir.join("trials").join(trial).join("metrics.jsonl");
            self.log(trial).contains("step ") || rows.exists()
        };
        let (trial, process) = processes.iter().find(|(trial, _)| begun(trial))?;
        let over = self.dir.join("trials").join(trial).join("result.json").exists();
        let environment = fs::read(format!("/proc/{}/environ", process[0])).unwrap_or_default();
        let node =
            environment.split(|&byte| byte == 0).find_map(|pair| pair.strip_prefix(b"SLURMD_NODENAME="));
        node.filter(|_| !over).map(text)
    }

    /// The steps at which each process of a trial began, and the steps that all of them printed in turn.
    pub fn steps(&self, trial: &str) -> (Vec<u64>, Vec<Vec<u64>>) {
        let starts = fs::read_to_string(self.dir.join("trials").join(trial).join("starts.jsonl")).unwrap();
        let begun =
            starts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap());
        let log = self.log(trial);
        let turns = log.split("model      ").skip(1).map(|turn| {
            let steps =
                turn.lines().filter_map(|line| line.strip_prefix("step ")?.split('/').next()?.parse().ok());
            steps.collect()
        });
        (begun.collect(), turns.collect())
    }

    /// What the elements of a trial printed.
    pub fn log(&self, trial: &str) -> String {
        let mut log = String::new();
        for number in 1.. {
            let folder = self.dir.join("launch").join(number.to_string());
            let Ok(list) = fs::read_to_string(folder.join("trials.txt")) else { return log };
            if let Some(index) = list.lines().position(|line| line == trial) {
                log += &read(&folder.join(format!("{index}.out")));
            }
        }
        log
    }
}

/// The text of a file, empty where it is not there.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
