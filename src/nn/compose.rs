//! Containers of layers.

use super::store::Path;
use super::{Layer, observe};
use anyhow::Result;
use tch::Tensor;

/// Layers applied one after another.
pub struct Sequence(pub Vec<Box<dyn Layer>>);

impl Layer for Sequence {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for layer in &self.0 {
            y = layer.forward(&y, train)?;
        }
        Ok(y)
    }
}

/// Parallel branches over one input, their outputs concatenated along the channels, as in an Inception module.
pub struct Concat(Vec<Sequence>);

impl Concat {
    pub fn new(branches: Vec<Vec<Box<dyn Layer>>>) -> Self {
        Self(branches.into_iter().map(Sequence).collect())
    }
}

impl Layer for Concat {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let outputs: Vec<Tensor> =
            self.0.iter().map(|branch| branch.forward(x, train)).collect::<Result<_>>()?;
        Ok(Tensor::f_cat(&outputs, 1)?)
    }
}

/// `torch.nn.Sequential`: layers with the keys `0`, `1`, …, addressable by name.
pub struct Sequential {
    path: Path,
    prefix: String,
    names: Vec<String>,
    layers: Sequence,
}

impl Sequential {
    /// Empty: the identity.
    pub fn new(path: Path) -> Self {
        Self { path, prefix: String::new(), names: Vec::new(), layers: Sequence(Vec::new()) }
    }

    /// At `parent.name`, with layers named `name.0`, `name.1`, …
    pub fn named(parent: &Path, name: &str) -> Self {
        Self { prefix: format!("{name}."), ..Self::new(parent / name) }
    }

    /// Appends the layer that `make` builds at the next path.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn push<L: Layer + 'static>(&mut self, make: impl FnOnce(&Path) -> Result<L>) -> Result<()> {
        let index = self.names.len();
        let layer = make(&(&self.path / index))?;
        self.names.push(format!("{}{index}", self.prefix));
        self.layers.0.push(Box::new(layer));
        Ok(())
    }

    /// The layers with their names.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.names.iter().map(String::as_str).zip(self.layers.0.iter().map(AsRef::as_ref))
    }

    /// The same, by value.
    pub fn into_layers(self) -> Vec<(String, Box<dyn Layer>)> {
        self.names.into_iter().zip(self.layers.0).collect()
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for (i, layer) in self.layers.0.iter().enumerate() {
            y = observe::element(|| format!("{}.{i}", self.path.name()), layer.forward(&y, train)?)?;
        }
        Ok(y)
    }
}

impl Layer for Box<dyn Layer> {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.as_ref().forward(x, train)
    }
}
