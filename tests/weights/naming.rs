//! Names and shapes of other libraries, both ways, against the libraries' own keys; tensors adapted as timm does.

use crate::common::{assert_close, fill, golden, images, uniform, values};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};
use tchvision::Remedy;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{self, Classes, Format, Resampling, StateDict, TensorView};

fn state(tensors: &[(String, Tensor)]) -> StateDict {
    let views = tensors.iter().map(|(name, t)| (name.clone(), TensorView::from(t.shallow_clone())));
    StateDict { path: PathBuf::from("memory"), format: Format::Safetensors, tensors: views.collect() }
}

/// A multiple of 2⁻²⁴ as a whole number: JSON may give it back with its last bit turned.
fn whole(digest: f64) -> i64 {
    (digest * f64::from(1 << 24)).round() as i64
}

fn digest(tensors: &[(String, Tensor)]) -> i64 {
    let mut keys: Vec<String> = tensors.iter().map(|(key, t)| format!("{key}{:?}", t.size())).collect();
    keys.sort();
    whole(uniform(&keys.join("\n"), 1)[0])
}

/// The tensors of a registered model, without memory.
fn tensors(model: &str) -> Vec<(String, Tensor)> {
    let store = Store::meta();
    ModelSpec::new(model).resolve().unwrap().build(&store).unwrap();
    store.state_dict()
}

/// What `recognise` takes the tensors for, when the model wants `wanted`; all must fit.
fn recognised(model: &str, tensors: &[(String, Tensor)], wanted: &[(String, Tensor)]) -> String {
    let recognised = weights::recognise(&ModelSpec::new(model), state(tensors)).unwrap();
    let differences = weights::compare(&recognised.state, wanted);
    assert!(differences.is_empty(), "{model}: {differences}");
    recognised.naming
}

#[test]
fn names_translate_both_ways() {
    for pair in golden("names.json").as_array().unwrap() {
        let (model, timm_model) = (pair["torchvision"].as_str().unwrap(), pair["timm"].as_str().unwrap());
        let (own, timm_own) = (tensors(model), tensors(timm_model));
        let held = [&pair["keys"], &pair["timm_keys"]].map(|held| whole(held.as_f64().unwrap()));
        assert_eq!([digest(&own), digest(&timm_own)], held, "{model}, {timm_model}");
        let copy = || own.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect::<Vec<_>>();
        let timm = weights::export(model, copy(), "timm").unwrap();
        assert_eq!(digest(&timm), digest(&timm_own), "{model}");
        let same = digest(&timm) == digest(&own);
        // A torchvision file for timm's model, and timm's file for torchvision's, which works out index buffers.
        assert_eq!(recognised(timm_model, &own, &timm), if same { "timm" } else { "torchvision" });
        assert_eq!(recognised(model, &timm, &own), if same { "torchvision" } else { "timm" });
        let back = weights::export(timm_model, timm, "torchvision").unwrap();
        assert_eq!(digest(&back), digest(&own), "{timm_model}");
        if let Some(old) = pair["old_keys"].as_f64().map(whole) {
            let naming = if model.contains("vit") { "torchvision 0.12" } else { "torchvision 0.1" };
            let spelt = weights::export(model, copy(), naming).unwrap();
            assert_eq!(digest(&spelt), old, "{model}");
            assert_eq!(recognised(model, &spelt, &own), naming);
            assert_eq!(
                recognised(timm_model, &spelt, &weights::export(model, copy(), "timm").unwrap()),
                naming
            );
        }
    }
}

/// Weights under the other library's names give the same logits: no two layers of one shape are mixed up.
#[test]
fn renamed_weights_compute_the_same() {
    let pairs = [
        ("torchvision/mobilenet_v2", "timm/mobilenetv2_100", "1e-5"),
        ("torchvision/mobilenet_v3_large", "timm/mobilenetv3_large_100", "1e-3"),
        ("torchvision/mobilenet_v3_small", "timm/mobilenetv3_small_100", "1e-3"),
        ("torchvision/efficientnet_v2_s", "timm/efficientnetv2_s", "1e-3"),
        ("torchvision/swin_t", "timm/swin_tiny_patch4_window7_224", ""),
    ];
    let x = images("renamed", &[1, 3, 224, 224]);
    for (model, timm_model, bn_eps) in pairs {
        let mut spec = ModelSpec::new(timm_model);
        if !bn_eps.is_empty() {
            spec.set("bn_eps", bn_eps).unwrap();
        }
        let build = |spec: &ModelSpec| {
            let store = Store::uninitialised(Device::Cpu);
            (spec.resolve().unwrap().build(&store).unwrap(), store)
        };
        let (net, store) = build(&ModelSpec::new(model));
        let (timm_net, timm_store) = build(&spec);
        fill(&store);
        let named = weights::export(model, store.state_dict(), "timm").unwrap();
        weights::load(&state(&named), &timm_store.state_dict()).unwrap();
        let logits = tch::no_grad(|| net.forward(&x, false)).unwrap();
        let timm_logits = tch::no_grad(|| timm_net.forward(&x, false)).unwrap();
        let (apart, scale) = ((&logits - timm_logits).abs().max(), logits.abs().max());
        let apart = apart.double_value(&[]) / scale.double_value(&[]);
        assert!(apart < 1e-4, "{model}, {timm_model}: {apart} apart");
    }
}

