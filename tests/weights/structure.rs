//! Unknown names: what is paired is paired right, whatever was renamed, dropped, reordered or swapped.

use std::collections::HashMap;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{Pairing, pair};

type Named = (String, Vec<i64>);

/// Names and shapes of a small model of each family.
fn models() -> Vec<(&'static str, Vec<Named>)> {
    let small = [
        ("torchvision/resnet18", ""),
        ("torchvision/mobilenet_v2", ""),
        ("timm/vit_tiny_patch16_224", "num_blocks: 4"),
        ("timm/swin_tiny_patch4_window7_224", "depths: [2, 2, 2, 2]"),
        ("torchvision/densenet121", "blocks: [2, 3, 4, 2]"),
    ];
    small.map(|(name, set)| (name, model(name, set))).into()
}

fn model(name: &str, set: &str) -> Vec<Named> {
    let mut spec = ModelSpec::new(name);
    if let Some((field, value)) = set.split_once(": ") {
        spec.set(field, value).unwrap();
    }
    let store = Store::meta();
    spec.resolve().unwrap().build(&store).unwrap();
    store.state_dict().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn word(&mut self) -> String {
        (0..6).map(|_| (b'a' + self.below(26) as u8) as char).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.below(i + 1)));
    }
}

const ROLES: [&str; 5] = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

/// Another author's names: each word of a path is another, the same one everywhere; numbers and roles stay.
fn renamed(model: &[Named], random: &mut Random) -> Vec<Named> {
    let mut words: HashMap<String, String> = HashMap::new();
    let mut part = |part: &str| {
        if ROLES.contains(&part) {
            return part.to_owned();
        }
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let new = if word.is_empty() {
            String::new()
        } else {
            words.entry(word.to_owned()).or_insert_with(|| random.word()).clone()
        };
        new + &part[word.len()..]
    };
    let name = |name: &str, part: &mut dyn FnMut(&str) -> String| {
        name.split('.').map(part).collect::<Vec<_>>().join(".")
    };
    model.iter().map(|(old, shape)| (name(old, &mut part), shape.clone())).collect()
}

/// The model's name of each of the file's, by their places before anything was changed.
fn truth(model: &[Named], file: &[Named]) -> HashMap<String, String> {
    file.iter().zip(model).map(|((new, _), (old, _))| (new.clone(), old.clone())).collect()
}

#[derive(Debug, Default, PartialEq)]
struct Count {
    right: usize,
    refused: usize,
    wrong: usize,
}

