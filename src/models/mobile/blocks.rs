//! The blocks of mobile nets, from the rows of a table.

use super::names::Names;
use super::table::{Kind, Row};
use super::{Config, Expansion, Squeeze};
use crate::nn::{
    Activation, BatchNorm2d, CondConv2d, Conv, ConvNorm, ConvNormAct, Excitation, Init, Layer, LayerScale2d,
    Linear, MultiQueryAttention, QueryHeads, Sequence, Skip, SqueezeExcite, global_avg_pool, make_divisible,
};
use anyhow::{Result, ensure};
use tch::Tensor;

/// What most blocks are: convolutions with activation, squeeze-excitation, a 1×1 convolution without activation and its
/// layer scale, each where there is one, and a way around them.
struct Block {
    convs: Sequence,
    se: Option<SqueezeExcite>,
    project: Option<ConvNorm>,
    layer_scale: Option<LayerScale2d>,
    skip: Skip,
}

impl Block {
    /// Convolutions alone.
    fn new(convs: Vec<Box<dyn Layer>>, skip: Skip) -> Self {
        Self { convs: Sequence(convs), se: None, project: None, layer_scale: None, skip }
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.convs.forward(x, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        match (&self.project, &self.layer_scale) {
            (None, _) => self.skip.forward(x, y, train),
            (Some(project), None) => self.skip.project(x, &y, project, train),
            (Some(project), Some(scale)) => {
                y = scale.forward(&project.forward(&y, Activation::Identity, train)?, train)?;
                self.skip.forward(x, y, train)
            }
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

/// Norm, attention and layer scale with a way around (MobileNetV4, section 4).
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
    pub row: &'a Row,
    pub names: Names,
    /// Input channels by the table, before `width`.
    pub table: i64,
    /// Input channels.
    pub from: i64,
    /// Probability of stochastic depth.
    pub drop_path: f64,
}

impl Builder<'_> {
    /// The block: (N, from, H, W) to (N, channels, H/stride, W/stride).
    ///
    /// # Errors
    /// A row whose numbers make no block, or one that torchvision has no keys for.
    pub fn build(mut self) -> Result<Box<dyn Layer>> {
        let (row, from, to, skip) = (self.row, self.from, self.to(), self.skip()?);
        let torchvisions = matches!(row.kind, Kind::Conv | Kind::Separable | Kind::Inverted | Kind::Fused);
        ensure!(
            self.names.are_timms() || torchvisions && row.experts == 0,
            "torchvision has plain `cn`, `ds`, `ir` and `er` blocks alone; `keys: timm` has all"
        );
        let block = match row.kind {
            Kind::Attention => return self.attention(skip),
            Kind::Inverted if row.experts > 0 => return self.cond_conv(skip),
            Kind::Conv => {
                let conv = self.conv(["conv", "bn1"], Conv::new(from, to, row.kernel), row.stride)?;
                Block::new(vec![conv], skip)
            }
            Kind::SeparableAct => {
                ensure!(!row.skip, "a `dsa` block takes no skip");
                let depthwise = self.depthwise(["conv_dw", "bn1"], from)?;
                let pointwise = self.conv(["conv_pw", "bn2"], Conv::new(from, to, 1), 1)?;
                let se = self.output_squeeze_excite()?;
                Block { se, ..Block::new(vec![depthwise, pointwise], skip) }
            }
            Kind::Separable => {
                let depthwise = self.depthwise(["conv_dw", "bn1"], from)?;
                let se = self.squeeze_excite(from, 1.0)?;
                let project = Some(self.project(["conv_pw", "bn2"], from)?);
                Block { se, project, ..Block::new(vec![depthwise], skip) }
            }
            Kind::Inverted => {
                let hidden = self.expanded(from);
                let mut convs = Vec::new();
                // torchvision has no convolution that expands nothing.
                if hidden != from || self.names.are_timms() {
                    convs.push(self.conv(["conv_pw", "bn1"], Conv::new(from, hidden, 1), 1)?);
                }
                convs.push(self.depthwise(["conv_dw", "bn2"], hidden)?);
                let se = self.squeeze_excite(hidden, row.expansion)?;
                let project = Some(self.project(["conv_pwl", "bn3"], hidden)?);
                Block { se, project, ..Block::new(convs, skip) }
            }
            // One k×k convolution in place of the 1×1 up and the depthwise one (2104.00298).
            Kind::Fused => {
                let hidden = self.expanded(match row.expanded_from {
                    0 => from,
                    channels => self.config.channels(channels),
                });
                let expand = Conv::new(from, hidden, row.kernel);
                let expand = self.conv(["conv_exp", "bn1"], expand, row.stride)?;
                let se = self.squeeze_excite(hidden, row.expansion)?;
                let project = Some(self.project(["conv_pwl", "bn2"], hidden)?);
                Block { se, project, ..Block::new(vec![expand], skip) }
            }
            // With depthwise convolutions before and after the expansion, only before (ConvNeXt), only after (inverted
            // residual) or nowhere (feed-forward); the stride is the later one's (2404.10518, section 3).
            Kind::Universal => {
                ensure!(row.squeeze == 0.0, "a `uir` block takes no se");
                let hidden = self.expanded(from);
                let mut convs = Vec::new();
                if row.start_kernel > 0 {
                    let stride = if row.kernel == 0 { row.stride } else { 1 };
                    let start = Conv::new(from, from, row.start_kernel).groups(from);
                    let names = ["dw_start.conv", "dw_start.bn"];
                    convs.push(self.conv_act(names, start, stride, Activation::Identity)?);
                }
                convs.push(self.conv(["pw_exp.conv", "pw_exp.bn"], Conv::new(from, hidden, 1), 1)?);
                if row.kernel > 0 {
                    convs.push(self.depthwise(["dw_mid.conv", "dw_mid.bn"], hidden)?);
                }
                let project = Some(self.project(["pw_proj.conv", "pw_proj.bn"], hidden)?);
                Block { project, layer_scale: self.layer_scale()?, ..Block::new(convs, skip) }
            }
        };
        Ok(Box::new(block))
    }

    /// Output channels.
    pub fn to(&self) -> i64 {
        match self.row.channels {
            0 => (self.from as f64 * self.row.expansion).round() as i64,
            channels => self.config.channels(channels),
        }
    }

    /// `channels`, which are the input's unless the row says otherwise, times the expansion factor.
    fn expanded(&self, channels: i64) -> i64 {
        match self.config.expansion_base {
            Expansion::Input => {
                make_divisible(channels as f64 * self.row.expansion, self.config.divisor, 0.9)
            }
            Expansion::Table => self.config.channels((self.table as f64 * self.row.expansion).round() as i64),
        }
    }

    fn activation(&self) -> Activation {
        self.row.activation.unwrap_or(self.config.activation)
    }

    fn skip(&self) -> Result<Skip> {
        let keeps_shape = self.row.stride == 1 && self.from == self.to();
        if self.row.skip && keeps_shape { Skip::new(self.drop_path) } else { Ok(Skip::NONE) }
    }

    /// A convolution with norm and activation; the anti-alias filter takes over the stride where there is one.
    fn conv_act(
        &mut self,
        names: [&str; 2],
        conv: Conv,
        stride: i64,
        activation: Activation,
    ) -> Result<Box<dyn Layer>> {
        let anti_alias = self.config.anti_alias.filter(|_| stride > 1);
        let conv = if anti_alias.is_some() { conv } else { conv.stride(stride) };
        let conv = ConvNormAct::new(self.config.conv_norm(self.names.conv(names), conv)?, activation);
        Ok(match anti_alias {
            None => Box::new(conv),
            Some(filter) => Box::new(Sequence(vec![Box::new(conv), filter.layer(stride)])),
        })
    }

    fn conv(&mut self, names: [&str; 2], conv: Conv, stride: i64) -> Result<Box<dyn Layer>> {
        self.conv_act(names, conv, stride, self.activation())
    }

    fn depthwise(&mut self, names: [&str; 2], channels: i64) -> Result<Box<dyn Layer>> {
        self.conv(names, Conv::new(channels, channels, self.row.kernel).groups(channels), self.row.stride)
    }

    /// The 1×1 convolution from `hidden` channels to the block's output.
    fn project(&mut self, names: [&str; 2], hidden: i64) -> Result<ConvNorm> {
        self.config.conv_norm(self.names.project(names), Conv::new(hidden, self.to(), 1))
    }

    /// Squeeze-excitation of `channels`, which are the block's input times `expansion`.
    fn squeeze_excite(&mut self, channels: i64, expansion: f64) -> Result<Option<SqueezeExcite>> {
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
                let squeezed = make_divisible(expanded, self.config.divisor, 0.9);
                (squeezed, Activation::Relu, Activation::HardSigmoid)
            }
        };
        let (path, names) = self.names.squeeze_excite();
        let excitation = Excitation { squeezed, activation, gate, names };
        Ok(Some(SqueezeExcite::mobile(&path, channels, excitation)?))
    }

