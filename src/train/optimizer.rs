//! Optimizers over named parameters, whose state can be saved.

use super::config::TrainConfig;
use super::lbfgs::{self, Closure};
use super::optimizer_config::{AdamW, OptimizerConfig, RmsProp, Sgd};
use crate::torch::{self, AdamWStep, SgdStep};
use crate::weights::checkpoint::OPTIMIZER;
use anyhow::{Result, bail};
use tch::{Kind, Tensor};

/// Parameters that share a weight decay, a scale of the learning rate and a device, with one list of state tensors a slot.
struct Group {
    lr_scale: f64,
    weight_decay: f64,
    names: Vec<String>,
    params: Vec<Tensor>,
    state: Vec<(&'static str, Vec<Tensor>)>,
}

/// SGD, AdamW, RMSprop or L-BFGS with the numerics of `torch.optim`.
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<Group>,
}

impl Optimizer {
    /// An optimizer of these parameters with fresh state. Norms and biases are the parameters of at most one dimension.
    ///
    /// # Errors
    /// No memory for the state.
    pub fn new(config: &TrainConfig, parameters: &[(String, Tensor)]) -> Result<Self> {
        let decay = config.optimizer.weight_decay();
        let decays = |tensor: &Tensor| config.decay_norm_and_bias || tensor.dim() > 1;
        let one = |(name, tensor): &(String, Tensor)| {
            (name.clone(), tensor.shallow_clone(), [1.0, if decays(tensor) { decay } else { 0.0 }])
        };
        Self::grouped(&config.optimizer, parameters.iter().map(one))
    }

    /// As [`Self::new`], each parameter with its scale of the learning rate and its weight decay.
    pub(super) fn grouped(
        config: &OptimizerConfig,
        parameters: impl Iterator<Item = (String, Tensor, [f64; 2])>,
    ) -> Result<Self> {
        let mut groups: Vec<Group> = Vec::new();
        for (name, tensor, [lr_scale, weight_decay]) in parameters {
            let same = |group: &Group| {
                [group.lr_scale, group.weight_decay] == [lr_scale, weight_decay]
                    && group.params.first().is_some_and(|first| first.device() == tensor.device())
            };
            let i = match groups.iter().position(same) {
                Some(i) => i,
                None => {
                    let (names, params, state) = Default::default();
                    groups.push(Group { lr_scale, weight_decay, names, params, state });
                    groups.len() - 1
                }
            };
            groups[i].names.push(name);
            groups[i].params.push(tensor);
        }
        for group in &mut groups {
            group.state = fresh_state(config, &group.params)?;
        }
        Ok(Self { config: config.clone(), groups })
    }

    /// Clears all gradients.
    pub fn zero_grad(&self) -> Result<()> {
        self.groups.iter().try_for_each(|group| torch::clear_grads(&group.params))
    }

    /// All gradients that the backward pass gave.
    pub fn grads(&self) -> Vec<Tensor> {
        self.groups.iter().flat_map(|g| &g.params).map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// One update at this learning rate; parameters without a gradient stay.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        for group in &self.groups {
            let lr = lr * group.lr_scale;
            let grads: Vec<Tensor> = group.params.iter().map(Tensor::grad).collect();
            let has: Vec<bool> = grads.iter().map(Tensor::defined).collect();
            let pick = |list: &[Tensor]| -> Vec<Tensor> {
                list.iter().zip(&has).filter(|(_, has)| **has).map(|(t, _)| t.shallow_clone()).collect()
            };
            let (params, grads) = (pick(&group.params), pick(&grads));
            let state: Vec<Vec<Tensor>> = group.state.iter().map(|(_, list)| pick(list)).collect();
            match (&self.config, state.as_slice()) {
                (OptimizerConfig::Sgd(c), state) => {
                    let &Sgd { momentum, nesterov, .. } = c;
                    let step = SgdStep { lr, momentum, nesterov, weight_decay: group.weight_decay };
                    torch::fused_sgd(&params, &grads, state.first().map_or(&[], Vec::as_slice), step)?;
                }
                (OptimizerConfig::AdamW(c), [exp_avg, exp_avg_sq, steps]) => {
                    let &AdamW { betas: [beta1, beta2], eps, .. } = c;
                    let weight_decay = group.weight_decay;
                    let step = AdamWStep { lr, betas: (beta1, beta2), eps, weight_decay };
                    torch::fused_adamw(&params, &grads, exp_avg, exp_avg_sq, steps, step)?;
                }
                (OptimizerConfig::RmsProp(c), [square_avg, buffers @ ..]) => {
                    let _no_grad = tch::no_grad_guard();
                    for (i, (param, grad)) in params.iter().zip(&grads).enumerate() {
                        let buffer = buffers.first().map(|list| &list[i]);
                        rms_prop(c, lr, group.weight_decay, param, grad, &square_avg[i], buffer)?;
                    }
                }
                _ => bail!("the optimizer's state does not fit its rule"),
            }
        }
        Ok(())
    }

    /// Whether steps are those of [`Self::minimise`].
    pub(super) fn evaluates(&self) -> bool {
        matches!(self.config, OptimizerConfig::Lbfgs(_))
    }

    /// One update of an optimizer that evaluates the loss several times; returns the loss before it.
    pub(super) fn minimise(&mut self, lr: f64, closure: Closure) -> Result<f64> {
        match (&self.config, self.groups.as_slice()) {
            (OptimizerConfig::Lbfgs(config), [Group { params, state, .. }]) => {
                let mut anew = || {
                    torch::clear_grads(params)?;
                    closure()
                };
                lbfgs::step(config, params, state, lr, &mut anew)
            }
            _ => bail!("L-BFGS takes all parameters alike, on one device"),
        }
    }

    /// The state by name: `optim.KEY.SLOT` with PyTorch's slot names, such as `optim.fc.weight.momentum_buffer`.
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        for group in &self.groups {
            for (slot, tensors) in &group.state {
                let named = group.names.iter().zip(tensors);
                state.extend(named.map(|(name, t)| (format!("{OPTIMIZER}{name}.{slot}"), t.shallow_clone())));
            }
        }
        state
    }
}

