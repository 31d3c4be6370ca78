//! Layers against `torch.nn`: numbers, initialisation, costs.

use crate::common::{assert_close, fill, golden, images, values};
use tch::{Device, Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::{
    Activation, AvgPool2d, BatchNorm2d, BlurPool2d, CondConv2d, Conv, Conv2d, ConvNorm, DropPath, Dropout,
    EfficientChannelAttention, Excitation, FeedForward, GroupNorm, Init, Layer, LayerNorm, LayerScale,
    LayerScale2d, Linear, LocalResponseNorm, MaxPool2d, Mlp, MultiQueryAttention, PatchEmbed, Path,
    QueryHeads, SelfAttention, SqueezeExcite, Store, adaptive_avg_pool, cost, global_avg_pool,
    make_divisible, max_unpool, record_switches,
};

const TOLERANCE: f64 = 1e-5;

/// The shape, the sum and some values of the tensor, as `summary` in make.py takes them.
fn check(name: &str, y: &Tensor) {
    let want = &golden("layers.json")[name];
    let size: Vec<i64> = serde_json::from_value(want["shape"].clone()).unwrap();
    assert_eq!(y.size(), size, "{name}");
    let flat = values(y);
    let step = (flat.len() / 16).max(1);
    let some: Vec<f64> = flat.iter().step_by(step).take(16).copied().collect();
    assert_close(name, &some, &want["values"], TOLERANCE);
    assert_close(name, &[flat.iter().sum::<f64>()], &serde_json::json!([want["sum"]]), 1e-4);
}

/// Builds a layer with hashed weights.
fn layer<L>(build: impl FnOnce(&Path) -> anyhow::Result<L>) -> (L, Store) {
    let store = Store::new(Device::Cpu);
    let layer = build(&store.root()).unwrap();
    fill(&store);
    (layer, store)
}

fn check_layer<L: Layer>(name: &str, x: &Tensor, build: impl FnOnce(&Path) -> anyhow::Result<L>) {
    check(name, &layer(build).0.forward(x, false).unwrap());
}

fn x() -> Tensor {
    images("x", &[2, 8, 7, 9])
}

fn tokens() -> Tensor {
    images("tokens", &[2, 5, 16])
}

#[test]
fn layers_equal_pytorch() {
    let conv = Conv::new(8, 12, 3).stride(2).padding(1);
    check_layer("conv", &x(), |p| Conv2d::new(p, conv));
    let grouped = Conv::new(8, 16, 3).dilation(2).same().groups(4).no_bias();
    check_layer("conv_groups_dilation", &x(), |p| Conv2d::new(p, grouped));
    check_layer("conv_asymmetric", &x(), |p| Conv2d::new(p, Conv::new(8, 4, 1).kernel([1, 7]).same()));
    check_layer("linear", &tokens(), |p| Linear::new(p, 16, 10));
    check_layer("batch_norm_eval", &x(), |p| BatchNorm2d::new(p, 8));
    check_layer("layer_norm", &tokens(), |p| LayerNorm::new(p, 16));
    check_layer("group_norm", &x(), |p| GroupNorm::new(p, 4, 8));
    let norm = LocalResponseNorm { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };
    check("local_response_norm", &norm.forward(&x(), false).unwrap());
    let standardised = Conv::new(8, 12, 3).same().no_bias().standardise(1e-8);
    check_layer("conv_standardised", &x(), |p| Conv2d::new(p, standardised));
    check_layer("efficient_channel_attention", &x(), |p| EfficientChannelAttention::new(p, 8));
    check_layer("squeeze_excite", &x(), |p| SqueezeExcite::new(p, 8, 4));
    check_layer("multihead_attention", &tokens(), |p| SelfAttention::multihead(p, 16, 4));
    check_layer("self_attention", &tokens(), |p| SelfAttention::new(p, 16, 4, true));
    check_layer("layer_scale", &tokens(), |p| LayerScale::new(p, 16, 1.0));
    let mlp = |spec: Mlp| move |p: &Path| FeedForward::new(&(p / "fc1"), &(p / "fc2"), spec);
    check_layer("mlp", &tokens(), mlp(Mlp::new(16, 24)));
    check_layer("mlp_gated", &tokens(), mlp(Mlp::new(16, 24).activation(Activation::Silu).gated(true)));
    check_layer("patch_embed", &x(), |p| PatchEmbed::new(&(p / "proj"), Conv::new(8, 12, 2)));
}

/// The layers of mobile nets against timm's.
#[test]
fn mobile_layers_equal_timms() {
    let even = images("even", &[2, 8, 8, 10]);
    let same = Conv::new(8, 12, 3).stride(2).tf_same().no_bias();
    check_layer("conv_tf_same", &even, |p| Conv2d::new(p, same));
    let depthwise = Conv::new(8, 8, 5).stride(2).groups(8).tf_same().no_bias();
    check_layer("conv_tf_same_depthwise", &x(), |p| Conv2d::new(p, depthwise));
    check("blur_pool", &BlurPool2d { stride: 2 }.forward(&x(), false).unwrap());
    check_layer("layer_scale_2d", &x(), |p| LayerScale2d::new(p, 8, 1e-5));
    let (activation, gate, names) =
        (Activation::Silu, Activation::HardSigmoid, ["conv_reduce", "conv_expand"]);
    let excitation = Excitation { squeezed: 3, activation, gate, names };
    check_layer("squeeze_excite_mobile", &x(), |p| SqueezeExcite::mobile(p, 8, excitation));
    let sizes = QueryHeads { heads: 2, key_dim: 4, kv_stride: 1, kernel: 3, bn_eps: 1e-5, bn_momentum: 0.1 };
    check_layer("multi_query_attention", &even, |p| MultiQueryAttention::new(p, 8, sizes));
    let strided = QueryHeads { kv_stride: 2, ..sizes };
    check_layer("multi_query_attention_strided", &even, |p| MultiQueryAttention::new(p, 8, strided));
    let (experts, _) = layer(|p| CondConv2d::new(p, Conv::new(8, 16, 3).stride(2).tf_same().groups(4), 3));
    check("cond_conv", &experts.forward(&even, &(10.0 * images("routing", &[2, 3]))).unwrap());
}

#[test]
fn channels_are_rounded_as_in_the_papers_code() {
    for (channels, divisor, limit, want) in [
        (22.4, 8, 0.9, 24),
        (35.2, 8, 0.9, 32),
        (10.4, 8, 0.9, 16),
        (10.4, 8, 0.0, 8),
        (2.0, 8, 0.9, 8),
        (5.55, 1, 0.9, 6),
    ] {
        assert_eq!(make_divisible(channels, divisor, limit), want, "{channels} by {divisor}, {limit}");
    }
}

#[test]
fn pools_equal_pytorch() {
    let max = MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) };
    check("max_pool", &max.forward(&x(), false).unwrap());
    let ceil = MaxPool2d { stride: 2, ceil_mode: true, ..MaxPool2d::new(3) };
    check("max_pool_ceil", &ceil.forward(&x(), false).unwrap());
    check("avg_pool", &AvgPool2d::new(2).forward(&x(), false).unwrap());
    let excluded = AvgPool2d { stride: 2, padding: 1, count_include_pad: false, ..AvgPool2d::new(3) };
    check("avg_pool_exclude_pad", &excluded.forward(&x(), false).unwrap());
    check("adaptive_avg_pool", &adaptive_avg_pool(&x(), [4, 3]).unwrap());
    check("global_avg_pool", &global_avg_pool(&x()).unwrap());
}

