//! Data sets of files: which pictures they find, under which labels, and what they refuse.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tchvision::data::{self, FileSplits, ImageFiles};

pub fn open(name: &str, root: &Path) -> Result<FileSplits, String> {
    match data::open_files(name, root) {
        Ok(splits) => Ok(splits.expect("a data set of files")),
        Err(error) => Err(format!("{error:#}")),
    }
}

pub fn refused(name: &str, root: &Path, part: &str) {
    let error = open(name, root).err().expect("refused");
    assert!(error.contains(part), "{part:?} is not in {error:?}");
}

/// A file with folders made above it.
pub fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes and class of every picture, in order.
pub fn contents(files: &ImageFiles) -> Vec<(String, i64)> {
    let text = |i: usize| String::from_utf8(files.read(i).unwrap()).unwrap();
    (0..files.len()).map(|i| (text(i), files.labels[i])).collect()
}

pub fn pairs(want: &[(&str, i64)]) -> Vec<(String, i64)> {
    want.iter().map(|(text, label)| ((*text).to_owned(), *label)).collect()
}

#[test]
fn a_folder_has_a_class_a_sub_folder_in_sorted_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for (path, bytes) in [
        ("train/zebra/2.JPG", "z2"),
        ("train/zebra/10.png", "z10"),
        ("train/ant/deep/er/b.jpeg", "b"),
        ("train/ant/a.jpg", "a"),
        ("train/ant/notes.txt", "no picture"),
        ("train/ant/.hidden.jpg", "no picture"),
        ("val/zebra/1.webp", "v"),
    ] {
        write(dir.join(path), bytes);
    }
    let name = format!("folder:{}", dir.display());
    let FileSplits { train, test } = open(&name, Path::new("unused")).unwrap();
    assert_eq!(
        (train.name.as_str(), train.classes.as_slice()),
        (name.as_str(), &["ant", "zebra"].map(String::from)[..])
    );
    assert_eq!(contents(&train), pairs(&[("a", 0), ("b", 0), ("z10", 1), ("z2", 1)]));
    assert_eq!((contents(&test), test.classes), (pairs(&[("v", 1)]), train.classes.clone()));
    assert!(train.title(1).ends_with("train/ant/deep/er/b.jpeg"));
    assert_eq!(train.label_counts(), [2, 2]);

    write(dir.join("val/yak/1.jpg"), "y");
    refused(&name, dir, "`yak` is not one of the 2 classes");
    fs::create_dir(dir.join("train/empty")).unwrap();
    refused(&name, dir, "class `empty` has no images");
    refused("folder:/no/such/folder", dir, "/no/such/folder");
    fs::remove_dir_all(dir.join("val")).unwrap();
    fs::remove_dir(dir.join("train/empty")).unwrap();
    refused(&name, dir, "has neither val nor test");
}

/// Who only tests needs no training pictures.
#[test]
fn the_test_half_opens_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let test = |name: &str, root: &Path| data::open_test_files(name, root).map(Option::unwrap);
    // The names of the classes are in the training half.
    fs::create_dir_all(dir.join("folder/train/ant")).unwrap();
    fs::create_dir_all(dir.join("folder/train/zebra")).unwrap();
    write(dir.join("folder/val/zebra/1.jpg"), "z");
    let files = test(&format!("folder:{}", dir.join("folder").display()), dir).unwrap();
    assert_eq!((contents(&files), files.classes.len()), (pairs(&[("z", 1)]), 2));
    let shards = dir.join("shards");
    write(shards.join("val/0.tar"), tar(&[("0.jpg", b"v"), ("0.cls", b"1")]));
    let name = format!("webdataset:{}", shards.display());
    assert!(test(&name, dir).is_err());
    write(shards.join("classes.txt"), "a\nb\nc\n");
    let files = test(&name, dir).unwrap();
    assert_eq!((contents(&files), files.classes.len(), files.name), (pairs(&[("v", 1)]), 3, name));
    let synset = &known("imagenet-1k")[7];
    for root in ["imagenet-1k", "imagenet-21k"] {
        write(dir.join(root).join("val").join(synset).join("1.jpg"), "v");
        let files = test(root, dir).unwrap();
        assert_eq!(files.classes[files.labels[0] as usize], *synset);
    }
    assert!(open("imagenet-1k", dir).is_err());
}

