//! The models: keys and logits as the references give them, training, starts, what wrong names and fields are told.

use crate::common::{assert_close, fill, freezes_in_bfloat16, golden, images, keys_digest, values};
use tch::{Device, Kind, Tensor};
use tchvision::models::{self, ModelSpec};
use tchvision::nn::Store;

/// Fields of a `Config` with values in YAML.
type Fields = &'static [(&'static str, &'static str)];

fn spec(name: &str, set: &[(&str, &str)]) -> ModelSpec {
    let mut spec = ModelSpec::new(name);
    set.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
    spec
}

#[test]
fn plain_nets_cost_as_much_as_residual_ones() {
    for depth in [20, 32, 44, 56, 110] {
        let cost = |kind: &str| {
            let model = ModelSpec::new(&format!("paper/{kind}{depth}")).resolve().unwrap();
            let cost = model.complexity([3, 32, 32]).unwrap();
            (cost.params, cost.macs)
        };
        assert_eq!(cost("plain"), cost("resnet"), "depth {depth}");
    }
}

#[test]
fn a_fully_connected_head_takes_all_of_the_last_map() {
    for size in [15, 28, 32, 33, 47, 48, 63, 64, 96, 100, 224] {
        let store = Store::meta();
        let set = [("head", "flatten"), ("aux_logits", "false"), ("image_size", &size.to_string())];
        let model = spec("torchvision/googlenet", &set).resolve().unwrap().build(&store).unwrap();
        let features = model
            .features(&tchvision::torch::empty_meta(&[1, 3, size, size], tch::Kind::Float).unwrap(), false);
        let map = features.unwrap().last().unwrap().1.numel() as i64;
        let parameters = store.parameters();
        let (_, weight) = parameters.iter().find(|(name, _)| name == "fc.weight").unwrap();
        assert_eq!(weight.size()[1], map, "{size}");
    }
}

#[test]
fn logits_and_keys_equal_the_reference() {
    for case in golden("residual.json").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut spec = ModelSpec::new(name);
        for (field, value) in case["set"].as_object().unwrap() {
            spec.set(field, &value.to_string()).unwrap();
        }
        let what = format!("{name} {}", case["set"]);
        let store = Store::new(Device::Cpu);
        let model = spec.resolve().unwrap().build(&store).unwrap();
        assert_eq!(store.state_dict().len(), case["tensors"], "{what}");
        assert_eq!(keys_digest(&store), case["keys"], "{what}: other keys or shapes");
        fill(&store);
        let x = images("images", &[2, 3, 32, 32]);
        let logits = tch::no_grad(|| model.forward(&x, false)).unwrap();
        assert_close(&what, &values(&logits), &case["logits"], 1e-4);
    }
}

#[test]
fn every_registered_model_runs_and_counts_on_meta() {
    let entries = models::entries();
    assert!(entries.len() > 35);
    for entry in entries {
        let model = entry.architecture().unwrap();
        let cost = model.complexity(model.input()).unwrap();
        assert_eq!(cost.params, model.count_parameters().unwrap(), "{}", entry.name);
        assert_eq!(cost.macs, cost.stages.iter().map(|stage| stage.macs).sum::<u64>(), "{}", entry.name);
        let output = &cost.stages.last().unwrap().output;
        match model.fields().unwrap()["num_classes"].as_i64().unwrap() {
            // Without a classifier the features are the output.
            0 => assert!(matches!(output[..], [features] if features > 0), "{}", entry.name),
            classes => assert_eq!(output, &[classes], "{}", entry.name),
        }
    }
}

/// One name of each structure: those of the libraries that the parity tests run by default, and the papers'.
fn structures() -> Vec<String> {
    let papers = "alexnet zfnet vgg16_c resnet20 wrn_16_4 resnext29 plain18 se_resnet50 preact_resnet152 googlenet \
                  bn_inception densenet_40_12 xception_relu mobilenet_v1";
    let mut names: Vec<String> = papers.split(' ').map(|name| format!("paper/{name}")).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parity");
    for file in folder.read_dir().unwrap() {
        let cases: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let quick = cases.iter().filter(|case| case["quick"] == true && case["logits"].is_array());
        names.extend(quick.map(|case| case["name"].as_str().unwrap().to_owned()));
    }
    names
}

