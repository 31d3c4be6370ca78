//! A folder with pictures of three colours, and the program run in it.

use super::common::lab::Lab;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Yard {
    folder: tempfile::TempDir,
    /// Images in memory, of another shape.
    lab: Lab,
}

impl Yard {
    /// `pictures/train` and `pictures/val` with classes `blue`, `green` and `red`: noisy BMP files of many sizes.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (split, count) in [("train", 24), ("val", 11)] {
            for (class, name) in ["blue", "green", "red"].into_iter().enumerate() {
                let dir = folder.path().join("pictures").join(split).join(name);
                fs::create_dir_all(&dir).unwrap();
                for i in 0..count {
                    let seed = format!("{split}{name}{i}");
                    let [width, height] = [40 + (i * 7) % 23, 40 + (i * 11) % 19];
                    fs::write(dir.join(format!("{i:02}.bmp")), bmp(&seed, class, width, height)).unwrap();
                }
            }
        }
        Self { folder, lab: Lab::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in the folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A run of a few short epochs as `NAME.yaml`; `IDX` stands for the folder of images in memory.
    pub fn write_run(&self, name: &str, yaml: &str) {
        let defaults = "epochs: 3, batch_size: 8, eval_batch_size: 13, log_every: 3";
        let yaml = match yaml.split_once("train: {") {
            Some((before, after)) => format!("{before}train: {{{defaults}, {after}"),
            None => format!("{yaml}train: {{{defaults}}}\n"),
        };
        let yaml = yaml.replace("IDX", &self.lab.folder.path().display().to_string());
        self.write(&format!("{name}.yaml"), &format!("{yaml}threads: 1\n"));
    }

    /// What the program gives for these arguments, one a word; its folder is this one.
    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        command
    }

    /// As [`Self::run`], for a command that has to end well: its stdout.
    pub fn ok(&self, line: &str) -> String {
        let out = self.run(line);
        assert!(out.status.success(), "{line}: {}", stderr(&out));
        String::from_utf8(out.stdout).unwrap()
    }

    /// The JSON that it prints.
    pub fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }

    /// As [`Self::run`], for a command that has to fail with this exit code: its stderr.
    pub fn fails(&self, code: i32, line: &str) -> String {
        let out = self.run(line);
        assert_eq!(out.status.code(), Some(code), "{line}: {}", stderr(&out));
        stderr(&out)
    }
}

pub fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The JSON in a file.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A picture of much noise with some of one colour.
fn bmp(seed: &str, class: usize, width: usize, height: usize) -> Vec<u8> {
    let row = (width * 3).div_ceil(4) * 4;
    let mut bytes = b"BM".to_vec();
    let number = |n: usize| (n as u32).to_le_bytes();
    bytes.extend([number(54 + row * height), number(0), number(54), number(40)].concat());
    bytes.extend([number(width), number(height)].concat());
    bytes.extend([1, 0, 24, 0]);
    bytes
        .extend([number(0), number(row * height), number(2835), number(2835), number(0), number(0)].concat());
    let noise = super::common::uniform(seed, row * height);
    let level = |(i, noise): (usize, &f64)| {
        let colour = (i % row) % 3 == class;
        (noise * 200.0) as u8 + if colour { 40 } else { 0 }
    };
    bytes.extend(noise.iter().enumerate().map(level));
    bytes
}