#[test]
fn pictures_get_labels_of_another_list_by_the_names_of_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("ant/a.jpg"), "a");
    write(folder.path().join("zebra/z.jpg"), "z");
    let files = ImageFiles::in_classes(folder.path()).unwrap();
    let classes = ["zebra", "yak", "ant"].map(String::from).to_vec();
    let among = files.relabelled(classes.clone()).unwrap();
    assert_eq!((contents(&among), &among.classes), (pairs(&[("a", 2), ("z", 0)]), &classes));
    assert!(files.relabelled(classes[..2].to_vec()).is_none());
}

#[test]
fn pictures_below_a_folder_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.jpg", "a/2.png", "a/10.png", ".hidden/x.jpg", "notes.txt"] {
        write(folder.path().join(name), "x");
    }
    let found = data::pictures_below(folder.path()).unwrap();
    assert_eq!(found, ["b.jpg", "a/10.png", "a/2.png"].map(|name| folder.path().join(name)));
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("train/a/1.jpg"), "1");
    std::os::unix::fs::symlink("..", folder.path().join("train/a/up")).unwrap();
    refused(&format!("folder:{}", folder.path().display()), folder.path(), "nested too deep");
}

#[test]
fn a_file_that_is_gone_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for half in ["train", "val"] {
        write(folder.path().join(half).join("a/1.jpg"), "1");
    }
    let splits = open(&format!("folder:{}", folder.path().display()), folder.path()).unwrap();
    fs::remove_file(folder.path().join("train/a/1.jpg")).unwrap();
    assert!(splits.train.read(0).is_err() && splits.test.read(0).is_ok());
}

#[test]
fn a_list_has_a_path_and_a_label_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write(dir.join("some folder/a b.jpg"), "ab");
    write(dir.join("c.jpg"), "c");
    write(dir.join("train.txt"), "some folder/a b.jpg 2\n\nc.jpg\t0\r\n");
    write(dir.join("val.txt"), "c.jpg 3\n");
    let name = format!("list:{}", dir.display());
    let FileSplits { train, test } = open(&name, dir).unwrap();
    assert_eq!(contents(&train), pairs(&[("ab", 2), ("c", 0)]));
    assert_eq!((contents(&test), test.classes.len()), (pairs(&[("c", 3)]), 4));
    write(dir.join("classes.txt"), "a\nb\nc\nd\n");
    assert_eq!(open(&name, dir).unwrap().test.classes, ["a", "b", "c", "d"]);
    write(dir.join("classes.txt"), "a\nb\nc\n");
    refused(&name, dir, "3 classes are too few for label 3");
    for wrong in ["c.jpg", "c.jpg one", "c.jpg -1", "c.jpg 99999999999"] {
        write(dir.join("val.txt"), format!("c.jpg 3\n{wrong}\n"));
        refused(&name, dir, "val.txt:2:");
    }
}

/// Two shards of three samples and one of two.
fn write_shards(dir: &Path) -> String {
    for (shard, count) in [(0, 3), (1, 3), (2, 2)] {
        let names: Vec<_> = (0..count).map(|i| (format!("x/{shard}{i}"), format!("{shard}{i}"))).collect();
        let mut entries = Vec::new();
        let json = br#"{"label": 4, "caption": "a.b"}"#.as_slice();
        let owned: Vec<[String; 2]> =
            names.iter().map(|(key, _)| [format!("{key}.jpg"), format!("{key}.cls")]).collect();
        for (i, ([jpg, cls], (_, text))) in owned.iter().zip(&names).enumerate() {
            let label: (&str, &[u8]) = if i == 2 { ("", b"") } else { (cls, b"1\n") };
            if i == 2 {
                entries.push((jpg.as_str(), text.as_bytes()));
            } else {
                entries.push(label);
                entries.push((jpg.as_str(), text.as_bytes()));
            }
        }
        let sidecar = format!("x/{shard}2.json");
        if count == 3 {
            entries.push((&sidecar, json));
        }
        write(dir.join(format!("set-train-{shard}.tar")), tar(&entries));
    }
    write(dir.join("set-validation-0.tar"), tar(&[("0.seg.jpg", b"v"), ("0.cls", b"0")]));
    format!("webdataset:{}", dir.display())
}

