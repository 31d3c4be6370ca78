//! `weights/import`: the verbs in a row, a manifest, and going on where it stopped.
//!
//! The script runs a stand-in that lists as the program does, and copies where the program would convert.

use crate::common::{fill, images};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tch::Device;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights;

const STAND_IN: &str = r#"#!/bin/sh
case "$1 $2" in
"weights list") exec PROGRAM "$@" ;;
"weights convert") [ "$4" = --model ] && [ "$6" = --to ] && cp "$3" "$7" && echo "$5" >>"$(dirname "$0")/converted" ;;
"weights verify") [ -f "$8" ] && [ "$(cat "$8")" = right ] ;;
*) exit 1 ;;
esac
"#;

fn import(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let program = folder.join("tchvision");
    fs::write(&program, STAND_IN.replace("PROGRAM", env!("CARGO_BIN_EXE_tchvision"))).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/import");
    let Output { status, stderr, .. } = Command::new("bash")
        .arg(script)
        .args(["--to", "out", "--from", "local"])
        .args(arguments)
        .env("TCHVISION", &program)
        .current_dir(folder)
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn weights_are_imported_once_and_failures_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("local")).unwrap();
    fs::create_dir(at("references")).unwrap();
    fs::write(at("local/alexnet.IMAGENET1K_V1.pth"), "alex").unwrap();
    fs::write(at("local/resnet50.a1_in1k.safetensors"), "a1").unwrap();
    fs::write(at("references/resnet50.a1_in1k.reference.safetensors"), "right").unwrap();
    let wanted = ["--references", "references", "alexnet", "timm/resnet50.a1_in1k", "timm/resnet18"];

    let (code, said) = import(folder.path(), &wanted);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("local has no file resnet18.a1_in1k.*"), "{said}");
    assert!(said.contains("failed: timm/resnet18.a1_in1k;"), "{said}");
    let manifest = fs::read_to_string(at("out/manifest.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = manifest.lines().map(|line| line.split('\t').collect()).collect();
    let named = |row: &Vec<&str>| [row[0].to_owned(), row[1].to_owned(), row[3].to_owned()];
    assert_eq!(
        rows.iter().map(named).collect::<Vec<_>>(),
        [
            ["torchvision/alexnet.IMAGENET1K_V1", "alexnet.IMAGENET1K_V1.safetensors", "unverified"],
            ["timm/resnet50.a1_in1k", "resnet50.a1_in1k.safetensors", "verified"],
        ]
    );
    assert_eq!(fs::read_to_string(at("out").join(rows[0][1])).unwrap(), "alex");

    // What is there is kept, what was missing is imported, what was damaged is imported again.
    fs::write(at("local/resnet18.a1_in1k.safetensors"), "18").unwrap();
    fs::write(at("out").join(rows[0][1]), "damaged").unwrap();
    let (code, said) = import(folder.path(), &wanted);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("timm/resnet50.a1_in1k: already imported"), "{said}");
    let converted = fs::read_to_string(at("converted")).unwrap();
    let alexnet = "torchvision/alexnet.IMAGENET1K_V1";
    let models = [alexnet, "timm/resnet50.a1_in1k", alexnet, "timm/resnet18.a1_in1k"];
    assert_eq!(converted.lines().collect::<Vec<_>>(), models);
    assert_eq!(fs::read_to_string(at("out/manifest.tsv")).unwrap().lines().count(), 3);
}

#[test]
fn weights_that_do_not_verify_are_not_in_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("local")).unwrap();
    fs::write(folder.path().join("local/alexnet.IMAGENET1K_V1.pth"), "alex").unwrap();
    fs::write(folder.path().join("local/alexnet.IMAGENET1K_V1.reference.safetensors"), "wrong").unwrap();
    let (code, said) = import(folder.path(), &["--references", "local", "alexnet"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("out/manifest.tsv")).unwrap(), "");
}

/// In a checkout whose program is built and not installed.
#[test]
fn the_program_of_the_checkout_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("weights")).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/import"), at("weights/import")).unwrap();
    let run = || {
        Command::new(at("weights/import"))
            .args(["--to", "out", "no-such-model"])
            .env_remove("TCHVISION")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let out = run();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2));
    assert!(said.contains("build it with `make build`, or set TCHVISION"), "{said}");
    fs::create_dir_all(at("target/release")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tchvision"), at("target/release/tchvision")).unwrap();
    let out = run();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("no-such-model"), "{said}");
}

#[test]
fn wrong_usage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["--family"], &["--fast"], &["--family", "ResNot"], &["resnet5O"]] {
        let (code, said) = import(folder.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
}

/// The program itself, on a family of files as torchvision's are.
#[test]
fn a_family_is_converted_and_verified_and_nothing_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    fs::create_dir(&local).unwrap();
    for model in ["squeezenet1_0", "squeezenet1_1"] {
        let store = Store::new(Device::Cpu);
        let network = ModelSpec::new(model).resolve().unwrap().build(&store).unwrap();
        fill(&store);
        let place = |rest: &str| local.join(format!("{model}.IMAGENET1K_V1.{rest}"));
        weights::save(&place("safetensors"), &store.state_dict(), HashMap::new()).unwrap();
        let input = images("import", &[1, 3, 64, 64]);
        let logits = tch::no_grad(|| network.forward(&input, false)).unwrap();
        let reference = [("input".to_owned(), input), ("logits".to_owned(), logits)];
        weights::save(&place("reference.safetensors"), &reference, HashMap::new()).unwrap();
    }
    let import = || {
        let Output { status, stderr, .. } = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/import"))
            .args(["--to", "out", "--from", "local", "--references", "local", "--family", "SqueezeNet"])
            .env("TCHVISION", env!("CARGO_BIN_EXE_tchvision"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        (status.code().unwrap(), String::from_utf8_lossy(&stderr).into_owned())
    };
    let (code, said) = import();
    assert_eq!(code, 0, "{said}");
    let manifest = fs::read_to_string(folder.path().join("out/manifest.tsv")).unwrap();
    let states: Vec<&str> = manifest.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!(states, ["verified", "verified"], "{manifest}");
    let written = || {
        let files = fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap());
        let mut times: Vec<_> =
            files.map(|f| (f.path(), f.metadata().unwrap().modified().unwrap())).collect();
        times.sort();
        times
    };
    let before = written();
    let (code, said) = import();
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.matches("already imported").count(), 2, "{said}");
    assert_eq!(written(), before);
}
