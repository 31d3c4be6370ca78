//! Models with weights from a file.

use super::catalogue::Entry;
use super::differences::Mismatch;
use super::load::is_computed;
use super::mapping::{Mapping, pair, renamed};
use super::structure::{Open, Pairing, Unit};
#[cfg(feature = "hub")]
use super::{Archive, Hub, catalogue};
use super::{
    Classes, Differences, Recognised, StateDict, StateFile, adapt, classifier, compare, load, recognise,
};
use crate::Remedy;
use crate::models::{Model, ModelSpec};
use crate::nn::Store;
use anyhow::{Error, Result, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::Device;

/// A model with weights from a file.
pub struct Pretrained {
    pub model: Box<dyn Model>,
    pub store: Store,
    /// With the fields that the library of the file has otherwise.
    pub spec: ModelSpec,
    /// The library whose names the file has.
    pub naming: String,
    /// Classifier tensors that are newly initialised because the file has other classes or no classifier.
    pub fresh: Vec<String>,
    /// What was done to the file's names and weights, taken for granted or left over, a line each.
    pub notes: Vec<String>,
}

/// A file's tensors under a model's names and in its shapes, not yet loaded.
pub struct Named {
    /// The model, with the fields that the library of the file has otherwise.
    pub spec: ModelSpec,
    /// The library whose names the file has; `structure` where they were paired by order and shape, `map` by hand.
    pub naming: String,
    pub state: StateDict,
    /// What was done to names and weights, taken for granted or left over, a line each.
    pub notes: Vec<String>,
}

/// Finds a model's tensors in a file: by `map` where there is one, else by a known naming, or, where less than half of the
/// model's names are the file's in any, by structure. The best known naming is taken where nothing fits, and
/// [`super::compare`] lists the differences.
///
/// # Errors
/// A map that is wrong for the file or the model, and unknown names that can be paired in several ways.
pub fn named(spec: &ModelSpec, file: &StateFile, map: Option<&Mapping>) -> Result<Named> {
    let at = file.path().display();
    if let Some(map) = map {
        let meta = Store::meta();
        spec.resolve()?.build(&meta)?;
        let (state, left) = map.apply(file.state_dict()?, &meta.state_dict())?;
        let mut notes = Vec::new();
        if let [first, ..] = left.as_slice() {
            notes.push(format!("{at}: {} tensors have no line in the map, such as `{first}`", left.len()));
        }
        return Ok(Named { spec: spec.clone(), naming: "map".to_owned(), state, notes });
    }
    let Recognised { spec, naming, state, notes, is_whole, wanted } = recognise(spec, file.state_dict()?)?;
    if is_whole {
        return Ok(Named { spec, naming, state, notes });
    }
    let differences = compare(&state, &wanted);
    if differences.missing.len() * 2 <= differences.expected {
        return Ok(Named { spec, naming, state, notes });
    }
    let original = file.state_dict()?;
    let pairing = pair(&original, &wanted);
    if !pairing.fits && pairing.pairs.len() * 2 < pairing.layers() {
        return Ok(Named { spec, naming, state, notes });
    }
    if let Some(why) = doubt(&pairing, &original)? {
        return Err(Error::new(Remedy::Map).context(format!("{at}: its names are unknown, and {why}\n  try")));
    }
    let counters = pairing.pairs.iter().map(|(model, file)| {
        let counter = |layer: &str| format!("{layer}.num_batches_tracked");
        (counter(&file.name), counter(&model.name))
    });
    let counters = counters.filter(|(_, name)| wanted.iter().any(|(known, _)| known == name));
    let tensors = pairing.pairs.iter().flat_map(|(model, file)| {
        model
            .tensors
            .iter()
            .zip(&file.tensors)
            .map(|((_, wanted), (_, has))| (has.0.clone(), wanted.0.clone()))
    });
    let names: HashMap<String, String> = counters.chain(tensors).collect();
    let state = renamed(original, &wanted, &|name| names.get(name).map(String::as_str))?;
    let paired = state.tensors.iter().filter(|(name, _)| !is_computed(name)).count();
    let note = format!(
        "{at}: {paired} of {} tensors paired by order and shape; no other pairing fits. Taken for granted: padding, places of \
         strides, activations, epsilons, the order of squeeze-excitation, the head; `weights verify` tells by logits",
        differences.expected
    );
    Ok(Named { spec, naming: "structure".to_owned(), state, notes: vec![note] })
}

/// Groups that a message lists.
const SHOWN: usize = 4;

/// Why a pairing by structure is not certain.
fn doubt(pairing: &Pairing, state: &StateDict) -> Result<Option<String>> {
    if let Some(contradiction) = &pairing.contradiction {
        return Ok(Some(contradiction.clone()));
    }
    let own: HashMap<&str, &(Unit, Unit)> =
        pairing.pairs.iter().map(|pair| (pair.0.name.as_str(), pair)).collect();
    for (model, file) in &pairing.pairs {
        // A layer of the same name and shapes that is another's by structure.
        if let Some((same, other)) = own.get(file.name.as_str())
            && other.name != file.name
            && same.is_like(file)
        {
            let (name, other) = (&file.name, &other.name);
            let text =
                format!("by order and shape its `{name}` is `{}`, and `{other}` is `{name}`", model.name);
            return Ok(Some(text));
        }
        for (role, (name, _)) in file.tensors.iter().filter(|(role, _)| role == "running_var") {
            let tensor = state.tensors.iter().find(|(known, _)| known == name);
            if let Some((_, tensor)) = tensor
                && tensor.f_lt(0.0)?.f_any()?.f_int64_value(&[])? != 0
            {
                return Ok(Some(format!("`{name}` has negative values, so it is no {role}")));
            }
        }
    }
    if pairing.is_certain() {
        return Ok(None);
    }
    let some = |names: &[String], word: &str| match names {
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a}, {b}, {c} {word} {} more", rest.len()),
        names => names.join(&format!(" {word} ")),
    };
    let mut open: Vec<&Open> = pairing.open.iter().collect();
    open.sort_by_key(|open| open.model.len());
    let told = |open: &&Open| format!("{}: {}", some(&open.model, "and"), some(&open.file, "or"));
    let mut lines: Vec<String> = open.iter().take(SHOWN).map(told).collect();
    if open.len() > SHOWN {
        lines.push(format!("and {} more groups", open.len() - SHOWN));
    }
    let [missing, left] = [&pairing.missing, &pairing.left];
    lines.extend(
        (!missing.is_empty()).then(|| format!("nothing in the file is like {}", some(missing, "or"))),
    );
    lines.extend((!left.is_empty()).then(|| format!("nothing in the model is like {}", some(left, "or"))));
    let (paired, layers) = (pairing.pairs.len(), pairing.layers());
    let counts = if pairing.fits {
        format!("order and shape leave {} of {layers} layers open", layers - paired)
    } else {
        format!("{paired} of the model's {layers} layers have their like by role and shape")
    };
    Ok(Some(format!("{counts}\n  {}", lines.join("\n  "))))
}

