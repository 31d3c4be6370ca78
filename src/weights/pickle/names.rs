//! What a pickle may name: all that `torch.save` needs for tensors, and plain values beside them.

use crate::weights::dtype;
use anyhow::{Result, ensure};
use tch::Kind;

/// No module and no name of Python is longer.
const LONGEST_NAME: usize = 256;

/// Names that checkpoints have beside their tensors: containers, settings and plain values, kept as inert nodes.
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

/// Whether a pickle may have this name. All are inert here; the list keeps files honest that others might execute.
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

/// The dtype of a storage by the class after `torch.`; an untyped storage counts bytes.
pub(in crate::weights) fn storage(class: &str) -> Option<Kind> {
    if class == "storage.UntypedStorage" || class == "UntypedStorage" {
        return Some(Kind::Uint8);
    }
    dtype::of_storage(class.strip_prefix("cuda.").unwrap_or(class)).map(|dtype| dtype.kind)
}

/// The name as Python imports it, if a file of tensors may have it.
pub(super) fn full_name(module: &str, name: &str) -> Result<String> {
    ensure!(module.len() + name.len() <= LONGEST_NAME, "a name of {} bytes", module.len() + name.len());
    // Protocols before 3 have Python 2's names of these modules.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        module => module,
    };
    let full = format!("{module}.{name}");
    ensure!(
        allowed(&full),
        "the file names `{full}`, which no state_dict needs; it is not executed, and the file not read. Save \
         `model.state_dict()` alone"
    );
    Ok(full)
}
