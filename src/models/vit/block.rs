//! The transformer block: attention and MLP.

use super::Config;
use crate::models::Library;
use crate::nn::{
    DropPath, Dropout, FeedForward, Init, Layer, LayerNorm, LayerScale, Mlp, Path, SelfAttention,
};
use anyhow::Result;
use tch::Tensor;

/// One residual branch: the norm, the attention or MLP, and the layer scale.
struct Branch<L> {
    norm: LayerNorm,
    inner: L,
    scale: Option<LayerScale>,
}

impl<L: Layer> Layer for Branch<L> {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.inner.forward(&self.norm.forward(x, train)?, train)?;
        match &self.scale {
            Some(scale) => scale.forward(&y, train),
            None => Ok(y),
        }
    }
}

/// (N, tokens, channels) to the same shape.
pub(super) struct Block {
    attention: Branch<SelfAttention>,
    mlp: Branch<FeedForward>,
    dropout: Dropout,
    drop_path: DropPath,
}

impl Block {
    pub(super) fn new(path: &Path, config: &Config, index: i64) -> Result<Self> {
        let (names, width) = (config.names(), config.embed_dim);
        let norm = |name| LayerNorm::new(&(path / name), width).map(|norm| norm.eps(config.eps));
        let scale = |name| -> Result<_> {
            Ok(match config.layer_scale {
                0.0 => None,
                start => Some(LayerScale::new(&(path / name), width, start)?),
            })
        };
        let attention = |path: &Path| match config.keys {
            Library::Torchvision => SelfAttention::multihead(path, width, config.heads),
            Library::Timm => SelfAttention::new(path, width, config.heads, config.qkv_bias),
        };
        let mlp = config.mlp(width);
        let last = (config.num_blocks - 1).max(1) as f64;
        Ok(Self {
            attention: Branch {
                norm: norm(names.norm1)?,
                inner: attention(&(path / names.attention))?,
                scale: scale("ls1")?,
            },
            mlp: Branch {
                norm: norm(names.norm2)?,
                inner: FeedForward::new(&(path / names.fc1), &(path / names.fc2), mlp)?,
                scale: scale("ls2")?,
            },
            dropout: Dropout::new(config.block_dropout)?,
            drop_path: DropPath::new(config.drop_path * index as f64 / last)?,
        })
    }
}

impl Config {
    /// The MLP of a block, or of attention pooling.
    pub(super) fn mlp(&self, width: i64) -> Mlp {
        let mlp = Mlp::new(width, (width as f64 * self.mlp_ratio) as i64)
            .activation(self.activation)
            .gated(self.gated_mlp)
            .dropout(self.block_dropout);
        match self.keys {
            Library::Torchvision => mlp.init(Init::XavierUniform, Init::Normal(1e-6)),
            Library::Timm => mlp,
        }
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.dropout.forward(&self.attention.forward(x, train)?, train)?;
        let x = x.f_add(&self.drop_path.forward(&y, train)?)?;
        let y = self.mlp.forward(&x, train)?;
        Ok(x.f_add(&self.drop_path.forward(&y, train)?)?)
    }
}
