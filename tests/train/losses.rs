//! Losses against timm's, torch's and DeiT's formulas, teachers, and passes that keep only what goes into each stage.

use crate::common::lab::{Lab, bits, kill_until_done, text, written};
use crate::common::{assert_close, golden, images, values};
use std::fs;
use std::path::Path;
use tch::{Kind, Tensor};
use tchvision::train::{
    BinaryCrossEntropy, Criterion, Distillation, DistillationConfig, InitConfig, LossConfig, distillation,
};
use tchvision::weights::StateFile;

#[test]
fn losses_are_those_of_the_libraries() {
    let golden = golden("losses.json");
    let list = |value: &serde_json::Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
    let labels = Tensor::from_slice(&list(&golden["labels"])).to_kind(Kind::Int64);
    let shares = Tensor::from_slice(&list(&golden["shares"])).to_kind(Kind::Float).view([6, 7]);
    for row in golden["rows"].as_array().unwrap() {
        let smoothing = row["smoothing"].as_f64().unwrap_or(0.0);
        let weights = row["weights"]
            .as_array()
            .map(|_| Tensor::from_slice(&list(&row["weights"])).to_kind(Kind::Float));
        let targets = if row["targets"] == "shares" { &shares } else { &labels };
        let student = (images("student", &[6, 7]) * 4.0).set_requires_grad(true);
        let loss = match row["name"].as_str().unwrap() {
            "cross_entropy" => {
                Criterion::new(LossConfig::CrossEntropy, smoothing, weights).loss(&student, targets).unwrap()
            }
            "binary_cross_entropy" => {
                let loss = LossConfig::BinaryCrossEntropy(BinaryCrossEntropy {
                    target_threshold: row["threshold"].as_f64(),
                    sum_classes: row["sum_classes"].as_bool().unwrap(),
                });
                Criterion::new(loss, smoothing, None).loss(&student, targets).unwrap()
            }
            _ => {
                let config = DistillationConfig {
                    teacher: InitConfig::default(),
                    model: None,
                    kind: if row["kind"] == "hard" { Distillation::Hard } else { Distillation::Soft },
                    alpha: 0.5,
                    temperature: row["temperature"].as_f64().unwrap(),
                };
                distillation(&config, &student, &(images("teacher", &[6, 7]) * 4.0)).unwrap()
            }
        };
        loss.backward();
        let what =
            serde_json::json!({"name": row["name"], "smoothing": smoothing, "kind": row["kind"]}).to_string();
        assert_close(&what, &values(&loss), &serde_json::json!([row["loss"]]), 1e-6);
        assert_close(&what, &values(&student.grad()), &row["gradient"], 1e-6);
    }
}

/// Trains a few steps with these `train` keys and overrides.
fn trained(lab: &Lab, name: &str, train: &str, overrides: &[&str]) {
    let out = lab.command(&lab.yaml(name, train), &lab.dir(name)).args(overrides).output().unwrap();
    assert!(out.status.success(), "{name}: {}", text(&out.stderr));
}

fn result(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(dir.join("result.json")).unwrap()).unwrap()
}

#[test]
fn gradient_checkpointing_changes_no_bit() {
    let lab = Lab::new();
    let nets: [&[&str]; 5] = [
        &["model.block_dropout=0.2"],
        &["model={name: paper/wrn_16_4, num_layers: 10, width: 0.25}", "train.accumulate=2"],
        &[
            "model={name: timm/vit_tiny_patch16_224, patch_size: 4, num_blocks: 3, embed_dim: 24, drop_path: 0.2}",
        ],
        &["model={name: torchvision/densenet121, growth: 4, layer_dropout: 0.2}", "data.image_size=32"],
        &["model={name: torchvision/googlenet}", "data.image_size=96", "train.batch_size=8", "train.steps=1"],
    ];
    for (i, net) in nets.into_iter().enumerate() {
        let [whole, checkpointed] = ["whole", "checkpointed"].map(|kind| {
            let name = format!("{kind}{i}");
            let keys = format!("epochs: 1, steps: 3, checkpoint: {}", kind == "checkpointed");
            trained(&lab, &name, &keys, net);
            lab.dir(&name).join("last.safetensors")
        });
        if i < 4 {
            assert!(bits(&whole) == bits(&checkpointed), "{net:?}");
            continue;
        }
        // Auxiliary heads add to the gradients of their stages in another order.
        let [whole, checkpointed] = [whole, checkpointed].map(|path| StateFile::open(&path).unwrap());
        for name in whole.names().iter().filter(|name| !name.starts_with("optim.")) {
            let [a, b] = [&whole, &checkpointed].map(|file| file.get(name).unwrap().to_kind(Kind::Double));
            let far = (a - b).abs().max().double_value(&[]);
            assert!(far < 1e-5, "{name} is {far} away");
        }
    }
}

