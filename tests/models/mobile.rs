//! Mobile nets: compound scaling, training, either library's keys, and what a wrong table is told.

use crate::common::{fill, freezes_in_bfloat16, images};
use tch::{Device, Kind, Tensor};
use tchvision::models::{Architecture, ModelSpec};
use tchvision::nn::Store;

/// Fields of a `Config` with values in YAML.
type Fields = &'static [(&'static str, &'static str)];

fn model(name: &str, set: &[(&str, &str)]) -> Architecture {
    let mut spec = ModelSpec::new(name);
    set.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
    spec.resolve().unwrap()
}

/// Depth 1.2^φ, width 1.1^φ, resolution 1.15^φ: about twice the MACs with each φ.
#[test]
fn phi_scales_depth_width_and_resolution_together() {
    let cost = |phi: &str| {
        let model = model("efficientnet_b0", &[("phi", phi)]);
        model.complexity(model.input()).unwrap()
    };
    let [b0, one, two] = ["0", "1", "2"].map(cost);
    assert_eq!((b0.input, one.input, two.input), ([3, 224, 224], [3, 258, 258], [3, 296, 296]));
    let by_hand = model("efficientnet_b0", &[("depth", "1.44"), ("width", "1.21"), ("image_size", "296")]);
    assert_eq!(two.macs, by_hand.complexity([3, 296, 296]).unwrap().macs);
    for (more, less) in [(&one, &b0), (&two, &one)] {
        let growth = more.macs as f64 / less.macs as f64;
        assert!((1.7..2.6).contains(&growth), "{growth}");
    }
}

/// One engine: every net of it scales so.
#[test]
fn phi_scales_nets_that_the_paper_does_not_have() {
    for name in
        ["mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "paper/mobilenet_v1", "timm/mobilenetv3_rw"]
    {
        let compound = model(name, &[("phi", "2")]);
        let width = if name == "mnasnet0_5" { "0.605" } else { "1.21" };
        let by_hand = model(name, &[("depth", "1.44"), ("width", width), ("image_size", "296")]);
        assert_eq!(compound.input(), [3, 296, 296], "{name}");
        let cost = |model: &Architecture| model.complexity([3, 296, 296]).unwrap();
        assert_eq!(cost(&compound), cost(&by_hand), "{name}");
    }
}

/// One of every kind of block; a dry run and a real one shape alike, and every parameter gets a finite gradient.
#[test]
fn every_kind_of_block_trains() {
    let nets: [(&str, Fields); 10] = [
        ("torchvision/mobilenet_v2", &[("width", "0.25")]),
        ("torchvision/mobilenet_v3_small", &[("width", "0.5")]),
        ("torchvision/efficientnet_b0", &[("width", "0.25"), ("drop_path", "0.3")]),
        ("torchvision/efficientnet_v2_s", &[("depth", "0.1"), ("width", "0.5")]),
        ("timm/mobilenetv1_100", &[("width", "0.25")]),
        ("timm/tf_mobilenetv3_small_075", &[("width", "0.5"), ("drop_path", "0.2")]),
        ("timm/mobilenetv4_hybrid_medium_075", &[("width", "0.25"), ("layer_scale", "0.5")]),
        ("timm/mobilenetv4_conv_blur_medium", &[("width", "0.25"), ("depth", "0.3")]),
        ("timm/efficientnet_cc_b0_4e", &[("width", "0.25"), ("depth", "0.5"), ("tf_same", "true")]),
        ("timm/efficientnet_es", &[("width", "0.25"), ("depth", "0.5"), ("dropout", "0.2")]),
    ];
    for (name, set) in nets {
        let changed: Vec<_> = set.iter().chain(&[("num_classes", "5"), ("in_chans", "1")]).copied().collect();
        let model = model(name, &changed);
        let store = Store::new(Device::Cpu);
        let net = model.build(&store).unwrap();
        fill(&store);
        let x = images("train", &[4, 1, 96, 96]);
        let counted = model.complexity([1, 96, 96]).unwrap();
        for ((stage, feature), want) in net.features(&x, false).unwrap().iter().zip(&counted.stages) {
            assert_eq!((stage, &feature.size()[1..]), (&want.name, want.output.as_slice()), "{name}");
        }
        freezes_in_bfloat16(name, net.as_ref(), &store, &x);
        let logits = net.forward(&x, true).unwrap();
        logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1, 2, 3])).backward();
        for (key, parameter) in store.parameters() {
            let grad = parameter.grad();
            let finite = grad.defined() && grad.isfinite().all().int64_value(&[]) == 1;
            assert!(finite, "{name}: {key}");
        }
        let total =
            |(_, parameter): &(String, Tensor)| parameter.grad().abs().sum(Kind::Double).double_value(&[]);
        let moving = store.parameters().iter().filter(|parameter| total(parameter) > 0.0).count();
        assert!(moving * 10 > store.parameters().len() * 9, "{name}: {moving} parameters have a gradient");
    }
}

