//! The residual block: a branch of convolutions, and what goes around it.

use super::config::{AttentionKind, AttentionPlace, BlockKind, Config, Shortcut};
use super::keys::Keys;
use crate::nn::{
    Activation, AvgPool2d, Conv, ConvNorm, DropPath, Dropout, EfficientChannelAttention, Init, Layer,
    NormAct, PaddedShortcut, Path, SqueezeExcite, make_divisible,
};
use anyhow::{Context, Result};
use tch::Tensor;

/// Where a block stands.
pub(super) struct Place {
    pub stage: usize,
    pub in_channels: i64,
    pub stride: i64,
    /// Whether it is the first of its stage.
    pub first: bool,
    /// Whether norm and ReLU of a pre-activation net are behind its input.
    pub normed: bool,
    pub drop_path: f64,
}

/// (N, in, H, W) to (N, out, H/stride, W/stride).
pub(super) struct Block {
    /// Pre-activation: norm and ReLU before branch and projection.
    norm: Option<NormAct>,
    /// Each with norm and ReLU after it.
    convs: Vec<ConvNorm>,
    dropout: Dropout,
    /// With a norm after it, or bare in pre-activation nets.
    last: ConvNorm,
    attention: Option<Box<dyn Layer>>,
    attention_place: AttentionPlace,
    /// At the end of the branch, before the attention there.
    branch_activation: Activation,
    drop_path: DropPath,
    bypass: Bypass,
    /// After the addition.
    activation: Activation,
}

impl Block {
    pub fn new(path: &Path, config: &Config, place: &Place) -> Result<Self> {
        let bypass = || Bypass::new(path, config, place);
        // The order of the state_dict.
        let first = (config.keys == Keys::Resnetv2).then(bypass).transpose()?;
        let conv_path = |number: usize| path / format!("conv{number}");
        let norm_path = |number: usize| path / format!("{}{number}", config.keys.names().norm);
        let has_norm = config.pre_activation && !place.normed;
        let norm = has_norm.then(|| config.norm_act(&norm_path(1), place.in_channels)).transpose()?;
        let mut convs = branch(config, place);
        let last = convs.pop().context("`kernels` must have one a convolution")?;
        // The norm before a convolution is the one after the convolution before.
        let norms = if config.pre_activation { 2.. } else { 1.. };
        let numbered = convs.into_iter().zip(1..).zip(norms);
        let convs: Vec<ConvNorm> = numbered
            .map(|((conv, number), norm)| config.conv_norm(&conv_path(number), &norm_path(norm), conv))
            .collect::<Result<_>>()?;
        let number = convs.len() + 1;
        let last = match (config.pre_activation, config.zero_init_last) {
            (true, _) => ConvNorm::bare(&conv_path(number), last)?,
            (false, true) => config.zero_norm(&conv_path(number), &norm_path(number), last)?,
            (false, false) => config.conv_norm(&conv_path(number), &norm_path(number), last)?,
        };
        let relu = |is: bool| if is { Activation::Relu } else { Activation::Identity };
        let attention = attention(path, config, place)?;
        Ok(Self {
            norm,
            convs,
            dropout: Dropout::new(config.block_dropout)?,
            last,
            branch_activation: relu(attention.is_some() && config.relu_before_attention),
            attention,
            attention_place: config.attention_place,
            drop_path: DropPath::new(place.drop_path)?,
            bypass: first.map_or_else(bypass, Ok)?,
            activation: relu(!config.pre_activation),
        })
    }

    /// The attention, if this is its place.
    fn attend(&self, place: AttentionPlace, x: Tensor, train: bool) -> Result<Tensor> {
        match &self.attention {
            Some(attention) if self.attention_place == place => attention.forward(&x, train),
            _ => Ok(x),
        }
    }

    /// What goes around the branch: of the block's input, or `projected`, which in pre-activation nets is normed.
    fn shortcut(&self, x: &Tensor, projected: &Tensor, train: bool) -> Result<Option<Tensor>> {
        let shortcut = match &self.bypass {
            Bypass::Nothing => return Ok(None),
            Bypass::Identity => x.shallow_clone(),
            Bypass::Padding(padding) => padding.forward(x, train)?,
            Bypass::Projection(projection) => projection.forward(projected, train)?,
        };
        self.attend(AttentionPlace::Identity, shortcut, train).map(Some)
    }

    /// The last convolution of `y` and the addition, in one step where nothing stands between the two.
    fn join(&self, x: &Tensor, projected: &Tensor, y: &Tensor, train: bool) -> Result<Tensor> {
        let attended = self.attention.is_some() && self.attention_place == AttentionPlace::Standard;
        if !attended && !self.drop_path.drops(train) {
            return match self.shortcut(x, projected, train)? {
                Some(shortcut) => self.last.forward_add(y, &shortcut, self.activation, train),
                None => self.last.forward(y, self.activation, train),
            };
        }
        let y = self.last.forward(y, self.branch_activation, train)?;
        let y = self.attend(AttentionPlace::Standard, y, train)?;
        let mut y = self.drop_path.forward(&y, train)?;
        if let (Bypass::Projection(projection), true) = (&self.bypass, attended) {
            return projection.forward_add(projected, &y, self.activation, train);
        }
        if let Some(shortcut) = self.shortcut(x, projected, train)? {
            y = y.f_add_(&shortcut)?;
        }
        self.activation.forward(y)
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.attend(AttentionPlace::Pre, x.shallow_clone(), train)?;
        let mut projected = x.shallow_clone();
        if let Some(norm) = &self.norm {
            y = norm.forward(&y, train)?;
            projected = y.shallow_clone();
        }
        for conv in &self.convs {
            y = self.dropout.forward(&conv.forward(&y, Activation::Relu, train)?, train)?;
        }
        y = self.attend(AttentionPlace::Spatial, y, train)?;
        y = self.join(x, &projected, &y, train)?;
        self.attend(AttentionPlace::Post, y, train)
    }
}

