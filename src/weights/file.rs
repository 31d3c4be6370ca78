//! Any file of tensors: recognised by its first bytes, mapped into memory and checked; nothing in it is executed.

use super::folder::{self, Index};
use super::info::{Bytes, Format, Group, Packing, TensorInfo, WHOLE};
use super::mapped::{Mapped, Pages, own};
use super::naming::under;
use super::torch::Contents;
use super::zip;
use super::{foreign, npy, safetensors, torch};
use crate::{ErrorKind, Remedy};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// State_dicts that a message lists.
const SHOWN: usize = 7;

/// A file of tensors, with all the state_dicts that it holds; shards with an index are one.
///
/// Tensors read the file where it lies, until they are copied: nobody should write into it or cut it meanwhile. Values
/// may then be any, and where a part is missing the system ends the process. A new file in the place of the old one does
/// no harm.
pub struct Archive {
    path: PathBuf,
    files: Vec<(PathBuf, Mapped)>,
    format: Format,
    metadata: HashMap<String, String>,
    groups: Vec<Group>,
    opaque: BTreeSet<String>,
}

impl Archive {
    /// Opens a file, the shards of an index, or what a folder holds of them; recognises the format by the first bytes and
    /// checks where the tensors are; none is read.
    ///
    /// # Errors
    /// A file that is missing, cut or of no known format, and a folder without or with several.
    pub fn open(path: &Path) -> Result<Self> {
        let path = folder::find(path).with_context(|| path.display().to_string())?;
        if folder::is_index(&path) { Self::joined(path) } else { Self::single(path) }
    }

