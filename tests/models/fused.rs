//! What a frozen model leaves to operators of their own: nothing that the kernel of the convolution before could do.

use crate::common::{golden, images};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};
use tchvision::models::{self, ModelSpec};
use tchvision::nn::{Activation, Conv, Conv2d, Layer, Store};
use tchvision::torch::{Operator, has_fused_kernels, trace_operators};

/// What the kernel can do to its own output: a norm, and the functions of `Activation` that it knows.
const AFTER: [&str; 11] = [
    "affine_relu",
    "batch_norm",
    "clamp",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "relu",
    "sigmoid",
    "silu",
    "tanh",
];

/// What a convolution's kernel put out, and may still do more to.
struct Output<'a> {
    size: &'a [i64],
    /// Whether that is ReLU alone: after a sum, and where outputs lie side by side.
    relu_alone: bool,
    readers: Vec<&'a Operator>,
}

impl Output<'_> {
    /// The operator whose work the kernel could have done: the only reader, of the whole output.
    fn left_over(&self) -> Option<String> {
        let [reader] = self.readers[..] else { return None };
        let name = reader.name.split("::").last()?.trim_end_matches('_');
        let same = reader.inputs.iter().filter(|input| input.size == self.size).count();
        let could = match name {
            "relu" => same > 0,
            "add" => same == 2 && !self.relu_alone,
            _ => AFTER.contains(&name) && same > 0 && !self.relu_alone,
        };
        could.then(|| format!("{name} of {:?}", self.size))
    }
}

/// What the kernel of `operator` may still do more to, if it is one; `outputs` has that of those before, `written` the
/// memory of all tensors made in this pass.
fn output<'a>(
    operator: &'a Operator,
    outputs: &HashMap<usize, Output>,
    written: &HashSet<usize>,
) -> Option<Output<'a>> {
    let images: Vec<_> = operator.inputs.iter().filter(|input| input.size.len() == 4).collect();
    let texts: Vec<&str> = operator.texts.iter().map(String::as_str).collect();
    let relu_alone = match (operator.name.as_str(), &texts[..]) {
        // Packed weights have no memory that shows. The texts are what the kernel does after the convolution.
        ("mkldnn::_convolution_pointwise", ["none"]) => false,
        ("mkldnn::_convolution_pointwise", ["add"]) => true,
        // Weights made of the input are in no kernel's order.
        ("aten::conv2d", _) if !written.contains(&operator.inputs[1].memory) => false,
        ("aten::cat", _) if images.iter().all(|image| outputs.contains_key(&image.memory)) => true,
        _ => return None,
    };
    Some(Output { size: &operator.outputs[0].size, relu_alone, readers: Vec::new() })
}

/// The operators whose work the kernel of the convolution before them could have done.
fn left_over(trace: &[Operator]) -> Vec<String> {
    let mut outputs: HashMap<usize, Output> = HashMap::new();
    let mut written = HashSet::new();
    let mut found = Vec::new();
    for operator in trace {
        let reads: HashSet<usize> = operator.inputs.iter().map(|input| input.memory).collect();
        let in_place = operator.name.ends_with('_');
        if !in_place && operator.outputs.iter().any(|output| reads.contains(&output.memory)) {
            // A view, which reads nothing.
            continue;
        }
        let made = output(operator, &outputs, &written);
        for memory in &reads {
            if let Some(output) = outputs.get_mut(memory) {
                output.readers.push(operator);
            }
        }
        for output in &operator.outputs {
            found.extend(outputs.remove(&output.memory).and_then(|before| before.left_over()));
            written.insert(output.memory);
        }
        outputs.extend(made.map(|made| (operator.outputs[0].memory, made)));
    }
    found.extend(outputs.values().filter_map(Output::left_over));
    found
}

/// What a pass of a frozen model gives, and what is left over in it.
fn frozen(pass: impl Fn() -> Tensor) -> (Tensor, Vec<String>) {
    let _no_grad = tch::no_grad_guard();
    // The first pass makes the weights.
    let _made = pass();
    let (y, trace) = trace_operators(pass).unwrap();
    (y, left_over(&trace))
}

#[test]
fn operators_after_a_convolution_are_seen() {
    if !has_fused_kernels(Kind::Float) {
        return;
    }
    let store = Store::new(Device::Cpu);
    let conv = Conv2d::new(&store.root(), Conv::new(8, 8, 3).same()).unwrap();
    let x = images("x", &[2, 8, 6, 6]);
    let y = || conv.forward(&x, false).unwrap();
    let frozen = |pass: &dyn Fn() -> Tensor| frozen(pass).1;
    store.freeze(Kind::Float);
    assert_eq!(frozen(&|| y().relu_()), ["relu of [2, 8, 6, 6]"]);
    assert_eq!(frozen(&|| y().relu()), ["relu of [2, 8, 6, 6]"]);
    assert_eq!(frozen(&|| y() + &x), ["add of [2, 8, 6, 6]"]);
    assert_eq!(frozen(&|| y().relu_() + &x), ["relu of [2, 8, 6, 6]"]);
    // Done by the kernel, of another shape, or read by others too.
    assert!(frozen(&|| conv.forward_act(&x, Activation::Relu, false).unwrap() + &x).is_empty());
    assert!(frozen(&|| y() + x.narrow(0, 0, 1)).is_empty());
    let double = || Tensor::cat(&[y(), y()], 1);
    assert_eq!(frozen(&|| double().relu_()), ["relu of [2, 16, 6, 6]"]);
    assert!(frozen(&|| double() + double()).is_empty());
    let shared = || {
        let y = y();
        y.relu() + y
    };
    assert!(frozen(&shared).is_empty());
}

/// One of each structure with the size of its images: the libraries' that `parity` runs, and the papers' that are not too
/// large.
fn structures() -> Vec<(ModelSpec, i64)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parity");
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut structures = Vec::new();
    for file in files {
        let cases = golden(&format!("parity/{}", file.file_name().unwrap().to_str().unwrap()));
        for case in cases.as_array().unwrap().iter().filter(|case| case["quick"] == true) {
            let (mut spec, size) = (ModelSpec::new(case["name"].as_str().unwrap()), &case["size"]);
            if case["resized"] == true {
                spec.set("image_size", &size.to_string()).unwrap();
            }
            structures.push((spec, size.as_i64().unwrap()));
        }
    }
    for entry in models::entries().iter().filter(|entry| entry.source() == "paper") {
        let model = entry.architecture().unwrap();
        let input = model.input();
        if model.complexity(input).unwrap().macs < 1_000_000_000 {
            structures.push((ModelSpec::new(&entry.name), input[1]));
        }
    }
    structures
}

#[test]
fn kernels_of_convolutions_do_what_follows_them() {
    if !has_fused_kernels(Kind::Float) {
        return;
    }
    let mut found = Vec::new();
    for (spec, size) in structures() {
        let store = Store::uninitialised(Device::Cpu);
        let net = spec.resolve().unwrap().build(&store).unwrap();
        store.freeze(Kind::Float);
        // Two images: a table for all of them is no tensor of their shape.
        let mut x = Tensor::zeros([2, 3, size, size], (Kind::Float, Device::Cpu));
        // What a stage puts out is a feature, to be read as it is.
        let head: &dyn Layer = net.head();
        for (stage, layer) in net.stages().into_iter().chain([("head", head)]) {
            let (y, left) = frozen(|| layer.forward(&x, false).unwrap());
            x = y;
            if let Some(first) = left.first() {
                found.push(format!("{}, {stage}: {} such as {first}", spec.name, left.len()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
