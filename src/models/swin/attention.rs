//! Attention within windows.

use super::windows::relative_coords_table;
use super::{Config, Version};
use crate::models::Library;
use crate::nn::{
    Activation, Init, Layer, Linear, Path, biased_attention, join_heads, relative_position_bias,
    relative_position_index, split_heads,
};
use crate::torch;
use crate::torch::SharedTensor;
use anyhow::{Result, ensure};
use tch::Tensor;

/// Hidden features of the network that maps relative positions to biases.
const CPB_HIDDEN: i64 = 512;

/// Multi-head attention among the tokens of each window: (N · windows, window², channels) to the same shape.
pub(super) struct WindowAttention {
    heads: i64,
    cosine: Option<Cosine>,
    relative_position: Option<RelativePosition>,
    qkv: Qkv,
    proj: Linear,
}

impl WindowAttention {
    pub(super) fn new(path: &Path, config: &Config, stage: usize) -> Result<Self> {
        let (channels, heads) = (config.channels(stage), config.heads[stage]);
        ensure!(
            heads > 0 && channels % heads == 0,
            "`heads` {heads} of stage {stage} do not divide its {channels} channels"
        );
        let cosine = match config.version {
            Version::V1 => None,
            Version::V2 => Some(Cosine::new(path, heads)?),
        };
        let relative_position = if config.has_relative_position() {
            Some(RelativePosition::new(path, config, stage)?)
        } else {
            None
        };
        Ok(Self {
            heads,
            cosine,
            relative_position,
            qkv: Qkv::new(path, config, channels)?,
            proj: Linear::transformer(&(path / "proj"), channels, channels, true)?,
        })
    }

    /// `mask` has the shape (windows, 1, window², window²).
    pub(super) fn forward(&self, x: &Tensor, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        let qkv = split_heads(&self.qkv.forward(x, train)?, 3, self.heads)?;
        let [q, k, v] = [&qkv[0], &qkv[1], &qkv[2]];
        let position = match &self.relative_position {
            Some(position) => position.bias(self.heads, train)?,
            None => None,
        };
        let bias = match (position, mask) {
            (position, None) => position,
            (None, Some(mask)) => Some(for_every_image(mask, q)?),
            (Some(position), Some(mask)) => Some(for_every_image(&position.f_add(mask)?, q)?),
        };
        // A model optimised for inference (frozen) in bfloat16 has bfloat16 queries; the kernels need a bias of the
        // same dtype.
        let bias = bias.map(|bias| bias.f_to_kind(q.kind())).transpose()?;
        let out = match &self.cosine {
            None => biased_attention(q, k, v, bias.as_ref(), None)?,
            Some(cosine) => {
                let (q, k) = cosine.forward(q, k)?;
                biased_attention(&q, &k, v, bias.as_ref(), Some(1.0))?
            }
        };
        self.proj.forward(&join_heads(&out)?, train)
    }
}

/// A bias of (windows, …), repeated for every image in `q`.
fn for_every_image(bias: &Tensor, q: &Tensor) -> Result<Tensor> {
    let images = q.size()[0] / bias.size()[0];
    Ok(bias.f_repeat([images, 1, 1, 1])?)
}

/// The projection to queries, keys and values. In V2, keys have no bias.
struct Qkv {
    linear: Linear,
    bias: Option<KeylessBias>,
}

/// Biases of queries and values only.
enum KeylessBias {
    /// timm's keys: `q_bias`, `v_bias`.
    Split { q_bias: SharedTensor, v_bias: SharedTensor },
    /// torchvision's key: `qkv.bias`, whose second third is not used.
    Part(SharedTensor),
}

impl Qkv {
    fn new(path: &Path, config: &Config, channels: i64) -> Result<Self> {
        let qkv = path / "qkv";
        let bias = match (config.version, config.keys) {
            (Version::V1, _) => None,
            (Version::V2, Library::Timm) => Some(KeylessBias::Split {
                q_bias: path.parameter("q_bias", &[channels], Init::ZEROS)?,
                v_bias: path.parameter("v_bias", &[channels], Init::ZEROS)?,
            }),
            (Version::V2, Library::Torchvision) => {
                Some(KeylessBias::Part(qkv.parameter("bias", &[3 * channels], Init::ZEROS)?))
            }
        };
        Ok(Self { linear: Linear::transformer(&qkv, channels, 3 * channels, bias.is_none())?, bias })
    }
}

