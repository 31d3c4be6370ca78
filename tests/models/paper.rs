//! What the papers have: every row of their tables with parameters or MACs, and the nets that no library has.

use crate::common::lab::{Lab, text};
use crate::common::{assert_close, fill_scaled, golden, images, keys_digest, uniform, values};
use anyhow::Context;
use serde_json::Value;
use std::collections::HashMap;
use tch::{Device, Tensor};
use tchvision::models::{Architecture, Complexity, Model, ModelSpec, vgg};
use tchvision::nn::Store;
use tchvision::train::InitConfig;
use tchvision::weights::{self, Classes, StateFile};

/// One row of goldens/paper_tables.json: a model and the figures that its paper's definition gives, as precise as they are
/// printed. A row without a comment of its own in `note` is the paper's table recomputed.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    model: String,
    #[serde(default)]
    set: serde_json::Map<String, Value>,
    /// Height and width of the image, where they are not the model's own.
    side: Option<i64>,
    /// The stages that the figures are of; without, the whole net.
    stages: Option<Vec<String>>,
    /// A whole number, or `25.56 M`.
    params: Option<Value>,
    /// `4.089 G` multiply-adds, or twice as many `GFLOPs`.
    macs: Option<String>,
    #[expect(dead_code, reason = "for the reader of the file")]
    note: Option<String>,
}

/// `value` with the unit and the decimals of `printed`.
fn like(printed: &str, value: u64) -> String {
    let (number, unit) = printed.split_once(' ').unwrap();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let scaled = value as f64
        / match unit {
            "Ki" => 1024.0,
            "M" => 1e6,
            "G" => 1e9,
            "GFLOPs" => 0.5e9,
            _ => panic!("unit {unit}"),
        };
    format!("{scaled:.decimals$} {unit}")
}

/// Parameters and MACs of some stages of a net.
fn share(model: &Architecture, cost: &Complexity, stages: &[String]) -> anyhow::Result<(u64, u64)> {
    let store = Store::meta();
    model.build(&store)?;
    let (mut params, mut macs) = (0, 0);
    for name in stages {
        let stage = cost.stages.iter().find(|stage| &stage.name == name);
        macs += stage.with_context(|| format!("no stage `{name}`"))?.macs;
        let own = |key: &str| key.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        params +=
            store.parameters().iter().filter(|(key, _)| own(key)).map(|(_, t)| t.numel() as u64).sum::<u64>();
    }
    Ok((params, macs))
}