/// The branch's convolutions in order.
fn branch(config: &Config, place: &Place) -> Vec<Conv> {
    let &Place { stage, in_channels, stride, .. } = place;
    let out = config.out_channels(stage);
    match config.block {
        BlockKind::Basic => {
            let inner = config.stage_planes(stage) / config.reduce_first;
            let last = config.kernels.len().saturating_sub(1);
            let conv = |(i, &kernel): (usize, &i64)| {
                let (from, stride) = if i == 0 { (in_channels, stride) } else { (inner, 1) };
                config.conv(from, if i == last { out } else { inner }, kernel).stride(stride)
            };
            config.kernels.iter().enumerate().map(conv).collect()
        }
        BlockKind::Bottleneck => {
            let width = config.bottleneck_width(stage);
            let first = width / config.reduce_first;
            let strides = if config.stride_first { [stride, 1] } else { [1, stride] };
            vec![
                config.conv(in_channels, first, 1).stride(strides[0]),
                config.conv(first, width, 3).stride(strides[1]).groups(config.cardinality),
                config.conv(width, out, 1),
            ]
        }
    }
}

fn attention(path: &Path, config: &Config, place: &Place) -> Result<Option<Box<dyn Layer>>> {
    let channels = match config.attention_place {
        AttentionPlace::Pre => place.in_channels,
        AttentionPlace::Spatial => config.bottleneck_width(place.stage),
        AttentionPlace::Standard | AttentionPlace::Post | AttentionPlace::Identity => {
            config.out_channels(place.stage)
        }
    };
    let path = path / config.keys.names().attention;
    let init = if config.keys == Keys::Cifar { Init::FanIn } else { Init::KaimingFanOut };
    Ok(match config.attention {
        _ if !config.attention_stages[place.stage] => None,
        AttentionKind::SqueezeExcite if config.se_reduction > 0 => {
            let squeezed = make_divisible((channels / config.se_reduction) as f64, config.se_divisor, 0.0);
            let se = if config.se_bias {
                SqueezeExcite::squeezed(&path, channels, squeezed, init)?
            } else {
                SqueezeExcite::no_bias(&path, channels, squeezed, init)?
            };
            Some(Box::new(se.squeeze(config.se_squeeze).gate(config.se_gate)))
        }
        AttentionKind::Efficient => Some(Box::new(EfficientChannelAttention::new(&path, channels)?)),
        AttentionKind::None | AttentionKind::SqueezeExcite => None,
    })
}

/// What goes around a branch.
enum Bypass {
    /// Nothing: a plain net.
    Nothing,
    Identity,
    /// Of the block's input, also in pre-activation nets.
    Padding(PaddedShortcut),
    /// Of the input, in pre-activation nets after norm and ReLU.
    Projection(Projection),
}

impl Bypass {
    fn new(path: &Path, config: &Config, place: &Place) -> Result<Self> {
        let &Place { stage, in_channels, stride, .. } = place;
        let out = config.out_channels(stage);
        // timm's pre-activation bottlenecks project at the start of every stage, also where the shape stays.
        let projects = place.first && config.keys == Keys::Resnetv2 && config.block == BlockKind::Bottleneck;
        let same_shape = stride == 1 && in_channels == out && !projects;
        Ok(match config.shortcut {
            Shortcut::None => Bypass::Nothing,
            Shortcut::A | Shortcut::B if same_shape => Bypass::Identity,
            Shortcut::A => Bypass::Padding(PaddedShortcut::new(in_channels, out, stride)?),
            Shortcut::B | Shortcut::C => Bypass::Projection(Projection::new(path, config, place)?),
        })
    }
}

/// A convolution of its own for the shortcut.
struct Projection {
    halve: Option<AvgPool2d>,
    conv: ConvNorm,
}

impl Projection {
    fn new(path: &Path, config: &Config, place: &Place) -> Result<Self> {
        let &Place { stage, in_channels, stride, .. } = place;
        let names = config.keys.names();
        let (kernel, conv_stride, [conv_name, norm_name]) = match (config.avg_down, stride) {
            (true, _) => (1, 1, names.averaged_projection),
            (false, 1) => (1, 1, names.projection),
            (false, _) => (config.down_kernel, stride, names.projection),
        };
        let conv = config.conv(in_channels, config.out_channels(stage), kernel).stride(conv_stride);
        let halve = AvgPool2d { ceil_mode: true, count_include_pad: false, ..AvgPool2d::new(2) };
        Ok(Self {
            halve: (config.avg_down && stride > 1).then_some(halve),
            conv: if config.pre_activation {
                ConvNorm::bare(&(path / conv_name), conv)?
            } else {
                config.conv_norm(&(path / conv_name), &(path / norm_name), conv)?
            },
        })
    }

    fn input(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.halve.map_or_else(|| Ok(x.shallow_clone()), |halve| halve.forward(x, train))
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.conv.forward(&self.input(x, train)?, Activation::Identity, train)
    }

    /// With the branch's output and what comes after the addition.
    fn forward_add(&self, x: &Tensor, y: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        self.conv.forward_add(&self.input(x, train)?, y, activation, train)
    }
}
