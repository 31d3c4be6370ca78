//! Loads arbitrary bytes as the weights of a small ViT whose classes, channels, image size and patch size
//! differ, so that names are translated and tensors adapted. Run like `weights`; seed the corpus with
//! `tests/fixtures/weights/original/*.npz` as well.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use tch::Device;
use tchvision::models::ModelSpec;
use tchvision::weights::{Classes, StateFile, pretrained};

const FIELDS: &str =
    "{image_size: 24, patch_size: 6, width: 24, depth: 2, heads: 2, num_classes: 4, in_chans: 1}";

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::new().expect("temporary file"));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), bytes).expect("write the bytes");
        let mut spec = ModelSpec::new("timm/vit_tiny_patch16_224");
        spec.set = serde_yaml::from_str(FIELDS).expect("valid fields");
        let classes = Classes::Selected(&[3, 1, 0, 2]);
        let _errors_are_expected =
            StateFile::open(file.path()).and_then(|file| pretrained(&spec, &file, classes, Device::Cpu));
    });
});