#[test]
fn stochastic_depth_and_dropout_act_in_training_alone() {
    for field in ["drop_path", "dropout"] {
        let store = Store::new(Device::Cpu);
        let model = model("timm/efficientnet_lite0", &[("width", "0.25"), (field, "0.5")]);
        let net = model.build(&store).unwrap();
        fill(&store);
        let x = images("drop", &[2, 3, 64, 64]);
        let _no_grad = tch::no_grad_guard();
        assert_eq!(net.forward(&x, false).unwrap(), net.forward(&x, false).unwrap());
        assert_ne!(net.forward(&x, true).unwrap(), net.forward(&x, true).unwrap(), "{field}");
    }
}

#[test]
fn a_wrong_table_is_told_where() {
    let message = |set: &[(&str, &str)]| {
        format!("{:#}", model("timm/mobilenetv2_100", set).count_parameters().err().unwrap())
    };
    let kind = message(&[("stages", "[ir k3 e6 c24, 'ir k3 e6 c24, xx k3 c8']")]);
    assert!(kind.contains("block `xx k3 c8`") && kind.contains("cn, ds, dsa, ir"), "{kind}");
    let field = message(&[("stages", "[ir k3 q6 c24]")]);
    assert!(field.contains("`q6`") && field.contains("the fields are x, k, a"), "{field}");
    let number = message(&[("stages", "[ir k3.5 e6 c24]")]);
    assert!(number.contains("`k3.5`") && number.contains("must be whole"), "{number}");
    let channels = message(&[("stages", "[ir k3 e6]")]);
    assert!(channels.contains("c (channels) must be positive"), "{channels}");
    assert!(message(&[("stages", "[]")]).contains("`stages` is empty"));
    assert!(message(&[("width", "0")]).contains("`width` 0 must be positive"));
    let attention = message(&[("tf_same", "true"), ("stages", "[mqa k3 h2 d8 c32]")]);
    assert!(attention.contains("`mqa` block has no `tf_same`"), "{attention}");
}

/// Either library's net has the other's keys and shapes where both have the net.
#[test]
fn keys_are_those_of_the_library_that_is_asked_for() {
    let keys = |name: &str, set: &[(&str, &str)]| -> Vec<(String, Vec<i64>)> {
        let store = Store::meta();
        model(name, set).build(&store).unwrap();
        store.state_dict().into_iter().map(|(key, tensor)| (key, tensor.size())).collect()
    };
    for (torchvision, timm) in [
        ("torchvision/mobilenet_v2", "timm/mobilenetv2_100"),
        ("torchvision/mobilenet_v3_large", "timm/mobilenetv3_large_100"),
        ("torchvision/mobilenet_v3_small", "timm/mobilenetv3_small_100"),
        ("torchvision/efficientnet_b3", "timm/efficientnet_b3"),
        ("torchvision/efficientnet_v2_m", "timm/tf_efficientnetv2_m"),
    ] {
        assert_eq!(keys(torchvision, &[("keys", "timm")]), keys(timm, &[]), "{timm}");
        assert_eq!(keys(timm, &[("keys", "torchvision")]), keys(torchvision, &[]), "{torchvision}");
    }
    let refused = |name: &str, set: &[(&str, &str)]| {
        format!("{:#}", model(name, set).count_parameters().err().unwrap())
    };
    let net = refused("timm/mobilenetv4_conv_small", &[("keys", "torchvision")]);
    assert!(net.contains("torchvision has no such net"), "{net}");
    let block = refused("torchvision/mobilenet_v2", &[("stages", "[uir a3 k3 e4 c24]")]);
    assert!(block.contains("torchvision has plain `cn`, `ds`, `ir` and `er` blocks alone"), "{block}");
}

#[test]
fn fields_of_before_say_what_they_are_now() {
    let message = |name: &str, field: &str, value: &str| {
        let mut spec = ModelSpec::new(name);
        spec.set(field, value).unwrap();
        format!("{:#}", spec.resolve().err().unwrap())
    };
    for (name, field, now) in [
        ("torchvision/efficientnet_b0", "last", "head_channels"),
        ("torchvision/mobilenet_v3_large", "hidden", "head_channels"),
        ("torchvision/mobilenet_v3_large", "blocks", "stages"),
        ("torchvision/mnasnet1_0", "separable", "stages: [ds k3 c16 noskip, …]"),
        ("timm/mobilenetv2_100", "features", "head_channels"),
    ] {
        assert_eq!(message(name, field, "640"), format!("`{field}` of {name} is now `{now}`"));
    }
    let row = "{block: mb_conv, expansion: 6, kernel: 5, stride: 2, channels: 40, blocks: 2}";
    let stages = message("torchvision/efficientnet_b0", "stages", &format!("[{row}]"));
    assert!(
        stages.starts_with(&format!("`model.stages`: one line a stage: `{row}` is now `ir x2 k5")),
        "{stages}"
    );
}
