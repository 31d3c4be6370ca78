//! Any bytes as the weights of a small ViT of other classes, channels, images and patches than theirs: names are
//! translated and tensors fitted. Run like `weights`; it starts from `tests/fixtures/weights/original/*.npz`, too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use tchvision::models::ModelSpec;
use tchvision::weights::{Classes, StateFile, pretrained};

const FIELDS: &str = "{image_size: 24, patch_size: 6, width: 24, depth: 2, heads: 2, num_classes: 4, in_chans: 1}";

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::new().expect("a file for the bytes"));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), bytes).expect("the bytes are written");
        let mut spec = ModelSpec::new("timm/vit_tiny_patch16_224");
        spec.set = serde_yaml::from_str(FIELDS).expect("fields of a ViT");
        let _any_error_will_do =
            StateFile::open(file.path()).and_then(|file| pretrained(&spec, &file, Classes::Selected(&[3, 1, 0, 2])));
    });
});