/// The number of classes and of channels changes the last and the first layers of a net, and nothing else.
#[test]
fn every_structure_takes_other_images_and_classes() {
    let names = structures();
    assert!(names.len() > 80, "{}", names.len());
    for name in names {
        let sizes = |classes: i64, channels: i64| -> Vec<Vec<i64>> {
            let (classes, channels) = (classes.to_string(), channels.to_string());
            let spec = spec(&name, &[("num_classes", &classes), ("in_chans", &channels)]);
            let store = Store::meta();
            spec.resolve().unwrap().build(&store).unwrap();
            store.state_dict().iter().map(|(_, tensor)| tensor.size()).collect()
        };
        let (before, after) = (sizes(5, 3), sizes(7, 2));
        assert_eq!(before.len(), after.len(), "{name}");
        let (mut first, mut last) = (0, 0);
        for (before, after) in before.iter().zip(&after).filter(|(before, after)| before != after) {
            match (before[0], after[0], before.get(1), after.get(1)) {
                (5, 7, ..) => last += 1,
                (_, _, Some(3), Some(2)) => first += 1,
                _ => panic!("{name}: {before:?} becomes {after:?}"),
            }
        }
        assert!(first > 0 && last > 0, "{name}");
    }
}

/// A dry run and a real one count and shape alike; a training pass gives every parameter a gradient.
fn trains(name: &str, set: &[(&str, &str)]) {
    let mut spec = spec(name, set);
    spec.set("num_classes", "10").unwrap();
    let model = spec.resolve().unwrap();
    let store = Store::new(Device::Cpu);
    let net = model.build(&store).unwrap();
    // Drawn weights may kill a ReLU of few channels for good, and tests share the generator.
    fill(&store);
    let [c, h, w] = model.input();
    let x = images("train", &[2, c, h, w]);
    let features = net.features(&x, false).unwrap();
    let counted = model.complexity([c, h, w]).unwrap();
    for ((name, feature), stage) in features.iter().zip(&counted.stages) {
        assert_eq!((name, &feature.size()[1..]), (&stage.name, stage.output.as_slice()));
    }
    freezes_in_bfloat16(name, net.as_ref(), &store, &x);
    let (logits, auxiliary) = net.forward_auxiliary(&x, true).unwrap();
    assert_eq!(auxiliary.len(), net.auxiliaries().len());
    let classes = tch::Tensor::from_slice(&[1i64, 2]);
    let loss = |logits: &tch::Tensor| {
        assert_eq!(logits.size(), [2, 10]);
        logits.cross_entropy_for_logits(&classes)
    };
    auxiliary.iter().fold(loss(&logits), |sum, logits| sum + 0.3 * loss(logits)).backward();
    for (key, parameter) in store.parameters() {
        let grad = parameter.grad();
        let sum = if grad.defined() { grad.abs().sum(tch::Kind::Float).double_value(&[]) } else { 0.0 };
        assert!(sum > 0.0 && sum.is_finite(), "{name} {set:?}: {key}");
    }
}

#[test]
fn small_convolutional_nets_of_every_kind_train() {
    let kinds: [(&str, Fields); 16] = [
        ("paper/alexnet", &[("hidden", "[32, 32]"), ("image_size", "64")]),
        ("vgg11", &[("channels", "[8, 16, 16, 16, 16]"), ("hidden", "32"), ("image_size", "32")]),
        ("timm/vgg13", &[("channels", "[8, 16, 16, 16, 16]"), ("hidden", "32"), ("image_size", "32")]),
        ("resnet18", &[("planes", "[8, 8, 16, 16]"), ("image_size", "64"), ("dropout", "0.1")]),
        ("seresnext26t_32x4d", &[("planes", "[16, 16, 16, 16]"), ("image_size", "64")]),
        ("ecaresnet50d", &[("planes", "[16, 16, 16, 16]"), ("layers", "[1, 1, 1, 1]"), ("image_size", "64")]),
        ("legacy_seresnet18", &[("planes", "[16, 16, 16, 16]"), ("se_reduction", "2"), ("image_size", "64")]),
        ("legacy_senet154", &[("layers", "[1, 1, 1, 1]"), ("image_size", "64")]),
        ("resnetv2_18d", &[("planes", "[16, 16, 16, 16]"), ("stem_width", "16"), ("image_size", "64")]),
        (
            "resnetv2_50x1_bit",
            &[("planes", "[32, 32, 32, 32]"), ("layers", "[1, 1, 1, 1]"), ("image_size", "64")],
        ),
        (
            "densenet121",
            &[("growth", "8"), ("blocks", "[2, 2, 2]"), ("stem_width", "16"), ("image_size", "64")],
        ),
        ("googlenet", &[("image_size", "64"), ("transform_input", "true")]),
        ("inception_v4", &[("modules", "[1, 1, 1]"), ("image_size", "107")]),
        ("inception_resnet_v2", &[("modules", "[1, 1, 2]"), ("image_size", "107")]),
        ("legacy_xception", &[("middle", "1"), ("intermediate", "relu"), ("image_size", "75")]),
        ("xception41p", &[("middle", "1"), ("image_size", "75")]),
    ];
    kinds.into_iter().for_each(|(name, set)| trains(name, set));
}

