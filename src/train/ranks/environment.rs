//! Which of the processes of a run this one is, as its starter says in environment variables.

use crate::Usage;
use anyhow::{Result, ensure};
use std::env;

/// One of the processes that train a run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub rank: usize,
    /// How many there are.
    pub world: usize,
    /// Its number among those of its node, where the starter says it: the number of its GPU.
    pub local: Option<usize>,
    pub starter: Starter,
}

/// What started the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// torchrun, whose agent keeps a store for its workers at this address; what its workers write there begins with the ID
    /// of the run and the number of its restarts.
    Agent { host: String, port: u16, prefix: String },
    /// Another, which keeps none. The text differs from job to job and from restart to restart, where the starter tells them apart.
    Other(String),
}

impl Place {
    /// What the environment says; `None` where this process is alone, as without any of these variables, in a job step of
    /// one task, or with `WORLD_SIZE=1`.
    ///
    /// # Errors
    /// [`Usage`]: variables that are missing or contradict each other.
    pub fn read() -> Result<Option<Self>> {
        Self::of(&|name| env::var(name).ok())
    }

    fn of(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = get(name) else { return Ok(None) };
            let number = text.trim().parse();
            Ok(Some(
                number
                    .map_err(|_| Usage(format!("the environment variable {name} is `{text}`, no number")))?,
            ))
        };
        // The tasks of the step, not of the job: a batch script is one process of a job of several.
        let (names, world) = match (number("WORLD_SIZE")?, number("SLURM_STEP_NUM_TASKS")?) {
            (Some(world), _) => (["WORLD_SIZE", "RANK", "LOCAL_RANK"], world),
            (None, Some(world)) => (["SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"], world),
            (None, None) => return Ok(None),
        };
        if world <= 1 {
            return Ok(None);
        }
        let [of, name, local] = names;
        let missing =
            || Usage(format!("{of} is {world} and {name} is not set: it says which of them this process is"));
        let rank = number(name)?.ok_or_else(missing)?;
        ensure!(
            rank < world,
            Usage(format!("{name} is {rank}, and {of} is {world}: ranks are counted from 0"))
        );
        let text = |name: &str| get(name).unwrap_or_default();
        let starter = match (get("MASTER_ADDR"), number("MASTER_PORT")?) {
            (Some(host), Some(port)) if text("TORCHELASTIC_USE_AGENT_STORE") == "True" => {
                let port =
                    u16::try_from(port).map_err(|_| Usage(format!("MASTER_PORT is {port}, no port")))?;
                let [run, restart] = ["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"].map(text);
                Starter::Agent { host, port, prefix: format!("tchvision/{run}/{restart}") }
            }
            _ => {
                let job = ["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "TCHVISION_JOB"].map(text);
                Starter::Other(job.join("."))
            }
        };
        Ok(Some(Self { rank, world, local: number(local)?, starter }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Option<Place>> {
        let get =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Place::of(&get)
    }

    #[test]
    fn alone() {
        for variables in [&[][..], &[("WORLD_SIZE", "1"), ("RANK", "0")], &[("SLURM_NTASKS", "4")]] {
            assert_eq!(place(variables).unwrap(), None);
        }
        // torchrun with one worker in a job step of several tasks.
        assert_eq!(place(&[("WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "2")]).unwrap(), None);
    }

    #[test]
    fn of_torchrun() {
        let variables = [
            ("WORLD_SIZE", "4"),
            ("RANK", "3"),
            ("LOCAL_RANK", "1"),
            ("MASTER_ADDR", "node7"),
            ("MASTER_PORT", "29400"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RUN_ID", "none"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ];
        let starter = Starter::Agent { host: "node7".into(), port: 29400, prefix: "tchvision/none/2".into() };
        assert_eq!(place(&variables).unwrap(), Some(Place { rank: 3, world: 4, local: Some(1), starter }));
    }

    #[test]
    fn of_srun() {
        let variables = [
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_PROCID", "1"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_ID", "17"),
            ("SLURM_STEP_ID", "0"),
        ];
        let starter = Starter::Other("17.0..".into());
        assert_eq!(place(&variables).unwrap(), Some(Place { rank: 1, world: 2, local: Some(0), starter }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |variables: &[(&str, &str)], what: &str| {
            let error = place(variables).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains(what), "{error}");
        };
        wrong(&[("WORLD_SIZE", "2")], "RANK is not set");
        wrong(&[("WORLD_SIZE", "2"), ("RANK", "2")], "RANK is 2, and WORLD_SIZE is 2");
        wrong(&[("WORLD_SIZE", "two")], "WORLD_SIZE is `two`");
    }
}
