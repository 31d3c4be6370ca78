//! What one element of an array runs.

use super::list::{List, WORKER};
use super::quote::quoted;
use std::path::Path;

/// The command of an element whose line of the list is in the shell's `$trial`: of a trial what `experiment run` starts
/// too, of a worker of an asynchronous halving `experiment run` itself.
pub(super) fn command(program: &Path, dir: &Path, list: &List) -> String {
    if list.trials.iter().any(|line| line == WORKER) {
        return format!("{} experiment run {} --beside --jobs 1", quoted(program), quoted(dir));
    }
    let trials = quoted(&dir.join("trials"));
    format!("{} train {trials}/\"$trial\"/config.yaml --out {trials}/\"$trial\"", quoted(program))
}

/// The line that reads `$trial` from a list by the element's index in `variable`.
pub(super) fn choose(list: &Path, variable: &str) -> String {
    format!("trial=$(sed -n \"$(({variable} + 1))p\" {})", quoted(list))
}
