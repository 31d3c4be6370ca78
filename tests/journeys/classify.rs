//! Many pictures are classified into a file of rows, by a program that is killed again and again.

use super::yard::Yard;
use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PICTURES: usize = 1_500;

/// A yard with a run, and a folder of pictures, every hundredth of which is damaged.
fn yard() -> Yard {
    let yard = Yard::new();
    yard.write_run(
        "run",
        "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\n",
    );
    yard.ok("train run.yaml train.epochs=1");
    let picture = fs::read(yard.path("pictures/val/red/00.bmp")).unwrap();
    fs::create_dir_all(yard.path("many")).unwrap();
    for i in 0..PICTURES {
        let bytes = if i % 100 == 7 { &picture[..30] } else { &picture[..] };
        fs::write(yard.path(&format!("many/{i:04}, \"p\".bmp")), bytes).unwrap();
    }
    yard
}

/// Starts a command until it is done, and kills it a little later each time; returns how often.
fn killed(yard: &Yard, line: &str, signal: &str) -> usize {
    for kills in 0.. {
        let started = Instant::now();
        let mut child = yard.command(line).stderr(Stdio::null()).spawn().unwrap();
        let patience = Duration::from_millis(120 + 60 * kills as u64);
        while child.try_wait().unwrap().is_none() {
            if kills < 5 && started.elapsed() > patience {
                Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
                child.wait().unwrap();
                break;
            }
            sleep(Duration::from_millis(1));
        }
        match child.wait().unwrap().code() {
            // Some could not be read.
            Some(1) => return kills,
            Some(75) | None => {}
            other => panic!("{line}: {other:?}"),
        }
    }
    unreachable!()
}

#[test]
fn every_picture_has_one_row_however_often_the_program_is_killed() {
    let yard = yard();
    for (to, signal) in [("rows.jsonl", "-KILL"), ("rows.csv", "-KILL"), ("stopped.jsonl", "-TERM")] {
        let line = format!("classify many --run runs/run --topk 2 --batch-size 8 --to {to}");
        assert!(killed(&yard, &line, signal) >= 3, "{to}: it was over too soon");
        let text = fs::read_to_string(yard.path(to)).unwrap();
        let (names, errors): (Vec<String>, usize) = if to.ends_with("csv") {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let titles: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
            assert_eq!(
                titles,
                [
                    "image",
                    "model",
                    "class_1",
                    "label_1",
                    "probability_1",
                    "class_2",
                    "label_2",
                    "probability_2",
                    "error"
                ]
            );
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            (
                rows.iter().map(|row| row[0].to_owned()).collect(),
                rows.iter().filter(|row| !row[8].is_empty()).count(),
            )
        } else {
            let rows: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let names = rows.iter().map(|row| row["image"].as_str().unwrap().to_owned()).collect();
            (names, rows.iter().filter(|row| row["error"].is_string()).count())
        };
        assert_eq!((names.len(), errors), (PICTURES, PICTURES / 100), "{to}");
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), PICTURES, "{to}");
        // Nothing is left to do; what could not be read is still told.
        let left = yard.fails(1, &line);
        assert!(left.contains("15 of 1500 pictures could not be read"), "{left}");
        assert_eq!(fs::read_to_string(yard.path(to)).unwrap(), text);
    }
}

