//! From a folder of pictures to maps of what a network looks at, where it is known what there is to see: a spot of the
//! class's colour somewhere on noise.

use super::common::uniform;
use super::yard::{Yard, json};
use serde_json::Value;
use std::fs;
use std::ops::Range;
use tch::{Kind, Tensor};
use tchvision::weights::StateFile;

/// Sides of a picture and of its spot, in pixels.
const SIDE: usize = 32;
const SPOT: usize = 12;
const CLASSES: [&str; 3] = ["blue", "green", "red"];
const TESTED: usize = 12;

/// `spots/train` and `spots/val`, a class a colour.
fn spotted() -> Yard {
    let yard = Yard::new();
    for (split, count) in [("train", 60), ("val", TESTED)] {
        for (class, name) in CLASSES.into_iter().enumerate() {
            let dir = yard.path(&format!("spots/{split}/{name}"));
            fs::create_dir_all(&dir).unwrap();
            for i in 0..count {
                let seed = format!("{split}{name}{i:02}");
                fs::write(dir.join(format!("{name}{i:02}.bmp")), bmp(&seed, class, place(&seed))).unwrap();
            }
        }
    }
    let augment = "augment: [flip]";
    yard.write_run(
        "spots",
        &format!(
            "model: {{name: paper/resnet20, num_layers: 8}}\n\
             data: {{dataset: 'folder:spots', image_size: {SIDE}, {augment}}}\n\
             train: {{keep: [1, 4], optimizer: {{adamw: {{lr: 3e-3}}}}}}\nseed: 1\n"
        ),
    );
    yard.ok("train spots.yaml train.epochs=6 train.batch_size=16");
    assert!(json(&yard.path("runs/spots/result.json"))["top1"].as_f64().unwrap() > 90.0);
    yard
}

/// The left and upper end of a picture's spot.
fn place(seed: &str) -> [usize; 2] {
    let at = uniform(&format!("place{seed}"), 2);
    [at[0], at[1]].map(|x| (x * (SIDE - SPOT) as f64) as usize)
}

/// Where the spot of a file of `spots/val` is: rows and columns, with a margin that a coarse map has.
fn rows_and_columns(name: &str) -> [Range<i64>; 2] {
    let [left, top] = place(&format!("val{name}"));
    [top, left].map(|from| from as i64 - 2..(from + SPOT) as i64 + 2)
}

fn bmp(seed: &str, class: usize, [left, top]: [usize; 2]) -> Vec<u8> {
    let number = |n: usize| (n as u32).to_le_bytes();
    let size = 3 * SIDE * SIDE;
    let mut bytes = b"BM".to_vec();
    bytes.extend([number(54 + size), number(0), number(54), number(40), number(SIDE), number(SIDE)].concat());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([number(0), number(size), number(2835), number(2835), number(0), number(0)].concat());
    let noise = uniform(seed, size);
    // Rows from the lowest up; blue, green, red.
    bytes.extend((0..size).map(|i| {
        let (row, column) = (SIDE - 1 - i / (3 * SIDE), i / 3 % SIDE);
        let is_spot = (top..top + SPOT).contains(&row) && (left..left + SPOT).contains(&column);
        (noise[i] * 120.0) as u8 + if is_spot && i % 3 == class { 130 } else { 0 }
    }));
    bytes
}

/// How many of the pictures of a manifest have the peak of their map in the spot.
fn hits(yard: &Yard, out: &str) -> usize {
    let manifest = json(&yard.path(&format!("{out}/manifest.json")));
    let images = manifest["images"].as_array().unwrap();
    let is_hit = |image: &&Value| {
        let name = image["name"].as_str().unwrap();
        let map = tensor(yard, &format!("{out}/{name}.safetensors"), "map");
        assert_eq!(map.size(), [SIDE as i64, SIDE as i64], "{name}");
        assert!((map.max().double_value(&[]) - 1.0).abs() < 1e-4, "{name}");
        let peak = map.argmax(None, false).int64_value(&[]);
        let [rows, columns] = rows_and_columns(name);
        rows.contains(&(peak / SIDE as i64)) && columns.contains(&(peak % SIDE as i64))
    };
    images.iter().filter(is_hit).count()
}

fn tensor(yard: &Yard, file: &str, key: &str) -> Tensor {
    StateFile::open(&yard.path(file)).unwrap().get(key).unwrap().to_kind(Kind::Float)
}