#[test]
fn small_nets_of_torchvision_alone_train() {
    let kinds: [(&str, Fields); 7] = [
        (
            "squeezenet1_0",
            &[("modules", "4"), ("pool_after", "[2]"), ("image_size", "64"), ("in_chans", "1")],
        ),
        ("shufflenet_v2_x0_5", &[("layers", "[2, 2, 1]"), ("image_size", "64"), ("dropout", "0.1")]),
        ("mnasnet0_5", &[("image_size", "64")]),
        ("regnet_x_400mf", &[("num_blocks", "6"), ("image_size", "64"), ("bottleneck_multiplier", "0.5")]),
        ("regnet_y_400mf", &[("num_blocks", "6"), ("image_size", "64")]),
        (
            "convnext_tiny",
            &[("channels", "[8, 16]"), ("layers", "[1, 2]"), ("drop_path", "0"), ("image_size", "32")],
        ),
        (
            "maxvit_t",
            &[
                ("stem_width", "8"),
                ("channels", "[16, 32]"),
                ("layers", "[1, 2]"),
                ("head_dim", "8"),
                ("window", "4"),
                ("drop_path", "0"),
                ("image_size", "64"),
            ],
        ),
    ];
    kinds.into_iter().for_each(|(name, set)| trains(name, set));
}

#[test]
fn small_nets_of_the_papers_train() {
    let small = [("planes", "[16, 16, 16, 16]"), ("layers", "[1, 1, 1, 1]"), ("se_reduction", "2")];
    for (name, field, value) in [
        ("paper/plain18", "depth", "2"),
        ("paper/resnet34_a", "width", "4"),
        ("paper/resnet34_c", "in_chans", "1"),
        ("paper/resnet50", "dropout", "0.1"),
        ("paper/plain_resnext50_32x4d", "cardinality", "4"),
        ("paper/se_resnet50", "se_squeeze", "max"),
        ("paper/se_resnet50", "se_squeeze", "none"),
        ("paper/se_resnet50", "attention_place", "pre"),
        ("paper/se_resnet50", "attention_place", "post"),
        ("paper/se_resnet50", "attention_place", "identity"),
        ("paper/se_resnet50", "se_gate", "tanh"),
    ] {
        trains(name, &[small[0], small[1], small[2], ("image_size", "64"), (field, value)]);
    }
    let kinds: [(&str, Fields); 9] = [
        ("paper/alexnet", &[("hidden", "[32, 32]"), ("image_size", "64"), ("towers", "2")]),
        ("paper/zfnet", &[("hidden", "[32]"), ("image_size", "64")]),
        ("paper/vgg11_a_lrn", &[("channels", "[8, 16, 16, 16, 16]"), ("hidden", "32"), ("image_size", "32")]),
        ("paper/googlenet", &[]),
        ("paper/se_bn_inception", &[("image_size", "64")]),
        ("paper/densenet_40_12", &[("blocks", "[2, 2, 2]"), ("layer_dropout", "0.2")]),
        ("paper/xception_elu", &[("middle", "1"), ("image_size", "75")]),
        ("paper/xception_no_residual", &[("middle", "1"), ("image_size", "75")]),
        (
            "paper/se_mobilenet_v1",
            &[("stages", "[dsa k3 c64 se0.25, dsa k3 s2 c64 se0.25]"), ("image_size", "32")],
        ),
    ];
    kinds.into_iter().for_each(|(name, set)| trains(name, set));
}

