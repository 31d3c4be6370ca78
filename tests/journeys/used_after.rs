//! What was trained here is evaluated, classified with and read elsewhere by its directory alone.

use super::yard::{Yard, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use tchvision::weights::{StateFile, save};

/// Models, data and training that differ in what an evaluation has to know.
const RUNS: [(&str, &str); 12] = [
    (
        "own_statistics",
        "model: {name: timm/mobilenetv3_small_050}\n\
      data: {dataset: 'folder:pictures', image_size: 64, mean: [0.3, 0.4, 0.5], std: [0.2, 0.3, 0.1], augment: [flip]}\n",
    ),
    (
        "model_fields",
        "model: {name: torchvision/resnet18, stem_width: 16}\n\
      data: {dataset: 'folder:pictures', image_size: 32, augment: [random_resized_crop: {}]}\n",
    ),
    (
        "averaged",
        "model: {name: paper/resnet20}\n\
      data: {dataset: 'folder:pictures', image_size: 32}\ntrain: {ema: 0.7}\n",
    ),
    (
        "bfloat16",
        "model: {name: paper/resnet20}\n\
      data: {dataset: 'folder:pictures', image_size: 32}\ntrain: {precision: bfloat16}\n",
    ),
    (
        "test_size",
        "model: {name: paper/resnet20}\n\
      data: {dataset: 'folder:pictures', image_size: 32, test_size: 40, test_crop: 1.0, interpolation: bicubic}\n",
    ),
    (
        "vit_of_its_size",
        "model: {name: timm/vit_tiny_patch16_224, num_blocks: 2, embed_dim: 24, heads: 2, patch_size: 8}\n\
      data: {dataset: 'folder:pictures', image_size: 32}\n",
    ),
    (
        "mixed",
        "model: {name: paper/resnet20}\n\
      data: {dataset: 'folder:pictures', image_size: 32, mix: {mixup: 0.2}, test: 20, train: 50}\n\
      train: {label_smoothing: 0.1}\n",
    ),
    (
        "mean_image",
        "model: {name: paper/resnet20}\n\
      data: {dataset: 'folder:pictures', image_size: 32, mean_image: true}\n",
    ),
    ("grey", "model: {name: paper/resnet20}\ndata: {dataset: 'idx:IDX', augment: [pad_crop: 1]}\n"),
    (
        "grey_enlarged",
        "model: {name: timm/mobilenetv3_small_050}\ndata: {dataset: 'idx:IDX', image_size: 32}\n",
    ),
    (
        "grey_mean_image",
        "model: {name: paper/resnet20}\ndata: {dataset: 'idx:IDX', mean_image: true, image_size: 16, test_size: 24}\n",
    ),
    (
        "grey_own_statistics",
        "model: {name: paper/wrn_16_4, num_layers: 10, width: 0.5}\n\
      data: {dataset: 'idx:IDX', mean: [0.1], std: [0.7], test: 60}\n\
      train: {ema: 0.5, precision: bfloat16}\n",
    ),
];

#[test]
fn a_run_evaluates_as_it_was_tested_by_its_directory_alone() {
    let yard = Yard::new();
    for (name, yaml) in RUNS {
        yard.write_run(name, yaml);
        yard.ok(&format!("train {name}.yaml"));
        let result = json(&yard.path(&format!("runs/{name}/result.json")));
        let found = |line: &str| yard.json(&format!("eval {line} --json"))["top1"].as_f64().unwrap();
        let of_run = yard.json(&format!("eval --run runs/{name} --json"));
        for metric in ["top1", "top5", "balanced_accuracy", "f1"] {
            assert_eq!(of_run[metric], result[metric], "{name}: {metric}");
        }
        for metric in ["loss", "ece"] {
            let [there, here] = [&result, &of_run].map(|found| found[metric].as_f64().unwrap());
            assert!((there - here).abs() <= 1e-6 + 1e-4 * there, "{name}: {metric} {there} and {here}");
        }
        assert_eq!(found(&format!("--weights runs/{name}")), result["top1"].as_f64().unwrap(), "{name}");
        // A file alone, wherever it is.
        fs::copy(yard.path(&format!("runs/{name}/best.safetensors")), yard.path("moved.safetensors"))
            .unwrap();
        assert_eq!(found("--weights moved.safetensors"), result["best_top1"].as_f64().unwrap(), "{name}");
    }
    let tests: Vec<f64> = RUNS
        .iter()
        .map(|(name, _)| json(&yard.path(&format!("runs/{name}/result.json")))["top1"].as_f64().unwrap())
        .collect();
    assert!(tests.iter().filter(|&&top1| top1 > 50.0).count() >= 3, "these tests hardly learn: {tests:?}");
}

#[test]
fn pictures_are_classified_by_the_names_of_the_run() {
    let yard = Yard::new();
    yard.write_run("colours", RUNS[1].1);
    yard.ok("train colours.yaml train.epochs=12");
    let data = yard.json("eval --run runs/colours --data pictures/val --json");
    assert_eq!(data["top1"], json(&yard.path("runs/colours/result.json"))["top1"]);
    assert!(data["top1"].as_f64().unwrap() > 60.0);
    // One of the classes alone is found by its name, not by its place.
    fs::create_dir_all(yard.path("some")).unwrap();
    fs::rename(yard.path("pictures/val/red"), yard.path("some/red")).unwrap();
    let some = yard.json("eval --run runs/colours --data some --per-class --json");
    assert_eq!((&some["images"], &some["classes"][0]["class"]), (&11.into(), &"red".into()));
    let top = yard.json("classify some/red/00.bmp --run runs/colours --topk 3 --json");
    let labels: Vec<&str> =
        top[0]["top"].as_array().unwrap().iter().map(|likely| likely["label"].as_str().unwrap()).collect();
    assert!(["blue", "green", "red"].iter().all(|class| labels.contains(class)), "{labels:?}");
    fs::rename(yard.path("some/red"), yard.path("some/crimson")).unwrap();
    let refused = yard.fails(2, "eval --run runs/colours --data some");
    assert!(refused.contains("`crimson` is none of the model's classes: blue, green, red"), "{refused}");
}

#[test]
fn what_the_command_line_adds_wins_and_is_said() {
    let yard = Yard::new();
    yard.write_run("run", RUNS[0].1);
    yard.ok("train run.yaml");
    let out = yard.run("eval --run runs/run --size 96 --crop 1.0");
    let said = super::yard::stderr(&out);
    assert!(said.contains("other than it was tested on: size 96, crop 1"), "{said}");
    assert!(said.contains("last.safetensors: timm/mobilenetv3_small_050, epoch 3"), "{said}");
    let refused = yard.fails(2, "eval --run runs/run --test-settings");
    assert!(refused.contains("no test settings"), "{refused}");
    let refused = yard.fails(2, "eval --run runs");
    assert!(refused.contains("runs: no run has left weights in this folder"), "{refused}");
}

#[test]
fn weights_of_a_run_are_converted_by_themselves_and_say_the_same() {
    let yard = Yard::new();
    yard.write_run("run", "model: {name: torchvision/mobilenet_v3_small}\ndata: {dataset: 'folder:pictures', image_size: 32}\ntrain: {ema: 0.6}\n");
    yard.ok("train run.yaml");
    yard.ok("weights convert --run runs/run --to timm.safetensors --naming torchvision");
    let top1 = |line: &str| yard.json(line)["top1"].clone();
    assert_eq!(top1("eval --weights timm.safetensors --json"), top1("eval --run runs/run --json"));
    // Two of the classes, by their places.
    yard.ok("weights convert runs/run/last.safetensors --to two.safetensors --classes 2,0");
    let top = yard.json("classify pictures/val/red/00.bmp --weights two.safetensors --json");
    let labels: Vec<&str> =
        top[0]["top"].as_array().unwrap().iter().map(|likely| likely["label"].as_str().unwrap()).collect();
    assert!(labels.len() == 2 && labels.contains(&"red") && labels.contains(&"blue"), "{labels:?}");
    yard.ok("preprocess pictures/val/red/00.bmp --run runs/run --to input.safetensors");
    let refused = yard.fails(2, "weights convert input.safetensors --to two.safetensors");
    assert!(refused.contains("does not say which model it is of"), "{refused}");
}

/// The same file, without what it says of itself.
fn without_metadata(path: &Path) {
    let file = StateFile::open(path).unwrap();
    let tensors: Vec<_> =
        file.names().iter().map(|name| (name.clone(), file.get(name).unwrap().copy())).collect();
    let kept = ["tchvision.progress"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), file.metadata(key)?.to_owned())));
    save(path, &tensors, kept.collect()).unwrap();
}

