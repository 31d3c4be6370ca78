//! A classifier for pictures of every kind, from every thread.

use crate::common::{fill, images, values};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use tchvision::data::image::{self, RgbImage};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{self, Archive, Classes};
use tchvision::{Classifier, ErrorKind};

fn is<T: Send + Sync>() {}

/// Weights of a small network, with its store.
fn weights_of(name: &str, folder: &Path) -> (PathBuf, Store) {
    let store = Store::uninitialised(Device::Cpu);
    ModelSpec::new(name).resolve().unwrap().build(&store).unwrap();
    fill(&store);
    let path = folder.join("weights.safetensors");
    weights::save(&path, &store.state_dict(), HashMap::new()).unwrap();
    (path, store)
}

fn picture(seed: u8) -> RgbImage {
    let pixels = (0..40 * 36 * 3).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed);
    RgbImage::new(36, 40, pixels.collect()).unwrap()
}

#[test]
fn a_classifier_is_for_all_threads_and_pictures() {
    is::<Classifier>();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = weights_of("paper/resnet20", folder.path());
    let open = || Classifier::builder("paper/resnet20").file(&path).open(&mut |_, _, _| {}).unwrap();
    let classifier = open();
    let pictures: Vec<RgbImage> = (0..4).map(picture).collect();
    // The model itself, without the classifier.
    let input = classifier
        .input()
        .of_views(
            &pictures.iter().map(|p| classifier.preprocess().crop(p).unwrap()).collect::<Vec<_>>(),
            Device::Cpu,
        )
        .unwrap();
    let logits = tch::no_grad(|| classifier.model().forward(&input, false)).unwrap();
    let outputs = classifier.outputs(&pictures).unwrap();
    assert_eq!(outputs.logits, logits);
    assert_eq!(outputs.pooled.size(), [4, 64]);
    assert_eq!(classifier.embed(&pictures).unwrap(), outputs.pooled);
    let stages = classifier.stages(&pictures).unwrap();
    let last = &stages.last().unwrap().1;
    let pooled = last.mean_dim([2, 3].as_slice(), false, None::<Kind>);
    assert!((pooled - &outputs.pooled).abs().max().double_value(&[]) < 1e-5);
    let top = classifier.top(&pictures, 3).unwrap();
    assert_eq!((top.len(), top[0].len()), (4, 3));
    let best: Vec<i64> = Vec::try_from(&logits.argmax(1, false)).unwrap();
    assert!(top.iter().zip(best).all(|(top, best)| top[0].class == best as usize));
    assert!(top[0][0].probability >= top[0][1].probability);
    // Warm, in four threads, one picture or more at a time, with and without the floats.
    for drop_floats in [false, true] {
        let warm = open();
        warm.warm(&[1, 2, 4], drop_floats).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (warm, pictures, top) = (&warm, &pictures, &top);
                scope.spawn(move || {
                    for size in [1, 2, 4, 2, 1] {
                        let at = if size == 4 { 0 } else { thread % (4 - size + 1) };
                        for (got, want) in
                            warm.top(&pictures[at..at + size], 1).unwrap().iter().zip(&top[at..])
                        {
                            assert_eq!(got[0].class, want[0].class);
                            assert!((got[0].probability - want[0].probability).abs() < 1e-4);
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn files_bytes_and_pixels_are_the_same_picture() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = weights_of("paper/resnet20", folder.path());
    let classifier = Classifier::builder("paper/resnet20").file(&path).open(&mut |_, _, _| {}).unwrap();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images");
    let file =
        file.read_dir().unwrap().map(|file| file.unwrap().path()).find(|path| image::read(path).is_ok());
    let file = file.unwrap();
    let (bytes, pixels) = (std::fs::read(&file).unwrap(), image::read(&file).unwrap());
    let of_file = classifier.outputs([file.as_path()]).unwrap().logits;
    assert_eq!(classifier.outputs([&bytes]).unwrap().logits, of_file);
    assert_eq!(classifier.outputs([&pixels]).unwrap().logits, of_file);
    let error = classifier.outputs([&b"nothing".to_vec()]).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Image, "{error:#}");
}

#[test]
fn weights_in_memory_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, store) = weights_of("paper/resnet20", folder.path());
    let archive = Archive::from_bytes("resnet20", &std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let file = archive.choose(None).unwrap();
    // Other classes: the head alone is fresh, and all else is the file's.
    let mut spec = ModelSpec::new("paper/resnet20");
    spec.set("num_classes", "7").unwrap();
    let loaded = weights::pretrained(&spec, &file, Classes::New, Device::Cpu).unwrap();
    assert_eq!(loaded.fresh.len(), 2, "{:?}", loaded.fresh);
    let of: HashMap<String, Tensor> = store.state_dict().into_iter().collect();
    for (name, tensor) in loaded.store.state_dict() {
        if loaded.fresh.contains(&name) {
            let largest = values(&tensor).iter().fold(0.0, |max: f64, value| max.max(value.abs()));
            assert!(largest > 0.0 && largest <= 0.125 + 1e-6, "{name}: {largest}, PyTorch draws up to 1/√64");
        } else {
            assert_eq!(tensor, of[&name], "{name}");
        }
    }
    let x = images("x", &[2, 3, 32, 32]);
    assert_eq!(loaded.model.forward(&x, false).unwrap().size(), [2, 7]);
}

/// Of every format: as many pixels as there are may be decoded, one less may not.
#[test]
fn sizes_are_known_before_pixels_are_decoded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images");
    let mut formats = Vec::new();
    for file in folder.read_dir().unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let Ok(whole) = image::decode(&bytes) else { continue };
        let pixels = (whole.width * whole.height) as u64;
        assert_eq!(image::decode_within(&bytes, pixels).unwrap(), whole);
        let error = image::decode_within(&bytes, pixels - 1).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Image);
        assert!(format!("{error:#}").contains("more than"), "{error:#}");
        formats.push(image::ImageFormat::of(&bytes).unwrap().name());
    }
    formats.sort_unstable();
    formats.dedup();
    assert!(formats.len() >= 6, "{formats:?}");
}

#[test]
fn a_short_buffer_is_no_image() {
    assert!(RgbImage::new(2, 2, vec![0; 12]).is_ok());
    for (width, height, bytes) in [(2, 2, 11), (2, 2, 13), (0, 2, 0), (usize::MAX, 2, 12)] {
        assert!(RgbImage::new(width, height, vec![0; bytes]).is_err(), "{width}×{height}");
    }
}
