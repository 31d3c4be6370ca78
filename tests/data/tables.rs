//! Data sets of tables: manifests with named columns, and Parquet as the Hugging Face Hub has it.

use super::files::{contents, open, pairs, refused, write};
use std::fs;
use std::path::{Path, PathBuf};
use tchvision::data::{FileSplits, Stream};

const SPLIT: &str = "path,label,split\n";

fn manifest(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    write(dir.join(name), text);
    format!("manifest:{}", dir.join(name).display())
}

fn pictures(dir: &Path) {
    for name in ["a.jpg", "b, c.jpg", "sub/d.jpg"] {
        write(dir.join(name), name);
    }
}

#[test]
fn a_manifest_has_named_columns() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    pictures(dir);
    let csv = "\u{feff}Label,extra,file_name,split\r\nzebra,1,a.jpg,train\r\nant,2,\"b, c.jpg\",Train\r\nzebra,3,sub/d.jpg,validation\r\nant,4,a.jpg,test\r\n";
    let name = manifest(dir, "all.csv", csv);
    let FileSplits { train, test } = open(&name, dir).unwrap();
    assert_eq!(train.classes, ["ant", "zebra"]);
    assert_eq!(contents(&train), pairs(&[("a.jpg", 1), ("b, c.jpg", 0)]));
    assert_eq!(contents(&test), pairs(&[("sub/d.jpg", 1)]));
    let left_out = test.left_out().unwrap();
    assert!(left_out.name.ends_with("all.csv:5") && left_out.reason.contains("`test`"), "{left_out:?}");
    assert!(train.left_out().is_none());

    // The same as JSON lines and with tabs.
    let jsonl = concat!(
        "{\"path\": \"a.jpg\", \"label\": \"zebra\", \"split\": \"train\", \"more\": {\"a\": [1]}}\n\n",
        "{\"path\": \"b, c.jpg\", \"label\": \"ant\", \"split\": \"train\"}\n",
        "{\"path\": \"sub/d.jpg\", \"label\": \"zebra\", \"split\": \"val\"}\n"
    );
    let tsv = "path\tlabel\tsplit\na.jpg\tzebra\ttrain\nb, c.jpg\tant\ttrain\nsub/d.jpg\tzebra\ttest\n";
    for (file, text) in [("all.jsonl", jsonl), ("all.tsv", tsv)] {
        let other = open(&manifest(dir, file, text), dir).unwrap();
        assert_eq!((contents(&other.train), contents(&other.test)), (contents(&train), contents(&test)));
        assert_eq!(other.test.classes, train.classes);
    }

    // Numbers are classes by themselves, named by `classes.txt`.
    let name = manifest(dir, "numbers.csv", format!("{SPLIT}a.jpg,2,train\na.jpg,0,val\n"));
    assert_eq!(open(&name, dir).unwrap().test.classes, ["0", "1", "2"]);
    write(dir.join("classes.txt"), "x\ny\nz\n");
    let splits = open(&name, dir).unwrap();
    assert_eq!((contents(&splits.train), splits.train.classes[2].as_str()), (pairs(&[("a.jpg", 2)]), "z"));
    let name = manifest(dir, "names.csv", format!("{SPLIT}a.jpg,z,train\na.jpg,y,val\n"));
    assert_eq!(contents(&open(&name, dir).unwrap().test), pairs(&[("a.jpg", 1)]));
}

/// A folder with a table for each half, as they lie in `imagefolder` data sets of the Hub.
#[test]
fn each_half_may_have_its_own_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for half in ["train", "test"] {
        write(dir.join(half).join("0.jpg"), half);
        write(dir.join(half).join("metadata.csv"), "file_name,label\n0.jpg,cat\n");
    }
    let name = format!("manifest:{}", dir.display());
    let FileSplits { train, test } = open(&name, dir).unwrap();
    assert_eq!((contents(&train), contents(&test)), (pairs(&[("train", 0)]), pairs(&[("test", 0)])));
    fs::remove_file(dir.join("test/metadata.csv")).unwrap();
    refused(&name, dir, "has neither val.csv");
}

