//! Pictures: the same pixels as Pillow, and the same inputs as torchvision and timm.

use crate::common::{golden, uniform, values};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};
use tchvision::data::CropMode;
use tchvision::data::image::{self, Encoded, Interpolation, Region, Resize, RgbImage};
use tchvision::weights::{StateFile, catalogue};

fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// The picture files by their names.
fn files() -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(goldens().join("images")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    entries.collect()
}

fn reference() -> StateFile {
    StateFile::open(&goldens().join("images.safetensors")).unwrap()
}

/// How many values differ, and by how much at most.
fn apart(image: &RgbImage, want: &Tensor) -> (i64, i64) {
    let got = Tensor::from_slice(&image.pixels).reshape([image.height as i64, image.width as i64, 3]);
    assert_eq!(got.size(), want.size());
    let diff = (got.to_kind(Kind::Int) - want.to_kind(Kind::Int)).abs();
    (diff.count_nonzero(None::<i64>).int64_value(&[]), diff.max().int64_value(&[]))
}

#[test]
fn every_format_is_decoded_to_pillows_pixels() {
    let (files, reference) = (files(), reference());
    let names: Vec<&str> =
        reference.names().iter().filter_map(|name| name.strip_prefix("decoded/")).collect();
    assert_eq!(names.len(), 69);
    for name in names {
        let got = image::decode(&files[name]).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        let want = reference.get(&format!("decoded/{name}")).unwrap();
        assert_eq!(apart(&got, &want), (0, 0), "{name}");
    }
}

#[test]
fn a_part_of_a_file_is_the_part_of_its_picture() {
    for (name, bytes) in files() {
        let whole = image::decode(&bytes).unwrap();
        let (w, h) = (whole.width, whole.height);
        assert_eq!(Encoded::open(&bytes).unwrap().size(), (w, h), "{name}");
        let dice = uniform(&name, 4 * 12);
        for dice in dice.chunks_exact(4) {
            let range = |start: f64, length: f64, side: usize| {
                let start = (start * side as f64) as usize;
                start..start + 1 + (length * (side - start) as f64) as usize
            };
            let (columns, rows) = (range(dice[0], dice[1], w), range(dice[2], dice[3], h));
            let part = Encoded::open(&bytes).unwrap().part(columns.clone(), rows.clone()).unwrap();
            let want = whole.crop(columns.clone(), rows.clone()).unwrap();
            assert!(part == want, "{name}: {columns:?} {rows:?}");
        }
        for (columns, rows) in [(0..w + 1, 0..h), (0..w, h..h)] {
            assert!(Encoded::open(&bytes).unwrap().part(columns, rows).is_err(), "{name}");
        }
    }
}

/// For training: where a JPEG is much larger than wanted, its high frequencies are left out.
#[test]
fn parts_for_training_are_nearly_those_of_the_whole_picture() {
    for (name, bytes) in files() {
        let file = Encoded::open(&bytes).unwrap();
        let (w, h) = file.size();
        for (times, (left, top)) in
            [(5, (0, 0)), (6, (0, 0)), (6, (w / 5, h / 7)), (12, (1, 2)), (24, (3, 0))]
        {
            let (columns, rows) = (left.min(w - 1)..w, top.min(h - 1)..h);
            let side = |length: usize| (length / times).max(1);
            let to = Resize::to(side(columns.len()), side(rows.len()), Interpolation::Bilinear);
            let got = file.resized_part(columns.clone(), rows.clone(), &to).unwrap();
            let want = file.part(columns, rows).unwrap().resize(&to).unwrap();
            assert_eq!((got.width, got.height), (want.width, want.height), "{name}");
            let pairs = got.pixels.iter().zip(&want.pixels);
            let mean = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / got.pixels.len() as f64;
            let is_exact = times == 5 || !name.ends_with(".jpg");
            assert!(if is_exact { mean == 0.0 } else { mean < 8.0 }, "{name}, {times}: {mean}");
        }
    }
    let photo = &files()["large.jpg"];
    let file = Encoded::open(photo).unwrap();
    let resized = |side: usize| {
        let to = Resize::to(side, side, Interpolation::Bilinear);
        (
            file.resized_part(0..301, 0..301, &to).unwrap(),
            file.part(0..301, 0..301).unwrap().resize(&to).unwrap(),
        )
    };
    let ((full, exact), (half, _)) = (resized(100), resized(50));
    assert!(full == exact && half != resized(50).1, "the frequencies that are left out are missed nowhere");
}