const ACTIVATIONS: [(Activation, &str); 12] = [
    (Activation::Identity, "identity"),
    (Activation::Relu, "relu"),
    (Activation::Relu6, "relu6"),
    (Activation::Elu, "elu"),
    (Activation::Gelu, "gelu"),
    (Activation::GeluTanh, "gelu_tanh"),
    (Activation::QuickGelu, "quick_gelu"),
    (Activation::Silu, "silu"),
    (Activation::Sigmoid, "sigmoid"),
    (Activation::Tanh, "tanh"),
    (Activation::HardSwish, "hard_swish"),
    (Activation::HardSigmoid, "hard_sigmoid"),
];

#[test]
fn activations_equal_pytorch() {
    for (activation, name) in ACTIVATIONS {
        check(name, &activation.forward(4.0 * x()).unwrap());
    }
}

#[test]
fn batch_norm_keeps_running_statistics() {
    let (norm, store) = layer(|p| BatchNorm2d::new(p, 8));
    check("batch_norm_train", &norm.forward(&x(), true).unwrap());
    let state = store.state_dict();
    let get = |key: &str| &state.iter().find(|(name, _)| name == key).unwrap().1;
    check("batch_norm_running_mean", get("running_mean"));
    check("batch_norm_running_var", get("running_var"));
    assert_eq!(get("num_batches_tracked").int64_value(&[]), 1);

    let (average, store) = layer(|p| Ok(BatchNorm2d::new(p, 8)?.momentum(None)));
    let _y = average.forward(&x(), true).unwrap();
    let _y = average.forward(&images("x2", &[2, 8, 7, 9]), true).unwrap();
    let state = store.state_dict();
    check(
        "batch_norm_cumulative_running_var",
        &state.iter().find(|(name, _)| name == "running_var").unwrap().1,
    );
}