#[test]
fn maps_lie_on_what_the_class_is_known_by() {
    let yard = spotted();
    let pictures = "spots/val/blue spots/val/green spots/val/red --run runs/spots";
    let all = CLASSES.len() * TESTED;
    for method in ["gradcam", "hirescam", "layercam", "gradcam++", "xgradcam", "scorecam"] {
        yard.ok(&format!("explain cam {pictures} --method {method} --out {method}"));
        let hits = hits(&yard, method);
        assert!(hits * 10 >= all * 8, "{method}: {hits} of {all}");
    }
    let manifest = json(&yard.path("gradcam/manifest.json"));
    assert_eq!((&manifest["explain"], &manifest["method"]), (&"cam".into(), &"gradcam".into()));
    assert_eq!(manifest["weights_sha256"].as_str().unwrap().len(), 64, "{manifest}");
    assert_eq!(manifest["layers"], serde_json::json!(["layer3"]));
    let page = fs::read_to_string(yard.path("gradcam/index.html")).unwrap();
    assert!(page.contains("src=\"red03.png\"") && !page.contains("http"), "{page}");

    // A map that is right takes the class away soon, and brings it soon.
    let scored = yard.json(&format!("explain cam {pictures} --score --expected red --out scored --json"));
    let mean = |key: &str| {
        let images = scored["images"].as_array().unwrap();
        images.iter().map(|image| image["maps"][0][key].as_f64().unwrap()).sum::<f64>() / images.len() as f64
    };
    assert!(mean("insertion") > mean("deletion") + 0.2, "{} and {}", mean("insertion"), mean("deletion"));
    let of = |i: usize| scored["images"][i]["maps"].as_array().unwrap().clone();
    assert_eq!((of(0).len(), of(all - 1).len()), (2, 1), "what is expected is beside what is found");
    assert_eq!((&of(0)[1]["label"], &of(0)[1]["expected"]), (&"red".into(), &true.into()));

    // Covered, it is not seen.
    let found =
        yard.ok("explain occlusion spots/val/red --run runs/spots --window 10 --stride 2 --out covered");
    assert!(found.contains("down to"), "{found}");
    let hits = hits(&yard, "covered");
    assert!(hits * 10 >= TESTED * 8, "occlusion: {hits} of {TESTED}");

    // And what is projected from the class comes from there.
    for rule in ["gradient", "guided", "deconvnet"] {
        let of = format!("spots/val/green --run runs/spots --rule {rule} --class green --out {rule}");
        yard.ok(&format!("explain deconvnet {of}"));
        let shares = (0..TESTED).map(|i| {
            let name = format!("green{i:02}");
            let energy = tensor(&yard, &format!("{rule}/{name}.safetensors"), "raw")
                .square()
                .sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
            let [rows, columns] = rows_and_columns(&name).map(|range| range.start.max(0)..range.end.min(32));
            let inside = energy.narrow(0, rows.start, rows.end - rows.start);
            let inside = inside.narrow(1, columns.start, columns.end - columns.start);
            inside.sum(Kind::Double).double_value(&[]) / energy.sum(Kind::Double).double_value(&[])
        });
        let share = shares.sum::<f64>() / TESTED as f64;
        // Spots with their margins are a quarter of the pictures. A deconvnet passes whatever is positive: it is the least
        // particular about the class.
        let least = if rule == "deconvnet" { 0.28 } else { 0.4 };
        assert!(share > least, "{rule}: {share:.3}");
    }
}

