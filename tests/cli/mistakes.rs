//! What people write wrongly, and the whole of what they read then.
//!
//! A row is a line with what is changed and, indented, the message: `FROM => TO` in the file, `*` for all of it, and after
//! a `$` the arguments. Reading them one after another is the review.

use crate::common::lab::{Lab, text};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RUN: &str = "\
model: {name: paper/resnet20, in_chans: 1}
data: {dataset: 'idx:data', augment: [pad_crop: 1, flip]}
train:
  epochs: 3
  batch_size: 32
  optimizer: {sgd: {lr: 0.1, momentum: 0.9}}
  schedule: {cosine: {warmup_epochs: 1}}
";

const EXPERIMENT: &str = "\
question: Is wider better?
base:
  model: {name: paper/wrn_16_4, in_chans: 1}
  data: {dataset: 'idx:data'}
  train: {epochs: 2, optimizer: {sgd: {lr: 0.1}}}
axes: {model.width: [1, 2]}
seeds: 2
";

/// Keys of other programs, misspelt ones, and those that stand elsewhere.
const KEYS: &str = r##"
epochs: 3 => lr: 0.1
    run.yaml:4:3: unknown key `train.lr`; did you mean `train.optimizer.sgd.lr`?
epochs: 3 => amp: true
    run.yaml:4:3: unknown key `train.amp`; write `train.precision: bfloat16`
epochs: 3 => epoch: 3
    run.yaml:4:3: unknown key `train.epoch`; did you mean `epochs`?
epochs: 3 => seed: 1
    run.yaml:4:3: unknown key `train.seed`; did you mean `seed` at the top of the file?
epochs: 3 => batch: 32
    run.yaml:4:3: unknown key `train.batch`; did you mean `batch_size`?
schedule: => lr_scheduler:
    run.yaml:7:3: unknown key `train.lr_scheduler`; did you mean `schedule`?
batch_size: 32 => bs: 32
    run.yaml:5:3: unknown key `train.bs`; did you mean `batch_size`?
lr: 0.1, => lr: 0.1, wd: 5e-4,
    run.yaml:6:30: unknown key `train.optimizer.sgd.wd`; did you mean `weight_decay`?
model: => pretrained: true\nmodel:
    run.yaml:1:1: unknown key `pretrained`; write `init: FILE`
model: => epochs: 90\nmodel:
    run.yaml:1:1: unknown key `epochs`; did you mean `train.epochs`?
model: => momentum: 0.9\nmodel:
    run.yaml:1:1: unknown key `momentum`; did you mean `train.optimizer.sgd.momentum`?
model: => scheduler: step\nmodel:
    run.yaml:1:1: unknown key `scheduler`; did you mean `train.schedule`?
model: => gpu: 0\nmodel:
    run.yaml:1:1: unknown key `gpu`; write `device: cuda`
model: => arch: resnet50\nmodel:
    run.yaml:1:1: unknown key `arch`; did you mean `model.name`?
model: => dataset: cifar10\nmodel:
    run.yaml:1:1: unknown key `dataset`; did you mean `data.dataset`?
model: => output_dir: runs/x\nmodel:
    run.yaml:1:1: unknown key `output_dir`; the run directory is chosen when the run is started, not in its file