#[test]
fn files_of_before_are_read_with_a_note() {
    let yard = Yard::new();
    yard.write_run("old", RUNS[4].1);
    yard.ok("train old.yaml");
    let result = json(&yard.path("runs/old/result.json"));
    for file in ["best.safetensors", "last.safetensors"] {
        without_metadata(&yard.path(&format!("runs/old/{file}")));
    }
    let out = yard.run("eval --run runs/old --json");
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(found["top1"], result["top1"]);
    assert!(super::yard::stderr(&out).contains("the run's config.yaml is taken"));
    assert_eq!(yard.json("eval --weights runs/old/best.safetensors --json")["top1"], result["best_top1"]);
    fs::copy(yard.path("runs/old/best.safetensors"), yard.path("alone.safetensors")).unwrap();
    let refused = yard.fails(2, "eval --weights alone.safetensors --data pictures/val");
    assert!(
        refused.contains("does not say which model it is of") && refused.contains("--model NAME"),
        "{refused}"
    );
}

#[cfg(unix)]
#[test]
fn files_of_weights_have_the_umask_of_all_files() {
    use std::os::unix::fs::PermissionsExt;
    let yard = Yard::new();
    yard.write_run("modes", RUNS[8].1);
    yard.ok("train modes.yaml train.epochs=1");
    let mode = |name: &str| fs::metadata(yard.path(name)).unwrap().permissions().mode() & 0o777;
    for file in ["last.safetensors", "best.safetensors", "result.json"] {
        assert_eq!(mode(&format!("runs/modes/{file}")), mode("modes.yaml"), "{file}");
    }
}

