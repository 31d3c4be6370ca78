//! Checksums of files.

use anyhow::Result;
use sha2::digest::Digest;
use std::io::Read;

/// A digest in lower-case hexadecimal.
pub(crate) fn digest<D: Digest>(mut reader: impl Read) -> Result<String> {
    let (mut hasher, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
