//! The file of an experiment, with the overrides of the command line.

use super::spec::Spec;
use crate::Usage;
use crate::yaml::{Document, Override};
use anyhow::{Result, ensure};
use serde_yaml::Value;
use std::path::Path;

/// An experiment read from its file.
pub struct Experiment {
    /// The file's name without extension.
    pub name: String,
    pub spec: Spec,
    pub(super) document: Document,
}

impl Experiment {
    /// Reads a file, or the `experiment.yaml` of a run directory.
    ///
    /// # Errors
    /// A [`ConfigError`](crate::yaml::ConfigError): what is wrong in the file or in an override, and what to write.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let overrides = overrides.iter().map(|text| override_of(text)).collect::<Result<_>>()?;
        let file = if path.is_dir() { path.join("experiment.yaml") } else { path.to_owned() };
        let named = if path.is_dir() { path.canonicalize().ok() } else { Some(path.with_extension("")) };
        let name = named.as_deref().and_then(Path::file_name).unwrap_or_default();
        if path.is_dir() && !file.exists() {
            let what = if path.join("config.yaml").exists() {
                "the directory of one run, where that of an experiment is wanted"
            } else {
                "not the directory of an experiment; it has no experiment.yaml"
            };
            return Err(Usage(format!("{}: {what}", path.display())).into());
        }
        let document = Document::read(&file, overrides)?;
        let has = |key: &str| document.value().get(key).is_some();
        if has("model") && !has("question") {
            let message =
                "this is the file of one run, for `tchvision train`; in an experiment it stands under `base`";
            return Err(document.key_error(&["model"], message));
        }
        let mut spec: Spec = document.parse()?;
        if let Some(protocol) = &spec.protocol {
            let message = "`protocol` stands under `base` too; remove one";
            let is_twice = document.value()["base"].get("protocol").is_some();
            ensure!(!is_twice, document.error(&["protocol"], message));
            spec.base.protocol = protocol.clone();
        }
        Ok(Self { name: name.to_string_lossy().into_owned(), spec, document })
    }

    /// The base with what stands beside it for all trials.
    pub(super) fn base(&self) -> Value {
        let mut base = self.document.value().get("base").cloned().unwrap_or_default();
        if let (Some(protocol), Value::Mapping(base)) = (&self.spec.protocol, &mut base) {
            base.insert("protocol".into(), protocol.to_string().into());
        }
        base
    }

    /// The text of the file, for the run directory.
    ///
    /// # Errors
    /// Overrides that YAML cannot spell.
    pub fn text(&self) -> Result<String> {
        self.document.text()
    }
}

/// `key.path=value` over an experiment: keys of the experiment as they are, keys of a run within its `base`, and key
/// paths after `axes.` and its like as one key.
///
/// # Errors
/// As [`Override::new`].
fn override_of(text: &str) -> Result<Override> {
    Override::with(text, |key| {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        Ok(match first {
            "axes" | "zip" if !rest.is_empty() => vec![first.to_owned(), rest.to_owned()],
            "sample" if rest.starts_with("of.") => {
                vec![first.to_owned(), "of".to_owned(), rest["of.".len()..].to_owned()]
            }
            "model" | "data" | "init" | "train" | "seed" | "device" | "threads" => {
                std::iter::once("base").chain(key.split('.')).map(str::to_owned).collect()
            }
            _ => key.split('.').map(str::to_owned).collect(),
        })
    })
}
