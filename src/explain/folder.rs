//! Where explanations go: a picture and its numbers for each, what all have in common, and a page.

use super::Figure;
use crate::report::escape;
use crate::{Classifier, atomic, weights};
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// A folder of explanations: `NAME.png` and `NAME.safetensors` for each picture, `manifest.json`, and `index.html` of
/// tiles.
pub struct Folder {
    dir: PathBuf,
    head: Map<String, Value>,
    entries: Vec<Value>,
    names: HashSet<String>,
}

impl Folder {
    /// Makes the folder; `what` is the verb and its settings, of which the manifest tells beside model, weights and versions.
    ///
    /// # Errors
    /// A folder that cannot be made, and weights that cannot be read any more.
    pub fn create(dir: &Path, classifier: &Classifier, what: Value) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let (weights, sha256) = classifier.identified()?;
        let head = json!({
            "model": classifier.name(),
            "weights": weights,
            "weights_sha256": sha256,
            "input": classifier.input().shape(),
            "tchvision": env!("CARGO_PKG_VERSION"),
            "libtorch": crate::torch::version(),
        });
        let mut all = Map::new();
        for part in [head, what] {
            all.extend(part.as_object().cloned().unwrap_or_default());
        }
        Ok(Self { dir: dir.to_owned(), head: all, entries: Vec::new(), names: HashSet::new() })
    }

    /// Writes a picture and its numbers under the name of a file, and returns the picture's path; the manifest says `about`
    /// of it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(
        &mut self,
        file: &str,
        figure: &Figure,
        tensors: &[(String, Tensor)],
        about: Value,
    ) -> Result<PathBuf> {
        let stem = Path::new(file).file_stem().map_or_else(|| file.into(), |stem| stem.to_string_lossy());
        let mut name = stem.replace(|c: char| c.is_control() || "/\\".contains(c), "_");
        let mut again = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{stem}_{again}");
            again += 1;
        }
        let path = self.dir.join(format!("{name}.png"));
        atomic::write(&path, &figure.png()?)?;
        weights::save(&self.dir.join(format!("{name}.safetensors")), tensors, HashMap::new())?;
        let mut entry = Map::from_iter([("name".to_owned(), json!(name)), ("image".to_owned(), json!(file))]);
        entry.extend(about.as_object().cloned().unwrap_or_default());
        self.entries.push(entry.into());
        Ok(path)
    }

    /// Writes the manifest and the page, and returns the manifest.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<Value> {
        let title = format!(
            "{} of {}",
            self.head.get("explain").and_then(Value::as_str).unwrap_or("maps"),
            self.head["model"].as_str().unwrap_or_default()
        );
        let tiles: String = self.entries.iter().map(tile).collect();
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n\
             <main>\n{tiles}</main>\n</body>\n</html>\n",
            title = escape(&title)
        );
        atomic::write(&self.dir.join("index.html"), page.as_bytes())?;
        let mut manifest = self.head;
        manifest.insert("images".to_owned(), self.entries.into());
        let manifest = Value::from(manifest);
        atomic::write(&self.dir.join("manifest.json"), serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        Ok(manifest)
    }
}

const STYLE: &str = "body{font-family:sans-serif;margin:1rem}main{display:grid;gap:1rem;grid-template-columns:\
                     repeat(auto-fill,minmax(min(100%,22rem),1fr))}figure{margin:0}img{max-width:100%;height:auto}";

fn tile(entry: &Value) -> String {
    let text = |key: &str| escape(entry[key].as_str().unwrap_or_default());
    // A name may have letters that an address may not.
    let address: String = entry["name"]
        .as_str()
        .unwrap_or_default()
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!(
        "<figure><a href=\"{address}.png\"><img loading=\"lazy\" src=\"{address}.png\" alt=\"{0}\"></a>\
         <figcaption>{0}</figcaption></figure>\n",
        text("image")
    )
}
