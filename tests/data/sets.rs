//! Data sets: what the readers take and refuse, augmentation and batches against a plain second way.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use tchvision::data::{
    self, Augment, Batch, DataConfig, Dataset, Draw, Images, Loaded, Loader, LoaderConfig, Pictures,
    Statistics, augment::RandomResizedCrop,
};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Both halves of a set of 6 and 3 pictures of 4×5 pixels.
fn write_idx(folder: &Path) {
    for (split, count) in [("train", 6u32), ("t10k", 3)] {
        let pixels: Vec<u8> = (0..count * 20).map(|i| (i * 7 % 251) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 3) as u8).collect();
        let images = idx(&[count, 4, 5], &pixels);
        fs::write(folder.join(format!("{split}-images-idx3-ubyte.gz")), gz(&images)).unwrap();
        fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), idx(&[count], &labels)).unwrap();
    }
}

fn load(name: &str, root: &Path) -> Result<data::Splits, String> {
    data::load(name, root).map_err(|error| format!("{error:#}"))
}

#[test]
fn idx_files_are_read_plain_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path());
    let name = format!("idx:{}", folder.path().display());
    let splits = load(&name, Path::new("unused")).unwrap();
    let images = &splits.train.images;
    assert_eq!((images.count, images.channels, images.height, images.width), (6, 1, 4, 5));
    assert_eq!(images.pixels[..3], [0, 7, 14]);
    assert_eq!(splits.train.labels, [0, 1, 2, 0, 1, 2]);
    assert_eq!(splits.test.classes, ["0", "1", "2"]);
    assert_eq!(data::shape(&name, Path::new("unused")).unwrap(), ([1, 4, 5], 3));
    let Statistics { mean, std } = images.statistics();
    let values: Vec<f64> = images.pixels.iter().map(|&x| f64::from(x) / 255.0).collect();
    let want = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - want).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((f64::from(mean[0]) - want).abs() < 1e-6 && (f64::from(std[0]) - variance.sqrt()).abs() < 1e-6);
}

/// Every way in which a file can be wrong is an error that names it.
#[test]
fn wrong_idx_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("idx:{}", folder.path().display());
    let images = folder.path().join("train-images-idx3-ubyte.gz");
    let refused = |part: &str| {
        let error = load(&name, Path::new("unused")).unwrap_err();
        assert!(error.contains(part) && error.contains("train-"), "{part:?} is not in {error:?}");
    };
    refused("is missing");
    write_idx(folder.path());
    let whole = fs::read(&images).unwrap();
    for cut in [0, 5, whole.len() / 2, whole.len() - 1] {
        fs::write(&images, &whole[..cut]).unwrap();
        refused("not a valid IDX file");
    }
    let wrong = |file: Vec<u8>, part: &str| {
        fs::write(&images, gz(&file)).unwrap();
        refused(part);
    };
    wrong(idx(&[6, 4, 5], &[0; 119]), "truncated: 119 of 120 bytes");
    wrong(idx(&[6, 4, 5], &[0; 121]), "data after the 120 bytes");
    wrong(idx(&[6, 20], &[0; 120]), "magic number");
    wrong(idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 120]), "out of range");
    wrong(idx(&[0, 4, 5], &[]), "out of range");
    wrong(idx(&[5, 4, 5], &[0; 100]), "6 labels for 5 images");
    // A label that no class has.
    fs::write(&images, &whole).unwrap();
    let fashion = folder.path().join("fashion-mnist");
    fs::create_dir(&fashion).unwrap();
    write_idx(&fashion);
    fs::write(fashion.join("train-labels-idx1-ubyte"), idx(&[6], &[0, 1, 2, 3, 4, 10])).unwrap();
    let error = load("fashion-mnist", folder.path()).unwrap_err();
    assert!(error.contains("label 10"), "{error}");
}

