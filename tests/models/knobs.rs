//! The fields of the models' configurations: each name means one thing, as docs/knobs.md has it, and old names say what
//! they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tchvision::experiment::Experiment;
use tchvision::models::{self, ModelSpec};
use tchvision::nn::Store;

/// What docs/knobs.md writes for a knob that every family has.
const ALL: &str = "all";

/// The knobs of all registered models, and the families that have each.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let mut knobs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in models::entries() {
        for field in entry.architecture().unwrap().fields().unwrap().keys() {
            let families = knobs.entry(field.as_str().unwrap().to_owned()).or_default();
            families.insert(entry.family.to_owned());
        }
    }
    knobs
}

/// The rows `| knob | what it does | families |`: each knob once.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/knobs.md")).unwrap();
    let mut knobs = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [knob, what, families] = cells[..] else { panic!("docs/knobs.md: not three cells: {row}") };
        assert!(what.ends_with('.'), "docs/knobs.md: {knob}: {what}");
        let families = families.split(", ").map(str::to_owned).collect();
        let before = knobs.insert(knob.trim_matches('`').to_owned(), families);
        assert!(before.is_none(), "docs/knobs.md: {knob} has two meanings");
    }
    knobs
}

#[test]
fn the_table_of_knobs_is_the_registry_s() {
    let every: BTreeSet<String> = models::entries().iter().map(|entry| entry.family.to_owned()).collect();
    let documented = documented();
    let mut wrong = Vec::new();
    let mut registered = registered();
    for (knob, families) in &mut registered {
        if *families == every {
            *families = [ALL.to_owned()].into();
        }
        if documented.get(knob) != Some(families) {
            let families: Vec<&str> = families.iter().map(String::as_str).collect();
            wrong.push(format!("| `{knob}` | … | {} |", families.join(", ")));
        }
    }
    wrong.extend(
        documented.keys().filter(|knob| !registered.contains_key(*knob)).map(|knob| format!("no `{knob}`")),
    );
    assert!(wrong.is_empty(), "docs/knobs.md should have\n{}", wrong.join("\n"));
}

/// A model, a field by its old name, and what it is now.
const RENAMED: [(&str, &str, &str); 19] = [
    ("paper/wrn_28_10", "depth", "num_layers"),
    ("paper/wrn_28_10", "dropout", "block_dropout"),
    ("timm/legacy_senet154", "deep_stem", "stem"),
    ("timm/resnetv2_50", "channels", "planes"),
    ("timm/vit_tiny_patch16_224", "width", "embed_dim"),
    ("timm/vit_tiny_patch16_224", "depth", "num_blocks"),
    ("timm/vit_tiny_patch16_224", "dropout", "block_dropout"),
    ("swin_t", "width", "embed_dim"),
    ("swin_t", "dropout", "block_dropout"),
    ("regnet_y_400mf", "stem", "stem_width"),
    ("regnet_y_400mf", "depth", "num_blocks"),
    ("regnet_y_400mf", "bottleneck", "bottleneck_multiplier"),
    ("regnet_y_400mf", "squeeze", "se_ratio"),
    ("maxvit_t", "stem", "stem_width"),
    ("maxvit_t", "squeeze", "se_ratio"),
    ("densenet121", "stem", "stem_width"),
    ("paper/densenet_40_12", "stem", "stem_width"),
    ("shufflenet_v2_x1_0", "stem", "stem_width"),
    ("squeezenet1_1", "stem", "stem_width"),
];

fn refusal(model: &str, field: &str, value: &str) -> String {
    let mut spec = ModelSpec::new(model);
    spec.set(field, value).unwrap();
    format!("{:#}", spec.resolve().err().unwrap())
}

