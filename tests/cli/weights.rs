//! `tchvision weights`: the contract of its output and exit codes.

use crate::common::{fill, golden, images};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tch::{Device, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{self, StateFile};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tchvision")).arg("weights").args(args).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name);
    path.to_str().unwrap().to_owned()
}

/// A folder with the weights of a ResNet-20 and PyTorch's logits for them.
struct Files {
    folder: tempfile::TempDir,
    weights: String,
    reference: String,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (weights, reference) = (path("weights.safetensors"), path("reference.safetensors"));
        let store = Store::new(Device::Cpu);
        ModelSpec::new("paper/resnet20").resolve().unwrap().build(&store).unwrap();
        fill(&store);
        weights::save(Path::new(&weights), &store.state_dict(), HashMap::new()).unwrap();
        let files = Self { folder, weights, reference };
        files.refer(0.0);
        files
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes the reference with this added to one logit.
    fn refer(&self, wrong: f32) {
        let cases = golden("residual.json");
        let plain = |case: &&serde_json::Value| {
            case["name"] == "paper/resnet20" && case["set"].as_object().unwrap().is_empty()
        };
        let case = cases.as_array().unwrap().iter().find(plain).unwrap();
        let mut logits: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        logits[3] += wrong;
        let logits = Tensor::from_slice(&logits).reshape([2, 10]);
        let tensors =
            [("input".to_owned(), images("images", &[2, 3, 32, 32])), ("logits".to_owned(), logits)];
        weights::save(Path::new(&self.reference), &tensors, HashMap::new()).unwrap();
    }

    fn verify(&self, weights: &str, more: &[&str]) -> Output {
        let args =
            ["verify", "--model", "paper/resnet20", "--weights", weights, "--reference", &self.reference];
        run(&[&args, more].concat())
    }
}

