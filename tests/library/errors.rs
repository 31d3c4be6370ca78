//! Failures that a program tells apart.

use crate::common::fill;
use std::collections::HashMap;
use std::fs;
use tch::Device;
use tchvision::data::image;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::torch::device;
use tchvision::weights::{self, Archive, Classes, Mismatch};
use tchvision::{Classifier, ErrorKind};

#[test]
fn kinds_of_failures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let kind = |result: anyhow::Result<()>| ErrorKind::of(&result.unwrap_err());
    // Not there.
    assert_eq!(kind(Archive::open(&at("none.safetensors")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(image::read(&at("none.png")).map(drop)), ErrorKind::NotFound);
    // Wrong names and values.
    let set = |name: &str, field: &str, value: &str| {
        let mut spec = ModelSpec::new(name);
        spec.set(field, value).and_then(|()| spec.check())
    };
    assert_eq!(kind(set("resnet51", "width", "1")), ErrorKind::Config);
    assert_eq!(kind(set("resnet50", "widht", "1")), ErrorKind::Config);
    assert_eq!(kind(set("resnet50", "num_classes", "many")), ErrorKind::Config);
    assert_eq!(kind(set("resnet50", "num_classes", "-3")), ErrorKind::Config);
    let unknown = Classifier::builder("resnet51").open(&mut |_, _, _| {}).map(drop);
    assert_eq!(kind(unknown), ErrorKind::Config);
    // Weights that are damaged, or of another model.
    let store = Store::uninitialised(Device::Cpu);
    ModelSpec::new("paper/resnet20").resolve().unwrap().build(&store).unwrap();
    fill(&store);
    let whole = at("whole.safetensors");
    weights::save(&whole, &store.state_dict(), HashMap::new()).unwrap();
    let bytes = fs::read(&whole).unwrap();
    let cut = at("cut.safetensors");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(kind(Archive::open(&cut).map(drop)), ErrorKind::Weights);
    assert_eq!(kind(Archive::from_bytes("bytes", b"no weights").map(drop)), ErrorKind::Weights);
    let file = Archive::open(&whole).unwrap().choose(None).unwrap();
    let mut wider = ModelSpec::new("paper/resnet20");
    wider.set("width", "2").unwrap();
    let error = weights::pretrained(&wider, &file, Classes::New, Device::Cpu).map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Weights, "{error:#}");
    assert!(!error.downcast_ref::<Mismatch>().unwrap().differences.unlike.is_empty());
    // Pictures.
    assert_eq!(kind(image::decode(b"").map(drop)), ErrorKind::Image);
    assert_eq!(kind(image::decode(b"\x89PNG\r\n\x1a\n").map(drop)), ErrorKind::Image);
    // Devices.
    assert_eq!(kind(device::resolve("cuda:99").map(drop)), ErrorKind::Device);
    // Shapes.
    let net = ModelSpec::new("paper/resnet20").resolve().unwrap().build(&store).map(drop);
    assert_eq!(kind(net), ErrorKind::Other, "its names are taken");
}
