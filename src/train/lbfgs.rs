//! L-BFGS with the numerics of `torch.optim.LBFGS`.

use super::optimizer_config::{Lbfgs, LineSearch};
use anyhow::{Context, Result};
use std::mem::replace;
use tch::{Device, Kind, Tensor};

/// What the parameters are evaluated by: gradients are left at them, and the loss is returned.
pub(super) type Closure<'a> = &'a mut dyn FnMut() -> Result<f64>;

/// Sufficient decrease and curvature, after which a line search ends.
const WOLFE: [f64; 2] = [1e-4, 0.9];
/// Of curvature along a step, above which it is remembered.
const MIN_CURVATURE: f64 = 1e-10;

/// The state between steps, in the order of [`fresh`]; all parameters are one vector.
struct State<'a> {
    /// Differences of gradients and of parameters (history, n), the oldest first.
    old_dirs: &'a Tensor,
    old_stps: &'a Tensor,
    d: &'a Tensor,
    prev_flat_grad: &'a Tensor,
    numbers: Numbers,
}

/// `n_iter`, `t`, `H_diag`, and the length of the history.
#[derive(Clone, Copy, Default)]
struct Numbers {
    iterations: f64,
    t: f64,
    diagonal: f64,
    length: usize,
}

/// The names of the state's parts, kept at the first parameter as PyTorch does.
const SLOTS: [&str; 5] = ["old_dirs", "old_stps", "d", "prev_flat_grad", "numbers"];

/// The state before the first step.
pub(super) fn fresh(config: &Lbfgs, params: &[Tensor]) -> Result<Vec<(&'static str, Vec<Tensor>)>> {
    let size = params.iter().map(|param| param.numel() as i64).sum::<i64>();
    let like = params.first().map_or((Kind::Float, Device::Cpu), |param| (param.kind(), param.device()));
    let history = config.history_size as i64;
    let shapes: [(&[i64], _); 5] = [
        (&[history, size], like),
        (&[history, size], like),
        (&[size], like),
        (&[size], like),
        (&[4], (Kind::Double, Device::Cpu)),
    ];
    let zeros = shapes.into_iter().map(|(shape, options)| Tensor::f_zeros(shape, options));
    SLOTS.into_iter().zip(zeros).map(|(slot, zeros)| Ok((slot, vec![zeros?]))).collect()
}

