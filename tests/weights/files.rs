//! Weights: every form that files come in, bit for bit as Python reads them; strict loading; names that stay names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};
use tchvision::weights::{self, Archive, StateFile};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name)
}

fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn open(path: &Path) -> anyhow::Result<StateFile> {
    let archive = Archive::open(path)?;
    let nested = archive.groups().iter().any(|group| group.key == "state_dict");
    archive.choose(nested.then_some("state_dict"))
}

/// The values in the order of the shape, as bytes.
fn raw(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message<T>(result: anyhow::Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

#[test]
fn every_form_holds_what_python_reads() {
    for (name, file) in expected() {
        let state = open(&fixture(&name)).unwrap();
        let format = serde_json::to_value(state.format()).unwrap();
        assert_eq!(format, file["format"], "{name}");
        if let Some(shapes) = file.get("shapes") {
            let mut got: Vec<&[i64]> = state.tensors().iter().map(|tensor| tensor.shape.as_slice()).collect();
            got.sort();
            assert_eq!(serde_json::to_value(got).unwrap(), *shapes, "{name}");
            continue;
        }
        let tensors = file["tensors"].as_object().unwrap();
        let mut names: Vec<&str> = state.names().iter().map(String::as_str).collect();
        let mut wanted: Vec<&str> = tensors.keys().map(String::as_str).collect();
        if state.format() == weights::Format::Safetensors {
            names.sort();
            wanted.sort();
        }
        assert_eq!(names, wanted, "{name}");
        for info in state.tensors() {
            let want = &tensors[&info.name];
            let tensor = state.get(&info.name).unwrap();
            let what = format!("{name}: {}", info.name);
            assert_eq!(info.dtype(), want["dtype"], "{what}");
            assert_eq!((&info.shape, info.kind), (&tensor.size(), tensor.kind()), "{what}");
            assert_eq!(serde_json::to_value(tensor.size()).unwrap(), want["shape"], "{what}");
            assert_eq!(hex(&raw(&tensor)), want["bytes"], "{what}");
        }
    }
}

#[test]
fn several_state_dicts_are_chosen_by_key() {
    let path = fixture("several.pth");
    let text = message(StateFile::open(&path));
    for part in ["several state_dicts", "`model` (1 tensors)", "`model_ema`", "`outer.teacher`"] {
        assert!(text.contains(part), "{text}");
    }
    let first = |key| {
        let state = Archive::open(&path).unwrap().choose(Some(key)).unwrap();
        f64::try_from(state.get("w").unwrap().get(0)).unwrap()
    };
    assert_eq!([first("model"), first("model_ema"), first("outer.teacher")], [-1.0, 0.0, -1.0]);
    assert!(
        message(Archive::open(&path).unwrap().choose(Some("student")))
            .contains("no state_dict under `student`")
    );
    // An optimizer's tensors are no state_dict: the only one is chosen without a key.
    for name in ["checkpoint.pth", "checkpoint_legacy.pth"] {
        assert_eq!(StateFile::open(&fixture(name)).unwrap().names()[0], "steps");
    }
}

#[test]
fn what_is_no_file_of_tensors_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |bytes: &[u8]| {
        let path = folder.path().join("weights.pth");
        std::fs::write(&path, bytes).unwrap();
        message(Archive::open(&path))
    };
    assert!(said(b"").contains("empty"));
    assert!(said(b"<!DOCTYPE html>").contains("HTML"));
    assert!(said(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(said(b"\x80\x04N.").contains("a pickle, but not of torch.save"));
    assert!(said(b"PK\x05\x06").contains("no weights of a known format"));
    assert!(said(b"PK\x03\x04").contains("has no directory"));
    assert!(message(Archive::open(&folder.path().join("none"))).contains("cannot be opened"));
}

#[test]
fn tensors_outlive_their_file_and_never_change_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let values = Tensor::arange(4096, (Kind::Float, Device::Cpu));
    weights::save(&path, &[("w".to_owned(), values.copy())], HashMap::new()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = StateFile::open(&path).unwrap();
    let mut kept = file.get("w").unwrap().shallow_clone();
    let half = file.get("w").unwrap().narrow(0, 2048, 2048);
    drop(file);
    std::fs::remove_file(&path).unwrap();
    assert!(kept.equal(&values) && half.equal(&values.narrow(0, 2048, 2048)));

    std::fs::write(&path, &bytes).unwrap();
    let file = StateFile::open(&path).unwrap();
    let mut view = file.get("w").unwrap().shallow_clone();
    let _filled = view.fill_(7.0);
    assert!(view.eq(7.0).all().int64_value(&[]) == 1 && std::fs::read(&path).unwrap() == bytes);
    let _filled = kept.fill_(7.0);

    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    assert!(message(file.get("w")).contains("truncated since it was opened"));
}

/// A legacy file around one pickle of data: the simplest form to write by hand.
fn legacy(data: &[u8]) -> Vec<u8> {
    let head: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [head, b"\x80\x02", data, b".\x80\x02]."].concat()
}

fn open_bytes(bytes: &[u8]) -> anyhow::Result<StateFile> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let state = open(file.path())?;
    for name in state.names() {
        let tensor = state.get(name)?;
        drop(raw(&tensor));
    }
    Ok(state)
}

#[test]
fn names_that_no_state_dict_needs_are_told() {
    let evil = [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch._utils", "os.system"),
        ("torchvision.models.resnet", "ResNet"),
    ];
    for (module, name) in evil {
        let short = |text: &str| [b"\x8c".as_slice(), &[text.len() as u8], text.as_bytes()].concat();
        let plain = format!("(X\x04\0\0\0argsc{module}\n{name}\n(X\x02\0\0\0ls");
        let stacked = [short(module), short(name)].concat();
        let calls = [
            [b"}", plain.as_bytes(), b"tRu"].concat(),
            [b"}", short("args").as_slice(), &stacked, b"\x93)Rs"].concat(),
        ];
        for data in calls {
            let text = message(open_bytes(&legacy(&data)));
            assert!(text.contains(&format!("no tensors under names; it names `{module}.{name}`")), "{text}");
        }
    }
}

/// Each must end in an error, at once and in little memory.
#[test]
fn bombs_are_refused() {
    let started = Instant::now();
    // Sixty modules, each with the next one twice: 2^60 names.
    let mut nested = Vec::new();
    nested.extend(b"c__torch__\nM\nq\x00)\x81}b");
    for _ in 0..60 {
        nested.extend(b"q\x01h\x00)\x81}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01ub");
    }
    let text = message(open_bytes(&legacy(&nested)));
    assert!(text.contains("more than 200000 values"), "{text}");
    // A chain of modules, deeper than any stack should go.
    let mut chain = b"c__torch__\nM\nq\x00)\x81}b".to_vec();
    for _ in 0..100_000 {
        chain.extend(b"q\x01h\x00)\x81}X\x01\0\0\0ah\x01sb");
    }
    let text = message(open_bytes(&legacy(&chain)));
    assert!(text.contains("64 deep"), "{text}");
    // Lists in lists, and one list of more items than any.
    let deep = [vec![b']'; 100_000], vec![b'a'; 99_999]].concat();
    assert!(message(open_bytes(&legacy(&deep))).contains("no tensors"));
    let text = message(open_bytes(&legacy(&vec![b'N'; 6_000_000])));
    assert!(text.contains("opcodes"), "{text}");
    // A dict that holds itself.
    assert!(message(open_bytes(&legacy(b"}q\x00X\x01\0\0\0ah\x00s"))).contains("no tensors"));
    // A name that grows with every use.
    let long = [b"X\xff\xff\x00\x00".as_slice(), &[b'm'; 0xffff], b"q\x00h\x00\x93"].concat();
    assert!(message(open_bytes(&legacy(&long))).contains("a name of 65535 bytes"));
    // A member that claims a thousand times a thousand of what it can hold.
    let mut packed = std::fs::read(fixture("packed.npz")).unwrap();
    let entry = packed.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    packed[entry + 24..entry + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let text = message(open_bytes(&packed));
    assert!(text.contains("claims 2147483647 bytes"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ";
    let file = |rest: &str| {
        let data = format!("}}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n({storage}{rest}\u{89}}}tRs");
        let bytes: Vec<u8> = data.chars().map(|c| c as u8).collect();
        let mut file = legacy(&bytes);
        file.truncate(file.len() - 4);
        [file.as_slice(), b"\x80\x02]X\x01\0\0\x000a.", &4u64.to_le_bytes(), &[0; 16]].concat()
    };
    assert_eq!(open_bytes(&file("K\x00(K\x02K\x02t(K\x02K\x01t")).unwrap().tensors()[0].shape, [2, 2]);
    assert_eq!(open_bytes(&file("K\x04(K\x00t(K\x01t")).unwrap().tensors()[0].shape, [0]);
    let wrong = [
        "K\x01(K\x02K\x02t(K\x02K\x01t",
        "K\x00(K\x05t(K\x01t",
        "K\x00(K\x02t(K\x04t",
        "J\u{ff}\u{ff}\u{ff}\u{ff}(K\x02t(K\x01t",
        "K\x00(J\u{ff}\u{ff}\u{ff}\u{ff}t(K\x01t",
        "K\x00(K\x02t(J\u{ff}\u{ff}\u{ff}\u{ff}t",
        "K\x00(K\x02K\x02t(K\x01t",
        "\u{8a}\x08\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}\x7f(K\x02t(K\x01t",
        "K\x00(J\u{ff}\u{ff}\u{ff}\x7fJ\u{ff}\u{ff}\u{ff}\x7fJ\u{ff}\u{ff}\u{ff}\x7ft(K\x00K\x00K\x00t",
    ];
    for rest in wrong {
        let text = message(open_bytes(&file(rest)));
        assert!(text.contains("tensor `a`"), "{text}");
    }
}

fn model(tensors: &[(&str, &Tensor)]) -> Vec<(String, Tensor)> {
    tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.copy())).collect()
}

#[test]
fn loading_is_strict_and_whole_or_not_at_all() {
    let file = StateFile::open(&fixture("net.pth")).unwrap();
    let own: HashMap<&str, Tensor> =
        file.names().iter().map(|name| (name.as_str(), file.get(name).unwrap().zeros_like())).collect();
    let named = |change: &dyn Fn(&mut HashMap<&str, Tensor>)| {
        let mut tensors = own.iter().map(|(name, tensor)| (*name, tensor.copy())).collect();
        change(&mut tensors);
        model(&tensors.iter().map(|(name, tensor)| (*name, tensor)).collect::<Vec<_>>())
    };
    let state = file.state_dict().unwrap();
    // The model's dtype and memory order win.
    let half = named(&|t| drop(t.insert("bn.weight", Tensor::zeros([2], (Kind::Half, Device::Cpu)))));
    weights::load(&state, &half).unwrap();
    for (name, tensor) in &half {
        let want = file.get(name).unwrap().to_kind(tensor.kind());
        assert_eq!(*tensor, want, "{name}");
    }
    // All differences in one message, and nothing written.
    let wrong = named(&|t| {
        t.insert("extra.weight", Tensor::zeros([1], (Kind::Float, Device::Cpu)));
        t.insert("bn.bias", Tensor::zeros([1], (Kind::Float, Device::Cpu)));
        t.insert("head.1.bias", Tensor::zeros([3], (Kind::Int64, Device::Cpu)));
        t.remove("conv.weight");
    });
    let differences = weights::compare(&state, &wrong);
    assert_eq!(differences.missing, ["extra.weight"]);
    assert_eq!(differences.unexpected, ["conv.weight"]);
    assert_eq!(differences.unlike.len(), 2);
    let text = message(weights::load(&state, &wrong));
    for part in [
        "net.pth",
        "missing `extra.weight`",
        "unexpected `conv.weight`",
        "`bn.bias` has shape [2], the model's is [1]",
        "`head.1.bias` is float32, the model's is int64",
    ] {
        assert!(text.contains(part), "{text}");
    }
    for (name, tensor) in &wrong {
        assert_eq!(tensor.abs().sum(Kind::Double).double_value(&[]), 0.0, "{name} was written");
    }
    // Counts of batches are new since PyTorch 0.4.1: an older file has none, and they start at zero.
    let counter = named(&|t| {
        t.insert("other.num_batches_tracked", Tensor::from(7i64));
    });
    weights::load(&state, &counter).unwrap();
    let (_, count) = counter.iter().find(|(name, _)| name == "other.num_batches_tracked").unwrap();
    assert_eq!(count.int64_value(&[]), 0);
}