    /// SENet's of a block's output (1709.01507), without biases.
    fn output_squeeze_excite(&self) -> Result<Option<SqueezeExcite>> {
        if self.row.squeeze == 0.0 {
            return Ok(None);
        }
        let squeezed = (self.to() as f64 * self.row.squeeze).round_ties_even() as i64;
        let path = self.names.timm("se");
        Ok(Some(SqueezeExcite::no_bias(&path, self.to(), squeezed, Init::KaimingFanOut)?))
    }

    fn layer_scale(&self) -> Result<Option<LayerScale2d>> {
        let scale = |initial| LayerScale2d::new(&self.names.timm("layer_scale"), self.to(), initial);
        self.config.layer_scale.map(scale).transpose()
    }

    fn attention(self, skip: Skip) -> Result<Box<dyn Layer>> {
        let Self { config, row, from, .. } = self;
        ensure!(from == self.to() && row.stride == 1, "an `mqa` block keeps the shape");
        ensure!(!config.tf_same, "an `mqa` block has no `tf_same` padding");
        let sizes = QueryHeads {
            heads: row.heads,
            key_dim: row.key_dim,
            kv_stride: row.kv_stride,
            kernel: row.kernel,
            bn_eps: config.bn_eps,
            bn_momentum: config.bn_momentum,
        };
        Ok(Box::new(MobileAttention {
            norm: config.norm(&self.names.timm("norm"), from)?,
            attn: MultiQueryAttention::new(&self.names.timm("attn"), from, sizes)?,
            layer_scale: self.layer_scale()?,
            skip,
        }))
    }

