//! The text of a file, and what a file is that has none.

use super::text::parse;
use crate::Usage;
use crate::names::close;
use anyhow::{Error, Result};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What some editors write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How files begin that people give in place of a configuration, and what they are.
const OTHERS: [(&[u8], &str); 13] = [
    (b"PK\x03\x04", "a file of weights, or another archive"),
    (b"\x80\x02", "a file of weights"),
    (b"\x89HDF", "a file of weights in HDF5"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x89PNG", "a picture"),
    (b"GIF8", "a picture"),
    (b"RIFF", "a picture"),
    (b"BM", "a picture"),
    (b"%PDF", "a PDF"),
    (b"\xff\xfe", "a text in UTF-16"),
    (b"\xfe\xff", "a text in UTF-16"),
];

/// Reads a file into `T`.
///
/// # Errors
/// A file that cannot be read, is larger than 1 MiB, or does not spell a `T`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(&read(path)?, &path.display().to_string())
}

/// The text of a file of bounded size.
pub(super) fn read(path: &Path) -> Result<String> {
    let file = path.display();
    let usage = |message: String| Error::new(Usage(format!("{file}: {message}")));
    if path.is_dir() {
        let inside =
            ["config.yaml", "experiment.yaml"].map(|name| path.join(name)).into_iter().find(|p| p.exists());
        let hint = inside.map_or(String::new(), |inside| format!("; its YAML file is {}", inside.display()));
        return Err(usage(format!("a directory, where a YAML file is wanted{hint}")));
    }
    let opened = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => usage(format!("there is no such file{}", beside(path))),
        _ => usage(format!("cannot be opened: {error}")),
    })?;
    let mut bytes = Vec::new();
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| usage(format!("cannot be read: {e}")))?;
    if let Some(what) = other(&bytes) {
        return Err(usage(format!("{what}, where a YAML file is wanted")));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(usage("larger than 1 MiB, which no configuration is".to_owned()));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        usage(format!("line {line} is not UTF-8 text; save the file as UTF-8"))
    })
}

/// The YAML files beside a missing one that it may stand for.
fn beside(path: &Path) -> String {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".yaml") || name.ends_with(".yml")).collect();
    names.sort();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let close = close(&wanted, names.iter().map(String::as_str));
    close.first().map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// What a file is that is no text.
fn other(bytes: &[u8]) -> Option<&'static str> {
    // A length in eight bytes, then JSON.
    let safetensors = bytes.get(8) == Some(&b'{') && bytes.get(4..8) == Some(&[0; 4]);
    let known =
        OTHERS.iter().find(|(start, _)| bytes.starts_with(start) && std::str::from_utf8(bytes).is_err());
    match known {
        _ if safetensors => Some("a file of weights"),
        Some((_, what)) => Some(what),
        None => bytes.contains(&0).then_some("a binary file"),
    }
}
