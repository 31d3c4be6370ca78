//! Augmentation: each operation to the bit against Pillow, what is random by its distribution.

use std::collections::HashMap;
use tch::{Kind, Tensor};
use tchvision::data::Stream;
use tchvision::data::augment::{
    AugMix, AutoAugment, ColorJitter, Filling, Lighting, Mix, Mixture, Operation, Policy, RandAugment,
    RandomErasing, RandomResizedCrop, Rectangle, Sampling, TrivialAugment, Warp, mix_chains,
};
use tchvision::data::image::RgbImage;
use tchvision::models::Library;

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
        "square" => (9, 9, noise),
        _ => panic!("{name}"),
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| value(x, y, c))));
    RgbImage { width: width as usize, height: height as usize, pixels: pixels.collect() }
}

fn operation(name: &str, number: f64, sampling: Sampling) -> Operation {
    let color = if sampling == Sampling::Nearest { [0; 3] } else { [124, 116, 104] };
    let filling = Filling { sampling, color };
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
        "gray" => Operation::Gray,
        "vertical_flip" => Operation::VerticalFlip,
        "blur" => Operation::Blur(number),
        _ => panic!("{name}"),
    }
}

#[test]
fn every_operation_gives_the_pixels_of_pillow() {
    let goldens = crate::common::golden("augment.json");
    let goldens = goldens.as_array().unwrap();
    assert!(goldens.len() > 300);
    for golden in goldens {
        let text = |key: &str| golden[key].as_str().unwrap();
        let (name, number) = (text("operation"), golden["number"].as_f64().unwrap());
        let is = |key: &str| golden[key].as_bool().unwrap_or(false);
        let sampling = match (is("nearest"), is("bicubic")) {
            (true, _) => Sampling::Nearest,
            (_, true) => Sampling::Bicubic,
            _ => Sampling::Bilinear,
        };
        let mut image = picture(text("picture"));
        if name == "aug_mix" {
            let chain = vec![Operation::Solarize(number as u32); 2];
            mix_chains(&mut image, &[0.2, 0.5, 0.3].map(|weight| (weight, chain.clone())), 0.37);
        } else {
            operation(name, number, sampling).apply(&mut image);
        }
        let got: String = image.pixels.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, text("out"), "{name} {number} of {}, {sampling:?}", text("picture"));
    }
}

/// Numbers from as many streams.
fn draws<T>(count: u64, mut draw: impl FnMut(&mut Stream) -> T) -> Vec<T> {
    (0..count).map(|index| draw(&mut Stream::new(5, "test", 0, index))).collect()
}

