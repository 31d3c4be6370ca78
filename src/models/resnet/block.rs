//! The blocks of residual nets, which SENet has as well.

use super::{AttentionKind, AttentionPlace, Config};
use crate::models::residual::{BlockKind, Shortcut};
use crate::nn::{
    Activation, AvgPool2d, Conv, ConvNorm, ConvNormAct, DropPath, EfficientChannelAttention, Init, Layer,
    PaddedShortcut, Path, Sequence, SqueezeExcite, make_divisible,
};
use anyhow::Result;
use tch::Tensor;

pub(in crate::models) fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanOut)
}

/// What goes round a block.
pub(in crate::models) enum Bypass {
    /// Nothing: a plain net.
    Nothing,
    Identity,
    Through(Box<dyn Layer>),
}

impl Bypass {
    fn new(path: &Path, config: &Config, in_channels: i64, out_channels: i64, stride: i64) -> Result<Self> {
        let same_shape = stride == 1 && in_channels == out_channels;
        Ok(match config.shortcut {
            Shortcut::None => Bypass::Nothing,
            Shortcut::A | Shortcut::B if same_shape => Bypass::Identity,
            Shortcut::A => Bypass::Through(Box::new(PaddedShortcut::new(in_channels, out_channels, stride)?)),
            Shortcut::B | Shortcut::C => {
                Bypass::Through(downsample(path, config, in_channels, out_channels, stride)?)
            }
        })
    }
}

/// A projection round a block.
fn downsample(
    path: &Path,
    config: &Config,
    in_channels: i64,
    out_channels: i64,
    stride: i64,
) -> Result<Box<dyn Layer>> {
    let path = path / "downsample";
    if !config.avg_down {
        let kernel = if stride > 1 { config.down_kernel } else { 1 };
        return projection(&path, 0, conv(in_channels, out_channels, kernel).stride(stride));
    }
    let projection = projection(&path, 1, conv(in_channels, out_channels, 1))?;
    let halve = AvgPool2d { ceil_mode: true, count_include_pad: false, ..AvgPool2d::new(2) };
    Ok(match stride {
        1 => projection,
        _ => Box::new(Sequence(vec![Box::new(halve), projection])),
    })
}

/// A convolution and its norm as the layers `first` and after of a sequence.
pub(in crate::models) fn projection(path: &Path, first: usize, conv: Conv) -> Result<Box<dyn Layer>> {
    let conv = ConvNorm::new(&(path / first), &(path / (first + 1)), conv)?;
    Ok(Box::new(ConvNormAct::new(conv, Activation::Identity)))
}

fn attention(path: &Path, config: &Config, channels: i64) -> Result<Option<Box<dyn Layer>>> {
    let path = path / "se";
    Ok(match config.attention {
        AttentionKind::None => None,
        AttentionKind::SqueezeExcite => {
            let squeezed = make_divisible((channels / config.se_reduction) as f64, config.se_divisor, 0.0);
            let init = Init::KaimingFanOut;
            let se = match config.se_bias {
                true => SqueezeExcite::squeezed(&path, channels, squeezed, init)?,
                false => SqueezeExcite::no_bias(&path, channels, squeezed, init)?,
            };
            Some(Box::new(se.squeeze(config.se_squeeze).gate(config.se_gate)))
        }
        AttentionKind::Efficient => Some(Box::new(EfficientChannelAttention::new(&path, channels)?)),
    })
}

/// A residual block: (N, in, H, W) to (N, out, H/stride, W/stride).
pub(in crate::models) struct Block {
    /// Each with norm and ReLU after it.
    pub convs: Vec<ConvNorm>,
    /// With its norm; ReLU comes after the addition.
    pub last: ConvNorm,
    pub attention: Option<Box<dyn Layer>>,
    pub attention_place: AttentionPlace,
    pub drop_path: DropPath,
    pub bypass: Bypass,
}

impl Block {
    pub(super) fn new(
        path: &Path,
        config: &Config,
        stage: usize,
        in_channels: i64,
        stride: i64,
        drop_path: f64,
    ) -> Result<Self> {
        let (planes, out) = (config.stage_planes(stage), config.out_channels(stage));
        let width = planes * config.base_width / 64 * config.cardinality;
        let first = match config.block {
            BlockKind::Basic => planes / config.reduce_first,
            BlockKind::Bottleneck => width / config.reduce_first,
        };
        let (convs, last) = match config.block {
            BlockKind::Basic => (vec![conv(in_channels, first, 3).stride(stride)], conv(first, out, 3)),
            BlockKind::Bottleneck => {
                let strides = if config.stride_first { [stride, 1] } else { [1, stride] };
                let spatial = conv(first, width, 3).stride(strides[1]).groups(config.cardinality);
                (vec![conv(in_channels, first, 1).stride(strides[0]), spatial], conv(width, out, 1))
            }
        };
        let number = convs.len() + 1;
        let attended = match config.attention_place {
            AttentionPlace::Pre => in_channels,
            AttentionPlace::Spatial => width,
            AttentionPlace::Standard | AttentionPlace::Post | AttentionPlace::Identity => out,
        };
        Ok(Self {
            convs: in_order(path, convs)?,
            last: numbered(path, number, last, config.zero_init_last)?,
            attention: match config.attention_stages[stage] {
                true => attention(path, config, attended)?,
                false => None,
            },
            attention_place: config.attention_place,
            drop_path: DropPath::new(drop_path)?,
            bypass: Bypass::new(path, config, in_channels, out, stride)?,
        })
    }

    /// The attention, if this is its place.
    fn attend(&self, place: AttentionPlace, x: Tensor, train: bool) -> Result<Tensor> {
        match &self.attention {
            Some(attention) if self.attention_place == place => attention.forward(&x, train),
            _ => Ok(x),
        }
    }
}

/// A block's convolution with its norm: `conv1`, `bn1` and so on.
fn numbered(path: &Path, number: usize, conv: Conv, zero_norm: bool) -> Result<ConvNorm> {
    let (conv_path, norm_path) = (path / format!("conv{number}"), path / format!("bn{number}"));
    match zero_norm {
        true => ConvNorm::zero_norm(&conv_path, &norm_path, conv),
        false => ConvNorm::new(&conv_path, &norm_path, conv),
    }
}

/// A block's convolutions with their norms, in order.
pub(in crate::models) fn in_order(path: &Path, convs: Vec<Conv>) -> Result<Vec<ConvNorm>> {
    convs.into_iter().zip(1..).map(|(conv, number)| numbered(path, number, conv, false)).collect()
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.attend(AttentionPlace::Pre, x.shallow_clone(), train)?;
        for conv in &self.convs {
            y = conv.forward(&y, Activation::Relu, train)?;
        }
        y = self.attend(AttentionPlace::Spatial, y, train)?;
        y = self.last.forward(&y, Activation::Identity, train)?;
        y = self.attend(AttentionPlace::Standard, y, train)?;
        y = self.drop_path.forward(&y, train)?;
        let shortcut = match &self.bypass {
            Bypass::Nothing => None,
            Bypass::Identity => Some(x.shallow_clone()),
            Bypass::Through(layer) => Some(layer.forward(x, train)?),
        };
        if let Some(shortcut) = shortcut {
            y = y.f_add_(&self.attend(AttentionPlace::Identity, shortcut, train)?)?;
        }
        self.attend(AttentionPlace::Post, Activation::Relu.forward(y)?, train)
    }
}
