//! Augmentation: each operation to the bit against Pillow, what is random by its distribution.

mod common;

use tchvision::data::augment::{Filling, Operation, Warp};
use tchvision::data::image::RgbImage;

fn noise(x: u32, y: u32, c: u32) -> u8 {
    let z = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791);
    let z = (z ^ (z >> 13)).wrapping_mul(0x5bd1_e995);
    (z ^ (z >> 15)) as u8
}

/// The pictures of `goldens/augment.py`.
fn picture(name: &str) -> RgbImage {
    type Value = fn(u32, u32, u32) -> u8;
    let (width, height, value): (u32, u32, Value) = match name {
        "noise" => (13, 11, noise),
        "smooth" => (19, 8, |x, y, c| (13 * x + 7 * y + 40 * c * x / 9) as u8),
        "narrow" => (17, 16, |x, y, c| (90 + 10 * c + u32::from(noise(x, y, c)) % (20 + 15 * c)) as u8),
        "flat" => (4, 3, |_, _, c| [10, 200, 60][c as usize]),
        "gray" => (6, 5, |x, y, _| noise(x, y, 0)),
        "pixel" => (1, 1, |_, _, c| [250, 3, 128][c as usize]),
        "line" => (7, 1, noise),
        _ => panic!("{name}"),
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| value(x, y, c))));
    RgbImage { width: width as usize, height: height as usize, pixels: pixels.collect() }
}

fn operation(name: &str, number: f64, bicubic: bool) -> Operation {
    let filling = Filling { bicubic, color: [124, 116, 104] };
    let warp = |warp| Operation::Warp(warp, filling);
    match name {
        "flip" => Operation::Flip,
        "auto_contrast" => Operation::AutoContrast,
        "equalize" => Operation::Equalize,
        "invert" => Operation::Invert,
        "posterize" => Operation::Posterize(number as u32),
        "solarize" => Operation::Solarize(number as u32),
        "solarize_add" => Operation::SolarizeAdd(number as u32),
        "brightness" => Operation::Brightness(number),
        "contrast" => Operation::Contrast(number),
        "color" => Operation::Color(number),
        "sharpness" => Operation::Sharpness(number),
        "hue" => Operation::Hue(number),
        "rotate" => warp(Warp::Rotate(number)),
        "shear_x" => warp(Warp::ShearX(number)),
        "shear_y" => warp(Warp::ShearY(number)),
        "translate_x" => warp(Warp::TranslateX(number)),
        "translate_y" => warp(Warp::TranslateY(number)),
        _ => panic!("{name}"),
    }
}

#[test]
fn every_operation_gives_the_pixels_of_pillow() {
    let goldens = common::golden("augment.json");
    let goldens = goldens.as_array().unwrap();
    assert!(goldens.len() > 300);
    for golden in goldens {
        let text = |key: &str| golden[key].as_str().unwrap();
        let (name, number) = (text("operation"), golden["number"].as_f64().unwrap());
        let bicubic = golden["bicubic"].as_bool().unwrap_or(false);
        let mut image = picture(text("picture"));
        operation(name, number, bicubic).apply(&mut image);
        let got: String = image.pixels.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, text("out"), "{name} {number} of {}, bicubic {bicubic}", text("picture"));
    }
}
