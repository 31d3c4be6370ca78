//! From one run to another of other classes: frozen, stopped and gone on with, probed, by neighbours, looked at by its
//! directory alone.

use super::common::lab::bits;
use super::yard::{Yard, json};
use std::fs;
use tch::Tensor;
use tchvision::weights::StateFile;

fn yard() -> Yard {
    let yard = Yard::new();
    for split in ["train", "val"] {
        for class in ["blue", "red"] {
            let (from, to) = (format!("pictures/{split}/{class}"), format!("two/{split}/{class}"));
            fs::create_dir_all(yard.path(&to)).unwrap();
            for entry in fs::read_dir(yard.path(&from)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), yard.path(&to).join(entry.file_name())).unwrap();
            }
        }
    }
    let model = "model: {name: paper/resnet20, num_layers: 8}\n";
    yard.write_run("base", &format!("{model}data: {{dataset: 'folder:pictures', image_size: 24, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25]}}\n"));
    yard.write_run(
        "tuned",
        &format!("{model}init: runs/base\ndata: {{dataset: 'folder:two', image_size: 24}}\ntrain: {{save_every: 2, freeze: [stem, layer1], optimizer: {{sgd: {{lr: 0.05}}}}}}\n"),
    );
    yard.ok("train base.yaml");
    yard
}

#[test]
fn a_run_starts_from_another_and_answers_for_its_own_classes() {
    let yard = yard();
    let groups = yard.json("train tuned.yaml --groups --json");
    let frozen = |key: &str| {
        groups.as_array().unwrap().iter().any(|group| group["name"] == key && group["trained"] == false)
    };
    assert!(frozen("layer1.0.conv1.weight") && !frozen("layer2.0.conv1.weight") && !frozen("fc.weight"));
    assert!(!yard.path("runs/tuned").exists());

    yard.ok("train tuned.yaml --out whole");
    yard.ok("train tuned.yaml --out halves --events --until 1");
    yard.ok("train tuned.yaml --out halves");
    assert!(bits(&yard.path("whole/last.safetensors")) == bits(&yard.path("halves/last.safetensors")));
    let result = json(&yard.path("whole/result.json"));
    assert_eq!(result["parents"][0]["new"], serde_json::json!(["fc.weight", "fc.bias"]));
    let found = yard.json("eval --run whole --json");
    assert_eq!(found["top1"], result["top1"]);
    let top = yard.json("classify two/val/red/00.bmp --run whole --topk 2 --json");
    let labels: Vec<_> =
        top[0]["top"].as_array().unwrap().iter().map(|top| top["label"].as_str().unwrap()).collect();
    assert!(labels.contains(&"red") && labels.contains(&"blue"), "{labels:?}");

    // The weights' normalisation, in what the run says of itself.
    let file = |path: &str| StateFile::open(&yard.path(path)).unwrap();
    assert!(file("whole/last.safetensors").metadata("tchvision").unwrap().contains("\"mean\":[0.4,0.5,0.6]"));
    let kept = |key: &str| {
        *file("whole/last.safetensors").get(key).unwrap()
            == *file("runs/base/last.safetensors").get(key).unwrap()
    };
    assert!(
        kept("layer1.0.bn1.running_var") && kept("layer1.0.conv2.weight") && !kept("layer2.0.conv1.weight")
    );

    // What runs from changed weights is another run.
    yard.ok("train tuned.yaml --out other --events --until 1");
    yard.ok("train base.yaml --extend train.epochs=4");
    let message = yard.fails(2, "train tuned.yaml --out other");
    assert!(message.contains("began with other weights"), "{message}");
}

