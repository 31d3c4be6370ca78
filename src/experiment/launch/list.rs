//! The trials of one array, by the index of its elements.

use crate::atomic;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The line of an element that trains what an asynchronous halving allows.
pub(super) const WORKER: &str = "*";

/// The elements of one array: `launch/N/trials.txt`, a trial a line, beside the script and what the elements print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub number: u32,
    /// Its folder.
    pub folder: PathBuf,
    /// The IDs of trials, by the index of the element; [`WORKER`] for one that is of no trial.
    pub trials: Vec<String>,
}

impl List {
    /// A list to be written.
    pub fn new(dir: &Path, number: u32, trials: Vec<String>) -> Self {
        Self { number, folder: dir.join("launch").join(number.to_string()), trials }
    }

    /// The lists that an experiment's directory has, the oldest first.
    ///
    /// # Errors
    /// A folder or list that cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<Self>> {
        let folder = dir.join("launch");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        let mut all = Vec::new();
        for number in numbers {
            let mut list = Self::new(dir, number, Vec::new());
            // A folder without a list was never submitted.
            if list.file().exists() {
                let path = list.file();
                let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
                list.trials = text.lines().map(str::to_owned).collect();
                all.push(list);
            }
        }
        Ok(all)
    }

    /// A line a trial.
    pub fn file(&self) -> PathBuf {
        self.folder.join("trials.txt")
    }

    /// What the engine is given.
    pub fn script(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("launch.{extension}"))
    }

    /// What an element and its engine print.
    pub fn log(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{index}.out"))
    }

    /// Writes the list and its script.
    pub fn write(&self, extension: &str, script: &str) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("{}: cannot be created", self.folder.display()))?;
        atomic::write(&self.script(extension), script.as_bytes())?;
        atomic::write(&self.file(), (self.trials.join("\n") + "\n").as_bytes())
    }

    /// The name by which the engine knows the list: which directory, which list, which trials (another experiment may
    /// have been in the directory before).
    pub fn name(&self, dir: &Path) -> String {
        format!("{}-{}-{}", prefix(dir), self.number, digest(self.trials.join("\n").as_bytes(), 2))
    }
}

/// The first bytes of a digest, in hexadecimal.
fn digest(bytes: &[u8], count: usize) -> String {
    Sha256::digest(bytes).iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

/// How all names of a directory's arrays begin: its own name as far as engines take it, and a digest of its path.
pub(super) fn prefix(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name: String = name.trim_matches('-').chars().take(32).collect();
    let digest = digest(dir.as_os_str().as_encoded_bytes(), 4);
    // A name of Kubernetes begins with a letter.
    format!("tv-{}-{digest}", name.trim_end_matches('-')).replace("--", "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_the_directory_and_fit_every_engine() {
        let (a, b) = (prefix(Path::new("/a/runs/My run_2")), prefix(Path::new("/b/runs/My run_2")));
        assert!(a.starts_with("tv-my-run-2-") && a.len() == "tv-my-run-2-".len() + 8, "{a}");
        assert_ne!(a, b);
        assert!(prefix(Path::new("/")).len() < 15);
        let name = |trial: &str| List::new(Path::new("/a"), 12, vec![trial.into()]).name(Path::new("/a"));
        assert!(name("x").starts_with(&format!("{}-12-", prefix(Path::new("/a")))));
        assert_ne!(name("x"), name("y"));
    }

    #[test]
    fn lists_are_read_in_order_and_half_written_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert_eq!(List::all(dir).unwrap(), []);
        for number in [10, 2] {
            List::new(dir, number, vec![format!("lr={number}"), "b".into()]).write("sh", "true").unwrap();
        }
        fs::create_dir_all(dir.join("launch/11")).unwrap();
        let all = List::all(dir).unwrap();
        assert_eq!(all.iter().map(|list| list.number).collect::<Vec<_>>(), [2, 10]);
        assert_eq!(all[0].trials, ["lr=2", "b"]);
    }
}