impl KeylessBias {
    /// The biases of queries, keys (zeros) and values.
    fn whole(&self) -> Result<Tensor> {
        let (q, v) = match self {
            Self::Split { q_bias, v_bias } => (q_bias.shallow_clone(), v_bias.shallow_clone()),
            Self::Part(bias) => {
                let channels = bias.size()[0] / 3;
                (bias.f_narrow(0, 0, channels)?, bias.f_narrow(0, 2 * channels, channels)?)
            }
        };
        let k = q.f_zeros_like()?;
        Ok(Tensor::f_cat(&[q, k, v], 0)?)
    }
}

impl Layer for Qkv {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.bias {
            None => self.linear.forward(x, train),
            Some(bias) => self.linear.forward_with_bias(x, &bias.whole()?, train),
        }
    }
}

/// Cosine attention: normalised queries and keys, times a learned factor of at most 100 per head. Key `logit_scale`,
/// its logarithm.
struct Cosine {
    logit_scale: SharedTensor,
}

impl Cosine {
    fn new(path: &Path, heads: i64) -> Result<Self> {
        let logit_scale = path.parameter("logit_scale", &[heads, 1, 1], Init::Constant(10f64.ln()))?;
        Ok(Self { logit_scale })
    }

    /// Queries and keys whose products are the logits.
    fn forward(&self, q: &Tensor, k: &Tensor) -> Result<(Tensor, Tensor)> {
        // The shapes do not change, and the meta device has no norms.
        if torch::is_meta(q)? {
            return Ok((q.shallow_clone(), k.shallow_clone()));
        }
        let scale = self.logit_scale.f_clamp_max(100f64.ln())?.f_exp()?.f_to_kind(q.kind())?;
        Ok((normalize(q)?.f_mul(&scale)?, normalize(k)?))
    }
}

/// `torch.nn.functional.normalize` over the last dimension.
fn normalize(x: &Tensor) -> Result<Tensor> {
    let norm = x.f_norm_scalaropt_dim(2.0, [-1].as_slice(), true)?;
    Ok(x.f_div(&norm.f_clamp_min(1e-12)?)?)
}

/// Biases for the relative position of two tokens in a window.
enum RelativePosition {
    Table {
        table: SharedTensor,
        index: SharedTensor,
    },
    /// From a network over their logarithmic coordinates (continuous position bias).
    Network {
        coords: SharedTensor,
        index: SharedTensor,
        fc1: Linear,
        fc2: Linear,
    },
}

impl RelativePosition {
    fn new(path: &Path, config: &Config, stage: usize) -> Result<Self> {
        let (window, heads) = (config.stage_window(stage), config.heads[stage]);
        // Both tables are in torchvision's state_dict, neither in timm's.
        let constant = |name, values: &Tensor| match config.keys {
            Library::Torchvision => path.constant(name, values),
            Library::Timm => path.hidden_constant(values),
        };
        let index = relative_position_index(window)?;
        match config.version {
            Version::V1 => {
                let rows = (2 * window - 1) * (2 * window - 1);
                let table =
                    path.parameter("relative_position_bias_table", &[rows, heads], Init::TRANSFORMER)?;
                Ok(Self::Table { table, index: constant("relative_position_index", &index)? })
            }
            Version::V2 => {
                let reference = match config.pretrained_windows.get(stage) {
                    Some(&pretrained) if pretrained > 0 => pretrained,
                    _ => window,
                };
                let coords = relative_coords_table(window, reference)?;
                let mlp = path / "cpb_mlp";
                Ok(Self::Network {
                    coords: constant("relative_coords_table", &coords)?,
                    index: constant("relative_position_index", &index)?,
                    fc1: Linear::transformer(&(&mlp / 0), 2, CPB_HIDDEN, true)?,
                    fc2: Linear::transformer(&(&mlp / 2), CPB_HIDDEN, heads, false)?,
                })
            }
        }
    }

    /// (1, heads, window², window²); `None` on the meta device, which only counts the cost.
    fn bias(&self, heads: i64, train: bool) -> Result<Option<Tensor>> {
        let (table, index) = match self {
            Self::Table { table, index } => (table.shallow_clone(), index),
            Self::Network { coords, index, fc1, fc2 } => {
                let hidden = Activation::Relu.forward(fc1.forward(coords, train)?)?;
                (fc2.forward(&hidden, train)?.f_reshape([-1, heads])?, index)
            }
        };
        if torch::is_meta(&table)? {
            return Ok(None);
        }
        let bias = relative_position_bias(&table, index)?;
        Ok(Some(match self {
            Self::Table { .. } => bias,
            Self::Network { .. } => bias.f_sigmoid()?.f_mul_scalar(16.0)?,
        }))
    }
}