/// What a deconvnet needs: unpooling is the gradient of max pooling, where windows overlap too.
#[test]
fn switches_lead_values_back_to_their_maxima() {
    let x = images("switches", &[2, 3, 11, 13]).set_requires_grad(true);
    let pool = MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) };
    let (y, switches) = record_switches(|| pool.forward(&x, false).unwrap());
    let [switches] = switches.as_slice() else { panic!("{} switches", switches.len()) };
    assert_eq!(x.flatten(2, -1).gather(2, &switches.flatten(2, -1), false), y.flatten(2, -1));
    let values = images("values", &y.size());
    (&y * &values).sum(Kind::Float).backward();
    assert!(
        (max_unpool(&values, switches, [11, 13]).unwrap() - x.grad()).abs().max().double_value(&[]) < 1e-6
    );
    assert!(record_switches(|| ()).1.is_empty());
    let (_, zfnet) = record_switches(|| {
        let store = Store::uninitialised(Device::Cpu);
        let net = ModelSpec::new("paper/zfnet").resolve().unwrap().build(&store).unwrap();
        fill(&store);
        net.forward(&images("zfnet", &[1, 3, 224, 224]), false).unwrap()
    });
    let sizes: Vec<_> = zfnet.iter().map(Tensor::size).collect();
    assert_eq!(sizes, [[1, 96, 55, 55], [1, 256, 13, 13], [1, 256, 6, 6]]);
}

/// Standard deviation and mean of what `torch.nn` draws, for enough values to tell.
#[test]
fn layers_start_as_pytorchs() {
    tch::manual_seed(1);
    let std = |t: &Tensor| t.std(true).double_value(&[]);
    let store = Store::new(Device::Cpu);
    let root = store.root();
    let conv = Conv::new(64, 256, 3);
    Conv2d::new(&(&root / "conv"), conv).unwrap();
    Conv2d::new(&(&root / "grouped"), conv.groups(4)).unwrap();
    Conv2d::new(&(&root / "he"), conv.no_bias().init(Init::KaimingFanOut)).unwrap();
    Linear::new(&(&root / "fc"), 512, 1000).unwrap();
    BatchNorm2d::new(&(&root / "bn"), 64).unwrap();
    SelfAttention::multihead(&(&root / "attn"), 256, 4).unwrap();
    Linear::no_bias(&(&root / "vit"), 512, 512).unwrap();
    let _y = root.parameter("trunc", &[1000, 100], Init::TruncatedNormal(0.02)).unwrap();
    let _y = root.parameter("wide", &[1000, 100], Init::TruncatedNormal(2.0)).unwrap();
    let state = store.state_dict();
    let get = |key: &str| &state.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("{key}")).1;
    // Uniform within ±1/√fan_in has the standard deviation 1/√(3 fan_in).
    let uniform = |fan_in: f64| 1.0 / (3.0 * fan_in).sqrt();
    let wants = [
        ("conv.weight", uniform(576.0)),
        ("conv.bias", uniform(576.0)),
        ("grouped.weight", uniform(144.0)),
        ("he.weight", (2.0_f64 / (256.0 * 9.0)).sqrt()),
        ("fc.weight", uniform(512.0)),
        ("fc.bias", uniform(512.0)),
        ("vit.weight", uniform(512.0)),
        ("attn.in_proj_weight", (2.0_f64 / (256.0 + 768.0)).sqrt()),
        ("attn.out_proj.weight", uniform(256.0)),
        ("trunc", 0.02),
        // N(0, 4) cut at ±2, one standard deviation: 2 · 0.5396.
        ("wide", 1.0792),
    ];
    for (key, want) in wants {
        let (got, n) = (std(get(key)), get(key).numel() as f64);
        // Four standard errors, and never less than half a percent.
        assert!(
            (got / want - 1.0).abs() < (4.0 / n.sqrt()).max(0.005),
            "{key}: std {got}, PyTorch has {want}"
        );
        let mean = get(key).mean(tch::Kind::Double).double_value(&[]);
        assert!(mean.abs() < 4.0 * want / n.sqrt(), "{key}: mean {mean}");
    }
    for (key, want) in
        [("bn.weight", 1.0), ("bn.bias", 0.0), ("bn.running_mean", 0.0), ("bn.running_var", 1.0)]
    {
        assert_eq!(values(get(key)), vec![want; 64], "{key}");
    }
    for key in ["attn.in_proj_bias", "attn.out_proj.bias"] {
        assert!(values(get(key)).iter().all(|&x| x == 0.0), "{key}");
    }
    let bound = 1.0 / 576.0_f64.sqrt();
    assert!(get("conv.weight").abs().max().double_value(&[]) <= bound + 1e-9);
}

