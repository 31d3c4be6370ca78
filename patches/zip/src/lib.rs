//! What tch (`Tensor::read_npz`, `write_npz`) and the build script of torch-sys use of zip 0.6.
//!
//! Both ask for zip 0.6 with all its features: AES, bzip2, zstd, clocks; 28 crates and two libraries in C that no `.npz`
//! needs. This is today's zip without them, under the old name.

pub use today::{CompressionMethod, ZipArchive, ZipWriter, result};

/// Options of a file that is written.
pub mod write {
    pub use today::write::SimpleFileOptions as FileOptions;
}
