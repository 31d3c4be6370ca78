//! `tchvision preprocess`, `classify` and `eval`: the contract of their output and exit codes.

use crate::common::fill;
use crate::common::lab::{Lab, text};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tch::{Device, Kind, Tensor};
use tchvision::data::image::{self, Resize};
use tchvision::data::{self, Preprocess};
use tchvision::evaluate::{Evaluator, Protocol, Scales};
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::weights::{self, StateFile, catalogue};

/// A model with public weights' preprocessing, small enough for a test.
const MODEL: &str = "mobilenet_v3_small";

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tchvision")).args(args).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images").join(name)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A model of hashed weights, and the file that has them.
fn network(folder: &Path, name: &str, set: &[(&str, &str)]) -> (Box<dyn Model>, PathBuf) {
    let store = Store::new(Device::Cpu);
    let mut spec = ModelSpec::new(name);
    set.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
    let model = spec.resolve().unwrap().build(&store).unwrap();
    fill(&store);
    let file = folder.join(format!("{}.safetensors", name.replace('/', "_")));
    weights::save(&file, &store.state_dict(), HashMap::new()).unwrap();
    (model, file)
}

/// Folders `a`, `b`, `c` with two pictures each.
fn folders(root: &Path) -> PathBuf {
    let data = root.join("data");
    let names = ["large.jpg", "rgb.png", "cmyk.jpg", "alpha.webp", "gray.png", "colors.gif"];
    for (class, names) in ["a", "b", "c"].into_iter().zip(names.chunks(2)) {
        fs::create_dir_all(data.join(class)).unwrap();
        for name in names {
            fs::copy(picture(name), data.join(class).join(name)).unwrap();
        }
    }
    data
}

#[test]
fn preprocess_writes_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("input.safetensors");
    for (name, side) in [("resnet50", 224), ("timm/resnet50.a3_in1k", 160), ("inception_v3", 299)] {
        let output = run(&["preprocess", path(&picture("large.jpg")), "--model", name, "--to", path(&to)]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let file = StateFile::open(&to).unwrap();
        let input = file.get("input").unwrap();
        assert_eq!((input.size(), input.kind()), (vec![1, 3, side, side], Kind::Float));
        let preprocess = &catalogue::find(name).unwrap().preprocess;
        let image = preprocess.crop(&image::read(&picture("large.jpg")).unwrap()).unwrap();
        assert!(input.equal(&preprocess.input([&image], Device::Cpu).unwrap()), "{name}");
    }
}

#[test]
fn what_cannot_be_prepared_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("input.safetensors");
    let fails = |image: &Path, model: &str| {
        let output = run(&["preprocess", path(image), "--model", model, "--to", path(&to)]);
        (output.status.code(), text(&output.stderr))
    };
    let (code, message) = fails(&picture("large.jpg"), "resnet5O");
    assert_eq!(code, Some(2));
    assert!(message.contains("did you mean `resnet50`"), "{message}");
    let empty = folder.path().join("empty.jpg");
    fs::write(&empty, b"").unwrap();
    for (image, why) in [(empty.as_path(), "empty"), (&folder.path().join("none.jpg"), "No such file")] {
        let (code, message) = fails(image, "resnet50");
        assert_eq!(code, Some(1));
        assert!(message.contains(path(image)) && message.contains(why), "{message}");
    }
    assert!(!to.exists());
}

