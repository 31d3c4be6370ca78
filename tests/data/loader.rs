//! The loader on pictures in files: the same batches for any number of workers, what it takes of each picture, and what
//! it does with those that cannot be read.

use crate::common::generator;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};
use tchvision::data::augment::{
    Augment, ColorJitter, Erasure, Lighting, Places, RandAugment, RandomErasing, RandomResizedCrop,
    ScaleJitter, SquareCrop,
};
use tchvision::data::image::RgbImage;
use tchvision::data::{Batch, DataConfig, Draw, Loaded, Loader, LoaderConfig, Pictures, Statistics};
use tchvision::train::{self, Event, RunConfig};

/// A picture as a PNG.
fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
    bytes
}

/// Where red is the column, green the row, blue the number of the picture.
fn coordinates(width: usize, height: usize, number: usize) -> RgbImage {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, number as u8]));
    RgbImage { width, height, pixels: pixels.collect() }
}

/// 13 pictures to train on and 3 to test on, in two classes.
fn write_folder(dir: &Path) {
    for (half, count) in [("train", 13), ("val", 3)] {
        for i in 0..count {
            let class = dir.join(half).join(["even", "odd"][i % 2]);
            fs::create_dir_all(&class).unwrap();
            let bytes = png(&coordinates(40 + 3 * i, 52 - 2 * i, i));
            fs::write(class.join(format!("{i:02}.png")), bytes).unwrap();
        }
    }
}

fn open(dir: &Path) -> (Pictures, Pictures, LoaderConfig) {
    let yaml = format!("dataset: 'folder:{}'\nimage_size: 24\n", dir.display());
    let config: DataConfig = tchvision::yaml::parse(&yaml, "test").unwrap();
    let Loaded { train, test, statistics, .. } = config.load(0).unwrap();
    let loading = LoaderConfig {
        batch_size: 4,
        parts: 1,
        shuffle: true,
        draw: Draw::default(),
        augment: Vec::new(),
        drop_last: false,
        seed: 7,
        preprocess: config.preprocess(&train, &statistics).unwrap(),
        fill: statistics.color(),
        workers: Some(1),
        pinned: false,
    };
    (train, test, loading)
}

fn train_loader(dir: &Path, change: impl FnOnce(&mut LoaderConfig)) -> Loader {
    let (train, _, mut config) = open(dir);
    change(&mut config);
    Loader::new(train, config).unwrap()
}

fn pixels(images: &Tensor) -> Vec<u8> {
    Vec::try_from(images.contiguous().flatten(0, -1)).unwrap()
}

fn everything() -> Vec<Augment> {
    vec![
        Augment::RandomResizedCrop(RandomResizedCrop::default()),
        Augment::Flip,
        Augment::RandAugment(RandAugment { probability: 0.9, magnitude_std: 0.5, ..RandAugment::default() }),
        Augment::ColorJitter(ColorJitter {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
            ..ColorJitter::default()
        }),
        Augment::Lighting(Lighting::default()),
        Augment::RandomErasing(RandomErasing { count: [1, 3], ..RandomErasing::default() }),
    ]
}

#[test]
fn batches_are_the_same_for_any_number_of_workers_and_from_any_batch_on() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let batches = |workers: usize, epoch: u64, first: usize| -> Vec<_> {
        let loader = train_loader(folder.path(), |config| {
            config.augment = everything();
            config.workers = Some(workers);
        });
        let plain = |batch: Batch| {
            (pixels(&batch.images), Vec::<i64>::try_from(batch.labels).unwrap(), batch.effects)
        };
        loader.epoch(epoch, first).map(|batch| plain(batch.unwrap())).collect()
    };
    let one = batches(1, 3, 0);
    assert_eq!(one.iter().map(|batch| batch.1.len()).collect::<Vec<_>>(), [4, 4, 4, 1]);
    assert_eq!(one.iter().map(|batch| batch.0.len()).sum::<usize>(), 13 * 24 * 24 * 3);
    assert!(one == batches(3, 3, 0) && one[2..] == batches(2, 3, 2)[..]);
    assert!(one != batches(1, 4, 0));
}

