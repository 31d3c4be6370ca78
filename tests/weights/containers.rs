//! What people wrap weights in: whole modules, arrays, tuples, shards, objects of other packages; and what is told of
//! files that are not read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use tchvision::Remedy;
use tchvision::weights::{self, Archive, Format, StateFile};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights/containers")
}

fn fixture(name: &str) -> PathBuf {
    folder().join(name)
}

fn message<T>(result: anyhow::Result<T>) -> String {
    let text = format!("{:#}", result.err().expect("an error"));
    assert!(text.lines().count() <= 10, "{text}");
    text
}

fn hex(tensor: &Tensor) -> String {
    let tensor = tensor.contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_container_holds_what_python_reads() {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() > 20);
    for (name, file) in &expected {
        let archive = Archive::open(&fixture(name)).unwrap();
        assert_eq!(serde_json::to_value(archive.format()).unwrap(), file["format"], "{name}");
        for (key, tensors) in file["groups"].as_object().unwrap() {
            let what = format!("{name}: {key}");
            let state = Archive::open(&fixture(name)).unwrap().choose(Some(key)).unwrap();
            let tensors = tensors.as_object().unwrap();
            let mut names: Vec<&str> = state.names().iter().map(String::as_str).collect();
            let mut wanted: Vec<&str> = tensors.keys().map(String::as_str).collect();
            if state.format() == Format::Safetensors {
                names.sort();
                wanted.sort();
            }
            assert_eq!(names, wanted, "{what}");
            for (name, want) in tensors {
                let tensor = state.get(name).unwrap();
                assert_eq!(weights::dtype_name(tensor.kind()), want["dtype"], "{what}: {name}");
                assert_eq!(serde_json::to_value(tensor.size()).unwrap(), want["shape"], "{what}: {name}");
                assert_eq!(hex(&tensor), want["bytes"], "{what}: {name}");
            }
        }
    }
}

