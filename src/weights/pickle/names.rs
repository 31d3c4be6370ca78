//! The names in a pickle: which of them tensors and plain values need.

use crate::weights::dtype;
use anyhow::{Result, ensure};
use tch::Kind;

/// Upper bound on the length of a Python name with its module.
const MAX_NAME_LENGTH: usize = 256;

/// Plain values, and the functions that make them: nothing that need be said of a file.
const PLAIN: [&str; 30] = [
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.dict",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.set",
    "builtins.slice",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "copyreg._reconstructor",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
    "torch._tensor._rebuild_from_type_v2",
];

/// Whether a name is one of those. All others are classes and functions of somebody's program: they stay names.
pub(in crate::weights) fn is_plain(name: &str) -> bool {
    let of_torch = |name: &str| {
        let function = |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| !rest.contains('.'));
        dtype::of_torch(name).is_some()
            || storage(name).is_some()
            || matches!(
                name,
                "serialization._get_layout" | "storage.TypedStorage" | "storage._load_from_bytes"
            )
            || function("_utils._rebuild_")
            || function("jit._pickle.")
    };
    PLAIN.contains(&name)
        || name.starts_with("__torch__.")
        || name.starts_with("torch.nn.modules.")
        || name.strip_prefix("torch.").is_some_and(of_torch)
}

/// The dtype of a storage by the class after `torch.`; an untyped storage has bytes.
pub(in crate::weights) fn storage(class: &str) -> Option<Kind> {
    if class == "storage.UntypedStorage" || class == "UntypedStorage" {
        return Some(Kind::Uint8);
    }
    dtype::of_storage(class.strip_prefix("cuda.").unwrap_or(class)).map(|dtype| dtype.kind)
}

/// The full name as Python imports it.
pub(super) fn full_name(module: &str, name: &str) -> Result<String> {
    let length = module.len() + name.len();
    ensure!(length <= MAX_NAME_LENGTH, "a name of {length} bytes is too long");
    // Protocols below 3 have Python 2's names of these modules.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        module => module,
    };
    Ok(format!("{module}.{name}"))
}