#[test]
fn a_webdataset_is_read_out_of_its_shards() {
    let folder = tempfile::tempdir().unwrap();
    let name = write_shards(folder.path());
    let FileSplits { train, test } = open(&name, folder.path()).unwrap();
    let want = [("00", 1), ("01", 1), ("02", 4), ("10", 1), ("11", 1), ("12", 4), ("20", 1), ("21", 1)];
    assert_eq!(contents(&train), pairs(&want));
    assert_eq!((contents(&test), test.classes.len()), (pairs(&[("v", 0)]), 5));
    assert!(train.title(3).ends_with("set-train-1.tar: x/10.jpg"), "{}", train.title(3));
}

#[test]
fn wrong_shards_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = write_shards(folder.path());
    let shard = folder.path().join("set-train-1.tar");
    let whole = fs::read(&shard).unwrap();
    // The last entry is a .json of one block; two blocks end the archive.
    for cut in [0, 100, 600, whole.len() - 1024 - 500, whole.len() - 1024] {
        fs::write(&shard, &whole[..cut]).unwrap();
        refused(&name, folder.path(), "set-train-1.tar");
    }
    for (entries, part) in [
        (&[("a.jpg", b"1".as_slice())][..], "neither a .cls nor a .json"),
        (&[("a.cls", b"1")], "has no image"),
        (&[("a.jpg", b"1"), ("a.cls", b"many")], "is not a class number"),
        (&[("a.jpg", b"1"), ("a.json", b"{}")], "neither `label`"),
    ] {
        write(shard.clone(), tar(entries));
        refused(&name, folder.path(), part);
        refused(&name, folder.path(), "sample `a`");
    }
    write(shard, b"no archive".repeat(200));
    refused(&name, folder.path(), "not a valid tar archive");
    refused("webdataset:/no/such/folder", folder.path(), "/no/such/folder");
}

/// Of a large archive the headers are read once, until it changes.
#[test]
fn the_index_of_a_large_archive_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for half in ["train", "val"] {
        write(dir.join(format!("{half}/0.tar")), tar(&[("0.jpg", half.as_bytes()), ("0.cls", b"1")]));
    }
    // A hole of a file, which takes no room on the disk.
    let large = |picture: &str| {
        let path = dir.join("train/0.tar");
        let mut bytes = tar(&[("0.jpg", picture.as_bytes()), ("0.cls", b"1")]);
        bytes.truncate(bytes.len() - 1024);
        let mut header = tar::Header::new_gnu();
        let hole: u64 = 300 << 20;
        header.set_path("0.bin").unwrap();
        header.set_size(hole);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        let size = bytes.len() as u64 + hole + 1024;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    };
    large("one");
    let name = format!("webdataset:{}", dir.display());
    let (train, index) = (|| contents(&open(&name, dir).unwrap().train), dir.join("train/0.tar.index"));
    assert_eq!(train(), pairs(&[("one", 1)]));
    assert!(index.exists() && !dir.join("val/0.tar.index").exists());
    // What the index says is taken: here another label.
    let kept = fs::read_to_string(&index).unwrap();
    fs::write(&index, kept.replace(" 1\n", " 7\n")).unwrap();
    assert_eq!(train(), pairs(&[("one", 7)]));
    // What is no index is made again.
    for wrong in [&kept[..kept.len() / 3], "", "nonsense", &kept.replacen(' ', "x", 40)] {
        fs::write(&index, wrong).unwrap();
        assert_eq!(train(), pairs(&[("one", 1)]));
        assert_eq!(fs::read_to_string(&index).unwrap(), kept);
    }
    large("another one");
    assert_eq!(train(), pairs(&[("another one", 1)]));
    assert_ne!(fs::read_to_string(&index).unwrap(), kept);
}

