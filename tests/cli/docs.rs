//! README and the pages under docs/: every command runs as written, in a folder that has the files a reader would have.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tch::Device;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights;

/// What a command that goes on for long gets; one that is still at work then runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The exit code of a run that was interrupted and can go on.
const INTERRUPTED: i32 = 75;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, CONTRIBUTING.md and the pages under docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages.splice(0..0, ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    pages
}

/// The blocks of code of a page: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// A folder like a checkout, with the image, images and weights that the pages speak of.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["experiments", "tests", "Makefile", "requirements", "requirements.txt", ".venv"] {
        std::os::unix::fs::symlink(root().join(name), at.join(name)).unwrap();
    }
    let photo = root().join("tests/goldens/images/large.jpg");
    // A class of ImageNet by its synset.
    fs::create_dir_all(at.join("photos/n02123045")).unwrap();
    for name in ["cat.jpg", "photos/n02123045/cat.jpg"] {
        fs::copy(&photo, at.join(name)).unwrap();
    }
    for (split, class) in [("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")] {
        let class = at.join("pets").join(split).join(class);
        fs::create_dir_all(&class).unwrap();
        for name in ["a.jpg", "b.jpg"] {
            fs::copy(&photo, class.join(name)).unwrap();
        }
    }
    let store = Store::new(Device::Cpu);
    ModelSpec::new("resnet18").resolve().unwrap().build(&store).unwrap();
    let weights = store.state_dict();
    weights::save(&at.join("resnet18.safetensors"), &weights, HashMap::new()).unwrap();
    let theirs =
        weights.iter().map(|(name, t)| (name.replace("conv", "fold").replace("1.", "a."), t.shallow_clone()));
    weights::save(&at.join("theirs.safetensors"), &theirs.collect::<Vec<_>>(), HashMap::new()).unwrap();
    let vit = Store::new(Device::Cpu);
    ModelSpec::new("vit_tiny_patch16_224").resolve().unwrap().build(&vit).unwrap();
    weights::save(&at.join("vit.safetensors"), &vit.state_dict(), HashMap::new()).unwrap();
    // The public weights of resnet18.a1_in1k, as an earlier fetch leaves them in the cache.
    let snapshot = at.join("hub/models--timm--resnet18.a1_in1k/snapshots/main");
    fs::create_dir_all(&snapshot).unwrap();
    weights::save(&snapshot.join("model.safetensors"), &weights, HashMap::new()).unwrap();
    folder
}

/// Runs a line of a page; what is wrong, if anything.
fn run(line: &str, folder: &Path) -> Result<(), String> {
    let program = Path::new(env!("CARGO_BIN_EXE_tchvision"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    // What make would do is made elsewhere; here its target must be there.
    let line = if line.starts_with("make ") { line.replacen("make", "make -n", 1) } else { line.to_owned() };
    let log = folder.join("log.txt");
    let file = fs::File::create(&log).unwrap();
    let mut child = Command::new("bash")
        .args(["-c", &format!("exec {line}")])
        .current_dir(folder)
        .env("PATH", path)
        .env("HF_HUB_CACHE", folder.join("hub"))
        .env("TCHVISION_DATA", root().join("target/datasets"))
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut interrupted = false;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        // What the other commands need is waited for.
        let is_over = start.elapsed() > PATIENCE && !line.contains("data fetch");
        if is_over && !interrupted {
            interrupted = true;
            // SAFETY: a signal to a child that is still ours to wait for.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        }
        sleep(Duration::from_millis(50));
    };
    let said = fs::read_to_string(&log).unwrap_or_default();
    let works = status.success() || interrupted && matches!(status.code(), None | Some(INTERRUPTED));
    if works { Ok(()) } else { Err(format!("$ {line}\n{status}\n{said}")) }
}

/// A command that takes minutes is interrupted once it is at work.
#[test]
fn every_command_of_the_pages_runs_as_written() {
    let folder = checkout();
    let (mut commands, mut failures) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (language, block) in blocks(&text) {
            // A file that the page shows: `# NAME.yaml` is its first line.
            let name = block.lines().next().and_then(|first| first.strip_prefix("# ")?.strip_suffix(".yaml"));
            if let ("yaml", Some(name)) = (language, name) {
                fs::write(folder.path().join(name).with_extension("yaml"), block).unwrap();
            }
            for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                commands += 1;
                failures.extend(run(line, folder.path()).err());
            }
        }
    }
    assert!(commands > 20, "{commands} commands");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