    /// The same of a file's bytes in memory, such as those of `include_bytes!`. Messages call them by `name`; its ending
    /// says nothing.
    ///
    /// # Errors
    /// Bytes that are cut or of no known format.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::of(PathBuf::from(name), Mapped::of_bytes(bytes).with_context(|| name.to_owned())?)
    }

    fn single(path: PathBuf) -> Result<Self> {
        let file = Mapped::open(&path).with_context(|| path.display().to_string())?;
        Self::of(path, file)
    }

    fn of(path: PathBuf, file: Mapped) -> Result<Self> {
        let at = || path.display().to_string();
        let mut metadata = HashMap::new();
        let (format, Contents { mut groups, opaque, arch }) = read(&path, &file, &mut metadata)
            .with_context(at)
            .map_err(|error| ErrorKind::Weights.mark(error))?;
        metadata.extend(arch.map(|arch| (torch::ARCH.to_owned(), arch)));
        for group in &groups {
            group.check(file.len()).with_context(|| format!("{}: state_dict `{}`", at(), group.key))?;
        }
        // The outermost first, but what may be a network before what lies beside it.
        groups.sort_by_key(|group| !group.is_network());
        Ok(Self { files: vec![(path.clone(), file)], path, format, metadata, groups, opaque })
    }

    /// All shards of an index, as one state_dict.
    fn joined(path: PathBuf) -> Result<Self> {
        let at = || path.display().to_string();
        let index = Index::read(&path).with_context(at)?;
        let shards = index.shards(&path).with_context(at)?;
        let shards = shards.into_iter().map(Self::single).collect::<Result<Vec<_>>>()?;
        let format = shards[0].format;
        let mut all = Self {
            path: path.clone(),
            files: Vec::new(),
            format,
            metadata: HashMap::new(),
            groups: Vec::new(),
            opaque: BTreeSet::new(),
        };
        let (mut tensors, mut holders) = (Vec::new(), HashMap::new());
        for (number, shard) in shards.into_iter().enumerate() {
            let file = shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for group in shard.groups {
                for tensor in group.tensors {
                    if let Some(other) = holders.insert(tensor.name.clone(), file.clone()) {
                        bail!(
                            "{}: `{other}` and `{file}` both hold `{}`; fetch them again",
                            at(),
                            tensor.name
                        );
                    }
                    tensors.push(TensorInfo { file: number, ..tensor });
                }
            }
            all.metadata.extend(shard.metadata);
            all.opaque.extend(shard.opaque);
            all.files.extend(shard.files);
        }
        let wrong: Vec<String> = index
            .tensors()
            .filter(|(name, shard)| holders.get(*name).is_none_or(|holder| holder != shard))
            .map(|(name, shard)| format!("{name} in {shard}"))
            .collect();
        ensure!(
            wrong.is_empty(),
            "{}: {} tensors are not in the shards that it names: {}; fetch index and shards again, from one place",
            at(),
            wrong.len(),
            folder::shown(&wrong)
        );
        all.groups.push(Group::whole(tensors));
        Ok(all)
    }

    /// The file, or the index of the shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of the file, or of all shards.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(_, file)| file.len()).sum()
    }

    /// Every state_dict of the file: what may be a network first, then what lies beside it.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Classes and functions that the file names beside those of tensors and plain values. They are names: nothing is
    /// executed or looked for.
    pub fn opaque(&self) -> &BTreeSet<String> {
        &self.opaque
    }

    /// The state_dict with this key; without one, the only one that can be a network's weights. Lone values and the state
    /// of an optimizer do not count, unless there is nothing else.
    ///
    /// # Errors
    /// A key that the file does not have, no key where there are several networks, and weights that are elsewhere; the
    /// message has the keys.
    pub fn choose(self, key: Option<&str>) -> Result<StateFile> {
        let at = self.path.display();
        let having = |wanted: &dyn Fn(&Group) -> bool| -> Vec<usize> {
            (0..self.groups.len()).filter(|&i| wanted(&self.groups[i])).collect()
        };
        let group = match key {
            _ if self.groups.is_empty() => bail!("{at}: holds no tensors under names{}", self.named()),
            Some(key) => {
                let found = self.groups.iter().position(|group| group.is_at(key));
                let all = having(&|group| !group.is_optimizer());
                found.ok_or_else(|| {
                    anyhow!("{at}: no state_dict under `{key}`; there are {}", self.keys(&all))
                })?
            }
            None => {
                let choices =
                    [having(&Group::is_network), having(&|group| !group.is_optimizer()), having(&|_| true)];
                let choices = choices.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
                let [only] = choices.as_slice() else {
                    let text = format!("{at}: several state_dicts: {}", self.keys(&choices));
                    return Err(Error::new(Remedy::Key).context(text));
                };
                *only
            }
        };
        if let Some(what) = foreign::tensors(&self.groups[group]) {
            bail!("{at}: {what}");
        }
        let Group { key, tensors, unread, .. } = &self.groups[group];
        if let [(name, maker), ..] = unread.as_slice() {
            let count = unread.len();
            bail!(
                "{at}: state_dict `{key}`: {count} tensors are not dense, such as `{name}` (`{maker}`); save them dense"
            );
        }
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let index = names.iter().cloned().zip(0..).collect();
        Ok(StateFile { archive: self, group, names, index })
    }

    /// As [`Self::choose`], where a model may tell which of several networks is meant: all of them are one state_dict
    /// then, each under its key. A key may also lead to a module within a state_dict.
    ///
    /// # Errors
    /// As [`Self::choose`], but for several networks.
    pub fn network(mut self, key: Option<&str>) -> Result<StateFile> {
        match key {
            Some(key) if !self.groups.iter().any(|group| group.key == key) => {
                if let Some((group, module)) = self.module(key) {
                    return Ok(self.choose(Some(&group))?.renamed(|name| under(name, &module)));
                }
                self.choose(Some(key))
            }
            Some(key) => self.choose(Some(key)),
            None => {
                let networks: Vec<&Group> = self.groups.iter().filter(|group| group.is_network()).collect();
                if networks.len() > 1 && networks.iter().all(|group| group.unread.is_empty()) {
                    let all = networks.iter().flat_map(|group| group.under_its_key()).collect();
                    self.groups = vec![Group::whole(all)];
                }
                self.choose(None)
            }
        }
    }

    /// The state_dict, and the module in it, of a key that leads to a module.
    fn module(&self, key: &str) -> Option<(String, String)> {
        self.groups.iter().find_map(|group| {
            let inner =
                if group.key == WHOLE { key } else { key.strip_prefix(&group.key)?.strip_prefix('.')? };
            let holds = group.tensors.iter().any(|tensor| under(&tensor.name, inner).is_some());
            holds.then(|| (group.key.clone(), inner.to_owned()))
        })
    }

    /// Some of the groups, with their sizes.
    fn keys(&self, groups: &[usize]) -> String {
        let each = groups.iter().take(SHOWN).map(|&i| &self.groups[i]);
        let each = each.map(|group| format!("`{}` ({} tensors)", group.key, group.tensors.len()));
        let more = groups.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more, see `weights inspect`") } else { String::new() };
        each.collect::<Vec<_>>().join(", ") + &more
    }

    /// Whose objects a file without tensors holds.
    fn named(&self) -> String {
        let names: Vec<&String> = self.opaque.iter().collect();
        if names.is_empty() { String::new() } else { format!("; it names {}", folder::shown(&names)) }
    }
}