/// CIFAR-10 in miniature: five batches of two pictures, a test batch, the names.
fn cifar_files() -> Vec<(String, Vec<u8>)> {
    let record = |label: u8| std::iter::once(label).chain((0..3072u32).map(move |i| (i % 256) as u8));
    let batch = |i: u8| record(i).chain(record(9 - i)).collect::<Vec<u8>>();
    let mut files: Vec<(String, Vec<u8>)> =
        (1..=5).map(|i| (format!("data_batch_{i}.bin"), batch(i))).collect();
    files.push(("test_batch.bin".into(), batch(0)));
    let names: String = (0..10).map(|i| format!("thing{i}\n")).collect();
    files.push(("batches.meta.txt".into(), names.into_bytes()));
    files
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), bytes.as_slice()).unwrap();
    }
    gz(&builder.into_inner().unwrap())
}

#[test]
fn cifar_is_read_from_archive_and_folder_alike() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cifar10");
    fs::create_dir(&root).unwrap();
    let packed = root.join("cifar-10-binary.tar.gz");
    fs::write(&packed, archive(&cifar_files())).unwrap();
    let from_archive = load("cifar10", folder.path()).unwrap();
    assert_eq!(from_archive.train.labels, [1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
    assert_eq!(
        (from_archive.test.labels.as_slice(), from_archive.test.classes[3].as_str()),
        (&[0, 9][..], "thing3")
    );
    assert_eq!(from_archive.train.images.get(1)[..4], [0, 1, 2, 3]);
    let unpacked = root.join("cifar-10-batches-bin");
    fs::create_dir(&unpacked).unwrap();
    cifar_files().iter().for_each(|(name, bytes)| fs::write(unpacked.join(name), bytes).unwrap());
    fs::remove_file(&packed).unwrap();
    assert_eq!(load("cifar10", folder.path()).unwrap(), from_archive);
}

#[test]
fn wrong_cifar_archives_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cifar10");
    fs::create_dir(&root).unwrap();
    let packed = root.join("cifar-10-binary.tar.gz");
    let refused = |bytes: &[u8], part: &str| {
        fs::write(&packed, bytes).unwrap();
        let error = load("cifar10", folder.path()).unwrap_err();
        assert!(error.contains(part) && error.contains("cifar-10-binary"), "{part:?} is not in {error:?}");
    };
    let whole = archive(&cifar_files());
    refused(&whole[..whole.len() / 2], "not a valid archive");
    refused(b"no archive at all", "not a valid archive");
    let mut files = cifar_files();
    files.remove(2);
    refused(&archive(&files), "`data_batch_3.bin` is missing");
    let mut files = cifar_files();
    files[1].1.truncate(4000);
    refused(&archive(&files), "not a multiple of 3073");
    let mut files = cifar_files();
    files[6].1.truncate(20);
    refused(&archive(&files), "class names, want 10");
    let mut files = cifar_files();
    files[0].1[0] = 200;
    refused(&archive(&files), "label 200");
}

/// Pictures whose every pixel says where it stood.
fn dataset(count: usize, height: usize, width: usize) -> Dataset {
    let pixels = (0..count * 2 * height * width).map(|i| (i % 255 + 1) as u8).collect();
    let images = Images { pixels, count, channels: 2, height, width };
    let labels = (0..count as i64).collect();
    Dataset { name: "test".into(), images, labels, classes: (0..count).map(|i| i.to_string()).collect() }
}

fn batches(config: &LoaderConfig, dataset: &Dataset, epoch: u64, first: usize) -> Vec<(Vec<u8>, Vec<i64>)> {
    let loader = Loader::new(Pictures::Memory(dataset.clone()), config.clone()).unwrap();
    let plain = |batch: anyhow::Result<Batch>| {
        let Batch { images, labels, .. } = batch.unwrap();
        (Vec::try_from(images.flatten(0, -1)).unwrap(), Vec::try_from(labels).unwrap())
    };
    loader.epoch(epoch, first).map(plain).collect()
}

fn config(augment: Vec<Augment>) -> LoaderConfig {
    LoaderConfig {
        batch_size: 4,
        parts: 1,
        shuffle: true,
        draw: Draw::default(),
        augment,
        drop_last: false,
        seed: 3,
        preprocess: None,
        fill: [0; 3],
        workers: None,
        pinned: false,
    }
}

