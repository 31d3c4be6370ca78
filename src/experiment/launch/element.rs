//! What one element of an array runs.

use super::quote::quoted;
use std::path::Path;

/// The command of the trial whose ID is in the shell's `$trial`: what `experiment run` starts too.
pub(super) fn command(program: &Path, dir: &Path) -> String {
    let trials = quoted(&dir.join("trials"));
    format!("{} train {trials}/\"$trial\"/config.yaml --out {trials}/\"$trial\"", quoted(program))
}

/// The line that reads `$trial` from a list by the element's index in `variable`.
pub(super) fn choose(list: &Path, variable: &str) -> String {
    format!("trial=$(sed -n \"$(({variable} + 1))p\" {})", quoted(list))
}
