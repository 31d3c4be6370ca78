//! Errors of configurations carry their place as data.

use std::fs;
use tchvision::train::{AdamW, OptimizerConfig, RunConfig};
use tchvision::yaml::{ConfigError, Document, Override, Place};

const RUN: &str = "\
model: {name: paper/resnet20, num_classes: 10}
data: {dataset: fashion-mnist}
train:
  epochs: 3
  optimizer: {sgd: {lr: 0.1}}
";

/// What is wrong with `text` under these overrides, found when it is read, else when it is checked.
fn fault(text: &str, overrides: &[&str]) -> ConfigError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.yaml");
    fs::write(&path, text).unwrap();
    let overrides = overrides.iter().map(|text| Override::new(text).unwrap()).collect();
    let found = Document::read(&path, overrides).and_then(|document| RunConfig::read(&document));
    let error = found.unwrap_err().context("some context");
    let mut fault = error.downcast_ref::<ConfigError>().unwrap_or_else(|| panic!("{error:#}")).clone();
    assert!(format!("{error:#}").ends_with(&fault.to_string()));
    if let Place::File { file, .. } = &mut fault.place {
        assert_eq!(*file, path.display().to_string());
        *file = "run.yaml".to_owned();
    }
    fault
}

#[test]
fn a_file_is_wrong_at_a_line_and_a_column() {
    assert_eq!(RunConfig::validate(&tchvision::yaml::parse(RUN, "run.yaml").unwrap()).ok(), Some(()));
    for (from, to, keys, shown) in [
        ("epochs: 3", "epochs: x", "train.epochs", "run.yaml:4:11: `train.epochs`: expected a whole number"),
        ("epochs: 3", "epochs: 0", "train.epochs", "run.yaml:4:11: `train.epochs`: 0 is impossible"),
        (
            "epochs:",
            "epoch:",
            "train.epoch",
            "run.yaml:4:3: unknown key `train.epoch`; did you mean `epochs`?",
        ),
        (
            "lr: 0.1",
            "lr: -1",
            "train.optimizer.sgd.lr",
            "run.yaml:5:25: `train.optimizer.sgd.lr`: -1 is not a number from 0 up",
        ),
        (
            "num_classes",
            "num_clases",
            "model.num_clases",
            "run.yaml:1:31: unknown field `num_clases` of paper/resnet20; did you mean `num_classes`?",
        ),
        (
            "resnet20",
            "resnet21",
            "model.name",
            "run.yaml:1:15: `model.name`: unknown model `paper/resnet21`; did",
        ),
        ("10}", "10, num_layers: 21}", "model.num_layers", "run.yaml:1:60: "),
        ("fashion-mnist", "[", "", "run.yaml:2:"),
    ] {
        let fault = fault(&RUN.replace(from, to), &[]);
        assert!(fault.to_string().starts_with(shown), "{fault}\n{shown}");
        assert_eq!(fault.keys.join("."), keys, "{fault}");
    }
}

#[test]
fn numbers_and_bare_names_are_read_as_people_write_them() {
    let read = |optimizer: &str, overrides: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.yaml");
        fs::write(&path, RUN.replace("{sgd: {lr: 0.1}}", optimizer)).unwrap();
        let overrides = overrides.iter().map(|text| Override::new(text).unwrap()).collect();
        let config = Document::read(&path, overrides).and_then(|document| RunConfig::read(&document));
        config.unwrap().train.optimizer
    };
    let adamw = |lr| OptimizerConfig::AdamW(AdamW { lr, ..AdamW::default() });
    assert_eq!(read("adamw", &[]), adamw(1e-3));
    for number in ["5e-4", "5.0e-4", "0.0005", "5.E-4", "+.0005"] {
        assert_eq!(read(&format!("{{adamw: {{lr: {number}}}}}"), &[]), adamw(5e-4), "{number}");
    }
    // A key of the choice that is there, also of a bare one; the choice as a whole.
    assert_eq!(read("adamw", &["train.optimizer.adamw.lr=5e-4"]), adamw(5e-4));
    assert_eq!(read("sgd", &["train.optimizer={adamw: {lr: 5e-4}}"]), adamw(5e-4));
    assert_eq!(read("{sgd: {lr: 0.1}}", &["train.optimizer=adamw"]), adamw(1e-3));
}

#[test]
fn an_override_is_wrong_as_it_was_given() {
    for (given, keys, message) in [
        ("train.epochs=x", "train.epochs", "expected a whole number from 0 up, not the text `x`"),
        ("train.epochs=0", "train.epochs", "0 is impossible"),
        ("train.epoch=3", "train.epoch", "did you mean `epochs`?"),
        ("train.epochs.x=3", "train.epochs.x", "`train.epochs` is 3, so `x` cannot be set in it"),
        ("train.optimizer.adamw.lr=1", "train.optimizer", "write 'train.optimizer={adamw: {lr: 1}}'"),
        ("model.num_layers=21", "model.num_layers", "num_layers"),
        ("model.name=paper/resnet21", "model.name", "did you mean"),
    ] {
        let fault = fault(RUN, &["seed=1", given]);
        assert_eq!(fault.place, Place::Override(given.to_owned()));
        assert_eq!(fault.keys.join("."), keys);
        assert!(fault.message.contains(message), "{fault}");
    }
    // Of several, the one with which it begins; where it is in the file is said too.
    let changed = ["model.name=paper/wrn_16_4", "model.name=resnet50", "seed=2"];
    let begins = fault(&RUN.replace("10}", "10, num_layers: 20}"), &changed);
    assert_eq!(begins.place, Place::Override("model.name=resnet50".to_owned()));
    let message = begins.message;
    assert!(
        message.contains("`num_layers` of torchvision/resnet50") && message.ends_with("1:48)"),
        "{message}"
    );
    // What the file itself has wrong is still the file's.
    let fault = fault(&RUN.replace("epochs: 3", "epochs: x"), &["seed=1"]);
    assert!(fault.to_string().starts_with("run.yaml:4:11: "), "{fault}");
}
