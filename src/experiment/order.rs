//! Trials that start from the weights of others: which, and what runs first.

use super::setting::{pairs, picks};
use super::source::Experiment;
use super::trial::Trial;
use anyhow::{Error, Result};

/// Resolves `init.trial` of every trial to the one other trial of the same seed that it names.
///
/// # Errors
/// A name that picks no trial or several, trials that wait for each other, or `halving` beside them.
pub(super) fn link(experiment: &Experiment, trials: &mut [Trial]) -> Result<()> {
    for i in 0..trials.len() {
        let Some(wanted) = trials[i].config.init.as_ref().and_then(|init| init.trial.clone()) else {
            continue;
        };
        if experiment.spec.halving.is_some() {
            let message = "takes no trials that start from others (`init.trial`): they would not be whole";
            return Err(experiment.document.error(&["halving"], message));
        }
        let found = source(trials, i, &wanted);
        let [one] = found.as_slice() else {
            let message = match found.len() {
                0 => format!("`{wanted}` is no other variant; name one, or write KEY=VALUE pairs"),
                n => format!(
                    "`{wanted}` picks {n} trials of each seed; write more KEY=VALUE pairs, with commas"
                ),
            };
            return Err(misplaced(experiment, &trials[i], &message));
        };
        let id = trials[*one].id.clone();
        if let Some(init) = &mut trials[i].config.init {
            init.trial = Some(id.clone());
        }
        trials[i].after = Some(id);
    }
    let waiting = waves(trials.iter().collect()).1;
    match waiting.first() {
        Some(trial) => {
            let message = format!("{} starts from a trial that in the end starts from it", trial.id);
            Err(misplaced(experiment, trial, &message))
        }
        None => Ok(()),
    }
}

/// The other trials of the same seed that `wanted` picks; of several those that agree in all other settings.
fn source(trials: &[Trial], of: usize, wanted: &str) -> Vec<usize> {
    let (own, wanted) = (&trials[of], pairs(wanted));
    let others = (0..trials.len()).filter(|&i| i != of && trials[i].seed == own.seed);
    let found: Vec<usize> = others.filter(|&i| picks(&trials[i].variant, &wanted)).collect();
    if found.len() < 2 {
        return found;
    }
    let agrees = |i: &usize| {
        let others = trials[*i].variant.iter().filter(|(key, _)| key.as_str() != "variant");
        others.clone().all(|(key, value)| own.variant.get(key).is_none_or(|own| own == value))
    };
    found.into_iter().filter(agrees).collect()
}

fn misplaced(experiment: &Experiment, trial: &Trial, message: &str) -> Error {
    let named = trial.variant.get("variant").and_then(|name| name.as_str());
    let place = named.map(|name| ["variants", name, "init", "trial"]);
    let base: &[&str] = &["base", "init", "trial"];
    experiment.document.error(place.as_ref().map_or(base, |place| place), message)
}

/// The trials in groups that can run side by side, each after those that it starts from; those that wait for each other
/// come second. A trial that is not among them counts as done.
pub(super) fn waves(mut trials: Vec<&Trial>) -> (Vec<Vec<&Trial>>, Vec<&Trial>) {
    let mut waves = Vec::new();
    while !trials.is_empty() {
        let waits = |trial: &Trial| {
            trial.after.as_ref().is_some_and(|after| trials.iter().any(|other| other.id == *after))
        };
        let (later, now): (Vec<&Trial>, Vec<&Trial>) = trials.iter().partition(|trial| waits(trial));
        if now.is_empty() {
            return (waves, later);
        }
        waves.push(now);
        trials = later;
    }
    (waves, trials)
}
