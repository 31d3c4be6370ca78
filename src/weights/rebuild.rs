//! The tensors among the values of a pickle: PyTorch's, by the arguments of its `torch._utils._rebuild_*` functions, and
//! NumPy's arrays.
//!
//! A tensor refers to a storage, with an offset, a shape and strides; several may share a storage. An array has its
//! bytes in the pickle itself.

use super::dtype;
use super::info::{Bytes, MAX_DIMENSIONS, Packing, TensorInfo};
use super::pickle::{self, Coding, Id, Node, Pickle, Raw};
use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;
use tch::Kind;

/// The function that Python's own `pickle` calls for a storage.
const LOADED: &str = "torch.storage._load_from_bytes";
/// Maximum depth of wrapped tensors; a parameter of a Python subclass of Tensor is wrapped twice.
const MAX_WRAPPER_DEPTH: usize = 4;

/// A reference to a storage.
pub(super) struct Storage<'a> {
    pub kind: Kind,
    pub key: &'a str,
    /// Elements before the first, for the storage views that PyTorch 0.3 wrote.
    skip: i64,
}

/// The values of a pickle, and where its storages are in the file.
pub(super) struct Values<'a> {
    pub pickle: &'a Pickle,
    pub storages: &'a dyn Fn(&str) -> Option<Range<usize>>,
    /// The dtype and the place of a storage in bytes of the pickle, as Python's own `pickle` keeps it.
    pub nested: &'a dyn Fn(Range<usize>) -> Result<(Kind, Range<usize>)>,
}

