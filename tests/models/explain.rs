//! What networks look at, against grad-cam, captum and the definitions in the papers.

use crate::common::{assert_close, fill, golden, images, values};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};
use tchvision::Usage;
use tchvision::explain::{
    Cam, Feature, Fusion, Method, Network, Occlusion, Rollout, Smooth, correspondence, deletion_insertion,
    field, nearest, project,
};
use tchvision::models::{self, Model, ModelSpec};
use tchvision::nn::{Backward, Store, record_switches};

/// A model with weights from a hash.
struct Net {
    model: Box<dyn Model>,
    store: Store,
}

impl Net {
    fn new(name: &str, set: &[(&str, &str)]) -> Self {
        let mut spec = ModelSpec::new(name);
        set.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
        let store = Store::new(Device::Cpu);
        let model = spec.resolve().unwrap().build(&store).unwrap();
        fill(&store);
        Self { model, store }
    }

    fn network(&self) -> Network<'_> {
        Network::new(self.model.as_ref(), &self.store)
    }
}

/// Every so many values, as the script samples them.
fn sampled(maps: &[Tensor]) -> Vec<f64> {
    let all = Tensor::stack(maps, 0).flatten(0, -1);
    let step = (all.numel() / 64).max(1);
    values(&all).into_iter().step_by(step).take(64).collect()
}

fn maps(cam: &Cam, net: &Net, x: &Tensor) -> Vec<Tensor> {
    let found = cam.maps(&net.network(), x, &[3, 7]).unwrap();
    found.into_iter().map(|map| map.map).collect()
}

fn cam(method: Method, layer: &str) -> Cam {
    Cam { method, layers: vec![layer.to_owned()], smooth: Smooth::default() }
}

#[test]
fn maps_equal_those_of_grad_cam() {
    for row in golden("explain.json")["cams"]["nets"].as_array().unwrap() {
        let (name, layer) = (row["model"].as_str().unwrap(), row["layer"].as_str().unwrap());
        let [height, width] = [0, 1].map(|i| row["size"][i].as_i64().unwrap());
        let net = Net::new(name, &[]);
        let x = images(&format!("explain.{name}"), &[2, 3, height, width]);
        for (method, want) in row["maps"].as_object().unwrap() {
            let (method, eigen) = method.split_once('/').map_or((method.as_str(), false), |(m, _)| (m, true));
            let mut cam = cam(method.parse().unwrap(), layer);
            cam.smooth.eigen = eigen;
            let what = format!("{name} {layer} {method}{}", if eigen { ", eigen" } else { "" });
            assert_close(&what, &sampled(&maps(&cam, &net, &x)), want, 1e-4);
        }
    }
}

#[test]
fn layers_and_views_are_averaged_as_in_grad_cam() {
    let golden = &golden("explain.json")["cams"];
    let net = Net::new("torchvision/resnet18", &[]);
    let x = images("explain.torchvision/resnet18", &[2, 3, 64, 96]);
    let mut cam = cam(Method::GradCam, "layer3");
    cam.layers.push("layer4".to_owned());
    assert_close("several layers", &sampled(&maps(&cam, &net, &x)), &golden["several"], 1e-4);
    cam.smooth.augmented = true;
    assert_close("six views", &sampled(&maps(&cam, &net, &x)), &golden["augmented"], 1e-4);
}

#[test]
fn occlusion_equals_captums() {
    let net = Net::new("torchvision/resnet18", &[]);
    let x = images("explain.torchvision/resnet18", &[2, 3, 64, 96]).narrow(0, 0, 1);
    let occlusion = Occlusion { window: 20, stride: 8, batch_size: 7, ..Occlusion::default() };
    let mut done = 0;
    let found = occlusion
        .of(&net.network(), &x, 3, &mut |some| {
            done += some;
            Ok(())
        })
        .unwrap();
    // The last window of each row and column is cut off: 7 × 11 positions.
    assert_eq!((done, found.probability.size()), (77, vec![7, 11]));
    let want = &golden("explain.json")["occlusion"];
    let largest = want.as_array().unwrap().iter().fold(0f64, |most, x| most.max(x.as_f64().unwrap().abs()));
    let scaled: Vec<f64> = want.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() / largest).collect();
    let got: Vec<f64> = sampled(&[found.attribution]).into_iter().map(|x| x / largest).collect();
    assert_close("occlusion", &got, &scaled.into(), 1e-4);
    let refused = Occlusion { window: 65, ..occlusion }.of(&net.network(), &x, 3, &mut |_| Ok(()));
    assert!(refused.unwrap_err().is::<Usage>());
}

