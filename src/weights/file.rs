//! Any file of tensors: recognised by its first bytes, mapped into memory and checked; nothing in it is executed.

use super::info::{Bytes, Format, Group, TensorInfo, WHOLE};
use super::mapped::{Mapped, Pages, own};
use super::zip::{self, Member};
use super::{npy, safetensors, torch};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// How many bytes tell what a file is.
const START: usize = 64;

/// A file of tensors, with all the state_dicts that it holds.
///
/// Tensors read the file where it lies, until they are copied: nobody should write into it or cut it meanwhile. Values
/// may then be any, and where a part is missing the system ends the process. A new file in the place of the old one does
/// no harm.
pub struct Archive {
    path: PathBuf,
    file: Mapped,
    format: Format,
    metadata: HashMap<String, String>,
    groups: Vec<Group>,
}

impl Archive {
    /// Opens a file, recognises its format by the first bytes and checks where its tensors are; none is read.
    ///
    /// # Errors
    /// A file that is missing, cut, of no known format, or names what no state_dict needs.
    pub fn open(path: &Path) -> Result<Self> {
        let at = || path.display().to_string();
        let file = Mapped::open(path).with_context(at)?;
        let start = file.head(START).with_context(at)?;
        let mut metadata = HashMap::new();
        let whole = |tensors| vec![Group { key: WHOLE.to_owned(), tensors }];
        let (format, groups) = if start.starts_with(zip::MAGIC) {
            read_zip(&file).with_context(at)?
        } else if torch::is_legacy(&start) {
            (Format::TorchLegacy, torch::read_legacy(&file).with_context(at)?)
        } else if start.starts_with(npy::MAGIC) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let tensor = npy::array(&file, &name, 0..file.len()).with_context(at)?;
            (Format::Npy, whole(vec![tensor]))
        } else if start.get(8) == Some(&b'{') {
            let (tensors, texts) = safetensors::read(&file).with_context(at)?;
            metadata = texts;
            (Format::Safetensors, whole(tensors))
        } else {
            bail!("{}: {}", at(), unknown(&start));
        };
        for group in &groups {
            group.check(file.len()).with_context(|| format!("{}: state_dict `{}`", at(), group.key))?;
        }
        Ok(Self { path: path.to_owned(), file, format, metadata, groups })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of the file.
    pub fn bytes(&self) -> usize {
        self.file.len()
    }

    /// Every state_dict of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The state_dict with this key, or the only one.
    ///
    /// # Errors
    /// A key that the file does not have, or no key where there are several; the message has the keys.
    pub fn choose(self, key: Option<&str>) -> Result<StateFile> {
        let at = self.path.display();
        let keys = || {
            let each =
                self.groups.iter().map(|group| format!("`{}` ({} tensors)", group.key, group.tensors.len()));
            each.collect::<Vec<_>>().join(", ")
        };
        let group = match (key, self.groups.as_slice()) {
            (_, []) => bail!("{at}: holds no tensors under names"),
            (Some(key), groups) => {
                let found = groups.iter().position(|group| group.key == key);
                found.ok_or_else(|| anyhow!("{at}: no state_dict under `{key}`; there are {}", keys()))?
            }
            (None, [_]) => 0,
            (None, _) => bail!("{at}: several state_dicts; choose one by its key: {}", keys()),
        };
        let tensors = &self.groups[group].tensors;
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let index = names.iter().cloned().zip(0..).collect();
        Ok(StateFile { archive: self, group, names, index })
    }
}

/// Zips are told apart by their members.
fn read_zip(file: &Mapped) -> Result<(Format, Vec<Group>)> {
    let members = zip::members(file)?;
    if let Some(prefix) = torch::prefix(&members) {
        return torch::read_zip(file, &members, prefix);
    }
    let npy = |member: &Member| member.name.ends_with(".npy");
    ensure!(members.iter().any(npy), "a zip, but neither of torch.save nor of numpy.savez");
    let tensors = npy::arrays(file, &members)?;
    Ok((Format::Npz, vec![Group { key: WHOLE.to_owned(), tensors }]))
}

