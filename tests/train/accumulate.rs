//! Steps of several micro-batches against steps of one batch.

use crate::common::lab::{Lab, bits, kill_until_done, text, written};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use tchvision::weights::StateFile;

/// Runs 20 steps with these `train` keys and overrides, and returns the directory.
fn trained(lab: &Lab, name: &str, train: &str, overrides: &[&str]) -> PathBuf {
    let keys = format!("epochs: 2, optimizer: {{sgd: {{lr: 0.05, momentum: 0.9}}}}, {train}");
    let (yaml, dir) = (lab.yaml(name, &keys), lab.dir(name));
    let out = lab.command(&yaml, &dir).args(overrides).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    dir
}

fn tensor(dir: &Path, key: &str) -> Tensor {
    StateFile::open(&dir.join("last.safetensors")).unwrap().get(key).unwrap().copy()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

const NO_DROPOUT: &str = "model.block_dropout=0.0";

#[test]
fn micro_batches_give_the_updates_of_the_whole_batch() {
    let lab = Lab::new();
    let rest = "freeze: ['.*bn.*', norm], label_smoothing: 0.1, clip_grad_norm: 1.0, ema: 0.9";
    let whole = trained(&lab, "whole", rest, &[NO_DROPOUT]);
    let file = StateFile::open(&whole.join("last.safetensors")).unwrap();
    for parts in [2, 8] {
        let name = format!("parts{parts}");
        let split = trained(&lab, &name, &format!("{rest}, accumulate: {parts}"), &[NO_DROPOUT]);
        for key in file.names() {
            let far = distance(&tensor(&whole, key), &tensor(&split, key));
            assert!(far < 1e-5, "{parts} micro-batches: {key} is {far} away");
        }
    }
    // From features that are computed once, too.
    let [whole, split] = ["accumulate: 1", "accumulate: 4"].map(|parts| {
        let name = parts.replace(": ", "");
        trained(&lab, &name, &format!("freeze: all, {parts}"), &[NO_DROPOUT, "data.augment=[]"])
    });
    for key in file.names().iter().filter(|key| key.starts_with("fc.")) {
        assert!(distance(&tensor(&whole, key), &tensor(&split, key)) < 1e-5, "{key}");
    }
}

/// What the first batch norm sees does not depend on the others: its mean over the micro-batches is that of the batch, and
/// so is its variance but for the corrections of 32 and of 8 images, and for what the means of 8 differ by.
#[test]
fn running_statistics_take_a_step_as_one_batch() {
    let lab = Lab::new();
    let still = ["train.optimizer.sgd.lr=1e-30", NO_DROPOUT];
    let whole = trained(&lab, "whole", "accumulate: 1", &still);
    let split = trained(&lab, "split", "accumulate: 4", &still);
    let file = StateFile::open(&whole.join("last.safetensors")).unwrap();
    let key = |ending: &str| {
        let mut keys = file.names().iter().filter(|key| key.ends_with(ending) && !key.contains("optim"));
        keys.next().unwrap().clone()
    };
    let mean = key("running_mean");
    assert!(distance(&tensor(&whole, &mean), &tensor(&split, &mean)) < 1e-6, "{mean}");
    assert!(tensor(&whole, &mean).abs().max().double_value(&[]) > 1e-3);
    let variance = key("running_var");
    let ratio = tensor(&split, &variance) / tensor(&whole, &variance);
    assert!(distance(&ratio, &ratio.ones_like()) < 0.02, "{variance}: {ratio}");
    for key in file.names().iter().filter(|key| key.ends_with("num_batches_tracked")) {
        assert_eq!(tensor(&split, key).int64_value(&[]), 20, "{key}");
    }
}

/// Dropout and mixup are drawn anew for each micro-batch, and a run that is killed goes on to the same bits.
#[test]
fn each_micro_batch_has_its_own_random_numbers_also_after_a_kill() {
    let lab = Lab::new();
    let keys = "epochs: 4, accumulate: 2, ema: 0.9, save_every: 3";
    let yaml = lab.yaml("killed", keys);
    let (whole, killed) = (lab.dir("whole"), lab.dir("killed"));
    let mixed = "data.mix={mixup: 0.2, cutmix: 1.0}";
    let out = lab.command(&yaml, &whole).arg(mixed).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let start = || lab.command(&yaml, &killed).arg(mixed).spawn().unwrap();
    assert!(kill_until_done(start, || written(&killed.join("last.safetensors"))) > 0);
    let [whole, killed] = [whole, killed].map(|dir| bits(&dir.join("last.safetensors")));
    assert!(whole == killed, "other final state");
}

#[test]
fn what_does_not_divide_is_refused_before_anything_runs() {
    let lab = Lab::new();
    for (parts, say) in [("5", "use 4 or 8"), ("40", "use 32"), ("0", "use a number above 0")] {
        let (yaml, dir) = (lab.yaml("refused", &format!("accumulate: {parts}")), lab.dir("refused"));
        let out = lab.train(&yaml, &dir);
        let error = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{error}");
        assert!(error.contains("accumulate") && error.contains(say), "{error}");
        assert!(!dir.exists());
    }
    let yaml = lab.yaml("lbfgs", "accumulate: 2, optimizer: {lbfgs: {}}");
    let error = text(&lab.train(&yaml, &lab.dir("lbfgs")).stderr);
    assert!(error.contains("the batch as one; remove it"), "{error}");
}