#[test]
fn classify_tells_the_likeliest_classes() {
    let folder = tempfile::tempdir().unwrap();
    let (model, weights) = network(folder.path(), MODEL, &[]);
    let photo = picture("large.jpg");
    let args = ["classify", path(&photo), "--model", MODEL, "--weights", path(&weights), "--topk", "3"];
    let rows = json(&run(&[&args[..], &["--json"]].concat()));
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["image"], path(&photo));

    let entry = catalogue::find(MODEL).unwrap();
    let input =
        entry.preprocess.input([&entry.preprocess.crop(&image::read(&photo).unwrap()).unwrap()], Device::Cpu);
    let logits = tch::no_grad(|| model.forward(&input.unwrap(), false).unwrap());
    let (likely, best) = logits.softmax(-1, Kind::Double).topk(3, 1, true, true);
    let labels = entry.labels().unwrap();
    for place in 0..3 {
        let top = &rows[0]["top"][place];
        let class = best.int64_value(&[0, place as i64]);
        assert_eq!(
            (top["class"].as_i64(), top["label"].as_str()),
            (Some(class), Some(labels[class as usize]))
        );
        let probability = top["probability"].as_f64().unwrap();
        assert!((probability - likely.double_value(&[0, place as i64])).abs() < 1e-6, "{probability}");
    }
    let rough = json(&run(&[&args[..], &["--dtype", "bfloat16", "--json"]].concat()));
    let probability = |rows: &Value| rows[0]["top"][0]["probability"].as_f64().unwrap();
    let apart = (probability(&rough) / probability(&rows) - 1.0).abs();
    assert!(apart > 0.0 && apart < 0.1, "bfloat16 rounds: {rough} beside {rows}");
    let plain = text(&run(&args).stdout);
    assert_eq!(plain.lines().count(), 3);
    assert!(plain.contains(labels[best.int64_value(&[0, 0]) as usize]), "{plain}");
}

#[test]
fn classify_takes_folders_and_goes_on_after_bad_files() {
    let folder = tempfile::tempdir().unwrap();
    let (_, weights) = network(folder.path(), MODEL, &[]);
    let data = folders(folder.path());
    let classify = |images: &[&str]| {
        let flags = ["--model", MODEL, "--weights", path(&weights), "--batch-size", "4", "--json"];
        run(&[&["classify"], images, &flags].concat())
    };
    let all = classify(&[path(&data)]);
    assert!(all.status.success(), "{}", text(&all.stderr));
    let rows = json(&all);
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert_eq!(rows[0]["image"], path(&data.join("a/large.jpg")));
    // A picture's classes do not depend on the pictures beside it.
    let alone = json(&classify(&[path(&data.join("c/colors.gif"))]));
    assert_eq!(alone[0]["image"], rows[4]["image"]);
    assert_eq!(alone[0]["top"][0]["class"], rows[4]["top"][0]["class"]);

    let bad = data.join("b/bad.jpg");
    let photo = fs::read(picture("large.jpg")).unwrap();
    fs::write(&bad, &photo[..photo.len() / 2]).unwrap();
    let output = classify(&[path(&data)]);
    assert_eq!(output.status.code(), Some(1));
    let rows = json(&output);
    assert_eq!(rows.as_array().unwrap().iter().filter(|row| row["error"].is_string()).count(), 1);
    assert_eq!(rows.as_array().unwrap().len(), 7);
    let message = text(&output.stderr);
    assert_eq!(message.matches(path(&bad)).count(), 1, "{message}");
    assert!(message.contains("1 of 7 pictures could not be read"), "{message}");
}

#[test]
fn a_papers_model_says_what_is_assumed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, weights) = network(folder.path(), "paper/resnet20", &[]);
    let photo = picture("large.jpg");
    let args = ["classify", path(&photo), "--model", "paper/resnet20", "--weights", path(&weights), "--json"];
    let output = run(&args);
    assert!(text(&output.stderr).contains("the middle 32 of 36 pixels"), "{}", text(&output.stderr));
    let top = &json(&output)[0]["top"];
    assert_eq!((top.as_array().unwrap().len(), &top[0]["label"]), (5, &Value::Null));
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, weights) = network(folder.path(), MODEL, &[("num_classes", "3")]);
    let photo = picture("large.jpg");
    let classify = |flags: &[&str]| {
        let output = run(&[&["classify", path(&photo), "--model", MODEL], flags].concat());
        (output.status.code(), text(&output.stderr))
    };
    let (code, message) = classify(&["--weights", path(&weights)]);
    assert_eq!(code, Some(1));
    assert!(message.contains("--set num_classes=N"), "{message}");
    assert_eq!(classify(&["--weights", path(&weights), "--set", "num_classes=3"]).0, Some(0));
    let (code, message) = classify(&["--weights", "IMAGENET1K_V3"]);
    assert_eq!(code, Some(2));
    assert!(
        message.contains("no such file") && message.contains("did you mean `IMAGENET1K_V1`"),
        "{message}"
    );
    assert_eq!(classify(&["--weights", path(&weights), "--set", "num_clases=3"]).0, Some(2));
    assert_eq!(classify(&["--weights", path(&weights), "--topk", "0"]).0, Some(2));
    let (code, message) = classify(&["--weights", path(&weights), "--device", "tpu"]);
    assert!(code == Some(2) && message.contains("--device: device `tpu`: use `auto`, `cpu`"), "{message}");
}

