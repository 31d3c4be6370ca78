//! What the verbs that explain pictures share: the pictures, the network, where things go.

use crate::cli::progress::Counter;
use crate::cli::{classify, network, print, print_json, signals};
use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::Tensor;
use tchvision::data::image;
use tchvision::explain::{Class, Colours, Figure, Folder, Look, Panel};
use tchvision::{Classifier, Interrupted, Usage, brief};

/// The network, and where its figures go.
#[derive(clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub network: network::Args,
    /// Where NAME.png, NAME.safetensors, manifest.json and index.html go
    #[arg(long, value_name = "DIR", default_value = "explained")]
    pub out: PathBuf,
    /// The manifest on stdout
    #[arg(long)]
    pub json: bool,
}

impl Common {
    pub fn open(&self) -> Result<Classifier> {
        let classifier = network::open(self.network.builder()?)?;
        network::show_notes(&classifier);
        Ok(classifier)
    }

    pub fn folder(&self, classifier: &Classifier, what: Value) -> Result<Folder> {
        Folder::create(&self.out, classifier, what)
    }

    /// Writes manifest and page; fails where pictures could not be read.
    pub fn finish(&self, folder: Folder, failed: usize) -> Result<()> {
        let manifest = folder.finish()?;
        if self.json {
            print_json(&manifest)?;
        }
        ensure!(failed == 0, "{failed} pictures could not be read");
        Ok(())
    }

    /// A line for a person.
    pub fn say(&self, line: impl std::fmt::Display) -> Result<()> {
        if self.json { Ok(()) } else { print(line) }
    }
}

/// Which class the maps are of.
#[derive(clap::Args)]
pub struct Classes {
    /// A label, the number of an output, or `top`, the most probable; again for more
    #[arg(long = "class", value_name = "top|NAME|ID", default_value = "top")]
    pub classes: Vec<String>,
}

impl Classes {
    pub fn of(&self, classifier: &Classifier) -> Result<Vec<Class>> {
        self.classes.iter().map(|text| Class::of(text, classifier)).collect()
    }

    pub fn only(&self, classifier: &Classifier) -> Result<Class> {
        let [class] = <[_; 1]>::try_from(self.of(classifier)?)
            .map_err(|_| Usage("one --class at a time here".to_owned()))?;
        Ok(class)
    }
}

/// A class with its label, as `281 (tabby, tabby cat)`.
pub fn label(classifier: &Classifier, class: i64) -> String {
    match classifier.labels().and_then(|labels| labels.get(class as usize)) {
        Some(label) => label.clone(),
        None => format!("class {class}"),
    }
}

/// P(class) of one picture by its logits (1, classes).
pub fn probability(logits: &Tensor, class: i64) -> Result<f64> {
    Ok(logits.f_softmax(1, tch::Kind::Float)?.f_double_value(&[0, class])?)
}

/// The picture itself, as the first panel.
pub fn input(look: &Look) -> Panel {
    Panel { image: look.shown.clone(), caption: vec!["input".into(), String::new()] }
}

/// What a verb finds in one picture.
pub struct Found {
    pub figure: Figure,
    pub tensors: Vec<(String, Tensor)>,
    /// What the manifest says of it.
    pub about: Value,
    /// What is told behind the path of its figure, if anything.
    pub line: String,
}

/// Pictures read one after the other, with a bar; `Ctrl-C` ends them.
pub struct Pictures {
    pub files: Vec<PathBuf>,
    bar: Counter,
    /// Whether the bar counts something else than pictures, which the verb steps.
    counts_steps: bool,
    stop: Arc<AtomicBool>,
    pub failed: usize,
}

impl Pictures {
    /// Files, and those in folders.
    pub fn new(named: &[PathBuf]) -> Result<Self> {
        let files = classify::files(named)?;
        let bar = Counter::new(files.len());
        Ok(Self { bar, files, counts_steps: false, stop: signals()?, failed: 0 })
    }

    /// A bar over `count` steps of each picture.
    pub fn steps(&mut self, count: usize) {
        self.bar.finish();
        self.bar = Counter::new(count * self.files.len());
        self.counts_steps = true;
    }

    /// Explains every picture that can be read, by its file, and writes what is found; `what` is the verb and its settings.
    pub fn each(
        mut self,
        common: &Common,
        classifier: &Classifier,
        what: Value,
        explain: &mut dyn FnMut(&Self, &str, &Look) -> Result<Found>,
    ) -> Result<()> {
        let mut folder = None;
        for i in 0..self.files.len() {
            if let Some(look) = self.look(classifier, i) {
                let file = self.files[i].display().to_string();
                let Found { figure, tensors, about, line } = explain(&self, &file, &look)?;
                let folder = match &mut folder {
                    Some(folder) => folder,
                    None => folder.insert(common.folder(classifier, what.clone())?),
                };
                let path = folder.add(&file, &figure, &tensors, about)?;
                let line = if line.is_empty() { line } else { format!(": {line}") };
                self.suspend(|| common.say(format_args!("{}{line}", path.display())))?;
            }
            if !self.counts_steps {
                self.step()?;
            }
        }
        self.finish();
        match folder {
            Some(folder) => common.finish(folder, self.failed),
            None => Err(Usage("no picture could be read".into()).into()),
        }
    }

    /// As the network sees it; `None` for one that cannot be read, which is said.
    pub fn look(&mut self, classifier: &Classifier, i: usize) -> Option<Look> {
        let file = &self.files[i];
        match image::read(file).and_then(|image| Look::at(classifier, &image)) {
            Ok(look) => Some(look),
            Err(error) => {
                let text = brief(&error);
                let name = file.display().to_string();
                let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
                self.bar.suspend(|| eprintln!("error: {text}"));
                self.failed += 1;
                None
            }
        }
    }

    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// One more is done.
    pub fn step(&self) -> Result<()> {
        self.bar.step();
        if self.stop.load(Ordering::Relaxed) {
            bail!(Interrupted("interrupted; run the same command again".into()));
        }
        Ok(())
    }

    pub fn finish(&self) {
        self.bar.finish();
    }
}

/// How maps are drawn.
#[derive(clap::Args)]
pub struct Drawing {
    /// jet, viridis, inferno, turbo or grey
    #[arg(long, default_value_t)]
    pub colours: Colours,
    /// The share of the colours over the picture
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    alpha: f32,
    /// Places whose map is below it stay as they are
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    threshold: f32,
}

impl Drawing {
    pub fn overlay(&self) -> Result<tchvision::explain::Overlay> {
        let Self { colours, alpha, threshold } = *self;
        for (flag, value) in [("alpha", alpha), ("threshold", threshold)] {
            ensure!((0.0..=1.0).contains(&value), Usage(format!("--{flag} {value} is not between 0 and 1")));
        }
        Ok(tchvision::explain::Overlay { colours, alpha, threshold })
    }
}
