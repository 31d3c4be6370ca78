//! Attention within windows, and over a grid across the whole feature map.

use super::config::{Config, INIT};
use crate::nn::{
    DropPath, FeedForward, Init, Layer, LayerNorm, Linear, Mlp, Path, biased_attention, join_heads,
    relative_position_bias, relative_position_index, split_heads,
};
use crate::torch;
use crate::torch::SharedTensor;
use anyhow::{Result, ensure};
use tch::Tensor;

/// Attention with relative position biases: (…, tokens, channels) to the same shape.
struct RelativeAttention {
    heads: i64,
    relative_position_bias_table: SharedTensor,
    relative_position_index: SharedTensor,
    to_qkv: Linear,
    merge: Linear,
}

impl RelativeAttention {
    fn new(path: &Path, config: &Config, channels: i64) -> Result<Self> {
        let (window, heads) = (config.window, channels / config.head_dim);
        let index = relative_position_index(window)?.f_view([window * window, window * window])?;
        let rows = (2 * window - 1) * (2 * window - 1);
        Ok(Self {
            heads,
            relative_position_bias_table: path.parameter(
                "relative_position_bias_table",
                &[rows, heads],
                Init::TRANSFORMER,
            )?,
            relative_position_index: path.constant("relative_position_index", &index)?,
            to_qkv: Linear::init(&(path / "to_qkv"), channels, 3 * channels, INIT)?,
            merge: Linear::init(&(path / "merge"), channels, channels, INIT)?,
        })
    }
}

impl Layer for RelativeAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let size = x.size();
        let qkv = self.to_qkv.forward(&x.f_flatten(0, -3)?, train)?;
        let qkv = split_heads(&qkv, 3, self.heads)?;
        // The meta device only needs shapes.
        let bias = if torch::is_meta(x)? {
            None
        } else {
            let (table, index) = (&self.relative_position_bias_table, &self.relative_position_index);
            Some(relative_position_bias(table, index)?)
        };
        let channels = size.last().copied().unwrap_or(1);
        // By all channels instead of a head's, as in torchvision.
        let scale = 1.0 / (channels as f64).sqrt();
        let out = biased_attention(&qkv[0], &qkv[1], &qkv[2], bias.as_ref(), Some(scale))?;
        Ok(self.merge.forward(&join_heads(&out)?, train)?.f_view(size.as_slice())?)
    }
}

/// Which pixels of a feature map attend to each other.
#[derive(Clone, Copy)]
pub(super) enum Partition {
    /// Neighbours: `window` × `window` pixels (block attention).
    Window,
    /// As many pixels, evenly spaced over the whole map (grid attention).
    Grid,
}

impl Partition {
    /// (N, C, H, W) to (N, groups, window², C).
    fn split(self, x: &Tensor, window: i64) -> Result<Tensor> {
        let (n, c, h, w) = x.size4()?;
        ensure!(
            h % window == 0 && w % window == 0,
            "`window` {window} does not divide a map of {h}×{w}; with four stages, the image size must be \
             a multiple of 32 × `window`"
        );
        let (rows, columns) = (h / window, w / window);
        let x = match self {
            Self::Window => {
                let split = [n, c, rows, window, columns, window];
                x.f_reshape(split)?.f_permute([0, 2, 4, 3, 5, 1])?
            }
            Self::Grid => {
                let split = [n, c, window, rows, window, columns];
                x.f_reshape(split)?.f_permute([0, 3, 5, 2, 4, 1])?
            }
        };
        Ok(x.f_reshape([n, rows * columns, window * window, c])?)
    }

    /// The inverse, to (N, C, `height`, `width`).
    fn join(self, x: &Tensor, window: i64, [height, width]: [i64; 2]) -> Result<Tensor> {
        let (n, _, _, c) = x.size4()?;
        let x = x.f_view([n, height / window, width / window, window, window, c])?;
        let x = match self {
            Self::Window => x.f_permute([0, 5, 1, 3, 2, 4])?,
            Self::Grid => x.f_permute([0, 5, 3, 1, 4, 2])?,
        };
        Ok(x.f_reshape([n, c, height, width])?)
    }
}

/// A transformer block over one partition. Keeps the shape (N, C, H, W).
pub(super) struct PartitionAttention {
    partition: Partition,
    window: i64,
    attn_norm: LayerNorm,
    attn: RelativeAttention,
    mlp_norm: LayerNorm,
    mlp: FeedForward,
    drop_path: DropPath,
}

impl PartitionAttention {
    pub(super) fn new(
        path: &Path,
        config: &Config,
        partition: Partition,
        channels: i64,
        drop_path: DropPath,
    ) -> Result<Self> {
        let (attn, mlp) = (path / "attn_layer", path / "mlp_layer");
        let spec = Mlp::new(channels, config.mlp_ratio * channels).init(INIT, Init::ZEROS);
        Ok(Self {
            partition,
            window: config.window,
            attn_norm: LayerNorm::new(&(&attn / 0), channels)?,
            attn: RelativeAttention::new(&(&attn / 1), config, channels)?,
            mlp_norm: LayerNorm::new(&(&mlp / 0), channels)?,
            mlp: FeedForward::new(&(&mlp / 1), &(&mlp / 3), spec)?,
            drop_path,
        })
    }
}

impl Layer for PartitionAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (_, _, height, width) = x.size4()?;
        let x = self.partition.split(x, self.window)?;
        let y = self.attn.forward(&self.attn_norm.forward(&x, train)?, train)?;
        let x = self.drop_path.forward(&y, train)?.f_add(&x)?;
        let y = self.mlp.forward(&self.mlp_norm.forward(&x, train)?, train)?;
        let x = self.drop_path.forward(&y, train)?.f_add(&x)?;
        self.partition.join(&x, self.window, [height, width])
    }
}
