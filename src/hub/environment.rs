//! The hub and the caches as the environment configures them: the variables, defaults and files of Python's
//! `huggingface_hub` (its `constants.py`) and `torch.hub`.

use super::Hub;
use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Upper bound on the length of a token, in bytes.
const MAX_TOKEN_BYTES: u64 = 4096;

impl Hub {
    /// The hub that the environment configures.
    ///
    /// `HF_ENDPOINT`; `HF_HUB_CACHE` or `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`; `TORCH_HOME`;
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; `XDG_CACHE_HOME`. The token is `HF_TOKEN` or
    /// `HUGGING_FACE_HUB_TOKEN`, else the one that `hf auth login` stores in the file `HF_TOKEN_PATH` or
    /// `token` in `HF_HOME`; `HF_HUB_DISABLE_IMPLICIT_TOKEN` turns the token off. Folders may begin with
    /// `~/`.
    ///
    /// # Errors
    /// Neither a home folder nor a variable that gives a cache; a token file that cannot be read or does not
    /// hold a token.
    pub fn from_env() -> Result<Self> {
        let endpoint = text(&["HF_ENDPOINT"]).unwrap_or_else(|| "https://huggingface.co".to_owned());
        let cache = match path_variable(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]) {
            Some(cache) => cache,
            None => home()?.join("hub"),
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token()?,
            cache,
            checkpoints: folder("TORCH_HOME", "torch")?.join("hub/checkpoints"),
            offline: is_on(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
        })
    }
}

/// The first of these variables that is set and not empty, with its name.
fn variable(names: &[&'static str]) -> Option<(OsString, &'static str)> {
    names.iter().find_map(|name| Some((env::var_os(name).filter(|value| !value.is_empty())?, *name)))
}

fn text(names: &[&'static str]) -> Option<String> {
    variable(names).map(|(value, _)| value.to_string_lossy().into_owned())
}

fn is_on(names: &[&'static str]) -> bool {
    text(names).is_some_and(|value| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

/// A path; `~` is expanded, since no shell may have done it.
fn path_variable(names: &[&'static str]) -> Option<PathBuf> {
    let path = PathBuf::from(variable(names)?.0);
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path),
    }
}

/// The folder that a variable gives, else `usual` in the user's cache folder.
fn folder(name: &'static str, usual: &str) -> Result<PathBuf> {
    if let Some(folder) = path_variable(&[name]) {
        return Ok(folder);
    }
    let caches = path_variable(&["XDG_CACHE_HOME"]).or_else(|| Some(env::home_dir()?.join(".cache")));
    let caches = caches.context("no home folder; set HF_HOME and TORCH_HOME to folders for the weights")?;
    Ok(caches.join(usual))
}

/// The folder of Hugging Face's libraries.
fn home() -> Result<PathBuf> {
    folder("HF_HOME", "huggingface")
}

fn token() -> Result<Option<String>> {
    if is_on(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) {
        return Ok(None);
    }
    if let Some((token, name)) = variable(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
        return read_token(&token.to_string_lossy(), name);
    }
    let file = path_variable(&["HF_TOKEN_PATH"]).or_else(|| Some(home().ok()?.join("token")));
    file.map_or(Ok(None), |file| token_in(&file))
}

/// The token in a file; `None` if the file does not exist.
fn token_in(file: &Path) -> Result<Option<String>> {
    let at = file.display().to_string();
    match File::open(file) {
        Ok(file) => {
            let mut text = String::new();
            file.take(MAX_TOKEN_BYTES).read_to_string(&mut text).with_context(|| at.clone())?;
            read_token(&text, &at)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(at),
    }
}

/// The token without surrounding whitespace; `None` if nothing is left. Errors never show it.
fn read_token(text: &str, source: &str) -> Result<Option<String>> {
    let token = text.trim();
    ensure!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{source}: not a token of the hub");
    Ok(Some(token).filter(|token| !token.is_empty()).map(str::to_owned))
}
