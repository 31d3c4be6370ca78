//! What a file of weights that we wrote says of itself: enough to use it without the run that it is of.

use super::StateFile;
use super::checkpoint::ABOUT;
use crate::data::{DataConfig, ModelInput};
use crate::digest::digest;
use crate::models::ModelSpec;
use crate::torch;
use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// What is needed to use the weights of a run; one JSON document in the file's metadata, under `tchvision`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// With all fields of its configuration.
    pub model: ModelSpec,
    /// How pictures become the input of a test.
    pub input: ModelInput,
    /// The names of the outputs.
    pub classes: Vec<String>,
    /// Trained on its training half, tested on its test half.
    pub data: DataConfig,
    /// Of the run; it draws the sample of `data.train`.
    pub seed: u64,
    pub train_images: usize,
    /// Whether tests compute in bfloat16, by autocast.
    pub bfloat16: bool,
    /// Images of a test that go through the network at once.
    pub batch_size: usize,
    /// Epochs and optimizer steps behind the weights.
    pub epoch: u64,
    pub step: u64,
    /// Percent of the test images (of the validation images of a run that has some) that are classified rightly, and
    /// their cross-entropy, where these weights were evaluated.
    pub top1: Option<f64>,
    pub loss: Option<f64>,
    /// The files of weights that the run started from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Of this package and of libtorch.
    pub version: String,
    pub libtorch: String,
}

/// A file of weights that a run started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub file: String,
    pub sha256: String,
    /// The tensors of the run that it did not have: these were new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new: Vec<String>,
}

impl About {
    /// What a file says of itself; `None` for a file that we did not write, or wrote before files said it.
    ///
    /// # Errors
    /// A text that is none of ours.
    pub fn of(file: &StateFile) -> Result<Option<Self>> {
        let Some(text) = file.metadata(ABOUT) else { return Ok(None) };
        let about = serde_json::from_str(text);
        about.map(Some).with_context(|| {
            let file = file.path().display();
            format!(
                "{file}: its metadata `{ABOUT}` is of another version; name the model and its fields instead"
            )
        })
    }

    /// The metadata of a file of these weights.
    ///
    /// # Errors
    /// None that is known: all of it can be spelled.
    pub fn metadata(&self) -> Result<HashMap<String, String>> {
        // What Python's libraries look for in a file of PyTorch's layout.
        let format = ("format".to_owned(), "pt".to_owned());
        Ok(HashMap::from([format, (ABOUT.to_owned(), serde_json::to_string(self)?)]))
    }

    /// The versions that write the file.
    pub fn versions() -> (String, String) {
        (env!("CARGO_PKG_VERSION").to_owned(), torch::version())
    }
}

impl Parent {
    /// # Errors
    /// A file that cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let sha256 = File::open(path).map_err(Error::from).and_then(digest::<Sha256>);
        let sha256 = sha256.with_context(|| format!("{file}: cannot be read"))?;
        Ok(Self { file, sha256, new: Vec::new() })
    }
}
