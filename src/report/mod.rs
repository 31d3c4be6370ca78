pub mod format;
pub mod tensorboard;
