//! Test sets for models of ImageNet-1k, as their owners ship them.

use crate::files::{contents, pairs, write};
use std::path::Path;
use tchvision::data::{self, DataConfig, ImageFiles};

fn test(name: &str, root: &Path) -> Result<ImageFiles, String> {
    data::open_test_files(name, root).map(Option::unwrap).map_err(|error| format!("{error:#}"))
}

fn synsets() -> Vec<String> {
    data::imagenet().iter().find(|known| known.name == "imagenet-1k").unwrap().synsets()
}

/// Folders of synsets, some of them, or of numbers: 10 comes before 2 by name, and is class 10 all the same.
#[test]
fn folders_are_classes_of_imagenet_1k() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let synsets = synsets();
    for class in [2, 10, 999] {
        write(
            root.join(format!("imagenetv2-matched-frequency-format-val/{class}/a.jpeg")),
            class.to_string(),
        );
        write(root.join("imagenet-a").join(&synsets[class]).join("a.jpg"), class.to_string());
        write(root.join("sketch").join(&synsets[class]).join("a.JPEG"), class.to_string());
    }
    write(root.join("imagenet-a/README.txt"), "of no class");
    for (name, is_masked) in [("imagenet-v2", false), ("imagenet-a", true), ("imagenet-sketch", false)] {
        let files = test(name, root).unwrap();
        let mut found = contents(&files);
        found.sort_by_key(|(_, label)| *label);
        assert_eq!(found, pairs(&[("2", 2), ("10", 10), ("999", 999)]), "{name}");
        assert_eq!((&files.classes, files.is_masked, files.name.as_str()), (&synsets, is_masked, name));
    }
    assert!(test("imagenet-a", root).unwrap().left_out().unwrap().name.ends_with("README.txt"));
    assert!(test("imagenet-r", &root.join("imagenet-a/none")).err().unwrap().contains("2006.16241"));
    write(root.join("imagenet-a/n00000000/a.jpg"), "x");
    assert!(test("imagenet-a", root).err().unwrap().contains("`n00000000` is not one of the 1000 classes"));
    let text = format!("{{dataset: imagenet-v2, image_size: 8, root: '{}'}}", root.display());
    let config: DataConfig = serde_yaml::from_str(&text).unwrap();
    let error = config.load(0).err().unwrap().to_string();
    assert!(error.contains("has nothing to train on; give it to `eval --data`"), "{error}");
    // They are looked at like others.
    assert_eq!(data::open_files("imagenet-v2", root).unwrap().unwrap().test.len(), 3);
}

/// `real.json` has a list for each image, by the number in its name, whichever way the images lie.
#[test]
fn real_labels_go_by_the_numbers_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let synsets = synsets();
    // By class, so not in the order of their numbers.
    for (number, class) in [(1, 65), (2, 970), (3, 230), (4, 7)] {
        let name = format!("imagenet-1k/val/{}/ILSVRC2012_val_{number:08}.JPEG", synsets[class]);
        write(root.join(name), number.to_string());
    }
    assert!(test("imagenet-real", root).err().unwrap().contains("reassessed-imagenet"));
    write(root.join("imagenet-1k/real.json"), "[[], [970, 795], [231], [9]]");
    let files = test("imagenet-real", root).unwrap();
    let found: Vec<(String, Vec<i64>)> = contents(&files)
        .into_iter()
        .zip(files.several_labels().unwrap())
        .map(|((text, _), labels)| (text, labels.to_vec()))
        .collect();
    let want = [("4", vec![9]), ("3", vec![231]), ("2", vec![970, 795])];
    assert_eq!(found, want.map(|(text, labels)| (text.to_owned(), labels)));
    assert!(files.left_out().unwrap().name.ends_with("ILSVRC2012_val_00000001.JPEG"));
    for (text, part) in [
        ("[[], [970]]", "has no row in"),
        ("[[1000], [], [], []]", "the label 1000 is none of the 1000 classes"),
        ("{}", "not a list of labels"),
        ("[[], [], [], []]", "no picture has a label"),
    ] {
        write(root.join("imagenet-1k/real.json"), text);
        let error = test("imagenet-real", root).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}
