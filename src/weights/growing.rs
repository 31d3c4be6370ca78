//! A safetensors file whose rows are written as they come, and that is gone on with after a break.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// `labels` (N) int64 and `features` (N, D) float32, of which the rows so far are in `FILE.part`.
pub struct Growing {
    path: PathBuf,
    file: File,
    /// Rows that are there.
    done: usize,
}

impl Growing {
    /// A file of features of this width for `path`; what an earlier call with the same arguments has left is kept.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn open(path: &Path, labels: &[i64], width: usize, metadata: Map<String, Value>) -> Result<Self> {
        let head = head(labels, width, metadata);
        let (part, row) = (part(path), 4 * width.max(1));
        let open = || -> Result<(File, usize)> {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part)?;
            let mut there = vec![0; head.len()];
            if file.read_exact(&mut there).is_err() || there != head {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(&head)?;
            }
            let done = (file.metadata()?.len() as usize - head.len()) / row;
            let end = (head.len() + done * row) as u64;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            Ok((file, done))
        };
        let (file, done) = open().with_context(|| format!("{}: cannot be written", part.display()))?;
        Ok(Self { path: path.to_owned(), file, done })
    }

    pub fn done(&self) -> usize {
        self.done
    }

    /// Adds rows (n, D).
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, rows: &Tensor) -> Result<()> {
        let rows = rows.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut bytes = vec![0; 4 * rows.numel()];
        rows.f_copy_data_u8(&mut bytes, rows.numel())?;
        self.file
            .write_all(&bytes)
            .with_context(|| format!("{}: cannot be written", part(&self.path).display()))?;
        self.done += rows.size()[0] as usize;
        Ok(())
    }

    /// Puts the file, now whole, in its place.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<()> {
        self.file.sync_all()?;
        fs::rename(part(&self.path), &self.path)
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// All before the rows: the header, padded to eight bytes, and the labels.
fn head(labels: &[i64], width: usize, metadata: Map<String, Value>) -> Vec<u8> {
    let (count, end) = (labels.len(), 8 * labels.len());
    let tensor = |dtype: &str, shape: &[usize], offsets: [usize; 2]| json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
    let header = json!({
        "__metadata__": metadata,
        "labels": tensor("I64", &[count], [0, end]),
        "features": tensor("F32", &[count, width], [end, end + 4 * count * width]),
    });
    let mut text = header.to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.extend(text.as_bytes());
    labels.iter().for_each(|label| head.extend(label.to_le_bytes()));
    head
}