#[test]
fn every_row_of_the_papers_tables_is_reproduced() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for table in golden("paper_tables.json").as_array().unwrap() {
        for row in table["rows"].as_array().unwrap() {
            let printed: Row = serde_json::from_value(row.clone()).unwrap();
            let Row { model, set, side, stages, params, macs, .. } = printed;
            let mut spec = ModelSpec::new(&model);
            set.iter().for_each(|(field, value)| spec.set(field, &value.to_string()).unwrap());
            assert!(params.is_some() || macs.is_some(), "{row}");
            rows += 1;
            let cost = spec.resolve().and_then(|model| {
                let [c, h, w] = model.input();
                let cost = model.complexity([c, side.unwrap_or(h), side.unwrap_or(w)])?;
                match stages {
                    Some(stages) => share(&model, &cost, &stages),
                    None => Ok((cost.params, cost.macs)),
                }
            });
            let Ok((got_params, got_macs)) =
                cost.map_err(|e| wrong.push(format!("{}: {row}: {e:#}", table["table"])))
            else {
                continue;
            };
            let like_params = params.as_ref().map(|printed| match printed.as_str() {
                Some(printed) => Value::from(like(printed, got_params)),
                None => Value::from(got_params),
            });
            let like_macs = macs.as_ref().map(|printed| like(printed, got_macs));
            if (&like_params, &like_macs) != (&params, &macs) {
                wrong.push(format!("{}: {row}: {got_params} parameters, {got_macs} MACs", table["table"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows > 200, "{rows}");
}

/// A net of goldens/paper.py, which defines it once more in PyTorch.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    set: serde_json::Map<String, Value>,
    side: i64,
    gain: f64,
    tensors: usize,
    keys: f64,
    logits: Value,
    #[serde(default)]
    auxiliary: Vec<Value>,
}

#[test]
fn keys_and_logits_equal_an_independent_definition() {
    let cases: Vec<Case> = serde_json::from_value(golden("paper_nets.json")).unwrap();
    assert!(cases.len() > 20);
    for Case { name, set, side, gain, tensors, keys, logits, auxiliary } in cases {
        let mut spec = ModelSpec::new(&name);
        set.iter().for_each(|(field, value)| spec.set(field, &value.to_string()).unwrap());
        let what = format!("{name} {set:?}");
        let store = Store::new(Device::Cpu);
        let net = spec.resolve().unwrap().build(&store).unwrap();
        assert_eq!(store.state_dict().len(), tensors, "{what}");
        // A multiple of 2⁻²⁴, which JSON may give back with its last bit turned.
        assert!((keys_digest(&store) - keys).abs() < 1e-9, "{what}: other keys or shapes");
        fill_scaled(&store, gain);
        let x = images("images", &[2, 3, side, side]);
        let _no_grad = tch::no_grad_guard();
        assert_close(&what, &values(&net.forward(&x, false).unwrap()), &logits, 1e-4);
        store.freeze(tch::Kind::Float);
        assert_close(&format!("{what}, frozen"), &values(&net.forward(&x, false).unwrap()), &logits, 1e-4);
        store.freeze(tch::Kind::BFloat16);
        let bfloat16 = values(&net.forward(&x, false).unwrap());
        assert_close(&format!("{what}, frozen in bfloat16"), &bfloat16, &logits, 0.3);
        store.thaw();
        if !auxiliary.is_empty() {
            let (_, got) = net.forward_auxiliary(&x, false).unwrap();
            assert_eq!(got.len(), auxiliary.len(), "{what}");
            got.iter().zip(&auxiliary).for_each(|(got, want)| assert_close(&what, &values(got), want, 1e-4));
        }
    }
}

/// AlexNet, section 5: N(0, 0.01²), and biases of 1 in the second, fourth and fifth convolution and the hidden layers;
/// ZFNet, section 3: N(0, 0.01²) and biases of 0.
#[test]
fn alexnet_and_zfnet_start_as_their_papers_say() {
    let starts = |name: &str, std: &str, ones: &[&str]| {
        let mut spec = ModelSpec::new(name);
        for (field, value) in [("hidden", "[256, 256]"), ("start_std", std)] {
            spec.set(field, value).unwrap();
        }
        let store = Store::new(Device::Cpu);
        spec.resolve().unwrap().build(&store).unwrap();
        for (key, tensor) in store.state_dict() {
            let (layer, part) = key.rsplit_once('.').unwrap();
            if part == "bias" {
                let value = if ones.contains(&layer) { 1.0 } else { 0.0 };
                assert!(values(&tensor).iter().all(|x| *x == value), "{name} {key}");
            } else {
                let [mean, got] =
                    [tensor.mean(tch::Kind::Double), tensor.std(true)].map(|x| x.double_value(&[]));
                let (std, n) = (std.parse::<f64>().unwrap(), tensor.numel() as f64);
                assert!((got / std - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{name} {key}: {got}");
                assert!(mean.abs() < 4.0 * std / n.sqrt(), "{name} {key}: {mean}");
            }
        }
    };
    let towers = ["features.4", "features.10", "features.12", "classifier.1", "classifier.4"];
    starts("paper/alexnet", "0.01", &towers);
    starts("paper/alexnet_1gpu", "0.03", &towers);
    starts("paper/alexnet_1tower", "0.01", &[]);
    starts("paper/zfnet", "0.01", &[]);
}

/// Two towers on two devices, here the CPU twice, are the grouped net on one: logits and every gradient.
#[test]
fn two_towers_equal_the_grouped_net() {
    let build = |towers: &str| {
        let fields = [("towers", towers), ("hidden", "[32, 32]"), ("num_classes", "10"), ("dropout", "0")];
        let mut spec = ModelSpec::new("paper/alexnet");
        fields.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
        let store = Store::new(Device::Cpu);
        (spec.resolve().unwrap().build(&store).unwrap(), store)
    };
    let ((grouped, one), (towers, two)) = (build("1"), build("2"));
    fill_scaled(&one, 2f64.sqrt());
    // Rows of a tower's tensors are the first or the second half of the grouped net's.
    let half = |key: &str, tensor: &Tensor| match key.strip_prefix("towers.") {
        None => tensor.shallow_clone(),
        Some(rest) => {
            let rows = tensor.size()[0] / 2;
            tensor.narrow(0, if rest.starts_with('0') { 0 } else { rows }, rows)
        }
    };
    let whole: HashMap<String, Tensor> = one.state_dict().into_iter().collect();
    let origin = |key: &str| whole[&key.replace("towers.0.", "").replace("towers.1.", "")].shallow_clone();
    assert_eq!(two.state_dict().len(), 2 * whole.len() - 2);
    assert_eq!(two.count_parameters(), one.count_parameters());
    tch::no_grad(|| {
        two.state_dict().iter_mut().for_each(|(key, tensor)| tensor.copy_(&half(key, &origin(key))));
    });
    let x = images("images", &[2, 3, 96, 96]);
    let outputs = [&grouped, &towers].map(|net| {
        let logits = net.forward(&x, true).unwrap();
        logits.cross_entropy_for_logits(&Tensor::from_slice(&[3i64, 7])).backward();
        logits.detach()
    });
    let apart = |a: &Tensor, b: &Tensor| {
        let largest = b.abs().max().double_value(&[]);
        assert!(largest > 0.0);
        (a - b).abs().max().double_value(&[]) / largest
    };
    assert!(apart(&outputs[1], &outputs[0]) < 1e-5);
    for (key, tensor) in two.parameters() {
        let difference = apart(&tensor.grad(), &half(&key, &origin(&key).grad()));
        assert!(difference < 1e-4, "{key}: {difference}");
    }
}

/// A small VGG by its letter, with its tensors filled from their keys.
fn small_vgg(name: &str, set: &[(&str, &str)]) -> (ModelSpec, Box<dyn Model>, Store) {
    let mut spec = ModelSpec::new(name);
    let small = [("channels", "[8, 8, 16, 16, 16]"), ("hidden", "32"), ("num_classes", "10")];
    small.iter().chain(set).for_each(|(field, value)| spec.set(field, value).unwrap());
    let store = Store::new(Device::Cpu);
    let net = spec.resolve().unwrap().build(&store).unwrap();
    fill_scaled(&store, 2f64.sqrt());
    (spec, net, store)
}

/// The fully convolutional net, with the weights of the fully connected one, gives the mean over all windows.
#[test]
fn dense_evaluation_is_the_mean_over_windows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vgg.safetensors");
    for name in ["paper/vgg16_c", "torchvision/vgg11"] {
        let (_, connected, store) = small_vgg(name, &[]);
        weights::save(&file, &store.state_dict(), HashMap::new()).unwrap();
        let (spec, _, _) = small_vgg(name, &[("head", "convolutional")]);
        let dense =
            weights::pretrained(&spec, &StateFile::open(&file).unwrap(), Classes::New, Device::Cpu).unwrap();
        assert_eq!(dense.naming, "fully connected");
        assert!(dense.fresh.is_empty());

        let _no_grad = tch::no_grad_guard();
        let apart = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let one = images("one window", &[2, 3, 224, 224]);
        let [a, b] = [&connected, &dense.model].map(|net| net.forward(&one, false).unwrap());
        assert!(apart(&a, &b) < 1e-4 && a.abs().max().double_value(&[]) > 0.1, "{name}");

        let many = images("many windows", &[1, 3, 256, 320]);
        let (_, features) = connected.features(&many, false).unwrap().pop().unwrap();
        assert_eq!(features.size()[2..], [8, 10]);
        let window = |row, column| features.narrow(2, row, 7).narrow(3, column, 7);
        let windows: Vec<Tensor> = (0..2).flat_map(|i| (0..4).map(move |j| window(i, j))).collect();
        let mean = connected.head().forward(&Tensor::cat(&windows, 0), false).unwrap();
        let mean = mean.mean_dim(0, true, tch::Kind::Float);
        assert!(apart(&dense.model.forward(&many, false).unwrap(), &mean) < 1e-4, "{name}");
    }
}

/// 1409.1556, section 3.1: the first four convolutions and the last three layers of A; the others keep their start.
#[test]
fn a_deeper_vgg_starts_from_net_a() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("a.safetensors");
    let (_, _, a) = small_vgg("paper/vgg11_a", &[]);
    tch::no_grad(|| a.parameters().iter_mut().for_each(|(_, tensor)| drop(tensor.g_add_scalar_(1.0))));
    weights::save(&from, &a.state_dict(), HashMap::new()).unwrap();
    let a: HashMap<String, Tensor> = a.state_dict().into_iter().collect();

    let mut e =
        vgg::Config { channels: [8, 8, 16, 16, 16], hidden: 32, num_classes: 10, ..vgg::Config::vgg19() };
    let layers = e.layers_from_a().unwrap();
    let expected = [0, 5, 10, 12].into_iter().zip([0, 3, 6, 8]);
    let expected = expected.map(|(here, there)| (format!("features.{here}"), format!("features.{there}")));
    let head = [0, 3, 6].map(|i| (format!("classifier.{i}"), format!("classifier.{i}")));
    assert_eq!(layers, expected.chain(head).collect::<Vec<_>>());

    let (_, _, deep) = small_vgg("paper/vgg19_e", &[]);
    let before: HashMap<String, Tensor> =
        deep.state_dict().into_iter().map(|(key, tensor)| (key, tensor.copy())).collect();
    let init = InitConfig { layers: layers.iter().cloned().collect(), ..InitConfig::default() };
    init.apply(&from, &deep.state_dict()).unwrap();
    let mut taken = 0;
    for (key, tensor) in deep.state_dict() {
        let (layer, part) = key.rsplit_once('.').unwrap();
        match layers.iter().find(|(here, _)| here == layer) {
            Some((_, there)) => {
                assert_eq!(tensor, a[&format!("{there}.{part}")], "{key}");
                taken += 1;
            }
            None => assert_eq!(tensor, before[&key], "{key}"),
        }
    }
    assert_eq!(taken, 14);

    let refused = |here: &str, there: &str| {
        let layers = [(here.to_owned(), there.to_owned())].into();
        let init = InitConfig { layers, ..InitConfig::default() };
        format!("{:#}", init.apply(&from, &deep.state_dict()).unwrap_err())
    };
    assert!(refused("features.5", "features.5").contains("has no `features.5.weight`"));
    assert!(refused("features.10", "features.0").contains("`features.0.weight` has shape [8, 3, 3, 3]"));
    assert!(refused("features.1", "features.0").contains("the model has no layer `features.1`"));
    e.layers[2] = 1;
    assert!(e.layers_from_a().unwrap_err().to_string().contains("two convolutions"));
}

/// Runs whose layers start from a file, and whose auxiliary heads are trained or not.
#[test]
fn runs_start_from_layers_and_train_auxiliary_heads() {
    let lab = Lab::new();
    let yaml = lab.yaml("init", "epochs: 1, optimizer: {sgd: {lr: 0.0}}");
    assert!(lab.train(&yaml, &lab.dir("source")).status.success());
    let tensor = |run: &str, key: &str| {
        StateFile::open(&lab.dir(run).join("best.safetensors")).unwrap().get(key).unwrap().copy()
    };
    let source = lab.dir("source").join("best.safetensors");
    let init = format!("init={{from: {}, layers: {{conv1: conv1, fc: fc}}}}", source.display());
    let run =
        |name: &str, arguments: &[&str]| lab.command(&yaml, &lab.dir(name)).args(arguments).output().unwrap();
    let output = run("started", &["seed=6", &init]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(tensor("started", "conv1.weight"), tensor("source", "conv1.weight"));
    assert_eq!(tensor("started", "fc.weight"), tensor("source", "fc.weight"));
    let other = "layer1.0.conv1.weight";
    assert_ne!(tensor("started", other), tensor("source", other));
    let output = run("broken", &["init={from: nowhere.safetensors, layers: {conv1: conv1}}"]);
    assert!(!output.status.success() && text(&output.stderr).contains("nowhere.safetensors"));

    // 64×64 images, which GoogLeNet takes.
    let pixels = |split: &str, count: usize| {
        let mut file = vec![0, 0, 8, 3];
        [count as u32, 64, 64].iter().for_each(|n| file.extend(n.to_be_bytes()));
        file.extend(uniform(split, count * 64 * 64).into_iter().map(|u| (255.0 * u) as u8));
        std::fs::write(lab.folder.path().join(format!("{split}-images-idx3-ubyte")), file).unwrap();
        let mut file = vec![0, 0, 8, 1];
        file.extend((count as u32).to_be_bytes());
        file.extend((0..count).map(|i| (i % 4) as u8));
        std::fs::write(lab.folder.path().join(format!("{split}-labels-idx1-ubyte")), file).unwrap();
    };
    pixels("train", 8);
    pixels("t10k", 4);
    let model = "model={name: torchvision/googlenet, in_chans: 1, num_classes: 4, aux_dropout: 0.0}";
    for (name, weight) in [("auxiliary", "0.3"), ("main", "0")] {
        let weight = format!("train.auxiliary_weight={weight}");
        let set =
            ["data.augment=[]", "train.batch_size=4", "train.optimizer={sgd: {lr: 0.01}}", &weight, model];
        let output = run(name, &set);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_ne!(tensor("auxiliary", "aux2.fc2.weight"), tensor("main", "aux2.fc2.weight"));
    assert_ne!(
        tensor("auxiliary", "inception3a.branch1.conv.weight"),
        tensor("main", "inception3a.branch1.conv.weight")
    );
}