/// What evaluation takes is what [`tchvision::data::Preprocess`] makes of the decoded picture.
/// Shards are mixed anew in every epoch, and an epoch that is taken up in the middle goes on as it would have.
#[test]
fn repeated_pictures_are_augmented_each_in_its_own_way() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let loader = train_loader(folder.path(), |config| {
        config.draw.repeats = 3;
        config.augment = vec![Augment::RandomResizedCrop(RandomResizedCrop::default())];
    });
    let batches: Vec<Batch> = loader.epoch(2, 0).collect::<Result<_, _>>().unwrap();
    let places: Vec<usize> = batches.iter().flat_map(|batch| batch.places.clone()).collect();
    assert_eq!(places.len(), 13);
    assert!(places.chunks(3).all(|chunk| chunk.iter().all(|place| *place == chunk[0])), "{places:?}");
    assert_eq!(loader.places(2, 0).concat(), places);
    let images: Vec<Vec<u8>> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.images.size()[0]).map(|i| pixels(&batch.images.get(i))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(images.iter().collect::<HashSet<_>>().len(), 13);
    let again = loader.epoch(2, 2).next().unwrap().unwrap();
    assert_eq!(pixels(&again.images), pixels(&batches[2].images));
}

#[test]
fn an_epoch_of_shards_goes_on_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    for (half, shards) in [("train", 20), ("val", 1)] {
        for shard in 0..shards {
            let mut builder = tar::Builder::new(Vec::new());
            for i in 0..3 {
                let picture = png(&coordinates(30 + shard, 28 + i, 3 * shard + i));
                for (name, bytes) in [(format!("{i}.png"), picture.as_slice()), (format!("{i}.cls"), b"0")] {
                    let mut header = tar::Header::new_gnu();
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, name, bytes).unwrap();
                }
            }
            fs::create_dir_all(folder.path().join(half)).unwrap();
            fs::write(folder.path().join(format!("{half}/{shard:02}.tar")), builder.into_inner().unwrap())
                .unwrap();
        }
    }
    let yaml = format!("dataset: 'webdataset:{}'\nimage_size: 24\n", folder.path().display());
    let data: DataConfig = tchvision::yaml::parse(&yaml, "test").unwrap();
    let loader = |workers: usize| {
        let Loaded { train, statistics, .. } = data.load(0).unwrap();
        let config = LoaderConfig {
            batch_size: 8,
            parts: 1,
            shuffle: true,
            draw: Draw::default(),
            augment: everything(),
            drop_last: false,
            seed: 7,
            preprocess: data.preprocess(&train, &statistics).unwrap(),
            fill: statistics.color(),
            workers: Some(workers),
            pinned: false,
        };
        Loader::new(train, config).unwrap()
    };
    let epoch = |workers: usize, epoch: u64, first: usize| -> Vec<Vec<u8>> {
        loader(workers).epoch(epoch, first).map(|batch| pixels(&batch.unwrap().images)).collect()
    };
    let whole = epoch(1, 2, 0);
    assert_eq!(whole.len(), 8);
    assert!(whole[5..] == epoch(2, 2, 5)[..]);
    assert!(whole != epoch(1, 3, 0));
}

#[test]
fn test_pictures_are_the_crop_of_evaluation_in_the_order_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let (_, test, config) = open(folder.path());
    let preprocess = config.preprocess.clone().unwrap();
    assert_eq!((preprocess.resize, preprocess.input), (27, [3, 24, 24]));
    let loader = Loader::new(test, LoaderConfig { shuffle: false, ..config }).unwrap();
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();
    assert_eq!(Vec::<i64>::try_from(&batch.labels).unwrap(), [0, 0, 1]);
    assert_eq!(batch.images.size(), [3, 3, 24, 24]);
    for (i, number) in [0, 2, 1].into_iter().enumerate() {
        let want = preprocess.crop(&coordinates(40 + 3 * number, 52 - 2 * number, number)).unwrap();
        let got = batch.images.get(i as i64).permute([1, 2, 0]);
        assert_eq!(pixels(&got), want.pixels);
    }
}