#[test]
fn dropout_and_drop_path_keep_the_mean() {
    tch::manual_seed(2);
    let ones = Tensor::ones([2000, 10, 2, 2], (Kind::Float, Device::Cpu));
    for p in [0.1, 0.5] {
        let dropped = Dropout::new(p).unwrap().forward(&ones, true).unwrap();
        let paths = DropPath::new(p).unwrap().forward(&ones, true).unwrap();
        for y in [&dropped, &paths] {
            assert!((y.mean(tch::Kind::Double).double_value(&[]) - 1.0).abs() < 0.1);
            let distinct = y.flatten(0, -1).unique_dim(0, true, false, false).0;
            assert_close(
                "kept or dropped",
                &values(&distinct),
                &serde_json::json!([0.0, 1.0 / (1.0 - p)]),
                1e-6,
            );
        }
        // A path is dropped for a whole sample.
        let per_sample = paths.flatten(1, -1).std_dim(Some([1i64].as_slice()), false, false);
        assert_eq!(per_sample.max().double_value(&[]), 0.0);
        assert!(
            dropped.flatten(1, -1).std_dim(Some([1i64].as_slice()), false, false).max().double_value(&[])
                > 0.0
        );
        assert_eq!(DropPath::new(p).unwrap().forward(&ones, false).unwrap(), ones);
    }
    assert!(Dropout::new(1.0).is_err());
    assert!(DropPath::new(-0.1).is_err());
}

#[test]
fn costs_are_counted_on_meta_as_on_real_tensors() {
    let net = |store: &Store, x: &Tensor| -> anyhow::Result<Vec<i64>> {
        let root = store.root();
        let conv = Conv2d::new(&(&root / "conv"), Conv::new(8, 16, 3).stride(2).padding(1).groups(4))?;
        let norm = BatchNorm2d::new(&(&root / "bn"), 16)?;
        let se = SqueezeExcite::new(&(&root / "se"), 16, 4)?;
        let attention = SelfAttention::multihead(&(&root / "attn"), 16, 4)?;
        let group = GroupNorm::new(&(&root / "gn"), 4, 16)?;
        let layer_norm = LayerNorm::new(&(&root / "ln"), 16)?;
        let y = se.forward(&norm.forward(&conv.forward(x, false)?, false)?, false)?;
        let y = MaxPool2d::new(2)
            .forward(&AvgPool2d::new(2).forward(&group.forward(&y, false)?, false)?, false)?;
        let y = y.f_flatten(2, -1)?.f_transpose(1, 2)?;
        Ok(attention.forward(&layer_norm.forward(&y, false)?, false)?.size())
    };
    let _no_grad = tch::no_grad_guard();
    let real = Store::new(Device::Cpu);
    let (real_size, real_cost) = cost::measure(|| net(&real, &images("cost", &[1, 8, 16, 16])).unwrap());
    let meta = Store::meta();
    let input = tchvision::torch::empty_meta(&[1, 8, 16, 16], Kind::Float).unwrap();
    let (meta_size, meta_cost) = cost::measure(|| net(&meta, &input).unwrap());
    assert_eq!((&real_size, real_cost), (&meta_size, meta_cost));
    assert_eq!(real_size, [1, 4, 16]);
    assert_eq!(real.count_parameters(), meta.count_parameters());
    // 8×8 outputs of 16 channels over 2 inputs and 3×3; 16→4→16; 4 tokens through 16→48, QKᵀ and AV, 16→16.
    let macs = 64 * 16 * 18 + 2 * 64 + 4 * 16 * 48 + 2 * 4 * 4 * 16 + 4 * 16 * 16;
    let activations = 64 * 16 + 4 + 16 + 4 * 48 + 4 * 16;
    assert_eq!((real_cost.macs, real_cost.activations), (macs, activations));
}