/// A step of up to `max_iter` iterations; returns the loss before it.
pub(super) fn step(
    config: &Lbfgs,
    params: &[Tensor],
    state: &[(&'static str, Vec<Tensor>)],
    lr: f64,
    closure: Closure,
) -> Result<f64> {
    let part = |i: usize| state.get(i).and_then(|(_, list)| list.first()).context("the state of L-BFGS");
    let saved = part(4)?;
    let mut state = State {
        old_dirs: part(0)?,
        old_stps: part(1)?,
        d: part(2)?,
        prev_flat_grad: part(3)?,
        numbers: Numbers::read(saved)?,
    };
    let before = Function { params, closure: &mut *closure }.here()?;
    let loss = before.0;
    state.run(config, lr, before, &mut Function { params, closure })?;
    state.numbers.write(saved)?;
    Ok(loss)
}

impl Numbers {
    fn read(saved: &Tensor) -> Result<Self> {
        let [iterations, t, diagonal, length] =
            Vec::<f64>::try_from(saved)?.try_into().ok().context("four numbers of L-BFGS")?;
        Ok(Self { iterations, t, diagonal, length: length as usize })
    }

    fn write(self, saved: &Tensor) -> Result<()> {
        let Self { iterations, t, diagonal, length } = self;
        saved.shallow_clone().f_copy_(&Tensor::f_from_slice(&[iterations, t, diagonal, length as f64])?)?;
        Ok(())
    }
}

impl State<'_> {
    fn run(
        &mut self,
        config: &Lbfgs,
        lr: f64,
        (mut loss, mut grad): (f64, Tensor),
        function: &mut Function,
    ) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let is_flat = |grad: &Tensor| Ok::<_, anyhow::Error>(largest(grad)? <= config.tolerance_grad);
        if is_flat(&grad)? {
            return Ok(());
        }
        let max_evaluations = config.max_eval.unwrap_or(config.max_iter * 5 / 4);
        let mut evaluations = 1;
        for iteration in 1..=config.max_iter {
            self.numbers.iterations += 1.0;
            let is_first = self.numbers.iterations == 1.0;
            self.d.shallow_clone().f_copy_(&if is_first {
                self.numbers.diagonal = 1.0;
                grad.f_neg()?
            } else {
                self.remember(&grad)?;
                self.direction(&grad)?
            })?;
            self.prev_flat_grad.shallow_clone().f_copy_(&grad)?;
            let previous = loss;
            let mut t = lr;
            if is_first {
                t *= (1.0 / grad.f_abs()?.f_sum(None)?.f_double_value(&[])?).min(1.0);
            }
            self.numbers.t = t;
            let slope = dot(&grad, self.d)?;
            if slope > -config.tolerance_change {
                break;
            }
            match config.line_search_fn {
                Some(LineSearch::StrongWolfe) => {
                    let start = Point { t: 0.0, loss, grad, slope };
                    let most = max_evaluations.saturating_sub(evaluations);
                    let (found, more) = strong_wolfe(function, start, t, self.d, most)?;
                    evaluations += more;
                    (t, loss, grad) = (found.t, found.loss, found.grad);
                    function.go(t, self.d)?;
                }
                None => {
                    function.go(t, self.d)?;
                    if iteration < config.max_iter {
                        (loss, grad) = function.here()?;
                        evaluations += 1;
                    }
                }
            }
            self.numbers.t = t;
            let is_over = iteration == config.max_iter || evaluations >= max_evaluations;
            if is_over
                || is_flat(&grad)?
                || largest(&self.d.f_mul_scalar(t)?)? <= config.tolerance_change
                || (loss - previous).abs() < config.tolerance_change
            {
                break;
            }
        }
        Ok(())
    }

    /// Adds the last step to the history, in place of the oldest where it is full.
    fn remember(&mut self, grad: &Tensor) -> Result<()> {
        let y = grad.f_sub(self.prev_flat_grad)?;
        let s = self.d.f_mul_scalar(self.numbers.t)?;
        let curvature = dot(&y, &s)?;
        if curvature <= MIN_CURVATURE {
            return Ok(());
        }
        let room = self.old_dirs.size()[0];
        for (history, new) in [(self.old_dirs, &y), (self.old_stps, &s)] {
            if self.numbers.length as i64 == room {
                history.shallow_clone().f_copy_(&history.f_roll(-1i64, 0i64)?)?;
            }
            history.f_get((self.numbers.length as i64).min(room - 1))?.f_copy_(new)?;
        }
        self.numbers.length = (self.numbers.length + 1).min(room as usize);
        self.numbers.diagonal = curvature / dot(&y, &y)?;
        Ok(())
    }

    /// The approximate inverse Hessian times the negative gradient.
    fn direction(&self, grad: &Tensor) -> Result<Tensor> {
        let row = |history: &Tensor, i: usize| history.f_get(i as i64);
        let mut q = grad.f_neg()?;
        let mut steps = Vec::new();
        for i in (0..self.numbers.length).rev() {
            let (y, s) = (row(self.old_dirs, i)?, row(self.old_stps, i)?);
            let ro = 1.0 / dot(&y, &s)?;
            let al = dot(&s, &q)? * ro;
            q = q.f_sub(&y.f_mul_scalar(al)?)?;
            steps.push((y, s, ro, al));
        }
        let mut r = q.f_mul_scalar(self.numbers.diagonal)?;
        for (y, s, ro, al) in steps.into_iter().rev() {
            let be = dot(&y, &r)? * ro;
            r = r.f_add(&s.f_mul_scalar(al - be)?)?;
        }
        Ok(r)
    }
}

/// The loss as a function of all parameters.
struct Function<'a> {
    params: &'a [Tensor],
    closure: Closure<'a>,
}

impl Function<'_> {
    /// Loss and gradient.
    fn here(&mut self) -> Result<(f64, Tensor)> {
        let loss = tch::with_grad(&mut *self.closure)?;
        let _no_grad = tch::no_grad_guard();
        let flat = |param: &Tensor| match param.grad() {
            grad if grad.defined() => grad.f_reshape([-1]),
            _ => param.f_zeros_like()?.f_reshape([-1]),
        };
        Ok((loss, Tensor::f_cat(&self.params.iter().map(flat).collect::<Result<Vec<_>, _>>()?, 0)?))
    }

    /// Moves the parameters by `t` times `d`.
    fn go(&self, t: f64, d: &Tensor) -> Result<()> {
        let mut start = 0;
        for param in self.params {
            let length = param.numel() as i64;
            let part = d.f_narrow(0, start, length)?.f_reshape(param.size())?;
            let _moved = param.shallow_clone().f_add_(&part.f_mul_scalar(t)?)?;
            start += length;
        }
        Ok(())
    }

    /// The point at `t` along `d`; the parameters stay where they are.
    fn at(&mut self, t: f64, d: &Tensor) -> Result<Point> {
        let kept: Vec<Tensor> = self.params.iter().map(|param| param.detach().copy()).collect();
        self.go(t, d)?;
        let (loss, grad) = self.here()?;
        for (param, kept) in self.params.iter().zip(&kept) {
            param.shallow_clone().f_copy_(kept)?;
        }
        let slope = dot(&grad, d)?;
        Ok(Point { t, loss, grad, slope })
    }
}

/// A point along a direction.
struct Point {
    t: f64,
    loss: f64,
    grad: Tensor,
    /// The derivative along the direction.
    slope: f64,
}