/// Left and top edge of the crops of 24² that 600 epochs take of a picture of this size, and whether they are flipped:
/// each pixel tells where it came from.
fn places(width: usize, height: usize, crop: Augment) -> HashSet<(u8, u8, bool)> {
    let folder = tempfile::tempdir().unwrap();
    for half in ["train", "val"] {
        fs::create_dir_all(folder.path().join(half).join("a")).unwrap();
        fs::write(folder.path().join(half).join("a/1.png"), png(&coordinates(width, height, 0))).unwrap();
    }
    let loader = train_loader(folder.path(), |config| config.augment = vec![crop, Augment::Flip]);
    let place = |epoch| {
        let image = pixels(&loader.epoch(epoch, 0).next().unwrap().unwrap().images);
        let (left, right, top) = (image[0], image[23], image[24 * 24]);
        assert_eq!(left.abs_diff(right), 23);
        assert_eq!(image[24 * 24 + 23 * 24], top + 23);
        (left.min(right), top, left > right)
    };
    (0..600).map(place).collect()
}

#[test]
fn scale_jitter_takes_a_square_from_anywhere() {
    let seen = places(40, 30, Augment::ScaleJitter(ScaleJitter { min: 30, max: 30 }));
    let (columns, rows) = (0..=16, 0..=6);
    assert!(seen.iter().all(|(left, top, _)| columns.contains(left) && rows.contains(top)));
    assert!(seen.len() > 200, "{} of 238 places", seen.len());
}

/// Of 40×30 pixels AlexNet keeps the columns 5 to 34, in which 7 × 7 places are.
#[test]
fn a_square_crop_stays_in_the_central_square() {
    let both = |places: &[(u8, u8)]| -> HashSet<_> {
        places.iter().flat_map(|&(left, top)| [(left, top, false), (left, top, true)]).collect()
    };
    let crop = |from| Augment::SquareCrop(SquareCrop { resize: 30, from });
    let all: Vec<_> = (5..=11).flat_map(|left| (0..=6).map(move |top| (left, top))).collect();
    let seen = places(40, 30, crop(Places::Anywhere));
    assert!(seen.is_subset(&both(&all)) && seen.len() > 90, "{} of 98 places", seen.len());
    let upright: Vec<_> = all.iter().map(|&(left, top)| (top, left)).collect();
    assert!(places(30, 40, crop(Places::Anywhere)).is_subset(&both(&upright)));
    assert_eq!(places(40, 30, crop(Places::Five)), both(&[(5, 0), (11, 0), (5, 6), (11, 6), (8, 3)]));
}

#[test]
fn pictures_that_cannot_be_read_are_skipped_named_once_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let damaged = folder.path().join("train/odd/05.png");
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("train/even/08.png"), "").unwrap();
    let loader = train_loader(folder.path(), |config| config.workers = Some(2));
    let mut names = Vec::new();
    for epoch in 0..3 {
        let mut count = 0;
        for batch in loader.epoch(epoch, 0) {
            let batch = batch.unwrap();
            let size = batch.labels.size()[0];
            assert_eq!((batch.images.size()[0], batch.effects.len() as i64), (size, size));
            // Blue is the picture's number, odd ones are of class 1.
            let (numbers, labels) = (batch.images.select(1, 2).amax([1, 2], false), batch.labels);
            assert!(numbers.to_kind(Kind::Int64).remainder(2) == labels);
            count += size;
            names.extend(batch.skipped.into_iter().map(|skipped| skipped.name));
        }
        assert_eq!(count, 11);
    }
    names.sort();
    assert_eq!(names.len(), 2);
    assert!(names[0].ends_with("even/08.png") && names[1].ends_with("odd/05.png"));
    assert_eq!(loader.skipped().len(), 2);
    // Another process goes on: it counts them and does not name them again.
    let later = train_loader(folder.path(), |_| {});
    later.know_skipped(&loader.skipped());
    assert!(later.epoch(3, 0).all(|batch| batch.unwrap().skipped.is_empty()));
    assert_eq!(later.skipped(), loader.skipped());

    // Where a whole batch cannot be read, something else is wrong.
    for class in ["even", "odd"] {
        for entry in fs::read_dir(folder.path().join("train").join(class)).unwrap() {
            fs::write(entry.unwrap().path(), "no picture").unwrap();
        }
    }
    let batches: Vec<_> = train_loader(folder.path(), |config| config.batch_size = 8).epoch(0, 0).collect();
    let error = format!("{:#}", batches[0].as_ref().err().unwrap());
    assert!(batches.len() == 1 && error.contains("none of the 8 images in its batch"), "{error}");
    assert!(error.contains("train/") && error.contains("neither JPEG"), "{error}");
}