/// Every picture once, by (seed, epoch); pictures of shards that are not read together stay apart.
#[test]
fn an_epoch_of_a_webdataset_reads_from_few_shards_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    for shard in 0..40 {
        let names: Vec<_> = (0..10).map(|i| [format!("{i}.jpg"), format!("{i}.cls")]).collect();
        let entries: Vec<(&str, &[u8])> =
            names.iter().flat_map(|[jpg, cls]| [(jpg.as_str(), &b"x"[..]), (cls.as_str(), b"0")]).collect();
        write(folder.path().join(format!("train/{shard:02}.tar")), tar(&entries));
    }
    write(folder.path().join("val/0.tar"), tar(&[("0.jpg", b"v"), ("0.cls", b"0")]));
    let train = open(&format!("webdataset:{}", folder.path().display()), folder.path()).unwrap().train;
    let order = train.order(1, 2);
    assert_eq!(order, train.order(1, 2));
    assert!(order != train.order(1, 3) && order != train.order(2, 2));
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), 400);
    let shards = |part: &[usize]| part.iter().map(|i| i / 10).collect::<HashSet<_>>();
    let parts: Vec<_> = order.chunks(160).map(shards).collect();
    assert_eq!(parts.iter().map(HashSet::len).collect::<Vec<_>>(), [16, 16, 8]);
    // Shards come together by chance, and their pictures mix.
    assert!(parts[0].iter().any(|shard| *shard >= 16));
    assert!(shards(&order[..16]).len() > 8);
    let mut few = train.clone();
    few.sample(25, 5);
    let mut kept = few.order(1, 2);
    kept.sort_unstable();
    assert_eq!(kept, (0..25).collect::<Vec<_>>());
}

fn known(name: &str) -> Vec<String> {
    data::imagenet().iter().find(|known| known.name == name).unwrap().synsets()
}

#[test]
fn class_orders_of_imagenet_are_those_of_public_heads() {
    for known in data::imagenet() {
        let synsets = known.synsets();
        assert_eq!(synsets.len() as i64, known.classes, "{}", known.name);
        assert_eq!(synsets.iter().collect::<HashSet<_>>().len(), synsets.len(), "{}", known.name);
    }
    assert_eq!(known("imagenet-1k")[999], "n15075141");
    let microsoft = known("imagenet-22k-ms");
    assert_eq!((microsoft[0].as_str(), microsoft[1000].as_str()), ("n01440764", "n00004475"));
}

fn kit(truth: &str) -> [(String, Vec<u8>); 2] {
    let meta = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/devkit/meta.mat");
    [
        ("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt".into(), truth.into()),
        ("ILSVRC2012_devkit_t12/data/meta.mat".into(), fs::read(meta).unwrap()),
    ]
}