#[test]
fn old_names_say_what_they_are_now() {
    for (model, old, now) in RENAMED {
        let message = refusal(model, old, "2");
        assert!(message.starts_with(&format!("`{old}` of ")), "{message}");
        assert!(message.ends_with(&format!(" is now `{now}`")), "{message}");
    }
    // `stem` is the kind of stem now, which channels are not.
    let message = refusal("paper/resnet20", "stem", "16");
    assert!(message.starts_with("`model.stem`: no choice is called `16`"), "{message}");
    assert!(message.ends_with("; what had this name is now `stem_width`"), "{message}");
    // Its bottlenecks were counted in another way.
    let message = refusal("paper/resnext29", "depth", "29");
    assert!(
        message.ends_with("`num_layers`; `base_width` now counts the channels of a group per 64 planes"),
        "{message}"
    );
    // A net that always had both names needs no such word.
    let message = refusal("resnet50", "num_layers", "50");
    assert!(
        message.contains("unknown field `num_layers` of torchvision/resnet50; did you mean `layers`?"),
        "{message}"
    );
}

#[test]
fn what_makes_no_net_is_refused_with_the_knob_to_turn() {
    let refused = |model: &str, field: &str, value: &str| {
        let mut spec = ModelSpec::new(model);
        spec.set(field, value).unwrap();
        let net = spec.resolve().and_then(|model| model.build(&Store::meta()).map(|_| ()));
        format!("{:#}", net.err().unwrap())
    };
    for (model, field, value, says) in [
        (
            "timm/legacy_xception",
            "segments",
            "3",
            "`segments` 3 do not divide 64 channels: take a power of 2",
        ),
        ("timm/legacy_xception", "segments", "-1", "`segments` -1 must not be negative"),
        ("paper/se_vgg16_bn", "se_reduction", "128", "reduction 128 leaves none of 64 channels"),
        (
            "timm/vit_tiny_patch16_224",
            "layers",
            "[2]",
            "`layers` are the blocks of each stage of a `backbone`",
        ),
        ("torchvision/vit_b_16", "backbone", "bit", "no place for a `backbone`: use `keys: timm`"),
        ("timm/vit_base_r50_s16_384", "patch_size", "25", "`patch_size` 25 does not fit `image_size` 384"),
    ] {
        let message = refused(model, field, value);
        assert!(message.contains(says), "{model}, {field}: {message}");
    }
}

/// The error of an experiment over a model, at the first line after `base`, which is line 5.
fn refused(model: &str, rest: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.yaml");
    let text = format!(
        "question: Which?\nbase:\n  model: {model}\n  data: {{dataset: cifar10}}\n{rest}\nreport: {{x: params}}\n"
    );
    fs::write(&path, text).unwrap();
    let error = match Experiment::read(&path, &[]) {
        Ok(experiment) => experiment.plan().err().unwrap(),
        Err(error) => error,
    };
    format!("{error:#}").rsplit_once("old.yaml:").unwrap().1.to_owned()
}

#[test]
fn old_names_are_refused_at_their_place_in_experiments() {
    let wrn = "{name: paper/wrn_16_4}";
    let vit = "{name: paper/vit_tiny_32}";
    let depth = "`depth` of paper/wrn_16_4 is now `num_layers`";
    assert_eq!(refused(wrn, "axes: {model.depth: [16, 22]}"), format!("5:8: {depth}"));
    assert_eq!(refused(wrn, "zip: {model.width: [1, 2], model.depth: [16, 22]}"), format!("5:28: {depth}"));
    assert_eq!(refused(wrn, "variants: {deep: {model.depth: 22}}"), format!("5:19: {depth}"));
    assert_eq!(refused("{name: paper/wrn_16_4, depth: 22}", "seeds: 1"), format!("3:33: {depth}"));
    assert_eq!(
        refused(vit, "axes: {model.patch_size: [4, 8]}\nmatch: {macs: base, by: model.width}"),
        "6:25: `model.width` is now `model.embed_dim`"
    );
    let stem = refused(wrn, "axes: {model.stem: [16, 32]}");
    assert!(stem.starts_with("5:21: ") && stem.contains("is now `stem_width`"), "{stem}");
}