/// What a file holds, by its first bytes.
fn read(path: &Path, file: &Mapped, metadata: &mut HashMap<String, String>) -> Result<(Format, Contents)> {
    let start = file.head(foreign::START)?;
    let whole =
        |tensors| Contents { groups: vec![Group::whole(tensors)], opaque: BTreeSet::new(), arch: None };
    let pickled = path.extension().is_some_and(|end| end == "pkl" || end == "pickle");
    if start.starts_with(zip::MAGIC) {
        let members = zip::members(file)?;
        if let Some(prefix) = torch::prefix(&members) {
            return torch::read_zip(file, &members, prefix);
        }
        ensure!(members.iter().any(|member| member.name.ends_with(".npy")), "{}", foreign::zip(&members));
        Ok((Format::Npz, whole(npy::arrays(file, &members)?)))
    } else if torch::is_legacy(&start) {
        Ok((Format::TorchLegacy, torch::read_legacy(file)?))
    } else if start.starts_with(npy::MAGIC) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok((Format::Npy, whole(vec![npy::array(file, &name, 0..file.len())?])))
    } else if start.get(8) == Some(&b'{') {
        let (tensors, texts) = safetensors::read(file)?;
        *metadata = texts;
        Ok((Format::Safetensors, whole(tensors)))
    } else if start.first() == Some(&0x80) || pickled {
        let contents = torch::read_plain(file)?;
        let names: Vec<&String> = contents.opaque.iter().collect();
        ensure!(
            !contents.groups.is_empty(),
            "a pickle, but not of torch.save, and without arrays under names{}{}; save `model.state_dict()` with torch.save",
            if names.is_empty() { "" } else { ": objects of " },
            folder::shown(&names)
        );
        Ok((Format::Pickle, contents))
    } else {
        bail!("{}", foreign::file(path, &start))
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
        let at = |path: &Path| format!("{}: tensor `{name}`", path.display());
        let &i = self.index.get(name).with_context(|| format!("{}: not in the file", at(self.path())))?;
        let info = &self.tensors()[i];
        let TensorInfo { kind, shape, strides, bytes, .. } = info;
        let (path, file) = &self.archive.files[info.file];
        let read = || -> Result<Tensor> {
            let tensor = match bytes {
                Bytes::Stored(range) => file.tensor(range.clone(), shape, strides, *kind)?,
                Bytes::Packed { packing, packed, skip, length } => {
                    let bytes = match packing {
                        Packing::Deflate => npy::inflate(file.stream(packed.clone()), *skip, *length)?,
                        Packing::Text(coding) => coding.decode(&file.read(packed.clone())?)?,
                    };
                    ensure!(bytes.len() == *length, "{} bytes instead of {length}", bytes.len());
                    own(&bytes, shape, strides, *kind)?
                }
            };
            let tensor = if info.negative { tensor.f_neg()? } else { tensor };
            Ok(if info.conjugate { tensor.f_conj_physical()? } else { tensor })
        };
        let (Bytes::Stored(range) | Bytes::Packed { packed: range, .. }) = bytes;
        Ok(TensorView { tensor: read().with_context(|| at(path))?, pages: Some(file.pages(range.clone())) })
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
