//! Files of weights that are not read here: what they are, and how to export them.

use super::info::Group;
use super::zip::Member;
use std::path::Path;

/// How many bytes tell what a file is: a tar says so late.
pub(super) const START: usize = 512;

const HDF5: &str = "HDF5, as Keras writes; in Python, load the model and write its arrays: \
                    `numpy.savez(\"weights.npz\", **{v.path: v.numpy() for v in model.weights})`";
const MATLAB: &str = "a MATLAB file; in Python, write the arrays of `scipy.io.loadmat` (MATLAB 7.3: `h5py.File`) with \
                      `numpy.savez`";
const TENSORFLOW: &str = "a part of TensorFlow's checkpoint; in Python, `r = tf.train.load_checkpoint(FOLDER)` and \
                          `numpy.savez(\"weights.npz\", **{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})`";
const SAVED_MODEL: &str = "TensorFlow's SavedModel; in Python, `m = tf.saved_model.load(FOLDER)` and `numpy.savez(\"weights.npz\", \
     **{v.name: v.numpy() for v in m.variables})`";
const ONNX: &str = "ONNX; in Python, `numpy.savez(\"weights.npz\", **{t.name: onnx.numpy_helper.to_array(t) for t in \
                    onnx.load(FILE).graph.initializer})`";
const FLAX: &str = "Flax's msgpack; in Python, `flax.serialization.msgpack_restore` it and write the arrays with \
                    `safetensors.flax.save_file`";
const UNKNOWN: &str = "no weights of a known format: safetensors, torch.save, TorchScript, .npz, .npy or a pickle of NumPy's \
                       arrays";

/// What the bytes at a place of a file say.
const BYTES: [(usize, &[u8], &str); 16] = [
    (0, b"MATLAB", MATLAB),
    (0, b"\x89HDF", HDF5),
    (0, b"<", "HTML or XML, not weights: most likely the error page of a server"),
    (0, b"version https://git-lfs", "a git-lfs pointer in place of the file; `git lfs pull`"),
    (0, b"\x1f\x8b", "packed by gzip; unpack it first: `gunzip`"),
    (0, b"BZh", "packed by bzip2; unpack it first: `bunzip2`"),
    (0, b"\xfd7zXZ\0", "packed by xz; unpack it first: `unxz`"),
    (0, b"\x28\xb5\x2f\xfd", "packed by zstd; unpack it first: `unzstd`"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first: `7z x`"),
    (0, b"Rar!", "a RAR archive; unpack it first: `unrar x`"),
    (257, b"ustar", "a tar archive; unpack it first: `tar -xf`"),
    (0, b"GGUF", "GGUF, quantized; take the safetensors that it was made of"),
    (4, b"TFL3", "TensorFlow Lite; write the arrays of the model that it was made of with `numpy.savez`"),
    (
        0,
        b"\x12\x01\0\0\0\0\0\0",
        "parameters of MXNet; in Python, write the arrays of `mxnet.nd.load` with `numpy.savez`",
    ),
    (0, b"{", "JSON, not weights; give the file of weights or its folder"),
    // The protobuf of an ONNX model begins with its version and its producer.
    (2, b"\x12\x07pytorch", ONNX),
];

/// What the end of a file's name says, where its bytes say nothing.
const NAMES: [(&str, &str); 11] = [
    (".onnx", ONNX),
    ("saved_model.pb", SAVED_MODEL),
    (".pb", SAVED_MODEL),
    (".index", TENSORFLOW),
    (".data-00000-of-00001", TENSORFLOW),
    (".meta", TENSORFLOW),
    (".ckpt", TENSORFLOW),
    (".h5", HDF5),
    (".keras", HDF5),
    (".mat", MATLAB),
    (".msgpack", FLAX),
];

/// What a file is, by its first bytes and its name.
pub(super) fn file(path: &Path, start: &[u8]) -> &'static str {
    if start.is_empty() {
        return "empty; fetch or write it again";
    }
    let bytes =
        |(at, bytes, _): &&(usize, &[u8], &str)| start.get(*at..).is_some_and(|s| s.starts_with(bytes));
    let known = BYTES.iter().find(bytes).map(|(_, _, what)| *what);
    known.or_else(|| named(path)).unwrap_or(UNKNOWN)
}

fn named(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    NAMES.iter().find(|(end, _)| name.ends_with(end)).map(|(_, what)| *what)
}

/// What a zip is that holds neither tensors nor arrays.
pub(super) fn zip(members: &[Member]) -> &'static str {
    let has = |end: &str| members.iter().any(|member| member.name.ends_with(end));
    if has(".weights.h5") {
        return "Keras; in Python, `m = keras.models.load_model(FILE)` and `numpy.savez(\"weights.npz\", **{v.path: v.numpy() \
                for v in m.weights})`";
    }
    if has(".pth") || has(".safetensors") || has(".bin") || has(".pt") {
        return "a zip around files of weights; unpack it first: `unzip`";
    }
    "a zip, but neither of torch.save nor of numpy.savez"
}

/// What a folder without a file of weights is.
pub(super) fn folder(names: &[String]) -> &'static str {
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    let kinds = [
        (
            ".distcp",
            "a checkpoint of torch.distributed; in Python, \
             `torch.distributed.checkpoint.format_utils.dcp_to_torch_save(FOLDER, \"weights.pth\")`",
        ),
        (
            "_model_states.pt",
            "a checkpoint of DeepSpeed; `python zero_to_fp32.py . weights`, with the script beside it",
        ),
        ("saved_model.pb", SAVED_MODEL),
        (".data-00000-of-00001", TENSORFLOW),
        (".msgpack", FLAX),
        (".h5", HDF5),
        (".onnx", ONNX),
    ];
    let known = kinds.into_iter().find(|(end, _)| has(end)).map(|(_, what)| what);
    known.unwrap_or("a folder without weights: no .safetensors, .bin, .pth, .pt, .ckpt, .npz or .npy")
}

/// What tensors are that cannot be loaded alone, though they are read.
pub(super) fn tensors(group: &Group) -> Option<&'static str> {
    let named = |end: &str| group.tensors.iter().any(|tensor| tensor.name.rsplit('.').next() == Some(end));
    if named("_flat_param") || named("flat_param") {
        return Some(
            "FSDP's flattened parameters, of one rank; save them with `StateDictType.FULL_STATE_DICT`, or \
             `torch.distributed.checkpoint.state_dict.get_model_state_dict(model, \
             options=StateDictOptions(full_state_dict=True))`",
        );
    }
    if group
        .key
        .split('.')
        .any(|key| key.contains("fp32_flat_groups") || key.contains("single_partition_of_fp32"))
    {
        return Some(
            "DeepSpeed's share of one rank; `python zero_to_fp32.py . weights` in the checkpoint's folder",
        );
    }
    let empty = |shape: &[i64]| shape.contains(&0);
    let parameters = || group.tensors.iter().filter(|tensor| tensor.name.ends_with("weight"));
    if parameters().count() > 1 && parameters().all(|tensor| empty(&tensor.shape)) {
        return Some(
            "DeepSpeed's ZeRO-3 left its weights in `*_optim_states.pt`; `python zero_to_fp32.py . weights` in the \
             checkpoint's folder",
        );
    }
    None
}