/// ImageNet-1k as its archives, as its folders, and sorted into synsets by hand: the same pictures and labels.
#[test]
fn imagenet_1k_is_read_as_downloaded_and_as_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let synsets = known("imagenet-1k");
    let (root, dir) = (folder.path(), folder.path().join("imagenet-1k"));
    let picture = |class: usize, i: usize| (format!("{}_{i}.JPEG", synsets[class]), format!("{class}.{i}"));
    let inner = |class: usize| {
        let pictures = [picture(class, 0), picture(class, 1)];
        let entries: Vec<(&str, &[u8])> =
            pictures.iter().map(|(name, bytes)| (name.as_str(), bytes.as_bytes())).collect();
        tar(&entries)
    };
    let classes = [3, 500, 999];
    let archives: Vec<_> = classes.map(|class| (format!("{}.tar", synsets[class]), inner(class))).into();
    let entries: Vec<(&str, &[u8])> =
        archives.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    write(dir.join("ILSVRC2012_img_train.tar"), tar(&entries));
    let val = [1, 2, 3].map(|i| (format!("ILSVRC2012_val_{i:08}.JPEG"), format!("v{i}")));
    let entries: Vec<(&str, &[u8])> =
        val.iter().map(|(name, bytes)| (name.as_str(), bytes.as_bytes())).collect();
    write(dir.join("ILSVRC2012_img_val.tar"), tar(&entries));
    // Number 7 i mod 1000 + 1 of the kit is synset i of the sorted list.
    let kit = kit("1\n8\n994\n");
    let entries: Vec<(&str, &[u8])> =
        kit.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &tar(&entries)).unwrap();
    let packed = gz.finish().unwrap();
    write(dir.join("ILSVRC2012_devkit_t12.tar.gz"), &packed);

    let FileSplits { train, test } = open("imagenet-1k", root).unwrap();
    let want: Vec<_> =
        classes.iter().flat_map(|&class| [0, 1].map(|i| (format!("{class}.{i}"), class as i64))).collect();
    assert_eq!(contents(&train), want);
    assert_eq!(contents(&test), pairs(&[("v1", 0), ("v2", 1), ("v3", 999)]));
    assert_eq!((train.classes.as_slice(), &test.classes), (&synsets[..], &train.classes));
    assert!(train.title(0).ends_with(&format!("ILSVRC2012_img_train.tar: {}", picture(3, 0).0)));

    write(dir.join("ILSVRC2012_devkit_t12.tar.gz"), &packed[..packed.len() / 2]);
    refused("imagenet-1k", root, "ILSVRC2012_devkit_t12.tar.gz");
    for (name, bytes) in &kit {
        write(dir.join(name), bytes);
    }
    fs::remove_file(dir.join("ILSVRC2012_img_train.tar")).unwrap();
    fs::remove_file(dir.join("ILSVRC2012_img_val.tar")).unwrap();
    refused("imagenet-1k", root, "has neither train nor ILSVRC2012_img_train.tar");
    for class in classes {
        for (name, bytes) in [0, 1].map(|i| picture(class, i)) {
            write(dir.join("train").join(&synsets[class]).join(name), bytes);
        }
    }
    val.iter().for_each(|(name, bytes)| write(dir.join("val").join(name), bytes));
    // The root itself does as well.
    let unpacked = open("imagenet-1k", &dir).unwrap();
    assert_eq!((contents(&unpacked.train), contents(&unpacked.test)), (want, contents(&test)));
    write(dir.join(&kit[0].0), "1\n8\n");
    refused("imagenet-1k", root, "`ILSVRC2012_val_00000003.JPEG` has no label");
    write(dir.join(&kit[0].0), "1\n8\n1001\n");
    refused("imagenet-1k", root, "ground_truth.txt:3");
    write(dir.join("val/n00000000/x.jpg"), "x");
    refused("imagenet-1k", root, "`n00000000` is not one of the 1000 classes");
}

/// The MATLAB reader of the kit on whatever bytes come: an error or labels, never a panic.
#[test]
fn a_damaged_kit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write(dir.join("train").join(&known("imagenet-1k")[0]).join("a.jpg"), "a");
    write(dir.join("val/ILSVRC2012_val_00000001.JPEG"), "v");
    let [truth, (name, meta)] = kit("1\n");
    write(dir.join(truth.0), truth.1);
    for cut in (0..meta.len()).step_by(97) {
        write(dir.join(&name), &meta[..cut]);
        refused("imagenet-1k", dir, "not the devkit of ILSVRC 2012");
    }
    let mut stream = data::Stream::new(0, "damage", 0, 0);
    for _ in 0..100 {
        let mut damaged = meta.clone();
        let at = stream.below(damaged.len() as u64) as usize;
        damaged[at] = stream.below(256) as u8;
        write(dir.join(&name), &damaged);
        let _either = open("imagenet-1k", dir);
    }
}