model: => axis: x\nmodel:
    run.yaml:1:1: unknown key `axis`; the keys here are model, data, init, train, protocol, seed, device, threads, recipe
{dataset: => {num_workers: 8, dataset:
    run.yaml:2:8: unknown key `data.num_workers`; did you mean `workers`?
{dataset: => {imgsz: 224, dataset:
    run.yaml:2:8: unknown key `data.imgsz`; did you mean `image_size`?
in_chans: 1 => in_chans: 1, pretrained: true
    run.yaml:1:44: unknown field `pretrained` of paper/resnet20; in a run it is `init: FILE`
in_chans: 1 => in_chans: 1, nc: 4
    run.yaml:1:44: unknown field `nc` of paper/resnet20; did you mean `num_classes`?
in_chans: 1 => in_chans: 1, widht: 2
    run.yaml:1:44: unknown field `widht` of paper/resnet20; did you mean `width`?
"##;

/// Overrides: the error names the override.
const OVERRIDES: &str = r##"
$ train.optimizer.adamw.lr=1e-3
    `train.optimizer.adamw.lr=1e-3`: `train.optimizer` is `sgd` in the file; to take `adamw` in its place write 'train.optimizer={adamw: {lr: 0.001}}'
{sgd: {lr: 0.1, momentum: 0.9}} => sgd $ train.optimizer.adamw.lr=1e-3
    `train.optimizer.adamw.lr=1e-3`: `train.optimizer` is `sgd`, so `adamw.lr` cannot be set in it; in its place write 'train.optimizer={adamw: {lr: 0.001}}'
$ train.epochs=x
    `train.epochs=x`: expected a whole number from 0 up, not the text `x`
$ train.epochs=0 seed=3
    `train.epochs=0`: 0 is impossible; use a number above 0
$ lr=0.1
    `lr=0.1`: unknown key `lr`; did you mean `train.optimizer.sgd.lr`?
$ amp=true
    `amp=true`: unknown key `amp`; write `train.precision=bfloat16`
$ train.epoch=3
    `train.epoch=3`: unknown key `train.epoch`; did you mean `epochs`?
$ model.stem=16
    `model.stem=16`: no choice is called `16`; the choices are single, deep, tiered, cifar; what had this name is now `stem_width`
$ model.num_classes=7
    `model.num_classes=7`: the model has 7 classes and data set `idx:data` has 4: set `model.num_classes: 4`
$ model.in_chans=3
    `model.in_chans=3`: paper/resnet20: `stem` cannot take [1, 1, 12, 12] (model input [1, 12, 12]): a convolution of 3 channels does not take 1
in_chans: 1 => num_layers: 20 $ model.name=resnet50
    `model.name=resnet50`: unknown field `num_layers` of torchvision/resnet50; did you mean `layers`? (run.yaml:1:31)
$ model=resnet50
    `model=resnet50`: expected a mapping of keys to values, not the text `resnet50`; write `model.name=resnet50`
$ train=3
    `train=3`: expected a mapping of keys to values, not 3; set its keys, such as `train.epochs`
$ train.epochs
    `train.epochs`: write KEY.PATH=VALUE without spaces, such as train.epochs=1
$ train.epochs = 3
    `train.epochs`: write KEY.PATH=VALUE without spaces, such as train.epochs=1
$ train.epochs.x=3
    `train.epochs.x=3`: `train.epochs` is 3, so `x` cannot be set in it
$ data.augment.0=flip
    `data.augment.0=flip`: `data.augment` is a list; set it as a whole, `data.augment=[…]`
$ data.augment=[flip
    `data.augment=[flip`: the `[` is not closed, or a comma is missing
$ device=gpu
    `device=gpu`: no device is called `gpu`; write cpu, cuda, cuda:1 or auto
$ device=0
    `device=0`: expected text, not 0; write `device=cuda:0`
$ train.schedule=step
    `train.schedule=step`: `every` is missing; write `train.schedule.step.every=30`
$ train.batch_size=1000
    `train.batch_size=1000`: 1000 is more than the 320 training images
"##;

/// Values of another type or out of range.
const VALUES: &str = r##"
epochs: 3 => epochs: three
    run.yaml:4:11: `train.epochs`: expected a whole number from 0 up, not the text `three`
epochs: 3 => epochs: "3"
    run.yaml:4:11: `train.epochs`: expected a whole number from 0 up, not the text `3`; write 3 without quotes
epochs: 3 => epochs: 1_000
    run.yaml:4:11: `train.epochs`: expected a whole number from 0 up, not the text `1_000`; write 1000
epochs: 3 => epochs: 1e2
    run.yaml:4:11: `train.epochs`: expected a whole number from 0 up, not 100.0; write 100
epochs: 3 => epochs: [1, 2]
    run.yaml:4:11: `train.epochs`: expected a whole number from 0 up, not a list; values to compare go under `axes` of an experiment
epochs: 3 => epochs:
    run.yaml:4:10: `train.epochs`: expected a whole number from 0 up, not nothing; write one, or remove the key
epochs: 3 => histograms: yes
    run.yaml:4:15: `train.histograms`: expected true or false, not the text `yes`; write true
epochs: 3 => ema: none
    run.yaml:4:8: `train.ema`: expected a decay such as 0.9999, or {decay: 0.9999, warmup: false}
epochs: 3 => label_smoothing: 10%
    run.yaml:4:20: `train.label_smoothing`: expected a number, not the text `10%`; write 0.1
epochs: 3 => label_smoothing: 1.5
    run.yaml:4:20: `train.label_smoothing`: 1.5 is not in [0, 1)
epochs: 3 => precision: fp16
    run.yaml:4:14: `train.precision`: no choice is called `fp16`; write `bfloat16`
lr: 0.1 => lr: -0.1
    run.yaml:6:25: `train.optimizer.sgd.lr`: -0.1 is not a number from 0 up
{sgd: {lr: 0.1, momentum: 0.9}} => SGD
    run.yaml:6:14: `train.optimizer`: no choice is called `SGD`; did you mean `sgd`?
{sgd: {lr: 0.1, momentum: 0.9}} => {lr: 0.1}
    run.yaml:6:14: `train.optimizer`: no choice is called `lr`; write `train.optimizer: {sgd: {lr: 0.1}}`
{sgd: {lr: 0.1, momentum: 0.9}} => {type: sgd, lr: 0.1}
    run.yaml:6:14: `train.optimizer`: a choice is a mapping of its name to its settings; write `train.optimizer: {sgd: {lr: 0.1}}`
{sgd: {lr: 0.1, momentum: 0.9}} => {sgd: {lr: 0.1}, adamw: {lr: 1e-3}}
    run.yaml:6:14: `train.optimizer`: takes one choice, and here are 2: sgd, adamw; keep one, or set `train.optimizer` as a whole
{cosine: {warmup_epochs: 1}} => linear
    run.yaml:7:13: `train.schedule`: no choice is called `linear`; the choices are cosine, polynomial, constant, step, multi_step, plateau
{cosine: {warmup_epochs: 1}} => {step: {gamma: 0.1}}
    run.yaml:7:20: `train.schedule.step`: `every` is missing; write `train.schedule.step.every: 30`
{dataset: => {image_size: 224x224, dataset:
    run.yaml:2:20: `data.image_size`: expected a whole number, not the text `224x224`; write 224
{dataset: => {mean: 0.5, dataset:
    run.yaml:2:14: `data.mean`: expected a list, not 0.5; write [0.5]
{dataset: => {test_crop: 2, dataset:
    run.yaml:2:19: `data.test_crop`: 2 is not between 0.1 and 1
[pad_crop: 1, flip] => flip
    run.yaml:2:38: `data.augment`: expected a list, not the text `flip`; write [flip]
[pad_crop: 1, flip] => [flips]
    run.yaml:2:39: `data.augment[0]`: no choice is called `flips`; did you mean `flip`?
[pad_crop: 1, flip] => [random_crop]
    run.yaml:2:39: `data.augment[0]`: no choice is called `random_crop`; write `pad_crop: 4`
[pad_crop: 1, flip] => [flip, pad_crop: four]
    run.yaml:2:55: `data.augment[1].pad_crop`: expected a whole number from 0 up, not the text `four`; write `pad_crop: 4`
[pad_crop: 1, flip] => [color_jitter: {hue: 0.7}]
    run.yaml:2:59: `data.augment[0].color_jitter.hue`: 0.7 is not between 0 and 0.5
[pad_crop: 1, flip] => [color_jitter: {hues: 0.1}]
    run.yaml:2:54: unknown key `data.augment[0].color_jitter.hues`; did you mean `hue`?
[pad_crop: 1, flip] => [scale_jitter: {min: 32, max: 40}, flip]
    run.yaml:2:39: `data.augment[0]`: `scale_jitter` is for images of any size; for these write `pad_crop: 4`
augment: => mix: {mixup: lots}, augment:
    run.yaml:2:42: `data.mix.mixup`: expected a number, not the text `lots`
augment: => mix: {mixup: -1}, augment:
    run.yaml:2:42: `data.mix.mixup`: -1 is not between 0 and 1000
in_chans: 1 => in_chans: one
    run.yaml:1:41: `model.in_chans`: expected a whole number, not the text `one`
in_chans: 1 => in_chans: 1, num_layers: 21
    run.yaml:1:56: `model.num_layers`: paper/resnet20: `num_layers` 21 does not fit 6n+2 or 6n+4 layers
{name: paper/resnet20, in_chans: 1} => paper/resnet20
    run.yaml:1:8: `model`: expected a mapping of keys to values, not the text `paper/resnet20`; write `model: {name: paper/resnet20}`
"##;

/// Models and data sets.
const NAMES: &str = r##"
paper/resnet20 => timm/convnext_tiny
    run.yaml:1:15: `model.name`: unknown model `timm/convnext_tiny`; did you mean `torchvision/convnext_tiny`?
paper/resnet20 => resnet-50
    run.yaml:1:15: `model.name`: unknown model `resnet-50`; did you mean `resnet50`?
paper/resnet20 => ResNet50
    run.yaml:1:15: `model.name`: unknown model `ResNet50`; did you mean `resnet50`?
paper/resnet20 => resnet 50
    run.yaml:1:15: `model.name`: unknown model `resnet 50`; did you mean `resnet50`?
paper/resnet20 => resnet50_v2
    run.yaml:1:15: `model.name`: unknown model `resnet50_v2`; did you mean `resnetv2_50`?
paper/resnet20 => vit_b16
    run.yaml:1:15: `model.name`: unknown model `vit_b16`; did you mean `vit_b_16`?
paper/resnet20 => efficientnetb0
    run.yaml:1:15: `model.name`: unknown model `efficientnetb0`; did you mean `efficientnet_b0`?
paper/resnet20 => microsoft/resnet-50
    run.yaml:1:15: `model.name`: unknown model `microsoft/resnet-50`; did you mean `torchvision/resnet50`, `timm/resnet50` or `paper/resnet50`?
paper/resnet20 => resnet50.a1_in1k
    run.yaml:1:15: `model.name`: unknown model `resnet50.a1_in1k`; `a1_in1k` is a tag of weights, and the model is `resnet50`
paper/resnet20 => paper/resnet21
    run.yaml:1:15: `model.name`: unknown model `paper/resnet21`; did you mean `paper/resnet20` or `timm/resnet26`?
paper/resnet20 => my_net
    run.yaml:1:15: `model.name`: unknown model `my_net`; `tchvision models list` has them all
'idx:data' => fashion-mnits
    run.yaml:2:17: `data.dataset`: unknown data set `fashion-mnits`; did you mean `fashion-mnist`?
'idx:data' => CIFAR-10
    run.yaml:2:17: `data.dataset`: unknown data set `CIFAR-10`; did you mean `cifar10`?
'idx:data' => folder:photos
    run.yaml:2:17: `data.dataset`: photos: there is no such folder
'idx:data' => data
    run.yaml:2:17: `data.dataset`: `data` is a folder, not the name of a data set; write `folder:data`
'idx:data' => my-photos
    run.yaml:2:17: `data.dataset`: unknown data set `my-photos`; `tchvision data list` has them all; of your own, `folder:DIR` reads DIR/train and DIR/val with a sub-folder per class, `list:DIR` DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR, `manifest:FILE` a table with columns `path`, `label`, `split`, `parquet:DIR` files as the Hugging Face Hub has them, `tfrecord:DIR` those of TensorFlow Datasets, `hf:OWNER/NAME` a data set of that Hub
'idx:data' => cifar10
    run.yaml:2:17: `data.dataset`: sets/cifar10/cifar-10-binary.tar.gz is missing; `tchvision data fetch cifar10` gets it
"##;

/// What is not YAML, or not this file.
const TEXT: &str = r##"
epochs: 3 => epochs: 3\n  epochs: 4
    run.yaml:5:3: the key `train.epochs` is there twice, first in line 4; remove one
train:\n  epochs => train:\n\tepochs
    run.yaml:4:1: a tab; indent with spaces
train:\n  epochs => train:\n   epochs
    run.yaml:5:3: the indentation does not fit the lines above
epochs: 3 => epochs:3
    run.yaml:4:3: a space is missing after the colon; write `epochs: 3`
{lr: 0.1 => {lr:0.1
    run.yaml:6:21: unknown key `train.optimizer.sgd.lr:0.1`; write a space after the colon: `lr: 0.1`
momentum: 0.9}} => momentum: 0.9}
    run.yaml:7:3: the `{` of line 6 is not closed, or a comma is missing
flip]} => flip}
    run.yaml:2:56: the `[` of line 2 is not closed, or a comma is missing
paper/resnet20 => "paper/resnet20
    run.yaml:1:15: a quote is not closed
paper/resnet20 => @resnet20
    run.yaml:1:15: `@` cannot start a value; put the value in quotes
data: => ---\ndata:
    run.yaml:1:1: more than one document; keep one, without `---` between
* => # nothing
    run.yaml:1:1: the file is empty
* => hello
    run.yaml:1:1: expected a mapping of keys to values, not the text `hello`; set its keys, such as `model`
* => EXPERIMENT $ model.width=2
    run.yaml:2:1: this is an experiment, for `tchvision experiment run`; one run has `model` and `data` at the top
* => EXPERIMENT
    run.yaml:2:1: this is an experiment, for `tchvision experiment run`; one run has `model` and `data` at the top
"##;

/// Experiments.
const EXPERIMENTS: &str = r##"
* => RUN
    exp.yaml:1:1: this is the file of one run, for `tchvision train`; in an experiment it stands under `base`
* => RUN $ train.epochs=1
    exp.yaml:1:1: this is the file of one run, for `tchvision train`; in an experiment it stands under `base`
model.width: => model.widht:
    exp.yaml:6:8: unknown field `widht` of paper/wrn_16_4; did you mean `width`?
model.width: => train.epoch:
    exp.yaml:6:8: unknown key `train.epoch`; did you mean `epochs`?
model.width: => train.lr:
    exp.yaml:6:8: unknown key `train.lr`; did you mean `train.optimizer.sgd.lr`?
model.width: => width:
    exp.yaml:6:16: unknown key `width`; did you mean `model.width`?
model.width: => train.optimizer.adamw.lr:
    exp.yaml:6:35: `train.optimizer`: takes one choice, and here are 2: sgd, adamw; keep one, or set `train.optimizer` as a whole
'idx:data' => 'idx:data', augment: [scale_jitter: {min: 32, max: 40}]
    exp.yaml:4:41: `data.augment[0]`: `scale_jitter` is for images of any size; for these write `pad_crop: 4`
[1, 2] => []
    exp.yaml:6:21: an axis without values; write a list such as [1, 2]
[1, 2] => 2
    exp.yaml:6:21: `axes.model.width`: expected a list of values, or a range such as {from: 8, to: 32, step: 8}, not 2
model.width: [1, 2] => train.epochs: [1, 0]
    exp.yaml:6:26: variant epochs=0: `train.epochs`: 0 is impossible; use a number above 0
model.width: [1, 2] => model.name: [resnet18, resnet-50]
    exp.yaml:6:31: `model.name`: unknown model `resnet-50`; did you mean `resnet50`?
axes: => grid:
    exp.yaml:6:1: unknown key `grid`; did you mean `axes`?
seeds: 2 => seeds: 0
    exp.yaml:7:8: `seeds`: expected a number of seeds from 1 to 1000, or a list of different seeds, not 0
seeds: 2 => match: {macs: base, by: model.widht}
    exp.yaml:7:25: `model.widht` is no knob (the key path of a number of the model); did you mean `model.width`?
seeds: 2 => match: {flops: base, by: model.stem_width}
    exp.yaml:7:9: unknown key `match.flops`; did you mean `macs`?
seeds: 2 => report: {x: width}
    exp.yaml:7:13: `width` is neither an axis nor a cost; did you mean `model.width`?
question: => Question:
    exp.yaml:1:1: unknown key `Question`; did you mean `question`?
$ train.epochs=0
    `train.epochs=0`: 0 is impossible; use a number above 0
$ seeds=none
    `seeds=none`: expected a number of seeds from 1 to 1000, or a list of different seeds, not the text `none`
"##;

/// Other verbs.
const COMMANDS: &str = r##"
$ train picture.png
    picture.png: a picture, where a YAML file is wanted
$ train weights.safetensors
    weights.safetensors: a file of weights, where a YAML file is wanted
$ train run
    run: a directory, where a YAML file is wanted; its YAML file is run/config.yaml
$ train rn.yaml
    rn.yaml: there is no such file; did you mean `run.yaml`?
$ experiment plan run
    run: the directory of one run, where that of an experiment is wanted
$ experiment plan picture.png
    picture.png: a picture, where a YAML file is wanted
$ models show resnet-50
    unknown model `resnet-50`; did you mean `resnet50`?
$ models show resnet50 --set widht=2
    unknown field `widht` of torchvision/resnet50; did you mean `width`?
$ models show resnet50 --set stem=16
    `stem`: no choice is called `16`; the choices are single, deep, tiered, cifar; what had this name is now `stem_width`
$ models show resnet50 --set stem
    --set stem: write FIELD=VALUE, such as --set num_classes=10
$ models show resnet50 --input big
    --input big: write a size such as 224, or HxW such as 192x256
$ eval --model resnet-50 --data idx:data
    no model `resnet-50` has public weights; did you mean `resnet50`?
$ eval --model timm/convnext_tiny --data idx:data
    no model `timm/convnext_tiny` has public weights; did you mean `torchvision/convnext_tiny`?
$ eval --model resnet50.a1 --data idx:data
    `resnet50` has no weights `a1`; did you mean `a1_in1k` or `a1h_in1k`?
$ eval --model paper/resnet20 --data idx:data
    `paper/resnet20`: models of papers have no public weights; train it with `tchvision train`
$ eval --model resnet18 --data fashion_mnits
    fashion_mnits: no such folder, and unknown data set `fashion_mnits`; did you mean `fashion-mnist`?
$ eval --model resnet18 --weights IMAGENET1K_V3 --data idx:data
    --weights IMAGENET1K_V3: no such file, and `resnet18` has no weights `IMAGENET1K_V3`; did you mean `IMAGENET1K_V1`?
$ data fetch fashion_mnist
    unknown data set `fashion_mnist`; did you mean `fashion-mnist`?
$ data inspect imagenet
    unknown data set `imagenet`; did you mean `imagenet-1k`?
$ trian run.yaml
    unrecognized subcommand 'trian'

      tip: a similar subcommand exists: 'train'

    Usage: tchvision [OPTIONS] <COMMAND>

    For more information, try '--help'.
$ experiment pln exp.yaml
    unrecognized subcommand 'pln'

      tip: a similar subcommand exists: 'plan'

    Usage: tchvision experiment [OPTIONS] <COMMAND>

    For more information, try '--help'.
"##;

/// No message is longer.
const MOST_LINES: usize = 10;

/// What is changed, and the message.
fn rows(table: &str) -> Vec<(&str, String)> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for line in table.trim_start_matches('\n').lines() {
        match (line.strip_prefix("    "), rows.last_mut()) {
            (Some(message), Some((_, said))) => *said += &format!("{message}\n"),
            (None, Some((_, said))) if line.is_empty() => said.push('\n'),
            _ => rows.push((line, String::new())),
        }
    }
    rows
}

/// A file with a change, and the arguments of a row.
fn changed<'a>(file: &str, row: &'a str) -> (String, Vec<&'a str>) {
    let (change, arguments) = row.split_once("$ ").unwrap_or((row, ""));
    let arguments = arguments.split(' ').filter(|argument| !argument.is_empty()).collect();
    let Some((from, to)) = change.split_once(" =>") else { return (file.to_owned(), arguments) };
    let unescaped = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t");
    let to = to.trim();
    let new = match (from, to) {
        ("*", "RUN") => RUN.to_owned(),
        ("*", "EXPERIMENT") => EXPERIMENT.to_owned(),
        ("*", _) => to.to_owned(),
        _ => file.replacen(&unescaped(from), &unescaped(to), 1),
    };
    assert_ne!(new, file, "{row}");
    (new, arguments)
}

/// A folder with data, a run's directory, a picture and a file of weights.
fn folder(data: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(data, at("data")).unwrap();
    fs::create_dir(at("run")).unwrap();
    fs::write(at("run/config.yaml"), RUN).unwrap();
    fs::write(at("weights.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    fs::copy(picture(), at("picture.png")).unwrap();
    folder
}

fn picture() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/images/rgb.png"))
}

fn tchvision(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_tchvision");
    Command::new(program).args(arguments).current_dir(folder).env("TCHVISION_DATA", "sets").output().unwrap()
}

/// Runs `verb` on the changed files of a table's rows, and compares all of what is said.
fn check(table: &str, file: (&str, &str), verb: &[&str]) {
    let lab = Lab::new();
    let mut wrong = Vec::new();
    for (row, message) in rows(table) {
        let folder = folder(lab.folder.path());
        fs::write(folder.path().join("run.yaml"), RUN).unwrap();
        fs::write(folder.path().join("exp.yaml"), EXPERIMENT).unwrap();
        let (name, original) = file;
        let (text_of_file, arguments) = changed(original, row);
        fs::write(folder.path().join(name), text_of_file).unwrap();
        let out = tchvision(folder.path(), &[verb, &arguments].concat());
        let said = text(&out.stderr);
        let expected = format!("error: {}\n", message.trim_end());
        let right = said == expected && out.status.code() == Some(2) && out.stdout.is_empty();
        assert!(said.lines().count() <= MOST_LINES, "{said}");
        assert!(!folder.path().join("runs/run").exists(), "{row}: a run was left");
        if !right {
            wrong.push(format!("{row}\n{:?}\n{said}instead of\n{expected}", out.status.code()));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n\n{}", wrong.len(), wrong.join("\n"));
}

const TRAIN: [&str; 2] = ["train", "run.yaml"];

#[test]
fn keys_are_found_by_the_names_that_people_know() {
    check(KEYS, ("run.yaml", RUN), &TRAIN);
}

#[test]
fn an_overrides_error_names_the_override() {
    check(OVERRIDES, ("run.yaml", RUN), &TRAIN);
}

#[test]
fn values_are_told_from_what_was_meant() {
    check(VALUES, ("run.yaml", RUN), &TRAIN);
}

#[test]
fn names_are_searched_in_every_source() {
    check(NAMES, ("run.yaml", RUN), &TRAIN);
}

#[test]
fn text_that_is_no_run_is_told_what_it_is() {
    check(TEXT, ("run.yaml", RUN), &TRAIN);
}

#[test]
fn experiments_are_refused_with_what_to_write() {
    check(EXPERIMENTS, ("exp.yaml", EXPERIMENT), &["experiment", "plan", "exp.yaml"]);
}

#[test]
fn other_verbs_say_what_to_write() {
    check(COMMANDS, ("run.yaml", RUN), &[]);
}

/// A list of pictures in two classes; `test` are the lines of its test split.
fn list(folder: &Path, test: &[&str]) {
    fs::create_dir(folder.join("photos")).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        fs::copy(picture(), folder.join("photos").join(name)).unwrap();
    }
    fs::write(folder.join("photos/broken.png"), b"no picture").unwrap();
    fs::write(folder.join("photos/train.txt"), "a.png 0\nb.png 1\n").unwrap();
    fs::write(folder.join("photos/val.txt"), test.join("\n")).unwrap();
    let run = "\
model: {name: paper/resnet20}
data: {dataset: 'list:photos', image_size: 16}
train: {epochs: 1, batch_size: 2, optimizer: sgd, schedule: cosine}
";
    fs::write(folder.join("run.yaml"), run).unwrap();
}

#[test]
fn test_pictures_that_are_not_there_are_named_before_training() {
    let folder = tempfile::tempdir().unwrap();
    list(folder.path(), &["a.png 0", "x.png 1", "", "y.png 0", "z.png 1", "w.png 1"]);
    let out = tchvision(folder.path(), &TRAIN);
    let expected = "error: run.yaml:2:17: `data.dataset`: 4 of 5 test pictures are missing: photos/x.png \
                    (photos/val.txt:2), photos/y.png (photos/val.txt:4), photos/z.png (photos/val.txt:5) and others; \
                    correct the list, or put them there\n";
    assert_eq!((text(&out.stderr).as_str(), out.status.code()), (expected, Some(2)));
    assert!(!folder.path().join("runs/run/metrics.jsonl").exists());
}

#[test]
fn test_pictures_that_cannot_be_read_are_left_out_named_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    list(folder.path(), &["broken.png 0", "c.png 1"]);
    // A batch that has nothing else, too.
    let out = tchvision(folder.path(), &["train", "run.yaml", "train.eval_batch_size=1", "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let result: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(result["loss"].as_f64().is_some_and(f64::is_finite) && result["skipped"] == 1, "{result}");
    let named = "skipped photos/broken.png: neither JPEG, PNG, WebP, GIF, BMP, TIFF nor PPM; convert it to one of them";
    assert_eq!(text(&out.stderr).matches(named).count(), 1, "{}", text(&out.stderr));
}

#[test]
fn a_test_split_of_which_nothing_can_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    list(folder.path(), &["broken.png 0"]);
    let out = tchvision(folder.path(), &TRAIN);
    let expected = "error: run.yaml:2:17: `data.dataset`: none of the 1 test pictures can be read; the first: \
                    photos/broken.png: neither JPEG, PNG, WebP, GIF, BMP, TIFF nor PPM; convert it to one of them\n";
    assert_eq!((text(&out.stderr).as_str(), out.status.code()), (expected, Some(2)));
}
