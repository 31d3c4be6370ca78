//! From a published recipe to a run of one's own.

use super::yard::Yard;
use std::fs;
use tchvision::yaml;

fn list(yard: &Yard) -> Vec<serde_json::Value> {
    serde_json::from_value(yard.json("recipe list --json")).unwrap()
}

/// Every file under `experiments/` is listed, and what is listed is the file.
#[test]
fn the_program_has_every_file() {
    let yard = Yard::new();
    let experiments = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let names = |folder: &str, prefix: &str| -> Vec<String> {
        let files = fs::read_dir(experiments.join(folder)).unwrap().map(|file| file.unwrap().path());
        files.map(|file| format!("{prefix}{}", file.file_stem().unwrap().to_str().unwrap())).collect()
    };
    let mut files = [names("recipes", ""), names("paper", "paper/")].concat();
    let mut listed: Vec<String> =
        list(&yard).iter().map(|recipe| recipe["name"].as_str().unwrap().to_owned()).collect();
    files.sort();
    listed.sort();
    assert_eq!(files, listed);
    let text = fs::read_to_string(experiments.join("recipes/timm_a1.yaml")).unwrap();
    assert_eq!(yard.ok("recipe show timm_a1"), text);
    let shown = yard.json("recipe show timm_a1 --json");
    assert_eq!(
        (shown["images_seen"].as_u64(), shown["macs"].as_u64()),
        (Some(768_700_200), Some(4_089_184_256))
    );
}

/// Each recipe is a run: its model, settings and groups are there, and its augmentations take the pictures of a folder.
#[test]
fn every_recipe_can_be_started() {
    let yard = Yard::new();
    for recipe in list(&yard) {
        let name = recipe["name"].as_str().unwrap();
        if name.starts_with("paper/") {
            assert!(recipe["source"].as_str().unwrap().contains('('), "{name} names its paper");
            continue;
        }
        for key in ["source", "top1", "images_seen"] {
            assert!(!recipe[key].is_null(), "{name}: {key}");
        }
        yard.write(&format!("{name}.yaml"), &yard.ok(&format!("recipe show {name}")));
        let groups = yard.json(&format!("train {name}.yaml --groups --json"));
        assert!(groups.as_array().unwrap().iter().all(|group| group["trained"] == true), "{name}");
        let few = "data.dataset=folder:pictures train.batch_size=4 threads=1 train.allow_memory=true --dry-run --json";
        if name == "deit_distilled" {
            let refused = yard.fails(2, &format!("train {name}.yaml {few}"));
            assert!(refused.contains("1000 classes and the data has 3"), "{refused}");
            continue;
        }
        let header = yard.json(&format!("train {name}.yaml {few}"));
        assert_eq!(header["epochs"], recipe["epochs"], "{name}");
    }
}

#[test]
fn a_run_takes_what_it_does_not_say_from_a_recipe() {
    let yard = Yard::new();
    let own = "model: {name: resnet18, drop_path: 0.0}\ndata: {dataset: 'folder:pictures', image_size: 32}\n\
               train: {epochs: 2, batch_size: 8, eval_batch_size: 11}\nthreads: 1\n";
    yard.write("own.yaml", own);
    let out = yard.run("recipe apply timm_a1 own.yaml --to run.yaml");
    assert!(out.status.success());
    let notes = String::from_utf8(out.stderr).unwrap();
    for key in ["train.epochs", "train.batch_size", "data.image_size", "model.drop_path"] {
        assert!(notes.contains(key), "{notes}");
    }
    let run: serde_json::Value =
        yaml::parse(&fs::read_to_string(yard.path("run.yaml")).unwrap(), "run.yaml").unwrap();
    assert_eq!(
        (&run["train"]["epochs"], &run["train"]["optimizer"]["lamb"]["lr"]),
        (&2.into(), &0.005.into())
    );
    assert_eq!((&run["data"]["dataset"], &run["data"]["repeats"]), (&"folder:pictures".into(), &3.into()));
    assert_eq!(run["model"]["drop_path"], 0.0);
    assert!(run.get("recipe").is_none(), "{run}");
    yard.ok("train run.yaml --out a1 train.precision=float32");
    assert_eq!(yard.json("eval --run a1 --json")["images"], 33);

    let unknown = yard.fails(2, "recipe apply timm_a11 own.yaml");
    assert!(unknown.contains("did you mean `timm_a1`"), "{unknown}");
    yard.write("wrong.yaml", &own.replace("epochs: 2", "epochs: 0"));
    let wrong = yard.fails(2, "recipe apply timm_a1 wrong.yaml");
    assert!(wrong.contains("train.epochs"), "{wrong}");
}

#[test]
fn public_weights_name_their_recipe() {
    let yard = Yard::new();
    let recipe = |weights: &str| yard.json(&format!("weights list {weights} --json"))[0]["recipe"].clone();
    assert_eq!(recipe("resnet50.a1_in1k"), "timm_a1");
    assert_eq!(recipe("torchvision/resnet50.IMAGENET1K_V2"), "tv_resnet50_v2");
    assert_eq!(recipe("torchvision/alexnet.IMAGENET1K_V1"), serde_json::Value::Null);
    // What a recipe says it made is in the catalogue, with that accuracy where the catalogue knows it.
    let all: Vec<serde_json::Value> = serde_json::from_value(yard.json("weights list --json")).unwrap();
    for recipe in list(&yard) {
        for pattern in recipe["weights"].as_array().unwrap() {
            let pattern = pattern.as_str().unwrap();
            let made: Vec<_> = all.iter().filter(|weights| weights["recipe"] == recipe["name"]).collect();
            assert!(!made.is_empty(), "{}: no weights are called {pattern}", recipe["name"]);
            for [model, top1] in
                serde_json::from_value::<Vec<[serde_json::Value; 2]>>(recipe["top1"].clone()).unwrap()
            {
                let published = made.iter().find(|weights| weights["model"] == model);
                let Some(known) = published.and_then(|weights| weights["top1"].as_f64()) else { continue };
                let far = (known - top1.as_f64().unwrap()).abs();
                assert!(far < 0.1, "{}: {model} has {known} in the catalogue, not {top1}", recipe["name"]);
            }
        }
    }
}