/// The labels' probabilities by a protocol that is spelt out here: (picture, class).
fn expected(protocol: &Protocol, model: &dyn Model, pictures: &[PathBuf]) -> Vec<i64> {
    let preprocess = &catalogue::find(MODEL).unwrap().preprocess;
    let input = preprocess.clone().into();
    let evaluator = Evaluator::new(model, Device::Cpu, &input).viewing(protocol).unwrap();
    let best = pictures.iter().map(|picture| {
        let views = protocol.views(preprocess, &image::read(picture).unwrap()).unwrap();
        evaluator.probabilities(&[views]).unwrap().argmax(1, false).int64_value(&[0])
    });
    best.collect()
}

#[test]
fn eval_counts_a_folder_by_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let (model, weights) = network(folder.path(), MODEL, &[("num_classes", "3")]);
    let data = folders(folder.path());
    fs::write(data.join("c/broken.png"), b"\x89PNG\r\n\x1a\n, and no more").unwrap();
    let pictures: Vec<PathBuf> =
        ["a/large.jpg", "a/rgb.png", "b/alpha.webp", "b/cmyk.jpg", "c/colors.gif", "c/gray.png"]
            .map(|name| data.join(name))
            .into();
    // Multi-scale is dense three times.
    let protocols =
        [("center", Protocol::Center), ("ten-crop", Protocol::TenCrop), ("dense", Protocol::Dense)];
    for (name, protocol) in &protocols {
        let output = run(&[
            "eval",
            "--model",
            MODEL,
            "--weights",
            path(&weights),
            "--set",
            "num_classes=3",
            "--data",
            path(&data),
            "--protocol",
            name,
            "--per-class",
            "--confusion",
            "--json",
            "--batch-size",
            "4",
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let message = text(&output.stderr);
        assert_eq!(message.matches("broken.png").count(), 1, "{message}");
        let result = json(&output);
        let best = expected(protocol, model.as_ref(), &pictures);
        let right: Vec<bool> =
            best.iter().zip([0, 0, 1, 1, 2, 2]).map(|(best, label)| *best == label).collect();
        let percent =
            |right: &[bool]| 100.0 * right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
        assert_eq!((&result["images"], &result["skipped"]), (&6.into(), &1.into()), "{name}");
        assert_eq!(result["protocol"], *name);
        assert!(
            (result["top1"].as_f64().unwrap() - percent(&right)).abs() < 1e-9,
            "{name}: {result} {best:?}"
        );
        assert_eq!(result["top5"], 100.0, "{name}");
        let mut wrong = BTreeMap::new();
        for (best, label) in best.iter().zip([0, 0, 1, 1, 2, 2]).filter(|(best, label)| *best != label) {
            let names = [label, *best].map(|class| ["a", "b", "c"][class as usize].to_owned());
            *wrong.entry(names).or_insert(0) += 1;
        }
        let confused = result["confusion"].as_array().unwrap().iter().map(|row| {
            let names = ["class", "taken_for"].map(|key| row[key].as_str().unwrap().to_owned());
            (names, row["images"].as_i64().unwrap())
        });
        assert_eq!(confused.collect::<BTreeMap<_, _>>(), wrong, "{name}");
        for (class, right) in ["a", "b", "c"].iter().zip(right.chunks(2)) {
            let row =
                result["classes"].as_array().unwrap().iter().find(|row| row["class"] == *class).unwrap();
            assert_eq!(
                (row["images"].as_u64(), row["top1"].as_f64()),
                (Some(2), Some(percent(right))),
                "{name}"
            );
        }
    }
}

#[test]
fn protocols_are_means_over_views() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = network(folder.path(), MODEL, &[]);
    let preprocess = &catalogue::find(MODEL).unwrap().preprocess;
    let picture = image::read(&picture("large.jpg")).unwrap();
    let of = |protocol: &Protocol| {
        let views = protocol.views(preprocess, &picture).unwrap();
        let input = preprocess.clone().into();
        let probabilities = Evaluator::new(model.as_ref(), Device::Cpu, &input).viewing(protocol).unwrap();
        (probabilities.probabilities(std::slice::from_ref(&views)).unwrap(), views)
    };
    let softmax = |logits: Tensor| logits.softmax(-1, Kind::Float);
    let close = |a: &Tensor, b: &Tensor| assert!(a.allclose(b, 1e-4, 1e-6, false));
    let forward = |x: &Tensor| tch::no_grad(|| model.forward(x, false).unwrap());

    let (ten, views) = of(&Protocol::TenCrop);
    assert_eq!(views.len(), 10);
    // 397×301 becomes 337×256, its central square 256×256; the first view is the corner of that.
    let resized = preprocess.resize(&picture).unwrap();
    assert_eq!((resized.width, resized.height), (337, 256));
    assert_eq!(views[0], resized.crop(40..264, 0..224).unwrap());
    assert_eq!(views[3], resized.crop(72..296, 32..256).unwrap());
    assert_eq!(views[9], preprocess.crop(&picture).unwrap().mirror());
    let each = softmax(forward(&preprocess.input(&views, Device::Cpu).unwrap()));
    close(&ten, &each.mean_dim(&[0i64][..], true, Kind::Float));

    // A head that averages over the whole map has 7×7 places at the input's size.
    let (dense, views) = of(&Protocol::Dense);
    assert_eq!((views.len(), views[0] == resized), (2, true));
    let mut sum = Tensor::zeros_like(&dense);
    for view in &views {
        let x = preprocess.input([view], Device::Cpu).unwrap();
        let features = tch::no_grad(|| model.features(&x, false).unwrap()).pop().unwrap().1;
        assert_eq!(features.size()[2..], [8, 11]);
        let mut logits = Vec::new();
        for (y, x) in (0..2).flat_map(|y| (0..5).map(move |x| (y, x))) {
            let place = features.narrow(2, y, 7).narrow(3, x, 7);
            logits.push(tch::no_grad(|| model.head().forward(&place, false).unwrap()));
        }
        sum += softmax(Tensor::cat(&logits, 0).mean_dim(&[0i64][..], true, Kind::Float)) / 2.0;
    }
    close(&dense, &sum);

    let views = Protocol::MultiScale(Scales::default()).views(preprocess, &picture).unwrap();
    let shorts: Vec<usize> = views.iter().map(|view| view.height).collect();
    assert_eq!(shorts, [256, 384, 512, 256, 384, 512]);

    let views = Protocol::Crops144.views(preprocess, &picture).unwrap();
    assert_eq!((views.len(), Protocol::Crops144.count()), (144, 144));
    assert!(views.iter().all(|view| (view.width, view.height) == (224, 224)));
    // At 256: the left square's corners and centre, itself in small, then the middle square's.
    assert_eq!(views[0], resized.crop(0..224, 0..224).unwrap());
    assert_eq!(views[4], resized.crop(16..240, 16..240).unwrap());
    let left = resized.crop(0..256, 0..256).unwrap();
    assert_eq!(views[5], left.resize(&Resize::to(224, 224, preprocess.interpolation)).unwrap());
    assert_eq!(views[6], resized.crop(40..264, 0..224).unwrap());
    assert_eq!(views[12 + 3], resized.crop(113..337, 32..256).unwrap());
    assert_eq!(views[72], views[0].mirror());
}

