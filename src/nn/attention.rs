//! Attention over sequences of tokens.

use super::init::Init;
use super::linear::Linear;
use super::store::Path;
use super::{Layer, cost};
use crate::torch;
use anyhow::{Result, ensure};
use tch::Tensor;

/// softmax(QKᵀ/√d) V over (N, heads, tokens, d), counted; libtorch picks the kernel (flash, memory-efficient, plain).
pub fn scaled_dot_product_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    biased_attention(q, k, v, None, None)
}

/// softmax(scale · QKᵀ + bias) V: the same with a bias that broadcasts to (N, heads, queries, keys), and with another
/// scale than 1/√d.
pub fn biased_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    scale: Option<f64>,
) -> Result<Tensor> {
    let out = match torch::is_meta(q)? {
        // The shape alone: not every kernel knows the meta device.
        true => q.f_matmul(&k.f_transpose(-2, -1)?)?.f_matmul(v)?,
        false => Tensor::f_scaled_dot_product_attention(q, k, v, bias, 0.0, false, scale, false)?,
    };
    let (queries, keys) = (q.numel() as i64, k.size()[2]);
    cost::record(queries * keys + out.numel() as i64 * keys, 0);
    Ok(out)
}

/// What (N, tokens, parts · heads · d) holds, as so many tensors of (N, heads, tokens, d).
pub fn split_heads(x: &Tensor, parts: i64, heads: i64) -> Result<Vec<Tensor>> {
    let (n, tokens, features) = x.size3()?;
    let split = [n, tokens, parts, heads, features / (parts * heads)];
    Ok(x.f_reshape(split)?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?)
}

/// The way back: (N, heads, tokens, d) to (N, tokens, heads · d).
pub fn join_heads(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_transpose(1, 2)?.f_flatten(2, -1)?)
}

/// Self-attention of several heads. Maps (N, tokens, embed) to the same shape.
pub struct SelfAttention {
    heads: i64,
    qkv: Linear,
    proj: Linear,
}

impl SelfAttention {
    /// With timm's keys and initial values: `qkv.weight`, `qkv.bias` (if asked for), `proj.weight`, `proj.bias`.
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

    /// With those of `torch.nn.MultiheadAttention(batch_first=True)`: `in_proj_weight`, `in_proj_bias`,
    /// `out_proj.weight`, `out_proj.bias`.
    ///
    /// # Errors
    /// As [`SelfAttention::new`].
    pub fn multihead(path: &Path, embed: i64, heads: i64) -> Result<Self> {
        check_heads(embed, heads)?;
        let weight = path.parameter("in_proj_weight", &[3 * embed, embed], Init::XavierUniform)?;
        let bias = path.parameter("in_proj_bias", &[3 * embed], Init::ZEROS)?;
        Ok(Self {
            heads,
            qkv: Linear::of(weight, Some(bias)),
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
