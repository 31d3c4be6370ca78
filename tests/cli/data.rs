//! `tchvision data` and `bench loader` on pictures in files, through the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn tchvision(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tchvision")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// 16 pictures to train on and 2 to test on.
fn write_folder(dir: &Path) {
    let jpeg = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images/large.jpg");
    for (half, count) in [("train", 16), ("val", 2)] {
        for i in 0..count {
            let class = dir.join(half).join(["even", "odd"][i % 2]);
            fs::create_dir_all(&class).unwrap();
            fs::copy(&jpeg, class.join(format!("{i}.jpg"))).unwrap();
        }
    }
}

#[test]
fn inspect_counts_the_pictures_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let name = format!("folder:{}", folder.path().display());
    let output = tchvision(&["data", "inspect", &name, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let want = serde_json::json!({
        "name": name, "classes": ["even", "odd"], "train": 16, "test": 2,
        "train_labels": [8, 8], "test_labels": [1, 1],
    });
    assert_eq!(json, want);
    let output = tchvision(&["data", "inspect", &name]);
    assert!(text(&output.stdout).contains("16 training and 2 test pictures, 2 classes"));

    fs::remove_dir_all(folder.path().join("val")).unwrap();
    let output = tchvision(&["data", "inspect", &name]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(text(&output.stderr).contains("has neither val nor test"), "{}", text(&output.stderr));
    let output = tchvision(&["data", "inspect", "imagenet-21k-goo"]);
    let message = text(&output.stderr);
    assert!(message.contains("did you mean `imagenet-21k-goog`?"), "{message}");
    assert!(text(&tchvision(&["data", "list"]).stdout).contains("imagenet-21k-p-winter21"));
}

/// Sets that nobody fetches by name: what they are, who may have them, and how a copy is opened.
#[test]
fn known_sets_that_are_not_fetched_are_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = folder.path().join("run.yaml");
    fs::write(&yaml, "model: {name: resnet18}\ndata: {dataset: NAME, image_size: 64}\n").unwrap();
    let dataset = |name: &str| format!("data.dataset={name}");
    for (name, parts) in [
        ("jft-3b", ["JFT-3B is closed", "Never released by Google", "`folder:DIR` reads"]),
        ("yfcc100m", ["YFCC100M is open", "AWS bucket multimedia-commons", "`webdataset:DIR`"]),
        ("IG-1B", ["IG-1B-Targeted is closed", "weights list --data ig-1b-targeted", "`list:DIR`"]),
    ] {
        for arguments in [
            &["data", "fetch", name][..],
            &["data", "inspect", name],
            &["train", yaml.to_str().unwrap(), &dataset(name), "--plan"],
        ] {
            let output = tchvision(arguments);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
            assert!(!message.contains("did you mean"), "{arguments:?}: {message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
        }
    }
    for (name, source) in [("imagenet-1k", "image-net.org"), ("imagenet-12k", "timm/imagenet-12k-wds")] {
        let output = tchvision(&["data", "fetch", name]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        let how = format!("`tchvision data inspect {name}`");
        assert!(["on request", source, &how].iter().all(|part| message.contains(part)), "{message}");
    }
}

/// Peers that are not installed are left out and named.
#[test]
fn bench_loader_times_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let dir = folder.path().display().to_string();
    let output = tchvision(&[
        "bench",
        "loader",
        "--folder",
        &dir,
        "--threads",
        "1",
        "--repeats",
        "1",
        "--python",
        "/no/python",
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["threads"], 1);
    let rates = json["images_per_second"].as_object().unwrap();
    assert_eq!(rates.keys().collect::<Vec<_>>(), ["decode_only", "tchvision"]);
    assert!(rates.values().all(|rate| rate.as_f64().unwrap() > 0.0), "{rates:?}");
    let message = text(&output.stderr);
    assert!(message.contains("left out: torchvision_pil") && message.contains("torchvision_v2"), "{message}");
}