#[test]
fn rows_of_another_model_are_not_mixed() {
    let yard = yard();
    fs::remove_dir_all(yard.path("many")).unwrap();
    let all = "classify pictures/val/red --run runs/run --to rows.csv";
    yard.ok(all);
    let before = fs::read_to_string(yard.path("rows.csv")).unwrap();
    let refused = yard.fails(2, &format!("{all} --size 48"));
    assert!(refused.contains("rows.csv: its rows are of model") && refused.contains("size 48"), "{refused}");
    let refused = yard.fails(2, "classify pictures/val/red --run runs/run --topk 1 --to rows.csv");
    assert!(refused.contains("it has the columns image,model,class_1"), "{refused}");
    yard.ok("classify pictures/val/red --run runs/run --to rows.jsonl");
    let refused = yard.fails(2, "classify pictures/val/red --run runs/run --topk 1 --to rows.jsonl");
    assert!(refused.contains("it has the columns image,model,class_1"), "{refused}");
    // Files of something else stay as they are.
    for (name, text) in [
        ("a.csv", "name,price\n\"tea\",3\n"),
        ("b.csv", "a line without an end"),
        ("c.jsonl", "{\"price\": 3}\n"),
        ("d.jsonl", "{\"price\": 3}"),
    ] {
        yard.write(name, text);
        let refused = yard.fails(2, &format!("classify pictures/val/red --run runs/run --to {name}"));
        assert!(
            refused.contains(&format!("{name}: ")) && refused.contains("choose another file"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(yard.path(name)).unwrap(), text);
    }
    let held = fs::File::open(yard.path("rows.csv")).unwrap();
    held.lock().unwrap();
    assert!(yard.fails(1, all).contains("rows.csv: another process writes to it"));
    drop(held);
    let refused = yard.fails(2, "classify pictures/val/red --run runs/run --to rows.txt");
    assert!(refused.contains("ends in .jsonl or .csv"), "{refused}");
    assert_eq!(fs::read_to_string(yard.path("rows.csv")).unwrap(), before);
    // A torn last row is written again.
    fs::write(yard.path("rows.csv"), &before[..before.len() - 9]).unwrap();
    yard.ok(all);
    let after = fs::read_to_string(yard.path("rows.csv")).unwrap();
    let (last, torn) = (after.lines().last().unwrap(), before.lines().last().unwrap());
    assert!(after.lines().count() == before.lines().count() && last[..60] == torn[..60], "{last}");
    // The same name, other weights.
    let weights = yard.path("runs/run/best.safetensors");
    yard.ok("classify pictures/val/red --weights runs/run/best.safetensors --to best.csv");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let refused =
        yard.fails(2, "classify pictures/val/red --weights runs/run/best.safetensors --to best.csv");
    assert!(refused.contains("best.csv: its rows are of model") && refused.contains("sha256"), "{refused}");
}

#[test]
fn json_has_the_pictures_that_cannot_be_read_too() {
    let yard = yard();
    let out = yard.run("classify many --run runs/run --json");
    assert_eq!(out.status.code(), Some(1));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(rows.len(), PICTURES);
    assert_eq!(rows.iter().filter(|row| row["error"].is_string()).count(), PICTURES / 100);
}

#[test]
fn predictions_go_on_and_the_metrics_are_of_all_rows() {
    let yard = yard();
    fs::remove_dir_all(yard.path("many")).unwrap();
    let damaged = fs::read(yard.path("pictures/val/red/00.bmp")).unwrap();
    fs::write(yard.path("pictures/val/red/99.bmp"), &damaged[..40]).unwrap();
    let whole = yard.json("eval --run runs/run --json --per-class");
    assert_eq!((&whole["images"], &whole["skipped"]), (&33.into(), &1.into()));
    for key in ["top1", "top5", "loss", "ece", "balanced_accuracy", "f1"] {
        assert!(whole[key].is_number(), "{key}: {whole}");
    }
    for to in ["predictions.csv", "predictions.jsonl"] {
        let line = format!("eval --run runs/run --predictions {to} --json --per-class");
        assert_eq!(yard.json(&line), whole);
        let text = fs::read_to_string(yard.path(to)).unwrap();
        assert_eq!(text.lines().count(), 34 + usize::from(to.ends_with("csv")));
        // Half of it, and a torn row.
        fs::write(yard.path(to), &text[..text.len() / 2]).unwrap();
        let again = yard.json(&line);
        for key in ["images", "skipped", "top1", "top5", "balanced_accuracy", "f1", "classes"] {
            assert_eq!(again[key], whole[key], "{key}");
        }
        let close = |key: &str| (again[key].as_f64().unwrap() - whole[key].as_f64().unwrap()).abs() < 1e-5;
        assert!(close("loss") && close("ece"), "{again} {whole}");
        assert_eq!(fs::read_to_string(yard.path(to)).unwrap().lines().count(), text.lines().count());
        assert_eq!(yard.json(&line)["top1"], whole["top1"], "nothing is left to do");
        let refused = yard.fails(2, &format!("{line} --protocol ten-crop"));
        assert!(refused.contains("its rows are of protocol `center`, not of `ten-crop`"), "{refused}");
        let refused = yard.fails(2, &format!("{line} --data pictures/val"));
        assert!(refused.contains("its rows are of data"), "{refused}");
        fs::rename(yard.path("pictures/val/red/00.bmp"), yard.path("00.bmp")).unwrap();
        let refused = yard.fails(2, &line);
        assert!(refused.contains("00.bmp`, which the data does not have"), "{refused}");
        fs::rename(yard.path("00.bmp"), yard.path("pictures/val/red/00.bmp")).unwrap();
    }
}
