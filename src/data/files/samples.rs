//! Pictures in archives with a label each: what shards and records have in common.

use super::ImageFiles;
use super::archive::Archive;
use super::index::{Entry, Index};
use super::labels::{Classes, label};
use crate::machine;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Archives below this size have no index of their own: reading them takes no time.
const MIN_INDEXED_BYTES: u64 = 1 << 20;

/// A picture in its archive, and its label as a text; empty if it has none.
pub(super) struct Located {
    pub start: u64,
    pub size: u64,
    pub label: String,
}

/// The samples of an archive by its index, if it is large and has not changed; else as `read` finds them. `about` says what
/// of them is read.
pub(super) fn indexed(
    path: &Path,
    about: &str,
    read: impl FnOnce() -> Result<Vec<Located>>,
) -> Result<Vec<Located>> {
    let index = Index::of(path, MIN_INDEXED_BYTES, about);
    if let Some(samples) = index.as_ref().and_then(|index| index.lines(line)) {
        return Ok(samples);
    }
    let samples = read()?;
    if let Some(index) = index {
        let text = |Located { start, size, label }: &Located| format!("{start} {size} {label}");
        index.write_lines(samples.iter().map(text));
    }
    Ok(samples)
}

/// A line of an index.
fn line(line: &str) -> Option<Located> {
    let mut parts = line.splitn(3, ' ');
    let (start, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Located { start, size, label: parts.next()?.to_owned() })
}

/// The samples of one half.
#[derive(Default)]
pub(super) struct Samples {
    /// Their labels are places in `texts`.
    files: ImageFiles,
    /// Each label once.
    pub texts: Vec<String>,
    known: HashMap<String, i64>,
    /// Samples without a label, and the first of them.
    unlabelled: Option<(usize, String)>,
}

impl Samples {
    /// The samples of all archives, in their order; `read` opens one. `has_map` says that a file has the classes, which may
    /// be numbers and names at once; `called` what a picture of this title is called in messages.
    pub fn read<T: AsRef<Path> + Sync>(
        archives: &[T],
        has_map: bool,
        read: impl Fn(&T) -> Result<(Archive, Vec<Located>)> + Sync,
        called: impl Fn(&str) -> String,
    ) -> Result<Self> {
        let mut samples = Self::default();
        // As many at a time as cores read: what all of them have at once would be in memory twice.
        for together in archives.chunks(machine::cores()) {
            let read: Vec<_> = together.par_iter().map(&read).collect();
            for read in read {
                let (archive, located) = read?;
                samples.add(archive, located, has_map, &called)?;
            }
        }
        Ok(samples)
    }

    fn add(
        &mut self,
        archive: Archive,
        located: Vec<Located>,
        has_map: bool,
        called: &dyn Fn(&str) -> String,
    ) -> Result<()> {
        let number = self.files.archive(archive);
        for Located { start, size, label: text } in located {
            let title = || self.files.title_at(number, start);
            if text.is_empty() {
                self.unlabelled.get_or_insert_with(|| (0, title())).0 += 1;
                continue;
            }
            let at = match self.known.get(&text) {
                Some(&at) => at,
                None => {
                    let first_is_number = self.texts.first().map(|first| label(first).is_some());
                    let is_other = first_is_number.is_some_and(|is| is != label(&text).is_some());
                    if is_other && !has_map {
                        let is = if first_is_number == Some(true) { "a class number" } else { "a name" };
                        bail!(
                            "{}: its label {text:.50} is not {is}, as those before it are; `data.classes` names a file with \
                             both",
                            called(&title())
                        );
                    }
                    let at = self.texts.len() as i64;
                    self.texts.push(text.clone());
                    self.known.insert(text, at);
                    at
                }
            };
            self.files.push_entry(number, &Entry { path: String::new(), start, size }, at)?;
        }
        self.files.end_shard();
        Ok(())
    }

    pub fn files(self, classes: &Classes) -> Result<ImageFiles> {
        let Self { mut files, texts, unlabelled, .. } = self;
        let numbers: Vec<Option<i64>> = texts.iter().map(|text| classes.number(text)).collect();
        for index in 0..files.len() {
            let at = files.labels[index] as usize;
            files.labels[index] = numbers[at].with_context(|| {
                format!(
                    "{}: its label `{:.80}` is not one of the {} classes",
                    files.title(index),
                    texts[at],
                    classes.names.len()
                )
            })?;
        }
        files.classes.clone_from(&classes.names);
        if let Some((count, first)) = unlabelled {
            files.set_aside(count, first, "a sample without a label");
        }
        Ok(files)
    }
}
