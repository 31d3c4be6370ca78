//! The blocks of mobile nets, built of parts that each family names its own way.

use super::dropout::DropPath;
use super::pool::AntiAlias;
use super::{Activation, ConvNorm, Layer, SqueezeExcite};
use anyhow::Result;
use tch::Tensor;

/// `channels` to the nearest multiple of `divisor`, at least one of it, and one more where rounding down would leave
/// less than `limit` of them: 0.9 in the papers' code.
pub fn make_divisible(channels: f64, divisor: i64, limit: f64) -> i64 {
    let divisor = divisor.max(1);
    let rounded = ((channels + divisor as f64 / 2.0) as i64 / divisor * divisor).max(divisor);
    if (rounded as f64) < limit * channels { rounded + divisor } else { rounded }
}

/// The way round a block where it keeps the shape, with stochastic depth of the branch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skip {
    drop_path: Option<DropPath>,
}

impl Skip {
    /// None: the block's output is the branch's.
    pub const NONE: Skip = Skip { drop_path: None };

    /// A way round that leaves the branch out with probability `drop_path` in training.
    ///
    /// # Errors
    /// A probability outside [0, 1).
    pub fn new(drop_path: f64) -> Result<Self> {
        Ok(Self { drop_path: Some(DropPath::new(drop_path)?) })
    }

    /// The block's output from its input `x` and its branch's output.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn forward(&self, x: &Tensor, branch: Tensor, train: bool) -> Result<Tensor> {
        match &self.drop_path {
            Some(drop_path) => Ok(drop_path.forward(&branch, train)?.f_add(x)?),
            None => Ok(branch),
        }
    }

    /// The same where the branch ends with the convolution `last` of `y`: one step when nothing is dropped.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn project(&self, x: &Tensor, y: &Tensor, last: &ConvNorm, train: bool) -> Result<Tensor> {
        match self.drop_path {
            Some(_) if !train => last.forward_add(y, x, Activation::Identity, train),
            _ => self.forward(x, last.forward(y, Activation::Identity, train)?, train),
        }
    }
}

/// A convolution with norm and activation: (N, in, H, W) to (N, out, H/stride, W/stride).
pub struct ConvBlock {
    pub conv: ConvNorm,
    pub activation: Activation,
    /// What takes over the convolution's stride, and the stride.
    pub anti_alias: Option<(AntiAlias, i64)>,
    pub skip: Skip,
}

impl ConvBlock {
    /// Convolution, norm and activation alone.
    pub fn new(conv: ConvNorm, activation: Activation) -> Self {
        Self { conv, activation, anti_alias: None, skip: Skip::NONE }
    }
}

impl Layer for ConvBlock {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.conv.forward(x, self.activation, train)?;
        if let Some((anti_alias, stride)) = self.anti_alias {
            y = anti_alias.forward(&y, stride, train)?;
        }
        self.skip.forward(x, y, train)
    }
}

/// MBConv (1801.04381; with squeeze-excitation 1807.11626): 1×1 up, depthwise, gate, 1×1 down without activation.
/// Without `expand` it is a depthwise separable convolution.
pub struct InvertedResidual {
    pub expand: Option<ConvBlock>,
    pub depthwise: ConvBlock,
    pub se: Option<SqueezeExcite>,
    pub project: ConvNorm,
    pub skip: Skip,
}

impl Layer for InvertedResidual {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = match &self.expand {
            Some(expand) => expand.forward(x, train)?,
            None => x.shallow_clone(),
        };
        y = self.depthwise.forward(&y, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        self.skip.project(x, &y, &self.project, train)
    }
}

/// Fused-MBConv (2104.00298): one k×k convolution in place of the 1×1 up and the depthwise one.
pub struct FusedInvertedResidual {
    /// The k×k convolution with activation.
    pub expand: ConvBlock,
    pub se: Option<SqueezeExcite>,
    pub project: ConvNorm,
    pub skip: Skip,
}

impl Layer for FusedInvertedResidual {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.expand.forward(x, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        self.skip.project(x, &y, &self.project, train)
    }
}
