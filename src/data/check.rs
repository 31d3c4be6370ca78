//! Whether all pictures of a data set can be read, and how large they are.

use super::{ImageFiles, Skipped, image, prepare};
use crate::{brief, machine};
use anyhow::Result;
use serde::Serialize;
use std::ops::ControlFlow;

/// Pictures that are decoded together.
const BATCH: usize = 256;

/// What decoding every picture has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Pictures that can be read.
    pub read: usize,
    /// Those that cannot, and why.
    pub damaged: Vec<Skipped>,
    /// The least and the greatest width, in pixels.
    pub widths: Option<[usize; 2]>,
    /// The least and the greatest height, in pixels.
    pub heights: Option<[usize; 2]>,
}

/// Decodes every picture, on all cores; `done` is called after each.
///
/// # Errors
/// None of the pictures': one that cannot be read is part of the answer.
pub fn check(files: &ImageFiles, done: &mut dyn FnMut()) -> Result<Checked> {
    let all: Vec<usize> = (0..files.len()).collect();
    let size = |&index: &usize| {
        let picture = files.read(index).and_then(|bytes| image::decode(&bytes))?;
        anyhow::Ok([picture.width, picture.height])
    };
    let mut checked = Checked::default();
    prepare(&all, BATCH, machine::cores(), size, |indices, sizes| {
        for (&index, size) in indices.iter().zip(sizes) {
            match size {
                Ok([width, height]) => {
                    checked.read += 1;
                    widen(&mut checked.widths, width);
                    widen(&mut checked.heights, height);
                }
                Err(error) => {
                    let reason = brief(&error);
                    checked.damaged.push(Skipped { name: files.title(index), reason });
                }
            }
            done();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(checked)
}

fn widen(range: &mut Option<[usize; 2]>, value: usize) {
    let [least, greatest] = range.unwrap_or([value; 2]);
    *range = Some([least.min(value), greatest.max(value)]);
}
