//! Every name of torchvision and timm against the library itself: keys, parameters, MACs, shapes of features, logits.
//!
//! goldens/parity.py makes the goldens, one file a family. `cargo test` counts every name and runs one of each structure
//! (`quick`); with TCHVISION_PARITY=all (`make parity`) it runs them all.

use crate::common::{fill_repeating, fill_scaled, golden, images, keys_digest, values};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};
use tchvision::models::{self, ModelSpec};
use tchvision::nn::Store;

/// What parity.py writes about one name.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    quick: bool,
    params: u64,
    macs: u64,
    /// The input at which `macs` and `features` are stated.
    input: [i64; 3],
    /// Shapes of timm's features for one image; none where the library names none.
    features: Vec<Vec<i64>>,
    tensors: usize,
    keys: f64,
    #[serde(flatten)]
    output: Output,
}

/// What one image gives.
#[derive(serde::Deserialize)]
struct Output {
    /// Height and width of the image.
    size: i64,
    /// Whether the network is made for that size (field `image_size`) instead of its own, and its weights repeat.
    #[serde(default)]
    resized: bool,
    gain: f64,
    #[serde(flatten)]
    logits: Logits,
    /// Of the heads that train beside the last, in the order of their stages.
    #[serde(default)]
    auxiliary: Vec<Logits>,
}

/// The sum of all logits, and some of them.
#[derive(serde::Deserialize)]
struct Logits {
    sum: f64,
    logits: Vec<f64>,
}

const TOLERANCE: f64 = 1e-4;
/// What bfloat16's rounding is to float32's, and so its error about as many times that of the same model.
const ROUNDINGS: f64 = (1 << 16) as f64;

fn cases(file: &str) -> Vec<Case> {
    serde_json::from_value(golden(&format!("parity/{file}.json"))).unwrap()
}

impl Case {
    /// Keys, shapes and costs.
    fn check_counts(&self) {
        let name = &self.name;
        let model = ModelSpec::new(name).resolve().unwrap();
        assert_eq!(model.input(), self.input, "{name}: native input");
        let cost = model.complexity(self.input).unwrap();
        assert_eq!((cost.params, cost.macs), (self.params, self.macs), "{name}: parameters and MACs");
        let mut stages = cost.stages.iter().map(|stage| &stage.output);
        for feature in &self.features {
            assert!(stages.any(|output| output == feature), "{name}: no stage puts out {feature:?}");
        }
        let store = Store::meta();
        model.build(&store).unwrap();
        assert_eq!(store.state_dict().len(), self.tensors, "{name}: number of tensors");
        // A multiple of 2⁻²⁴, which JSON may give back with its last bit turned.
        let digest = keys_digest(&store);
        assert!((digest - self.keys).abs() < 1e-9, "{name}: other keys or shapes");
    }

    /// What comes out, as the network trains and frozen.
    fn check_logits(&self) {
        let Self { name, output, .. } = self;
        let mut spec = ModelSpec::new(name);
        if output.resized {
            spec.set("image_size", &output.size.to_string()).unwrap();
        }
        let store = Store::uninitialised(Device::Cpu);
        let net = spec.resolve().unwrap().build(&store).unwrap();
        match output.resized {
            true => fill_repeating(&store, output.gain),
            false => fill_scaled(&store, output.gain),
        }
        let x = images(name, &[2, 3, output.size, output.size]).narrow(0, 0, 1);
        let logits = tch::no_grad(|| net.forward(&x, false)).unwrap();
        let apart = output.logits.check(name, &logits, TOLERANCE);
        if !output.auxiliary.is_empty() {
            let (again, heads) = tch::no_grad(|| net.forward_auxiliary(&x, false)).unwrap();
            assert_eq!((again, heads.len()), (logits, output.auxiliary.len()), "{name}: auxiliary heads");
            for (want, head) in output.auxiliary.iter().zip(&heads) {
                want.check(name, head, TOLERANCE);
            }
        }
        let frozen = |kind, tolerance| {
            store.freeze(kind);
            let logits = tch::no_grad(|| net.forward(&x, false)).unwrap();
            output.logits.check(&format!("{name}, frozen in {kind:?}"), &logits, tolerance)
        };
        let float = frozen(Kind::Float, TOLERANCE);
        // Most processors take long for it.
        let bfloat16 = match self.quick {
            true => format!(", in bfloat16 {:.1e}", frozen(Kind::BFloat16, 0.1 + ROUNDINGS * float)),
            false => String::new(),
        };
        // Shown by `--nocapture`.
        eprintln!("{name}: {apart:.1e} of the largest logit, frozen {float:.1e}{bfloat16}");
    }
}

impl Logits {
    /// The largest difference from these logits, in shares of the largest of them.
    fn check(&self, name: &str, got: &Tensor, tolerance: f64) -> f64 {
        let got = values(got);
        let largest = self.logits.iter().fold(0.0, |max: f64, logit| max.max(logit.abs()));
        let step = (got.len() / 16).max(1);
        let mut apart: f64 = 0.0;
        for (i, (got, want)) in got.iter().step_by(step).zip(&self.logits).enumerate() {
            let difference = (got - want).abs() / largest;
            assert!(difference <= tolerance, "{name}: logit {i} is {got}, not {want}");
            apart = apart.max(difference);
        }
        let (sum, spread) = (got.iter().sum::<f64>(), (got.len() as f64).sqrt());
        assert!(
            (sum - self.sum).abs() <= tolerance * largest * spread,
            "{name}: sum {sum}, not {}",
            self.sum
        );
        apart
    }
}

fn check(family: &str) {
    let all = std::env::var("TCHVISION_PARITY").is_ok_and(|which| which == "all");
    let cases = cases(family);
    assert!(cases.iter().any(|case| case.quick), "{family}: no quick name");
    cases.iter().for_each(Case::check_counts);
    cases.iter().filter(|case| all || case.quick).for_each(Case::check_logits);
}

/// A test and a golden file a family.
macro_rules! families {
    ($($family:ident),* $(,)?) => {
        const FAMILIES: &[&str] = &[$(stringify!($family)),*];
        $(#[test]
        fn $family() {
            check(stringify!($family));
        })*
    };
}

families! {
    alexnet,
    convnext,
    deit,
    densenet,
    efficientnet,
    inception,
    maxvit,
    mnasnet,
    mobilenet,
    regnet,
    resnet,
    resnetv2,
    resnext,
    senet,
    shufflenet,
    squeezenet,
    swin,
    vgg,
    vit,
    wrn,
    xception,
}

#[test]
fn every_golden_has_a_test_and_every_library_name_a_golden() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parity");
    for file in folder.read_dir().unwrap() {
        let file = file.unwrap().path();
        let family = file.file_stem().unwrap().to_str().unwrap();
        assert!(FAMILIES.contains(&family), "{family}.json belongs to no test");
    }
    let held: Vec<String> = FAMILIES.iter().flat_map(|family| cases(family)).map(|case| case.name).collect();
    for entry in models::entries().iter().filter(|entry| entry.source() != "paper") {
        assert!(held.contains(&entry.name), "{} has no golden", entry.name);
    }
}
