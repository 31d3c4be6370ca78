//! Initialisation of parameters: the schemes of `torch.nn.init`.

use anyhow::Result;
use tch::Tensor;

/// A distribution to draw a new parameter from. Fans are those of `torch.nn.init._calculate_fan_in_and_fan_out`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Constant(f64),
    /// U(−bound, bound).
    Uniform(f64),
    /// N(0, std²).
    Normal(f64),
    /// N(0, std²) truncated at ±2 (`trunc_normal_` with its default bounds).
    TruncatedNormal(f64),
    /// N(0, std²) truncated at ±2 std (timm's `trunc_normal_tf_`).
    TruncatedNormalTf(f64),
    /// Rows of a gated layer: the first half as `TruncatedNormal(0.02)`, the second N(0, 1e-12) (timm's `GluMlp`).
    GatedRows,
    /// Its biases: the first half 0, the second 1.
    GatedBias,
    /// U(±1/√fan_in): the default of `torch.nn` for the weights of convolutions and linear layers
    /// (`kaiming_uniform_(a=√5)`).
    FanIn,
    /// U(±√(6/fan_in)): `kaiming_uniform_` with its defaults.
    KaimingUniform,
    /// N(0, 2/fan_in): `kaiming_normal_` with its defaults.
    KaimingFanIn,
    /// N(0, 2/fan_out): `kaiming_normal_(mode="fan_out", nonlinearity="relu")`.
    KaimingFanOut,
    /// U(±√(6/(fan_in + fan_out))).
    XavierUniform,
}

impl Init {
    pub const ZEROS: Init = Init::Constant(0.0);
    pub const ONES: Init = Init::Constant(1.0);
    /// The weights and position embeddings of transformers.
    pub const TRANSFORMER: Init = Init::TruncatedNormal(0.02);

    /// Writes the initial values into `tensor`.
    pub(super) fn fill(self, tensor: &mut Tensor) -> Result<()> {
        let (fan_in, fan_out) = fans(&tensor.size());
        let _filled = match self {
            Init::Constant(value) => tensor.f_fill_(value)?,
            Init::Uniform(bound) => tensor.f_uniform_(-bound, bound)?,
            Init::Normal(std) => tensor.f_normal_(0.0, std)?,
            Init::TruncatedNormal(std) => truncated_normal(tensor, std, 2.0)?,
            Init::TruncatedNormalTf(std) => truncated_normal(tensor, std, 2.0 * std)?,
            Init::GatedRows => {
                let (mut value, mut gate) = halves(tensor)?;
                let _gate = gate.f_normal_(0.0, 1e-6)?;
                truncated_normal(&mut value, 0.02, 2.0)?
            }
            Init::GatedBias => {
                let (mut value, mut gate) = halves(tensor)?;
                let _gate = gate.f_fill_(1.0)?;
                value.f_zero_()?
            }
            Init::FanIn => {
                let bound = fan_in_bound(fan_in);
                tensor.f_uniform_(-bound, bound)?
            }
            Init::KaimingUniform => {
                let bound = (6.0 / fan_in).sqrt();
                tensor.f_uniform_(-bound, bound)?
            }
            Init::KaimingFanIn => tensor.f_normal_(0.0, (2.0 / fan_in).sqrt())?,
            Init::KaimingFanOut => tensor.f_normal_(0.0, (2.0 / fan_out).sqrt())?,
            Init::XavierUniform => {
                let bound = (6.0 / (fan_in + fan_out)).sqrt();
                tensor.f_uniform_(-bound, bound)?
            }
        };
        Ok(())
    }
}

/// N(0, std²) truncated at ±bound: the inverse normal CDF of a uniform draw from that range.
fn truncated_normal(tensor: &mut Tensor, std: f64, bound: f64) -> Result<Tensor> {
    // The inverse of ±1 is infinite: one draw in 2²⁴ would be the bound itself, thousands of standard deviations away.
    let limit = erf(bound / std / std::f64::consts::SQRT_2).min(1.0 - f64::from(f32::EPSILON));
    let mut drawn = tensor.f_uniform_(-limit, limit)?.f_erfinv_()?;
    Ok(drawn.f_mul_scalar_(std * std::f64::consts::SQRT_2)?.f_clamp_(-bound, bound)?)
}

/// The first and the second half of the rows, as views.
fn halves(tensor: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = tensor.size()[0] / 2;
    Ok((tensor.f_narrow(0, 0, half)?, tensor.f_narrow(0, half, half)?))
}

/// 1/√fan_in, the bound of `torch.nn`'s default weights and biases.
pub(super) fn fan_in_bound(fan_in: f64) -> f64 {
    1.0 / fan_in.sqrt()
}

fn fans(size: &[i64]) -> (f64, f64) {
    match size {
        [] => (1.0, 1.0),
        [n] => (*n as f64, *n as f64),
        [out, inputs, kernel @ ..] => {
            let field: i64 = kernel.iter().product();
            ((inputs * field) as f64, (out * field) as f64)
        }
    }
}

/// The error function, through libtorch: the standard library has none.
fn erf(x: f64) -> f64 {
    Tensor::from(x).erf().double_value(&[])
}
