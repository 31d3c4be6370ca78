//! Attention over sequences of tokens.

use super::init::Init;
use super::linear::{Linear, linear};
use super::store::Path;
use super::{Layer, cost};
use crate::torch;
use anyhow::{Result, ensure};
use tch::Tensor;

/// softmax(QKᵀ/√d) V over (N, heads, tokens, d), counted; libtorch picks the kernel (flash, memory-efficient, plain).
pub fn scaled_dot_product_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let out = match torch::is_meta(q)? {
        // The shape alone: not every kernel knows the meta device.
        true => q.f_matmul(&k.f_transpose(-2, -1)?)?.f_matmul(v)?,
        false => {
            Tensor::f_scaled_dot_product_attention(q, k, v, None::<Tensor>, 0.0, false, None::<f64>, false)?
        }
    };
    let (queries, keys) = (q.numel() as i64, k.size()[2]);
    cost::record(queries * keys + out.numel() as i64 * keys, 0);
    Ok(out)
}

/// Self-attention with the keys of `torch.nn.MultiheadAttention(batch_first=True)`: `in_proj_weight`, `in_proj_bias`,
/// `out_proj.weight`, `out_proj.bias`. Maps (N, tokens, embed) to the same shape.
pub struct MultiheadAttention {
    heads: i64,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj: Linear,
}

impl MultiheadAttention {
    /// # Errors
    /// Heads that do not divide the embedding.
    pub fn new(path: &Path, embed: i64, heads: i64) -> Result<Self> {
        ensure!(heads > 0 && embed % heads == 0, "attention: {heads} heads do not divide {embed} channels");
        Ok(Self {
            heads,
            in_proj_weight: path.parameter("in_proj_weight", &[3 * embed, embed], Init::XavierUniform)?,
            in_proj_bias: path.parameter("in_proj_bias", &[3 * embed], Init::ZEROS)?,
            out_proj: Linear::zero_bias(&(path / "out_proj"), embed, embed)?,
        })
    }
}

impl Layer for MultiheadAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (n, tokens, embed) = x.size3()?;
        let qkv = linear(x, &self.in_proj_weight, Some(&self.in_proj_bias))?;
        let split = [n, tokens, 3, self.heads, embed / self.heads];
        let qkv = qkv.f_reshape(split)?.f_permute([2, 0, 3, 1, 4])?.f_unbind(0)?;
        let out = scaled_dot_product_attention(&qkv[0], &qkv[1], &qkv[2])?;
        self.out_proj.forward(&out.f_transpose(1, 2)?.f_reshape([n, tokens, embed])?, train)
    }
}
