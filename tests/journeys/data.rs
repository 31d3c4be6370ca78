//! What people bring: a table of pictures, and Parquet from the Hub, from files to an answer.

use super::yard::{Yard, json};
use std::fs;
use std::path::Path;

const RUN: &str = "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'DATA', image_size: 24}\n\
                   train: {optimizer: {sgd: {lr: 0.05}}}\n";

/// A table of the pictures in folders gives the very weights that the folders give.
#[test]
fn a_manifest_is_worth_its_folders() {
    let yard = Yard::new();
    let mut rows = "split,label,path\n".to_owned();
    for split in ["train", "val"] {
        for class in ["blue", "green", "red"] {
            let mut names: Vec<_> = fs::read_dir(yard.path(&format!("pictures/{split}/{class}")))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
                .iter()
                .for_each(|name| rows += &format!("{split},{class},pictures/{split}/{class}/{name}\n"));
        }
    }
    yard.write("all.csv", &rows);
    yard.write_run("folder", &RUN.replace("DATA", "folder:pictures"));
    yard.write_run("table", &RUN.replace("DATA", "manifest:all.csv"));
    yard.ok("train folder.yaml");
    yard.ok("train table.yaml");
    let [folder, table] = ["folder", "table"].map(|run| json(&yard.path(&format!("runs/{run}/result.json"))));
    assert_eq!((&folder["loss"], &folder["top1"]), (&table["loss"], &table["top1"]));
    let seen = yard.json("data inspect manifest:all.csv --json");
    assert_eq!((&seen["train"], &seen["test"], &seen["classes"][2]), (&72.into(), &33.into(), &"red".into()));
    assert_eq!(yard.json("eval --run runs/table --json")["top1"], table["top1"]);
    yard.write("all.csv", &(rows + "val,black,pictures/val/red/00.bmp\n"));
    let message = yard.fails(2, "train table.yaml --out other");
    assert!(message.contains("all.csv:107: `black` is not one of the 3 classes"), "{message}");
}

#[test]
fn parquet_of_the_hub_is_trained_on_and_gone_on_with() {
    let yard = Yard::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet/colours");
    yard.write_run("hub", &RUN.replace("DATA", &format!("parquet:{}", data.display())));
    yard.ok("train hub.yaml");
    let result = json(&yard.path("runs/hub/result.json"));
    // By another number of threads, stopped between: the same.
    yard.ok("train hub.yaml --out halves data.workers=3 --events --until 1");
    yard.ok("train hub.yaml --out halves data.workers=1");
    let halves = json(&yard.path("halves/result.json"));
    assert_eq!((&result["loss"], &result["top1"]), (&halves["loss"], &halves["top1"]));
    let found = yard.json("eval --run runs/hub --json");
    assert_eq!((&found["top1"], &found["images"]), (&result["top1"], &9.into()));
    let seen = yard.json(&format!("data inspect parquet:{} --json", data.display()));
    assert_eq!(seen["classes"], serde_json::json!(["blue", "green", "red"]));
}

/// Which pictures are damaged is asked for before training.
#[test]
fn a_check_decodes_every_picture() {
    let yard = Yard::new();
    fs::write(yard.path("pictures/train/red/03.bmp"), b"BM no picture").unwrap();
    let seen = yard.json("data inspect folder:pictures --check --json");
    let train = &seen["checked"]["train"];
    assert_eq!((&train["read"], train["damaged"].as_array().unwrap().len()), (&71.into(), 1));
    assert!(train["damaged"][0]["name"].as_str().unwrap().ends_with("red/03.bmp"), "{train}");
    assert_eq!(
        (&seen["checked"]["test"]["read"], &train["widths"]),
        (&33.into(), &serde_json::json!([40, 62]))
    );
    let text = yard.ok("data inspect folder:pictures --check");
    assert!(
        text.contains("training pictures: 71 can be read, 40 to 62 wide, 40 to 58 high; 1 cannot"),
        "{text}"
    );
    assert!(text.contains("red/03.bmp: "), "{text}");
    assert!(yard.json("data inspect folder:pictures --json")["checked"].is_null());
}