#[test]
fn features_are_what_the_classifier_takes_and_feed_probes_and_neighbours() {
    let yard = yard();
    yard.ok("features two/val --run runs/base --to features.safetensors --batch-size 5");
    let file = StateFile::open(&yard.path("features.safetensors")).unwrap();
    let (features, labels) = (file.get("features").unwrap(), file.get("labels").unwrap());
    assert_eq!((features.size(), labels.size()), (vec![22, 64], vec![22]));
    let names: Vec<String> = serde_json::from_str(file.metadata("names").unwrap()).unwrap();
    assert_eq!(names.len(), 22);
    assert!(names[0].ends_with("00.bmp"), "{names:?}");
    // The classifier's product with them is what classify says.
    let base = StateFile::open(&yard.path("runs/base/last.safetensors")).unwrap();
    let logits = features.linear(&base.get("fc.weight").unwrap(), Some(&*base.get("fc.bias").unwrap()));
    let best = Vec::<f64>::try_from(logits.softmax(1, tch::Kind::Double).max_dim(1, false).0).unwrap();
    let told = yard.json("classify two/val/blue/00.bmp two/val/red/10.bmp --run runs/base --json");
    for (row, place) in [(0, 0), (1, 21)] {
        let probability = told[row]["top"][0]["probability"].as_f64().unwrap();
        assert!((probability - best[place]).abs() < 1e-5, "{probability} {}", best[place]);
    }
    // A part of an earlier call is gone on from.
    let whole = fs::read(yard.path("features.safetensors")).unwrap();
    fs::write(yard.path("again.safetensors.part"), &whole[..whole.len() - 2000]).unwrap();
    yard.ok("features two/val --run runs/base --to again.safetensors --batch-size 5");
    let again = StateFile::open(&yard.path("again.safetensors")).unwrap();
    let difference: Tensor = &*again.get("features").unwrap() - &*features;
    assert!(difference.abs().max().double_value(&[]) < 1e-5 && !yard.path("again.safetensors.part").exists());
    yard.ok("features two/val --run runs/base --layer layer1 --to maps.safetensors");
    let maps = StateFile::open(&yard.path("maps.safetensors")).unwrap();
    assert_eq!(maps.get("features").unwrap().size(), [22, 16 * 24 * 24]);
    let message = yard.fails(2, "features two/val --run runs/base --layer layer9 --to x.safetensors");
    assert!(message.contains("did you mean"), "{message}");

    let near = yard.json("eval --run runs/base --knn --k 5 --json");
    assert!(near["top1"].as_f64().unwrap() > 50.0 && near["images"] == 33, "{near}");
    // A probe on the features of all training pictures at once.
    let optimizer = "{lbfgs: {line_search_fn: strong_wolfe, history_size: 10}}";
    yard.write_run(
        "probe",
        &format!(
            "model: {{name: paper/resnet20, num_layers: 8}}\ninit: runs/base\n\
             data: {{dataset: 'folder:two', image_size: 24}}\n\
             train: {{freeze: all, optimizer: {optimizer}, schedule: {{constant: {{}}}}}}\n"
        ),
    );
    yard.ok("train probe.yaml train.batch_size=48 train.epochs=2");
    let probe = json(&yard.path("runs/probe/result.json"));
    assert!(probe["top1"].as_f64().unwrap() > 60.0, "{probe}");
}

#[test]
fn where_weights_come_from_and_what_is_frozen_are_axes() {
    let yard = yard();
    yard.write(
        "study.yaml",
        "question: What is a start worth?\n\
         base:\n  model: {name: paper/resnet20, num_layers: 8}\n  data: {dataset: 'folder:two', image_size: 24}\n  \
         train: {epochs: 1, batch_size: 8, optimizer: {sgd: {lr: 0.05}}}\n  threads: 1\n\
         axes:\n  init: [null, runs/base]\n  train.freeze: [[], [stem, layer1], all]\n",
    );
    let plan = yard.json("experiment plan study.yaml --json");
    assert_eq!(plan["trials"].as_array().unwrap().len(), 6, "{plan}");
    yard.ok("experiment run study.yaml");
    let rows = fs::read_to_string(yard.path("runs/study/results.csv")).unwrap();
    assert_eq!(rows.lines().count(), 7, "{rows}");
    let mut started = 0;
    for trial in fs::read_dir(yard.path("runs/study/trials")).unwrap() {
        let result = json(&trial.unwrap().path().join("result.json"));
        started += usize::from(result["parents"][0]["sha256"].is_string());
    }
    assert_eq!(started, 3);
    assert!(yard.ok("experiment run study.yaml").lines().count() > 0);
    let text = fs::read_to_string(yard.path("study.yaml")).unwrap();
    yard.write("wrong.yaml", &text.replace("layer1]", "layer9]"));
    let message = yard.fails(2, "experiment plan wrong.yaml");
    assert!(message.contains("`layer9` matches no parameter"), "{message}");
}
