//! What libtorch is called for, operator by operator.

use super::ffi::{check, take, tv_trace_start, tv_trace_stop};
use anyhow::{Context, Result};
use serde::Deserialize;

/// A call of an operator: its name, such as `aten::relu_`, and the tensors that it reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Operator {
    pub name: String,
    pub inputs: Vec<Operand>,
    /// The texts among its arguments.
    pub texts: Vec<String>,
    pub outputs: Vec<Operand>,
}

/// A tensor of an operator: a number for the memory where it lies, which views share, and its shape.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Operand {
    pub memory: usize,
    pub size: Vec<i64>,
}

/// Runs `pass` and returns its result with the operators that it called on this thread, in order, without those that
/// run within another. No tensor's memory is freed meanwhile. Traces do not nest.
///
/// # Errors
/// A trace within a trace.
pub fn trace_operators<T>(pass: impl FnOnce() -> T) -> Result<(T, Vec<Operator>)> {
    // SAFETY: no arguments.
    check(unsafe { tv_trace_start() })?;
    let running = Running;
    let result = pass();
    std::mem::forget(running);
    Ok((result, serde_json::from_str(&stop()?).context("the trace of operators")?))
}

fn stop() -> Result<String> {
    let mut text = std::ptr::null_mut();
    // SAFETY: the shim writes one pointer to a text that `take` frees.
    check(unsafe { tv_trace_stop(&mut text) })?;
    Ok(take(text))
}

/// Ends the trace when `pass` panics.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = stop();
    }
}
