//! What a network looks at.

mod excitations;

pub use excitations::{Block, Excitations};
