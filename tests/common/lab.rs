//! What tests with real runs share: a small data set, its YAML, processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use tchvision::weights::StateFile;

/// A folder with a data set, a YAML file and run directories.
pub struct Lab {
    pub folder: tempfile::TempDir,
}

impl Lab {
    /// Images of four classes: a bright quadrant on noise.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (split, count) in [("train", 320), ("t10k", 100)] {
            let noise = super::uniform(split, count * 144);
            let label = |i: usize| i % 4;
            let pixel = |i: usize, j: usize| {
                let quadrant = usize::from(j / 12 >= 6) * 2 + usize::from(j % 12 >= 6);
                (noise[i * 144 + j] * 100.0) as u8 + if quadrant == label(i) { 120 } else { 0 }
            };
            let pixels = (0..count).flat_map(|i| (0..144).map(move |j| (i, j))).map(|(i, j)| pixel(i, j));
            let header = |magic: u8, dims: &[u32]| {
                let mut bytes = vec![0, 0, 8, magic];
                dims.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
                bytes
            };
            let mut file = header(3, &[count as u32, 12, 12]);
            file.extend(pixels);
            fs::write(folder.path().join(format!("{split}-images-idx3-ubyte")), file).unwrap();
            let mut file = header(1, &[count as u32]);
            file.extend((0..count).map(|i| label(i) as u8));
            fs::write(folder.path().join(format!("{split}-labels-idx1-ubyte")), file).unwrap();
        }
        Self { folder }
    }

    /// The path of a YAML file with a small net, these `train` keys and data keys.
    pub fn yaml(&self, name: &str, train: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.yaml"));
        let text = format!(
            "model: {{name: paper/wrn_16_4, num_layers: 10, width: 0.5, block_dropout: 0.2, in_chans: 1, num_classes: 4}}\n\
             data: {{dataset: 'idx:{}', augment: [pad_crop: 1]}}\n\
             train: {{batch_size: 32, log_every: 3, {train}}}\n\
             seed: 5\nthreads: 1\n",
            self.folder.path().display()
        );
        fs::write(&path, text).unwrap();
        path
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs").join(name)
    }

    pub fn command(&self, yaml: &Path, dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
        command.arg("train").arg(yaml).arg("--out").arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn train(&self, yaml: &Path, dir: &Path) -> Output {
        self.command(yaml, dir).output().unwrap()
    }

    pub fn start(&self, yaml: &Path, dir: &Path) -> Child {
        self.command(yaml, dir).spawn().unwrap()
    }
}

/// Processes that are killed before one may end.
const KILLS: u32 = 6;

/// Starts a process again and again and kills it a moment after it has saved something, a later moment each time, until
/// one ends by itself or it has been killed often enough; returns how often. `saved` tells when something was saved last.
pub fn kill_until_done(start: impl Fn() -> Child, saved: impl Fn() -> Option<SystemTime>) -> u32 {
    let mut kills = 0;
    loop {
        let before = saved();
        let mut child = start();
        let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        if kills < KILLS {
            while saved() == before && !ended(&mut child) {
                sleep(Duration::from_millis(2));
            }
            sleep(Duration::from_millis(40).saturating_mul(kills));
        }
        if kills == KILLS || ended(&mut child) {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{}", text(&out.stderr));
            return kills;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
}

/// When a file was written last, if it is there.
pub fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every tensor of a file, bit for bit.
pub fn bits(path: &Path) -> Vec<(String, Vec<u8>)> {
    let file = StateFile::open(path).unwrap();
    let bytes = |name: &String| {
        let tensor = file.get(name).unwrap();
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        (name.clone(), bytes)
    };
    let mut all: Vec<_> = file.names().iter().map(bytes).collect();
    all.sort();
    assert!(all.len() > 30);
    all
}