#[test]
fn an_epoch_has_every_picture_once_in_an_order_of_its_own() {
    let dataset = dataset(10, 3, 3);
    let labels = |epoch| {
        batches(&config(Vec::new()), &dataset, epoch, 0).into_iter().flat_map(|b| b.1).collect::<Vec<_>>()
    };
    let (mut first, second) = (labels(0), labels(1));
    assert_eq!(first, labels(0));
    assert_ne!(first, second);
    first.sort_unstable();
    assert_eq!(first, dataset.labels);
    let dropped = LoaderConfig { drop_last: true, ..config(Vec::new()) };
    assert_eq!(batches(&dropped, &dataset, 0, 0).len(), 2);
}

#[test]
fn an_epoch_taken_up_in_the_middle_goes_on_with_the_same_pixels() {
    let dataset = dataset(11, 6, 5);
    let config = config(vec![Augment::PadCrop(2), Augment::Flip]);
    let whole = batches(&config, &dataset, 4, 0);
    assert_eq!(batches(&config, &dataset, 4, 2), whole[2..]);
}

/// Each augmented picture is the original shifted by at most the padding, zeros outside, mirrored or not; and every
/// one of these placements comes about.
#[test]
fn pad_crop_and_flip_place_pictures_as_defined() {
    let (height, width, pad) = (4isize, 5isize, 2isize);
    let dataset = dataset(3, height as usize, width as usize);
    let config = config(vec![Augment::PadCrop(pad as u32), Augment::Flip]);
    let mut seen = std::collections::HashSet::new();
    for epoch in 0..400 {
        for (pixels, labels) in batches(&config, &dataset, epoch, 0) {
            for (out, &label) in pixels.chunks_exact(40).zip(&labels) {
                let original = dataset.images.get(label as usize);
                let placed = |down: isize, right: isize, mirrored: bool| {
                    (0..40isize).all(|i| {
                        let (plane, y, x) = (i / 20, i % 20 / width, i % width);
                        let x = if mirrored { width - 1 - x } else { x };
                        let (y, x) = (y + down, x + right);
                        let inside = (0..height).contains(&y) && (0..width).contains(&x);
                        let want = if inside { original[(plane * 20 + y * width + x) as usize] } else { 0 };
                        out[i as usize] == want
                    })
                };
                let all =
                    (-pad..=pad).flat_map(|d| (-pad..=pad).flat_map(move |r| [(d, r, false), (d, r, true)]));
                let found: Vec<_> = all.filter(|&(d, r, m)| placed(d, r, m)).collect();
                assert_eq!(found.len(), 1, "label {label}: {found:?}");
                seen.extend(found);
            }
        }
    }
    assert_eq!(seen.len(), 50);
}

/// Each picture is a window of PyTorch's `ReflectionPad2d`, mirrored or not; and every window comes about.
#[test]
fn reflect_crop_cuts_from_pytorchs_reflection() {
    let dataset = dataset(3, 4, 5);
    let config = config(vec![Augment::ReflectCrop(2), Augment::Flip]);
    let mut seen = std::collections::HashSet::new();
    for epoch in 0..400 {
        for (pixels, labels) in batches(&config, &dataset, epoch, 0) {
            for (out, &label) in pixels.chunks_exact(40).zip(&labels) {
                let original = Tensor::from_slice(dataset.images.get(label as usize)).view([2, 4, 5]);
                let padded = original.to_kind(Kind::Float).reflection_pad2d([2, 2, 2, 2]);
                let out = Tensor::from_slice(out).view([2, 4, 5]).to_kind(Kind::Float);
                let all = (0..=4).flat_map(|y| (0..=4).flat_map(move |x| [(y, x, false), (y, x, true)]));
                let found: Vec<_> = all
                    .filter(|&(y, x, mirrored)| {
                        let window = padded.narrow(1, y, 4).narrow(2, x, 5);
                        out == if mirrored { window.flip([2]) } else { window }
                    })
                    .collect();
                // The outermost windows are their own mirror images.
                assert!(!found.is_empty(), "label {label}");
                seen.extend(found);
            }
        }
    }
    assert_eq!(seen.len(), 50);
}

