//! Reads arbitrary bytes as a weights file, of all formats: the first bytes select one.
//!
//! Run from the repository root, on stable Rust (coverage without a sanitizer does not need nightly); the
//! small files of the tests are the seed corpus:
//!
//! ```console
//! $ cargo install cargo-fuzz
//! $ mkdir -p fuzz/corpus/weights && cp tests/fixtures/weights/{,containers/}*.{pth,pt,npz,npy,safetensors} fuzz/corpus/weights
//! $ LD_LIBRARY_PATH=libtorch/lib cargo fuzz run -s none weights -- -max_len=65536 -rss_limit_mb=4096 -timeout=20
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::path::Path;
use tchvision::weights::Archive;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::new().expect("temporary file"));
}

/// Opens the file and reads every tensor of every state_dict. Errors are expected; only a panic, a crash or
/// too much memory is a bug.
fn read(path: &Path) -> anyhow::Result<()> {
    let keys: Vec<String> = Archive::open(path)?.groups().iter().map(|group| group.key.clone()).collect();
    for key in &keys {
        let state = Archive::open(path)?.choose(Some(key))?;
        for name in state.names() {
            drop(state.get(name)?.f_contiguous()?);
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), bytes).expect("write the bytes");
        let _errors_are_expected = read(file.path());
    });
});
