//! The switch that freezes and thaws the layers of one model.

use crate::locked;
use std::sync::{Arc, Mutex};
use tch::Kind;

/// Whether the layers of one model are frozen, with a count of the freezes: weights prepared for an earlier one are
/// stale.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<Mutex<State>>);

#[derive(Clone, Copy, Default)]
struct State {
    /// How often the model has been frozen.
    count: u64,
    kind: Option<Kind>,
}

/// A switch that is on: the count of freezes and the dtype.
#[derive(Clone, Copy)]
pub(super) struct On {
    pub count: u64,
    pub kind: Kind,
}

impl Switch {
    pub fn on(&self) -> Option<On> {
        let State { count, kind } = *locked(&self.0);
        kind.map(|kind| On { count, kind })
    }

    pub fn freeze(&self, kind: Kind) {
        let mut state = locked(&self.0);
        *state = State { count: state.count + 1, kind: Some(kind) };
    }

    pub fn thaw(&self) {
        locked(&self.0).kind = None;
    }
}
