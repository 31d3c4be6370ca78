//! Which kind of failure an error is.

use crate::error::Marked;
use crate::weights::Mismatch;
use crate::{ErrorKind, Interrupted, Invalid, Usage};
use anyhow::Error;
use std::io;

impl ErrorKind {
    /// The kind of an error of this crate, by the first of its causes that tells.
    ///
    /// ```
    /// use tchvision::{ErrorKind, data::image};
    ///
    /// let error = image::decode(b"no picture").unwrap_err();
    /// assert_eq!(ErrorKind::of(&error), ErrorKind::Image);
    /// ```
    pub fn of(error: &Error) -> Self {
        let missing = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::NotFound)
        };
        match error.downcast_ref::<Marked>() {
            _ if error.is::<Interrupted>() => Self::Interrupted,
            _ if error.chain().any(missing) => Self::NotFound,
            Some(marked) => marked.kind,
            None if error.is::<Mismatch>() => Self::Weights,
            None if error.is::<Invalid>() || error.is::<Usage>() => Self::Config,
            None => Self::Other,
        }
    }
}
