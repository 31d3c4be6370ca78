//! The head of a repository's README.md on the Hub: which configurations a data set has, and which files their splits have.

use super::super::listing::text;
use crate::names;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;

/// Upper bound on the size of a card.
const MAX_BYTES: u64 = 64 << 20;

/// Further keys are for people.
#[derive(Default, Deserialize)]
pub(super) struct Card {
    #[serde(default)]
    configs: Vec<Config>,
}

#[derive(Deserialize)]
struct Config {
    config_name: String,
    #[serde(default)]
    data_files: Option<DataFiles>,
    #[serde(default)]
    data_dir: Option<String>,
    #[serde(default)]
    default: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DataFiles {
    Pattern(String),
    Several(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Pattern(String),
    Split { split: String, path: Patterns },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Several(Vec<String>),
}

impl Card {
    pub fn read(path: &Path) -> Result<Self> {
        let text = text(path, MAX_BYTES)?;
        let Some(head) = text.strip_prefix("---") else { return Ok(Self::default()) };
        let Some((head, _)) = head.split_once("\n---") else { return Ok(Self::default()) };
        let card: Option<Self> =
            serde_yaml::from_str(head).with_context(|| format!("{}: its head", path.display()))?;
        Ok(card.unwrap_or_default())
    }

    /// The files of a configuration, with the split where the card says it: that of the name, else the default one. Without
    /// configurations all files are taken, or those in the folder of this name.
    pub fn choose(&self, name: Option<&str>, files: &[String]) -> Result<Vec<(String, Option<String>)>> {
        let known: Vec<&str> = self.configs.iter().map(|config| config.config_name.as_str()).collect();
        let config = match name {
            Some(name) => self.configs.iter().find(|config| config.config_name == name),
            None => {
                let default = |config: &&Config| config.default || config.config_name == "default";
                self.configs.iter().find(default).or(match &self.configs[..] {
                    [only] => Some(only),
                    _ => None,
                })
            }
        };
        let inside = |dir: &str| -> Vec<(String, Option<String>)> {
            let dir = format!("{}/", dir.trim_matches('/'));
            files.iter().filter(|file| file.starts_with(&dir)).map(|file| (file.clone(), None)).collect()
        };
        let chosen = match (config, name) {
            (Some(config), _) => match (&config.data_files, &config.data_dir) {
                (Some(patterns), dir) => patterns.among(files, dir.as_deref()),
                (None, Some(dir)) => inside(dir),
                (None, None) => files.iter().map(|file| (file.clone(), None)).collect(),
            },
            (None, None) if known.is_empty() => files.iter().map(|file| (file.clone(), None)).collect(),
            (None, None) => {
                bail!("it has several configurations: {}; name one after a colon", known.join(", "))
            }
            (None, Some(name)) if known.is_empty() && !inside(name).is_empty() => inside(name),
            (None, Some(name)) => {
                let near = names::did_you_mean(name, known.iter().copied(), "");
                bail!("no configuration `{name:.80}`; {near} There are {:.300}", known.join(", "))
            }
        };
        if chosen.is_empty() {
            bail!("none of its {} files are those that its README.md names", files.len());
        }
        Ok(chosen)
    }
}

impl DataFiles {
    fn among(&self, files: &[String], dir: Option<&str>) -> Vec<(String, Option<String>)> {
        let mut chosen = Vec::new();
        let mut take = |pattern: &str, split: Option<&String>| {
            let pattern = match dir {
                Some(dir) => format!("{}/{pattern}", dir.trim_matches('/')),
                None => pattern.trim_start_matches("./").to_owned(),
            };
            let found = files.iter().filter(|file| matches(pattern.as_bytes(), file.as_bytes()));
            chosen.extend(found.map(|file| (file.clone(), split.cloned())));
        };
        match self {
            Self::Pattern(pattern) => take(pattern, None),
            Self::Several(parts) => {
                for part in parts {
                    match part {
                        Part::Pattern(pattern) => take(pattern, None),
                        Part::Split { split, path: Patterns::One(pattern) } => take(pattern, Some(split)),
                        Part::Split { split, path: Patterns::Several(patterns) } => {
                            patterns.iter().for_each(|pattern| take(pattern, Some(split)));
                        }
                    }
                }
            }
        }
        chosen
    }
}

/// Whether a path is of a pattern: `*` and `?` within a folder, `**` through folders.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    // Where the last `*` and the last `**` began, in both: what they take grows by one there.
    let (mut p, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars = star;
    loop {
        if pattern[p..].starts_with(b"**") {
            p += if pattern[p + 2..].starts_with(b"/") { 3 } else { 2 };
            (star, stars) = (None, Some((p, s)));
        } else if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, s));
        } else if s == path.len() && p == pattern.len() {
            return true;
        } else if s < path.len()
            && (pattern.get(p) == Some(&path[s]) || (pattern.get(p) == Some(&b'?') && path[s] != b'/'))
        {
            (p, s) = (p + 1, s + 1);
        } else if let Some((after, from)) = star.filter(|&(_, from)| from < path.len() && path[from] != b'/')
        {
            star = Some((after, from + 1));
            (p, s) = (after, from + 1);
        } else if let Some((after, from)) = stars.filter(|&(_, from)| from < path.len()) {
            stars = Some((after, from + 1));
            (p, s, star) = (after, from + 1, None);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_stop_at_folders_unless_doubled() {
        for (pattern, path, want) in [
            ("data/train-*", "data/train-00000-of-00001.parquet", true),
            ("data/train-*", "data/x/train-0.parquet", false),
            ("data/*.parquet", "data/a/b.parquet", false),
            ("data/**/*.parquet", "data/a/b.parquet", true),
            ("data/**", "data/a/b.parquet", true),
            ("**/train-?.tar", "train-0.tar", true),
            ("**/train-?.tar", "a/b/train-0.tar", true),
            ("*train*.tar", "x-train-train.tar", true),
            ("*train*.tar", "x-train-train.ta", false),
            ("train", "train/0", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), want, "{pattern} {path}");
        }
    }
}
