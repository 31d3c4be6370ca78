//! The names allowed in a pickle: those that `torch.save` needs for tensors, and plain values.

use crate::weights::dtype;
use anyhow::{Result, ensure};
use tch::Kind;

/// Upper bound on the length of a Python name with its module.
const MAX_NAME_LENGTH: usize = 256;

/// Names in checkpoints besides tensors: containers, settings and plain values, read as inert nodes.
const PLAIN: [&str; 35] = [
    "_codecs.encode",
    "argparse.Namespace",
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
    "fractions.Fraction",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
    "yacs.config.CfgNode",
];

/// Whether a name is allowed. Nothing is executed here; the list rejects files that other programs might run.
fn allowed(name: &str) -> bool {
    if PLAIN.contains(&name) || name.starts_with("__torch__.") {
        return true;
    }
    let Some(name) = name.strip_prefix("torch.") else { return false };
    let function = |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| !rest.contains('.'));
    dtype::of_torch(name).is_some()
        || storage(name).is_some()
        || matches!(
            name,
            "_tensor._rebuild_from_type_v2" | "serialization._get_layout" | "storage.TypedStorage"
        )
        || function("_utils._rebuild_")
        || function("jit._pickle.")
}

/// The dtype of a storage by the class after `torch.`; an untyped storage has bytes.
pub(in crate::weights) fn storage(class: &str) -> Option<Kind> {
    if class == "storage.UntypedStorage" || class == "UntypedStorage" {
        return Some(Kind::Uint8);
    }
    dtype::of_storage(class.strip_prefix("cuda.").unwrap_or(class)).map(|dtype| dtype.kind)
}

/// The full name as Python imports it, if it is allowed.
pub(super) fn full_name(module: &str, name: &str) -> Result<String> {
    let length = module.len() + name.len();
    ensure!(length <= MAX_NAME_LENGTH, "a name of {length} bytes is too long");
    // Protocols below 3 have Python 2's names of these modules.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        module => module,
    };
    let full = format!("{module}.{name}");
    ensure!(
        allowed(&full),
        "the file names `{full}`, which a state_dict does not need; nothing is executed, and the file is not \
         read. Save only `model.state_dict()`"
    );
    Ok(full)
}
