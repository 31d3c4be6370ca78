//! Reads numbers and text from untrusted bytes: every read is checked.

use anyhow::{Context, Result};

/// A position in bytes that advances with every read; numbers are little-endian.
#[derive(Default)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).context("a length overflows")?;
        let taken = self
            .bytes
            .get(self.at..end)
            .context("the file is truncated, or a length or an offset is wrong")?;
        self.at = end;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A 64-bit length.
    pub fn len64(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).context("a length overflows")
    }
}
