//! What the environment says of the hub and the caches: the variables, defaults and files of Python's `huggingface_hub`
//! (its `constants.py`) and `torch.hub`.

use super::Hub;
use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No token is longer, in bytes.
const LONGEST_TOKEN: u64 = 4096;

impl Hub {
    /// As the environment says.
    ///
    /// `HF_ENDPOINT`; `HF_HUB_CACHE` or `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`; `TORCH_HOME`;
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; `XDG_CACHE_HOME`. The token is `HF_TOKEN` or
    /// `HUGGING_FACE_HUB_TOKEN`, else the one that `hf auth login` keeps in the file `HF_TOKEN_PATH` or `token` in
    /// `HF_HOME`; with `HF_HUB_DISABLE_IMPLICIT_TOKEN` there is none. Folders may begin with `~/`.
    ///
    /// # Errors
    /// No home folder, and no variable that names a cache; a token's file that cannot be read, or something else than
    /// a token.
    pub fn from_env() -> Result<Self> {
        let endpoint = text(&["HF_ENDPOINT"]).unwrap_or_else(|| "https://huggingface.co".to_owned());
        let cache = match place(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]) {
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

/// The first of the variables that says something.
fn variable(names: &[&'static str]) -> Option<(OsString, &'static str)> {
    names.iter().find_map(|name| Some((env::var_os(name).filter(|value| !value.is_empty())?, *name)))
}

fn text(names: &[&'static str]) -> Option<String> {
    variable(names).map(|(value, _)| value.to_string_lossy().into_owned())
}

fn is_on(names: &[&'static str]) -> bool {
    text(names).is_some_and(|value| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

/// A path; `~` is the home folder also where no shell has read it.
fn place(names: &[&'static str]) -> Option<PathBuf> {
    let place = PathBuf::from(variable(names)?.0);
    match (place.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(place),
    }
}

/// The folder that a variable names, else the usual one among the caches.
fn folder(name: &'static str, usual: &str) -> Result<PathBuf> {
    if let Some(folder) = place(&[name]) {
        return Ok(folder);
    }
    let caches = place(&["XDG_CACHE_HOME"]).or_else(|| Some(env::home_dir()?.join(".cache")));
    let caches =
        caches.context("there is no home folder: set HF_HOME and TORCH_HOME to folders for the weights")?;
    Ok(caches.join(usual))
}

/// The folder of what Hugging Face's libraries keep.
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
    let file = place(&["HF_TOKEN_PATH"]).or_else(|| Some(home().ok()?.join("token")));
    file.map_or(Ok(None), |file| token_in(&file))
}

/// The token that a file holds; none if there is no file.
fn token_in(file: &Path) -> Result<Option<String>> {
    let at = file.display().to_string();
    match File::open(file) {
        Ok(file) => {
            let mut text = String::new();
            file.take(LONGEST_TOKEN).read_to_string(&mut text).with_context(|| at.clone())?;
            read_token(&text, &at)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(at),
    }
}

/// A token without the space round it; none if that is all. An error never shows it.
fn read_token(text: &str, place: &str) -> Result<Option<String>> {
    let token = text.trim();
    ensure!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{place}: no token of the Hugging Face hub");
    Ok(Some(token).filter(|token| !token.is_empty()).map(str::to_owned))
}
