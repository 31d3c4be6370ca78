//! The papers' test protocols: their views and probabilities as `tests/goldens/protocols.py` has them from Pillow and
//! torchvision.

use crate::common::{fill_scaled, golden, uniform, values};
use serde_json::Value;
use std::path::Path;
use tch::Device;
use tchvision::data::image::{self, RgbImage};
use tchvision::data::{Dataset, Images, ModelInput, Preprocess, Statistics};
use tchvision::evaluate::{Evaluator, Protocol, ReadPictures};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;

fn cases(golden: &Value) -> impl Iterator<Item = (Protocol, &Value)> {
    golden.as_object().unwrap().iter().map(|(name, case)| (name.parse().unwrap(), case))
}

/// The sums of the pixels of each view.
fn sums(views: &[RgbImage]) -> Vec<u64> {
    views.iter().map(|view| view.pixels.iter().map(|&pixel| u64::from(pixel)).sum()).collect()
}

fn sums_of(case: &Value) -> Vec<u64> {
    serde_json::from_value(case["views"].clone()).unwrap()
}

#[test]
fn views_and_their_mean_are_those_of_torchvision() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images/large.jpg");
    let photo = image::read(&file).unwrap();
    let store = Store::new(Device::Cpu);
    let model = ModelSpec::new("mobilenet_v3_small").resolve().unwrap().build(&store).unwrap();
    fill_scaled(&store, 1.3);
    let input: ModelInput = Preprocess::imagenet(224).into();
    let goldens = golden("protocols.json");
    assert_eq!(cases(&goldens["photo"]).count(), 4);
    for (protocol, case) in cases(&goldens["photo"]) {
        let views = protocol.views(&input.preprocess, &photo).unwrap();
        assert_eq!(sums(&views), sums_of(case), "{protocol}");
        assert_eq!(views.len(), protocol.count(), "{protocol}");
        let evaluator = Evaluator::new(model.as_ref(), Device::Cpu, &input).viewing(&protocol).unwrap();
        let found = values(&evaluator.probabilities(&[views]).unwrap());
        let wanted: Vec<f64> = serde_json::from_value(case["probabilities"].clone()).unwrap();
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found / wanted - 1.0).abs() < 1e-3, "{protocol}: {found} for {wanted}");
        }
    }
}

#[test]
fn images_of_a_data_set_have_views() {
    let pixels = uniform("image", 28 * 28).iter().map(|noise| (noise * 256.0) as u8).collect();
    let images = Images { pixels, count: 1, channels: 1, height: 28, width: 28 };
    let data = Dataset { name: "noise".into(), images, labels: vec![0], classes: vec!["noise".into()] };
    let statistics = Statistics { mean: vec![0.25], std: vec![0.3] };
    let input = ModelInput::of_images([1, 28, 28], statistics, [28, 28]).of_pictures();
    let picture = data.decode(0).unwrap();
    let goldens = golden("protocols.json");
    assert_eq!(cases(&goldens["image"]).count(), 4);
    for (protocol, case) in cases(&goldens["image"]) {
        let views = protocol.views(&input.preprocess, &picture).unwrap();
        assert_eq!(sums(&views), sums_of(case), "{protocol}");
    }
}

#[test]
fn protocols_are_read_as_they_are_written() {
    for text in [
        "center",
        "ten-crop",
        "144-crop",
        "dense",
        "multi-scale",
        "multi-crop:256",
        "dense+multi-crop:256,384",
    ] {
        let protocol: Protocol = text.parse().unwrap();
        assert_eq!(protocol.to_string(), text);
        assert_eq!(serde_json::to_value(&protocol).unwrap(), text);
        assert_eq!(serde_json::from_value::<Protocol>(text.into()).unwrap(), protocol);
    }
    let refused = |text: &str| text.parse::<Protocol>().unwrap_err().to_string();
    assert!(refused("tencrop").contains("did you mean `ten-crop`"), "{}", refused("tencrop"));
    assert!(refused("dense:256").contains("takes no scales"), "{}", refused("dense:256"));
    for scales in ["", "256,", "0", "-5", "5000", "2.5"] {
        let refused = refused(&format!("multi-crop:{scales}"));
        assert!(refused.contains("such as multi-crop:256,384,512"), "{refused}");
    }
    let small = "multi-scale:200".parse::<Protocol>().unwrap().check([3, 224, 224]).unwrap_err().to_string();
    assert!(small.contains("200 pixels is below the input's 224"), "{small}");
}
