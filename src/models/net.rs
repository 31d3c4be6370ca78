//! The structure of most networks: a sequence of stages and a head.

use super::Model;
use crate::nn::Layer;

/// A sequence of stages, a head, and auxiliary heads for training.
pub(super) struct Net {
    stages: Vec<(String, Box<dyn Layer>)>,
    auxiliaries: Vec<(String, Box<dyn Layer>)>,
    head: Box<dyn Layer>,
}

impl Net {
    /// Named stages in order, and the head after the last of them.
    pub fn new<N: Into<String>>(stages: Vec<(N, Box<dyn Layer>)>, head: impl Layer + 'static) -> Self {
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

    fn head(&self) -> &dyn Layer {
        self.head.as_ref()
    }

    fn auxiliaries(&self) -> Vec<(&str, &dyn Layer)> {
        by_name(&self.auxiliaries)
    }
}
