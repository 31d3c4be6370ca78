//! What a run tells: before it starts, while it goes, and when it cannot fit.

use super::yard::{Yard, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUN: &str = "model: {name: paper/resnet20, num_layers: 8}\n\
    data: {dataset: 'folder:pictures', image_size: 24, workers: 2}\n\
    train: {epochs: 3, batch_size: 8, log_every: 3, ema: 0.7, optimizer: {sgd: {lr: 0.05, momentum: 0.9}}}\n\
    seed: 4\nthreads: 1\ndevice: cpu\n";

fn yard() -> Yard {
    let yard = Yard::new();
    yard.write("run.yaml", RUN);
    yard
}

#[test]
fn the_plan_has_the_facts_and_leaves_nothing() {
    let yard = yard();
    let before = fs::read_dir(yard.path(".")).unwrap().count();
    let text = yard.ok("train run.yaml --plan");
    for line in [
        "model      paper/resnet20: 74,835 parameters, ",
        "weights    new, seed 4",
        "data       folder:pictures: 72 training and 33 test images",
        "input      3×24×24, 3 classes",
        "training   27 steps of 8 images: 3 epochs of 9 steps",
        "optimizer  sgd lr 0.05, momentum 0.9; cosine",
        "device     cpu, ",
        "float32, 1 thread, 2 loading threads",
        "memory     about ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let plan = yard.json("train run.yaml --plan --json --out there");
    assert_eq!(fs::read_dir(yard.path(".")).unwrap().count(), before, "something was left");
    let cost =
        yard.json("models show paper/resnet20 --set num_layers=8 --set num_classes=3 --input 24 --json");
    assert_eq!((&plan["params"], &plan["macs"]), (&cost["params"], &cost["macs"]));
    let params = plan["params"].as_u64().unwrap();
    let memory = &plan["memory"];
    assert_eq!((&memory["gradients"], &memory["optimizer"]), (&(4 * params).into(), &(4 * params).into()));
    assert_eq!(memory["weights"], memory["averages"]);
    assert!(memory["available"].as_u64().unwrap() > 1 << 26);

    // The run tells the same, and another start where it begins.
    let events = yard.ok("train run.yaml --out there --events --until 1");
    let started = |events: &str| -> serde_json::Value {
        let mut events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut started = events.find(|event| !event["started"].is_null()).unwrap()["started"].take();
        drop_measured(&mut started);
        started
    };
    let mut wanted = plan.clone();
    drop_measured(&mut wanted);
    assert_eq!(started(&events), wanted);
    let resumed = yard.json("train run.yaml --plan --json --out there");
    assert_eq!(
        (&resumed["step"], &resumed["weights"]),
        (&9.into(), &"there/last.safetensors after step 9".into())
    );
    let text = yard.ok("train run.yaml --plan --out there");
    assert!(text.contains("27 steps of 8 images, from step 9 on: 3 epochs of 9 steps"), "{text}");
    let branched = yard.json("train run.yaml --plan --json --out branch --from there");
    assert_eq!(branched["weights"], "there/last.safetensors after step 9");
    assert!(!yard.path("branch").exists());
}

/// Takes out of a header what is another number every time.
fn drop_measured(header: &mut serde_json::Value) {
    for key in ["available", "resident"] {
        header["memory"][key].take();
    }
}

/// Steps of the tags that TensorBoard's own reader finds in a run directory.
fn curves(dir: &Path) -> serde_json::Value {
    let script = "import json, sys\n\
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        events = EventAccumulator(sys.argv[1]).Reload()\n\
        tags = events.Tags()['scalars']\n\
        print(json.dumps({tag: [e.step for e in events.Scalars(tag)] for tag in tags}))";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let out = Command::new(python).args(["-c", script]).arg(dir).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn lines_and_curves_come_while_an_epoch_runs() {
    let yard = yard();
    // An epoch that does not end by itself in the time of this test.
    let batches = "train.batch_size=1 train.log_every=2";
    let mut child = yard
        .command(&format!("train run.yaml --out run data.augment=[flip] {batches}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told = Vec::new();
    for line in &mut lines {
        told.push(line);
        if told.last().unwrap().starts_with("step 6/") {
            break;
        }
    }
    // SAFETY: a process of this test.
    unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) };
    assert!(child.try_wait().unwrap().is_none(), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("epoch ")), "an epoch is over: {told:?}");
    let steps: Vec<&String> = told.iter().filter(|line| line.starts_with("step ")).collect();
    assert_eq!(steps.len(), 3, "{told:?}");
    assert!(
        steps[0].starts_with("step 2/216 epoch 1 loss ") && steps[0].contains(" lr 0.05"),
        "{}",
        steps[0]
    );
    assert!(steps[2].contains(" img/s ") && steps[2].ends_with(" left"), "{}", steps[2]);
    assert!(told[0].starts_with("model      paper/resnet20"), "{told:?}");
    let shown = curves(&yard.path("run"));
    let points = shown["train/loss"].as_array().unwrap();
    assert!(points.len() >= 3 && points[2] == 6, "{shown}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn tensorboard_has_groups_of_tags_over_steps() {
    let yard = yard();
    yard.ok("train run.yaml --out run");
    let shown = curves(&yard.path("run"));
    let points = [3, 6, 9, 12, 15, 18, 21, 24, 27];
    let epochs = [9, 18, 27];
    let mut tags = Vec::new();
    for tag in ["train/loss", "train/lr"] {
        assert_eq!(shown[tag], serde_json::json!(points), "{tag}");
        tags.push(tag);
    }
    for tag in [
        "train/epoch_loss",
        "train/top1",
        "train/images_per_second",
        "train/peak_memory_bytes",
        "test/loss",
        "test/top1",
        "test/top5",
        "test/top1_raw",
    ] {
        assert_eq!(shown[tag], serde_json::json!(epochs), "{tag}");
        tags.push(tag);
    }
    assert_eq!(shown.as_object().unwrap().len(), tags.len(), "{shown}");
}

#[test]
fn a_run_beyond_the_memory_is_refused_before_it_takes_any() {
    let yard = yard();
    let within = |kilobytes: u64, line: &str| {
        let begun = Instant::now();
        let out = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -v {kilobytes}; exec {} {line}", env!("CARGO_BIN_EXE_tchvision")))
            .current_dir(yard.path("."))
            .output()
            .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20), "{line}: {:?}", begun.elapsed());
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout),
        )
    };
    // The libraries alone take up addresses; a hundredth of these weights would not fit beside them.
    let limit = 12 << 20;
    let wide = "train run.yaml model.width=3000 --out run";
    let (code, text) = within(limit, wide);
    assert_eq!(code, Some(2), "{text}");
    let message = text.lines().last().unwrap();
    assert!(message.contains("run.yaml:1:8: "), "{text}");
    for part in ["642825 M parameters take", "GiB", "are available", "train.allow_memory: true"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!yard.path("run").exists());
    let (code, text) = within(limit, "train run.yaml train.batch_size=72 data.image_size=4096 --out run");
    assert_eq!(code, Some(2), "{text}");
    let message = text.lines().last().unwrap();
    assert!(message.contains("batch_size") && message.contains("72 images take about"), "{text}");
    // Who insists gets what libtorch says of it.
    let (code, text) = within(limit, &format!("{wide} train.allow_memory=true"));
    assert!(
        code == Some(1) && text.contains("memory") && !text.contains("are available;"),
        "{code:?} {text}"
    );
    assert!(!yard.path("run").exists());
    // Counting alone needs no memory.
    let (code, text) = within(limit, "train run.yaml model.width=3000 --plan");
    assert!(code == Some(0) && text.contains(" more are needed, but "), "{text}");
    let (code, text) = within(limit, "models show paper/resnet20 --set width=3000");
    assert_eq!(code, Some(0), "{text}");
    let base = RUN.replace('\n', "\n  ");
    yard.write(
        "widths.yaml",
        &format!("question: Wide?\nbase:\n  {base}\naxes: {{model.width: [1, 3000]}}\n"),
    );
    let (code, text) = within(limit, "experiment plan widths.yaml");
    assert!(code == Some(0) && text.contains("642.82 G"), "{text}");
}

#[test]
fn a_run_with_an_average_of_before_its_warm_up_is_told_so() {
    let yard = yard();
    yard.ok("train run.yaml --out run --events --until 1");
    let config = fs::read_to_string(yard.path("run/config.yaml")).unwrap();
    assert!(config.contains("  ema:\n    decay: 0.7\n    warmup: true\n"), "{config}");
    fs::write(
        yard.path("run/config.yaml"),
        config.replace("ema:\n    decay: 0.7\n    warmup: true\n", "ema: 0.7\n"),
    )
    .unwrap();
    let refused = yard.fails(2, "train run.yaml --out run");
    assert!(refused.contains("train.ema.warmup is false there, true here"), "{refused}");
    // So it goes on as it began.
    yard.write("plain.yaml", &RUN.replace("ema: 0.7", "ema: {decay: 0.7, warmup: false}"));
    yard.ok("train plain.yaml --out run");
    assert_eq!(json(&yard.path("run/result.json"))["epochs"], 3);
    let wrong = yard.fails(2, "train run.yaml train.ema={decay:1.5} --out other");
    assert!(wrong.contains("train.ema"), "{wrong}");
}
