//! Pictures: the same pixels as Pillow, and the same inputs as torchvision and timm.

mod common;

use common::uniform;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Kind, Tensor};
use tchvision::data::image::{self, RgbImage};
use tchvision::weights::StateFile;

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
    assert_eq!(files.len(), 69);
    for (name, bytes) in files {
        let got = image::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        let want = reference.get(&format!("decoded/{name}")).unwrap();
        assert_eq!(apart(&got, &want), (0, 0), "{name}");
    }
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
    assert!(error(b"label,path\n").contains("neither JPEG, PNG, WebP, GIF nor BMP"));
    assert!(error(b"\xff\xd8\xff").contains("JPEG"));
    let photo = &files()["sampling_420.jpg"];
    assert!(error(&photo[..photo.len() - 2]).contains("cut off"));
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
    let before = std::panic::take_hook();
    // libjpeg's errors unwind without one.
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
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
            if PANICS.load(Ordering::Relaxed) > panics {
                damaged.push(format!("{name} {round}"));
            }
        }
    }
    std::panic::set_hook(before);
    assert!(damaged.is_empty(), "{damaged:?}");
}