#[test]
fn effects_come_after_normalisation() {
    let _turn = generator();
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let statistics = Statistics { mean: vec![0.5, 0.4, 0.3], std: vec![0.2, 0.25, 0.5] };
    let erasing = RandomErasing { probability: 1.0, mode: Erasure::Pixel, ..RandomErasing::default() };
    let first = |augment: Vec<Augment>| {
        let batch = train_loader(folder.path(), |config| config.augment = augment).epoch(0, 0).next();
        let batch = batch.unwrap().unwrap();
        tch::manual_seed(1);
        let input = batch.input(&statistics, Device::Cpu).unwrap();
        (input, batch.effects)
    };
    let (plain, none) = first(Vec::new());
    assert!(none.iter().all(|effects| effects.light.is_none() && effects.erased.is_empty()));
    let (lit, effects) = first(vec![Augment::Lighting(Lighting::default())]);
    for (i, effects) in effects.iter().enumerate() {
        let light = effects.light.unwrap();
        for (channel, (light, std)) in (0..).zip(light.iter().zip(&statistics.std)) {
            let change = (&lit - &plain).get(i as i64).get(channel);
            assert!((change - f64::from(light / std)).abs().max().double_value(&[]) < 1e-5);
        }
    }
    let (erased, effects) = first(vec![Augment::RandomErasing(erasing)]);
    for (i, effects) in effects.iter().enumerate() {
        let (part, _) = effects.erased[0];
        let changed = erased.get(i as i64).ne_tensor(&plain.get(i as i64)).sum(Kind::Int64).int64_value(&[]);
        assert_eq!(changed, 3 * (part.width * part.height) as i64);
    }
    let black = RandomErasing { probability: 1.0, ..RandomErasing::default() };
    let (erased, effects) = first(vec![Augment::RandomErasing(black)]);
    let zeros = erased.eq(0.0).sum(Kind::Int64).int64_value(&[]);
    let want: usize =
        effects.iter().map(|effects| 3 * effects.erased[0].0.width * effects.erased[0].0.height).sum();
    assert_eq!(zeros, want as i64);
}

#[test]
fn impossible_augmentation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let refused = |augment: Vec<Augment>, part: &str| {
        let (train, _, config) = open(folder.path());
        let error = format!("{:#}", Loader::new(train, LoaderConfig { augment, ..config }).err().unwrap());
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    };
    let crop = || Augment::RandomResizedCrop(RandomResizedCrop::default());
    refused(
        vec![Augment::PadCrop(4)],
        "`data.augment[0]`: `pad_crop` is for images of one size; for these write `random_resized_crop`",
    );
    refused(vec![Augment::Flip, crop()], "`data.augment[1]`: `random_resized_crop` must come first");
    refused(
        vec![Augment::ScaleJitter(ScaleJitter { min: 20, max: 30 })],
        "`min` 20, which is below the image size 24",
    );
    refused(
        vec![Augment::SquareCrop(SquareCrop { resize: 23, ..SquareCrop::default() })],
        "`resize` 23, which is below the image size 24",
    );
    let upside_down = RandomResizedCrop { scale: [0.5, 0.1], ..RandomResizedCrop::default() };
    refused(
        vec![Augment::RandomResizedCrop(upside_down)],
        "`data.augment[0].random_resized_crop.scale`: [0.5, 0.1] is not a smaller and a larger number",
    );
    let yaml = "dataset: 'folder:X'\naugment: [{random_resized_crop: {scale: [0.35, 1]}}, flip, {color_jitter: {hue: 0.1}}]\nmix: {mixup: 0.2}\n";
    let config: DataConfig = tchvision::yaml::parse(yaml, "test").unwrap();
    assert_eq!(config.augment.len(), 3);
    assert_eq!(
        config,
        tchvision::yaml::parse(&tchvision::yaml::to_string(&config).unwrap(), "again").unwrap()
    );
}