/// The README's lines, as they stand there.
fn readme(fence: &str, with: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks.find(|block| block.starts_with(fence) && block.contains(with)).unwrap();
    block.strip_prefix(fence).unwrap().to_owned()
}

#[test]
fn plain_python_reads_the_weights_of_a_run() {
    let yard = Yard::new();
    yard.write_run("x", "model: {name: torchvision/resnet18}\ndata: {dataset: 'folder:pictures', image_size: 64}\ntrain: {ema: 0.5}\n");
    yard.ok("train x.yaml train.epochs=1");
    yard.write_run(
        "y",
        "model: {name: timm/mobilenetv3_small_050}\ndata: {dataset: 'folder:pictures', image_size: 64}\n",
    );
    yard.ok("train y.yaml train.epochs=1");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let snippet = readme("python\n", "safe_open");
    for (run, flag) in [("x", ""), ("y", "")] {
        yard.ok(&format!("preprocess pictures/val/red/03.bmp --run runs/{run} --to input.safetensors"));
        let likely =
            yard.json(&format!("classify pictures/val/red/03.bmp --run runs/{run} --topk 3 --json {flag}"));
        let code = format!(
            "{}\nimport torch, json\nfrom safetensors.torch import load_file\n\
             x = load_file('input.safetensors')['input']\n\
             with torch.no_grad(): print(json.dumps(model(x).softmax(1)[0].double().tolist()))",
            snippet.replace("runs/x", &format!("runs/{run}"))
        );
        let out = Command::new(&python).arg("-c").arg(code).current_dir(yard.path("")).output().unwrap();
        let theirs: Vec<f64> =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", super::yard::stderr(&out)));
        for top in likely[0]["top"].as_array().unwrap() {
            let ours = top["probability"].as_f64().unwrap();
            let theirs = theirs[top["class"].as_u64().unwrap() as usize];
            assert!((ours - theirs).abs() < 1e-5, "{run}: {ours} against {theirs}");
        }
    }
}
