//! Declarations of the shim's C functions.

use anyhow::{Result, bail};
use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use tch::{Kind, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn tv_free(text: *mut c_char);
    fn tv_torch_version() -> *mut c_char;
    fn tv_show_config() -> *mut c_char;
    fn tv_cpu_capability() -> *mut c_char;
    pub(super) fn tv_empty_meta(
        out: *mut *mut C_tensor,
        sizes: *const i64,
        n: usize,
        dtype: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_zeros_pinned(out: *mut *mut C_tensor, sizes: *const i64, n: usize) -> *mut c_char;
    pub(super) fn tv_from_owner(
        out: *mut *mut C_tensor,
        data: *mut c_void,
        sizes: *const i64,
        strides: *const i64,
        n: usize,
        dtype: c_int,
        owner: *mut c_void,
        release: extern "C" fn(*mut c_void),
    ) -> *mut c_char;
    pub(super) fn tv_allow_tf32(allowed: c_int) -> *mut c_char;
    pub(super) fn tv_synchronize(index: c_int) -> *mut c_char;
    pub(super) fn tv_peak_cuda_bytes(index: c_int, out: *mut i64) -> *mut c_char;
    pub(super) fn tv_is_meta(tensor: *const C_tensor, out: *mut c_int) -> *mut c_char;
    pub(super) fn tv_autocast(
        cuda: c_int,
        enabled: c_int,
        dtype: c_int,
        was_enabled: *mut c_int,
        was_dtype: *mut c_int,
    ) -> *mut c_char;
    pub(super) fn tv_fused_sgd(
        params: *const *mut C_tensor,
        grads: *const *mut C_tensor,
        momenta: *const *mut C_tensor,
        n: usize,
        lr: c_double,
        momentum: c_double,
        weight_decay: c_double,
        nesterov: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_fused_adam(
        params: *const *mut C_tensor,
        grads: *const *mut C_tensor,
        exp_avgs: *const *mut C_tensor,
        exp_avg_sqs: *const *mut C_tensor,
        steps: *const *mut C_tensor,
        n: usize,
        lr: c_double,
        beta1: c_double,
        beta2: c_double,
        eps: c_double,
        weight_decay: c_double,
        decoupled: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_foreach_lerp(
        a: *const *mut C_tensor,
        b: *const *mut C_tensor,
        n: usize,
        weight: c_double,
    ) -> *mut c_char;
    pub(super) fn tv_clear_grads(params: *const *mut C_tensor, n: usize) -> *mut c_char;
    pub(super) fn tv_generator_state(out: *mut *mut C_tensor, index: c_int) -> *mut c_char;
    pub(super) fn tv_set_generator_state(state: *const C_tensor, index: c_int) -> *mut c_char;
    pub(super) fn tv_clip_grad_norm(
        out: *mut *mut C_tensor,
        grads: *const *mut C_tensor,
        n: usize,
        max_norm: c_double,
    ) -> *mut c_char;
    pub(super) fn tv_batch_norm_relu(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        residual: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_var: *const C_tensor,
        momentum: c_double,
        eps: c_double,
        relu: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_affine_relu(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        scale: *const C_tensor,
        shift: *const C_tensor,
        relu: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_squeeze_excite(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        reduce: *const C_tensor,
        reduce_bias: *const C_tensor,
        expand: *const C_tensor,
        expand_bias: *const C_tensor,
        activation: *const c_char,
        gate: *const c_char,
    ) -> *mut c_char;
    pub(super) fn tv_rectifier(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        most: c_double,
        masked: c_int,
    ) -> *mut c_char;
    pub(super) fn tv_has_mkldnn() -> c_int;
    pub(super) fn tv_pack_convolution(
        out: *mut *mut C_tensor,
        weight: *const C_tensor,
        padding: *const i64,
        stride: *const i64,
        dilation: *const i64,
        groups: i64,
        input: *const i64,
    ) -> *mut c_char;
    pub(super) fn tv_fused_convolution(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        other: *const C_tensor,
        padding: *const i64,
        stride: *const i64,
        dilation: *const i64,
        groups: i64,
        name: *const c_char,
        scalars: *const c_double,
        n: usize,
        algorithm: *const c_char,
    ) -> *mut c_char;
    pub(super) fn tv_is_packed_alike(same: *mut c_int, a: *const C_tensor, b: *const C_tensor)
    -> *mut c_char;
    pub(super) fn tv_pack_linear(out: *mut *mut C_tensor, weight: *const C_tensor, rows: i64) -> *mut c_char;
    pub(super) fn tv_fused_linear(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        name: *const c_char,
        scalars: *const c_double,
        n: usize,
        algorithm: *const c_char,
    ) -> *mut c_char;
    pub(super) fn tv_trace_start() -> *mut c_char;
    pub(super) fn tv_trace_stop(out: *mut *mut c_char) -> *mut c_char;
}

/// Takes ownership of a string that the shim allocated.
pub(super) fn take(text: *mut c_char) -> String {
    // SAFETY: the shim returns a NUL-terminated string from `strdup`, freed once, here.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        tv_free(text);
        owned
    }
}

/// Turns the shim's return value (null, or a message) into a `Result`.
pub(super) fn check(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    bail!("libtorch: {}", take(message).trim_end())
}

/// The pointers that the shim reads as a list of tensors, valid as long as `tensors`.
pub(super) fn pointers(tensors: &[Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(|t| t.as_ptr().cast_mut()).collect()
}

/// The pointer that the shim reads as an optional tensor.
pub(super) fn or_null(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}

/// The number of a dtype in `c10::ScalarType`: tch's `Kind` has the same order, without the seven that are between
/// bfloat16 and the ones of 8 bits.
pub(super) fn scalar_type(kind: Kind) -> c_int {
    let place = kind as c_int;
    if place > Kind::BFloat16 as c_int { place + 7 } else { place }
}

/// The version of the loaded libtorch, as `torch.__version__` without the build suffix.
pub fn version() -> String {
    // SAFETY: gives a text of its own.
    take(unsafe { tv_torch_version() })
}

/// How libtorch was built (`torch.__config__.show()`).
pub fn show_config() -> String {
    // SAFETY: as in `version`.
    take(unsafe { tv_show_config() })
}

/// The instruction set that libtorch's own kernels use here, such as `AVX512`.
pub fn cpu_capability() -> String {
    // SAFETY: as in `version`.
    take(unsafe { tv_cpu_capability() })
}