#[test]
fn inspect_shows_what_a_file_holds() {
    let output = run(&["inspect", &fixture("checkpoint.pth"), "--json"]);
    assert!(output.status.success());
    let shown = json(&output);
    assert_eq!(shown["format"], "torch");
    assert_eq!(shown["keys"][0]["key"], "state_dict");
    let conv = shown["tensors"].as_array().unwrap().iter().find(|row| row["name"] == "conv.weight").unwrap();
    assert_eq!(
        *conv,
        serde_json::json!({"key": "state_dict", "name": "conv.weight", "shape": [2, 1, 3, 3], "dtype": "float32"})
    );
    let text = run(&["inspect", &fixture("several.pth"), "--key", "outer.teacher"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("state_dict `outer.teacher`: 1 tensors") && !text.contains("model_ema"), "{text}");
    assert_eq!(run(&["inspect", &fixture("several.pth"), "--key", "student"]).status.code(), Some(2));
    let opaque = json(&run(&["inspect", &fixture("containers/opaque.pth"), "--json"]));
    assert_eq!(opaque["keys"][0]["key"], "state_dict");
    assert_eq!((&opaque["keys"][0]["network"], &opaque["keys"][1]["network"]), (&true.into(), &false.into()));
    assert!(opaque["opaque"].as_array().unwrap().contains(&"posix.system".into()));
    let text = run(&["inspect", &fixture("containers/modules.pth")]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("`model`: 11 tensors") && text.contains("the module `__main__.Block`"), "{text}");
    let text = run(&["inspect", &fixture("containers/tuple.pth")]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("`0`: 11 tensors") && text.contains("2 dicts of optimizers: 6 tensors, see `--key 1.state.0`"), "{text}");
    let shards = json(&run(&["inspect", &fixture("containers"), "--json"]));
    assert_eq!((&shards["format"], &shards["keys"][0]["tensors"]), (&"safetensors".into(), &11.into()));
    let missing = run(&["inspect", &fixture("none.pth")]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("none.pth: cannot be opened"));
}

#[test]
fn verify_passes_exactly_what_the_reference_says() {
    let files = Files::new();
    let output = files.verify(&files.weights, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let verified = json(&output);
    assert_eq!(verified["model"], "paper/resnet20");
    assert_eq!((&verified["format"], &verified["naming"]), (&"safetensors".into(), &"paper".into()));
    assert_eq!((&verified["params"], &verified["passed"]), (&269722.into(), &true.into()));
    assert_eq!(
        (&verified["missing"], &verified["unexpected"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    let logit = verified["max_abs_logit"].as_f64().unwrap();
    assert!(verified["max_abs_diff"].as_f64().unwrap() <= 1e-4 * logit.max(1.0));

    let fast = files.verify(&files.weights, &["--fast"]);
    assert!(fast.status.success(), "{}", stderr(&fast));

    for fast in [&[][..], &["--fast"]] {
        let rough = [&["--dtype", "bfloat16", "--rtol", "0.1", "--json"], fast].concat();
        let rough = files.verify(&files.weights, &rough);
        assert!(rough.status.success(), "{}", stderr(&rough));
        assert!(json(&rough)["max_abs_diff"].as_f64() > verified["max_abs_diff"].as_f64());
    }

    files.refer((logit * 0.01) as f32);
    let wrong = files.verify(&files.weights, &["--json"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(json(&wrong)["passed"], false);
    assert!(files.verify(&files.weights, &["--rtol", "0.1"]).status.success());
    files.refer(f32::NAN);
    assert_eq!(files.verify(&files.weights, &["--rtol", "1e9"]).status.code(), Some(1));

    let unknown = run(&["verify", "--model", "resnet2O", "--weights", "w", "--reference", "r"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("did you mean"));
}

#[test]
fn verify_lists_what_is_missing_and_unexpected() {
    let files = Files::new();
    let file = StateFile::open(Path::new(&files.weights)).unwrap();
    let mut tensors: Vec<(String, Tensor)> =
        file.names().iter().map(|name| (name.clone(), file.get(name).unwrap().copy())).collect();
    let fc = tensors.iter_mut().find(|(name, _)| name == "fc.bias").unwrap();
    fc.0 = "fc.biases".into();
    let path = files.path("other.safetensors");
    weights::save(Path::new(&path), &tensors, HashMap::new()).unwrap();
    let output = files.verify(&path, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let verified = json(&output);
    assert_eq!(verified["missing"], serde_json::json!(["fc.bias"]));
    assert_eq!(verified["unexpected"], serde_json::json!(["fc.biases"]));
    assert_eq!((&verified["passed"], &verified["max_abs_diff"]), (&false.into(), &serde_json::Value::Null));
    let text = stderr(&output);
    for line in [
        "97 tensors expected: 1 missing, 1 unexpected\n",
        "\n  missing `fc.bias`\n  unexpected `fc.biases`\n",
        "\n  `fc.biases` of the file has the shape of the missing `fc.bias`\n",
        "\n  try: pair the names by hand (weights map ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn convert_writes_what_verifies_and_adapts() {
    let files = Files::new();
    let to = files.path("out.safetensors");
    let convert = |more: &[&str]| {
        let args = ["convert", &files.weights, "--model", "paper/resnet20", "--to", &to];
        run(&[&args, more].concat())
    };
    let output = convert(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["naming"], "paper");
    assert!(files.verify(&to, &[]).status.success());
    let first = std::fs::read(&to).unwrap();
    assert!(convert(&[]).status.success());
    assert_eq!(std::fs::read(&to).unwrap(), first, "converting again gives other bytes");

    let output = convert(&["--num-classes", "5", "--in-chans", "1", "--json"]);
    assert_eq!(json(&output)["fresh"], serde_json::json!(["fc.weight", "fc.bias"]));
    let file = StateFile::open(Path::new(&to)).unwrap();
    assert_eq!(file.get("fc.weight").unwrap().size(), [5, 64]);
    assert_eq!(file.get("conv1.weight").unwrap().size(), [16, 1, 3, 3]);
    drop(file);
    assert!(convert(&["--classes", "9,1"]).status.success());
    let (file, source) =
        (StateFile::open(Path::new(&to)).unwrap(), StateFile::open(Path::new(&files.weights)).unwrap());
    let rows = source.get("fc.weight").unwrap().index_select(0, &Tensor::from_slice(&[9i64, 1]));
    assert_eq!(*file.get("fc.weight").unwrap(), rows);

    assert_eq!(convert(&["--naming", "timm"]).status.code(), Some(2));
    let onto = run(&["convert", &files.weights, "--model", "paper/resnet20", "--to", &files.weights]);
    assert_eq!(onto.status.code(), Some(2));
    let net = fixture("net.pth");
    let other = ["convert", &net, "--model", "paper/resnet20", "--to", &to];
    let (brief, whole) = (run(&other), run(&[&other[..], &["--verbose"]].concat()));
    assert_eq!(brief.status.code(), Some(1));
    let brief = stderr(&brief);
    assert!(brief.contains("97 tensors expected: 97 missing, 8 unexpected\n"), "{brief}");
    assert!(brief.contains("\n  layer1.*: 30 tensors missing\n") && brief.lines().count() <= 11, "{brief}");
    let whole = stderr(&whole);
    assert!(whole.contains("\nunexpected `steps`\n") && whole.ends_with(&brief), "{whole}");
}

/// `make test` provides the Python.
#[test]
fn what_convert_writes_loads_strictly_into_torchvision_and_timm() {
    let program = env!("CARGO_BIN_EXE_tchvision");
    let output = Command::new(".venv/bin/python").args(["tests/strict.py", program]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.matches("order and shape").count(), 8, "{said}");
    assert_eq!(said.matches("map").count(), 2, "{said}");
}

/// `make test` provides the Python; the numbers themselves depend on the machine.
#[test]
fn bench_times_every_reader_on_both_formats() {
    let bench = |more: &[&str]| {
        let args = ["bench", "weights", "--megabytes", "9", "--repeats", "2", "--json"];
        Command::new(env!("CARGO_BIN_EXE_tchvision")).args(args).args(more).output().unwrap()
    };
    let output = bench(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    for (row, readers) in report["rows"].as_array().unwrap().iter().zip([2, 3]) {
        assert!(row["bytes"].as_u64().unwrap() > 8_000_000, "{row}");
        let times = row["median_ms"].as_object().unwrap();
        assert_eq!((times.len(), row["peak_bytes"].as_object().unwrap().len()), (readers, readers), "{row}");
        assert!(times.values().all(|ms| ms.as_f64().unwrap() > 0.0), "{row}");
    }
    assert_eq!(
        (&report["rows"][0]["format"], &report["rows"][1]["format"]),
        (&"safetensors".into(), &"torch".into())
    );
    let without = bench(&["--python", "no-such-python"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("name it with --python"), "{}", stderr(&without));
}

/// Tables of positions and of windows, and the kernels of patches, change as timm's do, with the verb that writes them
/// and with the one that runs them.
#[test]
fn other_image_and_patch_sizes_give_timms_logits() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out.safetensors");
    let to = to.to_str().unwrap();
    let vit = ["embed_dim=16", "num_blocks=2", "heads=2"];
    let swin = ["embed_dim=8", "depths=[2, 2]", "heads=[2, 2]"];
    let (vit_model, swin_model) = ("timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224");
    for (file, reference, model, sets, side, changed) in [
        ("vit", "vit.reference", vit_model, [&vit[..], &["patch_size=8"]], "56", "pos_embed"),
        ("vit", "vit.patches", vit_model, [&vit, &["patch_size=6"]], "42", "patch_embed.proj.weight"),
        (
            "swin",
            "swin.reference",
            swin_model,
            [&swin, &["window=7"]],
            "56",
            "layers.0.blocks.0.attn.relative_position_bias_table",
        ),
        (
            "swin",
            "swin.patches",
            swin_model,
            [&swin, &["window=4", "patch_size=5"]],
            "40",
            "patch_embed.proj.weight",
        ),
    ] {
        let set: Vec<&str> = sets.concat().into_iter().flat_map(|field| ["--set", field]).collect();
        let file = fixture(&format!("resized/{file}.safetensors"));
        let expected = fixture(&format!("resized/{reference}.safetensors"));
        let verify = |weights: &str| {
            let args = ["verify", "--model", model, "--weights", weights, "--reference", &expected];
            let output = run(&[&args[..], &["--rtol", "1e-5", "--image-size", side], &set].concat());
            assert!(output.status.success(), "{reference}: {}", stderr(&output));
        };
        verify(&file);
        let args =
            ["convert", &file, "--model", model, "--to", to, "--num-classes", "5", "--image-size", side];
        let output = run(&[&args[..], &set].concat());
        assert!(output.status.success(), "{reference}: {}", stderr(&output));
        verify(to);
        // The new file is for the new size.
        let shape = |path: &str| StateFile::open(Path::new(path)).unwrap().get(changed).unwrap().size();
        assert_ne!(shape(to), shape(&file), "{reference}");
    }
    let wrong = run(&[
        "convert",
        &fixture("resized/vit.safetensors"),
        "--model",
        "resnet50",
        "--to",
        to,
        "--set",
        "x",
    ]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
}

/// Features alone: from a file that has a classifier, and verified against features.
#[test]
fn a_model_without_classifier_converts_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (whole, headless, reference) =
        (place("whole.safetensors"), place("headless.safetensors"), place("reference.safetensors"));
    let store = Store::new(Device::Cpu);
    let net = ModelSpec::new("timm/resnet10t").resolve().unwrap().build(&store).unwrap();
    fill(&store);
    weights::save(Path::new(&whole), &store.state_dict(), HashMap::new()).unwrap();
    let input = images("headless", &[1, 3, 64, 64]);
    let (_, features) = tch::no_grad(|| net.features(&input, false)).unwrap().pop().unwrap();
    let pooled = features.mean_dim([2, 3].as_slice(), false, tch::Kind::Float);
    let tensors = [("input".to_owned(), input), ("logits".to_owned(), pooled)];
    weights::save(Path::new(&reference), &tensors, HashMap::new()).unwrap();

    let args = ["convert", &whole, "--model", "timm/resnet10t", "--to", &headless, "--num-classes", "0"];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let file = StateFile::open(Path::new(&headless)).unwrap();
    assert!(!file.names().iter().any(|name| name.starts_with("fc")));
    let output = run(&[
        "verify",
        "--model",
        "timm/resnet10t",
        "--weights",
        &headless,
        "--reference",
        &reference,
        "--json",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["missing"], serde_json::json!([]));
}

/// A tag says how its library runs the weights: torchvision's GoogLeNet corrects its input.
#[test]
fn a_tag_is_taken_where_a_model_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, reference, to) =
        (place("file.safetensors"), place("reference.safetensors"), place("to.safetensors"));
    let mut spec = ModelSpec::new("torchvision/googlenet");
    spec.set("transform_input", "true").unwrap();
    let store = Store::new(Device::Cpu);
    let net = spec.resolve().unwrap().build(&store).unwrap();
    fill(&store);
    weights::save(Path::new(&file), &store.state_dict(), HashMap::new()).unwrap();
    let input = images("tag", &[1, 3, 64, 64]);
    let logits = tch::no_grad(|| net.forward(&input, false)).unwrap();
    let tensors = [("input".to_owned(), input), ("logits".to_owned(), logits)];
    weights::save(Path::new(&reference), &tensors, HashMap::new()).unwrap();

    let verify = |model: &str| {
        run(&["verify", "--model", model, "--weights", &to, "--reference", &reference]).status.code()
    };
    let output = run(&["convert", &file, "--model", "googlenet.IMAGENET1K_V1", "--to", &to]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!([verify("googlenet.IMAGENET1K_V1"), verify("googlenet")], [Some(0), Some(1)]);
    let unknown = run(&["convert", &file, "--model", "googlenet.V1", "--to", &to]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("IMAGENET1K_V1"), "{}", stderr(&unknown));
}
