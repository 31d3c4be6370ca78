//! The frames of TFRecord: a length, its checksum, the bytes, their checksum.

use super::super::archive::Archive;
use super::crc32c::masked;
use crate::data::image;
use anyhow::{Context, Result, ensure};

/// Bytes before those of a record, and behind them.
const BEFORE: u64 = 12;
const BEHIND: u64 = 4;
/// What a record may have beside its picture.
const MAX_BESIDE: u64 = 64 << 20;

/// The records of a file: where the bytes of each begin, and they.
pub(super) struct Records<'a> {
    archive: &'a Archive,
    /// Where the next one begins; `None` after an error.
    next: Option<u64>,
}

impl<'a> Records<'a> {
    pub fn of(archive: &'a Archive) -> Self {
        Self { archive, next: Some(0) }
    }

    fn read(&self, at: u64) -> Result<(u64, Vec<u8>)> {
        let place = || format!("{}: the record at byte {at}", self.archive.path().display());
        let head = self.archive.bytes(at, BEFORE)?;
        let (length, sum) = head.split_at(8);
        ensure!(
            masked(length).to_le_bytes() == sum,
            "{}: the checksum of its length is wrong: the file is damaged, or no TFRecord (unpack a compressed one)",
            place()
        );
        let length = u64::from_le_bytes(length.try_into().with_context(place)?);
        ensure!(
            length <= image::MAX_BYTES + MAX_BESIDE,
            "{}: {length} bytes are too many for a picture",
            place()
        );
        let start = at + BEFORE;
        let mut bytes = self.archive.bytes(start, length + BEHIND)?;
        let sum = bytes.split_off(length as usize);
        ensure!(
            masked(&bytes).to_le_bytes()[..] == sum,
            "{}: its checksum is wrong: the file is damaged; fetch it again",
            place()
        );
        Ok((start, bytes))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take().filter(|at| *at < self.archive.length())?;
        let read = self.read(at);
        if let Ok((start, bytes)) = &read {
            self.next = Some(start + bytes.len() as u64 + BEHIND);
        }
        Some(read)
    }
}
