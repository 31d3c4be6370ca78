//! A machine's cores and GPUs, shared among trials side by side.

use crate::machine;
use crate::train::RunConfig;

/// The machine, and how many trials share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub cores: usize,
    /// As `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
    pub jobs: usize,
}

impl Share {
    /// Of this machine with so many GPUs.
    pub fn new(jobs: usize, gpus: usize) -> Self {
        // A job of a cluster sees but some of them, under their own numbers.
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let names =
            visible.map(|list| list.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
        let names = names.filter(|names| names.len() >= gpus);
        let gpus = names.unwrap_or_else(|| (0..gpus).map(|i| i.to_string()).collect()).into_iter().take(gpus);
        Self { cores: machine::cores(), gpus: gpus.collect(), jobs: jobs.max(1) }
    }

    /// The environment of the trial in this place of `jobs`: its part of the cores, and a GPU where there are several.
    pub fn environment(&self, place: usize, config: &RunConfig) -> Vec<(&'static str, String)> {
        let cores = (self.cores / self.jobs + usize::from(place < self.cores % self.jobs)).max(1);
        let mut environment = vec![(machine::CORES, cores.to_string())];
        if config.threads.is_none() && std::env::var_os("OMP_NUM_THREADS").is_none() {
            environment.push(("OMP_NUM_THREADS", cores.to_string()));
        }
        // `cuda:1` is that one.
        if self.gpus.len() > 1 && ["auto", "cuda"].contains(&config.device.as_str()) {
            environment.push(("CUDA_VISIBLE_DEVICES", self.gpus[place % self.gpus.len()].clone()));
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn given(share: &Share, place: usize, device: &str, key: &str) -> Option<String> {
        let text = format!("model: {{name: paper/resnet20}}\ndata: {{dataset: cifar10}}\ndevice: {device}\n");
        let environment = share.environment(place, &yaml::parse(&text, "run").unwrap());
        environment.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    #[test]
    fn every_core_is_given_once_and_trials_take_turns_on_gpus() {
        let gpus = ["3", "5", "GPU-a"].map(str::to_owned).into();
        let share = Share { cores: 7, gpus, jobs: 4 };
        let cores = (0..4).map(|place| given(&share, place, "auto", machine::CORES).unwrap());
        assert_eq!(cores.collect::<Vec<_>>(), ["2", "2", "2", "1"]);
        let gpus = (0..4).map(|place| given(&share, place, "auto", "CUDA_VISIBLE_DEVICES").unwrap());
        assert_eq!(gpus.collect::<Vec<_>>(), ["3", "5", "GPU-a", "3"]);
        assert_eq!(given(&share, 1, "cpu", "CUDA_VISIBLE_DEVICES"), None);
        assert_eq!(given(&share, 1, "'cuda:1'", "CUDA_VISIBLE_DEVICES"), None);
        let few = Share { cores: 2, gpus: vec!["0".into()], jobs: 8 };
        assert_eq!(given(&few, 7, "cuda", machine::CORES).unwrap(), "1");
        assert_eq!(given(&few, 7, "cuda", "CUDA_VISIBLE_DEVICES"), None);
    }
}