#[test]
fn wrong_layers_are_refused() {
    let store = Store::new(Device::Cpu);
    let p = store.root();
    let message = |r: anyhow::Result<Conv2d>| format!("{:#}", r.err().unwrap());
    let groups = message(Conv2d::new(&p, Conv::new(6, 8, 3).groups(4)));
    assert!(groups.contains("4 groups do not divide both"), "{groups}");
    assert!(message(Conv2d::new(&p, Conv::new(6, 0, 3))).contains("must be positive"));
    assert!(SelfAttention::multihead(&p, 10, 4).is_err());
    assert!(GroupNorm::new(&p, 3, 8).is_err());
    assert!(SqueezeExcite::new(&p, 4, 8).is_err());
    Linear::new(&(&p / "fc"), 2, 2).unwrap();
    let twice = format!("{:#}", Linear::new(&(&p / "fc"), 2, 2).err().unwrap());
    assert!(twice.contains("`fc.weight`: duplicate tensor name"), "{twice}");
    let conv = Conv2d::new(&(&p / "conv"), Conv::new(3, 4, 3)).unwrap();
    assert!(conv.forward(&images("wrong", &[1, 5, 8, 8]), false).is_err());
}

#[test]
fn channels_last_changes_the_order_and_not_the_values() {
    let (conv, store) = layer(|p| Conv2d::new(p, Conv::new(8, 12, 3).stride(2).padding(1)));
    let before: Vec<_> = store.state_dict().iter().map(|(_, t)| values(t)).collect();
    store.channels_last().unwrap();
    let after: Vec<_> = store.state_dict().iter().map(|(_, t)| values(t)).collect();
    assert_eq!(before, after);
    assert_eq!(store.state_dict()[0].1.stride(), [72, 1, 24, 8]);
    let y = conv.forward(&tchvision::torch::channels_last(&x()).unwrap(), false).unwrap();
    assert_eq!(y.stride()[1], 1, "the output stays in channels_last order");
    check("conv", &y);
}

/// A training pass of a 1×1 convolution whose channels are no multiple of 8 takes another way; it gives the same
/// values and gradients, in channels_last order, and damages no memory (AVX2, libtorch 2.13: see `Conv2d`).
#[test]
fn narrow_1x1_convolutions_train_as_they_evaluate() {
    for (inputs, outputs, stride) in [(6, 13, 2), (13, 6, 1), (16, 12, 1), (1, 4, 2)] {
        let spec = Conv::new(inputs, outputs, 1).stride(stride);
        let (conv, store) = layer(|p| Conv2d::new(p, spec));
        store.channels_last().unwrap();
        let x = tchvision::torch::channels_last(&images("narrow", &[32, inputs, 12, 12])).unwrap();
        let gradients = |conv: &Conv2d, store: &Store, x: Tensor, train: bool| {
            let x = x.set_requires_grad(true);
            let y = conv.forward(&x, train).unwrap();
            (&y * &y).sum(Kind::Float).backward();
            let parameters = store.parameters().into_iter().map(|(_, parameter)| parameter.grad());
            let all = [y, x.grad()].into_iter().chain(parameters);
            all.map(|tensor| (tensor.stride(), values(&tensor))).collect::<Vec<_>>()
        };
        let trained = gradients(&conv, &store, x.copy(), true);
        assert_eq!(trained[0].0[1], 1, "the output stays in channels_last order");
        let (plain, plain_store) = layer(|p| Conv2d::new(p, spec));
        let evaluated = gradients(&plain, &plain_store, x.contiguous(), false);
        for ((_, got), (_, want)) in trained.iter().zip(&evaluated) {
            assert_close(&format!("{inputs} to {outputs}"), got, &serde_json::json!(want), TOLERANCE);
        }
    }
}

