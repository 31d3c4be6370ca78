//! Update rules that libtorch has no kernel for, a parameter at a time.

use super::optimizer_config::{Lamb, RmsProp};
use anyhow::Result;
use tch::Tensor;

/// By how much the 2-norm of all gradients together exceeds `max_norm`: a scalar from 1 up.
pub fn excess(grads: &[Tensor], max_norm: f64) -> Result<Option<Tensor>> {
    if grads.is_empty() {
        return Ok(None);
    }
    let norms = grads.iter().map(Tensor::f_norm).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Tensor::f_stack(&norms, 0)?.f_norm()?.f_div_scalar(max_norm)?.f_clamp_min(1.0)?))
}

/// timm's `Lamb`; the state is `exp_avg`, `exp_avg_sq` and `step`.
pub fn lamb(
    config: &Lamb,
    lr: f64,
    weight_decay: f64,
    param: &Tensor,
    grad: &Tensor,
    excess: Option<&Tensor>,
    state: [&Tensor; 3],
) -> Result<()> {
    let &Lamb { betas: [beta1, beta2], eps, trust_clip, always_adapt, .. } = config;
    let [mut exp_avg, mut exp_avg_sq, mut steps] = state.map(Tensor::shallow_clone);
    let grad = match excess {
        Some(excess) => grad.f_div(excess)?,
        None => grad.shallow_clone(),
    };
    let step = steps.f_add_scalar_(1.0)?.f_double_value(&[])?;
    let _mean = exp_avg.f_lerp_(&grad, 1.0 - beta1)?;
    let fresh = grad.f_square()?.f_mul_scalar(1.0 - beta2)?;
    let root = exp_avg_sq.f_mul_scalar_(beta2)?.f_add_(&fresh)?.f_sqrt()?;
    let corrections = [1.0 - beta1.powf(step), (1.0 - beta2.powf(step)).sqrt()];
    let root = root.f_div_scalar(corrections[1])?.f_add_scalar(eps)?;
    let mut update = exp_avg.f_div_scalar(corrections[0])?.f_div(&root)?;
    if weight_decay != 0.0 {
        update = update.f_add(&param.f_mul_scalar(weight_decay)?)?;
    }
    if weight_decay != 0.0 || always_adapt {
        let [of_param, of_update] = [param.f_norm()?, update.f_norm()?];
        let both = of_param.f_gt(0.0)?.f_logical_and(&of_update.f_gt(0.0)?)?;
        let ratio = of_param.f_div(&of_update)?.f_where_self(&both, &of_param.f_ones_like()?)?;
        let ratio = if trust_clip { ratio.f_clamp_max(1.0)? } else { ratio };
        update = update.f_mul(&ratio)?;
    }
    let _updated = param.shallow_clone().f_sub_(&update.f_mul_scalar(lr)?)?;
    Ok(())
}

/// Scales each gradient down so that no unit's norm exceeds this fraction of the norm of its weights (adaptive gradient
/// clipping, 2102.06171, as timm's `adaptive_clip_grad`).
pub fn clip_adaptively(params: &[Tensor], factor: f64) -> Result<()> {
    const LEAST_WEIGHT: f64 = 1e-3;
    const LEAST_GRADIENT: f64 = 1e-6;
    let _no_grad = tch::no_grad_guard();
    let norm = |x: &Tensor| match x.dim() {
        0 | 1 => x.f_norm(),
        n => x.f_norm_scalaropt_dim(2.0, (1..n as i64).collect::<Vec<_>>(), true),
    };
    for param in params {
        let mut grad = param.grad();
        if !grad.defined() {
            continue;
        }
        let most = norm(param)?.f_clamp_min(LEAST_WEIGHT)?.f_mul_scalar(factor)?;
        let has = norm(&grad)?;
        let clipped = grad.f_mul(&most.f_div(&has.f_clamp_min(LEAST_GRADIENT)?)?)?;
        grad.f_copy_(&grad.f_where_self(&has.f_lt_tensor(&most)?, &clipped)?)?;
    }
    Ok(())
}

/// Clamps each number of the gradients (`torch.nn.utils.clip_grad_value_`).
pub fn clip_values(grads: &[Tensor], most: f64) -> Result<()> {
    let mut grads = grads.iter().map(Tensor::shallow_clone);
    grads.try_for_each(|mut grad| grad.f_clamp_(-most, most).map(drop))?;
    Ok(())
}

pub fn rms_prop(
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
