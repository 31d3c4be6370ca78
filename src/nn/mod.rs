//! Layers with PyTorch's names, defaults, initialisation and numerics.
//!
//! A model describes which layer follows which; a layer knows the rest: how its parameters start, what it costs
//! ([`cost`]), and how it runs fast.

pub mod activation;
pub mod attention;
pub mod cond_conv;
pub mod conv;
pub mod cost;
pub mod dropout;
pub mod init;
pub mod layer_scale;
pub mod linear;
pub mod mobile;
pub mod norm;
pub mod pool;
pub mod sequential;
pub mod squeeze_excite;
pub mod store;

pub use activation::Activation;
pub use attention::{MultiQueryAttention, MultiheadAttention, QueryHeads, scaled_dot_product_attention};
pub use cond_conv::CondConv2d;
pub use conv::{Conv, Conv2d, ConvNorm};
pub use cost::Cost;
pub use dropout::{DropPath, Dropout};
pub use init::Init;
pub use layer_scale::LayerScale2d;
pub use linear::Linear;
pub use mobile::{ConvBlock, FusedInvertedResidual, InvertedResidual, Skip, make_divisible};
pub use norm::{BatchNorm2d, GroupNorm, LayerNorm, NormAct};
pub use pool::{AntiAlias, AvgPool2d, BlurPool2d, MaxPool2d, adaptive_avg_pool, global_avg_pool};
pub use sequential::Sequential;
pub use squeeze_excite::{Excitation, SqueezeExcite};
pub use store::{Path, Role, Store};

use anyhow::Result;
use tch::Tensor;

/// Something that maps one tensor to another.
pub trait Layer: Send {
    /// `train` selects batch statistics, dropout and stochastic depth, as `module.train()` does.
    ///
    /// # Errors
    /// A shape that the layer cannot take, with libtorch's message.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}
