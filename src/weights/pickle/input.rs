//! The bytes of a pickle, as they come from the file; what is long stays there.

use crate::weights::mapped::Mapped;
use anyhow::{Context, Result, ensure};
use std::ops::Range;

/// How many bytes are read at once.
const CHUNK: usize = 1 << 16;

/// A position in a file that advances with every read; numbers are little-endian.
pub(super) struct Input<'a> {
    file: &'a Mapped,
    pub at: usize,
    end: usize,
    /// Bytes of the file from `start` on.
    buffer: Vec<u8>,
    start: usize,
}

impl<'a> Input<'a> {
    pub fn new(file: &'a Mapped, range: Range<usize>) -> Self {
        Self { file, at: range.start, end: range.end.min(file.len()), buffer: Vec::new(), start: range.start }
    }

    /// The next bytes, which stay where they are.
    pub fn skip(&mut self, n: usize) -> Result<Range<usize>> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.end);
        let end = end.context("the file is truncated, or a length or an offset is wrong")?;
        let skipped = self.at..end;
        self.at = end;
        Ok(skipped)
    }

    pub fn take(&mut self, n: usize) -> Result<&[u8]> {
        let taken = self.skip(n)?;
        if taken.end > self.start + self.buffer.len() {
            self.start = taken.start;
            self.buffer = self.file.read(taken.start..taken.end.max(taken.start + CHUNK).min(self.end))?;
        }
        Ok(&self.buffer[taken.start - self.start..taken.end - self.start])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A length of one byte.
    pub fn len8(&mut self) -> Result<usize> {
        Ok(self.u8()?.into())
    }

    pub fn len32(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub fn len64(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).context("a length overflows")
    }

    /// Where the rest of the line is, without the newline.
    pub fn line(&mut self) -> Result<Range<usize>> {
        let start = self.at;
        loop {
            let buffered = (self.start + self.buffer.len()).saturating_sub(self.at);
            let piece = if buffered == 0 { CHUNK } else { buffered }.min(self.end - self.at);
            ensure!(piece > 0, "the file ends inside a line");
            if let Some(found) = self.take(piece)?.iter().position(|&byte| byte == b'\n') {
                let end = self.at - piece + found;
                self.at = end + 1;
                return Ok(start..end);
            }
        }
    }

    /// A copy of bytes that were just passed.
    pub fn copy(&mut self, range: Range<usize>) -> Result<Vec<u8>> {
        let held = self.start..self.start + self.buffer.len();
        if range.start < held.start || (range.end > held.end && range.len() > CHUNK) {
            return self.file.read(range);
        }
        if range.end > held.end {
            self.start = range.start;
            self.buffer = self.file.read(range.start..(range.start + CHUNK).min(self.end))?;
        }
        Ok(self.buffer[range.start - self.start..range.end - self.start].to_vec())
    }
}
