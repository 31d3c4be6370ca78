//! Files of `torch.save` and `torch.jit.save`: finds the tensors among the values of their pickles.
//!
//! The layout is that of PyTorch's `torch/serialization.py` and `torch/_utils.py`. A tensor is a call of a
//! rebuild function with a reference to a storage, an offset, a shape and strides; several tensors may share
//! a storage.

use super::dtype;
use super::info::{Format, Group, MAX_DIMENSIONS, TensorInfo, WHOLE};
use super::mapped::Mapped;
use super::pickle::{self, Id, Node, Pickle};
use super::zip::Member;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use tch::Kind;

/// The magic number in the first pickle of a legacy file.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// Whether a file with these first bytes begins with a pickle of the magic number, in any protocol.
pub(super) fn is_legacy(start: &[u8]) -> bool {
    start.first() == Some(&0x80) && start.windows(LEGACY_MAGIC.len()).any(|bytes| bytes == LEGACY_MAGIC)
}

/// Maximum number of keys that lead to a state_dict, as in `checkpoint["model"]["state_dict"]`.
const MAX_KEY_DEPTH: usize = 2;
/// Maximum depth of nested modules in a TorchScript archive.
const MAX_MODULE_DEPTH: usize = 64;
/// Maximum depth of wrapped tensors; a parameter of a Python subclass of Tensor is wrapped twice.
const MAX_WRAPPER_DEPTH: usize = 4;
const MAX_KEY_LENGTH: usize = 512;
/// Few legacy files have more bytes of pickles before their storages; such a file is read as a whole.
const USUAL_PICKLES: usize = 1 << 20;
/// Far more values than checkpoints have. Shared values let a small file spell very many names; this bounds
/// the memory and time that it can take.
const MAX_VALUES: usize = 200_000;

/// The folder of `data.pkl` in the zip, with its slash.
pub(super) fn prefix(members: &[Member]) -> Option<&str> {
    let data =
        |member: &'_ Member| member.name.ends_with("/data.pkl") && member.name.matches('/').count() == 1;
    members.iter().find(|member| data(member)).and_then(|member| member.name.strip_suffix("data.pkl"))
}

/// The state_dicts of a zip of `torch.save` or `torch.jit.save`.
pub(super) fn read_zip(file: &Mapped, members: &[Member], prefix: &str) -> Result<(Format, Vec<Group>)> {
    let mut ranges = HashMap::new();
    for member in members {
        let Some(name) = member.name.strip_prefix(prefix) else { continue };
        // PyTorch compresses only TorchScript code.
        ensure!(
            !member.deflated || name.starts_with("code/"),
            "`{}` is compressed; zip it uncompressed",
            member.name
        );
        ranges.insert(name, member.bytes.clone());
    }
    let stored = |name: &str| ranges.get(name).map(|range| file.read(range.clone())).transpose();
    ensure!(
        stored("byteorder")?.as_deref() != Some(b"big"),
        "written big-endian; save it again on a little-endian machine"
    );
    let read = |pickle: &str, folder: &str| -> Result<Option<Vec<Group>>> {
        let Some(bytes) = stored(pickle)? else { return Ok(None) };
        let pickle = pickle::read(&bytes).with_context(|| format!("`{prefix}{pickle}`"))?;
        let storages = |key: &str| ranges.get(format!("{folder}/{key}").as_str()).cloned();
        Ok(Some(Reader { pickle: &pickle, storages: &storages, found: 0 }.groups()?))
    };
    let mut groups = read("data.pkl", "data")?.unwrap_or_default();
    if !ranges.contains_key("constants.pkl") {
        return Ok((Format::Torch, groups));
    }
    if groups.is_empty() {
        // A frozen module has its weights in the constants.
        groups = read("constants.pkl", "constants")?.unwrap_or_default();
    }
    Ok((Format::Torchscript, groups))
}

/// The pickles at the start of a legacy file, and where they end.
fn legacy_pickles(start: &[u8]) -> Result<([Pickle; 4], usize)> {
    let mut at = 0;
    let mut next = |what: &str| -> Result<Pickle> {
        let pickle = pickle::read(start.get(at..).unwrap_or_default()).with_context(|| what.to_owned())?;
        at += pickle.length;
        Ok(pickle)
    };
    next("magic number")?;
    let pickles = [next("version")?, next("system")?, next("data")?, next("keys")?];
    Ok((pickles, at))
}

