//! Attention over sequences of tokens.

use super::activation::Activation;
use super::conv::{Conv, Conv2d};
use super::conv_norm::ConvNorm;
use super::init::Init;
use super::linear::Linear;
use super::store::Path;
use super::{Layer, cost, observe};
use crate::torch;
use anyhow::{Result, ensure};
use tch::Tensor;

/// softmax(QKᵀ/√d) V over (N, heads, tokens, d), with its cost counted; libtorch picks the kernel (flash,
/// memory-efficient, plain).
pub fn scaled_dot_product_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    biased_attention(q, k, v, None, None)
}

/// softmax(scale · QKᵀ + bias) V: the same with a bias that broadcasts to (N, heads, queries, keys), cast to the dtype
/// of the queries, and with a scale other than 1/√d.
pub fn biased_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    scale: Option<f64>,
) -> Result<Tensor> {
    let bias = bias.map(|bias| bias.f_to_kind(q.kind())).transpose()?;
    let out = if torch::is_meta(q)? {
        // Only the shape: not every kernel supports the meta device.
        q.f_matmul(&k.f_transpose(-2, -1)?)?.f_matmul(v)?
    } else if observe::wants_attention() {
        let scale = scale.unwrap_or_else(|| (q.size()[3] as f64).powf(-0.5));
        let mut scores = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
        if let Some(bias) = &bias {
            scores = scores.f_add(bias)?;
        }
        let attention = scores.f_softmax(-1, q.kind())?;
        observe::attention(&attention);
        attention.f_matmul(v)?
    } else {
        Tensor::f_scaled_dot_product_attention(q, k, v, bias.as_ref(), 0.0, false, scale, false)?
    };
    let (queries, keys) = (q.numel() as i64, k.size()[2]);
    cost::record(queries * keys + out.numel() as i64 * keys, 0);
    Ok(out)
}

/// Splits (N, tokens, parts · heads · d) into `parts` tensors of (N, heads, tokens, d).
pub fn split_heads(x: &Tensor, parts: i64, heads: i64) -> Result<Vec<Tensor>> {
    let (n, tokens, features) = x.size3()?;
    let split = [n, tokens, parts, heads, features / (parts * heads)];
    Ok(x.f_reshape(split)?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?)
}

/// The inverse: (N, heads, tokens, d) to (N, tokens, heads · d).
pub fn join_heads(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_transpose(1, 2)?.f_flatten(2, -1)?)
}

/// Multi-head self-attention. Maps (N, tokens, embed) to the same shape.
pub struct SelfAttention {
    heads: i64,
    qkv: Linear,
    proj: Linear,
}

impl SelfAttention {
    /// With timm's keys and initial values: `qkv.weight`, `qkv.bias` (if `qkv_bias`), `proj.weight`, `proj.bias`.
    ///
    /// # Errors
    /// Heads that do not divide the embedding.
    pub fn new(path: &Path, embed: i64, heads: i64, qkv_bias: bool) -> Result<Self> {
        check_heads(embed, heads)?;
        Ok(Self {
            heads,
            qkv: Linear::transformer(&(path / "qkv"), embed, 3 * embed, qkv_bias)?,
            proj: Linear::transformer(&(path / "proj"), embed, embed, true)?,
        })
    }

    /// With the keys and initial values of `torch.nn.MultiheadAttention(batch_first=True)`: `in_proj_weight`,
    /// `in_proj_bias`, `out_proj.weight`, `out_proj.bias`.
    ///
    /// # Errors
    /// As [`SelfAttention::new`].
    pub fn multihead(path: &Path, embed: i64, heads: i64) -> Result<Self> {
        check_heads(embed, heads)?;
        let weight = path.parameter("in_proj_weight", &[3 * embed, embed], Init::XavierUniform)?;
        let bias = path.parameter("in_proj_bias", &[3 * embed], Init::ZEROS)?;
        Ok(Self {
            heads,
            qkv: Linear::of(path, weight, Some(bias)),
            proj: Linear::zero_bias(&(path / "out_proj"), embed, embed)?,
        })
    }
}

