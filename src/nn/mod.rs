//! Layers with PyTorch's names, defaults, initialisation and numerics.
//!
//! A model describes which layer follows which; a layer knows the rest: how its parameters are initialised, what it
//! costs ([`cost`]), and its fast path.

pub mod activation;
pub mod attention;
pub mod classifier;
pub mod compose;
pub mod cond_conv;
pub mod conv;
pub mod conv_norm;
pub mod cost;
pub mod dropout;
pub mod efficient_channel_attention;
mod frozen;
pub mod init;
pub mod layer_norm_2d;
pub mod layer_scale;
pub mod linear;
pub mod mlp;
pub mod norm;
mod observe;
pub mod patch_embed;
pub mod pool;
pub mod relative_position;
pub mod shortcut;
pub mod squeeze_excite;
pub mod store;
mod switch;
mod taps;

pub use activation::Activation;
pub use attention::{
    MultiQueryAttention, QueryHeads, SelfAttention, biased_attention, join_heads,
    scaled_dot_product_attention, split_heads,
};
pub use classifier::{Classifier, Head, Logits, Outputs};
pub use compose::{Concat, Sequence, Sequential};
pub use cond_conv::CondConv2d;
pub use conv::{Conv, Conv2d, first_filters, make_divisible};
pub use conv_norm::{ConvAct, ConvNorm, ConvNormAct};
pub use cost::Cost;
pub use dropout::{DropPath, Dropout};
pub use efficient_channel_attention::EfficientChannelAttention;
pub use init::Init;
pub use layer_norm_2d::LayerNorm2d;
pub use layer_scale::{LayerScale, LayerScale2d};
pub use linear::Linear;
pub use mlp::{FeedForward, Mlp};
pub use norm::{BatchNorm2d, GroupNorm, LayerNorm, LocalResponseNorm, NormAct};
pub use observe::{Backward, Observe, Output, Seen, observe};
pub use patch_embed::PatchEmbed;
pub use pool::{
    AntiAlias, AvgPool2d, BlurPool2d, MaxPool2d, adaptive_avg_pool, global_avg_pool, max_unpool,
    record_switches,
};
pub use relative_position::{relative_position_bias, relative_position_index};
pub use shortcut::{PaddedShortcut, Skip};
pub use squeeze_excite::{Excitation, Squeeze, SqueezeExcite};
pub use store::{Path, Role, Store};

use anyhow::Result;
use tch::Tensor;

/// Something that maps one tensor to another.
pub trait Layer: Send + Sync {
    /// `train` selects batch statistics, dropout and stochastic depth, as `module.train()` does.
    ///
    /// # Errors
    /// A shape that the layer cannot take, with libtorch's message.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}