#[test]
fn every_figure_is_drawn_from_a_run() {
    let yard = spotted();
    let one = "spots/val/red/red00.bmp";
    let run = "--run runs/spots";
    let lines = [
        (format!("deconvnet {run} --data spots/val --count 4 --top 4"), "strongest_layer3"),
        ("deconvnet --evolution runs/spots --data spots/val --count 3".to_owned(), "evolution"),
        (format!("filters {run}"), "filters"),
        (format!("invariance {one} {run} --class red --steps 5"), "invariance"),
        (format!("correspondence parts.csv {run}"), "correspondence"),
        (format!("similar {one} {run} --data spots/val --top 5"), "red00"),
    ];
    let mut parts = "image,part,x,y,width,height\n".to_owned();
    for i in 0..4 {
        let [left, top] = place(&format!("valred{i:02}"));
        parts += &format!("spots/val/red/red{i:02}.bmp,spot,{left},{top},{SPOT},{SPOT}\n");
    }
    yard.write("parts.csv", &parts);
    let mut manifests = Vec::new();
    for (i, (line, name)) in lines.iter().enumerate() {
        let out = format!("figure{i}");
        manifests.push(yard.json(&format!("explain {line} --out {out} --json")));
        for file in [format!("{name}.png"), format!("{name}.safetensors"), "index.html".to_owned()] {
            let size = fs::metadata(yard.path(&format!("{out}/{file}"))).map_or(0, |file| file.len());
            assert!(size > 100, "{line}: {file} of {size} bytes");
        }
    }
    let [strongest, evolution, filters, invariance, correspondence, similar] = manifests.try_into().unwrap();
    let maps = strongest["images"][0]["maps"].as_array().unwrap();
    let pictures = |map: &Value| map["strongest"].as_array().map_or(0, Vec::len);
    assert!(maps.len() == 4 && maps.iter().any(|map| pictures(map) == 4), "{strongest}");
    let epochs = evolution["images"][0]["epochs"].as_array().unwrap();
    assert_eq!(epochs.iter().map(|one| one["epoch"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(4)]);
    assert_eq!(filters["images"][0]["networks"][0]["filters"], serde_json::json!([16, 3, 3, 3]));
    // A picture that is shifted by nothing is the same picture.
    let shift = &invariance["images"][0]["pictures"][0]["curves"][0];
    let nothing = shift["distances"][1][2].as_f64().unwrap();
    let far = shift["distances"][1][0].as_f64().unwrap();
    assert!(nothing < 1e-3 && far > 0.1, "{shift}");
    // The spot moves the features of all four alike, and what else is covered does not.
    let rows = correspondence["images"][0]["parts"].as_array().unwrap();
    let mean = |part: &str| rows.iter().find(|row| row["part"] == part).unwrap()["distances"][1][0].as_f64();
    assert!(mean("spot") < mean("random"), "{correspondence}");
    let nearest = similar["images"][0]["nearest"].as_array().unwrap();
    let of_class = |found: &&Value| found["image"].as_str().unwrap().contains("red");
    assert!(nearest[0]["image"].as_str().unwrap().ends_with("red00.bmp"), "{similar}");
    assert!(nearest.iter().filter(of_class).count() >= 4, "{similar}");
    // The features are there for the next picture.
    let kept = fs::metadata(yard.path("figure5/embeddings.safetensors")).unwrap().modified().unwrap();
    yard.ok(&format!("explain similar spots/val/blue/blue00.bmp {run} --data spots/val --out figure5"));
    let again = fs::metadata(yard.path("figure5/embeddings.safetensors")).unwrap().modified().unwrap();
    assert_eq!(again, kept);

    for (line, code, said) in [
        (format!("cam {one} {run} --class redd"), 2, "did you mean `red`"),
        (format!("cam {one} {run} --class 3"), 2, "from 0 to 2"),
        (format!("cam {one} {run} --layer layer4"), 2, "did you mean"),
        (format!("cam {one} {run} --method gradcm"), 2, "gradcam"),
        (format!("cam {one} {run} --threshold 2"), 2, "between 0 and 1"),
        (format!("cam none {run}"), 2, "none"),
        (format!("occlusion {one} {run} --window 33"), 2, "does not fit an input of 32×32"),
        (format!("occlusion {one} {run} --window 4 --stride 5"), 2, "from 1 to the window"),
        (format!("rollout {one} {run}"), 2, "all see all tokens"),
        ("deconvnet --evolution pictures".to_owned(), 2, "train.keep"),
    ] {
        let refused = yard.fails(code, &format!("explain {line} --out refused"));
        assert!(refused.contains(said), "{line}: {refused}");
        assert!(!refused.contains("panicked"), "{line}: {refused}");
    }
    // One picture that cannot be read does not take the others with it.
    yard.write("spots/val/red/broken.jpg", "no picture");
    let said = yard.fails(1, &format!("explain cam spots/val/red {run} --out some"));
    assert!(said.contains("broken.jpg"), "{said}");
    assert!(yard.path("some/red11.png").is_file() && yard.path("some/index.html").is_file());
}