/// The state_dicts of a legacy file: five pickles in a row, then the storages in the order of the last.
pub(super) fn read_legacy(file: &Mapped) -> Result<Vec<Group>> {
    let start = file.head(USUAL_PICKLES)?;
    let pickles = match legacy_pickles(&start) {
        Err(_) if start.len() < file.len() => legacy_pickles(&file.head(file.len())?),
        pickles => pickles,
    };
    let ([version, system, data, keys], mut at) = pickles?;
    ensure!(
        matches!(version.nodes[version.root], Node::Int(1001)),
        "this version of torch.save's legacy format is not supported; save the file again"
    );
    let little = |(key, value): &(Id, Id)| match (&system.nodes[*key], &system.nodes[*value]) {
        (Node::Str(key), Node::Bool(false)) => key != "little_endian",
        _ => true,
    };
    if let Node::Dict(items) = &system.nodes[system.root] {
        ensure!(items.iter().all(little), "written big-endian; save it again on a little-endian machine");
    }
    let nothing = |_: &str| None;
    let reader = Reader { pickle: &data, storages: &nothing, found: 0 };
    let mut kinds = HashMap::new();
    for node in &data.nodes {
        if let Node::Persistent(id) = node {
            let storage = reader.storage(*id)?;
            kinds.insert(storage.key, storage.kind);
        }
    }
    let Node::List(keys_in_order) = &keys.nodes[keys.root] else { bail!("expected a list of storages") };
    let mut ranges = HashMap::new();
    for key in keys_in_order {
        let Node::Str(key) = &keys.nodes[*key] else { bail!("the key of a storage is not text") };
        let kind = kinds
            .get(key.as_str())
            .with_context(|| format!("storage `{key}` does not belong to a tensor"))?;
        let count = file.read(at..at + 8).with_context(|| format!("storage `{key}`"))?;
        let count = usize::try_from(i64::from_le_bytes(count.as_slice().try_into()?));
        let length = count.ok().and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        let end = length.and_then(|length| (at + 8).checked_add(length)).filter(|&end| end <= file.len());
        let end =
            end.with_context(|| format!("storage `{key}`: the file is truncated, or the length is wrong"))?;
        ranges.insert(key.as_str(), at + 8..end);
        at = end;
    }
    let storages = |key: &str| ranges.get(key).cloned();
    Reader { pickle: &data, storages: &storages, found: 0 }.groups()
}

/// A reference to a storage.
struct Storage<'a> {
    kind: Kind,
    key: &'a str,
    /// Elements before the first, for the storage views that PyTorch 0.3 wrote.
    skip: i64,
}

/// Finds the tensors of a pickle.
struct Reader<'a> {
    pickle: &'a Pickle,
    storages: &'a dyn Fn(&str) -> Option<Range<usize>>,
    found: usize,
}

