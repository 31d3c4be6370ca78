//! The catalogue of public weights: complete, sound, found by name, and what it says of data sets.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};
use tchvision::data::CropMode;
use tchvision::data::image::Interpolation;
use tchvision::data::{self, Access};
use tchvision::nn::Store;
use tchvision::weights::catalogue::{self, Entry, Location};

fn find(name: &str) -> &'static Entry {
    catalogue::find(name).unwrap()
}

fn fails(name: &str) -> String {
    catalogue::find(name).unwrap_err().to_string()
}

fn tchvision(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tchvision")).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let output = tchvision(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Names of the weights trained on a data set, without their source.
fn trained_on(set: &str) -> Vec<String> {
    let mut names: Vec<String> =
        catalogue::trained_on(set).unwrap().iter().map(|entry| entry.short_name()).collect();
    names.sort();
    names
}

#[test]
fn every_file_is_part_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    let is_yaml = |path: &Path| path.extension().is_some_and(|kind| kind == "yaml");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut on_disk: Vec<String> = files
        .filter(|path| is_yaml(path))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|stem| stem != "datasets")
        .collect();
    on_disk.sort();
    let mut families: Vec<String> =
        catalogue::entries().unwrap().iter().map(|entry| entry.family.to_lowercase()).collect();
    families.sort();
    families.dedup();
    assert_eq!(families, on_disk);
}

/// torchvision 0.28 has 115 weights for its 80 classification models; the families of timm 1.0.31 have 582.
#[test]
fn the_libraries_are_there_whole() {
    let entries = catalogue::entries().unwrap();
    let count = |naming: &str| entries.iter().filter(|entry| entry.naming() == naming).count();
    assert_eq!((count("torchvision"), count("timm")), (115, 582));
    let models = |naming: &str| {
        let of = entries.iter().filter(|entry| entry.naming() == naming);
        of.map(|entry| &entry.model).collect::<HashSet<_>>().len()
    };
    assert_eq!(models("torchvision"), 80);
    let defaults = entries.iter().filter(|entry| entry.default).count();
    assert_eq!(defaults, models("torchvision") + models("timm"));
}

#[test]
fn entries_are_sound() {
    let mut names = HashSet::new();
    for entry in catalogue::entries().unwrap() {
        let name = entry.name();
        assert!(!entry.model.contains('.'), "{name}: a dot begins the tag");
        assert!(names.insert(entry.name()), "{name} twice");
        assert_eq!(find(&name), entry);
        for preprocess in [Some(&entry.preprocess), entry.test.as_ref()].into_iter().flatten() {
            assert!(preprocess.input[1] <= preprocess.resize, "{name}: {preprocess:?}");
            assert!((0.8..=1.0).contains(&preprocess.crop_pct), "{name}: {preprocess:?}");
            assert!(preprocess.std.iter().all(|&std| std > 0.0), "{name}: {preprocess:?}");
        }
        for set in &entry.data {
            assert_eq!(&data::corpus(set).unwrap().name, set, "{name}");
        }
        match &entry.location {
            Location::Hub(repository) => assert_eq!(repository.split('/').count(), 2, "{name}"),
            Location::Url(url) => {
                assert!(url.starts_with("https://"), "{name}: {url}");
                assert!(entry.location.sha256_prefix().is_some(), "{name}: {url}");
            }
        }
        assert!(entry.top1.is_none_or(|top1| (40.0..95.0).contains(&top1)), "{name}");
    }
}