impl Count {
    /// Counts a pairing: right if each tensor of the model gets the one that was its own.
    fn add(&mut self, pairing: &Pairing, truth: &HashMap<String, String>) {
        if !pairing.is_certain() {
            self.refused += 1;
            return;
        }
        let tensors = pairing.pairs.iter().flat_map(|(model, file)| model.tensors.iter().zip(&file.tensors));
        let is_right = |((_, (wanted, _)), (_, (has, _))): (&(String, Named), &(String, Named))| {
            truth.get(has) == Some(wanted)
        };
        if tensors.clone().count() > 0 && tensors.clone().all(is_right) {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }
}

/// Renamed files in the author's order and sorted by name are loaded as they were saved.
#[test]
fn other_words_load_the_same_tensors() {
    let mut random = Random(1);
    for (name, model) in models() {
        let mut count = Count::default();
        for _ in 0..10 {
            let mut file = renamed(&model, &mut random);
            let truth = truth(&model, &file);
            count.add(&pair(&file, true, &model), &truth);
            file.sort();
            count.add(&pair(&file, false, &model), &truth);
        }
        assert_eq!(count, Count { right: 20, ..Count::default() }, "{name}");
    }
}

/// Ten thousand files whose names are unknown, each damaged in one way. Values that are swapped under names that stay
/// cannot be seen by anybody; here names move with their tensors, or against them in a pickle, which keeps its order.
#[test]
fn no_damage_loads_other_tensors() {
    let mut random = Random(2);
    let models = models();
    let mut counts: [Count; 6] = Default::default();
    for i in 0..10_000 {
        let (_, model) = &models[i % models.len()];
        let mut file = renamed(model, &mut random);
        let mut truth = truth(model, &file);
        let mut authors = random.below(2) == 0;
        let damage = random.below(counts.len());
        match damage {
            // A tensor dropped.
            0 => drop(file.remove(random.below(file.len()))),
            // Two of one shape have each other's names: the places in a pickle stay.
            1 => {
                let a = random.below(file.len());
                let alike: Vec<usize> =
                    (0..file.len()).filter(|&b| b != a && file[b].1 == file[a].1).collect();
                let Some(&b) = alike.get(random.below(alike.len().max(1))) else { continue };
                let [first, second] = [&file[a].0, &file[b].0].map(|name| truth[name].clone());
                truth.extend([(file[a].0.clone(), second), (file[b].0.clone(), first)]);
                let (name, other) = (file[a].0.clone(), file[b].0.clone());
                (file[a].0, file[b].0) = (other, name);
                authors = true;
            }
            // Reordered: all tensors, or the children of one module.
            2 => random.shuffle(&mut file),
            3 => {
                let prefix = file[random.below(file.len())].0.clone();
                let prefix = prefix.rsplit_once('.').map_or("", |(prefix, _)| prefix).to_owned();
                let (mut inside, rest): (Vec<_>, Vec<_>) =
                    file.into_iter().partition(|(name, _)| name.starts_with(&prefix));
                inside.reverse();
                file = [inside, rest].concat();
            }
            // One tensor, or one word of one tensor's path, renamed.
            4 => {
                let at = random.below(file.len());
                let new = random.word();
                let mut parts: Vec<String> = file[at].0.split('.').map(str::to_owned).collect();
                let part = random.below(parts.len());
                parts[part] = new;
                let (name, old) = (parts.join("."), file[at].0.clone());
                let own = truth.remove(&old).unwrap();
                truth.insert(name.clone(), own);
                file[at].0 = name;
            }
            // Roles shuffled among the vectors of all norms.
            _ => {
                let mut roles = ROLES[..4].to_vec();
                random.shuffle(&mut roles);
                if roles == ROLES[..4] {
                    continue;
                }
                let role = |name: &str| ROLES[..4].iter().position(|role| name.ends_with(role));
                let mut moved = HashMap::new();
                for (name, shape) in &mut file {
                    let own = truth[name.as_str()].clone();
                    if let (Some(i), [_]) = (role(name), shape.as_slice()) {
                        *name = name.replace(ROLES[i], roles[i]);
                    }
                    moved.insert(name.clone(), own);
                }
                truth = moved;
                authors = true;
            }
        }
        if !authors {
            file.sort();
        }
        counts[damage].add(&pair(&file, authors, model), &truth);
    }
    println!("{counts:?}");
    for (damage, count) in counts.iter().enumerate() {
        assert_eq!(count.wrong, 0, "damage {damage}: {count:?}");
        assert!(count.refused + count.right > 1000, "damage {damage}: {count:?}");
    }
}

/// A residual block's projection may stand before its branch, and in a bottleneck it has the last convolution's shape.
#[test]
fn a_projection_is_not_taken_for_a_branch() {
    let model = model("torchvision/resnet50", "");
    for (shortcut, certain) in [("shortcut", true), ("other", false)] {
        let file: Vec<Named> = model
            .iter()
            .map(|(name, shape)| {
                let name = name.replace("downsample", shortcut).replace("layer", "stage").replace("bn", "n");
                (name.replace("conv", "c"), shape.clone())
            })
            .collect();
        let truth = truth(&model, &file);
        // The projection first in every block.
        let mut first = file.clone();
        first.sort_by_key(|(name, _)| {
            let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
            let own = parts.split_off(parts.len().min(2));
            let is_block = parts[0].starts_with("stage");
            (
                name.starts_with('f'),
                is_block,
                if is_block { parts } else { Vec::new() },
                is_block && !own[0].starts_with(shortcut),
            )
        });
        for file in [file, first] {
            let pairing = pair(&file, true, &model);
            assert_eq!(pairing.is_certain(), certain, "{:?} {:?}", pairing.contradiction, pairing.open);
            let mut count = Count::default();
            count.add(&pairing, &truth);
            assert_eq!(count.wrong, 0);
            if !certain {
                assert_eq!(pairing.open[0].model, ["layer1.0.conv3", "layer1.0.downsample.0"]);
            }
        }
    }
}

/// Queries, keys and values of one shape go by their words alone, never by their order.
#[test]
fn queries_keys_and_values_are_told_by_words_alone() {
    let block = |names: [&str; 3]| -> Vec<Named> {
        let layer = |name: &str| {
            [(format!("block.0.{name}.weight"), vec![8, 8]), (format!("block.0.{name}.bias"), vec![8])]
        };
        names.iter().flat_map(|name| layer(name)).collect()
    };
    let model = block(["q", "k", "v"]);
    for (names, certain) in [
        (["query", "key", "value"], true),
        (["k_proj", "v_proj", "q_proj"], true),
        (["one", "two", "three"], false),
        (["a", "b", "c"], false),
    ] {
        let pairing = pair(&block(names), true, &model);
        assert_eq!(pairing.is_certain(), certain, "{names:?}");
        for (own, file) in &pairing.pairs {
            let last = |name: &str| name.rsplit('.').next().unwrap().chars().next();
            assert_eq!(last(&own.name), last(&file.name));
        }
    }
}

/// Numbers that are a part of a word are no order.
#[test]
fn a_hash_is_no_count() {
    let layers = |names: [&str; 2]| -> Vec<Named> {
        names.iter().map(|name| (format!("{name}.weight"), vec![4, 4])).collect()
    };
    let model = layers(["fc1", "fc2"]);
    assert!(pair(&layers(["fc0", "fc1"]), false, &model).is_certain());
    assert!(pair(&layers(["x17", "x42"]), false, &model).open.len() == 1);
    // A pickle that has the second first.
    assert!(pair(&layers(["fc1", "fc0"]), true, &model).contradiction.is_some());
}