/// What the program says it has done beside renaming.
fn notes(model: &str, tensors: &[(String, Tensor)]) -> Vec<String> {
    weights::recognise(&ModelSpec::new(model), state(tensors)).unwrap().notes
}

#[test]
fn a_network_is_found_in_its_wrappers() {
    let vgg = "torchvision/vgg11";
    let own = tensors(vgg);
    let wrap = |wrapper: &str| -> Vec<_> {
        own.iter().map(|(name, t)| (format!("{wrapper}{name}"), t.shallow_clone())).collect()
    };
    for wrapper in ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.backbone.", "a.b.c."] {
        let mut wrapped = wrap(wrapper);
        wrapped.push(("n_averaged".into(), Tensor::from(3i64)));
        assert_eq!(recognised(vgg, &wrapped, &own), "torchvision", "{wrapper}");
    }
    // Modules that only wrap, within the names.
    let inner: Vec<_> = own
        .iter()
        .map(|(name, t)| (name.replace("features.", "features.module._orig_mod."), t.shallow_clone()))
        .collect();
    assert_eq!(recognised(vgg, &inner, &own), "torchvision");
    // A loss beside it is said.
    let mut beside = wrap("model.");
    beside.push(("criterion.pos_weight".into(), Tensor::from(1f32)));
    assert_eq!(recognised(vgg, &beside, &own), "torchvision");
    assert_eq!(
        notes(vgg, &beside),
        ["memory: the network is under `model`", "memory: left over: criterion (1 tensor)"]
    );
    // Two that fit are a question; MoCo's slow copy is none.
    let both = |one: &str, other: &str| wrap(one).into_iter().chain(wrap(other)).collect::<Vec<_>>();
    let error = weights::recognise(&ModelSpec::new(vgg), state(&both("student.", "teacher."))).err().unwrap();
    assert_eq!(error.downcast_ref(), Some(&Remedy::Prefix));
    let text = format!("{error:#}");
    assert!(text.contains("several networks fit `torchvision/vgg11`: `student`, `teacher`"), "{text}");
    assert_eq!(recognised(vgg, &both("module.encoder_q.", "module.encoder_k."), &own), "torchvision");
    // One key outside the wrapper is missing within it, and a module more in the network is no wrapper's.
    for odd in [
        ("model.features.0.weight", "features.0.weight"),
        ("model.features.0.bias", "model.features.0.se.weight"),
    ] {
        let mut wrapped = wrap("model.");
        let at = wrapped.iter().position(|(name, _)| name == odd.0).unwrap();
        wrapped[at].0 = odd.1.to_owned();
        let recognised = weights::recognise(&ModelSpec::new(vgg), state(&wrapped)).unwrap();
        assert!(!recognised.is_whole);
        assert_eq!(weights::compare(&recognised.state, &own).missing, [odd.0.trim_start_matches("model.")]);
    }
    let mut more = wrap("model.");
    more.push(("model.features.0.se.weight".into(), Tensor::from(1f32)));
    let recognised = weights::recognise(&ModelSpec::new(vgg), state(&more)).unwrap();
    assert_eq!(weights::compare(&recognised.state, &own).unexpected, ["features.0.se.weight"]);
}

#[test]
fn a_library_without_the_model_has_no_names_for_it() {
    let error = weights::export("paper/resnet20", Vec::new(), "timm").err().unwrap();
    assert!(error.to_string().contains("`paper/resnet20` has no naming `timm`; it has paper"), "{error}");
    assert!(error.is::<tchvision::Usage>());
}