#[test]
fn every_interpolation_gives_pillows_pixels() {
    let (files, reference) = (files(), reference());
    let names: Vec<&String> = reference.names().iter().filter(|name| name.starts_with("resized/")).collect();
    assert_eq!(names.len(), 6 * 20);
    for name in names {
        let parts: Vec<&str> = name.split('/').collect();
        let image = image::decode(&files[parts[1]]).unwrap();
        let (width, height) = parts[2].split_once('x').unwrap();
        let interpolation: Interpolation = serde_yaml::from_str(parts[3]).unwrap();
        let mut to = Resize::to(width.parse().unwrap(), height.parse().unwrap(), interpolation);
        if let Some(edges) = parts.get(4) {
            let edges: Vec<f32> = edges.split(',').map(|edge| edge.parse().unwrap()).collect();
            let [left, top, right, bottom] = edges[..] else { panic!("{name}") };
            to.region = Some(Region { left, top, right, bottom });
        }
        let whole = image.resize(&to).unwrap();
        assert_eq!(apart(&whole, &reference.get(name).unwrap()), (0, 0), "{name}");

        let (columns, rows) = (to.width / 3..to.width.div_ceil(2), to.height / 4..to.height);
        to.window = Some((columns.clone(), rows.clone()));
        assert_eq!(image.resize(&to).unwrap(), whole.crop(columns, rows).unwrap(), "a window of {name}");
    }
}

#[derive(serde::Deserialize)]
struct Preprocessed {
    weights: String,
    file: String,
    shape: [i64; 3],
    digest: u64,
    values: Vec<f64>,
}

/// As goldens/images.py computes it.
fn digest(image: &RgbImage) -> u64 {
    image.pixels.chunks_exact(3).fold(0, |digest: u64, pixel| {
        let pixel = pixel.iter().rev().fold(0, |pixel, &value| pixel << 8 | u64::from(value));
        digest.wrapping_mul(1_099_511_628_211).wrapping_add(pixel + 1)
    })
}

#[test]
fn inputs_are_those_of_torchvision_and_timm() {
    let files = files();
    let cases: Vec<Preprocessed> = serde_json::from_value(golden("preprocess.json")).unwrap();
    assert_eq!(cases.len(), 120);
    for Preprocessed { weights, file, shape, digest: want, values: some } in cases {
        let (name, mode) = weights.split_once(' ').unwrap_or((&weights, ""));
        let mut preprocess = catalogue::find(name).unwrap().preprocess.clone();
        if mode == "border" {
            preprocess.crop_mode = CropMode::Border;
        }
        let image = preprocess.crop(&image::decode(&files[&file]).unwrap()).unwrap();
        // Not one pixel differs.
        assert_eq!(digest(&image), want, "{weights} {file}");
        let input = preprocess.input([&image], Device::Cpu).unwrap();
        assert_eq!(input.size(), [&[1], &shape[..]].concat());
        let got: Vec<f64> = values(&input).into_iter().step_by(9973).collect();
        // A thousandth of one level of 255.
        let tolerance = 1e-3 / (255.0 * preprocess.std[0]);
        for (got, want) in got.iter().zip(&some) {
            assert!((got - want).abs() <= tolerance, "{weights} {file}: {got}, not {want}");
        }
    }
}

#[test]
fn parts_outside_a_picture_are_refused() {
    let image = RgbImage { width: 4, height: 3, pixels: vec![7; 36] };
    let to = Resize::to(2, 2, Interpolation::Bicubic);
    let region = |left, right| Some(Region { left, top: 0.0, right, bottom: 3.0 });
    for region in [region(-1.0, 2.0), region(0.0, 4.5), region(2.0, 2.0), region(f32::NAN, 2.0)] {
        let error = image.resize(&Resize { region, ..to.clone() }).unwrap_err().to_string();
        assert!(error.contains("not within 4×3 pixels"), "{error}");
    }
    for window in [(0..3, 0..2), (0..2, 2..3), (1..1, 0..2)] {
        assert!(image.resize(&Resize { window: Some(window), ..to.clone() }).is_err());
    }
    assert!(image.resize(&Resize::to(1 << 20, 1 << 20, Interpolation::Bilinear)).is_err());
    assert!(image.crop(2..5, 0..1).is_err());
}

