//! WebDataset beyond its plain form: braces, info files, other fields and labels, samples without a label.

use crate::files::{contents, open, pairs, refused, tar, write};
use std::fs;
use std::path::Path;
use tchvision::data::{self, DataConfig, Fields, FileSplits};

fn fields(picture: Option<&str>, label: Option<&str>, classes: Option<&Path>) -> Fields {
    Fields {
        picture: picture.map(str::to_owned),
        label: label.map(str::to_owned),
        classes: classes.map(Path::to_owned),
    }
}

fn open_with(name: &str, fields: &Fields) -> Result<FileSplits, String> {
    let opened = data::open_files_with(name, Path::new("unused"), fields);
    opened.map(|splits| splits.expect("a data set of files")).map_err(|error| format!("{error:#}"))
}

/// Shards of one sample each, whose picture is the shard's number and label its last digit.
fn one_each(dir: &Path, split: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let (picture, label) = (number.to_string(), (number % 10).to_string());
        let entries = [("a.jpg", picture.as_bytes()), ("a.cls", label.as_bytes())];
        write(dir.join(format!("{split}-{number:04}.tar")), tar(&entries));
    }
}

#[test]
fn names_with_braces_stand_for_shards() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    one_each(dir, "in1k-train", 0..12);
    one_each(dir, "in1k-validation", 0..2);
    let at = dir.display();
    let FileSplits { train, test } =
        open(&format!("webdataset:{at}/in1k-train-{{0008..0011}}.tar::{at}/in1k-validation-0001.tar"), dir)
            .unwrap();
    assert_eq!(contents(&train), pairs(&[("8", 8), ("9", 9), ("10", 0), ("11", 1)]));
    assert_eq!((contents(&test), test.classes.len()), (pairs(&[("1", 1)]), 10));
    let both = open(&format!("webdataset:{at}/in1k-{{train,validation}}-{{0000..0001}}.tar"), dir).unwrap();
    assert_eq!((both.train.len(), both.test.len()), (2, 2));
    // Names that say no split are all to train on; then a part of them is kept to test on.
    one_each(dir, "pack", 0..10);
    let name = format!("webdataset:{at}/pack-{{0000..0009}}.tar");
    let splits = open(&name, dir).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (10, 0));
    let config = |rest: &str| -> DataConfig {
        serde_yaml::from_str(&format!("{{dataset: '{name}', image_size: 8{rest}}}")).unwrap()
    };
    let error = config("").load(0).err().unwrap().to_string();
    assert!(error.contains("data.validation") && error.contains("no half to test on"), "{error}");

    refused(&format!("webdataset:{at}/in1k-train-{{0000..0099}}.tar"), dir, "in1k-train-0012.tar");
    refused(&format!("webdataset:{at}/{{pack,in1k-train}}-0000.tar"), dir, "as others do");
    refused(&format!("webdataset:{at}/pack-{{0..9.tar"), dir, "a `{` without its `}`");
}

#[test]
fn what_has_no_half_to_test_on_is_tested_on_what_is_kept_for_validation() {
    let folder = tempfile::tempdir().unwrap();
    let png = fs::read("tests/goldens/images/rgb.png").or_else(|_| {
        let any = fs::read_dir("tests/goldens/images").unwrap().map(|file| file.unwrap().path());
        fs::read(any.filter(|path| path.extension().is_some_and(|end| end == "png")).min().unwrap())
    });
    let png = png.unwrap();
    let names: Vec<[String; 2]> = (0..20).map(|i| [format!("{i}.png"), format!("{i}.cls")]).collect();
    let entries: Vec<(&str, &[u8])> = names
        .iter()
        .flat_map(|[png_name, cls]| [(png_name.as_str(), &png[..]), (cls.as_str(), b"1")])
        .collect();
    write(folder.path().join("train/0.tar"), tar(&entries));
    let text =
        format!("{{dataset: 'webdataset:{}', image_size: 8, validation: 0.25}}", folder.path().display());
    let config: DataConfig = serde_yaml::from_str(&text).unwrap();
    let loaded = config.load(1).unwrap();
    assert_eq!((loaded.train.len(), loaded.test.len(), loaded.validation.is_none()), (15, 5, true));
}