/// AlexNet's: the mean of the crops of evaluation, pixel by pixel, taken out of every picture.
#[test]
fn the_mean_image_is_that_of_the_training_pictures() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let loader = train_loader(folder.path(), |config| config.augment = everything());
    let mean = loader.mean_image().unwrap();
    let (_, _, config) = open(folder.path());
    let preprocess = config.preprocess.unwrap();
    let crops = (0..13).map(|i| preprocess.crop(&coordinates(40 + 3 * i, 52 - 2 * i, i)).unwrap());
    let mut want = vec![0.0; 3 * 24 * 24];
    for crop in crops {
        for (i, &value) in crop.pixels.iter().enumerate() {
            want[i % 3 * 576 + i / 3] += f64::from(value) / 255.0 / 13.0;
        }
    }
    assert!(mean.iter().zip(&want).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-6));
    let plain = train_loader(folder.path(), |config| config.batch_size = 13);
    let statistics = Statistics { mean, std: vec![0.2, 0.25, 0.5] };
    let input = plain.epoch(0, 0).next().unwrap().unwrap().input(&statistics, Device::Cpu).unwrap();
    assert!(input.mean_dim(0, false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
    assert!(input.get(0).abs().max().double_value(&[]) > 0.1);
}

#[test]
fn lighting_learns_the_colours_of_the_training_pictures() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let (_, _, config) = open(folder.path());
    let preprocess = config.preprocess.unwrap();
    let mut colors = Vec::new();
    for i in 0..13 {
        let crop = preprocess.crop(&coordinates(40 + 3 * i, 52 - 2 * i, i)).unwrap();
        colors.extend(crop.pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]].map(|v| f64::from(v) / 255.0)));
    }
    let mean = |of: &dyn Fn(&[f64; 3]) -> f64| colors.iter().map(of).sum::<f64>() / colors.len() as f64;
    let covariance = |i: usize, j: usize| mean(&|c| c[i] * c[j]) - mean(&|c| c[i]) * mean(&|c| c[j]);
    let mut lighting = Lighting { std: 5.0, ..Lighting::default() };
    lighting.set_components(std::array::from_fn(|i| std::array::from_fn(|j| covariance(i, j))));
    let light = |lighting: Lighting, learn: bool| -> Vec<f32> {
        let mut loader =
            train_loader(folder.path(), |config| config.augment = vec![Augment::Lighting(lighting)]);
        if learn {
            loader.learn_lighting().unwrap();
        }
        loader
            .epoch(0, 0)
            .flat_map(|batch| batch.unwrap().effects)
            .flat_map(|effects| effects.light.unwrap())
            .collect()
    };
    let want = light(lighting, false);
    let got = light(Lighting { std: 5.0, training_set: true, ..Lighting::default() }, true);
    assert!(want.len() == 39 && want.iter().any(|light| light.abs() > 0.01), "{want:?}");
    assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-5), "{got:?} {want:?}");
}

/// From a folder of pictures to a result: everything a run needs comes from its YAML.
#[test]
fn a_run_trains_on_a_folder_and_says_what_it_could_not_read() {
    let _turn = generator();
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    fs::write(folder.path().join("train/even/06.png"), "no picture").unwrap();
    fs::write(folder.path().join("val/odd/01.png"), "no picture").unwrap();
    let yaml = format!(
        "model: {{name: paper/resnet20, num_classes: 2}}
data:
  dataset: 'folder:{}'
  image_size: 16
  augment: [random_resized_crop: {{scale: [0.35, 1.0]}}, flip, rand_augment: {{magnitude: 5}}, random_erasing: {{}}]
  mix: {{mixup: 0.2, cutmix: 1.0}}
  mean_image: true
train: {{epochs: 2, batch_size: 4}}
threads: 1
",
        folder.path().display()
    );
    let config: RunConfig = tchvision::yaml::parse(&yaml, "test").unwrap();
    assert_eq!(config.data.shape().unwrap(), ([3, 16, 16], 2));
    let run = |name: &str| {
        let (mut skipped, mut means) = (Vec::new(), 0);
        let mut observe = |event| match event {
            Event::Skipped(picture) => skipped.push(picture.name),
            Event::Preparing(what) if what.contains("mean") => means += 1,
            _ => {}
        };
        let stop = AtomicBool::new(false);
        let result = train::run(&config, &folder.path().join(name), &stop, &mut observe).unwrap();
        skipped.sort();
        (result, skipped, means)
    };
    let (one, skipped, means) = run("one");
    assert_eq!((one.steps, one.skipped, skipped.len(), means), (6, 2, 2, 1));
    assert!(skipped[0].ends_with("train/even/06.png") && skipped[1].ends_with("val/odd/01.png"));
    // A run that is taken up again knows what its first half could not read: here nothing was left to be read again.
    // Its mean image is that of the checkpoint.
    fs::remove_file(folder.path().join("one").join("result.json")).unwrap();
    let (again, named, means) = run("one");
    assert_eq!((again.skipped, named.len(), means), (2, 0, 0));
    let (two, ..) = run("two");
    assert_eq!((one.loss.to_bits(), one.top1), (two.loss.to_bits(), two.top1));
}

