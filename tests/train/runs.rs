//! Training: optimizers against PyTorch's numbers, and runs that are killed, stopped, broken and started again.

use crate::common::lab::{Lab, bits, kill_until_done, text, written};
use crate::common::{assert_close, golden, images, value, values};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use tch::{Device, Kind, Tensor};
use tchvision::data::image;
use tchvision::train::{Adam, AdamW, Lamb, Optimizer, OptimizerConfig, RmsProp, Sgd, TrainConfig};
use tchvision::weights::StateFile;

#[test]
fn optimizers_are_those_of_the_libraries() {
    let sgd = |momentum, nesterov, weight_decay| {
        OptimizerConfig::Sgd(Sgd { lr: 0.05, momentum, nesterov, weight_decay })
    };
    let rms = |tf, eps| {
        OptimizerConfig::RmsProp(RmsProp { lr: 0.01, alpha: 0.9, momentum: 0.9, eps, weight_decay: 0.1, tf })
    };
    let lamb = |lr, weight_decay, max_grad_norm, adapted| {
        let (betas, eps) = ([0.9, 0.999], 1e-6);
        let (trust_clip, always_adapt) = (adapted, adapted);
        OptimizerConfig::Lamb(Lamb { lr, betas, eps, weight_decay, max_grad_norm, trust_clip, always_adapt })
    };
    let (lr, betas, eps, weight_decay) = (0.02, [0.9, 0.99], 1e-8, 0.1);
    let of = |optimizer| TrainConfig { optimizer, ..TrainConfig::default() };
    let clipped = || of(sgd(0.9, false, 0.0));
    let rules = [
        ("sgd", of(sgd(0.0, false, 0.1))),
        ("sgd_nesterov", of(sgd(0.9, true, 5e-4))),
        ("adamw", of(OptimizerConfig::AdamW(AdamW { lr, betas, eps, weight_decay }))),
        ("adam", of(OptimizerConfig::Adam(Adam { lr, betas, eps, weight_decay }))),
        ("lamb", of(lamb(0.02, 0.02, Some(1.0), false))),
        ("lamb_plain", of(lamb(0.02, 0.0, None, false))),
        ("lamb_clipped", of(lamb(0.1, 0.1, Some(1.0), true))),
        ("rmsprop", of(rms(false, 1e-8))),
        ("rmsprop_tf", of(rms(true, 1e-3))),
        ("clipped", TrainConfig { clip_grad_norm: Some(0.5), ..clipped() }),
        ("clipped_value", TrainConfig { clip_grad_value: Some(0.3), ..clipped() }),
        ("clipped_adaptive", TrainConfig { clip_grad_adaptive: Some(0.05), ..clipped() }),
    ];
    let golden = golden("optimizers.json");
    assert_eq!(golden.as_object().unwrap().len(), rules.len());
    for (name, config) in rules {
        let lr = config.optimizer.lr();
        let params = [("a", &[4i64, 3][..]), ("b", &[5])].map(|(key, shape)| {
            (key.to_owned(), value(key, shape).to_kind(Kind::Double).set_requires_grad(true))
        });
        // What adaptive clipping spares.
        let spared = ["c", "d"].map(|key| {
            (key.to_owned(), Tensor::zeros([1], (Kind::Double, Device::Cpu)).set_requires_grad(true))
        });
        let targets = [images("target.a", &[4, 3]), images("target.b", &[5])];
        let all: Vec<(String, Tensor)> =
            params.iter().chain(&spared).map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect();
        let mut optimizer = Optimizer::new(&config, &all).unwrap();
        for _ in 0..100 {
            optimizer.zero_grad().unwrap();
            let parts: Vec<Tensor> =
                params.iter().zip(&targets).map(|((_, p), t)| (p - t).square().sum(Kind::Double)).collect();
            (&parts[0] + &parts[1]).backward();
            optimizer.clip(&config).unwrap();
            optimizer.step(lr).unwrap();
        }
        for (i, (key, param)) in params.iter().enumerate() {
            assert_close(&format!("{name}: {key}"), &values(param), &golden[name][i], 1e-10);
        }
    }
}