/// Builds the model of `spec` on `device` with the weights of a file, whose tensors [`named`] finds, adapted if `spec`
/// differs from the pretrained model in classes, input channels, patch size or input size. A new classifier
/// is initialised by its layer, from the global generator.
///
/// # Errors
/// An invalid `spec`, those of [`named`], or weights that do not match the model.
pub fn pretrained(
    spec: &ModelSpec,
    file: &StateFile,
    classes: Classes,
    device: Device,
) -> Result<Pretrained> {
    pretrained_by(None, spec, file, classes, device)
}

/// As [`pretrained`], with the names that a map pairs.
///
/// # Errors
/// As [`pretrained`].
pub fn pretrained_by(
    map: Option<&Mapping>,
    spec: &ModelSpec,
    file: &StateFile,
    classes: Classes,
    device: Device,
) -> Result<Pretrained> {
    let Named { spec, naming, mut state, notes } = named(spec, file, map)?;
    let architecture = spec.resolve()?;
    let meta = Store::meta();
    architecture.build(&meta)?;
    let fresh = adapt(&mut state, &spec, &meta.state_dict(), classes)?;
    // What the file has needs no values of its own: to draw them takes longer than to read the file.
    let store = Store::uninitialised_but(device, &fresh);
    let model = architecture.build(&store)?;
    let mut wanted = store.state_dict();
    wanted.retain(|(name, _)| !fresh.contains(name));
    if let Err(error) = load(&state, &wanted) {
        let heads = classifier(&spec)?;
        let headless = error.downcast_ref().is_some_and(|Mismatch { differences, .. }| {
            let Differences { missing, unexpected, unlike, .. } = differences;
            unexpected.is_empty() && unlike.is_empty() && missing.iter().all(|name| heads.contains(name))
        });
        ensure!(
            !headless,
            "{}: it has no classifier of {}: train one (`init` of a run), or take its features (`tchvision features`)",
            file.path().display(),
            architecture.name
        );
        return Err(error);
    }
    Ok(Pretrained { model, store, spec, naming, fresh, notes })
}