#[test]
fn names_are_found_with_and_without_source_and_tag() {
    for (name, full) in [
        ("torchvision/resnet50.IMAGENET1K_V2", "torchvision/resnet50.IMAGENET1K_V2"),
        ("torchvision/resnet50", "torchvision/resnet50.IMAGENET1K_V2"),
        ("resnet50", "torchvision/resnet50.IMAGENET1K_V2"),
        ("resnet50.IMAGENET1K_V1", "torchvision/resnet50.IMAGENET1K_V1"),
        ("resnet50.tv2_in1k", "timm/resnet50.tv2_in1k"),
        ("timm/resnet50", "timm/resnet50.a1_in1k"),
        ("timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
        ("vit_base_patch16_224", "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k"),
        ("vit_b_16", "torchvision/vit_b_16.IMAGENET1K_V1"),
    ] {
        assert_eq!(find(name).name(), full, "{name}");
    }
}

#[test]
fn an_unknown_name_tells_the_nearest() {
    assert!(fails("resnet5O").contains("did you mean `resnet50`?"), "{}", fails("resnet5O"));
    assert!(
        fails("torchvision/resnet49").contains("`torchvision/resnet"),
        "{}",
        fails("torchvision/resnet49")
    );
    let tag = fails("resnet50.IMAGENET_V2");
    assert!(tag.contains("did you mean `IMAGENET1K_V2`?"), "{tag}");
    assert!(fails("paper/resnet20").contains("no public weights"));
    assert_eq!(tchvision(&["weights", "fetch", "resnet5O"]).status.code(), Some(2));
    assert_eq!(tchvision(&["weights", "list", "--model", "resnet5O"]).status.code(), Some(2));
    assert_eq!(tchvision(&["weights", "list", "--family", "ResNot"]).status.code(), Some(2));
    let set = tchvision(&["weights", "list", "--data", "imagenet-2k"]);
    assert_eq!(set.status.code(), Some(2));
    let meant = "did you mean `imagenet-1k`, `imagenet-12k` or `imagenet-21k`?";
    assert!(String::from_utf8_lossy(&set.stderr).contains(meant));
}

/// As `weights.transforms()` and `timm.data.resolve_data_config` have it.
#[test]
fn preprocessing_is_the_libraries() {
    let of = |name: &str| &find(name).preprocess;
    let two = of("torchvision/resnet50.IMAGENET1K_V2");
    assert_eq!((two.input, two.resize, two.interpolation), ([3, 224, 224], 232, Interpolation::Bilinear));
    assert_eq!((two.mean, two.std), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
    assert_eq!(of("torchvision/efficientnet_b7").resize, 600);
    assert_eq!(of("torchvision/efficientnet_b7").interpolation, Interpolation::Bicubic);
    assert_eq!(of("torchvision/inception_v3").resize, 342);
    assert_eq!(of("torchvision/vit_h_14.IMAGENET1K_SWAG_E2E_V1").input, [3, 518, 518]);
    // The weights of the original VGG take images from 0 to 255.
    assert_eq!(of("torchvision/vgg16.IMAGENET1K_FEATURES").std, [1.0 / 255.0; 3]);

    let a1 = find("timm/resnet50.a1_in1k");
    assert_eq!((a1.preprocess.resize, a1.preprocess.crop_pct), (235, 0.95));
    let test = a1.test.as_ref().unwrap();
    assert_eq!((test.input, test.resize, test.crop_pct), ([3, 288, 288], 288, 1.0));
    assert_eq!(of("timm/vit_base_patch16_siglip_512.webli").crop_mode, CropMode::Center);
    assert_eq!(of("timm/vit_large_patch14_clip_336.openai_ft_in12k_in1k").input, [3, 336, 336]);
    assert_eq!(of("timm/vit_base_patch16_384.augreg_in21k_ft_in1k").mean, [0.5; 3]);
}

#[test]
fn checksums_come_from_file_names() {
    assert_eq!(find("resnet50.IMAGENET1K_V2").location.sha256_prefix(), Some("11ad3fa6"));
    assert_eq!(find("vgg16.IMAGENET1K_FEATURES").location.sha256_prefix(), Some("88682ab5"));
    assert_eq!(find("timm/legacy_xception").location.sha256_prefix(), Some("43020ad28"));
    assert_eq!(find("timm/resnet50").location.sha256_prefix(), None);
    let without = ["https://x.org/resnet50.pth", "https://x.org/a-11ad/b.pth", "https://x.org/net-v1.pth"];
    for url in without {
        assert_eq!(Location::Url(url.to_owned()).sha256_prefix(), None, "{url}");
    }
}

#[test]
fn which_weights_saw_jft_yfcc100m_and_instagram() {
    let jft: Vec<String> = (0..8)
        .map(|n| format!("tf_efficientnet_b{n}.ns_jft_in1k"))
        .chain(["ns_jft_in1k", "ns_jft_in1k_475"].map(|tag| format!("tf_efficientnet_l2.{tag}")))
        .collect();
    assert_eq!(trained_on("JFT-300M"), jft);
    let students = ["resnet18", "resnet50", "resnext101_32x16d", "resnext101_32x4d", "resnext101_32x8d"];
    let of = |model: &str, tag: &str| format!("{model}.{tag}");
    let mut yfcc: Vec<String> = students.iter().map(|model| of(model, "fb_ssl_yfcc100m_ft_in1k")).collect();
    yfcc.push(of("resnext50_32x4d", "fb_ssl_yfcc100m_ft_in1k"));
    assert_eq!(trained_on("yfcc100m"), yfcc);
    let mut instagram: Vec<String> = students.iter().map(|model| of(model, "fb_swsl_ig1b_ft_in1k")).collect();
    instagram.push(of("resnext50_32x4d", "fb_swsl_ig1b_ft_in1k"));
    instagram.extend(["8d", "16d", "32d"].map(|width| format!("resnext101_32x{width}.fb_wsl_ig1b_ft_in1k")));
    instagram.sort();
    assert_eq!(trained_on("IG-1B-Targeted"), instagram);
    assert_eq!(trained_on("swag").len(), 12);
    let listed = json(&["weights", "list", "--data", "swag", "--json"]);
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(listed.len() == 12 && listed.iter().all(|name| name.contains("IMAGENET1K_SWAG")), "{listed:?}");
    let many = trained_on("imagenet-21k");
    for name in ["vit_base_patch16_224.augreg_in21k", "swin_base_patch4_window7_224.ms_in22k_ft_in1k"] {
        assert!(many.contains(&name.to_owned()), "{name}");
    }
    assert_eq!(many, trained_on("ImageNet-22k"));
    let row = find("vit_large_patch14_clip_224.openai_ft_in12k_in1k");
    assert_eq!(row.data, ["wit-400m", "imagenet-12k", "imagenet-1k"]);
}

#[test]
fn jft_3b_has_no_public_weights_and_says_so() {
    assert!(trained_on("jft-3b").is_empty());
    let output = tchvision(&["weights", "list", "--data", "JFT-3B"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("No weights trained on JFT-3B are public"), "{text}");
    assert_eq!(json(&["weights", "list", "--data", "jft-3b", "--json"]), serde_json::json!([]));
    for corpus in data::corpora().unwrap().iter().filter(|corpus| corpus.no_weights.is_some()) {
        assert!(trained_on(&corpus.name).is_empty() && corpus.access == Access::Closed, "{}", corpus.name);
    }
}

#[test]
fn the_list_of_data_sets_has_the_pretraining_world() {
    let rows = json(&["data", "list", "--json"]);
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    let small = row("cifar10");
    assert_eq!((small["train"].as_u64(), small["classes"].as_u64()), (Some(50_000), Some(10)));
    assert!(small["here"].is_boolean() && small["shape"].is_array() && small["about"].is_string());
    let counts =
        [("imagenet-1k", 513), ("jft-300m", 10), ("jft-3b", 0), ("yfcc100m", 6), ("ig-1b-targeted", 9)];
    for (name, weights) in counts {
        assert_eq!(row(name)["weights"].as_u64(), Some(weights), "{name}");
    }
    assert_eq!(row("imagenet-1k")["access"], "on request");
    assert_eq!(row("imagenet-21k")["images"].as_u64(), Some(14_197_122));
    assert_eq!(row("jft-300m")["access"], "closed");
    let mut names = HashSet::new();
    for corpus in data::corpora().unwrap() {
        for name in corpus.aliases.iter().chain([&corpus.name]) {
            assert!(names.insert(name), "{name} twice");
            assert_eq!(data::corpus(&name.to_uppercase()).unwrap(), corpus);
        }
    }
}

#[test]
fn lists_narrow_by_model_and_family() {
    let names = |arguments: &[&str]| {
        let output = tchvision(&[&["weights", "list", "--names"], arguments].concat());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--model", "alexnet"]), ["torchvision/alexnet.IMAGENET1K_V1"]);
    assert_eq!(names(&["--model", "torchvision/resnet50"]).len(), 2);
    assert!(names(&["--model", "resnet50"]).len() > 20);
    assert_eq!(names(&["--family", "wrn"]).len(), 9);
    let named = ["torchvision/resnet50.IMAGENET1K_V2", "timm/resnet50.a1_in1k"];
    assert_eq!(names(&["resnet50", "resnet50.a1_in1k"]), named);
    assert_eq!(names(&["--family", "wrn", "--data", "jft"]), [""; 0]);
}

/// The words are WordNet's for the synsets that timm lists for each head.
#[test]
fn heads_of_imagenets_lists_have_their_labels() {
    let held = [
        ("torchvision/resnet50", 1000, 207, "golden retriever"),
        ("timm/vit_base_patch16_224.augreg_in21k", 21843, 21000, "bread mold, Rhizopus nigricans"),
        (
            "timm/swin_base_patch4_window12_384.ms_in22k",
            21841,
            21000,
            "true slime mold, acellular slime mold, plasmodial slime mold, myxomycete",
        ),
        ("timm/mobilenetv3_large_100.miil_in21k", 11221, 10000, "loofah, vegetable sponge, Luffa cylindrica"),
        (
            "timm/efficientnet_b5.sw_in12k",
            11821,
            10000,
            "golden pothos, pothos, ivy arum, Epipremnum aureum, Scindapsus aureus",
        ),
    ];
    for (name, classes, class, word) in held {
        let labels = find(name).labels().unwrap_or_else(|| panic!("{name} has no labels"));
        assert_eq!((labels.len(), labels[class]), (classes, word), "{name}");
    }
    for entry in catalogue::entries().unwrap() {
        let imagenet = entry.data.last().unwrap().starts_with("imagenet-") && entry.classes > 0;
        assert_eq!(entry.labels().is_some(), imagenet, "{}", entry.name());
        let classes = entry.labels().map_or(entry.classes, |labels| labels.len() as i64);
        assert_eq!(classes, entry.classes, "{}", entry.name());
    }
    assert_eq!(find("vit_base_patch16_clip_224.openai").labels(), None);
}

/// Where the catalogue says that a tag has no classifier, neither has the model.
#[test]
fn features_come_without_a_classifier() {
    let headless: Vec<&Entry> =
        catalogue::entries().unwrap().iter().filter(|entry| entry.classes == 0).collect();
    assert!(headless.len() > 80, "{}", headless.len());
    for entry in headless.iter().filter(|entry| entry.naming() == "timm") {
        let store = Store::meta();
        entry.spec().unwrap().resolve().unwrap().build(&store).unwrap();
        let is_head = |name: &str| name.starts_with("head.") || name.starts_with("fc.");
        let names = store.state_dict();
        assert!(!names.iter().any(|(name, _)| is_head(name)), "{}", entry.name());
    }
    // torchvision's file of VGG-16's features has the whole model's tensors, not numbers among them.
    let features = find("torchvision/vgg16.IMAGENET1K_FEATURES");
    let fields = features.spec().unwrap().resolve().unwrap().fields().unwrap();
    assert_eq!((features.classes, fields["num_classes"].as_i64()), (0, Some(1000)));
}