#[test]
fn weight_decay_can_spare_norms_and_biases() {
    let params = vec![
        ("conv.weight".to_owned(), value("w", &[4, 3]).set_requires_grad(true)),
        ("conv.bias".to_owned(), value("b", &[4]).set_requires_grad(true)),
    ];
    let optimizer = OptimizerConfig::Sgd(Sgd { lr: 1.0, momentum: 0.0, nesterov: false, weight_decay: 0.5 });
    let config = TrainConfig { optimizer, decay_norm_and_bias: false, ..TrainConfig::default() };
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    let before: Vec<Vec<f64>> = params.iter().map(|(_, p)| values(p)).collect();
    params.iter().map(|(_, p)| (p * 0.0).sum(Kind::Float)).reduce(|a, b| a + b).unwrap().backward();
    optimizer.step(1.0).unwrap();
    let halved: Vec<f64> = before[0].iter().map(|x| x / 2.0).collect();
    assert_close("decayed", &values(&params[0].1), &serde_json::json!(halved), 1e-7);
    assert_eq!(values(&params[1].1), before[1]);
}

fn rows(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn result(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(dir.join("result.json")).unwrap()).unwrap()
}

/// The numbers of two runs are the same, whatever the clock said.
fn assert_same_run(a: &Path, b: &Path) {
    assert!(bits(&a.join("last.safetensors")) == bits(&b.join("last.safetensors")), "other final state");
    assert!(bits(&a.join("best.safetensors")) == bits(&b.join("best.safetensors")), "other best weights");
    let numbers = |dir: &Path| {
        let keys = ["epoch", "step", "lr", "train_loss", "train_top1", "test_loss", "test_top1", "raw_top1"];
        rows(dir).iter().map(|row| keys.map(|key| row[key].clone())).collect::<Vec<_>>()
    };
    assert_eq!(numbers(a), numbers(b));
}

const LONG: &str = "epochs: 6, ema: 0.9, save_every: 4, clip_grad_norm: 1.0, label_smoothing: 0.1, \
                    optimizer: {sgd: {lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5.0e-4}}, \
                    schedule: {cosine: {warmup_epochs: 1}}";

#[test]
fn killed_at_any_moment_a_run_ends_with_the_same_bits() {
    let lab = Lab::new();
    let yaml = lab.yaml("killed", LONG);
    let (whole, killed) = (lab.dir("whole"), lab.dir("killed"));
    let out = lab.train(&yaml, &whole);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let saved = || written(&killed.join("last.safetensors"));
    assert!(kill_until_done(|| lab.start(&yaml, &killed), saved) > 0);
    assert_same_run(&whole, &killed);
    assert_eq!(result(&whole)["steps"], 60);
    assert_eq!(result(&whole)["machine"], tchvision::machine::cpu());
    assert!(result(&whole)["wall_time"].as_f64().unwrap() > 1.7e9);
    assert_eq!(result(&whole)["top1"], result(&killed)["top1"]);
    let left: Vec<_> = fs::read_dir(&killed).unwrap().map(|e| e.unwrap().file_name()).collect();
    let events = left.iter().filter(|name| name.to_string_lossy().contains("tfevents")).count();
    assert_eq!(events, 1, "{left:?}");
}

/// A threshold that no evaluation reaches: the rate falls after every second one.
#[test]
fn a_plateau_goes_on_after_a_kill_as_without() {
    let lab = Lab::new();
    let plateau = "plateau: {factor: 0.5, patience: 1, threshold: 100, threshold_mode: abs}";
    let yaml = lab.yaml("plateau", &LONG.replace("cosine: {warmup_epochs: 1}", plateau));
    let (whole, killed) = (lab.dir("whole"), lab.dir("killed"));
    let out = lab.train(&yaml, &whole);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let saved = || written(&killed.join("last.safetensors"));
    assert!(kill_until_done(|| lab.start(&yaml, &killed), saved) > 0);
    assert_same_run(&whole, &killed);
    let lr: Vec<f64> = rows(&whole).iter().map(|row| row["lr"].as_f64().unwrap()).collect();
    assert_eq!(lr, [0.05, 0.05, 0.05, 0.025, 0.025, 0.0125]);
}

