//! The blocks of mobile nets by timm's keys, from the rows of a table.

use super::table::{Kind, Row};
use super::{Config, Squeeze};
use crate::nn::{
    Activation, BatchNorm2d, CondConv2d, Conv, ConvBlock, ConvNorm, Excitation, FusedInvertedResidual, Init,
    InvertedResidual, Layer, LayerScale2d, Linear, MultiQueryAttention, Path, QueryHeads, Skip,
    SqueezeExcite, global_avg_pool, make_divisible,
};
use anyhow::{Result, ensure};
use tch::Tensor;

/// Depthwise and pointwise convolution, each with activation (MobileNetV1), and squeeze-excitation of the output.
struct SeparableConv {
    depthwise: ConvBlock,
    pointwise: ConvBlock,
    se: Option<SqueezeExcite>,
}

impl Layer for SeparableConv {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.pointwise.forward(&self.depthwise.forward(x, train)?, train)?;
        match &self.se {
            Some(se) => se.forward(&y, train),
            None => Ok(y),
        }
    }
}

/// A conditional convolution with its norm.
struct CondConvNorm {
    conv: CondConv2d,
    norm: BatchNorm2d,
}

impl CondConvNorm {
    fn forward(&self, x: &Tensor, routing: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        activation.forward(self.norm.forward(&self.conv.forward(x, routing)?, train)?)
    }
}

/// An inverted residual whose kernels are mixed for each image, by weights from the image's mean (1904.04971).
struct CondConvResidual {
    expand: CondConvNorm,
    depthwise: CondConvNorm,
    se: Option<SqueezeExcite>,
    project: CondConvNorm,
    routing: Linear,
    activation: Activation,
    skip: Skip,
}

impl Layer for CondConvResidual {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let routing = Activation::Sigmoid.forward(self.routing.forward(&global_avg_pool(x)?, train)?)?;
        let y = self.expand.forward(x, &routing, self.activation, train)?;
        let mut y = self.depthwise.forward(&y, &routing, self.activation, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        let y = self.project.forward(&y, &routing, Activation::Identity, train)?;
        self.skip.forward(x, y, train)
    }
}

/// The universal inverted bottleneck of MobileNetV4 (2404.10518, section 3): with depthwise convolutions before and
/// after the expansion, only before (ConvNeXt), only after (inverted residual) or nowhere (feed-forward).
struct UniversalInvertedBottleneck {
    start: Option<ConvBlock>,
    expand: ConvBlock,
    middle: Option<ConvBlock>,
    project: ConvNorm,
    layer_scale: Option<LayerScale2d>,
    skip: Skip,
}

impl Layer for UniversalInvertedBottleneck {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = match &self.start {
            Some(start) => start.forward(x, train)?,
            None => x.shallow_clone(),
        };
        y = self.expand.forward(&y, train)?;
        if let Some(middle) = &self.middle {
            y = middle.forward(&y, train)?;
        }
        match &self.layer_scale {
            Some(scale) => {
                let y = self.project.forward(&y, Activation::Identity, train)?;
                self.skip.forward(x, scale.forward(&y, train)?, train)
            }
            None => self.skip.project(x, &y, &self.project, train),
        }
    }
}

/// Norm, attention and layer scale with a way round (MobileNetV4, section 4).
struct MobileAttention {
    norm: BatchNorm2d,
    attn: MultiQueryAttention,
    layer_scale: Option<LayerScale2d>,
    skip: Skip,
}

impl Layer for MobileAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.attn.forward(&self.norm.forward(x, train)?, train)?;
        if let Some(scale) = &self.layer_scale {
            y = scale.forward(&y, train)?;
        }
        self.skip.forward(x, y, train)
    }
}

/// A block at its place in the net: how a [`Row`] becomes layers.
pub(super) struct Builder<'a> {
    pub config: &'a Config,
    pub path: &'a Path,
    pub row: &'a Row,
    /// Input channels.
    pub from: i64,
    /// Probability of stochastic depth.
    pub drop_path: f64,
}