/// Folders of some synsets do for a network of all of them: an answer counts where it is right among all.
#[test]
fn eval_takes_some_classes_of_imagenet() {
    let folder = tempfile::tempdir().unwrap();
    let (model, weights) = network(folder.path(), MODEL, &[]);
    let data = folder.path().join("data");
    let likeliest = expected(&Protocol::Center, model.as_ref(), &[picture("large.jpg")])[0] as usize;
    let known = data::imagenet().iter().find(|known| known.name == "imagenet-1k").unwrap();
    let right = known.synsets()[likeliest].clone();
    let wrong = known.synsets()[(likeliest + 1) % 1000].clone();
    for (class, name) in [(&right, "large.jpg"), (&wrong, "large.jpg")] {
        fs::create_dir_all(data.join(class)).unwrap();
        fs::copy(picture(name), data.join(class).join(name)).unwrap();
    }
    let eval = || {
        let flags = ["--model", MODEL, "--weights", path(&weights), "--per-class", "--confusion", "--json"];
        run(&[&["eval", "--data", path(&data)], &flags[..]].concat())
    };
    let result = json(&eval());
    assert_eq!((&result["images"], &result["top1"]), (&2.into(), &50.0.into()));
    let classes = result["classes"].as_array().unwrap();
    let top1 = |class: &String| classes.iter().find(|row| row["class"] == **class).unwrap()["top1"].clone();
    assert_eq!((classes.len(), top1(&right), top1(&wrong)), (2, 100.0.into(), 0.0.into()));
    assert_eq!(result["confusion"][0]["taken_for"], right);
    fs::rename(data.join(&wrong), data.join("dog")).unwrap();
    let refused = eval();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("has 2 classes"), "{}", text(&refused.stderr));
}