#[cfg(unix)]
#[test]
fn interrupted_a_run_saves_says_how_to_go_on_and_goes_on() {
    let lab = Lab::new();
    // No saving within an epoch but for the signal's.
    let yaml = lab.yaml("stopped", &LONG.replace("save_every: 4, ", ""));
    let (whole, stopped) = (lab.dir("whole"), lab.dir("stopped"));
    assert!(lab.train(&yaml, &whole).status.success());
    let mut interruptions = 0;
    for signal in ["-INT", "-TERM", "-INT"] {
        // Each process writes the metrics anew once it is ready to train.
        let metrics = stopped.join("metrics.jsonl");
        let before = written(&metrics);
        let mut child = lab.start(&yaml, &stopped);
        while written(&metrics) == before && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(5));
        }
        sleep(Duration::from_millis(60));
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        let out = child.wait_with_output().unwrap();
        if out.status.success() {
            break;
        }
        assert_eq!(out.status.code(), Some(75), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("run the same command again to go on"), "{}", text(&out.stderr));
        assert!(!stopped.join("result.json").exists() && !stopped.join("failed.txt").exists());
        interruptions += 1;
    }
    assert!(interruptions >= 1);
    assert!(lab.train(&yaml, &stopped).status.success());
    assert_same_run(&whole, &stopped);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint() {
    let lab = Lab::new();
    let train =
        "epochs: 3, optimizer: {sgd: {lr: 0.01}}, schedule: {multi_step: {milestones: [1], gamma: 1.0e+30}}";
    let (yaml, dir) = (lab.yaml("nan", train), lab.dir("nan"));
    let out = lab.train(&yaml, &dir);
    assert_eq!(out.status.code(), Some(1));
    let reason = fs::read_to_string(dir.join("failed.txt")).unwrap();
    for part in ["in epoch 2, after step 1", "lr 1.000e28", "last good checkpoint is", "clip_grad_norm"] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
    assert!(text(&out.stderr).contains(&reason));
    for (name, bytes) in bits(&dir.join("last.safetensors")) {
        let finite = |chunk: &[u8]| f32::from_le_bytes(chunk.try_into().unwrap()).is_finite();
        assert!(bytes.chunks_exact(4).all(finite), "{name}");
    }
    assert_eq!(rows(&dir).len(), 1);
    assert!(!dir.join("result.json").exists());
}

#[test]
fn every_rule_and_schedule_learns() {
    let lab = Lab::new();
    let variants = [
        "optimizer: {sgd: {lr: 0.1, nesterov: true}}, schedule: {cosine: {warmup_epochs: 0.5}}",
        "optimizer: {adamw: {lr: 0.01}}, schedule: {constant: {}}, precision: bfloat16",
        "optimizer: {rmsprop: {lr: 0.02, momentum: 0.9, tf: true}}, schedule: {step: {every: 2}}, ema: 0.9999",
        "optimizer: {rmsprop: {lr: 0.003}}, schedule: {multi_step: {milestones: [2, 3]}}, eval_every: 4, precision: tf32",
        "optimizer: {sgd: {lr: 0.1}}, schedule: {plateau: {patience: 0, metric: top1}}",
    ];
    for (i, variant) in variants.iter().enumerate() {
        let (yaml, dir) = (lab.yaml("learns", &format!("epochs: 4, {variant}")), lab.dir(&i.to_string()));
        let out = lab.train(&yaml, &dir);
        assert!(out.status.success(), "{variant}: {}", text(&out.stderr));
        let top1 = result(&dir)["top1"].as_f64().unwrap();
        assert!(top1 > 80.0, "{variant}: top-1 {top1} %");
        assert!(text(&out.stdout).contains("top-1"), "{}", text(&out.stdout));
        let stderr = text(&out.stderr);
        let epochs = stderr.lines().filter(|line| line.starts_with("epoch "));
        assert_eq!(epochs.count(), 4, "one line an epoch: {stderr}");
        assert_eq!(
            stderr.lines().filter(|line| line.starts_with("step ")).count(),
            13,
            "of forty steps: {stderr}"
        );
        let evaluated = rows(&dir).iter().filter(|row| !row["test_top1"].is_null()).count();
        assert_eq!(evaluated, if variant.contains("eval_every") { 1 } else { 4 });
    }
}

