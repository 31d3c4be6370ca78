//! Fused multi-tensor operations: one call for all parameters of a model.

use super::ffi::{
    check, pointers, tv_clear_grads, tv_clip_grad_norm, tv_foreach_lerp, tv_fused_adam, tv_fused_sgd,
};
use anyhow::{Result, ensure};
use tch::Tensor;

/// Hyperparameters of one [`fused_sgd`] step, with the meanings of `torch.optim.SGD`.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
}

/// Hyperparameters of one [`fused_adam`] step, with the meanings of `torch.optim.Adam`, or of `AdamW` if the weight decay is
/// decoupled from the gradient.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    pub is_decoupled: bool,
}

fn same_length(lists: &[&[Tensor]]) -> Result<usize> {
    let n = lists[0].len();
    ensure!(lists.iter().all(|list| list.len() == n), "lists of tensors of different lengths");
    Ok(n)
}

/// One step of SGD in place on every parameter. `momenta` start at 0, which gives the same first step as in PyTorch;
/// they are read and written only if `momentum` is not 0.
pub fn fused_sgd(params: &[Tensor], grads: &[Tensor], momenta: &[Tensor], step: SgdStep) -> Result<()> {
    let n = same_length(&[params, grads])?;
    if step.momentum != 0.0 {
        same_length(&[params, momenta])?;
    }
    let (p, g, m) = (pointers(params), pointers(grads), pointers(momenta));
    // SAFETY: each list holds n live tensors (checked), and `m` is not read when momentum is 0.
    check(unsafe {
        tv_fused_sgd(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            n,
            step.lr,
            step.momentum,
            step.weight_decay,
            i32::from(step.nesterov),
        )
    })
}

/// One step of Adam or AdamW in place; `steps` holds one float32 scalar per parameter, incremented here.
pub fn fused_adam(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    steps: &[Tensor],
    step: AdamStep,
) -> Result<()> {
    let n = same_length(&[params, grads, exp_avgs, exp_avg_sqs, steps])?;
    let (p, g) = (pointers(params), pointers(grads));
    let (m, v, t) = (pointers(exp_avgs), pointers(exp_avg_sqs), pointers(steps));
    // SAFETY: each list holds n live tensors (checked).
    check(unsafe {
        tv_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            n,
            step.lr,
            step.betas.0,
            step.betas.1,
            step.eps,
            step.weight_decay,
            i32::from(step.is_decoupled),
        )
    })
}

/// `a += weight * (b - a)` in place for every pair, as in an exponential moving average.
pub fn lerp(a: &[Tensor], b: &[Tensor], weight: f64) -> Result<()> {
    let n = same_length(&[a, b])?;
    let (a, b) = (pointers(a), pointers(b));
    // SAFETY: both lists hold n live tensors (checked).
    check(unsafe { tv_foreach_lerp(a.as_ptr(), b.as_ptr(), n, weight) })
}

/// Scales all gradients so that their joint 2-norm is at most `max_norm`; returns the norm before scaling, on the
/// device (`torch.nn.utils.clip_grad_norm_`). All gradients are on one device.
pub fn clip_grad_norm(grads: &[Tensor], max_norm: f64) -> Result<Tensor> {
    let g = pointers(grads);
    let mut out = std::ptr::null_mut();
    // SAFETY: `g` holds live tensors; the shim returns a new tensor, which `from_ptr` then owns.
    unsafe {
        check(tv_clip_grad_norm(&mut out, g.as_ptr(), grads.len(), max_norm))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Drops the gradients, so that the next backward pass writes new ones instead of adding
/// (`optimizer.zero_grad(set_to_none=True)`).
pub fn clear_grads(params: &[Tensor]) -> Result<()> {
    let p = pointers(params);
    // SAFETY: `p` holds live tensors.
    check(unsafe { tv_clear_grads(p.as_ptr(), p.len()) })
}