#[test]
fn tensors_adapt_as_timm_does() {
    let golden = golden("adapt.json");
    let check = |name: &str, tensor: Tensor| assert_close(name, &values(&tensor), &golden[name], 1e-5);
    let weight = images("conv", &[2, 3, 2, 2]);
    for n in [1, 2, 4, 7] {
        check(&format!("input_conv_{n}"), weights::input_conv(&weight, n).unwrap());
    }
    check("input_conv_folded", weights::input_conv(&images("folded", &[2, 12, 1, 1]), 1).unwrap());
    let half = weights::input_conv(&weight.to_kind(Kind::Half), 4).unwrap();
    assert_eq!(half.kind(), Kind::Half);
    check("input_conv_half", half);
    assert!(weights::input_conv(&images("two", &[2, 2, 1, 1]), 5).is_err());

    let table = images("table", &[1, 17, 3]);
    let [bicubic, bilinear] = [Resampling::Bicubic, Resampling::Bilinear];
    let position = |new, old| weights::position_embedding(&table, new, old, 1, bicubic).unwrap();
    check("position_up", position([6, 6], None));
    check("position_down", position([3, 2], None));
    check("position_oblong", position([5, 3], Some([2, 8])));
    assert_eq!(position([4, 4], None), table);
    let plain = weights::position_embedding(&table, [3, 6], None, 1, bilinear).unwrap();
    check("position_bilinear", plain);
    assert!(weights::position_embedding(&table, [6, 6], Some([3, 5]), 1, bicubic).is_err());

    let patch = images("patch", &[2, 3, 4, 4]);
    let kernel = |new, resampling| weights::patch_kernel(&patch, new, resampling).unwrap();
    check("patch_up", kernel([7, 7], bicubic));
    check("patch_down", kernel([3, 2], bicubic));
    check("patch_bilinear", kernel([6, 6], bilinear));
    assert_eq!(kernel([4, 4], bicubic), patch);
    assert!(weights::patch_kernel(&patch, [257, 4], bicubic).is_err());

    let bias = images("bias", &[49, 2]);
    for side in [5, 11] {
        let table = weights::relative_position_table(&bias, [7, 7], [side, side]).unwrap();
        check(&format!("bias_{side}"), table);
    }
}

/// The model of a spec, and a state_dict as if from a file of the model as registered.
fn with_file(spec: &ModelSpec) -> (Vec<(String, Tensor)>, StateDict) {
    let build = |spec: &ModelSpec| {
        let store = Store::new(Device::Cpu);
        spec.resolve().unwrap().build(&store).unwrap();
        store.state_dict()
    };
    (build(spec), state(&build(&ModelSpec::new(&spec.name))))
}

#[test]
fn only_stem_and_classifier_are_adapted() {
    let mut spec = ModelSpec::new("paper/resnet20");
    spec.set("num_classes", "3").unwrap();
    spec.set("in_chans", "1").unwrap();
    let (model, mut file) = with_file(&spec);
    let row = |state: &StateDict, name: &str| {
        let (_, tensor) = state.tensors.iter().find(|(known, _)| known == name).unwrap();
        tensor.shallow_clone()
    };
    let (stem, head) = (row(&file, "conv1.weight"), row(&file, "fc.weight"));
    weights::adapt(&mut file, &spec, &model, Classes::Selected(&[7, 0, 7])).unwrap();
    weights::load(&file, &model).unwrap();
    assert_eq!(row(&file, "fc.weight"), head.index_select(0, &Tensor::from_slice(&[7i64, 0, 7])));
    assert_eq!(row(&file, "conv1.weight"), stem.sum_dim_intlist(1, true, Kind::Float));

    let (model, mut file) = with_file(&spec);
    let fresh = weights::adapt(&mut file, &spec, &model, Classes::New).unwrap();
    assert_eq!(fresh, ["fc.weight", "fc.bias"]);
    assert_eq!(weights::compare(&file, &model).missing, fresh);
    // And of a file that has no classifier at all, if the classes were asked for.
    assert_eq!(weights::adapt(&mut file, &spec, &model, Classes::New).unwrap(), fresh);
    let plain = ModelSpec::new(&spec.name);
    assert!(weights::adapt(&mut file, &plain, &model, Classes::New).unwrap().is_empty());
    let (model, mut file) = with_file(&spec);
    let error = weights::adapt(&mut file, &spec, &model, Classes::Selected(&[10])).err().unwrap();
    assert!(format!("{error:#}").contains("no class 10: the file has 10"), "{error:#}");

    // Another width is another model.
    let mut wide = ModelSpec::new("paper/resnet20");
    wide.set("width", "2").unwrap();
    let (model, mut file) = with_file(&wide);
    assert!(weights::adapt(&mut file, &wide, &model, Classes::New).unwrap().is_empty());
    assert!(weights::load(&file, &model).is_err());
}

/// timm has no rule for Swin's table of absolute positions, so neither is there one here: it is refused by name.
#[test]
fn absolute_positions_of_swin_are_for_one_size() {
    let build = |image_size: &str| {
        let mut spec = ModelSpec::new("timm/swin_tiny_patch4_window7_224");
        let small = [("embed_dim", "8"), ("depths", "[1, 1]"), ("heads", "[1, 1]"), ("window", "4")];
        for (field, value) in small.into_iter().chain([("position", "absolute"), ("image_size", image_size)])
        {
            spec.set(field, value).unwrap();
        }
        let store = Store::new(Device::Cpu);
        spec.resolve().unwrap().build(&store).unwrap();
        (spec, store.state_dict())
    };
    let ((_, file), (spec, model)) = (build("32"), build("64"));
    let mut file = state(&file);
    weights::adapt(&mut file, &spec, &model, Classes::New).unwrap();
    let error = weights::load(&file, &model).unwrap_err().to_string();
    assert!(
        error.contains("`absolute_pos_embed` has shape [1, 64, 8], the model's is [1, 256, 8]"),
        "{error}"
    );
}