/// A step that fulfils the strong Wolfe conditions, and how often the function was evaluated.
fn strong_wolfe(
    function: &mut Function,
    start: Point,
    t: f64,
    d: &Tensor,
    max_iterations: usize,
) -> Result<(Point, usize)> {
    const TOLERANCE_CHANGE: f64 = 1e-9;
    let [decrease, curvature] = WOLFE;
    let (loss, slope, length) = (start.loss, start.slope, largest(d)?);
    let falls = |point: &Point| point.loss <= loss + decrease * point.t * slope;
    let is_flat = |point: &Point| point.slope.abs() <= -curvature * slope;
    let origin = Point { grad: start.grad.shallow_clone(), ..start };
    let (mut previous, mut new) = (start, function.at(t, d)?);
    let (mut evaluations, mut iterations) = (1, 0);
    let mut bracket = loop {
        if iterations == max_iterations {
            break [origin, new];
        }
        if !falls(&new) || (iterations > 1 && new.loss >= previous.loss) {
            break [previous, new];
        }
        if is_flat(&new) {
            return Ok((new, evaluations));
        }
        if new.slope >= 0.0 {
            break [previous, new];
        }
        let bounds = [new.t + 0.01 * (new.t - previous.t), new.t * 10.0];
        let t = cubic_interpolate(&previous, &new, bounds);
        previous = replace(&mut new, function.at(t, d)?);
        evaluations += 1;
        iterations += 1;
    };

    let lower = |[a, b]: &[Point; 2]| usize::from(a.loss > b.loss);
    let mut low = lower(&bracket);
    let mut is_stuck = false;
    while iterations < max_iterations {
        let [from, to] = [bracket[0].t.min(bracket[1].t), bracket[0].t.max(bracket[1].t)];
        if (to - from) * length < TOLERANCE_CHANGE {
            break;
        }
        let mut t = cubic_interpolate(&bracket[0], &bracket[1], [from, to]);
        let margin = 0.1 * (to - from);
        let is_close = (to - t).min(t - from) < margin;
        let is_moved = is_close && (is_stuck || t >= to || t <= from);
        if is_moved {
            t = if (t - to).abs() < (t - from).abs() { to - margin } else { from + margin };
        }
        is_stuck = is_close && !is_moved;
        let new = function.at(t, d)?;
        evaluations += 1;
        iterations += 1;
        if !falls(&new) || new.loss >= bracket[low].loss {
            bracket[1 - low] = new;
            low = lower(&bracket);
            continue;
        }
        let is_done = is_flat(&new);
        let turns = new.slope * (bracket[1 - low].t - bracket[low].t) >= 0.0;
        let old = replace(&mut bracket[low], new);
        if is_done {
            break;
        }
        if turns {
            bracket[1 - low] = old;
        }
    }
    let [first, second] = bracket;
    Ok((if low == 0 { first } else { second }, evaluations))
}

/// The minimum of the cubic through two points and their slopes, within bounds.
fn cubic_interpolate(a: &Point, b: &Point, [from, to]: [f64; 2]) -> f64 {
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square < 0.0 || square.is_nan() {
        return f64::midpoint(from, to);
    }
    let [a, b] = if a.t <= b.t { [a, b] } else { [b, a] };
    let d2 = square.sqrt();
    let lowest = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    lowest.max(from).min(to)
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(a.f_dot(b)?.f_double_value(&[])?)
}

fn largest(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.f_abs()?.f_max()?.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::fs;

    /// Steps of tests/goldens/lbfgs.py.
    #[derive(Deserialize)]
    struct Golden {
        strong_wolfe: bool,
        lr: f64,
        history_size: usize,
        max_iter: usize,
        losses: Vec<f64>,
        parameters: Vec<f64>,
    }

    #[test]
    fn steps_are_those_of_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/lbfgs.json");
        let goldens: Vec<Golden> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for Golden { strong_wolfe, lr, history_size, max_iter, losses, parameters } in goldens {
            let line_search_fn = strong_wolfe.then_some(LineSearch::StrongWolfe);
            let config = Lbfgs { lr, history_size, max_iter, line_search_fn, ..Lbfgs::default() };
            let start: Vec<f64> = (0..6).map(|i| 0.3 * f64::from(i) - 0.7).collect();
            let params: Vec<Tensor> = [(0, 4), (4, 2)]
                .map(|(from, length)| Tensor::from_slice(&start[from..from + length]).set_requires_grad(true))
                .into();
            let state = fresh(&config, &params).unwrap();
            for (i, want) in losses.iter().enumerate() {
                let mut closure = || {
                    params.iter().for_each(|param| param.shallow_clone().zero_grad());
                    let x = Tensor::cat(&params, 0);
                    let (low, high) = (x.narrow(0, 0, 5), x.narrow(0, 1, 5));
                    let valley = (high - low.square()).square() * 10.0 + (low - 1.0).square();
                    let loss = valley.sum(Kind::Double);
                    loss.backward();
                    Ok(loss.double_value(&[]))
                };
                let loss = step(&config, &params, &state, lr, &mut closure).unwrap();
                assert!((loss - want).abs() <= 1e-10 * want.abs().max(1e-10), "step {i}: {loss} {want}");
            }
            let end = Vec::<f64>::try_from(Tensor::cat(&params, 0).detach()).unwrap();
            for (got, want) in end.iter().zip(&parameters) {
                assert!((got - want).abs() <= 1e-10, "{got} {want}");
            }
        }
    }
}
