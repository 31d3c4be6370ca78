//! Optimizers over named parameters, whose state can be saved.

use super::config::TrainConfig;
use super::lbfgs::{self, Closure};
use super::optimizer_config::{Adam, AdamW, Lamb, OptimizerConfig, Sgd};
use super::rules;
use crate::torch::{self, AdamStep, SgdStep};
use crate::weights::checkpoint::OPTIMIZER;
use anyhow::{Result, bail};
use tch::{Device, Kind, Tensor};

/// Parameters that share a weight decay, a scale of the learning rate and a device, with one list of state tensors a slot.
struct Group {
    lr_scale: f64,
    weight_decay: f64,
    names: Vec<String>,
    params: Vec<Tensor>,
    state: Vec<(&'static str, Vec<Tensor>)>,
}

/// SGD, Adam, AdamW, RMSprop or L-BFGS with the numerics of `torch.optim`, or timm's LAMB.
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<Group>,
    /// The last two parameters, which adaptive clipping spares.
    last: Vec<String>,
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
        let (mut groups, mut last): (Vec<Group>, Vec<String>) = Default::default();
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
            last = last.into_iter().rev().take(1).chain([name.clone()]).collect();
            groups[i].names.push(name);
            groups[i].params.push(tensor);
        }
        for group in &mut groups {
            group.state = fresh_state(config, &group.params)?;
        }
        Ok(Self { config: config.clone(), groups, last })
    }

    /// Clears all gradients.
    pub fn zero_grad(&self) -> Result<()> {
        self.groups.iter().try_for_each(|group| torch::clear_grads(&group.params))
    }

    /// All gradients that the backward pass gave.
    pub fn grads(&self) -> Vec<Tensor> {
        self.groups.iter().flat_map(|g| &g.params).map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// Clips the gradients as the run asks for.
    ///
    /// # Errors
    /// As of libtorch.
    pub fn clip(&self, config: &TrainConfig) -> Result<()> {
        if let Some(max_norm) = config.clip_grad_norm {
            let _norm = torch::clip_grad_norm(&self.grads(), max_norm)?;
        }
        if let Some(most) = config.clip_grad_value {
            rules::clip_values(&self.grads(), most)?;
        }
        if let Some(factor) = config.clip_grad_adaptive {
            let spared = |name: &String| self.last.contains(name);
            for Group { names, params, .. } in &self.groups {
                let clipped = names.iter().zip(params).filter(|(name, _)| !spared(name));
                let clipped: Vec<_> = clipped.map(|(_, param)| param.shallow_clone()).collect();
                rules::clip_adaptively(&clipped, factor)?;
            }
        }
        Ok(())
    }

    /// One update at this learning rate; parameters without a gradient stay.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        let clip = match &self.config {
            OptimizerConfig::Lamb(Lamb { max_grad_norm: Some(norm), .. }) => {
                rules::excess(&self.grads(), *norm)?
            }
            _ => None,
        };
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
                (
                    OptimizerConfig::AdamW(AdamW { betas, eps, .. })
                    | OptimizerConfig::Adam(Adam { betas, eps, .. }),
                    [exp_avg, exp_avg_sq, steps],
                ) => {
                    let is_decoupled = matches!(self.config, OptimizerConfig::AdamW(_));
                    let &[beta1, beta2] = betas;
                    let weight_decay = group.weight_decay;
                    let step = AdamStep { lr, betas: (beta1, beta2), eps: *eps, weight_decay, is_decoupled };
                    torch::fused_adam(&params, &grads, exp_avg, exp_avg_sq, steps, step)?;
                }
                (OptimizerConfig::Lamb(c), [exp_avg, exp_avg_sq, steps]) => {
                    let _no_grad = tch::no_grad_guard();
                    for (i, (param, grad)) in params.iter().zip(&grads).enumerate() {
                        let state = [&exp_avg[i], &exp_avg_sq[i], &steps[i]];
                        rules::lamb(c, lr, group.weight_decay, param, grad, clip.as_ref(), state)?;
                    }
                }
                (OptimizerConfig::RmsProp(c), [square_avg, buffers @ ..]) => {
                    let _no_grad = tch::no_grad_guard();
                    for (i, (param, grad)) in params.iter().zip(&grads).enumerate() {
                        let buffer = buffers.first().map(|list| &list[i]);
                        rules::rms_prop(c, lr, group.weight_decay, param, grad, &square_avg[i], buffer)?;
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
        // LAMB's count is read at every step, which must not wait for a GPU.
        OptimizerConfig::Lamb(_) => {
            let steps = all(&|_| Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu)))?;
            vec![("exp_avg", zeros()?), ("exp_avg_sq", zeros()?), ("step", steps)]
        }
        OptimizerConfig::AdamW(_) | OptimizerConfig::Adam(_) => {
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
