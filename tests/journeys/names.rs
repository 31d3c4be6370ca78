//! Weights whose names nobody knows: paired by structure, or by a map that a person has edited.

use super::common::{fill, images};
use super::yard::Yard;
use std::collections::HashMap;
use std::fs;
use tch::{Device, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights;

/// A yard with weights of a small ResNet as `own.safetensors`, its logits as `reference.safetensors`, and the same
/// tensors under the names that these replacements make.
fn yard(others: &[(&str, &[(&str, &str)])]) -> Yard {
    let yard = Yard::new();
    let store = Store::new(Device::Cpu);
    let net = ModelSpec::new("paper/resnet20").resolve().unwrap().build(&store).unwrap();
    fill(&store);
    let save = |name: &str, tensors: &[(String, Tensor)]| {
        weights::save(&yard.path(name), tensors, HashMap::new()).unwrap();
    };
    save("own.safetensors", &store.state_dict());
    let input = images("names", &[2, 3, 32, 32]);
    let logits = tch::no_grad(|| net.forward(&input, false)).unwrap();
    save("reference.safetensors", &[("input".to_owned(), input), ("logits".to_owned(), logits)]);
    for (file, words) in others {
        let rename = |name: &str| words.iter().fold(name.to_owned(), |name, (a, b)| name.replace(a, b));
        let tensors: Vec<_> = store.state_dict().into_iter().map(|(name, t)| (rename(&name), t)).collect();
        save(file, &tensors);
    }
    yard
}

const MODEL: &str = "--model paper/resnet20";

#[test]
fn unknown_names_load_and_say_what_is_taken_for_granted() {
    let words = [("layer", "stage"), ("conv", "c"), ("bn", "n"), ("fc", "out")];
    let yard = yard(&[("theirs.safetensors", &words)]);
    let classify =
        |file: &str| yard.run(&format!("classify pictures/val/red {MODEL} --weights {file} --json"));
    let (own, theirs) = (classify("own.safetensors"), classify("theirs.safetensors"));
    let said = String::from_utf8(theirs.stderr).unwrap();
    assert!(said.contains("97 of 97 tensors paired by order and shape; no other pairing fits"), "{said}");
    assert!(said.contains("Taken for granted: padding"), "{said}");
    assert_eq!((own.stdout, theirs.status.code()), (theirs.stdout, Some(0)));
    let verified = yard.json(&format!(
        "weights verify {MODEL} --weights theirs.safetensors --reference reference.safetensors --json"
    ));
    assert_eq!((&verified["naming"], &verified["max_abs_diff"]), (&"structure".into(), &0.0.into()));
    // What is written has the model's own names.
    yard.ok(&format!("weights convert theirs.safetensors {MODEL} --to again.safetensors"));
    assert_eq!(
        yard.json(&format!(
            "weights verify {MODEL} --weights again.safetensors --reference reference.safetensors --json"
        ))["naming"],
        "paper"
    );
}

#[test]
fn open_names_are_paired_by_a_map() {
    let words = [
        ("conv1", "inner"),
        ("conv2", "outer"),
        ("bn1", "norm_a"),
        ("bn2", "norm_b"),
        ("layer", "stage"),
        ("fc", "out"),
    ];
    let yard = yard(&[("theirs.safetensors", &words)]);
    let refused = yard.fails(1, &format!("classify pictures/val/red {MODEL} --weights theirs.safetensors"));
    assert!(refused.contains("order and shape leave"), "{refused}");
    assert!(refused.contains("weights map FILE --model NAME --to MAP.yaml"), "{refused}");
    assert!(refused.trim_end().lines().count() <= 10, "{refused}");

    let draft = yard.json(&format!("weights map theirs.safetensors {MODEL} --to map.yaml --json"));
    assert!(draft["open"].as_u64() > Some(0) && draft["paired"].as_u64() > Some(0), "{draft}");
    let map = fs::read_to_string(yard.path("map.yaml")).unwrap();
    let with = |map: &str| {
        yard.write("map.yaml", map);
        format!(
            "weights verify {MODEL} --weights theirs.safetensors --reference reference.safetensors --map map.yaml --json"
        )
    };
    let open = yard.fails(2, &with(&map));
    assert!(open.contains("map.yaml:") && open.contains("is open: choose one of ["), "{open}");
    // As a person would: of each list the name that means the same.
    let choose = |line: &str| match line.split_once(": [") {
        Some((model, list)) => {
            let meant = words.iter().fold(model.to_owned(), |name, (a, b)| name.replace(a, b));
            assert!(list.trim_end_matches(']').split(", ").any(|name| name == meant), "{line}");
            format!("{model}: {meant}\n")
        }
        None => format!("{line}\n"),
    };
    let edited: String = map.lines().map(choose).collect();
    let verified = yard.json(&with(&edited));
    assert_eq!((&verified["naming"], &verified["max_abs_diff"]), (&"map".into(), &0.0.into()));
    let classify =
        |more: &str| yard.ok(&format!("classify pictures/val/red {MODEL} --json --weights {more}"));
    assert_eq!(classify("own.safetensors"), classify("theirs.safetensors --map map.yaml"));

    // What is wrong in a map has its line.
    let layer = edited.lines().position(|line| line.starts_with("layer1.0.conv1:")).unwrap() + 1;
    for (wrong, said) in [
        (
            edited.replace("layer1.0.conv1: stage1.0.inner", "layer1.0.conv1: stage1.0.iner"),
            "the file has no",
        ),
        (
            edited.replace("layer1.0.conv1: stage1.0.inner", "layer1.0.convx: stage1.0.inner"),
            "the model has no",
        ),
        (edited.replace("layer1.0.conv1: stage1.0.inner", "layer1.0.conv1: null"), "has no name of the file"),
    ] {
        let error = yard.fails(2, &with(&wrong));
        assert!(error.contains(&format!("map.yaml:{layer}:")) && error.contains(said), "{error}");
    }
    let twice = edited.replace("layer1.0.conv2: stage1.0.outer", "layer1.0.conv2: stage1.0.inner");
    assert!(yard.fails(2, &with(&twice)).contains("is `layer1.0.conv1.weight` already"));
    let without = edited.replace("layer1.0.conv1: stage1.0.inner\n", "");
    assert!(yard.fails(2, &with(&without)).contains("1 tensors of the model have no line"));
}