#[test]
fn impossible_nets_of_torchvision_are_refused() {
    let message = |name: &str, set: &[(&str, &str)]| {
        format!("{:#}", spec(name, set).resolve().unwrap().count_parameters().err().unwrap())
    };
    assert!(
        message("squeezenet1_0", &[("pool_after", "[7, 3]")])
            .contains("must be increasing and lie between the 8")
    );
    assert!(message("shufflenet_v2_x1_0", &[("channels", "[116, 233, 464]")]).contains("must be even"));
    assert!(message("regnet_y_400mf", &[("initial_width", "20")]).contains("a positive multiple of 8"));
    assert!(message("convnext_tiny", &[("layers", "[3]")]).contains("must have one number per stage"));
    assert!(message("maxvit_t", &[("head_dim", "48")]).contains("`head_dim` 48 must divide `channels`"));
    let larger = spec("maxvit_t", &[]).resolve().unwrap().complexity([3, 256, 256]).err().unwrap();
    assert!(format!("{larger:#}").contains("`window` 7 does not divide a map of 64×64"), "{larger:#}");
}

#[test]
fn small_residual_nets_of_every_kind_train() {
    trains("plain20", &[]);
    trains("resnet20", &[("shortcut", "c")]);
    trains("wrn_16_4", &[("width", "1"), ("block_dropout", "0.3"), ("in_chans", "1")]);
    trains("resnext29", &[("cardinality", "4"), ("base_width", "4"), ("planes", "[16, 32, 64]")]);
    trains("preact_resnet164", &[("num_layers", "20"), ("se_reduction", "4")]);
    trains("resnet20", &[("shortcut", "a"), ("se_reduction", "2"), ("block_dropout", "0.1")]);
}

#[test]
fn small_vits_of_every_kind_train() {
    trains("vit_tiny_32", &[("num_blocks", "2"), ("block_dropout", "0.1")]);
    trains("vit_tiny_32", &[("num_blocks", "2"), ("image_size", "28"), ("in_chans", "1"), ("heads", "6")]);
    trains("vit_tiny_32", &[("num_blocks", "1"), ("keys", "torchvision"), ("position", "none")]);
    trains("vit_tiny_32", &[("num_blocks", "1"), ("distillation", "true"), ("pre_norm", "true")]);
    trains(
        "vit_tiny_32",
        &[("num_blocks", "1"), ("registers", "2"), ("position", "patches"), ("layer_scale", "0.1")],
    );
    trains("vit_tiny_32", &[("num_blocks", "1"), ("class_token", "false"), ("pool", "map")]);
    trains(
        "vit_tiny_32",
        &[("num_blocks", "1"), ("pool", "average"), ("norm_after_pool", "true"), ("qkv_bias", "false")],
    );
    trains(
        "vit_tiny_32",
        &[("num_blocks", "1"), ("gated_mlp", "true"), ("activation", "silu"), ("patch_size", "8")],
    );
}

#[test]
fn small_swins_of_every_kind_train() {
    trains("swin_tiny_32", &[("drop_path", "0"), ("embed_dim", "24")]);
    trains(
        "swin_tiny_32",
        &[("drop_path", "0"), ("embed_dim", "24"), ("keys", "torchvision"), ("image_size", "28")],
    );
    trains(
        "swin_tiny_32",
        &[("drop_path", "0"), ("embed_dim", "24"), ("position", "absolute"), ("shift", "false")],
    );
    trains(
        "swin_tiny_32",
        &[("drop_path", "0"), ("embed_dim", "24"), ("position", "none"), ("image_size", "28")],
    );
    trains("swin_v2_tiny_32", &[("drop_path", "0"), ("embed_dim", "24"), ("in_chans", "1"), ("window", "3")]);
    trains("swin_v2_tiny_32", &[("drop_path", "0"), ("embed_dim", "24"), ("keys", "torchvision")]);
}

