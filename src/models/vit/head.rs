//! From the last block's tokens to the logits.

use super::{Config, Pool};
use crate::models::Library;
use crate::nn::{
    FeedForward, Init, Layer, LayerNorm, Linear, Path, join_heads, scaled_dot_product_attention, split_heads,
};
use anyhow::Result;
use tch::Tensor;

/// Attention pooling with one learned query (timm's `AttentionPoolLatent`): (N, tokens, channels) to (N, channels).
struct AttentionPool {
    heads: i64,
    latent: Tensor,
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
    head: Classifier,
    /// For the distillation token.
    head_dist: Option<Classifier>,
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
        let head_dist =
            if config.distillation { Some(Classifier::new(&(root / "head_dist"), config)?) } else { None };
        Ok(Self {
            prefix: config.prefix(),
            pooling,
            norm,
            norm_after_pool: config.norm_after_pool,
            head: Classifier::new(&(root / names.head), config)?,
            head_dist,
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
    /// The logits of the pooled tokens, and those of the distillation token.
    pub(super) fn logits(&self, x: &Tensor, train: bool) -> Result<(Tensor, Option<Tensor>)> {
        // The norm works on each token separately: where only one is used, the others need no norm.
        let pooled_first = self.norm_after_pool || matches!(self.pooling, Pooling::Token);
        let features = if pooled_first {
            self.norm.forward(&self.pool(x, train)?, train)?
        } else {
            self.pool(&self.norm.forward(x, train)?, train)?
        };
        let logits = self.head.forward(&features, train)?;
        let Some(head_dist) = &self.head_dist else { return Ok((logits, None)) };
        let distilled = self.norm.forward(&x.f_select(1, 1)?, train)?;
        Ok((logits, Some(head_dist.forward(&distilled, train)?)))
    }
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match self.logits(x, train)? {
            (logits, None) => Ok(logits),
            (logits, Some(distilled)) => Ok(logits.f_add(&distilled)?.f_div_scalar(2.0)?),
        }
    }
}

/// A linear layer, or the identity if there are no classes.
struct Classifier {
    linear: Option<Linear>,
}

impl Classifier {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        if config.num_classes == 0 {
            return Ok(Self { linear: None });
        }
        let weight = match config.keys {
            Library::Torchvision => Init::ZEROS,
            Library::Timm => Init::TRANSFORMER,
        };
        let linear = Linear::with(path, config.embed_dim, config.num_classes, weight, Some(Init::ZEROS))?;
        Ok(Self { linear: Some(linear) })
    }
}

impl Layer for Classifier {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.linear {
            Some(linear) => linear.forward(x, train),
            None => Ok(x.shallow_clone()),
        }
    }
}
