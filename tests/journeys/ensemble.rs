//! Networks of several seeds answer together, by the protocols of the papers.

use super::yard::{Yard, json};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

const RUN: &str = "model: {name: paper/resnet20, num_layers: 8}\n\
    data: {dataset: 'folder:pictures', image_size: 24}\nprotocol: ten-crop\n\
    train: {optimizer: {sgd: {lr: 0.0005}}}\n";

/// Each picture's row.
fn rows(yard: &Yard, file: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(yard.path(file)).unwrap();
    let row = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    text.lines().map(row).map(|row| (row["image"].as_str().unwrap().to_owned(), row)).collect()
}

#[test]
fn an_ensemble_is_the_mean_of_its_members() {
    let yard = Yard::new();
    yard.write_run("run", RUN);
    for seed in [0, 1] {
        yard.ok(&format!("train run.yaml seed={seed} --out runs/{seed}"));
        // As it was tested at its end.
        let tested = yard.json(&format!("eval --run runs/{seed} --predictions {seed}.jsonl --json"));
        let result = json(&yard.path(&format!("runs/{seed}/result.json")));
        assert_eq!((&result["protocol"], &tested["protocol"]), (&"ten-crop".into(), &"ten-crop".into()));
        for metric in ["top1", "top5", "loss", "ece", "f1"] {
            let [there, here] = [&result, &tested].map(|one| one[metric].as_f64().unwrap());
            assert!((there - here).abs() < 1e-5, "{metric}: {there} in the run, {here} after it");
        }
        let center = yard.json(&format!("eval --run runs/{seed} --protocol center --json"));
        let metrics = fs::read_to_string(yard.path(&format!("runs/{seed}/metrics.jsonl"))).unwrap();
        let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        assert_eq!(center["top1"], last["test_top1"]);
        assert!((center["loss"].as_f64().unwrap() - result["loss"].as_f64().unwrap()).abs() > 1e-6);
    }

    let members = "--run runs/0 --run runs/1";
    let together = yard.json(&format!("eval {members} --predictions together.jsonl --json"));
    assert_eq!((&together["model"], &together["images"]), (&"paper/resnet20".into(), &33.into()));
    let names = together["members"].as_array().unwrap();
    assert!(
        names.len() == 2 && names[1].as_str().unwrap().starts_with("runs/1/last.safetensors"),
        "{names:?}"
    );
    let [first, second, both] = ["0.jsonl", "1.jsonl", "together.jsonl"].map(|file| rows(&yard, file));
    assert_eq!(both.len(), 33);
    let mut loss = 0.0;
    for (image, row) in &both {
        let own = |rows: &BTreeMap<String, Value>| rows[image]["label_probability"].as_f64().unwrap();
        let (mean, found) = ((own(&first) + own(&second)) / 2.0, row["label_probability"].as_f64().unwrap());
        assert!((mean - found).abs() < 1e-6, "{image}: {found} for {mean}");
        loss -= mean.ln() / 33.0;
    }
    assert!((together["loss"].as_f64().unwrap() - loss).abs() < 1e-5, "{together} for {loss}");

    // Of one network twice the mean is its own.
    let twice = yard.json("eval --run runs/1 --run runs/1 --json");
    let once = yard.json("eval --run runs/1 --json");
    assert!((twice["loss"].as_f64().unwrap() - once["loss"].as_f64().unwrap()).abs() < 1e-6);

    // `classify` says the same of a picture.
    let picture = "pictures/val/green/00.bmp";
    let rows = yard.json(&format!("classify {picture} {members} --protocol ten-crop --json"));
    let green = rows[0]["top"].as_array().unwrap().iter().find(|class| class["label"] == "green").unwrap();
    let known = both.iter().find(|(image, _)| image.ends_with("val/green/00.bmp")).unwrap().1;
    let [here, there] = [&green["probability"], &known["label_probability"]].map(|p| p.as_f64().unwrap());
    assert!((here - there).abs() < 1e-6, "{here} for {there}");

    let refused = yard.fails(2, "train run.yaml seed=0 protocol=dense --out runs/0");
    assert!(refused.contains("protocol is ten-crop there, dense here"), "{refused}");
    let refused = yard.fails(2, "train run.yaml protocol=multi-crop:20 --out runs/2");
    assert!(refused.contains("20 pixels is below the input's 24"), "{refused}");
    let refused = yard.fails(2, &format!("eval {members} --protocol ten"));
    assert!(refused.contains("no protocol is called `ten`"), "{refused}");
    yard.write_run("other", "model: {name: paper/resnet20, num_layers: 8, num_classes: 4, in_chans: 1}\ndata: {dataset: 'idx:IDX'}\n");
    yard.ok("train other.yaml train.epochs=1 --out runs/other");
    let refused = yard.fails(2, "eval --run runs/0 --run runs/other --data pictures/val");
    assert!(refused.contains("are no ensemble: 3 and 4 classes"), "{refused}");
}

#[test]
fn an_experiment_is_tested_by_its_protocol() {
    let yard = Yard::new();
    yard.write(
        "views.yaml",
        "question: Which views?\nbase:\n  model: {name: paper/resnet20, num_layers: 8}\n  \
         data: {dataset: 'folder:pictures', image_size: 24}\n  train: {epochs: 1, batch_size: 16}\n  threads: 1\n\
         protocol: ten-crop\nvariants: {tens: {}, scales: {protocol: 'multi-scale:24,36'}}\nseeds: 2\n",
    );
    let said = yard.ok("experiment run views.yaml");
    assert!(
        said.contains("Results are by several protocols: ten-crop for tens, multi-scale:24,36 for scales"),
        "{said}"
    );
    let trial = |id: &str| json(&yard.path(&format!("runs/views/trials/{id}/result.json")));
    assert_eq!(trial("tens_seed=1")["protocol"], "ten-crop");
    assert_eq!(trial("scales_seed=0")["protocol"], "multi-scale:24,36");
    yard.ok("experiment report views.yaml --ensemble");
    let csv = fs::read_to_string(yard.path("runs/views/results.csv")).unwrap();
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let titles = rows.next().unwrap();
    let column = titles.iter().position(|title| *title == "ensemble_top1").unwrap();
    for (row, name) in rows.zip(["tens", "scales"]) {
        let runs = [0, 1].map(|seed| format!("--run runs/views/trials/{name}_seed={seed}")).join(" ");
        let together = yard.json(&format!("eval {runs} --json"));
        assert!(
            (row[column].parse::<f64>().unwrap() - together["top1"].as_f64().unwrap()).abs() < 1e-9,
            "{csv}"
        );
    }
    let refused = yard.fails(2, "experiment run views.yaml protocol=center");
    assert!(refused.contains("protocol is ten-crop there, not set here"), "{refused}");
}