/// As timm's `wds` reader takes them: `filenames`, `shard_lengths`, `alt_label` whose -1 is no label.
#[test]
fn an_info_file_names_the_shards_of_each_split() {
    for file in ["_info.json", "info.json"] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let sample = |label: i64| format!("{{\"label\": 5, \"label_12k\": {label}}}");
        let jsons: Vec<String> = [3, -1, 0].into_iter().map(sample).collect();
        let entries: Vec<(&str, &[u8])> = vec![
            ("a.jpg", b"a"),
            ("a.json", jsons[0].as_bytes()),
            ("b.jpg", b"b"),
            ("b.json", jsons[1].as_bytes()),
            ("c.jpg", b"c"),
            ("c.json", jsons[2].as_bytes()),
        ];
        write(dir.join("x-0.tar"), tar(&entries));
        one_each(dir, "y", 0..2);
        one_each(dir, "not-listed-train", 0..1);
        let info = |lengths: &str| {
            format!(
                r#"{{"splits": {{
                "train": {{"name": "train", "filenames": ["x-0.tar"], "shard_lengths": {lengths}, "num_samples": 3,
                           "alt_label": "label_12k"}},
                "validation": {{"name": "validation", "filenames": ["y-0000.tar", "y-0001.tar"], "num_samples": 2,
                                "shard_lengths": [1, 1]}}}}}}"#
            )
        };
        write(dir.join(file), info("[3]"));
        let name = format!("webdataset:{}", dir.display());
        let FileSplits { train, test } = open(&name, dir).unwrap();
        assert_eq!(contents(&train), pairs(&[("a", 3), ("c", 0)]));
        assert_eq!((contents(&test), test.classes.len()), (pairs(&[("0", 0), ("1", 1)]), 4));
        let left_out = train.left_out().unwrap();
        assert!(
            left_out.name.ends_with("x-0.tar: b.jpg") && left_out.reason.contains("without a label"),
            "{left_out:?}"
        );
        // Another label is one's own choice.
        let own = open_with(&name, &fields(None, Some("json:label"), None));
        assert!(own.err().unwrap().contains("y-0000.tar: sample `a`: it has no .json"));
        write(dir.join(file), info("[4]"));
        refused(&name, dir, "x-0.tar: 3 samples, and the data set's info file says 4");
        write(dir.join(file), info("[3, 4]"));
        refused(&name, dir, "2 `shard_lengths` for 1 `filenames`");
        write(dir.join(file), info("[3]").replace("x-0", "../x-0"));
        refused(&name, dir, "is not below the folder");
        write(dir.join(file), info("[3]").replace("x-0", "gone"));
        refused(&name, dir, "gone.tar");
    }
}

#[test]
fn pictures_and_labels_are_the_fields_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let json = br#"{"annotation": {"class": "zebra"}, "a.b": 2, "list": [7, 8], "number": 1.5}"#;
    let entries: [(&str, &[u8]); 5] = [
        ("0.rgb.jpg", b"left"),
        ("0.DEPTH.png", b"right"),
        ("0.json", json),
        ("0.index", b" 6 \n"),
        ("0.cls", b"1"),
    ];
    write(dir.join("train/0.tar"), tar(&entries));
    write(dir.join("val/0.tar"), tar(&entries));
    let name = format!("webdataset:{}", dir.display());
    refused(&name, dir, "set `data.field`");
    let train = |picture: &str, label: &str| {
        open_with(&name, &fields(Some(picture), Some(label), None)).map(|splits| contents(&splits.train))
    };
    for (picture, label, want) in [
        ("rgb.jpg", "cls", ("left", 1)),
        (".depth.png", "index", ("right", 6)),
        ("rgb.jpg", "json:a.b", ("left", 2)),
        ("rgb.jpg", "json:list.1", ("left", 8)),
        ("rgb.jpg", "json:annotation.class", ("left", 0)),
    ] {
        assert_eq!(train(picture, label), Ok(pairs(&[want])), "{picture} {label}");
    }
    for (picture, label, part) in [
        (
            "jpg",
            "cls",
            "it has no .jpg; what follows the first dot of its files' names: .rgb.jpg, .depth.png",
        ),
        ("rgb.jpg", "txt", "it has no .txt"),
        ("rgb.jpg", "json:no.such", "its .json has no `no.such`"),
        ("rgb.jpg", "json:list", "is neither the number nor the name of a class"),
        ("rgb.jpg", "json:number", "1.5"),
    ] {
        let answer = train(picture, label);
        match part {
            // A number that is no class is a name like any other.
            "1.5" => assert_eq!(answer, Ok(pairs(&[("left", 0)]))),
            part => assert!(answer.as_ref().is_err_and(|error| error.contains(part)), "{answer:?}"),
        }
    }
}