#[test]
fn the_only_network_is_chosen_whatever_lies_beside_it() {
    let key = |name: &str| {
        let archive = Archive::open(&fixture(name)).unwrap();
        let first = archive.groups()[0].key.clone();
        let only = archive.choose(None).unwrap();
        let chosen = Archive::open(&fixture(name)).unwrap().choose(Some(&first)).unwrap();
        assert_eq!(only.names(), chosen.names(), "{name}");
        first
    };
    assert_eq!(key("opaque.pth"), "state_dict");
    assert_eq!(key("tuple.pth"), "0");
    assert_eq!(key("deep.pth"), "a.b.1.student");
    assert_eq!(key("module.pth"), ".");
    assert_eq!(key("sparse.pth"), "model");
    assert_eq!(key("twice.pth"), "state_dict");
    let text = message(Archive::open(&fixture("sparse.pth")).unwrap().choose(Some(".")));
    assert!(
        text.contains("2 tensors are not dense, such as `graph`") && text.contains("_rebuild_sparse"),
        "{text}"
    );
    let error = StateFile::open(&fixture("modules.pth")).err().unwrap();
    assert_eq!(error.downcast_ref(), Some(&Remedy::Key));
    let text = error.to_string();
    for part in ["several state_dicts", "`model` (11 tensors)", "`ema` (11 tensors)"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn classes_stay_names() {
    let archive = Archive::open(&fixture("opaque.pth")).unwrap();
    for name in [
        "posix.system",
        "omegaconf.dictconfig.DictConfig",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "mmengine.logging.history_buffer.HistoryBuffer",
        "easydict.EasyDict",
        "datetime.datetime",
        "__main__.Point",
    ] {
        assert!(archive.opaque().contains(name), "{name}: {:?}", archive.opaque());
    }
    assert!(!archive.opaque().iter().any(|name| name.starts_with("torch.") || name.starts_with("numpy.")));
    let classes = |name: &str| {
        let archive = Archive::open(&fixture(name)).unwrap();
        archive.groups().iter().map(|group| group.class.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(classes("modules.pth"), ["__main__.Block", "__main__.Block"]);
    assert_eq!(classes("module1.pth"), ["torch.nn.parallel.data_parallel.DataParallel"]);
    assert_eq!(classes("module_legacy.pth"), ["__main__.Block"]);
}

/// A copy of some fixtures.
fn copies(names: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(fixture(name), copy.path().join(name)).unwrap();
    }
    copy
}

const SHARDS: [&str; 4] = [
    "model.safetensors.index.json",
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
];

#[test]
fn shards_are_one_file() {
    let place = copies(&SHARDS);
    let [index, first, ..] = SHARDS.map(|name| place.path().join(name));
    let whole = StateFile::open(place.path()).unwrap();
    assert_eq!(whole.names(), StateFile::open(&index).unwrap().names());
    assert_eq!(whole.path(), index);
    let text = message(StateFile::open(&first));
    assert!(text.contains("model-00001") && text.contains("a part of") && text.contains(SHARDS[0]), "{text}");

    std::fs::remove_file(place.path().join(SHARDS[2])).unwrap();
    let text = message(StateFile::open(place.path()));
    assert!(text.contains(SHARDS[0]) && text.contains("1 of 3 shards are missing"), "{text}");
    assert!(text.contains(SHARDS[2]), "{text}");

    std::fs::copy(&first, place.path().join(SHARDS[2])).unwrap();
    let text = message(StateFile::open(place.path()));
    assert!(text.contains("both hold `"), "{text}");

    let other = [("other.weight".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu)))];
    weights::save(&place.path().join(SHARDS[2]), &other, HashMap::new()).unwrap();
    let text = message(StateFile::open(place.path()));
    assert!(text.contains("tensors are not in the shards that it names"), "{text}");

    let stray = std::fs::read_to_string(&index).unwrap().replace(SHARDS[3], "../model.safetensors");
    std::fs::write(&index, stray).unwrap();
    assert!(message(StateFile::open(place.path())).contains("is not a file beside it"));
    // Without an index that names it, a shard is a file as any other.
    std::fs::remove_file(&index).unwrap();
    assert!(StateFile::open(&first).is_ok());
    let text = message(StateFile::open(place.path()));
    assert!(text.contains("3 shards without their index; fetch `model.safetensors.index.json`"), "{text}");
}

#[test]
fn a_folder_is_its_only_file_of_weights() {
    let place = copies(&["module.pth"]);
    for other in ["config.json", "training_args.bin", "optimizer.pt", "README.md"] {
        std::fs::write(place.path().join(other), "{}").unwrap();
    }
    let state = StateFile::open(place.path()).unwrap();
    assert_eq!(state.path(), place.path().join("module.pth"));
    std::fs::copy(fixture("deep.pth"), place.path().join("deep.pth")).unwrap();
    let text = message(StateFile::open(place.path()));
    assert!(text.contains("several files of weights; give one of `deep.pth`, `module.pth`"), "{text}");

    let both = copies(&[SHARDS[1]]);
    std::fs::rename(both.path().join(SHARDS[1]), both.path().join("model.safetensors")).unwrap();
    std::fs::copy(fixture("module.pth"), both.path().join("pytorch_model.bin")).unwrap();
    assert_eq!(StateFile::open(both.path()).unwrap().format(), Format::Safetensors);
}

#[test]
fn what_is_not_read_says_what_it_is_and_how_to_export_it() {
    let place = tempfile::tempdir().unwrap();
    let said = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = message(Archive::open(&path));
        assert!(text.contains(name), "{text}");
        std::fs::remove_file(path).unwrap();
        text
    };
    let tar = [vec![b'a'; 257], b"ustar\x0000".to_vec(), vec![0; 300]].concat();
    for (name, bytes, parts) in [
        ("model.h5", b"\x89HDF\r\n\x1a\n".as_slice(), ["HDF5", "numpy.savez"]),
        ("resnet.ckpt.index", b"\x00\x00\x08", ["TensorFlow", "tf.train.load_checkpoint"]),
        ("resnet.ckpt.data-00000-of-00001", &[0; 32], ["TensorFlow", "numpy.savez"]),
        ("saved_model.pb", b"\x08\x01\x12\x80", ["SavedModel", "tf.saved_model.load"]),
        ("resnet.onnx", b"\x08\x08:\x92", ["ONNX", "onnx.numpy_helper"]),
        ("resnet.bin", b"\x08\x07\x12\x07pytorch\x1a", ["ONNX", "onnx.load"]),
        ("a.gz", b"\x1f\x8b\x08", ["gzip", "gunzip"]),
        ("a.tar", &tar, ["a tar", "tar -xf"]),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", ["7z", "unpack"]),
        ("a.xz", b"\xfd7zXZ\0", ["xz", "unxz"]),
        ("a.zst", b"\x28\xb5\x2f\xfd", ["zstd", "unzstd"]),
        ("a.mat", b"MATLAB 5.0 MAT-file", ["MATLAB", "scipy.io.loadmat"]),
        ("flax_model.msgpack", b"\x81\xa6params", ["Flax", "msgpack_restore"]),
        (
            "tree.pkl",
            b"\x80\x04\x8c\x0csklearn.tree\x8c\x04Tree\x93)\x81.",
            ["`sklearn.tree.Tree`", "torch.save"],
        ),
    ] {
        let text = said(name, bytes);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let folder = |names: &[&str]| {
        let place = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| std::fs::write(place.path().join(name), "").unwrap());
        message(Archive::open(place.path()))
    };
    assert!(folder(&[".metadata", "__0_0.distcp"]).contains("dcp_to_torch_save"));
    let zero = ["zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"];
    assert!(folder(&zero).contains("zero_to_fp32.py"));
    assert!(folder(&["saved_model.pb"]).contains("tf.saved_model.load"));
    assert!(folder(&["notes.txt"]).contains("a folder without weights"));
    assert!(message(Archive::open(Path::new("/none"))).contains("cannot be opened"));
}

fn tensors(of: &[(&str, Tensor)]) -> Vec<(String, Tensor)> {
    of.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.copy())).collect()
}

/// What PyTorch's `load_state_dict(strict=True)` takes: a number in a tensor of one, integers as floats.
#[test]
fn counters_of_any_form_load() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.safetensors");
    let load = |has: Tensor| {
        let layer = Tensor::ones([2], (Kind::Float, Device::Cpu));
        let model = tensors(&[("a.steps", Tensor::from(0i64)), ("a.weight", layer.zeros_like())]);
        weights::save(&path, &tensors(&[("a.steps", has), ("a.weight", layer)]), HashMap::new()).unwrap();
        weights::load(&StateFile::open(&path).unwrap().state_dict().unwrap(), &model)?;
        anyhow::Ok(model[0].1.int64_value(&[]))
    };
    assert_eq!(load(Tensor::from(7.0f32)).unwrap(), 7);
    assert_eq!(load(Tensor::from(7.0f32).to_kind(Kind::Half)).unwrap(), 7);
    assert_eq!(load(Tensor::from_slice(&[7i64])).unwrap(), 7);
    assert_eq!(load(Tensor::from_slice(&[7.0f32])).unwrap(), 7);
    assert!(message(load(Tensor::from(7.5f32))).contains("float32, the model's is int64"));
    assert!(message(load(Tensor::from_slice(&[7i64, 8]))).contains("has shape [2]"));
}