impl<'a> Reader<'a> {
    /// All state_dicts: mappings from names to tensors, the outermost first.
    fn groups(mut self) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        let mut seen = HashSet::new();
        let mut level = vec![(String::new(), self.pickle.root)];
        for _ in 0..=MAX_KEY_DEPTH {
            let mut deeper = Vec::new();
            for (key, id) in level {
                if !seen.insert(id) {
                    continue;
                }
                let name = if key.is_empty() { WHOLE.to_owned() } else { key.clone() };
                let tensors = self.group(id).with_context(|| format!("state_dict `{name}`"))?;
                if !tensors.is_empty() {
                    groups.push(Group { key: name, tensors });
                }
                for (inner, value) in self.items(id) {
                    let Node::Str(inner) = &self.pickle.nodes[inner] else { continue };
                    if !self.may_have_items(value) || seen.contains(&value) {
                        continue;
                    }
                    let key = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
                    if key.len() <= MAX_KEY_LENGTH {
                        self.count()?;
                        deeper.push((key, value));
                    }
                }
            }
            level = deeper;
        }
        Ok(groups)
    }

    /// The tensors directly in a mapping or a sequence, or in a TorchScript module and its submodules.
    fn group(&mut self, id: Id) -> Result<Vec<TensorInfo>> {
        let mut tensors = Tensors::default();
        match &self.pickle.nodes[id] {
            Node::Tuple(values) | Node::List(values) => {
                for (i, value) in values.iter().enumerate() {
                    self.add(&i.to_string(), *value, &mut tensors)?;
                }
            }
            _ if self.is_module(id) => self.module(id, "", 0, &mut tensors)?,
            _ => {
                for (key, value) in self.items(id) {
                    if let Node::Str(key) = &self.pickle.nodes[key] {
                        self.add(key, value, &mut tensors)?;
                    }
                }
            }
        }
        Ok(tensors.list)
    }

    fn module(&mut self, id: Id, prefix: &str, depth: usize, tensors: &mut Tensors) -> Result<()> {
        ensure!(depth < MAX_MODULE_DEPTH, "modules are nested more than {MAX_MODULE_DEPTH} deep");
        self.count()?;
        for (key, value) in self.items(id) {
            self.count()?;
            let Node::Str(key) = &self.pickle.nodes[key] else { continue };
            ensure!(key.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", key.len());
            let name = format!("{prefix}{key}");
            ensure!(name.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", name.len());
            if self.is_module(value) {
                self.module(value, &format!("{name}."), depth + 1, tensors)?;
            } else {
                self.add(&name, value, tensors)?;
            }
        }
        Ok(())
    }

    /// Adds the value if it is a tensor. As in Python, the last of several values under one name wins.
    fn add(&mut self, name: &str, value: Id, tensors: &mut Tensors) -> Result<()> {
        if !matches!(self.pickle.nodes[value], Node::Call { .. }) {
            return Ok(());
        }
        self.count()?;
        ensure!(name.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", name.len());
        if let Some(tensor) = self.tensor(name, value, 0).with_context(|| format!("tensor `{name}`"))? {
            match tensors.index.get(name) {
                Some(&i) => tensors.list[i] = tensor,
                None => {
                    tensors.index.insert(name.to_owned(), tensors.list.len());
                    tensors.list.push(tensor);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.found += 1;
        ensure!(self.found <= MAX_VALUES, "more than {MAX_VALUES} values");
        Ok(())
    }

    fn name_of(&self, callee: Id) -> &'a str {
        match &self.pickle.nodes[callee] {
            Node::Global(name) => name,
            _ => "",
        }
    }

    /// Whether this is a TorchScript module, whose attributes are its state.
    fn is_module(&self, id: Id) -> bool {
        matches!(&self.pickle.nodes[id], Node::Call { callee, .. } if self.name_of(*callee).starts_with("__torch__."))
    }

    /// Whether [`Self::items`] can be non-empty. Checked first, since it copies all items and a value may be
    /// shared very often.
    fn may_have_items(&self, id: Id) -> bool {
        match &self.pickle.nodes[id] {
            Node::Dict(items) => !items.is_empty(),
            Node::Call { .. } => !self.is_module(id),
            _ => false,
        }
    }

    /// Keys and values of a dict or dict-like object, or the attributes of an object.
    fn items(&self, id: Id) -> Vec<(Id, Id)> {
        let nodes = &self.pickle.nodes;
        match &nodes[id] {
            Node::Dict(items) => items.clone(),
            Node::Call { items, .. } if !items.is_empty() => items.clone(),
            Node::Call { state: Some(state), .. } if self.is_module(id) => match &nodes[*state] {
                Node::Dict(items) => items.clone(),
                _ => Vec::new(),
            },
            // Python 2 pickled the items of an OrderedDict as a list of pairs.
            Node::Call { callee, args, .. } if self.name_of(*callee) == "collections.OrderedDict" => {
                let pair = |id: &Id| match &nodes[*id] {
                    Node::List(pair) | Node::Tuple(pair) => {
                        pair.as_slice().try_into().ok().map(|[k, v]: [Id; 2]| (k, v))
                    }
                    _ => None,
                };
                match self.args(*args) {
                    [list] => match &nodes[*list] {
                        Node::List(pairs) => pairs.iter().filter_map(pair).collect(),
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn args(&self, id: Id) -> &'a [Id] {
        match &self.pickle.nodes[id] {
            Node::Tuple(items) | Node::List(items) => items,
            _ => &[],
        }
    }

    fn int(&self, id: Id) -> Result<i64> {
        match &self.pickle.nodes[id] {
            Node::Int(n) => Ok(*n),
            _ => bail!("expected an integer"),
        }
    }

    fn ints(&self, id: Id) -> Result<Vec<i64>> {
        let items = match &self.pickle.nodes[id] {
            // `torch.Size((2, 3))`
            Node::Call { args, .. } => self.args(*args).first().map_or(&[][..], |id| self.args(*id)),
            _ => self.args(id),
        };
        ensure!(items.len() <= MAX_DIMENSIONS, "{} dimensions", items.len());
        items.iter().map(|id| self.int(*id)).collect()
    }

    /// The tensor of a value; `None` if it is not a tensor.
    ///
    /// # Errors
    /// A tensor that is damaged or of an unsupported kind: sparse, quantized, on the meta device.
    fn tensor(&self, name: &str, id: Id, depth: usize) -> Result<Option<TensorInfo>> {
        match &self.pickle.nodes[id] {
            Node::Call { callee, args, .. } => self.rebuilt(name, *callee, *args, depth),
            _ => Ok(None),
        }
    }

    /// The tensor that a call of a rebuild function would return.
    fn rebuilt(&self, name: &str, callee: Id, args: Id, depth: usize) -> Result<Option<TensorInfo>> {
        ensure!(depth < MAX_WRAPPER_DEPTH, "a tensor is wrapped {depth} times");
        let (callee, args) = (self.name_of(callee), self.args(args));
        match (callee.strip_prefix("torch.").unwrap_or_default(), args) {
            ("_utils._rebuild_tensor", [storage, offset, shape, strides])
            | ("_utils._rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
                let Node::Persistent(storage) = &self.pickle.nodes[*storage] else {
                    bail!("expected a storage")
                };
                let storage = self.storage(*storage)?;
                self.strided(name, &storage, storage.kind, [*offset, *shape, *strides]).map(Some)
            }
            ("_utils._rebuild_tensor_v3", [storage, offset, shape, strides, _, _, dtype, ..]) => {
                let Node::Persistent(storage) = &self.pickle.nodes[*storage] else {
                    bail!("expected a storage")
                };
                let dtype_name = self.name_of(*dtype).strip_prefix("torch.").unwrap_or_default();
                let dtype =
                    dtype::of_torch(dtype_name).with_context(|| format!("unknown dtype `{dtype_name}`"))?;
                self.strided(name, &self.storage(*storage)?, dtype.kind, [*offset, *shape, *strides])
                    .map(Some)
            }
            ("_utils._rebuild_parameter" | "_utils._rebuild_parameter_with_state", [data, ..]) => {
                self.tensor(name, *data, depth + 1)
            }
            // (function, type, arguments, attributes): read as a plain tensor.
            ("_tensor._rebuild_from_type_v2", [function, _, args, ..]) => {
                self.rebuilt(name, *function, *args, depth + 1)
            }
            (function, _) if function.starts_with("_utils._rebuild_") => {
                bail!("tensors of `{callee}` are not supported")
            }
            _ => Ok(None),
        }
    }

    fn strided(
        &self,
        name: &str,
        storage: &Storage,
        kind: Kind,
        [offset, shape, strides]: [Id; 3],
    ) -> Result<TensorInfo> {
        let range = (self.storages)(storage.key);
        let range = range.with_context(|| format!("storage `{}` is not in the file", storage.key))?;
        let offset = self.int(offset)?.checked_add(storage.skip).context("an offset overflows")?;
        TensorInfo::strided(name, kind, self.ints(shape)?, self.ints(strides)?, range, offset)
    }

    /// Reads `("storage", class, key, device, elements)`; legacy files add None or `(view, offset, count)`.
    fn storage(&self, id: Id) -> Result<Storage<'a>> {
        let nodes = &self.pickle.nodes;
        let [_, class, key, _, _, view @ ..] = self.args(id) else { bail!("expected a storage reference") };
        let class = self.name_of(*class).strip_prefix("torch.").unwrap_or_default();
        let kind = pickle::storage(class).with_context(|| format!("unknown storage class `{class}`"))?;
        let Node::Str(key) = &nodes[*key] else { bail!("the key of a storage is not text") };
        let skip = match view.first().map(|view| self.args(*view)) {
            Some([_, offset, _]) => self.int(*offset)?,
            _ => 0,
        };
        Ok(Storage { kind, key, skip })
    }
}

/// Tensors in the order in which their names first occur.
#[derive(Default)]
struct Tensors {
    list: Vec<TensorInfo>,
    index: HashMap<String, usize>,
}