#[test]
fn projections_equal_captums() {
    for row in golden("explain.json")["projections"].as_array().unwrap() {
        let name = row["model"].as_str().unwrap();
        let net = Net::new(name, &[]);
        let x = images(&format!("explain.{name}"), &[1, 3, 64, 96]);
        let rule = if row["rule"] == "guided" { Backward::Guided } else { Backward::Deconvnet };
        let found = project(&net.network(), &x, &Feature::Class(3), rule).unwrap();
        let got: Vec<f64> = values(&found.pixels).into_iter().step_by(293).take(64).collect();
        let want: Vec<f64> = row["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let largest = want.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let unit = |all: Vec<f64>| all.into_iter().map(|x| x / largest).collect::<Vec<_>>();
        assert_close(&format!("{name} {}", row["rule"]), &unit(got), &unit(want).into(), 1e-4);
    }
}

#[test]
fn rollout_equals_its_definition() {
    let golden = &golden("explain.json")["rollout"];
    let name = golden["model"].as_str().unwrap();
    let net = Net::new(name, &[]);
    let x = images(&format!("explain.{name}"), &[1, 3, 224, 224]);
    for row in golden["rows"].as_array().unwrap() {
        let kind = row["fusion"].as_str().unwrap();
        let fusion = match kind {
            "max" => Fusion::Max,
            "min" => Fusion::Min,
            _ => Fusion::Mean,
        };
        let rollout =
            Rollout { fusion, discard: row["discard"].as_f64().unwrap(), gradient: kind == "gradient" };
        let found = rollout.maps(&net.network(), &x, &mut |_| Ok(vec![3])).unwrap();
        let raw = &found[0].raw[0].1;
        assert_eq!(raw.size(), [14, 14]);
        let got: Vec<f64> = values(raw).into_iter().step_by(4).collect();
        let most = got.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let want: Vec<f64> =
            row["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() / most).collect();
        let got: Vec<f64> = got.into_iter().map(|x| x / most).collect();
        assert_close(&format!("{kind} {}", row["discard"]), &got, &want.into(), 1e-4);
    }
    let swin = Net::new("torchvision/swin_t", &[]);
    let x = images("x", &[1, 3, 64, 64]);
    let refused = Rollout::default().maps(&swin.network(), &x, &mut |_| Ok(vec![3])).unwrap_err();
    assert!(refused.is::<Usage>(), "{refused}");
}

/// ZFNet's poolings overlap: the definition of section 2.1, layer by layer.
#[test]
fn zfnets_deconvnet_is_the_papers() {
    let net = Net::new("paper/zfnet", &[]);
    let x = images("zfnet", &[1, 3, 131, 131]);
    let tensor =
        |name: &str| net.store.state_dict().into_iter().find(|(key, _)| key == name).unwrap().1.detach();
    let (features, switches) = record_switches(|| tch::no_grad(|| net.model.features(&x, false)).unwrap());
    let (name, second) = &features[1];
    let found =
        project(&net.network(), &x, &Feature::Map(format!("stage:{name}"), None), Backward::Deconvnet)
            .unwrap();
    // The strongest activation alone.
    let flat = second.flatten(0, -1);
    let place = flat.argmax(0, false).int64_value(&[]);
    let map = flat.zeros_like().index_fill(0, &Tensor::from(place).view(1), flat.double_value(&[place]));
    let unpool = |x: &Tensor, switches: &Tensor, size: &[i64]| {
        let maps = Tensor::zeros([size[0], size[1], size[2] * size[3]], (Kind::Float, Device::Cpu));
        maps.scatter_add(2, &switches.flatten(2, -1), &x.flatten(2, -1)).reshape(size)
    };
    // The maps before the poolings: convolutions of stride 2, the first without padding but one.
    let conv = |x: &Tensor, layer: &str, stride: i64, padding: i64| {
        x.conv2d(
            &tensor(&format!("{layer}.weight")),
            Some(&tensor(&format!("{layer}.bias"))),
            [stride; 2],
            [padding; 2],
            [1; 2],
            1,
        )
    };
    let back = |x: &Tensor, layer: &str, stride: i64, padding: i64, size: &[i64]| {
        let weight = tensor(&format!("{layer}.weight"));
        let kernel = weight.size()[2];
        let extra = size[2] - ((x.size()[2] - 1) * stride - 2 * padding + kernel);
        x.conv_transpose2d(&weight, None::<Tensor>, [stride; 2], [padding; 2], [extra; 2], 1, [1; 2])
    };
    let first_map = conv(&x, "features.0", 2, 1);
    let first = &features[0].1;
    let second_map = conv(first, "features.4", 2, 0);
    let r = unpool(&map.view_as(second), &switches[1], &second_map.size()).relu();
    let r = back(&r, "features.4", 2, 0, &first.size());
    let r = unpool(&r, &switches[0], &first_map.size()).relu();
    let r = back(&r, "features.0", 2, 1, &x.size());
    let most = r.abs().max().double_value(&[]);
    let apart = (r.squeeze_dim(0) - &found.pixels).abs().max().double_value(&[]);
    assert!(most > 0.0 && apart <= 1e-4 * most, "{apart} of {most}");
}

#[test]
fn a_field_is_what_a_place_depends_on() {
    let net = Net::new("torchvision/alexnet", &[]);
    let x = images("x", &[1, 3, 224, 224]);
    let side = |layer: &str, place: [i64; 2]| {
        let [rows, columns] = field(&net.network(), &x, layer, place).unwrap();
        [rows.end - rows.start, columns.end - columns.start]
    };
    // Known sizes, in the middle of the picture: of the first convolution, and behind its pooling, of the second, …
    assert_eq!(side("features.0", [20, 20]), [11, 11]);
    assert_eq!(side("stage:features.0", [10, 10]), [19, 19]);
    assert_eq!(side("features.3", [10, 10]), [51, 51]);
    assert_eq!(side("features.6", [6, 6]), [99, 99]);
}

/// Every kind of classifier has a map by its default layer that is not constant, at its own size and at another.
#[test]
fn default_layers_have_maps() {
    let all = std::env::var("TCHVISION_PARITY").is_ok_and(|what| what == "all");
    // Of each family the smallest, unless all are asked for.
    let mut smallest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for entry in models::entries() {
        let architecture = entry.architecture().unwrap();
        if architecture.fields().unwrap()["num_classes"].as_i64().unwrap() > 0 {
            let parameters = architecture.count_parameters().unwrap();
            let least = smallest.entry(entry.family).or_insert((parameters, &entry.name));
            *least = (*least).min((parameters, &entry.name));
        }
    }
    assert!(smallest.len() > 15, "{smallest:?}");
    for entry in models::entries() {
        let architecture = entry.architecture().unwrap();
        let is_smallest = smallest.get(entry.family).is_some_and(|(_, name)| *name == entry.name);
        let classifies = architecture.fields().unwrap()["num_classes"].as_i64().unwrap() > 0;
        if !(is_smallest || all && classifies) {
            continue;
        }
        let [channels, height, width] = architecture.input();
        let store = Store::new(Device::Cpu);
        tch::manual_seed(0);
        let model = architecture.build(&store).unwrap();
        let network = Network::new(model.as_ref(), &store);
        let x = images("x", &[1, channels, height, width]);
        let found = &Cam::default().maps(&network, &x, &[1]).unwrap()[0];
        assert_eq!(found.map.size(), [height, width], "{}", entry.name);
        // Where nothing speaks for the class at the start, it is said; the layer itself is never flat.
        let eigen = Cam { method: Method::EigenCam, ..Cam::default() };
        let differs = found.has_evidence || eigen.maps(&network, &x, &[1]).unwrap()[0].has_evidence;
        assert!(differs, "{}: {:?}", entry.name, found.raw);
        assert_eq!(found.has_evidence, found.map.max().double_value(&[]) > 0.0, "{}", entry.name);
    }
}

#[test]
fn other_sizes_and_channels_have_maps() {
    for (name, set, size) in [
        ("torchvision/resnet18", [("in_chans", "1")].as_slice(), [1, 64, 160]),
        ("paper/resnet20", &[("in_chans", "1")], [1, 28, 28]),
        ("timm/deit_tiny_patch16_224", &[("image_size", "160")], [3, 160, 160]),
        ("torchvision/swin_t", &[], [3, 96, 64]),
    ] {
        let net = Net::new(name, set);
        let x = images("x", &[2, size[0], size[1], size[2]]);
        let eigencam = Cam { method: Method::EigenCam, ..Cam::default() };
        for map in eigencam.maps(&net.network(), &x, &[1, 2]).unwrap() {
            assert_eq!(map.map.size(), size[1..]);
            assert!(map.has_evidence && map.map.max().double_value(&[]) > 0.0, "{name}");
        }
    }
}

/// Adebayo et al. (1810.03292): weights that are randomised from the classifier down change the map.
#[test]
fn random_weights_change_the_map() {
    let net = Net::new("torchvision/resnet18", &[]);
    let x = images("explain.torchvision/resnet18", &[2, 3, 64, 96]);
    let before = sampled(&maps(&Cam::default(), &net, &x));
    tch::manual_seed(0);
    for stage in ["fc.", "layer4.", "layer3."] {
        let _no_grad = tch::no_grad_guard();
        for (name, mut tensor) in
            net.store.parameters().into_iter().filter(|(name, _)| name.starts_with(stage))
        {
            if name.ends_with("weight") && tensor.dim() > 1 {
                let deviation = tensor.std(false).double_value(&[]);
                let _random = tensor.normal_(0.0, deviation);
            }
        }
        drop(_no_grad);
        let after = sampled(&maps(&Cam::default(), &net, &x));
        let apart = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f64>() / before.len() as f64;
        assert!(apart > 0.05, "{stage} {apart}");
    }
}

#[test]
fn no_evidence_is_told_from_a_map() {
    let net = Net::new("torchvision/alexnet", &[]);
    let _no_grad = tch::no_grad_guard();
    for (name, mut tensor) in net.store.parameters() {
        if name == "classifier.6.weight" {
            let _zero = tensor.zero_();
        }
    }
    drop(_no_grad);
    let x = images("x", &[1, 3, 64, 64]);
    let found = &Cam::default().maps(&net.network(), &x, &[1]).unwrap()[0];
    assert!(!found.has_evidence && values(&found.map).iter().all(|&x| x == 0.0));
}

#[test]
fn the_curves_of_deletion_and_insertion_meet() {
    let net = Net::new("torchvision/alexnet", &[]);
    let x = images("x", &[1, 3, 64, 64]);
    let map = images("map", &[64, 64]);
    let score = deletion_insertion(&net.network(), &x, &map, 5).unwrap();
    assert_eq!((score.deleted.len(), score.inserted.len()), (29, 29));
    // All of the picture, and nothing of it.
    assert!((score.deleted[0] - score.inserted[28]).abs() < 1e-6);
    assert!((score.deleted[28] - score.inserted[0]).abs() < 1e-6);
}

#[test]
fn parts_agree_with_themselves() {
    let net = Net::new("torchvision/alexnet", &[]);
    let picture = |name: &str| {
        let parts = BTreeMap::from([("part".to_owned(), [10, 20, 30, 16])]);
        (images(name, &[1, 3, 64, 64]), parts)
    };
    let layers = ["stage:features.10".to_owned()];
    let same = correspondence(&net.network(), &[picture("a"), picture("a")], &layers, 4, 0).unwrap();
    assert_eq!(same[0].distances, [[0.0, 0.0]]);
    // Of parts at random even the same picture's changes differ.
    assert!(same[1].part == "random" && same[1].distances[0][0] > 0.0);
    let others =
        correspondence(&net.network(), &[picture("a"), picture("b"), picture("c")], &layers, 0, 0).unwrap();
    assert!(others[0].distances[0][0] > 0.0 && others.len() == 1);
    let outside = (images("a", &[1, 3, 64, 64]), BTreeMap::from([("part".to_owned(), [60, 0, 10, 10])]));
    let refused = correspondence(&net.network(), &[picture("a"), outside], &layers, 0, 0).unwrap_err();
    assert!(refused.is::<Usage>() && refused.to_string().contains("is not inside 64×64"), "{refused}");
}

#[test]
fn the_nearest_come_first() {
    let features = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0, 3.0, 3.0, f32::NAN, 1.0]).view([4, 2]);
    let found = nearest(&Tensor::from_slice(&[2f32, 0.1]).view([1, 2]), &features, 4).unwrap();
    assert_eq!(found.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 2, 1]);
}

#[test]
fn wrong_layers_name_the_nearest() {
    let net = Net::new("torchvision/resnet18", &[]);
    let x = images("x", &[1, 3, 64, 64]);
    let refused = cam(Method::GradCam, "layer5").maps(&net.network(), &x, &[1]).unwrap_err();
    assert!(refused.is::<Usage>() && refused.to_string().contains("did you mean `layer1`"), "{refused}");
    let refused = cam(Method::GradCam, "fc").maps(&net.network(), &x, &[1]).unwrap_err();
    assert!(refused.to_string().contains("has no places"), "{refused}");
    let gelu = Net::new("torchvision/convnext_tiny", &[]);
    let feature = Feature::Class(1);
    let refused = project(&gelu.network(), &x, &feature, Backward::Deconvnet).unwrap_err();
    assert!(refused.is::<Usage>(), "{refused}");
    assert!(project(&gelu.network(), &x, &feature, Backward::Gradient).is_ok());
}
