//! A model with its weights from a file.

use super::catalogue::Entry;
#[cfg(feature = "hub")]
use super::{Archive, Hub, catalogue};
use super::{Classes, StateFile, adapt, load, recognise};
use crate::models::{Model, ModelSpec};
use crate::nn::Store;
use anyhow::Result;
use tch::Device;

/// A model whose weights came from a file.
pub struct Pretrained {
    pub model: Box<dyn Model>,
    pub store: Store,
    /// Whose names the file has for the tensors.
    pub naming: String,
    /// Tensors of the classifier that start anew, because the file's has other classes, or the file has none.
    pub fresh: Vec<String>,
}

/// Builds the model of `spec` on `device` with the weights of a file, whatever library named them, adapted where `spec`
/// differs from the pretrained model in classes, input channels or input size. A new classifier starts as its layer
/// does, from the global generator.
///
/// # Errors
/// Fields that make no network, or weights that are not this model's, with all that differs.
pub fn pretrained(
    spec: &ModelSpec,
    file: &StateFile,
    classes: Classes,
    device: Device,
) -> Result<Pretrained> {
    let architecture = spec.resolve()?;
    let store = match spec.set.is_empty() {
        true => Store::uninitialised(device),
        false => Store::new(device),
    };
    let model = architecture.build(&store)?;
    let mut wanted = store.state_dict();
    let (naming, mut state) = recognise(architecture.name, file.state_dict()?, &wanted)?;
    let fresh = adapt(&mut state, spec, &wanted, classes)?;
    wanted.retain(|(name, _)| !fresh.contains(name));
    load(&state, &wanted)?;
    Ok(Pretrained { model, store, naming, fresh })
}

/// The model of public weights, with what its library says of them: preprocessing, classes, data, licence.
#[cfg(feature = "hub")]
pub struct Public {
    pub entry: &'static Entry,
    pub pretrained: Pretrained,
}

/// Builds a model on `device` with its public weights: `resnet50.a1_in1k`, `torchvision/vgg16.IMAGENET1K_V1`, or a bare model's
/// default ones. The file comes from the cache or is fetched; `progress` hears file, bytes so far, and bytes in all.
///
/// # Errors
/// An unknown name (with the nearest), weights of a model that the registry does not have, a file that cannot be fetched
/// or is not this model's.
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

impl Entry {
    /// The model that the file was saved from.
    ///
    /// # Errors
    /// A model that the registry does not have.
    pub fn spec(&self) -> Result<ModelSpec> {
        let mut spec = ModelSpec::new(&self.model);
        let fields = spec.resolve()?.fields()?;
        // torchvision's features alone (of VGG-16) come with a classifier that is not a number.
        let classes = if self.naming() == "torchvision" && self.classes == 0 { 1000 } else { self.classes };
        if fields.get("num_classes").is_some_and(|default| default.as_i64() != Some(classes)) {
            spec.set("num_classes", &classes.to_string())?;
        }
        // torchvision trained GoogLeNet and Inception v3 on another normalisation than its transforms give, and
        // corrects it within the network.
        if self.naming() == "torchvision" && fields.contains_key("transform_input") {
            spec.set("transform_input", "true")?;
        }
        Ok(spec)
    }
}