fn check_heads(embed: i64, heads: i64) -> Result<()> {
    ensure!(heads > 0 && embed % heads == 0, "attention: {heads} heads do not divide {embed} channels");
    Ok(())
}

impl Layer for SelfAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let qkv = split_heads(&self.qkv.forward(x, train)?, 3, self.heads)?;
        let out = scaled_dot_product_attention(&qkv[0], &qkv[1], &qkv[2])?;
        self.proj.forward(&join_heads(&out)?, train)
    }
}

/// The sizes of a [`MultiQueryAttention`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryHeads {
    pub heads: i64,
    /// Channels of a key, and of a value.
    pub key_dim: i64,
    /// Pixels per key along each side; above 1, a depthwise convolution with `kernel` downsamples the image.
    pub kv_stride: i64,
    pub kernel: i64,
    /// Of the norm after that convolution.
    pub bn_eps: f64,
    pub bn_momentum: f64,
}

/// A projection of the pixels to keys or values, after the downsampling convolution, if any.
struct Projection {
    down: Option<ConvNorm>,
    proj: Conv2d,
}

impl Projection {
    fn new(path: &Path, channels: i64, sizes: QueryHeads) -> Result<Self> {
        let down = match sizes.kv_stride {
            1 => None,
            stride => {
                let conv = Conv::new(channels, channels, sizes.kernel).same().stride(stride).groups(channels);
                let (place, norm) = (path / "down_conv", path / "norm");
                let conv = ConvNorm::new(&place, &norm, conv.init(Init::XavierUniform))?;
                Some(conv.eps(sizes.bn_eps).momentum(sizes.bn_momentum))
            }
        };
        Ok(Self { down, proj: pointwise(&(path / "proj"), channels, sizes.key_dim)? })
    }

    /// (N, C, H, W) to (N, 1, pixels, key_dim).
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = match &self.down {
            Some(down) => self.proj.forward(&down.forward(x, Activation::Identity, train)?, train)?,
            None => self.proj.forward(x, train)?,
        };
        Ok(y.f_flatten(2, 3)?.f_transpose(1, 2)?.f_unsqueeze(1)?.f_contiguous()?)
    }
}

fn pointwise(path: &Path, from: i64, to: i64) -> Result<Conv2d> {
    Conv2d::new(path, Conv::new(from, to, 1).no_bias().init(Init::XavierUniform))
}

/// Attention of many query heads over one head of keys and values (1911.02150) between the pixels of an image, as in
/// MobileNetV4 (2404.10518, section 4). Keys as timm's `MultiQueryAttention2d`: `query.proj`, `key.down_conv`,
/// `key.norm`, `key.proj`, the same under `value`, `output.proj`. Maps (N, C, H, W) to the same shape.
pub struct MultiQueryAttention {
    sizes: QueryHeads,
    query: Conv2d,
    key: Projection,
    value: Projection,
    output: Conv2d,
}

impl MultiQueryAttention {
    /// # Errors
    /// Sizes that are not positive.
    pub fn new(path: &Path, channels: i64, sizes: QueryHeads) -> Result<Self> {
        let width = sizes.heads * sizes.key_dim;
        Ok(Self {
            sizes,
            query: pointwise(&(path / "query" / "proj"), channels, width)?,
            key: Projection::new(&(path / "key"), channels, sizes)?,
            value: Projection::new(&(path / "value"), channels, sizes)?,
            output: pointwise(&(path / "output" / "proj"), width, channels)?,
        })
    }
}

impl Layer for MultiQueryAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let QueryHeads { heads, key_dim, .. } = self.sizes;
        let (n, _, h, w) = x.size4()?;
        let q = self.query.forward(x, train)?.f_reshape([n, heads, key_dim, h * w])?;
        let (k, v) = (self.key.forward(x, train)?, self.value.forward(x, train)?);
        let out = scaled_dot_product_attention(&q.f_transpose(2, 3)?.f_contiguous()?, &k, &v)?;
        let out = out.f_transpose(2, 3)?.f_reshape([n, heads * key_dim, h, w])?;
        self.output.forward(&out, train)
    }
}