impl<'a> Values<'a> {
    pub fn node(&self, id: Id) -> &'a Node {
        &self.pickle.nodes[id]
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.node(id) {
            Node::Str(text, _) => Some(text),
            _ => None,
        }
    }

    /// The name of a function or a class; PyTorch before 1.6 saved the source of a module's class with it.
    pub fn name_of(&self, callee: Id) -> &'a str {
        match self.node(callee) {
            Node::Global(name) => name,
            Node::Persistent(id) => match self.list(*id) {
                [what, class, ..] if self.text(*what) == Some("module") => match self.node(*class) {
                    Node::Global(name) => name,
                    _ => "",
                },
                _ => "",
            },
            _ => "",
        }
    }

    /// The items of a tuple or a list, such as the arguments of a call.
    pub fn list(&self, id: Id) -> &'a [Id] {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => items,
            _ => &[],
        }
    }

    fn int(&self, id: Id) -> Result<i64> {
        match self.node(id) {
            Node::Int(n) => Ok(*n),
            _ => bail!("expected an integer"),
        }
    }

    fn ints(&self, id: Id) -> Result<Vec<i64>> {
        let items = match self.node(id) {
            // `torch.Size((2, 3))`
            Node::Call { args, .. } => self.list(*args).first().map_or(&[][..], |id| self.list(*id)),
            _ => self.list(id),
        };
        ensure!(items.len() <= MAX_DIMENSIONS, "{} dimensions", items.len());
        items.iter().map(|id| self.int(*id)).collect()
    }

    /// The function that makes a tensor of any kind, also of those that [`Self::tensor`] does not read.
    pub fn maker(&self, id: Id) -> Option<&'a str> {
        let Node::Call { callee, .. } = self.node(id) else { return None };
        let name = self.name_of(*callee);
        let makes =
            name.starts_with("torch._utils._rebuild_") || name == "torch._tensor._rebuild_from_type_v2";
        makes.then_some(name)
    }

    /// The tensor of a value; `None` if it is not a tensor or of another kind: sparse, quantized, on the meta device.
    ///
    /// # Errors
    /// A tensor that is damaged.
    pub fn tensor(&self, name: &str, id: Id) -> Result<Option<TensorInfo>> {
        self.wrapped(name, id, 0)
    }

    fn wrapped(&self, name: &str, id: Id, depth: usize) -> Result<Option<TensorInfo>> {
        match self.node(id) {
            Node::Call { callee, args, state, .. } => match self.name_of(*callee) {
                "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
                    let state = state.map_or(&[][..], |state| self.list(state));
                    let [_, shape, dtype, fortran, data] = state else { return Ok(None) };
                    let fortran = matches!(self.node(*fortran), Node::Bool(true) | Node::Int(1));
                    self.array(name, *shape, *dtype, fortran, *data)
                }
                "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => {
                    let [data, dtype, shape, order] = self.list(*args) else { return Ok(None) };
                    self.array(name, *shape, *dtype, self.text(*order) == Some("F"), *data)
                }
                callee => self.rebuilt(name, callee, self.list(*args), depth),
            },
            _ => Ok(None),
        }
    }

    /// The tensor that a call of a rebuild function would return.
    fn rebuilt(&self, name: &str, callee: &str, args: &[Id], depth: usize) -> Result<Option<TensorInfo>> {
        ensure!(depth < MAX_WRAPPER_DEPTH, "a tensor is wrapped {depth} times");
        match (callee.strip_prefix("torch.").unwrap_or_default(), args) {
            ("_utils._rebuild_tensor", [storage, offset, shape, strides])
            | ("_utils._rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
                let (kind, range, skip) = self.stored(*storage)?;
                let tensor = self.strided(name, kind, range, skip, [*offset, *shape, *strides])?;
                Ok(Some(self.with_bits(tensor, args.get(6))))
            }
            ("_utils._rebuild_tensor_v3", [storage, offset, shape, strides, _, _, dtype, ..]) => {
                let dtype_name = self.name_of(*dtype).strip_prefix("torch.").unwrap_or_default();
                let dtype =
                    dtype::of_torch(dtype_name).with_context(|| format!("unknown dtype `{dtype_name}`"))?;
                let (_, range, skip) = self.stored(*storage)?;
                let tensor = self.strided(name, dtype.kind, range, skip, [*offset, *shape, *strides])?;
                Ok(Some(self.with_bits(tensor, args.get(7))))
            }
            ("_utils._rebuild_parameter" | "_utils._rebuild_parameter_with_state", [data, ..]) => {
                self.wrapped(name, *data, depth + 1)
            }
            // (function, type, arguments, attributes): read as a plain tensor.
            ("_tensor._rebuild_from_type_v2", [function, _, args, ..]) => {
                self.rebuilt(name, self.name_of(*function), self.list(*args), depth + 1)
            }
            _ => Ok(None),
        }
    }

    /// A tensor with PyTorch's negative and conjugate bits, which it saves beside the stored numbers.
    fn with_bits(&self, tensor: TensorInfo, metadata: Option<&Id>) -> TensorInfo {
        let set = |bit: &str| match metadata.map(|id| self.node(*id)) {
            Some(Node::Dict(items)) => items.iter().any(|(key, value)| {
                self.text(*key) == Some(bit) && matches!(self.node(*value), Node::Bool(true))
            }),
            _ => false,
        };
        TensorInfo { negative: set("neg"), conjugate: set("conj"), ..tensor }
    }

    fn strided(
        &self,
        name: &str,
        kind: Kind,
        storage: Range<usize>,
        skip: i64,
        [offset, shape, strides]: [Id; 3],
    ) -> Result<TensorInfo> {
        let offset = self.int(offset)?.checked_add(skip).context("an offset overflows")?;
        TensorInfo::strided(name, kind, self.ints(shape)?, self.ints(strides)?, storage, offset)
    }

    /// The dtype of a storage, its bytes, and the elements before its first.
    fn stored(&self, id: Id) -> Result<(Kind, Range<usize>, i64)> {
        match self.node(id) {
            Node::Persistent(reference) => {
                let Storage { kind, key, skip } = self.storage(*reference)?;
                let range = (self.storages)(key);
                Ok((kind, range.with_context(|| format!("storage `{key}` is not in the file"))?, skip))
            }
            Node::Call { callee, args, .. } if self.name_of(*callee) == LOADED => {
                let bytes = self.list(*args).first().and_then(|bytes| self.payload(*bytes));
                match bytes {
                    Some(Raw { range, coding: Coding::Plain }) => {
                        let (kind, range) = (self.nested)(range)?;
                        Ok((kind, range, 0))
                    }
                    _ => bail!("a storage written as text; save with torch.save, or pickle's protocol 4"),
                }
            }
            _ => bail!("expected a storage"),
        }
    }

    /// Reads `("storage", class, key, device, elements)`; legacy files add None or `(view, offset, count)`.
    pub fn storage(&self, id: Id) -> Result<Storage<'a>> {
        let [_, class, key, _, _, view @ ..] = self.list(id) else { bail!("expected a storage reference") };
        let class = self.name_of(*class).strip_prefix("torch.").unwrap_or_default();
        let kind = pickle::storage(class).with_context(|| format!("unknown storage class `{class}`"))?;
        let key = self.text(*key).context("the key of a storage is not text")?;
        let skip = match view.first().map(|view| self.list(*view)) {
            Some([_, offset, _]) => self.int(*offset)?,
            _ => 0,
        };
        Ok(Storage { kind, key, skip })
    }

    /// An array of NumPy; `None` for arrays of text, dates and objects.
    fn array(&self, name: &str, shape: Id, dtype: Id, fortran: bool, data: Id) -> Result<Option<TensorInfo>> {
        let Node::Call { callee, args, state, .. } = self.node(dtype) else { return Ok(None) };
        let code = self.list(*args).first().and_then(|code| self.text(*code));
        let (Some(code), "numpy.dtype") = (code, self.name_of(*callee)) else { return Ok(None) };
        let Some(dtype) = dtype::of_numpy(code) else { return Ok(None) };
        let order = state.and_then(|state| self.list(state).get(1)).and_then(|order| self.text(*order));
        ensure!(order != Some(">"), "a big-endian array; convert it with `astype`");
        let shape = self.ints(shape)?;
        let item = dtype.kind.elt_size_in_bytes();
        let length = shape.iter().try_fold(item, |all, n| all.checked_mul(usize::try_from(*n).ok()?));
        let length = length.context("a shape that overflows")?;
        let Raw { range, coding } = self.payload(data).context("an array without its bytes")?;
        let (bytes, length) = match coding {
            Coding::Plain => (Bytes::Stored(range.clone()), range.len()),
            _ => (Bytes::Packed { packing: Packing::Text(coding), packed: range, skip: 0, length }, length),
        };
        TensorInfo::dense(name, dtype.kind, shape, fortran, bytes, length).map(Some)
    }

    /// Bytes, in any of Python's ways to pickle them: `bytearray(_codecs.encode("text", "latin1"))` is the deepest.
    fn payload(&self, mut id: Id) -> Option<Raw> {
        for _ in 0..3 {
            match self.node(id) {
                Node::Bytes(raw) | Node::Str(_, raw) => return Some(raw.clone()),
                Node::Call { callee, args, .. } => match (self.name_of(*callee), self.list(*args)) {
                    ("builtins.bytes" | "builtins.bytearray", []) => {
                        return Some(Raw { range: 0..0, coding: Coding::Plain });
                    }
                    ("_codecs.encode" | "builtins.bytes" | "builtins.bytearray", [inner, ..]) => id = *inner,
                    _ => return None,
                },
                _ => return None,
            }
        }
        None
    }
}
