//! Values inside a model, for who looks into it.

use crate::locked;
use std::sync::{Arc, Mutex};
use tch::Tensor;

/// What the layers of one model tell while it is looked into; nothing is kept otherwise.
#[derive(Clone, Default)]
pub(super) struct Taps(Arc<Mutex<Option<Values>>>);

/// By the keys of the layers.
type Values = Vec<(String, Tensor)>;

impl Taps {
    pub fn are_open(&self) -> bool {
        locked(&self.0).is_some()
    }

    pub fn set_open(&self, open: bool) {
        *locked(&self.0) = open.then(Vec::new);
    }

    /// A layer's value.
    pub fn give(&self, name: &str, value: &Tensor) {
        if let Some(values) = locked(&self.0).as_mut() {
            values.push((name.to_owned(), value.shallow_clone()));
        }
    }

    /// What has been given since the last time, in the order of the layers.
    pub fn take(&self) -> Values {
        locked(&self.0).as_mut().map(std::mem::take).unwrap_or_default()
    }
}
