//! The structure of most networks: a sequence of stages and a head.

use super::Model;
use crate::nn::{Head, Layer};

/// A sequence of stages, a head, and auxiliary heads for training.
///
/// ```
/// use tchvision::models::{self, Config, Model, Net};
/// use tchvision::nn::{Classifier, Conv, Conv2d, ConvAct, Activation, Layer, Linear, Store};
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Tiny {
///     num_classes: i64,
///     width: i64,
/// }
///
/// impl Config for Tiny {
///     fn input(&self) -> [i64; 3] {
///         [3, 32, 32]
///     }
///
///     fn build(&self, store: &Store) -> anyhow::Result<Box<dyn Model>> {
///         let (path, width) = (store.root(), self.width);
///         let stem = ConvAct(Conv2d::new(&(&path / "stem"), Conv::new(3, width, 3).same())?, Activation::Relu);
///         let stages: Vec<(&str, Box<dyn Layer>)> = vec![("stem", Box::new(stem))];
///         let head = Classifier::new(self.num_classes, 0.0, || Linear::new(&(&path / "fc"), width, self.num_classes))?;
///         Ok(Box::new(Net::new(stages, head)))
///     }
/// }
///
/// # fn main() -> anyhow::Result<()> {
/// models::register("mine/tiny", "Tiny", Tiny { num_classes: 10, width: 8 })?;
/// let mut spec = models::ModelSpec::new("mine/tiny");
/// spec.set("width", "16")?;
/// assert_eq!(spec.resolve()?.complexity([3, 32, 32])?.macs, 32 * 32 * 27 * 16 + 16 * 10);
/// # Ok(())
/// # }
/// ```
pub struct Net {
    stages: Vec<(String, Box<dyn Layer>)>,
    auxiliaries: Vec<(String, Box<dyn Layer>)>,
    head: Box<dyn Head>,
}

impl Net {
    /// Named stages in order, and the head after the last of them.
    pub fn new<N: Into<String>>(stages: Vec<(N, Box<dyn Layer>)>, head: impl Head + 'static) -> Self {
        let stages = stages.into_iter().map(|(name, stage)| (name.into(), stage)).collect();
        Self { stages, auxiliaries: Vec::new(), head: Box::new(head) }
    }

    /// With an auxiliary head on the output of `stage`, trained beside the main one.
    pub fn auxiliary(mut self, stage: &str, head: impl Layer + 'static) -> Self {
        self.auxiliaries.push((stage.to_owned(), Box::new(head)));
        self
    }
}

fn by_name(layers: &[(String, Box<dyn Layer>)]) -> Vec<(&str, &dyn Layer)> {
    layers.iter().map(|(name, layer)| (name.as_str(), layer.as_ref())).collect()
}

impl Model for Net {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        by_name(&self.stages)
    }

    fn head(&self) -> &dyn Head {
        self.head.as_ref()
    }

    fn auxiliaries(&self) -> Vec<(&str, &dyn Layer)> {
        by_name(&self.auxiliaries)
    }
}