/// What a layer gives as it is and frozen.
fn frozen(store: &Store, pass: impl Fn() -> Tensor) -> [Tensor; 2] {
    let _no_grad = tch::no_grad_guard();
    let plain = pass();
    store.freeze(Kind::Float);
    let frozen = pass();
    store.thaw();
    [plain, frozen]
}

fn assert_same(name: &str, [plain, frozen]: [Tensor; 2]) {
    assert_eq!(plain.size(), frozen.size(), "{name}");
    assert_close(name, &values(&frozen), &serde_json::json!(values(&plain)), TOLERANCE);
}

#[test]
fn frozen_layers_give_the_same_values() {
    let specs = [
        ("3×3", Conv::new(8, 8, 3).same()),
        ("grouped", Conv::new(8, 8, 3).same().groups(4)),
        ("depthwise", Conv::new(8, 8, 5).same().groups(8)),
        ("TF-SAME", Conv::new(8, 8, 3).stride(2).tf_same()),
        ("dilated", Conv::new(8, 8, 3).dilation(2).padding(2)),
        ("1×1", Conv::new(8, 8, 1)),
        ("standardised", Conv::new(8, 8, 3).same().standardise(1e-6)),
    ];
    for (what, spec) in specs {
        let (conv, store) = layer(|p| ConvNorm::with_bias(&(p / "conv"), &(p / "bn"), spec));
        for (activation, name) in ACTIVATIONS {
            let pass = || conv.forward(&x(), activation, false).unwrap();
            assert_same(&format!("{what} {name}"), frozen(&store, pass));
            if pass().size() == x().size() {
                let sum = || conv.forward_add(&x(), &images("skip", &x().size()), activation, false).unwrap();
                assert_same(&format!("{what} + x {name}"), frozen(&store, sum));
            }
        }
    }
    let (linear, store) = layer(|p| Linear::new(p, 16, 24));
    for (activation, name) in ACTIVATIONS {
        let pass = || linear.forward_act(&tokens(), activation, false).unwrap();
        assert_same(&format!("linear {name}"), frozen(&store, pass));
    }
}

/// Weights packed for one size of input serve another, and are packed anew when that comes again.
#[test]
fn frozen_layers_take_inputs_of_any_size() {
    let (conv, store) = layer(|p| ConvNorm::new(&(p / "conv"), &(p / "bn"), Conv::new(8, 16, 3)));
    let (linear, linear_store) = layer(|p| Linear::new(p, 16, 24));
    let _no_grad = tch::no_grad_guard();
    let sizes: [[i64; 4]; 5] = [[1, 8, 7, 9], [3, 8, 5, 5], [3, 8, 5, 5], [1, 8, 7, 9], [2, 8, 32, 32]];
    let pass = |size: &[i64; 4]| {
        let convolved = conv.forward(&images("any", size), Activation::Relu, false).unwrap();
        (values(&convolved), values(&linear.forward(&images("rows", &[size[2], 16]), false).unwrap()))
    };
    let plain = sizes.map(|size| pass(&size));
    store.freeze(Kind::Float);
    linear_store.freeze(Kind::Float);
    for (size, (conv, linear)) in sizes.iter().zip(&plain) {
        let (frozen_conv, frozen_linear) = pass(size);
        assert_close(&format!("{size:?}"), &frozen_conv, &serde_json::json!(conv), TOLERANCE);
        assert_close(&format!("{size:?}"), &frozen_linear, &serde_json::json!(linear), TOLERANCE);
    }
}

#[test]
fn frozen_layers_keep_their_weights_until_they_are_frozen_again() {
    let (conv, store) = layer(|p| ConvNorm::new(&(p / "conv"), &(p / "bn"), Conv::new(8, 8, 3)));
    let _no_grad = tch::no_grad_guard();
    let pass = |train| values(&conv.forward(&x(), Activation::Relu, train).unwrap());
    store.freeze(Kind::Float);
    let before = pass(false);
    let (_, mut bias) = store.parameters().into_iter().find(|(name, _)| name == "bn.bias").unwrap();
    let _changed = bias.f_add_scalar_(1.0).unwrap();
    assert_eq!(pass(false), before);
    store.freeze(Kind::Float);
    assert_ne!(pass(false), before, "frozen anew");
    // A training pass is not frozen: it moves the running statistics, which the frozen pass does not see.
    let now = pass(false);
    let _trained = pass(true);
    assert_eq!(pass(false), now);
    store.thaw();
    assert_ne!(pass(false), now);
}
