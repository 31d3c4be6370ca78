//! WebDataset: tar shards in which files of one name form a sample. What follows the first dot of a file's name, in lower
//! case, is its field in the sample; hidden files, and those without a field, belong to none.

use super::archive::Archive;
use super::halves::Half;
use super::index::Entry;
use super::labels::{CLASSES, class_names, label};
use super::listing::{BYTE_ORDER_MARK, EXTENSIONS, base, listing, spelled};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, bail, ensure};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Upper bound on the size of a label file.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// The shards `*.tar` in `DIR/train` and `DIR/val`, or those in DIR with `train` and `val` among the parts of their names.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    let (mut train, mut test) = (shards(dir, Half::Train)?, shards(dir, Half::Val)?);
    train.classes = class_names(dir, train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

/// The test split; without `classes.txt` the training split is read, too, to find the number of classes.
pub(super) fn test(dir: &Path) -> Result<ImageFiles> {
    if !dir.join(CLASSES).exists() {
        return Ok(splits(dir)?.test);
    }
    let mut test = shards(dir, Half::Val)?;
    test.classes = class_names(dir, test.labels.iter())?;
    Ok(test)
}

fn shards(dir: &Path, half: Half) -> Result<ImageFiles> {
    let split = if half == Half::Train { "train" } else { "val" };
    let inside = Some(dir.join(split)).filter(|folder| folder.is_dir());
    let folder = inside.as_deref().unwrap_or(dir);
    let mut paths = Vec::new();
    for (name, _) in listing(folder)? {
        let text = spelled(name.as_bytes());
        if is_shard(&text) && (inside.is_some() || is_of(half, &text, dir)?) {
            paths.push(folder.join(name));
        }
    }
    ensure!(
        !paths.is_empty(),
        "{}: no shards of the split `{split}`; name them {split}/*.tar, or {split}-0000.tar and so on",
        dir.display(),
    );
    let mut files = ImageFiles::default();
    for path in paths {
        shard(&mut files, Archive::open(&path)?)?;
    }
    Ok(files)
}

/// Whether a file is a shard, judging by its name; compressed ones are, and refused when they are opened.
fn is_shard(name: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"].iter().any(|end| name.ends_with(end))
}

/// Whether a shard belongs to a half by its name.
fn is_of(half: Half, name: &str, dir: &Path) -> Result<bool> {
    let own =
        Half::of(name).with_context(|| format!("{}: move it to train/ or val/ there", dir.display()))?;
    Ok(own == Some(half))
}

/// Adds the samples of one shard.
fn shard(files: &mut ImageFiles, archive: Archive) -> Result<()> {
    let mut entries = archive.entries()?;
    entries.retain(|entry| parts(&entry.path).is_some());
    let key = |entry: &Entry| parts(&entry.path).map(|(key, _)| key.to_owned());
    let mut found = Vec::new();
    let mut first: Option<String> = None;
    for sample in entries.chunk_by(|a, b| key(a) == key(b)) {
        let at = || format!("{}: sample `{}`", archive.path().display(), key(&sample[0]).unwrap_or_default());
        let sample = Sample::of(sample).with_context(at)?;
        let (field, image) = sample.picture().with_context(at)?;
        let kind = field.rsplit_once('.').map_or("", |(kind, _)| kind).to_owned();
        if let Some(first) = first.as_ref().filter(|first| **first != kind) {
            let plain =
                if first.is_empty() { "jpg, png or the like".to_owned() } else { format!("{first}.*") };
            bail!("{}: its picture is `{field}`, and those of the samples before it are {plain}", at());
        }
        first.get_or_insert(kind);
        found.push((image, sample.label(&archive).with_context(at)?));
    }
    let number = files.archive(archive);
    for (image, label) in found {
        files.push_entry(number, image, label)?;
    }
    files.end_shard();
    Ok(())
}

/// The fields of a sample, in lower case.
struct Sample<'a>(Vec<(String, &'a Entry)>);

impl<'a> Sample<'a> {
    fn of(entries: &'a [Entry]) -> Result<Self> {
        let mut fields: Vec<(String, &Entry)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let field = parts(&entry.path).map_or(String::new(), |(_, field)| field.to_ascii_lowercase());
            ensure!(fields.iter().all(|(known, _)| *known != field), "the field `{field}` is there twice");
            fields.push((field, entry));
        }
        Ok(Self(fields))
    }

    fn get(&self, field: &str) -> Option<&'a Entry> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, entry)| *entry)
    }

    /// The picture and its field: `jpg`, `jpeg`, `png` and so on, the first of them that is there; in a sample without them
    /// the only one such as `rgb.png`.
    fn picture(&self) -> Result<(&str, &'a Entry)> {
        if let Some((field, entry)) = EXTENSIONS.iter().find_map(|field| Some((*field, self.get(field)?))) {
            return Ok((field, entry));
        }
        let is_picture = |field: &str| EXTENSIONS.iter().any(|known| field.ends_with(&format!(".{known}")));
        let mut pictures = self.0.iter().filter(|(field, _)| is_picture(field));
        match (pictures.next(), pictures.next()) {
            (Some((field, entry)), None) => Ok((field, entry)),
            (None, _) => bail!("it has no image; {}", self.fields()),
            _ => bail!(
                "which of its images is the picture is not clear; name that `KEY.jpg`; {}",
                self.fields()
            ),
        }
    }

    /// What follows the first dots of the names, for messages.
    fn fields(&self) -> String {
        let names: Vec<String> = self.0.iter().take(8).map(|(field, _)| format!(".{field}")).collect();
        let more = if self.0.len() > 8 { " and others" } else { "" };
        format!("what follows the first dot of its files' names: {}{more}", names.join(", "))
    }

    /// The label: the `cls`, else `label` or `cls` of the `json`.
    fn label(&self, archive: &Archive) -> Result<i64> {
        let read = |field: &str| -> Result<Option<Vec<u8>>> {
            let Some(entry) = self.get(field) else { return Ok(None) };
            ensure!(entry.size <= MAX_LABEL_BYTES, "`{}`: {} bytes are too many", entry.path, entry.size);
            archive.bytes(entry.start, entry.size).map(Some)
        };
        let text = if let Some(bytes) = read("cls")? {
            String::from_utf8_lossy(&bytes).into_owned()
        } else if let Some(bytes) = read("json")? {
            let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(&bytes);
            let json: serde_json::Value =
                serde_json::from_slice(bytes).context("its .json is not valid JSON")?;
            let value = json.get("label").or_else(|| json.get("cls"));
            value.context("its .json has neither `label` nor `cls`")?.to_string()
        } else {
            bail!("it has neither a .cls nor a .json with a label; {}", self.fields());
        };
        label(&text).with_context(|| format!("its label {text:.50} is not a class number"))
    }
}

/// Splits a path at the first dot of its last component: the sample's key and the field. `None` if either is empty.
fn parts(path: &str) -> Option<(&str, &str)> {
    let name = path.len() - base(path).len();
    let dot = name + path[name..].find('.')?;
    (dot > name && dot + 1 < path.len()).then_some((&path[..dot], &path[dot + 1..]))
}