/// The state before the first step.
fn fresh_state(config: &OptimizerConfig, params: &[Tensor]) -> Result<Vec<(&'static str, Vec<Tensor>)>> {
    let _no_grad = tch::no_grad_guard();
    let all = |make: &dyn Fn(&Tensor) -> Result<Tensor, tch::TchError>| {
        params.iter().map(make).collect::<Result<Vec<_>, _>>()
    };
    let zeros = || all(&|p| p.detach().f_zeros_like());
    Ok(match config {
        OptimizerConfig::Lbfgs(c) => lbfgs::fresh(c, params)?,
        OptimizerConfig::Sgd(c) if c.momentum == 0.0 => vec![],
        OptimizerConfig::Sgd(_) => vec![("momentum_buffer", zeros()?)],
        OptimizerConfig::AdamW(_) => {
            let steps = all(&|p| Tensor::f_zeros([0i64; 0], (Kind::Float, p.device())))?;
            vec![("exp_avg", zeros()?), ("exp_avg_sq", zeros()?), ("step", steps)]
        }
        OptimizerConfig::RmsProp(c) => {
            let square_avg = if c.tf { all(&|p| p.detach().f_ones_like())? } else { zeros()? };
            let mut state = vec![("square_avg", square_avg)];
            if c.momentum > 0.0 {
                state.push(("momentum_buffer", zeros()?));
            }
            state
        }
    })
}

fn rms_prop(
    config: &RmsProp,
    lr: f64,
    weight_decay: f64,
    param: &Tensor,
    grad: &Tensor,
    square_avg: &Tensor,
    buffer: Option<&Tensor>,
) -> Result<()> {
    let &RmsProp { alpha, momentum, eps, tf, .. } = config;
    let mut param = param.shallow_clone();
    let grad = match weight_decay {
        0.0 => grad.shallow_clone(),
        decay => grad.f_add(&param.f_mul_scalar(decay)?)?,
    };
    let mut mean = square_avg.shallow_clone();
    let square = grad.f_square()?;
    let root = if tf {
        // The order of operations is TensorFlow's, as in timm's `RMSpropTF`.
        let change = square.f_sub(&mean)?.f_mul_scalar(1.0 - alpha)?;
        mean.f_add_(&change)?.f_add_scalar(eps)?.f_sqrt()?
    } else {
        let fresh = square.f_mul_scalar(1.0 - alpha)?;
        mean.f_mul_scalar_(alpha)?.f_add_(&fresh)?.f_sqrt()?.f_add_scalar(eps)?
    };
    let mut update = grad.f_div(&root)?;
    if tf {
        update = update.f_mul_scalar(lr)?;
    }
    if let Some(buffer) = buffer {
        update = buffer.shallow_clone().f_mul_scalar_(momentum)?.f_add_(&update)?;
    }
    let rate = if tf { 1.0 } else { lr };
    let _updated = param.f_sub_(&update.f_mul_scalar(rate)?)?;
    Ok(())
}
