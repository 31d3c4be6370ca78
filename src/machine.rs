//! What machine this is, for reports.

use std::fs;

/// The processor's name, or its architecture where the system does not tell.
pub fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or(std::env::consts::ARCH, |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}
