//! The layers of a model as timm counts them, for learning rates that decay with the distance from the head.

use regex_lite::Regex;

/// Keys of a family's parameters: those of the stem, and those of the blocks, each with the numbers that follow those in the
/// key.
struct Rules {
    families: &'static [&'static str],
    stem: &'static str,
    blocks: &'static [(&'static str, &'static [u32])],
}

/// A last number that joins the layer before.
const WITH_PREVIOUS: u32 = 99_999;

/// timm's `group_matcher` of each family, with the same for torchvision's keys.
const RULES: [Rules; 5] = [
    Rules {
        families: &["ResNet", "ResNeXt", "WRN", "SENet"],
        stem: "conv1|bn1|stem|layer0",
        blocks: &[
            (r"layer(\d+)\.(\d+)", &[]),
            (r"stages\.(\d+)\.blocks\.(\d+)", &[]),
            ("norm", &[WITH_PREVIOUS]),
        ],
    },
    Rules {
        families: &["ViT", "DeiT"],
        stem: "cls_token|reg_token|dist_token|pos_embed|patch_embed|norm_pre|class_token|conv_proj|encoder.pos_embedding",
        blocks: &[
            (r"blocks\.(\d+)", &[]),
            (r"encoder\.layers\.encoder_layer_(\d+)", &[]),
            (r"norm|encoder\.ln", &[WITH_PREVIOUS]),
        ],
    },
    Rules {
        families: &["Swin"],
        stem: r"absolute_pos_embed|patch_embed|features\.0\.",
        blocks: &[
            (r"layers\.(\d+).downsample", &[0]),
            (r"layers\.(\d+)\.\w+\.(\d+)", &[]),
            (r"features\.2\.", &[3, 0]),
            (r"features\.4\.", &[5, 0]),
            (r"features\.6\.", &[7, 0]),
            (r"features\.(\d+)\.(\d+)", &[]),
            ("norm", &[WITH_PREVIOUS]),
        ],
    },
    Rules {
        families: &["ConvNeXt"],
        stem: r"stem|features\.0\.",
        blocks: &[
            (r"stages\.(\d+)\.downsample", &[0]),
            (r"stages\.(\d+)\.blocks\.(\d+)", &[]),
            (r"features\.2\.", &[3, 0]),
            (r"features\.4\.", &[5, 0]),
            (r"features\.6\.", &[7, 0]),
            (r"features\.(\d+)\.(\d+)", &[]),
            ("norm_pre", &[WITH_PREVIOUS]),
        ],
    },
    Rules {
        families: &["EfficientNet"],
        stem: r"conv_stem|bn1|features\.0\.",
        blocks: &[
            (r"blocks\.(\d+)\.(\d+)", &[]),
            (r"features\.(\d+)\.(\d+)\.block", &[]),
            (r"conv_head|bn2|features\.\d+\.[01]\.", &[WITH_PREVIOUS]),
        ],
    },
];

/// The layer of each parameter, counted from 0: by timm's rules for the families that have them here, else one a stage.
/// `stages` are the parameters of the model's stages.
pub(super) fn layers(family: &str, keys: &[String], stages: &[(String, Vec<usize>)]) -> Vec<usize> {
    let rules = RULES.iter().find(|rules| rules.families.contains(&family));
    let places: Vec<Vec<u32>> = match rules {
        Some(rules) => {
            let rules = rules.compiled();
            keys.iter().map(|key| place(&rules, key)).collect()
        }
        None => {
            let stage = |i: usize| stages.iter().position(|(_, members)| members.contains(&i));
            let number = |i| stage(i).map_or(u32::MAX, |stage| stage as u32);
            (0..keys.len()).map(|i| vec![number(i)]).collect()
        }
    };
    let mut sorted = places.clone();
    sorted.sort();
    sorted.dedup();
    let mut count = 0;
    let numbers: Vec<usize> = sorted
        .iter()
        .map(|place| {
            count += usize::from(count == 0 || place.last() != Some(&WITH_PREVIOUS));
            count - 1
        })
        .collect();
    places.iter().map(|place| sorted.binary_search(place).map_or(0, |i| numbers[i])).collect()
}

type Compiled = Vec<(Regex, u32, &'static [u32])>;

impl Rules {
    fn compiled(&self) -> Compiled {
        let rule = |pattern: &str, first, last| Some((anchored(pattern, "").ok()?, first, last));
        let blocks = self.blocks.iter().filter_map(|(pattern, last)| rule(pattern, 1, *last));
        rule(self.stem, 0, &[][..]).into_iter().chain(blocks).collect()
    }
}

/// The numbers that order a parameter's layer; what no rule names comes last.
fn place(rules: &Compiled, key: &str) -> Vec<u32> {
    for (pattern, first, last) in rules {
        if let Some(found) = pattern.captures(key) {
            let numbers = found.iter().skip(1).flatten().filter_map(|number| number.as_str().parse().ok());
            return [*first].into_iter().chain(numbers).chain(last.iter().copied()).collect();
        }
    }
    vec![u32::MAX]
}

/// A pattern from the beginning of a key on, and `end` behind it.
pub(super) fn anchored(pattern: &str, end: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(&format!("^(?:{pattern}){end}"))
}
