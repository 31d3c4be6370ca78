//! `tchvision bench`: contestants in turns, and the page of results.

use serde_json::{Value, json};
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tchvision")).arg("bench").args(args).output().unwrap()
}

/// `make test` provides the Python; the numbers themselves depend on the machine.
#[test]
fn a_row_has_every_contestant_that_starts_and_the_floor() {
    let args = ["infer", "--model", "paper/resnet20", "--rounds", "2", "--dtype", "float32", "--json"];
    let output = bench(&[&args[..], &["--peers", "eager"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &report["rows"][0];
    assert!(row["floor_ms"].as_f64().unwrap() > 0.0, "{row}");
    for contestant in ["tchvision", "eager"] {
        assert!(row["median_ms"][contestant].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(report["versions"]["torch"].as_str().unwrap().starts_with("2."), "{report}");

    let missing = ["--peers", "eager,candle", "--python", "no-such-python", "--candle", "no-such-candle"];
    let output = bench(&[&args[..], &missing].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for reason in ["eager: no-such-python cannot be run", "candle: no-such-candle is not there; "] {
        assert!(stderr.contains(&format!("left out: {reason}")), "{stderr}");
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"][0]["median_ms"].as_object().unwrap().len(), 1, "{report}");
}

#[test]
fn what_cannot_be_timed_is_wrong_usage() {
    let cases = [
        (["--device", "tpu"], "--device: device `tpu`: use `auto`, `cpu`, `cuda` or `cuda:N`"),
        (["--peers", "tensorflow"], "--peers tensorflow: the contestants on cpu are eager, "),
    ];
    for (args, told) in cases {
        let output = bench(&[&["train"], &args[..]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(told), "{stderr}");
    }
}

fn step(work: &str, model: &str, median_ms: Value, floor_ms: Option<f64>) -> Value {
    json!({"work": work, "model": model, "batch": 1, "dtype": "float32", "median_ms": median_ms, "floor_ms": floor_ms})
}

#[test]
fn the_page_joins_rows_and_tells_goals_from_misses() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: Vec<Value>, machine: &str| {
        let versions = json!({(name): "1.0"});
        let document =
            json!({"machine": machine, "threads": 2, "bfloat16": false, "versions": versions, "rows": rows});
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let slow = json!({"tchvision": 70.0, "eager": 100.0, "onnxruntime": 50.0, "openvino": 90.0});
    let fast = json!({"tchvision": 10.0, "eager": 20.0, "onnxruntime": 40.0, "openvino": 14.0});
    let one = write("one", vec![step("infer", "torchvision/resnet50", slow, Some(50.0))], "here");
    let two = write("two", vec![step("infer", "torchvision/vgg16", fast, Some(5.0))], "here");
    let output = bench(&["results", &one, &two]);
    let page = String::from_utf8(output.stdout).unwrap();
    for line in [
        "here, 2 threads; one 1.0, two 1.0. Random weights.",
        "| resnet50 | 1 | 70.0 ms | 100.0 ms (0.70) | 50.0 ms (1.40) | 90.0 ms (0.78) | 50.0 ms (1.40) |",
        "- each at most 0.65 of eager: missed by resnet50 × 1 (0.70)",
        "- each at most 1.00 of compile: not measured",
        // √(70/50 · 10/14)
        "- geometric mean at most 1.00 of the faster of onnxruntime and openvino: met with 1.00",
        "- ResNet-50 and ViT-B/16 each at most 1.15 of the floor: missed by resnet50 × 1 (1.40)",
    ] {
        assert!(page.lines().any(|l| l == line), "no line `{line}` in:\n{page}");
    }

    let mut on_gpu =
        step("infer", "torchvision/vgg16", json!({"tchvision": 1.234, "eager": 2.468}), Some(0.5));
    on_gpu["dtype"] = "bfloat16".into();
    let gpu = json!({
        "machine": "another", "threads": 2, "gpu": "a card", "bfloat16": true, "versions": {}, "rows": [on_gpu]
    });
    let path = folder.path().join("gpu");
    std::fs::write(&path, gpu.to_string()).unwrap();
    let output = bench(&["results", &one, path.to_str().unwrap(), &two]);
    let page = String::from_utf8(output.stdout).unwrap();
    let (cpu, gpu) = page.split_once("\na card, another, 2 threads; ").expect(&page);
    assert!(cpu.contains("| resnet50 |") && cpu.contains("| vgg16 | 1 | 10.0 ms |"), "{cpu}");
    for line in [
        "## A frozen model's forward pass on a GPU, bfloat16",
        "| vgg16 | 1 | 1.23 ms | 2.47 ms (0.50) | 0.50 ms (2.47) |",
    ] {
        assert!(gpu.lines().any(|l| l == line), "no line `{line}` in:\n{gpu}");
    }
    assert!(gpu.contains("matrix product of 8192³") && !gpu.contains("Goals"), "{gpu}");

    let elsewhere = write("three", vec![], "elsewhere");
    let output = bench(&["results", &one, &elsewhere]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("three: of another machine"));
}