/// A model with public weights and their catalogue entry: preprocessing, classes, data, licence.
#[cfg(feature = "hub")]
pub struct Public {
    pub entry: &'static Entry,
    pub pretrained: Pretrained,
}

/// Builds a model on `device` with its public weights: `resnet50.a1_in1k`, `torchvision/vgg16.IMAGENET1K_V1`,
/// or the default ones of a model without a tag. The file is fetched unless cached; `progress` receives the
/// file, the bytes so far and the total.
///
/// # Errors
/// An unknown name (the message has the nearest one), weights of a model that is not registered, a file that
/// cannot be fetched or does not match the model.
#[cfg(feature = "hub")]
pub fn from_pretrained(
    name: &str,
    device: Device,
    hub: &Hub,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Public> {
    let entry = catalogue::find(name)?;
    let spec = entry.spec()?;
    let file = Archive::open(&hub.fetch(entry, progress)?.path)?.choose(None)?;
    Ok(Public { entry, pretrained: pretrained(&spec, &file, Classes::New, device)? })
}

/// The file of public weights, from the cache or the network; `progress` as of [`from_pretrained`].
///
/// # Errors
/// As [`Hub::fetch`], or a program built without the feature `hub`.
pub fn fetch(entry: &Entry, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    return Ok(Hub::from_env()?.fetch(entry, progress)?.path);
    #[cfg(not(feature = "hub"))]
    return without_hub(&entry.name(), progress);
}

/// The same of a repository of the hub, `OWNER/NAME`.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_repository(repository: &str, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    return Ok(Hub::from_env()?
        .fetch_repository(repository, &mut |done, all| progress(repository, done, all))?
        .path);
    #[cfg(not(feature = "hub"))]
    return without_hub(repository, progress);
}

/// A file or folder, fetched first where it is `hf:OWNER/NAME`.
///
/// # Errors
/// As [`fetch_repository`].
pub fn local(path: &Path, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    match path.to_str().and_then(|path| path.strip_prefix(HUB)) {
        Some(repository) => fetch_repository(repository, progress),
        None => Ok(path.to_owned()),
    }
}

/// What the name of a repository of the hub begins with, where a file may stand as well.
pub const HUB: &str = "hf:";

#[cfg(not(feature = "hub"))]
fn without_hub(name: &str, _: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    let text = format!("{name}: built without the feature `hub`, which fetches public weights");
    Err(anyhow::Error::new(crate::Remedy::WeightsFile).context(text))
}

impl Entry {
    /// The model that the file was saved from.
    ///
    /// # Errors
    /// A model that is not registered.
    pub fn spec(&self) -> Result<ModelSpec> {
        let mut spec = ModelSpec::new(&self.model);
        let fields = spec.resolve()?.fields()?;
        // torchvision's features-only weights (of VGG-16) have a classifier filled with NaN.
        let classes = if self.naming() == "torchvision" && self.classes == 0 { 1000 } else { self.classes };
        if fields.get("num_classes").is_some_and(|default| default.as_i64() != Some(classes)) {
            spec.set("num_classes", &classes.to_string())?;
        }
        // torchvision's GoogLeNet and Inception v3 were trained with another normalisation than its
        // transforms use; the network converts its input.
        if self.naming() == "torchvision" && fields.contains_key("transform_input") {
            spec.set("transform_input", "true")?;
        }
        Ok(spec)
    }
}
