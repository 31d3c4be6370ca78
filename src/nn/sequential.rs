//! Layers one after another.

use super::Layer;
use super::store::Path;
use anyhow::Result;
use tch::Tensor;

/// `torch.nn.Sequential`: layers with the keys `0`, `1`, …
pub struct Sequential {
    path: Path,
    layers: Vec<(String, Box<dyn Layer>)>,
    prefix: String,
}

impl Sequential {
    /// Nothing yet: the identity.
    pub fn new(path: Path) -> Self {
        Self { path, layers: Vec::new(), prefix: String::new() }
    }

    /// The one at `parent.name`, its layers known as `name.0`, `name.1`, …
    pub fn named(parent: &Path, name: &str) -> Self {
        Self { prefix: format!("{name}."), ..Self::new(parent / name) }
    }

    /// Appends what `make` makes at the next path.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn push<L: Layer + 'static>(&mut self, make: impl FnOnce(&Path) -> Result<L>) -> Result<()> {
        let index = self.layers.len();
        let layer = make(&(&self.path / index))?;
        self.layers.push((format!("{}{index}", self.prefix), Box::new(layer)));
        Ok(())
    }

    /// The layers by name.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), layer.as_ref()))
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for (_, layer) in &self.layers {
            y = layer.forward(&y, train)?;
        }
        Ok(y)
    }
}

impl Layer for Box<dyn Layer> {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.as_ref().forward(x, train)
    }
}
