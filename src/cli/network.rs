//! A network with its weights and its preprocessing, as the verbs that look at pictures name it.

use super::progress::FileBar;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use tch::Kind;
use tchvision::data::image::{self, RgbImage};
use tchvision::data::{self, Preprocess};
use tchvision::evaluate::Protocol;
use tchvision::models::{Model, ModelSpec};
use tchvision::weights::catalogue::{self, Entry};
use tchvision::weights::{Archive, Classes, Hub, Pretrained, from_pretrained, pretrained};
use tchvision::{Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    /// Such as `resnet50`, `timm/resnet50`, `resnet50.a1_in1k`
    #[arg(long, value_name = "NAME[.TAG]")]
    pub model: String,
    /// A file, or the tag of public weights; without it, those of the model's name
    #[arg(long, value_name = "FILE|TAG")]
    weights: Option<String>,
    /// Override a field of the model's configuration, for weights from a file
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
}

/// A network with its weights.
pub struct Network {
    /// The model's registered name.
    pub name: String,
    pub model: Box<dyn Model>,
    /// Outputs of the head.
    pub classes: usize,
    /// Height and width of the input that the model is stated for.
    side: i64,
    /// The public weights of its name.
    entry: Option<&'static Entry>,
}

impl Args {
    /// Reads or fetches the weights. Fields in `also` are set where the command line does not.
    pub fn open(&self, also: &[(&str, i64)]) -> Result<Network> {
        let file = self.weights.as_deref().map(Path::new).filter(|path| path.exists());
        if let Some(file) = file {
            return self.open_file(file, also);
        }
        if !self.set.is_empty() || self.key.is_some() {
            return Err(
                Usage("--set and --key go with a file of weights; public ones have neither".into()).into()
            );
        }
        let entry = self.entry()?;
        let progress = FileBar::new();
        let public = from_pretrained(&entry.name(), &Hub::from_env()?, &mut |file, done, total| {
            progress.set(file, done, total);
        });
        progress.finish();
        Network::new(&entry.spec()?, public?.pretrained, Some(entry))
    }

    /// The public weights that the name and the tag mean.
    fn entry(&self) -> Result<&'static Entry> {
        let name = match &self.weights {
            Some(tag) => format!("{}.{tag}", self.model),
            None => self.model.clone(),
        };
        catalogue::find(&name).map_err(|error| {
            let no_file =
                self.weights.as_ref().map(|weights| format!("--weights {weights}: no such file, and "));
            Usage(format!("{}{}", no_file.unwrap_or_default(), brief(&error))).into()
        })
    }

    fn open_file(&self, file: &Path, also: &[(&str, i64)]) -> Result<Network> {
        let usage = |e: anyhow::Error| Usage(brief(&e));
        // A name with a tag, or of public weights, tells how their pictures are prepared.
        let public = catalogue::find(&self.model);
        let entry = public.as_ref().ok().copied();
        // For a data set's classes and channels the model is the one that `train` builds.
        let mut spec = match (entry, also) {
            (Some(entry), []) => entry.spec()?,
            (Some(entry), _) => ModelSpec::new(&entry.model),
            (None, _) => ModelSpec::new(&self.model),
        };
        let fields = spec.resolve().and_then(|model| model.fields()).map_err(usage)?;
        for (field, value) in also.iter().filter(|(field, _)| fields.contains_key(*field)) {
            spec.set(field, &value.to_string())?;
        }
        for assignment in &self.set {
            let (field, value) = assignment.split_once('=').ok_or_else(|| {
                Usage(format!("--set {assignment}: write FIELD=VALUE, such as --set num_classes=10"))
            })?;
            spec.set(field, value).map_err(usage)?;
        }
        spec.resolve().map_err(usage)?;
        let state = Archive::open(file)?.choose(self.key.as_deref())?;
        let pretrained = pretrained(&spec, &state, Classes::New)?;
        ensure!(
            pretrained.fresh.is_empty(),
            "{}: the classifier ({}) has other classes than the model; --set num_classes=N tells how many",
            file.display(),
            pretrained.fresh.join(", ")
        );
        Network::new(&spec, pretrained, entry)
    }
}

/// How pictures become the input of a model, by the name of its public weights.
pub fn preprocess(name: &str) -> Result<Preprocess> {
    let entry = catalogue::find(name).map_err(|error| Usage(brief(&error)))?;
    Ok(entry.preprocess.clone())
}

impl Network {
    fn new(spec: &ModelSpec, pretrained: Pretrained, entry: Option<&'static Entry>) -> Result<Self> {
        let architecture = spec.resolve()?;
        let classes = architecture.fields()?.get("num_classes").and_then(|value| value.as_u64()).unwrap_or(0);
        pretrained.store.freeze(Kind::Float);
        ensure!(classes > 0, "{} has no classifier: its outputs are no classes", architecture.name);
        Ok(Self {
            name: architecture.name.to_owned(),
            model: pretrained.model,
            classes: classes as usize,
            side: architecture.input()[1],
            entry,
        })
    }

    /// How pictures become its input. Where no public weights tell, says on stderr what is assumed.
    pub fn preprocess(&self) -> Preprocess {
        if let Some(entry) = self.entry {
            return entry.preprocess.clone();
        }
        let preprocess = Preprocess::imagenet(self.side);
        eprintln!(
            "{}: no public weights tell how its pictures are prepared: the middle {} of {} pixels is taken, with \
             ImageNet's mean and deviation",
            self.name, self.side, preprocess.resize
        );
        preprocess
    }

    /// The names of the outputs, where they are known.
    pub fn labels(&self) -> Option<Vec<&'static str>> {
        let labels = match self.entry {
            Some(entry) => entry.labels(),
            None => Some(catalogue::imagenet_1k()),
        };
        labels.filter(|labels| labels.len() == self.classes)
    }
}

/// The views of a picture in a file; an error names the file.
pub fn views(protocol: Protocol, preprocess: &Preprocess, path: &Path) -> Result<Vec<RgbImage>> {
    let image = image::read(path)?;
    protocol.views(preprocess, &image).with_context(|| path.display().to_string())
}

/// The pictures in a folder and those below it, sorted by path.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for (path, is_folder) in entries(&folder)? {
            if is_folder {
                folders.push(path);
            } else if data::is_picture(&path.to_string_lossy()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is in a folder, and whether it is a folder itself, sorted; hidden ones are left out.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let read = || -> std::io::Result<Vec<(PathBuf, bool)>> {
        let mut entries = Vec::new();
        for entry in folder.read_dir()? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                // A link to a folder is none: it may lead in a circle.
                entries.push((entry.path(), entry.file_type()?.is_dir()));
            }
        }
        entries.sort();
        Ok(entries)
    };
    read().with_context(|| format!("{}: the folder cannot be read", folder.display()))
}