impl Builder<'_> {
    /// The block: (N, from, H, W) to (N, channels, H/stride, W/stride).
    ///
    /// # Errors
    /// A row whose numbers make no block.
    pub(super) fn build(&self) -> Result<Box<dyn Layer>> {
        let (config, path, row, from, to) = (self.config, self.path, self.row, self.from, self.to());
        Ok(match row.kind {
            Kind::Conv => {
                let conv = Conv::new(from, to, row.kernel);
                Box::new(ConvBlock { skip: self.skip()?, ..self.conv("conv", "bn1", conv, row.stride)? })
            }
            Kind::Separable => Box::new(InvertedResidual {
                expand: None,
                depthwise: self.depthwise("conv_dw", "bn1", from)?,
                se: self.squeeze_excite(from, 1.0)?,
                project: config.conv_norm(path, "conv_pw", "bn2", Conv::new(from, to, 1))?,
                skip: self.skip()?,
            }),
            Kind::SeparableAct => {
                ensure!(!row.skip, "a `dsa` block takes no skip");
                Box::new(SeparableConv {
                    depthwise: self.depthwise("conv_dw", "bn1", from)?,
                    pointwise: self.conv("conv_pw", "bn2", Conv::new(from, to, 1), 1)?,
                    se: self.output_squeeze_excite()?,
                })
            }
            Kind::Inverted if row.experts > 0 => Box::new(self.cond_conv()?),
            Kind::Inverted => {
                let hidden = self.expanded(from);
                Box::new(InvertedResidual {
                    expand: Some(self.conv("conv_pw", "bn1", Conv::new(from, hidden, 1), 1)?),
                    depthwise: self.depthwise("conv_dw", "bn2", hidden)?,
                    se: self.squeeze_excite(hidden, row.expansion)?,
                    project: config.conv_norm(path, "conv_pwl", "bn3", Conv::new(hidden, to, 1))?,
                    skip: self.skip()?,
                })
            }
            Kind::Fused => {
                let hidden = self.expanded(match row.expanded_from {
                    0 => from,
                    channels => config.channels(channels),
                });
                let expand = Conv::new(from, hidden, row.kernel);
                Box::new(FusedInvertedResidual {
                    expand: self.conv("conv_exp", "bn1", expand, row.stride)?,
                    se: self.squeeze_excite(hidden, row.expansion)?,
                    project: config.conv_norm(path, "conv_pwl", "bn2", Conv::new(hidden, to, 1))?,
                    skip: self.skip()?,
                })
            }
            Kind::Universal => Box::new(self.universal()?),
            Kind::Attention => {
                ensure!(from == to && row.stride == 1, "an `mqa` block keeps the shape");
                ensure!(!config.tf_same, "an `mqa` block has no `tf_same` padding");
                let sizes = QueryHeads {
                    heads: row.heads,
                    key_dim: row.key_dim,
                    kv_stride: row.kv_stride,
                    kernel: row.kernel,
                    bn_eps: config.bn_eps,
                };
                Box::new(MobileAttention {
                    norm: BatchNorm2d::new(&(path / "norm"), from)?.eps(config.bn_eps),
                    attn: MultiQueryAttention::new(&(path / "attn"), from, sizes)?,
                    layer_scale: self.layer_scale()?,
                    skip: self.skip()?,
                })
            }
        })
    }

    /// Output channels.
    pub(super) fn to(&self) -> i64 {
        self.config.channels(self.row.channels)
    }

    fn expanded(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.row.expansion, 8, 0.9)
    }

    fn activation(&self) -> Activation {
        self.row.activation.unwrap_or(self.config.activation)
    }

    fn skip(&self) -> Result<Skip> {
        match self.row.skip && self.row.stride == 1 && self.from == self.to() {
            true => Skip::new(self.drop_path),
            false => Ok(Skip::NONE),
        }
    }

    /// A convolution with norm and activation; the anti-alias filter takes over the stride where there is one.
    fn conv(&self, conv_name: &str, norm_name: &str, conv: Conv, stride: i64) -> Result<ConvBlock> {
        let anti_alias = self.config.anti_alias.filter(|_| stride > 1).map(|filter| (filter, stride));
        let conv = if anti_alias.is_some() { conv } else { conv.stride(stride) };
        Ok(ConvBlock {
            conv: self.config.conv_norm(self.path, conv_name, norm_name, conv)?,
            activation: self.activation(),
            anti_alias,
            skip: Skip::NONE,
        })
    }

    fn depthwise(&self, conv_name: &str, norm_name: &str, channels: i64) -> Result<ConvBlock> {
        let conv = Conv::new(channels, channels, self.row.kernel).groups(channels);
        self.conv(conv_name, norm_name, conv, self.row.stride)
    }

    /// Squeeze-excitation of `channels`, which are the block's input times `expansion`.
    fn squeeze_excite(&self, channels: i64, expansion: f64) -> Result<Option<SqueezeExcite>> {
        if self.row.squeeze == 0.0 {
            return Ok(None);
        }
        let expanded = channels as f64 * self.row.squeeze;
        let (squeezed, activation, gate) = match self.config.squeeze {
            Squeeze::Input => {
                let squeezed = channels as f64 * (self.row.squeeze / expansion);
                (squeezed.round_ties_even() as i64, self.activation(), Activation::Sigmoid)
            }
            Squeeze::Expanded => {
                (expanded.round_ties_even() as i64, self.activation(), Activation::HardSigmoid)
            }
            Squeeze::ExpandedDivisible => {
                (make_divisible(expanded, 8, 0.9), Activation::Relu, Activation::HardSigmoid)
            }
        };
        let names = ["conv_reduce", "conv_expand"];
        let excitation = Excitation { squeezed, activation, gate, names };
        Ok(Some(SqueezeExcite::mobile(&(self.path / "se"), channels, excitation)?))
    }

    /// SENet's of a block's output (1709.01507), without biases.
    fn output_squeeze_excite(&self) -> Result<Option<SqueezeExcite>> {
        if self.row.squeeze == 0.0 {
            return Ok(None);
        }
        let squeezed = (self.to() as f64 * self.row.squeeze).round_ties_even() as i64;
        let se = SqueezeExcite::no_bias(&(self.path / "se"), self.to(), squeezed, Init::KaimingFanOut)?;
        Ok(Some(se))
    }

    fn layer_scale(&self) -> Result<Option<LayerScale2d>> {
        let scale = |initial| LayerScale2d::new(&(self.path / "layer_scale"), self.to(), initial);
        self.config.layer_scale.map(scale).transpose()
    }

    fn cond_conv(&self) -> Result<CondConvResidual> {
        let (row, path, to, hidden) = (self.row, self.path, self.to(), self.expanded(self.from));
        ensure!(self.config.anti_alias.is_none(), "conditional convolutions have no anti-alias filter");
        let experts = row.experts * self.config.experts;
        let conv = |conv_name: &str, norm_name: &str, channels: i64, conv: Conv| -> Result<CondConvNorm> {
            let conv = CondConv2d::new(&(path / conv_name), self.config.padded(conv), experts)?;
            let norm = BatchNorm2d::new(&(path / norm_name), channels)?.eps(self.config.bn_eps);
            Ok(CondConvNorm { conv, norm })
        };
        let depthwise = Conv::new(hidden, hidden, row.kernel).groups(hidden).stride(row.stride);
        let routing = Init::Uniform(1.0 / ((self.from + experts) as f64).sqrt());
        Ok(CondConvResidual {
            expand: conv("conv_pw", "bn1", hidden, Conv::new(self.from, hidden, 1))?,
            depthwise: conv("conv_dw", "bn2", hidden, depthwise)?,
            se: self.squeeze_excite(hidden, row.expansion)?,
            project: conv("conv_pwl", "bn3", to, Conv::new(hidden, to, 1))?,
            routing: Linear::init(&(path / "routing_fn"), self.from, experts, routing)?,
            activation: self.activation(),
            skip: self.skip()?,
        })
    }

    fn universal(&self) -> Result<UniversalInvertedBottleneck> {
        let (row, from, to, hidden) = (self.row, self.from, self.to(), self.expanded(self.from));
        ensure!(row.squeeze == 0.0, "a `uir` block takes no se");
        let part = |name: &str, conv: Conv, stride: i64| {
            self.conv(&format!("{name}.conv"), &format!("{name}.bn"), conv, stride)
        };
        let depthwise = |channels, kernel| Conv::new(channels, channels, kernel).groups(channels);
        // The stride is the later depthwise convolution's.
        let start_stride = if row.kernel == 0 { row.stride } else { 1 };
        let start = match row.start_kernel {
            0 => None,
            kernel => {
                let start = part("dw_start", depthwise(from, kernel), start_stride)?;
                Some(ConvBlock { activation: Activation::Identity, ..start })
            }
        };
        let expand = part("pw_exp", Conv::new(from, hidden, 1), 1)?;
        let middle = match row.kernel {
            0 => None,
            kernel => Some(part("dw_mid", depthwise(hidden, kernel), row.stride)?),
        };
        let project = Conv::new(hidden, to, 1);
        Ok(UniversalInvertedBottleneck {
            start,
            expand,
            middle,
            project: self.config.conv_norm(self.path, "pw_proj.conv", "pw_proj.bn", project)?,
            layer_scale: self.layer_scale()?,
            skip: self.skip()?,
        })
    }
}
