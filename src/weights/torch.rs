//! Files of `torch.save` and `torch.jit.save`: finds the tensors among the values of their pickles.
//!
//! The layout is that of PyTorch's `torch/serialization.py`.

use super::info::{Format, Group};
use super::mapped::Mapped;
use super::objects;
use super::pickle::{self, Id, Node, Pickle};
use super::rebuild::Values;
use super::zip::Member;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use tch::Kind;

/// The magic number in the first pickle of a legacy file, in protocols 2 to 5, and 0 and 1.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";
const LEGACY_TEXT: &[u8] = b"L119547037146038801333356L\n.";

/// Whether a file with these first bytes begins with a pickle of the magic number, in any protocol.
pub(super) fn is_legacy(start: &[u8]) -> bool {
    let binary = start.first() == Some(&0x80);
    // After the protocol and, since 4, the length of a frame; further on it is that of a storage in another pickle.
    let first = &start[..start.len().min(32)];
    binary && first.windows(LEGACY_MAGIC.len()).any(|bytes| bytes == LEGACY_MAGIC)
        || start.starts_with(LEGACY_TEXT)
}

/// Where checkpoints say their architecture.
pub(super) const ARCH: &str = "arch";

/// What a pickle holds.
pub(super) struct Contents {
    pub groups: Vec<Group>,
    /// Classes and functions of somebody's program that it names.
    pub opaque: BTreeSet<String>,
    /// The name of the architecture that it says beside the state_dicts, as timm's checkpoints do.
    pub arch: Option<String>,
}

/// What the values of a pickle in a file are, its storages being there.
fn contents(
    file: &Mapped,
    pickle: &Pickle,
    storages: &dyn Fn(&str) -> Option<Range<usize>>,
) -> Result<Contents> {
    let nested = |range: Range<usize>| storage(file, range);
    let groups = objects::groups(&Values { pickle, storages, nested: &nested })?;
    let name = |node: &Node| match node {
        Node::Global(name) if !pickle::is_plain(name) => Some(name.clone()),
        _ => None,
    };
    let is_arch = |id: pickle::Id| matches!(&pickle.nodes[id], Node::Str(key, _) if key == ARCH);
    let arch = match &pickle.nodes[pickle.root] {
        Node::Dict(items) => {
            items.iter().find(|(key, _)| is_arch(*key)).map(|(_, value)| &pickle.nodes[*value])
        }
        _ => None,
    };
    let arch = match arch {
        Some(Node::Str(name, _)) => Some(name.clone()),
        _ => None,
    };
    Ok(Contents { groups, opaque: pickle.nodes.iter().filter_map(name).collect(), arch })
}

/// What a pickle holds that `torch.save` did not write.
pub(super) fn read_plain(file: &Mapped) -> Result<Contents> {
    contents(file, &pickle::read(file, 0..file.len())?, &|_| None)
}

/// The folder of `data.pkl` in the zip, with its slash.
pub(super) fn prefix(members: &[Member]) -> Option<&str> {
    let data =
        |member: &'_ Member| member.name.ends_with("/data.pkl") && member.name.matches('/').count() == 1;
    members.iter().find(|member| data(member)).and_then(|member| member.name.strip_suffix("data.pkl"))
}

/// The state_dicts of a zip of `torch.save` or `torch.jit.save`.
pub(super) fn read_zip(file: &Mapped, members: &[Member], prefix: &str) -> Result<(Format, Contents)> {
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
    let read = |pickle: &str, folder: &str| -> Result<Option<Contents>> {
        let Some(range) = ranges.get(pickle) else { return Ok(None) };
        let pickle = pickle::read(file, range.clone()).with_context(|| format!("`{prefix}{pickle}`"))?;
        let storages = |key: &str| ranges.get(format!("{folder}/{key}").as_str()).cloned();
        contents(file, &pickle, &storages).map(Some)
    };
    let data = read("data.pkl", "data")?.context("it has no `data.pkl`")?;
    if !ranges.contains_key("constants.pkl") {
        return Ok((Format::Torch, data));
    }
    // A frozen module has its weights in the constants.
    let constants = if data.groups.is_empty() { read("constants.pkl", "constants")? } else { None };
    Ok((Format::Torchscript, constants.unwrap_or(data)))
}

/// The state_dicts of a legacy file.
pub(super) fn read_legacy(file: &Mapped) -> Result<Contents> {
    let (data, ranges) = legacy(file, 0..file.len())?;
    contents(file, &data, &|key: &str| ranges.get(key).cloned())
}

/// A storage that is a legacy file of its own, within a file.
fn storage(file: &Mapped, range: Range<usize>) -> Result<(Kind, Range<usize>)> {
    let (data, ranges) = legacy(file, range).context("a storage")?;
    let Node::Persistent(reference) = data.nodes[data.root] else { bail!("expected a storage") };
    let storage = values(&data).storage(reference)?;
    Ok((storage.kind, ranges.get(storage.key).cloned().context("a storage without its bytes")?))
}

/// Values without their storages.
fn values(pickle: &Pickle) -> Values<'_> {
    Values { pickle, storages: &|_| None, nested: &|_| bail!("a storage within a storage") }
}

/// A legacy file: five pickles in a row, then the storages in the order of the last. The fourth is the data.
fn legacy(file: &Mapped, range: Range<usize>) -> Result<(Pickle, HashMap<String, Range<usize>>)> {
    let mut at = range.start;
    let mut next = |what: &'static str| -> Result<Pickle> {
        let pickle = pickle::read(file, at..range.end).context(what)?;
        at = pickle.end;
        Ok(pickle)
    };
    next("magic number")?;
    let (version, system, data, keys) = (next("version")?, next("system")?, next("data")?, next("keys")?);
    ensure!(
        matches!(version.nodes[version.root], Node::Int(1001)),
        "this version of torch.save's legacy format is not supported; save the file again"
    );
    let little = |(key, value): &(Id, Id)| match (&system.nodes[*key], &system.nodes[*value]) {
        (Node::Str(key, _), Node::Bool(false)) => key != "little_endian",
        _ => true,
    };
    if let Node::Dict(items) = &system.nodes[system.root] {
        ensure!(items.iter().all(little), "written big-endian; save it again on a little-endian machine");
    }
    let values = values(&data);
    let mut kinds = HashMap::new();
    for (id, node) in data.nodes.iter().enumerate() {
        // A reference to a class has a name.
        if let Node::Persistent(reference) = node
            && values.name_of(id).is_empty()
        {
            let storage = values.storage(*reference)?;
            kinds.insert(storage.key, storage.kind);
        }
    }
    let Node::List(keys_in_order) = &keys.nodes[keys.root] else { bail!("expected a list of storages") };
    let mut ranges = HashMap::new();
    for key in keys_in_order {
        let Node::Str(key, _) = &keys.nodes[*key] else { bail!("the key of a storage is not text") };
        let kind = kinds
            .get(key.as_str())
            .with_context(|| format!("storage `{key}` does not belong to a tensor"))?;
        let count = file.read(at..at + 8).with_context(|| format!("storage `{key}`"))?;
        let count = usize::try_from(i64::from_le_bytes(count.as_slice().try_into()?));
        let length = count.ok().and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        let end = length.and_then(|length| (at + 8).checked_add(length)).filter(|&end| end <= range.end);
        let end =
            end.with_context(|| format!("storage `{key}`: the file is truncated, or the length is wrong"))?;
        ranges.insert(key.clone(), at + 8..end);
        at = end;
    }
    Ok((data, ranges))
}
