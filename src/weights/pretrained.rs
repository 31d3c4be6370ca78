//! Models with weights from a file.

use super::catalogue::Entry;
#[cfg(feature = "hub")]
use super::{Archive, Hub, catalogue};
use super::{Classes, StateFile, adapt, load, recognise};
use crate::models::{Model, ModelSpec};
use crate::nn::Store;
use anyhow::Result;
use std::path::PathBuf;
use tch::Device;

/// A model with weights from a file.
pub struct Pretrained {
    pub model: Box<dyn Model>,
    pub store: Store,
    /// The library whose names the file has.
    pub naming: String,
    /// Classifier tensors that are newly initialised because the file has other classes or no classifier.
    pub fresh: Vec<String>,
}

/// Builds the model of `spec` on `device` with the weights of a file in any known naming, adapted if `spec`
/// differs from the pretrained model in classes, input channels, patch size or input size. A new classifier
/// is initialised by its layer, from the global generator.
///
/// # Errors
/// An invalid `spec`, or weights that do not match the model; the message has the first differences.
pub fn pretrained(
    spec: &ModelSpec,
    file: &StateFile,
    classes: Classes,
    device: Device,
) -> Result<Pretrained> {
    let architecture = spec.resolve()?;
    let store = if spec.set.is_empty() { Store::uninitialised(device) } else { Store::new(device) };
    let model = architecture.build(&store)?;
    let mut wanted = store.state_dict();
    let (naming, mut state) = recognise(architecture.name, file.state_dict()?, &wanted)?;
    let fresh = adapt(&mut state, spec, &wanted, classes)?;
    wanted.retain(|(name, _)| !fresh.contains(name));
    load(&state, &wanted)?;
    Ok(Pretrained { model, store, naming, fresh })
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