#[test]
fn wrong_manifests_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    pictures(dir);
    let good = format!("{SPLIT}a.jpg,x,train\na.jpg,x,val\n");
    for (rows, part) in [
        (good.replace("path", "where"), "wrong.csv:1: no column for the path"),
        (good.replace("label", "labels_of"), "wrong.csv:1: no column for the label"),
        (good.replace(",split", ",s"), "wrong.csv:2: says not which split"),
        (format!("{good}a.jpg,x,both\n"), "wrong.csv:4: the split `both`"),
        (format!("{good}a.jpg,x,train-val\n"), "names both splits"),
        (format!("{good}a.jpg,,val\n"), "wrong.csv:4: `a.jpg` has no label"),
        (format!("{good},x,val\n"), "wrong.csv:4: the path"),
        (format!("{good}a.jpg,x\n"), "wrong.csv:4"),
        (format!("{good}a.jpg,y,val\n"), "wrong.csv:4: `y` is not one of the 1 classes"),
        (good.replace("val", "train"), "no rows of the split `val`"),
        (SPLIT.to_owned(), "no rows"),
    ] {
        refused(&manifest(dir, "wrong.csv", rows), dir, part);
    }
    let row = |label: &str| format!("{{\"path\": \"a.jpg\", \"label\": {label}, \"split\": \"train\"}}\n");
    for (label, part) in [
        ("[1, 2]", "wrong.jsonl:2: its label [1,2]"),
        ("0.5", "wrong.jsonl:2: its label 0.5"),
        ("-1", "wrong.jsonl:2: its label -1"),
        ("", "wrong.jsonl:2: not a JSON object"),
        (&"[".repeat(100_000), "wrong.jsonl:2: not a JSON object"),
    ] {
        refused(&manifest(dir, "wrong.jsonl", row("1") + &row(label)), dir, part);
    }
    refused(&manifest(dir, "wrong.xml", "x"), dir, "not a table by its name");
    refused("manifest:/no/such.csv", dir, "no such file or folder");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

/// What the package `datasets` has written (tests/goldens/parquet.py).
#[test]
fn parquet_of_the_hub_has_its_pictures_labels_and_names() {
    let FileSplits { train, test } =
        open(&format!("parquet:{}", fixture("colours").display()), Path::new("unused")).unwrap();
    assert_eq!(train.classes, ["blue", "green", "red"]);
    assert_eq!((train.len(), test.len(), test.label_counts()), (30, 9, vec![3, 3, 3]));
    // Channels are red, green and blue; class i has its channel i raised.
    for files in [&train, &test] {
        for i in 0..files.len() {
            let picture = files.picture(i).unwrap();
            assert_eq!((picture.width, picture.height), (14, 12));
            let sum = |c: usize| picture.pixels.iter().skip(c).step_by(3).map(|&p| u64::from(p)).sum::<u64>();
            let most = (0..3).max_by_key(|&c| sum(c)).unwrap();
            assert_eq!(most as i64, files.labels[i], "{}", files.title(i));
        }
    }
    let mut order = train.order(3, 4);
    assert!(order == train.order(3, 4) && order != train.order(3, 5));
    order.sort_unstable();
    assert_eq!(order, (0..30).collect::<Vec<_>>());
}

/// Bytes in a plain column, text as labels, dictionaries, zstd, second version of pages, row groups of two.
#[test]
fn plain_parquet_is_read_and_rows_without_labels_are_counted() {
    let FileSplits { train, test } =
        open(&format!("parquet:{}", fixture("plain").display()), Path::new("unused")).unwrap();
    let half = [("a0", 0), ("z0", 1), ("a0", 0), ("z1", 1)];
    assert_eq!(contents(&train), pairs(&[half, half].concat()));
    assert_eq!(
        (contents(&test), test.classes),
        (pairs(&[("t", 1)]), vec!["ant".to_owned(), "zebra".to_owned()])
    );
    let left_out = train.left_out().unwrap();
    assert!(left_out.reason.contains("without a label, and 1 others"), "{left_out:?}");
    assert!(left_out.name.ends_with("none.parquet: row 1 of row group 1"), "{left_out:?}");
}

/// Cut at every length and with bytes changed: the same pictures, or an error; never a panic out of the library.
#[test]
fn damaged_parquet_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let whole = fs::read(fixture("plain/train/zstd.parquet")).unwrap();
    fs::create_dir_all(dir.join("test")).unwrap();
    fs::copy(fixture("plain/test/snappy.parquet"), dir.join("test/0.parquet")).unwrap();
    let name = format!("parquet:{}", dir.display());
    for cut in (0..whole.len()).step_by(13) {
        write(dir.join("train.parquet"), &whole[..cut]);
        refused(&name, dir, "train.parquet");
    }
    let mut stream = Stream::new(0, "damage", 0, 0);
    for _ in 0..400 {
        let mut damaged = whole.clone();
        for _ in 0..=stream.below(3) {
            let at = stream.below(damaged.len() as u64) as usize;
            damaged[at] = stream.below(256) as u8;
        }
        write(dir.join("train.parquet"), &damaged);
        if let Ok(FileSplits { train, .. }) = open(&name, dir) {
            (0..train.len()).for_each(|i| drop(train.read(i)));
        }
    }
    // A file that another has taken the place of.
    write(dir.join("train.parquet"), &whole);
    let train = open(&name, dir).unwrap().train;
    write(dir.join("train.parquet"), "no Parquet");
    assert!(format!("{:#}", train.read(0).unwrap_err()).contains("not a valid file of Parquet"));
    fs::rename(dir.join("train.parquet"), dir.join("half.parquet")).unwrap();
    refused(&name, dir, "which split it is of");
}