/// The paper's Table 1 and 4: what the knobs add and take away.
#[test]
fn knobs_of_transformers_cost_what_they_should() {
    let params =
        |name: &str, set: &[(&str, &str)]| spec(name, set).resolve().unwrap().count_parameters().unwrap();
    let swin = params("timm/swin_tiny_patch4_window7_224", &[]);
    let heads = 2 * 3 + 2 * 6 + 6 * 12 + 2 * 24;
    assert_eq!(swin - params("timm/swin_tiny_patch4_window7_224", &[("position", "none")]), 13 * 13 * heads);
    assert_eq!(params("timm/swin_tiny_patch4_window7_224", &[("shift", "false")]), swin);
    let absolute = params("timm/swin_tiny_patch4_window7_224", &[("position", "absolute_and_relative")]);
    assert_eq!(absolute - swin, 56 * 56 * 96);
    let vit = params("timm/vit_tiny_patch16_224", &[]);
    assert_eq!(
        params("timm/vit_tiny_patch16_224", &[("image_size", "384")]) - vit,
        (24 * 24 - 14 * 14) * 192
    );
    assert_eq!(params("timm/vit_tiny_patch16_224", &[("registers", "4")]) - vit, 2 * 4 * 192);
    assert_eq!(params("timm/vit_tiny_patch16_224", &[("num_classes", "0")]), vit - 1000 * 193);
}

#[test]
fn impossible_transformers_are_refused() {
    let message = |name: &str, set: &[(&str, &str)]| {
        format!("{:#}", spec(name, set).resolve().unwrap().count_parameters().err().unwrap())
    };
    assert!(
        message("vit_tiny_32", &[("class_token", "false")])
            .contains("`pool: token` needs `class_token: true`")
    );
    assert!(message("vit_tiny_32", &[("heads", "5")]).contains("5 heads do not divide 192 channels"));
    assert!(message("vit_tiny_32", &[("patch_size", "64")]).contains("does not fit `image_size` 32"));
    assert!(message("swin_tiny_32", &[("heads", "[3, 6]")]).contains("must have one number per stage"));
    assert!(message("swin_tiny_32", &[("heads", "[3, 6, 7]")]).contains("do not divide its 384 channels"));
    let larger = spec("vit_tiny_32", &[]).resolve().unwrap().complexity([3, 64, 64]).err().unwrap();
    assert!(format!("{larger:#}").contains("16×16 patches, but the position table is for 8×8"), "{larger:#}");
}

/// Standard deviations of what the libraries draw.
#[test]
fn weights_start_as_the_libraries_have_them() {
    let small: Fields = &[("channels", "[64, 64, 64, 64, 64]"), ("hidden", "64")];
    let started: [(&str, Fields, &str, f64); 14] = [
        ("vgg11", small, "features.3.weight", (2.0f64 / 576.0).sqrt()),
        ("vgg11", small, "classifier.0.weight", 0.01),
        ("timm/vgg11", small, "pre_logits.fc1.weight", (2.0f64 / 3136.0).sqrt()),
        ("resnet18", &[], "conv1.weight", (2.0f64 / 3136.0).sqrt()),
        ("timm/resnet18", &[], "layer1.0.bn2.weight", 0.0),
        ("densenet121", &[], "features.denseblock1.denselayer1.conv1.weight", (2.0f64 / 64.0).sqrt()),
        ("googlenet", &[], "fc.weight", 0.01),
        ("inception_v3", &[], "AuxLogits.fc.weight", 0.001),
        ("resnetv2_18", &[], "head.fc.weight", 0.01),
        ("squeezenet1_1", &[], "features.12.expand3x3.weight", (2.0f64 / 576.0).sqrt()),
        ("mnasnet0_5", &[], "classifier.1.weight", 0.001f64.sqrt()),
        ("regnet_y_400mf", &[], "trunk_output.block4.block4-0.f.b.0.weight", (2.0f64 / 3960.0).sqrt()),
        ("convnext_tiny", &[], "features.1.0.block.3.weight", 0.02),
        ("maxvit_t", &[], "blocks.3.layers.0.layers.MBconv.layers.conv_c.weight", 0.02),
    ];
    for (name, set, key, deviation) in started {
        let store = Store::new(Device::Cpu);
        spec(name, set).resolve().unwrap().build(&store).unwrap();
        let (_, tensor) = store.state_dict().into_iter().find(|(name, _)| name == key).unwrap();
        let square = tensor.square().mean(tch::Kind::Float).double_value(&[]).sqrt();
        assert!(
            (square - deviation).abs() <= 0.05 * deviation,
            "{name}: {key} has {square}, not {deviation}"
        );
    }
}

