//! What machine this is and what its clock says, for reports.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The processor's name, or its architecture where the system does not tell.
pub fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or(std::env::consts::ARCH, |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// The environment variable that says how many of the machine's cores are this process's, where several share them.
pub(crate) const CORES: &str = "TCHVISION_CORES";

/// The cores that this process may use, at least 1.
pub fn cores() -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let own = std::env::var(CORES).ok().and_then(|text| text.parse().ok());
    own.unwrap_or(all).clamp(1, all)
}

/// The bytes of memory that this process can still get without swapping: those free on the machine, or left of the
/// limit of its control group. `None` where the system does not tell.
pub fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.saturating_mul(1024);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // `4:memory:/path` in version 1, `0::/path` in version 2; within a container the path may not be there.
    let left = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let files = match controllers {
            "" => Some(("/sys/fs/cgroup", "memory.max", "memory.current")),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
            }
            _ => None,
        };
        let folders = ["", path.trim_start_matches('/')];
        files.into_iter().flat_map(move |(root, limit, used)| {
            folders.map(|folder| left_in_group(&Path::new(root).join(folder), limit, used))
        })
    });
    left.flatten().chain([free]).min()
}

/// What is left of a control group's limit. Files in its page cache are given up when memory is short.
fn left_in_group(folder: &Path, limit: &str, used: &str) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok());
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(cached.unwrap_or(0))))
}

/// The commit of the git repository around the working directory, with `-dirty` behind it where files differ. `None`
/// outside of one, and without git.
pub fn commit() -> Option<String> {
    let describe = ["describe", "--always", "--dirty", "--exclude=*"];
    let output = Command::new("git").args(describe).stdin(Stdio::null()).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// Seconds since 1970.
pub(crate) fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