/// What to say of a file that is none of ours.
fn unknown(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "empty; fetch or write it again",
        [0x80, ..] => "a pickle, but not of torch.save; save `model.state_dict()` with it",
        [b'<', ..] => "HTML or XML, not weights: most likely the error page of a server",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "a git-lfs pointer in place of the file; `git lfs pull`"
        }
        _ if bytes.starts_with(b"\x1f\x8b") => "packed by gzip; unpack it first",
        _ if bytes.starts_with(b"\x89HDF") => "HDF5; export it as safetensors",
        _ => "no weights of a known format: safetensors, torch.save, TorchScript, .npz or .npy",
    }
}

/// One state_dict of a file, whose tensors lie there as [`Archive`] says.
pub struct StateFile {
    archive: Archive,
    group: usize,
    names: Vec<String>,
    index: HashMap<String, usize>,
}

impl StateFile {
    /// Opens and checks a file of any format with one state_dict; no tensor is read.
    ///
    /// # Errors
    /// As [`Archive::open`] and [`Archive::choose`].
    pub fn open(path: &Path) -> Result<Self> {
        Archive::open(path)?.choose(None)
    }

    /// Where the tensors come from, for messages.
    pub fn path(&self) -> &Path {
        &self.archive.path
    }

    pub fn format(&self) -> Format {
        self.archive.format
    }

    /// The keys, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The same state_dict with other names, without the tensors that get none.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> Option<&str>) -> Self {
        self.names = self.names.iter().filter_map(|name| rename(name)).map(str::to_owned).collect();
        self.index = self.index.iter().filter_map(|(name, &i)| Some((rename(name)?.to_owned(), i))).collect();
        self
    }

    /// Name, dtype and shape of every tensor, in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.archive.groups[self.group].tensors
    }

    /// A text kept beside the tensors.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.archive.metadata.get(key).map(String::as_str)
    }

    /// A tensor on the CPU that reads the mapped file; only packed bytes, and bytes at an address that the dtype
    /// forbids, are copied.
    ///
    /// # Errors
    /// A name that the file does not have, packed bytes that are damaged, or a file that was cut since it was opened.
    pub fn get(&self, name: &str) -> Result<TensorView> {
        let at = || format!("{}: tensor `{name}`", self.archive.path.display());
        let &i = self.index.get(name).with_context(|| format!("{}: not in the file", at()))?;
        let info = &self.tensors()[i];
        let TensorInfo { kind, shape, strides, bytes, .. } = info;
        let file = &self.archive.file;
        let tensor = match bytes {
            Bytes::Stored(range) => file.tensor(range.clone(), shape, strides, *kind),
            Bytes::Deflated { packed, skip, length } => {
                let bytes = npy::inflate(file.stream(packed.clone()), *skip, *length);
                bytes.and_then(|bytes| own(&bytes, shape, strides, *kind))
            }
        };
        let (Bytes::Stored(range) | Bytes::Deflated { packed: range, .. }) = bytes;
        Ok(TensorView { tensor: tensor.with_context(at)?, pages: Some(file.pages(range.clone())) })
    }
}

/// A tensor over the bytes of a [`StateFile`], or one in memory. Copy it to change it: what is written into it may be
/// lost.
pub struct TensorView {
    tensor: Tensor,
    pages: Option<Pages>,
}

impl From<Tensor> for TensorView {
    fn from(tensor: Tensor) -> Self {
        Self { tensor, pages: None }
    }
}

impl TensorView {
    /// What `change` makes of the tensor, which may still read the file.
    ///
    /// # Errors
    /// As `change`.
    pub fn map(self, change: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { tensor: change(&self.tensor)?, pages: self.pages })
    }

    /// Gives the file's pages behind the tensor back to the system, after their last use.
    pub(super) fn release(&self) {
        self.pages.iter().for_each(Pages::release);
    }
}

impl Deref for TensorView {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}