#[test]
fn files_that_are_cut_off_are_refused() {
    for (name, bytes) in files() {
        // Of an animation, the first picture is within its first half.
        let parts: &[usize] = if name.starts_with("animated") { &[30] } else { &[30, 50, 90] };
        for kept in parts.iter().map(|percent| bytes.len() * percent / 100) {
            assert!(image::decode(&bytes[..kept]).is_err(), "{name}, {kept} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    let error = |bytes: &[u8]| format!("{:#}", image::decode(bytes).unwrap_err());
    assert!(error(b"").contains("empty"));
    assert!(error(b"label,path\n").contains("neither JPEG, PNG, WebP, GIF, BMP, TIFF nor PPM"));
    assert!(error(b"\xff\xd8\xff").contains("JPEG"));
    let photo = &files()["sampling_420.jpg"];
    assert!(error(&photo[..photo.len() - 2]).contains("truncated"));
}

#[test]
fn files_too_large_for_pictures_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.jpg");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = format!("{:#}", image::read(&path).unwrap_err());
    assert!(error.contains("large.jpg") && error.contains("too many for an image"), "{error}");
}

#[test]
fn pixel_bombs_are_refused_by_their_header() {
    let files = files();
    let refused = |name: &str, at: usize, size: &[u8]| {
        let mut bytes = files[name].clone();
        bytes[at..at + size.len()].copy_from_slice(size);
        let error = format!("{:#}", image::decode(&bytes).unwrap_err());
        assert!(error.contains("60000×60000 pixels are more than 178956970"), "{name}: {error}");
    };
    let photo = &files["sampling_420.jpg"];
    let frame = photo.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    refused("sampling_420.jpg", frame + 5, &[0xea, 0x60, 0xea, 0x60]);
    refused("rgb.bmp", 18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    refused("colors.gif", 6, &[0x60, 0xea, 0x60, 0xea]);
    // WebP holds 16,383 pixels a side but in an animation; PNG has a checksum over its size.
    let mut png = files["rgb.png"].clone();
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let error = format!("{:#}", image::decode(&png).unwrap_err());
    assert!(error.contains("60000×60000 pixels are more than"), "{error}");
}

#[test]
fn damage_makes_no_panic() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let (here, others) = (std::thread::current().id(), std::panic::take_hook());
    // libjpeg's errors unwind without it.
    std::panic::set_hook(Box::new(move |panic| match std::thread::current().id() == here {
        true => _ = PANICS.fetch_add(1, Ordering::Relaxed),
        false => others(panic),
    }));
    let mut damaged = Vec::new();
    for (name, bytes) in files() {
        for round in 0..6 {
            let dice = uniform(&format!("{name}{round}"), 6);
            let mut bytes = bytes.clone();
            for pair in dice.chunks_exact(2) {
                let at = (pair[0] * bytes.len() as f64) as usize;
                // Half of the hits lie in the headers.
                let at = if round % 2 == 0 { at % 64.min(bytes.len()) } else { at };
                bytes[at] = (pair[1] * 256.0) as u8;
            }
            let panics = PANICS.load(Ordering::Relaxed);
            // Whether it can still be read is the decoder's business.
            if let Ok(image) = image::decode(&bytes) {
                assert_eq!(image.pixels.len(), image.width * image.height * 3, "{name} {round}");
            }
            if let Ok(file) = Encoded::open(&bytes) {
                let ((w, h), to) = (file.size(), Resize::to(2, 2, Interpolation::Bilinear));
                let _either = file.resized_part(w / 3..w, h / 4..h.div_ceil(2), &to);
            }
            if PANICS.load(Ordering::Relaxed) > panics {
                damaged.push(format!("{name} {round}"));
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(damaged.is_empty(), "{damaged:?}");
}