/// Ten steps are an epoch here.
#[test]
fn a_budget_ends_the_run_and_its_last_epoch_is_evaluated() {
    let lab = Lab::new();
    let ended = |name: &str, train: &str| {
        let out = lab.train(&lab.yaml(name, train), &lab.dir(name));
        assert!(out.status.success(), "{}", text(&out.stderr));
        let result = result(&lab.dir(name));
        (result["epochs"].as_u64().unwrap(), result["steps"].as_u64().unwrap(), rows(&lab.dir(name)))
    };
    let (epochs, steps, rows) =
        ended("steps", "epochs: 5, steps: 14, eval_every: 9, optimizer: {sgd: {lr: 0.05}}");
    assert_eq!((epochs, steps, rows.len()), (2, 14, 2));
    assert!(rows[0]["test_top1"].is_null() && rows[1]["test_top1"].is_number());
    // The cosine spans the fourteen steps.
    assert!(rows[1]["lr"].as_f64().unwrap() < 0.05 * 0.02, "{rows:?}");
    let (epochs, _, rows) = ended("minutes", "epochs: 500, minutes: 0.0001, eval_every: 9");
    assert_eq!((epochs, rows.len()), (1, 1));
    let (epochs, _, rows) = ended("patience", "epochs: 40, patience: 2, optimizer: {sgd: {lr: 0.1}}");
    let top1: Vec<f64> = rows.iter().map(|row| row["test_top1"].as_f64().unwrap()).collect();
    let best = |n: usize| top1[..n].iter().copied().fold(f64::MIN, f64::max);
    let stale = |n: usize| n > 2 && best(n) == best(n - 2);
    assert_eq!((1..=40).find(|&n| n == 40 || stale(n)), Some(top1.len()), "{top1:?}");
    assert_eq!(epochs as usize, top1.len());
}

#[test]
fn auxiliary_heads_train_what_lies_below_them() {
    let lab = Lab::new();
    let trained = |weight: &str| {
        let name = format!("auxiliary{weight}");
        let yaml = lab.yaml(&name, &format!("steps: 2, auxiliary_weight: {weight}"));
        let net = "model: {name: torchvision/googlenet, in_chans: 1, num_classes: 4}";
        let rest = fs::read_to_string(&yaml).unwrap().replace("augment: [pad_crop: 1]", "image_size: 32");
        fs::write(&yaml, format!("{net}\n{}", rest.split_once('\n').unwrap().1)).unwrap();
        let out = lab.train(&yaml, &lab.dir(&name));
        assert!(out.status.success(), "{}", text(&out.stderr));
        bits(&lab.dir(&name).join("last.safetensors"))
    };
    let (without, with) = (trained("0.0"), trained("0.3"));
    let differs = |key: &str| {
        let of = |all: &[(String, Vec<u8>)]| all.iter().find(|(name, _)| name == key).unwrap().1.clone();
        of(&without) != of(&with)
    };
    assert!(differs("conv1.conv.weight") && differs("aux1.fc2.weight") && differs("aux2.conv.conv.weight"));
    assert!(!differs("inception5b.branch1.bn.num_batches_tracked"));
}