#[test]
fn dropout_acts_in_training_alone() {
    let store = Store::new(Device::Cpu);
    let net = spec("wrn_16_4", &[("width", "1"), ("block_dropout", "0.5")])
        .resolve()
        .unwrap()
        .build(&store)
        .unwrap();
    let x = images("dropout", &[2, 3, 32, 32]);
    let _no_grad = tch::no_grad_guard();
    assert_eq!(net.forward(&x, false).unwrap(), net.forward(&x, false).unwrap());
    assert_ne!(net.forward(&x, true).unwrap(), net.forward(&x, true).unwrap());
}

#[test]
fn unknown_names_and_fields_name_the_nearest() {
    let message = |spec: ModelSpec| format!("{:#}", spec.resolve().err().unwrap());
    let name = message(ModelSpec::new("paper/wrn_28_11"));
    assert!(name.contains("unknown model `paper/wrn_28_11`; did you mean `paper/wrn_28_1"), "{name}");
    let field = message(spec("resnet20", &[("widht", "2")]));
    assert!(field.contains("unknown field `widht` of paper/resnet20; did you mean `width`?"), "{field}");
    let kind = message(spec("resnet20", &[("shortcut", "d")]));
    assert_eq!(kind, "`model.shortcut`: no choice is called `d`; the choices are none, a, b, c");
    let built =
        |set| format!("{:#}", spec("resnet20", set).resolve().unwrap().count_parameters().err().unwrap());
    assert!(built(&[("num_layers", "21")]).contains("`num_layers` 21 does not fit 6n+2"));
    assert!(built(&[("kernels", "[2]")]).contains("`kernels` [2] must be odd"));
    assert!(built(&[("cardinality", "4")]).contains("`block: bottleneck`"));
    let input = spec("resnet20", &[]).resolve().unwrap().complexity([1, 32, 32]).err().unwrap();
    assert!(format!("{input:#}").contains("a convolution of 3 channels does not take 1"));
}

/// One of each family whose layers read parameters themselves (tokens, tables, scales), and one of convolutions alone.
#[test]
fn frozen_passes_have_no_gradient_and_take_images_only() {
    for name in [
        "timm/vit_tiny_patch16_224",
        "timm/swin_tiny_patch4_window7_224",
        "torchvision/convnext_tiny",
        "resnet18",
    ] {
        let store = Store::new(Device::Cpu);
        let net = ModelSpec::new(name).resolve().unwrap().build(&store).unwrap();
        let x = Tensor::rand([1, 3, 224, 224], (Kind::Float, Device::Cpu));
        assert_eq!(store.frozen(), None);
        assert!(net.forward(&x, false).unwrap().requires_grad(), "{name}: as it is, it can be trained");
        store.freeze(Kind::Float);
        assert_eq!(store.frozen(), Some(Kind::Float));
        assert!(!net.forward(&x, false).unwrap().requires_grad(), "{name}");
        assert!(
            net.features(&x, false).unwrap().iter().all(|(_, feature)| !feature.requires_grad()),
            "{name}"
        );
        let refused = |x: &Tensor| format!("{:#}", net.forward(x, false).unwrap_err());
        let bytes = refused(&x.to_kind(Kind::Uint8));
        assert!(bytes.contains("images are Uint8"), "{name}: {bytes}");
        let channels = refused(&Tensor::zeros([1, 5, 224, 224], (Kind::Float, Device::Cpu)));
        assert!(channels.contains("a convolution of 3 channels was given 5"), "{name}: {channels}");
        // Training goes on as before.
        assert!(net.forward(&x.repeat([2, 1, 1, 1]), true).unwrap().requires_grad(), "{name}");
        store.thaw();
        assert!(net.forward(&x, false).unwrap().requires_grad(), "{name}: thawed");
    }
}