#[test]
fn imagenet_21k_takes_the_synsets_of_the_chosen_list() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let dir = root.join("imagenet-21k");
    // In the list of Google, but not in that of fall 2011; in both; in all.
    for synset in ["n03931044", "n00004475", "n01440764"] {
        let names: Vec<_> = (0..150).map(|i| format!("{synset}_{i:03}.JPEG")).collect();
        let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        write(dir.join(format!("{synset}.tar")), tar(&entries));
    }
    let classes = |name: &str| {
        let FileSplits { train, test } = open(name, root).unwrap();
        assert!(!test.is_empty() && test.len() < 20, "{} are held out", test.len());
        let titles: HashSet<_> = (0..train.len()).map(|i| train.title(i)).collect();
        assert!((0..test.len()).all(|i| !titles.contains(&test.title(i))));
        let found: HashSet<_> =
            train.labels.iter().map(|&label| train.classes[label as usize].clone()).collect();
        (train.len() + test.len(), found.len())
    };
    assert_eq!(classes("imagenet-21k-goog"), (450, 3));
    assert_eq!(classes("imagenet-21k"), (300, 2));
    assert_eq!(classes("imagenet-12k"), (150, 1));
    // A half of its own is taken as it is.
    write(dir.join("val/n01440764/1.jpg"), "v");
    assert_eq!(contents(&open("imagenet-21k", root).unwrap().test).len(), 1);
}

/// Right values: torchvision's ImageFolder, whose classes sort by characters, with a byte that is no UTF-8 as U+DC00 and more.
#[test]
fn names_that_are_not_utf_8_are_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &[u8]| folder.path().join(OsStr::from_bytes(path));
    for half in [&b"train"[..], b"val"] {
        for class in [&b"cat"[..], b"d\xf6g", b"d\xfcg", "\u{4e2d}".as_bytes(), b"\xd6"] {
            for file in [&b"0.png"[..], b"\xe8.png", b"\xe9.png"] {
                write(at(&[half, b"/", class, b"/", file].concat()), [class, file].concat());
            }
        }
    }
    let name = format!("folder:{}", folder.path().display());
    let FileSplits { train, test } = open(&name, folder.path()).unwrap();
    assert_eq!(train.classes, ["cat", r"d\xf6g", r"d\xfcg", "\u{4e2d}", r"\xd6"]);
    assert_eq!((train.label_counts(), test.label_counts()), (vec![3; 5], vec![3; 5]));
    assert_eq!(train.read(4).unwrap(), b"d\xf6g\xe8.png");
    assert_eq!(data::pictures_below(&at(b"train")).unwrap().len(), 15);

    write(folder.path().join("list/train.txt"), b"../train/d\xf6g/\xe9.png 1\n");
    write(folder.path().join("list/val.txt"), b"../val/cat/0.png 0\n");
    let list = open(&format!("list:{}", folder.path().join("list").display()), folder.path()).unwrap();
    assert_eq!(list.train.read(0).unwrap(), b"d\xf6g\xe9.png");
}

#[test]
fn files_of_classes_that_are_no_pictures_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["a/1.ppm", "a/2.TIFF", "a/3.heic", "a/.hidden", "b/1.pgm", "b/2.tif", "b/below/4.svg", "stray.jpg"]
    {
        write(folder.path().join("train").join(name), name);
        write(folder.path().join("val/a/1.pbm"), "x");
    }
    let name = format!("folder:{}", folder.path().display());
    let FileSplits { train, test } = open(&name, folder.path()).unwrap();
    assert_eq!(train.label_counts(), [2, 2]);
    let left_out = train.left_out().unwrap();
    assert!(
        left_out.name.ends_with("train/stray.jpg") && left_out.reason.contains("and 2 others"),
        "{left_out:?}"
    );
    assert_eq!(test.left_out(), None);
    for gone in ["b/1.pgm", "b/2.tif"] {
        fs::remove_file(folder.path().join("train").join(gone)).unwrap();
    }
    fs::remove_file(folder.path().join("train/stray.jpg")).unwrap();
    refused(&name, folder.path(), "class `b` has no images");
    refused(&name, folder.path(), "3.heic: no picture by its name, and 1 others");
}