    fn cond_conv(mut self, skip: Skip) -> Result<Box<dyn Layer>> {
        let (config, row, from, hidden) = (self.config, self.row, self.from, self.expanded(self.from));
        ensure!(config.anti_alias.is_none(), "conditional convolutions have no anti-alias filter");
        let experts = row.experts * config.experts;
        let depthwise = Conv::new(hidden, hidden, row.kernel).groups(hidden).stride(row.stride);
        let routing = Init::Uniform(1.0 / ((from + experts) as f64).sqrt());
        Ok(Box::new(CondConvResidual {
            expand: self.cond_conv_norm(["conv_pw", "bn1"], Conv::new(from, hidden, 1), experts)?,
            depthwise: self.cond_conv_norm(["conv_dw", "bn2"], depthwise, experts)?,
            se: self.squeeze_excite(hidden, row.expansion)?,
            project: self.cond_conv_norm(["conv_pwl", "bn3"], Conv::new(hidden, self.to(), 1), experts)?,
            routing: Linear::init(&self.names.timm("routing_fn"), from, experts, routing)?,
            activation: self.activation(),
            skip,
        }))
    }

    fn cond_conv_norm(
        &self,
        [conv_name, norm_name]: [&str; 2],
        conv: Conv,
        experts: i64,
    ) -> Result<CondConvNorm> {
        Ok(CondConvNorm {
            conv: CondConv2d::new(&self.names.timm(conv_name), self.config.padded(conv), experts)?,
            norm: self.config.norm(&self.names.timm(norm_name), conv.out_channels())?,
        })
    }
}