#[test]
fn names_are_numbered_by_a_map_or_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let shard = |labels: &[&str]| {
        let names: Vec<[String; 2]> =
            (0..labels.len()).map(|i| [format!("{i}.jpg"), format!("{i}.cls")]).collect();
        let entries: Vec<(&str, &[u8])> = names
            .iter()
            .zip(labels)
            .flat_map(|([jpg, cls], label)| {
                [(jpg.as_str(), label.as_bytes()), (cls.as_str(), label.as_bytes())]
            })
            .collect();
        tar(&entries)
    };
    write(dir.join("train/0.tar"), shard(&["zebra", "ant", "zebra"]));
    write(dir.join("val/0.tar"), shard(&["ant"]));
    let name = format!("webdataset:{}", dir.display());
    let splits = open(&name, dir).unwrap();
    assert_eq!(splits.train.classes, ["ant", "zebra"]);
    assert_eq!(contents(&splits.train), pairs(&[("zebra", 1), ("ant", 0), ("zebra", 1)]));
    for (file, text, want, classes) in [
        ("order.txt", "zebra\nyak\nant\n", [("zebra", 0), ("ant", 2), ("zebra", 0)], ["zebra", "yak", "ant"]),
        (
            "order.json",
            r#"["zebra", "yak", "ant"]"#,
            [("zebra", 0), ("ant", 2), ("zebra", 0)],
            ["zebra", "yak", "ant"],
        ),
        (
            "map.json",
            r#"{"ant": 2, "zebra": 2, "yak": 0}"#,
            [("zebra", 2), ("ant", 2), ("zebra", 2)],
            ["yak", "1", "ant"],
        ),
    ] {
        write(dir.join(file), text);
        let splits = open_with(&name, &fields(None, None, Some(&dir.join(file)))).unwrap();
        assert_eq!(contents(&splits.train), pairs(&want), "{file}");
        assert_eq!(splits.test.classes, classes, "{file}");
    }
    for (text, part) in [
        (r#"{"ant": 0}"#, "its label `zebra` is not one of the 1 classes"),
        (r#"{"ant": -1}"#, "`ant`: -1 is not the number of a class"),
        (r#"{"ant": 1e99}"#, "is not the number of a class"),
        ("7", "neither a list of names nor an object"),
    ] {
        write(dir.join("map.json"), text);
        let error = open_with(&name, &fields(None, None, Some(&dir.join("map.json")))).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
    // Numbers, too, are renamed by a map; without one a number among names is a mistake.
    write(dir.join("train/0.tar"), shard(&["207", "5"]));
    write(dir.join("val/0.tar"), shard(&["5"]));
    write(dir.join("map.json"), r#"{"5": 0, "207": 1}"#);
    let splits = open_with(&name, &fields(None, None, Some(&dir.join("map.json")))).unwrap();
    assert_eq!(contents(&splits.train), pairs(&[("207", 1), ("5", 0)]));
    write(dir.join("train/0.tar"), shard(&["207", "ant"]));
    refused(&name, dir, "sample `1`: its label ant is not a class number, as those before it are");
}

#[test]
fn fields_that_a_layout_does_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for half in ["train", "val"] {
        write(folder.path().join(half).join("a/1.jpg"), "1");
    }
    let name = format!("folder:{}", folder.path().display());
    for (fields, key) in [
        (fields(Some("jpg"), None, None), "data.field"),
        (fields(None, Some("cls"), None), "data.label"),
        (fields(None, None, Some(Path::new("x"))), "data.classes"),
    ] {
        let error = open_with(&name, &fields).err().unwrap();
        assert!(error.contains(key) && error.contains("does not apply"), "{error}");
    }
}

/// The samples of a large shard come from its index, of the fields that were asked for.
#[test]
fn an_index_is_of_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let large = vec![b'x'; 2 << 20];
    let entries: [(&str, &[u8]); 5] =
        [("0.jpg", b"0"), ("0.cls", b"1"), ("0.index", b"6"), ("0.png", b"other"), ("0.bin", &large)];
    write(dir.join("train/0.tar"), tar(&entries));
    write(dir.join("val/0.tar"), tar(&entries[..3]));
    let name = format!("webdataset:{}", dir.display());
    for _ in 0..2 {
        for (wanted, want) in [
            (Fields::default(), ("0", 1)),
            (fields(None, Some("index"), None), ("0", 6)),
            (fields(Some("png"), None, None), ("other", 1)),
        ] {
            let opened = open_with(&name, &wanted);
            if wanted.picture.is_some() {
                assert!(opened.err().unwrap().contains("val/0.tar: sample `0`: it has no .png"));
                write(dir.join("val/0.tar"), tar(&entries[..4]));
            }
            assert_eq!(contents(&open_with(&name, &wanted).unwrap().train), pairs(&[want]));
            assert!(dir.join("train/0.tar.index").exists());
            write(dir.join("val/0.tar"), tar(&entries[..3]));
        }
    }
}
