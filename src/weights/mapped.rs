//! The bytes of a file of weights: copied where Rust reads them, mapped where libtorch does.

use crate::torch;
use anyhow::{Context, Result, ensure};
use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// An open file.
///
/// What is parsed is read by copy, so that nothing changes between a check and a use. The numbers of tensors are mapped,
/// as `torch.load(mmap=True)` does: nothing but libtorch looks at them, for which any bits are numbers. A file that
/// someone writes into meanwhile has the values of the moment, and one that is truncated meanwhile ends the process, by the
/// system's SIGBUS. Programs that put a new file in the place of the old one, as this crate does, disturb nothing.
pub(super) struct Mapped {
    file: File,
    map: Arc<MmapRaw>,
}

/// Bytes of the map that a tensor reads.
#[derive(Clone)]
pub(super) struct Pages {
    map: Arc<MmapRaw>,
    range: Range<usize>,
}

impl Mapped {
    /// # Errors
    /// A file that is missing, or none: a folder or a device.
    pub fn open(path: &Path) -> Result<Self> {
        // To open a pipe would wait for who writes into it.
        let about = fs::metadata(path).context("cannot be opened")?;
        ensure!(about.is_file(), "no file, but a folder or a device");
        Self::of(File::open(path).context("cannot be opened")?)
    }

    /// Bytes in memory, copied into a file that has no name.
    ///
    /// # Errors
    /// No memory, or, where files cannot be in memory, no folder for temporary ones.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let mut file = nameless().context("no file in memory can be made")?;
        file.write_all(bytes).context("no room for the bytes")?;
        Self::of(file)
    }

    fn of(file: File) -> Result<Self> {
        // SAFETY: a private map, whose memory is ours. What another process does to the file is seen, or not, by libtorch
        // alone: no reference is made to these bytes, only tensors.
        let map = unsafe { MmapOptions::new().no_reserve_swap().map_copy(&file) }?;
        Ok(Self { file, map: Arc::new(map.into()) })
    }

    /// The size of the file when it was opened.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// A copy of some bytes.
    ///
    /// # Errors
    /// Bytes that the file does not have.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u8>> {
        ensure!(
            range.start <= range.end && range.end <= self.len(),
            "the file is truncated, or a length or an offset is wrong"
        );
        let mut bytes = vec![0; range.len()];
        self.file
            .read_exact_at(&mut bytes, range.start as u64)
            .context("the file was truncated since it was opened")?;
        Ok(bytes)
    }

    /// The first bytes, as many as there are.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn head(&self, most: usize) -> Result<Vec<u8>> {
        self.read(0..most.min(self.len()))
    }

    /// A stream of some bytes.
    pub fn stream(&self, range: Range<usize>) -> impl Read + '_ {
        Stream { file: &self.file, left: range.start..range.end.min(self.len()) }
    }

    /// A tensor over mapped bytes, within which shape and strides stay; of bytes at an address that the dtype forbids, a
    /// copy.
    ///
    /// # Errors
    /// Bytes that the file does not have.
    pub fn tensor(&self, range: Range<usize>, shape: &[i64], strides: &[i64], kind: Kind) -> Result<Tensor> {
        // Not after the fact, where it would be too late to say so.
        ensure!(
            self.file.metadata()?.len() >= range.end as u64,
            "the file was truncated since it was opened"
        );
        let address = self.map.as_mut_ptr().wrapping_add(range.start);
        // No dtype needs more than the alignment of its parts, but the size of the element is simpler and does.
        if !(address as usize).is_multiple_of(kind.elt_size_in_bytes()) {
            return own(&self.read(range)?, shape, strides, kind);
        }
        // SAFETY: the caller has seen to it that shape and strides stay within the bytes, which are within the map; and the
        // tensor keeps the map.
        unsafe { torch::from_owner(Arc::clone(&self.map), address, shape, strides, kind) }
    }

    pub fn pages(&self, range: Range<usize>) -> Pages {
        Pages { map: Arc::clone(&self.map), range }
    }
}

/// An empty file in memory.
#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    // SAFETY: the name ends with NUL, and the descriptor is owned by nobody else.
    unsafe {
        match libc::memfd_create(c"weights".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(File::from_raw_fd(descriptor)),
        }
    }
}

/// An empty file without a name.
#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    tempfile::tempfile()
}

/// A tensor over a copy of the bytes.
pub(super) fn own(bytes: &[u8], shape: &[i64], strides: &[i64], kind: Kind) -> Result<Tensor> {
    let items = (bytes.len() / kind.elt_size_in_bytes()) as i64;
    let storage = Tensor::f_from_data_size(bytes, &[items], kind)?;
    Ok(storage.f_as_strided(shape, strides, 0)?)
}

impl Pages {
    /// Gives them back to the system, which reads them again if they are needed again: a model on its way from a file is
    /// in memory once, not twice. What was written into them is gone.
    pub fn release(&self) {
        // SAFETY: the map stays, and its bytes are those of the file again. A refusal changes nothing.
        let _ = unsafe {
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, self.range.start, self.range.len())
        };
    }
}

struct Stream<'a> {
    file: &'a File,
    left: Range<usize>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.left.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.left.start as u64)?;
        self.left.start += read;
        Ok(read)
    }
}