#[test]
fn a_dense_protocol_needs_maps() {
    let folder = tempfile::tempdir().unwrap();
    // Tokens, and maps with their channels last.
    for name in ["timm/deit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"] {
        let preprocess = &Preprocess::imagenet(224);
        let (model, _) = network(folder.path(), name, &[]);
        let input = preprocess.clone().into();
        let evaluator = Evaluator::new(model.as_ref(), Device::Cpu, &input);
        let error = evaluator.viewing(&Protocol::Dense).err().unwrap().to_string();
        assert!(error.contains("no maps"), "{error}");
    }
}

#[test]
fn eval_of_a_trained_run_agrees_with_the_run() {
    let lab = Lab::new();
    let (yaml, dir) = (lab.yaml("run", "epochs: 2, optimizer: {sgd: {lr: 0.1}}"), lab.dir("run"));
    let trained = lab.train(&yaml, &dir);
    assert!(trained.status.success(), "{}", text(&trained.stderr));
    let result: Value = serde_json::from_slice(&fs::read(dir.join("result.json")).unwrap()).unwrap();
    let data = format!("idx:{}", lab.folder.path().display());
    let weights = dir.join("best.safetensors");
    let args = ["eval", "--model", "paper/wrn_16_4", "--weights", path(&weights), "--data", &data];
    let sets = ["--set", "num_layers=10", "--set", "width=0.5"];
    let output = run(&[&args[..], &sets, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let evaluated = json(&output);
    assert_eq!((&evaluated["top1"], &evaluated["images"]), (&result["best_top1"], &100.into()));
    assert!(
        text(&output.stderr).contains("best.safetensors: paper/wrn_16_4, epoch "),
        "{}",
        text(&output.stderr)
    );

    let fails = |flags: &[&str]| run(&[&args[..], flags].concat()).status.code();
    let scaled =
        |scales: &str| fails(&[&sets[..], &["--protocol", &format!("multi-scale:{scales}")]].concat());
    // The images have 12 pixels.
    assert_eq!((scaled("12,16"), scaled("8")), (Some(0), Some(2)));
    // The file knows the other field.
    assert_eq!(fails(&sets[..2]), Some(0));
    let unknown = run(&["eval", "--model", MODEL, "--weights", path(&weights), "--data", "fashion-mnits"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("fashion-mnist"), "{}", text(&unknown.stderr));
}

/// The last checkpoint of a run has the raw weights and, where the run has them, the averages.
#[test]
fn eval_takes_raw_and_averaged_weights_of_a_checkpoint() {
    let lab = Lab::new();
    let (yaml, dir) = (lab.yaml("run", "epochs: 2, ema: 0.9, optimizer: {sgd: {lr: 0.1}}"), lab.dir("run"));
    let trained = lab.train(&yaml, &dir);
    assert!(trained.status.success(), "{}", text(&trained.stderr));
    let metrics = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let data = format!("idx:{}", lab.folder.path().display());
    let eval = |file: &str, flags: &[&str]| {
        let weights = dir.join(file);
        let args =
            ["eval", "--model", "paper/wrn_16_4", "--weights", path(&weights), "--data", &data, "--json"];
        run(&[&args[..], &["--set", "num_layers=10", "--set", "width=0.5"], flags].concat())
    };
    assert_eq!(json(&eval("last.safetensors", &[]))["top1"], last["raw_top1"]);
    assert_eq!(json(&eval("last.safetensors", &["--ema"]))["top1"], last["test_top1"]);
    let refused = eval("best.safetensors", &["--ema"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("train.ema"), "{}", text(&refused.stderr));
}
