//! From the last block's tokens to the logits.

use super::{Config, Pool};
use crate::models::Library;
use crate::nn::{
    self, FeedForward, Init, Layer, LayerNorm, Linear, Logits, Outputs, Path, join_heads,
    scaled_dot_product_attention, split_heads,
};
use crate::torch::SharedTensor;
use anyhow::Result;
use tch::Tensor;

/// Attention pooling with one learned query (timm's `AttentionPoolLatent`): (N, tokens, channels) to (N, channels).
struct AttentionPool {
    heads: i64,
    latent: SharedTensor,
    q: Linear,
    kv: Linear,
    proj: Linear,
    norm: LayerNorm,
    mlp: FeedForward,
}

impl AttentionPool {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let Config { embed_dim: width, heads, .. } = *config;
        let std = 1.0 / (width as f64).sqrt();
        // The pooling has no gate and no dropout.
        let plain = Config { gated_mlp: false, block_dropout: 0.0, ..config.clone() };
        Ok(Self {
            heads,
            latent: path.parameter("latent", &[1, 1, width], Init::TruncatedNormalTf(std))?,
            q: Linear::transformer(&(path / "q"), width, width, true)?,
            kv: Linear::transformer(&(path / "kv"), width, 2 * width, true)?,
            proj: Linear::transformer(&(path / "proj"), width, width, true)?,
            norm: LayerNorm::new(&(path / "norm"), width)?.eps(config.eps),
            mlp: FeedForward::new(&(path / "mlp.fc1"), &(path / "mlp.fc2"), plain.mlp(width))?,
        })
    }
}

impl Layer for AttentionPool {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let latent = self.latent.f_expand([x.size()[0], -1, -1], false)?;
        let q = split_heads(&self.q.forward(&latent, train)?, 1, self.heads)?;
        let kv = split_heads(&self.kv.forward(x, train)?, 2, self.heads)?;
        let pooled = scaled_dot_product_attention(&q[0], &kv[0], &kv[1])?;
        let x = self.proj.forward(&join_heads(&pooled)?, train)?;
        let y = self.mlp.forward(&self.norm.forward(&x, train)?, train)?;
        Ok(x.f_add(&y)?.f_squeeze_dim(1)?)
    }
}

/// How the tokens become one vector.
enum Pooling {
    Token,
    Average,
    Map(Box<AttentionPool>),
}

/// Last norm, pooling, classifier: (N, tokens, channels) to (N, classes), or to (N, channels) without a classifier.
pub(super) struct Head {
    prefix: i64,
    pooling: Pooling,
    norm: LayerNorm,
    norm_after_pool: bool,
    logits: Logits,
    /// For the distillation token.
    distilled: Option<Logits>,
}

impl Head {
    pub(super) fn new(root: &Path, config: &Config) -> Result<Self> {
        let names = config.names();
        let norm = if config.norm_after_pool { "fc_norm" } else { names.norm };
        let norm = LayerNorm::new(&(root / norm), config.embed_dim)?.eps(config.eps);
        let pooling = match config.pool {
            Pool::Token => Pooling::Token,
            Pool::Average => Pooling::Average,
            Pool::Map => Pooling::Map(Box::new(AttentionPool::new(&(root / "attn_pool"), config)?)),
        };
        let distilled = if config.distillation { Some(logits(&(root / "head_dist"), config)?) } else { None };
        Ok(Self {
            prefix: config.prefix(),
            pooling,
            norm,
            norm_after_pool: config.norm_after_pool,
            logits: logits(&(root / names.head), config)?,
            distilled,
        })
    }

    fn pool(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let patches = x.f_narrow(1, self.prefix, x.size()[1] - self.prefix)?;
        match &self.pooling {
            Pooling::Token => Ok(x.f_select(1, 0)?),
            Pooling::Average => Ok(patches.f_mean_dim(1, false, None)?),
            Pooling::Map(attention) => attention.forward(&patches, train),
        }
    }
}

impl Head {
    /// Of the pooled tokens, and of the distillation token.
    pub(super) fn apart(&self, x: &Tensor, train: bool) -> Result<(Outputs, Option<Outputs>)> {
        // The norm works on each token separately: where only one is used, the others need no norm.
        let pooled_first = self.norm_after_pool || matches!(self.pooling, Pooling::Token);
        let features = if pooled_first {
            self.norm.forward(&self.pool(x, train)?, train)?
        } else {
            self.pool(&self.norm.forward(x, train)?, train)?
        };
        let first = self.logits.of(features, train)?;
        let Some(distilled) = &self.distilled else { return Ok((first, None)) };
        let token = self.norm.forward(&x.f_select(1, 1)?, train)?;
        Ok((first, Some(distilled.of(token, train)?)))
    }
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let (first, second) = self.apart(x, train)?;
        let Some(second) = second else { return Ok(first) };
        let mean = |a: Tensor, b: &Tensor| a.f_add(b)?.f_div_scalar(2.0);
        Ok(Outputs {
            pooled: mean(first.pooled, &second.pooled)?,
            logits: mean(first.logits, &second.logits)?,
        })
    }
}

/// The classifier at `path`.
fn logits(path: &Path, config: &Config) -> Result<Logits> {
    let weight = match config.keys {
        Library::Torchvision => Init::ZEROS,
        Library::Timm => Init::TRANSFORMER,
    };
    let Config { embed_dim, num_classes, .. } = *config;
    Logits::new(num_classes, 0.0, || Linear::with(path, embed_dim, num_classes, weight, Some(Init::ZEROS)))
}