/// Batch norm learns nothing from one value a channel: a picture that is all of its batch that can be read is learned from
/// in the next batch, also in an epoch that is taken up there.
#[test]
fn a_lone_picture_of_a_batch_joins_the_next() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let loader = train_loader(folder.path(), |config| {
        (config.batch_size, config.drop_last) = (2, true);
    });
    let files = match loader.pictures() {
        Pictures::Files(files) => files.clone(),
        Pictures::Memory(_) => unreachable!("a folder"),
    };
    let order = files.order(7, 3);
    fs::write(files.title(order[1]), "damaged").unwrap();
    let sizes = |first: usize| -> Vec<i64> {
        loader.epoch(3, first).map(|batch| batch.unwrap().labels.size()[0]).collect()
    };
    let all = sizes(0);
    assert_eq!(all[..2], [0, 3]);
    assert!(all[2..].iter().all(|&size| size == 2), "{all:?}");
    assert_eq!(sizes(1), all[1..]);
    let whole: Vec<_> = loader.epoch(3, 0).skip(1).map(|batch| pixels(&batch.unwrap().images)).collect();
    let taken_up: Vec<_> = loader.epoch(3, 1).map(|batch| pixels(&batch.unwrap().images)).collect();
    assert!(whole == taken_up);
}

/// A step of several batches: a lone picture waits for the batch at the same place of the next step, so that none depends on
/// what becomes of the others.
#[test]
fn a_lone_picture_of_a_part_joins_the_same_part_of_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let loader = train_loader(folder.path(), |config| {
        (config.batch_size, config.parts, config.drop_last) = (2, 2, true);
    });
    let files = match loader.pictures() {
        Pictures::Files(files) => files.clone(),
        Pictures::Memory(_) => unreachable!("a folder"),
    };
    fs::write(files.title(files.order(7, 3)[1]), "damaged").unwrap();
    // 13 pictures make 3 steps of 2 × 2.
    let places = |first: usize| -> Vec<Vec<usize>> {
        loader.epoch(3, first).map(|batch| batch.unwrap().places).collect()
    };
    let all = places(0);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 3, 2, 2, 2]);
    assert_eq!(all[2][0], files.order(7, 3)[0]);
    assert!(places(2) == all[2..] && places(4) == all[4..]);
}

/// Processes that share the batches of steps of six: each has its own of every step, one after the other, and reads no others.
#[test]
fn batches_are_dealt() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let loader = train_loader(folder.path(), |config| {
        (config.batch_size, config.parts, config.drop_last) = (1, 6, true);
    });
    let whole = loader.places(3, 0);
    assert_eq!(whole.len(), 12);
    for (world, first) in [(1, 0), (2, 0), (3, 6), (6, 0)] {
        let own = 6 / world;
        for rank in 0..world {
            let dealt = loader.dealt(rank, world);
            let wanted: Vec<_> =
                whole[first..].chunks(6).flat_map(|step| &step[rank * own..][..own]).cloned().collect();
            assert_eq!(dealt.places(3, first), wanted, "rank {rank} of {world}");
            let made: Vec<_> = dealt.epoch(3, first).map(|batch| batch.unwrap().places).collect();
            assert_eq!(made, wanted, "rank {rank} of {world}");
        }
    }
    // A test has no steps: its batches go around.
    let around: Vec<_> = (0..4).map(|rank| loader.dealt(rank, 4).places(3, 0)).collect();
    assert!((0..12).all(|batch| around[batch % 4][batch / 4] == whole[batch]));
}