/// Mean and standard deviation.
fn moments(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.into_iter().collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

#[track_caller]
fn assert_near((mean, std): (f64, f64), want: (f64, f64), tolerance: f64) {
    assert!(
        (mean - want.0).abs() < tolerance && (std - want.1).abs() < tolerance,
        "{mean} ± {std}, want {want:?}"
    );
}

#[test]
fn numbers_have_their_distributions() {
    assert_near(moments(draws(20_000, |stream| stream.normal())), (0.0, 1.0), 0.03);
    let uniform = moments(draws(20_000, |stream| stream.between(-2.0, 4.0)));
    assert_near(uniform, (1.0, 6.0 / 12f64.sqrt()), 0.05);
    for alpha in [0.05, 0.2, 1.0, 4.0] {
        let values = draws(20_000, |stream| stream.beta(alpha));
        assert!(values.iter().all(|x| (0.0..=1.0).contains(x)));
        assert_near(moments(values), (0.5, (1.0 / (4.0 * (2.0 * alpha + 1.0))).sqrt()), 0.01);
    }
}

/// Area and ratio are spread as torchvision spreads them; pictures too narrow for any get their middle.
#[test]
fn random_resized_crop_has_the_areas_and_ratios_it_says() {
    let crop = RandomResizedCrop::default();
    let parts = draws(20_000, |stream| crop.part(1000, 1000, stream));
    assert!(parts.iter().all(|part| part.left + part.width <= 1000 && part.top + part.height <= 1000));
    let area = |part: &Rectangle| (part.width * part.height) as f64 / 1e6;
    let ratio = |part: &Rectangle| (part.width as f64 / part.height as f64).ln();
    let small: Vec<&Rectangle> = parts.iter().filter(|part| area(part) < 0.7).collect();
    // Below 3/4 of the area every ratio fits, so that nothing is drawn anew.
    let limit = (4f64 / 3.0).ln();
    assert_near(moments(small.iter().map(|part| area(part))), (0.39, 0.62 / 12f64.sqrt()), 0.01);
    assert_near(moments(small.iter().map(|part| ratio(part))), (0.0, 2.0 * limit / 12f64.sqrt()), 0.01);
    let left = small.iter().map(|part| part.left as f64 / (1000 - part.width) as f64);
    assert_near(moments(left), (0.5, 1.0 / 12f64.sqrt()), 0.01);
    let middle = |width, height| crop.part(width, height, &mut Stream::new(0, "", 0, 0));
    assert_eq!(middle(400, 10), Rectangle { left: 193, top: 0, width: 13, height: 10 });
    assert_eq!(middle(10, 400), Rectangle { left: 0, top: 193, width: 10, height: 13 });
    assert_eq!(middle(1, 1), Rectangle { left: 0, top: 0, width: 1, height: 1 });
}

#[test]
fn colour_jitter_draws_factors_about_one_in_any_order() {
    let jitter =
        ColorJitter { brightness: 0.4, contrast: 1.5, saturation: 0.0, hue: 0.1, ..ColorJitter::default() };
    let all = draws(6_000, |stream| jitter.draw(stream));
    let (mut brightness, mut contrast, mut hue) = (Vec::new(), Vec::new(), Vec::new());
    for operation in all.iter().flatten() {
        match operation {
            Operation::Brightness(factor) => brightness.push(*factor),
            Operation::Contrast(factor) => contrast.push(*factor),
            Operation::Hue(shift) => hue.push(*shift),
            _ => panic!("{operation:?}"),
        }
    }
    assert_near(moments(brightness), (1.0, 0.8 / 12f64.sqrt()), 0.02);
    assert_near(moments(contrast), (1.25, 2.5 / 12f64.sqrt()), 0.04);
    assert_near(moments(hue), (0.0, 0.2 / 12f64.sqrt()), 0.01);
    let first = all.iter().filter(|operations| matches!(operations[0], Operation::Hue(_))).count();
    assert!((1_800..2_200).contains(&first), "{first} of 6000 begin with the hue");
}

/// The light has the covariance that the eigenvalues and -vectors say.
#[test]
fn lighting_follows_the_principal_components() {
    let lighting = Lighting::default();
    let lights = draws(20_000, |stream| lighting.draw(stream));
    for (channel, row) in lighting.eigenvectors.iter().enumerate() {
        let variance: f64 =
            row.iter().zip(&lighting.eigenvalues).map(|(v, e)| (v * e * lighting.std).powi(2)).sum();
        assert_near(
            moments(lights.iter().map(|light| f64::from(light[channel]))),
            (0.0, variance.sqrt()),
            5e-4,
        );
    }
}

#[test]
fn rand_augment_draws_the_operations_of_timm_with_their_numbers() {
    let fill = [1, 2, 3];
    let rand = RandAugment { magnitude: 9.0, increasing: true, ..RandAugment::default() };
    let all = draws(30_000, |stream| rand.draw(100, 50, fill, stream));
    let mut counts = HashMap::new();
    for operation in all.iter().flatten() {
        let near = |value: f64, wanted: &[f64]| wanted.iter().any(|want| (value - want).abs() < 1e-9);
        let (name, sound) = match *operation {
            Operation::AutoContrast => ("auto_contrast", true),
            Operation::Equalize => ("equalize", true),
            Operation::Invert => ("invert", true),
            Operation::Posterize(bits) => ("posterize", bits == 1),
            Operation::Solarize(from) => ("solarize", from == 26),
            Operation::SolarizeAdd(add) => ("solarize_add", add == 99),
            Operation::Color(factor) => ("color", near(factor, &[0.19, 1.81])),
            Operation::Contrast(factor) => ("contrast", near(factor, &[0.19, 1.81])),
            Operation::Brightness(factor) => ("brightness", near(factor, &[0.19, 1.81])),
            Operation::Sharpness(factor) => ("sharpness", near(factor, &[0.19, 1.81])),
            Operation::Warp(warp, filling) => {
                let (name, sound) = match warp {
                    Warp::Rotate(degrees) => ("rotate", near(degrees, &[27.0, -27.0])),
                    Warp::ShearX(factor) => ("shear_x", near(factor, &[0.27, -0.27])),
                    Warp::ShearY(factor) => ("shear_y", near(factor, &[0.27, -0.27])),
                    Warp::TranslateX(pixels) => ("translate_x", near(pixels, &[40.5, -40.5])),
                    Warp::TranslateY(pixels) => ("translate_y", near(pixels, &[20.25, -20.25])),
                };
                (name, sound && filling.color == fill)
            }
            Operation::Flip
            | Operation::VerticalFlip
            | Operation::Hue(_)
            | Operation::Gray
            | Operation::Blur(_) => {
                panic!("{operation:?}")
            }
        };
        assert!(sound, "{operation:?}");
        *counts.entry(name).or_insert(0) += 1;
    }
    // Two layers, each done every second time.
    assert_eq!(counts.len(), 15);
    assert!(counts.values().all(|count| (1_850..2_150).contains(count)), "{counts:?}");
    let plain = RandAugment { magnitude: 5.0, probability: 1.0, ..RandAugment::default() };
    for operation in draws(2_000, |stream| plain.draw(8, 8, fill, stream)).iter().flatten() {
        match *operation {
            Operation::Posterize(bits) => assert_eq!(bits, 2),
            Operation::Solarize(from) => assert_eq!(from, 128),
            Operation::Color(factor) | Operation::Sharpness(factor) => assert!((factor - 1.0).abs() < 1e-9),
            _ => {}
        }
    }
    let noisy =
        RandAugment { magnitude_std: 0.5, probability: 1.0, magnitude: 5.0, ..RandAugment::default() };
    let degrees = draws(20_000, |stream| noisy.draw(8, 8, fill, stream)).into_iter().flatten();
    let degrees = degrees.filter_map(|operation| match operation {
        Operation::Warp(Warp::Rotate(degrees), _) => Some(degrees.abs()),
        _ => None,
    });
    assert_near(moments(degrees), (15.0, 1.5), 0.15);
}

/// How often each operation was drawn, by the number that Python has for it.
fn counts(name: &str, drawn: impl Iterator<Item = Operation>) -> HashMap<(&'static str, i64), f64> {
    // timm has factors and shares of the height, torchvision their distance from 1 and pixels.
    let is_timm = matches!(name, "v0" | "original");
    let factor = |factor: f64| if is_timm { factor } else { (factor - 1.0).abs() };
    let mut counts = HashMap::new();
    for operation in drawn {
        let (kind, number) = match operation {
            Operation::AutoContrast => ("AutoContrast", 0.0),
            Operation::Equalize => ("Equalize", 0.0),
            Operation::Invert => ("Invert", 0.0),
            Operation::Posterize(bits) => ("Posterize", f64::from(bits)),
            Operation::Solarize(from) => ("Solarize", f64::from(from)),
            Operation::SolarizeAdd(add) => ("SolarizeAdd", f64::from(add)),
            Operation::Brightness(number) => ("Brightness", factor(number)),
            Operation::Color(number) => ("Color", factor(number)),
            Operation::Contrast(number) => ("Contrast", factor(number)),
            Operation::Sharpness(number) => ("Sharpness", factor(number)),
            Operation::Warp(Warp::Rotate(degrees), _) => ("Rotate", degrees.abs()),
            Operation::Warp(Warp::ShearX(factor), _) => ("ShearX", factor.abs()),
            Operation::Warp(Warp::ShearY(factor), _) => ("ShearY", factor.abs()),
            Operation::Warp(Warp::TranslateX(pixels), _) => ("TranslateX", pixels.abs()),
            Operation::Warp(Warp::TranslateY(pixels), _) if is_timm => ("TranslateY", pixels.abs() / 200.0),
            Operation::Warp(Warp::TranslateY(pixels), _) => ("TranslateY", pixels.abs()),
            _ => panic!("{operation:?}"),
        };
        *counts.entry((kind, (1e6 * number).round() as i64)).or_default() += 1.0;
    }
    counts
}

#[test]
fn policies_draw_the_operations_of_the_libraries_as_often() {
    let (fill, images, width, height) = ([1, 2, 3], 40_000, 100, 200);
    let auto = |policy| AutoAugment { policy };
    let rand =
        RandAugment { magnitude: 7.0, layers: 1, style: Library::Torchvision, ..RandAugment::default() };
    let trivial = TrivialAugment::default();
    type Draw<'a> = Box<dyn FnMut(&mut Stream) -> Vec<Operation> + 'a>;
    let policies: [(&str, Draw); 5] = [
        ("v0", Box::new(|stream| auto(Policy::V0).draw(width, height, fill, stream))),
        ("original", Box::new(|stream| auto(Policy::Original).draw(width, height, fill, stream))),
        ("torchvision", Box::new(|stream| auto(Policy::Torchvision).draw(width, height, fill, stream))),
        ("rand_augment", Box::new(|stream| rand.draw(width, height, fill, stream))),
        ("trivial_augment", Box::new(|stream| trivial.draw(stream).into_iter().collect())),
    ];
    for (name, draw) in policies {
        let counts = counts(name, draws(images, draw).into_iter().flatten());
        let wanted: Vec<(String, f64, f64)> =
            serde_json::from_value(crate::common::golden("policies.json")[name].clone()).unwrap();
        assert_eq!(counts.len(), wanted.len(), "{name}: {counts:?}");
        let squares = wanted.iter().map(|(kind, number, share)| {
            let got = *counts
                .get(&(kind.as_str(), (1e6 * number).round() as i64))
                .unwrap_or_else(|| panic!("{name}: no {kind} {number}"));
            let want = share * images as f64;
            (got - want).powi(2) / want
        });
        // χ² of as many numbers has this mean, and this variance at most; some exceed it once in ten thousand times.
        let (chi, cells) = (squares.sum::<f64>(), wanted.len() as f64);
        assert!(chi < cells + 4.0 * (2.0 * cells).sqrt(), "{name}: χ² of {cells} numbers is {chi}");
    }
}

#[test]
fn aug_mix_draws_what_it_says() {
    let mix = AugMix { magnitude: 5.0, width: 4, depth: None, alpha: 1.0 };
    let all = draws(10_000, |stream| mix.draw(100, 50, [0; 3], stream));
    assert_near(moments(all.iter().map(|(_, share)| f64::from(*share))), (0.5, 1.0 / 12f64.sqrt()), 0.01);
    let chains: Vec<_> = all.iter().flat_map(|(chains, _)| chains).collect();
    assert_eq!(chains.len(), 40_000);
    // One of four weights that sum to 1, evenly spread over all that do.
    assert_near(moments(chains.iter().map(|(weight, _)| f64::from(*weight))), (0.25, 0.1936), 0.01);
    assert_near(
        moments(chains.iter().map(|(_, chain)| chain.len() as f64)),
        (2.0, (2f64 / 3.0).sqrt()),
        0.02,
    );
    let degrees = chains.iter().flat_map(|(_, chain)| chain).filter_map(|operation| match operation {
        Operation::Warp(Warp::Rotate(degrees), _) => Some(degrees.abs()),
        Operation::Invert | Operation::SolarizeAdd(_) => panic!("{operation:?}"),
        _ => None,
    });
    assert_near(moments(degrees), (7.5, 15.0 / 12f64.sqrt()), 0.2);
}

#[test]
fn random_erasing_erases_the_share_it_says() {
    let erasing = RandomErasing { probability: 0.25, ..RandomErasing::default() };
    let all = draws(20_000, |stream| erasing.draw(200, 100, stream));
    let hit: Vec<Rectangle> = all.iter().flatten().copied().collect();
    assert!((4_700..5_300).contains(&hit.len()), "{}", hit.len());
    assert!(hit.iter().all(|part| part.left + part.width <= 200 && part.top + part.height <= 100));
    let shares: Vec<f64> = hit.iter().map(|part| (part.width * part.height) as f64 / 20_000.0).collect();
    assert!(shares.iter().all(|share| (0.018..0.34).contains(share)));
    let many = RandomErasing { probability: 1.0, count: [2, 4], ..RandomErasing::default() };
    let counts = draws(3_000, |stream| many.draw(200, 100, stream).len() as f64);
    assert_near(moments(counts), (3.0, (2f64 / 3.0).sqrt()), 0.05);
}

#[test]
fn mixtures_have_the_shares_that_they_are_drawn_with() {
    let share = |mixture: &Option<Mixture>| mixture.unwrap().share;
    let mixup = Mix { mixup: 0.8, ..Mix::default() };
    let all = draws(20_000, |stream| mixup.draw(32, 32, stream));
    assert!(all.iter().all(|mixture| mixture.unwrap().part.is_none()));
    assert_near(moments(all.iter().map(share)), (0.5, (1f64 / 10.4).sqrt()), 0.01);

    let cutmix = Mix { cutmix: 1.0, ..Mix::default() };
    for mixture in draws(5_000, |stream| cutmix.draw(40, 20, stream)) {
        let Mixture { share, part } = mixture.unwrap();
        let part = part.unwrap();
        assert!(part.left + part.width <= 40 && part.top + part.height <= 20);
        assert!((1.0 - share - (part.width * part.height) as f64 / 800.0).abs() < 1e-12);
    }
    let both = Mix { mixup: 1.0, cutmix: 1.0, probability: 0.5, switch: 0.25, off_epoch: None };
    let all = draws(8_000, |stream| both.draw(32, 32, stream));
    let mixed = all.iter().flatten().count();
    let cut = all.iter().flatten().filter(|mixture| mixture.part.is_some()).count();
    assert!((3_800..4_200).contains(&mixed) && (900..1_100).contains(&cut), "{mixed} {cut}");
}

/// Against the definition, number by number.
#[test]
fn batches_are_mixed_with_themselves_reversed() {
    let images = crate::common::images("mix", &[3, 2, 4, 5]);
    let labels = Tensor::from_slice(&[0i64, 2, 1]);
    let at = |tensor: &Tensor, index: [i64; 4]| tensor.double_value(&index);
    let part = Rectangle { left: 1, top: 2, width: 3, height: 2 };
    for mixture in [Mixture { share: 0.7, part: None }, Mixture { share: 0.7, part: Some(part) }] {
        let (mixed, targets) = mixture.apply(&images, &labels, 4).unwrap();
        for i in 0..3 {
            for (c, y, x) in (0..40).map(|k| (k / 20, k / 5 % 4, k % 5)) {
                let (own, other) = (at(&images, [i, c, y, x]), at(&images, [2 - i, c, y, x]));
                let want = match mixture.part {
                    None => 0.7 * own + 0.3 * other,
                    Some(_) if y >= 2 && (1..4).contains(&x) => other,
                    Some(_) => own,
                };
                assert!((at(&mixed, [i, c, y, x]) - want).abs() < 1e-6);
            }
        }
        let want = [[0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.3, 0.7, 0.0, 0.0]].concat();
        assert_eq!(targets.kind(), Kind::Float);
        for (got, want) in crate::common::values(&targets).iter().zip(want) {
            assert!((got - want).abs() < 1e-6);
        }
        assert_eq!(
            crate::common::values(&images),
            crate::common::values(&crate::common::images("mix", &[3, 2, 4, 5]))
        );
    }
}
