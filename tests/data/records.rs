//! TFRecord of TensorFlow Datasets: what the Python package `tfrecord` has written (tests/goldens/tfrecords.py).

use crate::files::{open, refused, write};
use std::fs;
use std::path::{Path, PathBuf};
use tchvision::data::{self, Fields, FileSplits, Stream};

const TRAIN: &str = "colours-train.tfrecord-00000-of-00002";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tfrecord")
}

#[test]
fn records_have_pictures_labels_and_names() {
    let name = format!("tfrecord:{}", fixture().display());
    let FileSplits { train, test } = open(&name, Path::new("unused")).unwrap();
    assert_eq!(train.classes, ["blue", "green", "red"]);
    assert_eq!((train.len(), test.len(), train.label_counts()), (12, 3, vec![4; 3]));
    // Channels are red, green and blue; class i has its channel i raised.
    for files in [&train, &test] {
        for i in 0..files.len() {
            let picture = files.picture(i).unwrap();
            let sum = |c: usize| picture.pixels.iter().skip(c).step_by(3).map(|&p| u64::from(p)).sum::<u64>();
            assert_eq!((0..3).max_by_key(|&c| sum(c)).unwrap() as i64, files.labels[i], "{}", files.title(i));
        }
    }
    assert!(train.title(0).contains("00000-of-00002: the picture at byte "), "{}", train.title(0));
    let mut order = train.order(1, 2);
    order.sort_unstable();
    assert_eq!(order, (0..12).collect::<Vec<_>>());

    let with = |label: &str| {
        let fields = Fields { label: Some(label.to_owned()), ..Fields::default() };
        data::open_files_with(&name, Path::new("unused"), &fields).map(Option::unwrap)
    };
    let error = format!("{:#}", with("class").err().unwrap());
    assert!(error.contains("no label `class`; there are") && error.contains("file_name"), "{error}");
    assert!(format!("{:#}", with("score").err().unwrap()).contains("is a list of fractions"));
    // Names, which the file of classes does not have.
    assert!(
        format!("{:#}", with("file_name").err().unwrap()).contains("`0-0.png` is not one of the 3 classes")
    );
}

/// A file cut at every place, and with a byte changed at any: refused by its checksums, never read in part.
#[test]
fn damaged_records_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for file in fs::read_dir(fixture().join("colours/1.0.0")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join(file.file_name())).unwrap();
    }
    let name = format!("tfrecord:{}", dir.display());
    let whole = fs::read(dir.join(TRAIN)).unwrap();
    let count = || open(&name, dir).map(|splits| splits.train.len());
    assert_eq!(count(), Ok(12));
    let mut whole_records = 0;
    for cut in 0..whole.len() {
        write(dir.join(TRAIN), &whole[..cut]);
        // Between two records a shorter file is one.
        match count() {
            Ok(left) => {
                assert_eq!(left, 6 + whole_records, "{cut}");
                whole_records += 1;
            }
            Err(error) => assert!(error.contains(TRAIN), "{error}"),
        }
    }
    assert_eq!(whole_records, 6);
    let mut stream = Stream::new(0, "damage", 0, 0);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 + stream.below(255) as u8;
        write(dir.join(TRAIN), &damaged);
        refused(&name, dir, TRAIN);
    }
    write(dir.join(TRAIN), [&u64::MAX.to_le_bytes()[..], &[0; 40]].concat());
    refused(&name, dir, "the checksum of its length is wrong");
    fs::rename(dir.join(TRAIN), dir.join("colours.tfrecord")).unwrap();
    refused(&name, dir, "which split it is of");
    refused("tfrecord:/no/such/folder", dir, "/no/such/folder");
}
