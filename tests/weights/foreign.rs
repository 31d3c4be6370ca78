//! The names of other libraries, as the libraries themselves wrote them: every tensor finds its place, in its shape.
//! Logits are compared by `make checkpoints`.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{self, Format, StateDict};

fn kind(name: &str) -> Kind {
    match name {
        "float32" => Kind::Float,
        "int64" => Kind::Int64,
        other => panic!("{other}"),
    }
}

fn state(tensors: &[Value]) -> StateDict {
    let view = |tensor: &Value| {
        let [name, shape, dtype] = [0, 1, 2].map(|i| &tensor[i]);
        let shape: Vec<i64> = serde_json::from_value(shape.clone()).unwrap();
        let zeros = Tensor::zeros(shape, (kind(dtype.as_str().unwrap()), tch::Device::Cpu));
        (name.as_str().unwrap().to_owned(), zeros.into())
    };
    StateDict {
        path: PathBuf::from("memory"),
        format: Format::Safetensors,
        tensors: tensors.iter().map(view).collect(),
    }
}

#[test]
fn every_tensor_of_other_libraries_finds_its_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/checkpoints.json.gz");
    let held: Vec<Value> = serde_json::from_reader(GzDecoder::new(File::open(path).unwrap())).unwrap();
    assert!(held.len() > 50, "{}", held.len());
    for case in &held {
        let [library, model] = ["library", "model"].map(|key| case[key].as_str().unwrap());
        let at = format!("{library}, {model}");
        let mut spec = ModelSpec::new(model);
        for flag in case["flags"].as_array().unwrap() {
            let (field, value) = flag.as_str().unwrap().split_once('=').unwrap();
            spec.set(field, value).unwrap();
        }
        let tensors = case["tensors"].as_array().unwrap();
        let found = weights::recognise(&spec, state(tensors)).unwrap();
        let meta = Store::meta();
        found.spec.resolve().unwrap().build(&meta).unwrap();
        let wanted = meta.state_dict();
        let differences = weights::compare(&found.state, &wanted);
        assert!(found.is_whole && differences.is_empty(), "{at}: {differences}");
        // One that is left out is missed: no rule stands in for it with something else.
        let kernel = |tensor: &&Value| {
            let name = tensor[0].as_str().unwrap();
            // Wide ResNet's authors have kernels without `weight`.
            let is_weight = name.ends_with("weight") || name.contains("conv");
            is_weight && tensor[1].as_array().unwrap().len() == 4
        };
        let gone = tensors.iter().find(kernel).unwrap();
        let rest: Vec<Value> = tensors.iter().filter(|tensor| *tensor != gone).cloned().collect();
        let found = weights::recognise(&spec, state(&rest)).unwrap();
        let differences = weights::compare(&found.state, &wanted);
        assert!(!differences.missing.is_empty(), "{at}: without `{}`", gone[0]);
    }
}
