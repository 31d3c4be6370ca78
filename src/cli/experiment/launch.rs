//! `tchvision experiment launch` and `cancel`.

use super::super::{print, print_json};
use super::which::Which;
use anyhow::Result;
use std::path::{PathBuf, absolute};
use tchvision::Usage;
use tchvision::experiment::launch::{
    self, Claim, Duration, Engine, LaunchOptions, Launched, Pods, Resources,
};

/// Who runs the trials.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// Processes of this machine, apart from this one
    Local,
    /// Job arrays of Slurm
    Slurm,
    /// An Indexed Job of Kubernetes
    Kubernetes,
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Who runs the trials
    #[arg(long, value_name = "ENGINE")]
    on: On,
    /// Trials at work at the same time; as many as the engine gives when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_parallel: Option<u32>,
    /// Only these trials: an ID, or KEY=VALUE[,KEY=VALUE] of axes and seed
    #[arg(long, value_name = "TRIAL")]
    only: Vec<String>,
    /// Print what would be submitted; nothing is written
    #[arg(long)]
    dry_run: bool,
    /// How often a trial is put back that saved and stopped before its end
    #[arg(long, value_name = "N", default_value_t = 50)]
    requeues: u32,
    /// Slurm: after which a trial is stopped; it saves before, and goes on in another turn: 4h, 90m, 1d12h
    #[arg(long)]
    time: Option<Duration>,
    /// Slurm: the partition
    #[arg(long)]
    partition: Option<String>,
    /// GPUs of a trial on each node; several are one training over as many processes
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Cores of a trial on each node
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Memory of a trial on each node: 16G for Slurm, 16Gi for Kubernetes
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Machines of a trial; several are one training over as many processes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Slurm: a further option of sbatch, such as --account=vision
    #[arg(long = "option", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
    /// Kubernetes: the image that has this program
    #[arg(long)]
    image: Option<String>,
    /// Kubernetes: a claim of a volume and where it is mounted; the run directory lies below one
    #[arg(long = "volume", value_name = "CLAIM:/PATH")]
    volumes: Vec<Claim>,
    /// Kubernetes: the namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Kubernetes: a pod template as YAML (metadata, spec), put over the one of the trials
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

impl Args {
    fn options(self) -> Result<(Which, LaunchOptions)> {
        let Self { image, volumes, namespace, template, .. } = self;
        let pods = [
            ("--image", image.is_some()),
            ("--volume", !volumes.is_empty()),
            ("--namespace", namespace.is_some()),
            ("--template", template.is_some()),
        ];
        let unknown = pods.iter().find(|(_, is_given)| *is_given && self.on != On::Kubernetes);
        if let Some((flag, _)) = unknown {
            return Err(Usage(format!("{flag}: for `--on kubernetes` alone")).into());
        }
        let resources = [
            ("--time", self.time.is_some()),
            ("--partition", self.partition.is_some()),
            ("--option", !self.options.is_empty()),
            ("--gpus", self.gpus.is_some()),
            ("--cpus", self.cpus.is_some()),
            ("--memory", self.memory.is_some()),
            ("--nodes", self.nodes.is_some()),
        ];
        let (unknown, name) = match self.on {
            On::Slurm => (&resources[..0], "slurm"),
            On::Kubernetes => (&resources[..3], "kubernetes"),
            On::Local => (&resources[..], "local"),
        };
        if let Some((flag, _)) = unknown.iter().find(|(_, is_given)| *is_given) {
            return Err(Usage(format!("{flag}: `--on {name}` has no such thing")).into());
        }
        let engine = match self.on {
            On::Local => Engine::Local,
            On::Slurm => Engine::Slurm,
            On::Kubernetes => {
                let text =
                    "--image: name the image that has this program, such as one built from `Dockerfile`";
                let image = image.ok_or_else(|| Usage(text.to_owned()))?;
                Engine::Kubernetes(Pods { image, volumes, namespace, template })
            }
        };
        let program = match self.on {
            // Wherever the image has it.
            On::Kubernetes => "tchvision".into(),
            _ => std::env::current_exe()?,
        };
        let resources = Resources {
            time: self.time,
            partition: self.partition,
            gpus: self.gpus,
            cpus: self.cpus,
            memory: self.memory,
            nodes: self.nodes,
            options: self.options,
        };
        let options = LaunchOptions {
            engine,
            program,
            max_parallel: self.max_parallel.map(|n| n as usize),
            resources,
            requeues: self.requeues,
            only: self.only,
            dry_run: self.dry_run,
        };
        Ok((self.which, options))
    }
}

pub fn launch(args: Args) -> Result<()> {
    let (which, options) = args.options()?;
    let experiment = which.experiment()?;
    let dir = which.dir(&experiment);
    let launched = launch::launch(&experiment, &dir, &options)?;
    if which.json {
        return print_json(&launched);
    }
    let Launched { done, queued, submitted, jobs, scripts } = launched;
    if options.dry_run {
        for (path, text) in scripts {
            print(format_args!("# {}\n{text}", path.display()))?;
        }
    }
    let would = if options.dry_run { "would be " } else { "" };
    let jobs = if jobs.is_empty() { String::new() } else { format!(" as {}", jobs.join(", ")) };
    print(format_args!("{done} trial(s) are done, {queued} queued; {submitted} {would}submitted{jobs}"))?;
    if submitted > 0 && !options.dry_run {
        print(format_args!("tchvision experiment status {}", dir.display()))?;
    }
    Ok(())
}

pub fn cancel(which: &Which) -> Result<()> {
    let experiment = which.experiment()?;
    let cancelled = launch::cancel(&absolute(which.dir(&experiment))?)?;
    if which.json {
        return print_json(&cancelled);
    }
    match cancelled.jobs.as_slice() {
        [] => print("nothing of it is queued"),
        jobs => print(format_args!("cancelled {}; launch again to go on", jobs.join(", "))),
    }
}