/// A quarter of each picture, as PyTorch enlarges it; grey ones go through the path of pictures from files.
#[test]
fn random_resized_crops_of_pictures_in_memory_are_windows_of_them() {
    const SIDE: i64 = 12;
    let count = 8;
    let pixels: Vec<u8> = (0..count * (SIDE * SIDE) as usize).map(|i| (i * i * 31 % 253) as u8).collect();
    let side = SIDE as usize;
    let images = Images { pixels, count, channels: 1, height: side, width: side };
    let labels: Vec<i64> = (0..count as i64).collect();
    let classes = labels.iter().map(i64::to_string).collect();
    let dataset = Dataset { name: "test".into(), images: images.clone(), labels, classes };
    let crop = RandomResizedCrop { scale: [0.25, 0.25], ratio: [1.0, 1.0] };
    let all = Tensor::from_slice(&images.pixels).view([count as i64, 1, SIDE, SIDE]).to_kind(Kind::Float);
    let mut windows = HashSet::new();
    for (pixels, labels) in batches(&config(vec![Augment::RandomResizedCrop(crop)]), &dataset, 0, 0) {
        for (out, label) in pixels.chunks_exact(side * side).zip(labels) {
            let out = Tensor::from_slice(out).view([1, 1, SIDE, SIDE]).to_kind(Kind::Float);
            let picture = all.narrow(0, label, 1);
            let half = SIDE / 2;
            let all = (0..=half).flat_map(|y| (0..=half).map(move |x| (y, x)));
            let found = all.filter(|&(y, x)| {
                let window = picture.narrow(2, y, half).narrow(3, x, half);
                let large = window.upsample_bilinear2d([SIDE, SIDE], false, None, None);
                (large - &out).abs().max().double_value(&[]) <= 1.0
            });
            let found: Vec<(i64, i64)> = found.collect();
            assert_eq!(found.len(), 1, "label {label}");
            windows.extend(found);
        }
    }
    assert!(windows.len() > 3, "{windows:?}");
}

#[test]
fn normalised_pictures_have_the_statistics_taken_out() {
    let dataset = dataset(20, 6, 6);
    let statistics = dataset.images.statistics();
    let loader =
        Loader::new(Pictures::Memory(dataset), LoaderConfig { batch_size: 20, ..config(Vec::new()) })
            .unwrap();
    let images = loader.epoch(0, 0).next().unwrap().unwrap().images;
    let x = data::normalise(&images, &statistics, Device::Cpu).unwrap();
    assert_eq!((x.size(), x.kind()), (vec![20, 2, 6, 6], Kind::Float));
    for channel in 0..2 {
        let x = x.select(1, channel);
        assert!(x.mean(Kind::Float).double_value(&[]).abs() < 1e-5);
        assert!((x.std(false).double_value(&[]) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_subset_is_drawn_by_the_seed_and_the_test_images_stay() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path());
    let yaml = format!("dataset: 'idx:{}'\ntrain: 4\ntest: 2\n", folder.path().display());
    let config: DataConfig = tchvision::yaml::parse(&yaml, "test").unwrap();
    let labels = |seed| {
        let Loaded { train, test, .. } = config.load(seed).unwrap();
        (train.labels().to_vec(), test.labels().to_vec())
    };
    assert_eq!(labels(1), labels(1));
    assert!((2..20).any(|seed| labels(seed).0 != labels(1).0));
    assert!((2..20).all(|seed| labels(seed).1 == labels(1).1));
    let too_many = DataConfig { train: Some(7), ..config };
    let error = format!("{:#}", too_many.load(0).err().unwrap());
    assert!(error.contains("`data.train`: 7 is not between 1 and 6"), "{error}");
}