/// All 16 in one picture, each from black at its least weight to white at its greatest.
#[test]
fn the_first_filters_of_both_towers_are_shown() {
    let lab = Lab::new();
    let yaml = lab.yaml("towers", "steps: 2");
    let conv =
        |rest: &str| format!("{{kernel: 3, stride: 1, padding: 1, pool: false, pool_padding: 0, {rest}}}");
    let convs = [conv("channels: 16, groups: 1, norm: none"), conv("channels: 8, groups: 2, norm: none")];
    let net = format!("name: paper/alexnet, towers: 2, hidden: [8], convs: [{}]", convs.join(", "));
    let net = format!("model: {{{net}, in_chans: 1, num_classes: 4}}");
    let rest = fs::read_to_string(&yaml).unwrap();
    fs::write(&yaml, format!("{net}\n{}", rest.split_once('\n').unwrap().1)).unwrap();
    let dir = lab.dir("towers");
    let out = lab.train(&yaml, &dir);
    assert!(out.status.success(), "{}", text(&out.stderr));

    let mut files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let events = files.find(|path| path.to_string_lossy().contains("tfevents")).unwrap();
    let events = fs::read(events).unwrap();
    let at = |what: &[u8]| events.windows(what.len()).position(|window| window == what).unwrap();
    let picture = image::decode(&events[at(b"\x89PNG")..at(b"IEND") + 8]).unwrap();
    // Four rows of 3×3 pixels, each of them 16×16 and a line between two filters.
    assert_eq!((picture.width, picture.height), (196, 196));
    let weights = StateFile::open(&dir.join("last.safetensors")).unwrap();
    let tower = |i: i64| weights.get(&format!("towers.{i}.features.0.weight")).unwrap().copy();
    let towers = [0, 1].map(tower);
    let filters = values(&Tensor::cat(&towers, 0));
    assert_eq!(filters.len(), 16 * 9);
    for (i, filter) in filters.chunks(9).enumerate() {
        let [low, high] = [f64::min, f64::max].map(|pick| filter.iter().copied().reduce(pick).unwrap());
        for (j, weight) in filter.iter().enumerate() {
            let (x, y) = (i % 4 * 49 + j % 3 * 16, i / 4 * 49 + j / 3 * 16);
            let shown = f64::from(picture.pixels[3 * (y * 196 + x)]);
            assert!((shown - 255.0 * (weight - low) / (high - low)).abs() < 0.51, "filter {i}, weight {j}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let lab = Lab::new();
    let yaml = lab.yaml("seeded", "epochs: 1");
    let [a, b, c] = ["a", "b", "c"].map(|name| lab.dir(name));
    assert!(lab.train(&yaml, &a).status.success());
    assert!(lab.train(&yaml, &b).status.success());
    assert!(lab.command(&yaml, &c).arg("seed=6").output().unwrap().status.success());
    assert_same_run(&a, &b);
    assert!(bits(&a.join("last.safetensors")) != bits(&c.join("last.safetensors")));
}

#[test]
fn a_finished_run_is_not_run_again_and_another_configuration_is_refused() {
    let lab = Lab::new();
    let (yaml, dir) = (lab.yaml("done", "epochs: 1"), lab.dir("done"));
    assert!(lab.train(&yaml, &dir).status.success());
    let written = |name: &str| fs::metadata(dir.join(name)).unwrap().modified().unwrap();
    let before = written("last.safetensors");
    let again = lab.train(&yaml, &dir);
    assert!(again.status.success());
    assert_eq!((written("last.safetensors"), text(&again.stderr)), (before, String::new()));
    let other = lab.command(&yaml, &dir).arg("train.epochs=2").output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("train.epochs is 1 there, 2 here"), "{}", text(&other.stderr));
    assert!(dir.join("result.json").exists(), "nothing is lost");
}

#[test]
fn two_processes_do_not_train_in_one_directory() {
    let lab = Lab::new();
    let (yaml, dir) = (lab.yaml("locked", "epochs: 1"), lab.dir("locked"));
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("run.lock")).unwrap();
    lock.lock().unwrap();
    let out = lab.train(&yaml, &dir);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("another process trains there"), "{}", text(&out.stderr));
    drop(lock);
    assert!(lab.train(&yaml, &dir).status.success());
}

#[test]
fn what_does_not_fit_is_refused_before_training() {
    let lab = Lab::new();
    let yaml = lab.yaml("wrong", "epochs: 1");
    let refused = |change: &str| {
        let dir = lab.dir(&change.replace(['.', '=', '/'], "_"));
        let out = lab.command(&yaml, &dir).arg(change).output().unwrap();
        assert!(!out.status.success(), "{change}");
        assert!(!dir.join("last.safetensors").exists());
        text(&out.stderr)
    };
    for (change, message) in [
        ("model.num_classes=7", "set `model.num_classes: 4`"),
        ("model.in_chans=3", "a convolution of 3 channels does not take 1"),
        ("model.name=paper/resnet21", "did you mean"),
        ("model.widht=2", "did you mean `width`"),
        ("train.epochs=0", "`train.epochs=0`: 0 is impossible"),
        ("train.batch_size=1000", "1000 is more than the 320 training images"),
        ("train.optimizer.sgd.momentun=0.5", "did you mean `momentum`"),
        ("train.label_smoothing=1.5", "not in [0, 1)"),
        ("device=tpu", "`tpu`"),
        ("data.dataset=fashion-mnits", "fashion-mnist"),
    ] {
        let got = refused(change);
        assert!(got.contains(message), "{change}: {message:?} is not in {got:?}");
    }
    // A checkpoint that is damaged is named, and stays.
    let dir = lab.dir("damaged");
    assert!(lab.train(&yaml, &dir).status.success());
    fs::remove_file(dir.join("result.json")).unwrap();
    let last = dir.join("last.safetensors");
    let whole = fs::read(&last).unwrap();
    File::create(&last).unwrap().write_all(&whole[..whole.len() / 2]).unwrap();
    let out = lab.train(&yaml, &dir);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("last.safetensors: not a valid safetensors file"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(fs::read(&last).unwrap().len(), whole.len() / 2);
}