#[test]
fn byte_order_marks_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("train.txt", "a.jpg 1\n"), ("val.txt", "a.jpg 0\n"), ("classes.txt", "x\ny\n")] {
        write(folder.path().join(file), format!("\u{feff}{text}"));
    }
    write(folder.path().join("a.jpg"), "a");
    let name = format!("list:{}", folder.path().display());
    let FileSplits { train, .. } = open(&name, folder.path()).unwrap();
    assert_eq!((contents(&train), train.classes[0].as_str()), (pairs(&[("a", 1)]), "x"));
    write(folder.path().join("train.txt"), b"\xff\xfea\0.\0j\0p\0g\0 \x001\0");
    refused(&name, folder.path(), "UTF-16");
    for half in ["train", "val"] {
        let json = "\u{feff}{\"label\": 1}".as_bytes();
        let entries: [(&str, &[u8]); 4] =
            [("0.jpg", b"a"), ("0.cls", "\u{feff}0".as_bytes()), ("1.jpg", b"b"), ("1.json", json)];
        write(folder.path().join(half).join("0.tar"), tar(&entries));
    }
    let FileSplits { train, .. } =
        open(&format!("webdataset:{}", folder.path().display()), folder.path()).unwrap();
    assert_eq!(contents(&train), pairs(&[("a", 0), ("b", 1)]));
}

/// The fields are those of the Python package webdataset: what follows the first dot of the base name, in lower case.
#[test]
fn a_sample_has_fields() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("webdataset:{}", folder.path().display());
    let shard = |entries: &[(&str, &[u8])]| {
        write(folder.path().join("train/0.tar"), tar(entries));
        write(folder.path().join("val/0.tar"), tar(&[("0.jpg", b"v"), ("0.cls", b"1")]));
    };
    shard(&[
        ("./._0.jpg", b"fork"),
        ("./0.CLS", b"1"),
        ("./0.depth.png", b"mask"),
        ("./0.png", b"mask"),
        ("./0.JPG", b"picture"),
        ("readme", b"text"),
        ("a.b/1.cls", b"0"),
        ("a.b/1.seg.png", b"mask"),
        ("a.b/1.jpg", b"other"),
    ]);
    assert_eq!(contents(&open(&name, folder.path()).unwrap().train), pairs(&[("picture", 1), ("other", 0)]));
    for (entries, part) in [
        (
            &[("22.00.jpg", &b"a"[..]), ("22.00.cls", b"0"), ("22.01.jpg", b"b"), ("22.01.cls", b"1")][..],
            ".00.jpg, .00.cls",
        ),
        (&[("0.jpg", b"a"), ("0.JPG", b"b"), ("0.cls", b"0")], "`jpg` is there twice"),
        (
            &[("0.jpg", b"a"), ("0.cls", b"0"), ("1.mask.png", b"b"), ("1.cls", b"0")],
            "its picture is `mask.png`",
        ),
    ] {
        shard(entries);
        refused(&name, folder.path(), part);
    }
    write(folder.path().join("train/0.tar"), b"\x1f\x8b\x08\0\0\0\0\0");
    refused(&name, folder.path(), "compressed with gzip");
    fs::rename(folder.path().join("train/0.tar"), folder.path().join("train/0.tar.gz")).unwrap();
    refused(&name, folder.path(), "compressed with gzip");
}

#[test]
fn the_split_of_a_shard_is_a_word_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("webdataset:{}", folder.path().display());
    for file in
        ["medieval-train-000.tar", "medieval_Training0001.tar", "medieval-valid-0.tar", "trainable.tar"]
    {
        write(folder.path().join(file), tar(&[("0.jpg", file.as_bytes()), ("0.cls", b"0")]));
    }
    let FileSplits { train, test } = open(&name, folder.path()).unwrap();
    assert_eq!(contents(&train), pairs(&[("medieval-train-000.tar", 0), ("medieval_Training0001.tar", 0)]));
    assert_eq!(contents(&test), pairs(&[("medieval-valid-0.tar", 0)]));
    write(folder.path().join("val-of-train.tar"), tar(&[]));
    refused(&name, folder.path(), "names both splits");
}