#[test]
fn a_student_learns_from_a_teacher() {
    let lab = Lab::new();
    trained(&lab, "teacher", "epochs: 4, optimizer: {sgd: {lr: 0.05}}", &[]);
    let teacher = lab.dir("teacher");
    // Labels that say nothing: what is known at the end is the teacher's.
    let path = lab.folder.path().join("train-labels-idx1-ubyte");
    let mut labels = fs::read(&path).unwrap();
    labels[8..].iter_mut().enumerate().for_each(|(i, label)| *label = (i / 4 % 4) as u8);
    fs::write(&path, labels).unwrap();
    for kind in ["hard", "soft"] {
        let keys = format!(
            "epochs: 6, optimizer: {{sgd: {{lr: 0.1}}}}, \
             distillation: {{teacher: {}, kind: {kind}, alpha: 1.0, temperature: 2.0}}",
            teacher.display()
        );
        trained(&lab, kind, &keys, &[]);
        let top1 = result(&lab.dir(kind))["top1"].as_f64().unwrap();
        assert!(top1 > 85.0, "{kind}: {top1} %");
        let config = fs::read_to_string(lab.dir(kind).join("config.yaml")).unwrap();
        assert!(config.contains("sha256"), "{config}");
    }
    // A model with a distillation token learns the labels and the teacher apart.
    let vit =
        "model={name: timm/deit_tiny_distilled_patch16_224, patch_size: 4, num_blocks: 2, embed_dim: 24}";
    let keys = format!(
        "epochs: 1, steps: 4, optimizer: {{adamw: {{lr: 0.001}}}}, distillation: {{teacher: {}}}",
        teacher.display()
    );
    trained(&lab, "token", &keys, &[vit]);
    trained(&lab, "alone", "epochs: 1, steps: 4, optimizer: {adamw: {lr: 0.001}}", &[vit]);
    assert!(
        bits(&lab.dir("token").join("last.safetensors")) != bits(&lab.dir("alone").join("last.safetensors"))
    );

    let keys = format!(
        "epochs: 2, save_every: 2, optimizer: {{sgd: {{lr: 0.05}}}}, loss: {{binary_cross_entropy: {{}}}}, \
         checkpoint: true, distillation: {{teacher: {}, kind: soft}}",
        teacher.display()
    );
    trained(&lab, "whole", &keys, &[]);
    let (yaml, dir) = (lab.yaml("killed", &keys), lab.dir("killed"));
    let kills = kill_until_done(|| lab.start(&yaml, &dir), || written(&dir.join("last.safetensors")));
    assert!(kills > 0);
    assert!(bits(&dir.join("last.safetensors")) == bits(&lab.dir("whole").join("last.safetensors")));
}

#[test]
fn what_cannot_be_learned_is_refused_before_anything_runs() {
    let lab = Lab::new();
    trained(&lab, "teacher", "epochs: 1, steps: 1", &[]);
    let teacher = lab.dir("teacher").display().to_string();
    let refused = |keys: &str, overrides: &[&str], words: &[&str]| {
        let out =
            lab.command(&lab.yaml("refused", keys), &lab.dir("refused")).args(overrides).output().unwrap();
        let message = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
        assert!(!lab.dir("refused").exists());
    };
    let taught = format!("distillation: {{teacher: {teacher}}}");
    let classes = ["train.distillation.teacher", "1000 classes", "has 4", "`init`"];
    refused("distillation: {teacher: resnet18.a1_in1k}", &[], &classes);
    refused("distillation: {teacher: resnet50.a1_in1}", &[], &["train.distillation.teacher.from", "a1_in1k"]);
    refused(&taught.replace("}", ", alpha: 2}"), &[], &["train.distillation.alpha", "between 0 and 1"]);
    refused(&taught.replace("}", ", kind: warm}"), &[], &["train.distillation.kind", "hard", "soft"]);
    refused(
        &format!("{taught}, class_weights: [1, 2]"),
        &[],
        &["train.class_weights", "2 weights", "4 classes"],
    );
    refused("class_weights: [1, -2, 1, 1]", &[], &["train.class_weights", "balanced"]);
    refused("class_weights: balanced, loss: {binary_cross_entropy: {}}", &[], &["train.class_weights"]);
    refused("loss: {binary_cross_entropy: {target_threshold: 1}}", &[], &["target_threshold", "[0, 1)"]);
    refused("loss: {hinge: {}}", &[], &["hinge", "cross_entropy"]);
}

/// Rare classes that count more are found more often; weights that are all the same change nothing.
#[test]
fn class_weights_are_those_of_the_cross_entropy() {
    let lab = Lab::new();
    let keys = "epochs: 1, optimizer: {sgd: {lr: 0.05}}";
    trained(&lab, "plain", keys, &[]);
    trained(&lab, "balanced", &format!("{keys}, class_weights: balanced"), &[]);
    trained(&lab, "ones", &format!("{keys}, class_weights: [1, 1, 1, 1]"), &[]);
    trained(&lab, "first", &format!("{keys}, class_weights: [50, 1, 1, 1]"), &[]);
    trained(&lab, "parts", &format!("{keys}, class_weights: [50, 1, 1, 1], accumulate: 4"), &[]);
    let loss = |name: &str| {
        let line = fs::read_to_string(lab.dir(name).join("metrics.jsonl")).unwrap();
        let row: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        row["train_loss"].as_f64().unwrap()
    };
    // As many images a class: balanced weights are 1.
    assert!((loss("plain") - loss("balanced")).abs() < 1e-6 && (loss("plain") - loss("ones")).abs() < 1e-6);
    assert!((loss("first") - loss("plain")).abs() > 1e-3);
}
