//! Damaged pictures: Pillow's pixels, or both refuse.

use crate::common::uniform;
use std::path::Path;
use std::process::Command;
use tchvision::data::image::{self, Encoded};

/// What became of the files of one format.
#[derive(Debug, Default)]
struct Outcome {
    same: usize,
    both_refuse: usize,
    only_we_refuse: usize,
    only_pillow_refuses: usize,
    differ: usize,
}

/// Files made by tests/damage.py from some 40 sound ones, whole and in parts; `$TCHVISION_DAMAGED` of each format.
#[test]
#[ignore = "needs Pillow in .venv; `make damage`"]
fn damaged_pictures_have_the_pixels_of_pillow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let count = std::env::var("TCHVISION_DAMAGED").unwrap_or_else(|_| "2000".to_owned());
    let python = std::env::var("TCHVISION_PYTHON").unwrap_or_else(|_| ".venv/bin/python".to_owned());
    for format in ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF"] {
        let mut made = Command::new(&python);
        let made = made.current_dir(root).args(["tests/damage.py", format, &count]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (mut rest, mut outcome) = (&made.stdout[..], Outcome::default());
        while let [a, b, c, d, e, f, g, h, after @ ..] = rest {
            let [file, pixels] =
                [[a, b, c, d], [e, f, g, h]].map(|n| u32::from_le_bytes(n.map(|b| *b)) as usize);
            let (file, after) = after.split_at(file);
            let (want, after) = after.split_at(pixels);
            rest = after;
            compare(file, want, &mut outcome);
        }
        println!("{format}: {outcome:?}");
        let Outcome { same, both_refuse, only_we_refuse, only_pillow_refuses, differ } = outcome;
        if matches!(format, "JPEG" | "PNG" | "PPM") {
            assert_eq!((only_we_refuse, only_pillow_refuses, differ), (0, 0, 0), "{format}");
        }
        assert!(differ * 1000 <= same + both_refuse, "{format}: {differ} differ");
    }
}

fn compare(file: &[u8], want: &[u8], outcome: &mut Outcome) {
    let image = match (image::decode(file), want.is_empty()) {
        (Ok(image), false) => image,
        (Err(_), true) => return outcome.both_refuse += 1,
        (Err(_), false) => return outcome.only_we_refuse += 1,
        (Ok(_), true) => return outcome.only_pillow_refuses += 1,
    };
    let size = [image.width as u32, image.height as u32].map(u32::to_le_bytes);
    let mut is_same = [size.as_flattened(), &image.pixels].concat() == want;
    for dice in uniform(&file.len().to_string(), 4 * 3).chunks_exact(4) {
        let range = |start: f64, length: f64, side: usize| {
            let start = (start * side as f64) as usize;
            start..start + 1 + (length * (side - start) as f64) as usize
        };
        let (columns, rows) = (range(dice[0], dice[1], image.width), range(dice[2], dice[3], image.height));
        let part = Encoded::open(file).unwrap().part(columns.clone(), rows.clone()).unwrap();
        is_same &= part == image.crop(columns, rows).unwrap();
    }
    if is_same { outcome.same += 1 } else { outcome.differ += 1 }
}
