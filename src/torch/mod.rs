//! What tch lacks: safe wrappers over `shim.cpp` and `batch_norm.cpp`, and device selection.
//!
//! A C++ exception in any of these functions becomes an `Err` with libtorch's message.

mod autocast;
mod batch_norm;
#[cfg(feature = "distributed")]
pub mod c10d;
pub mod device;
mod ffi;
mod foreach;
mod fused;
mod generator;
mod memory;
mod rectifier;
mod shared;
mod squeeze_excite;
mod tensor;
mod trace;

pub use autocast::Autocast;
pub use batch_norm::{BatchNorm, affine_relu, batch_norm_relu};
pub use ffi::{cpu_capability, show_config, version};
pub use foreach::{AdamStep, SgdStep, clear_grads, clip_grad_norm, fused_adam, fused_sgd, lerp};
pub use fused::{
    Pointwise, Window, computes_in_bfloat16, fused_convolution, fused_linear, has_fused_kernels,
    is_packed_alike, pack_convolution, pack_linear,
};
pub use generator::GeneratorState;
pub use memory::{keep_allocations, peak_resident_bytes};
pub use rectifier::rectifier;
pub use shared::SharedTensor;
pub use squeeze_excite::{Product, squeeze_excite};
pub use tensor::{channels_last, empty_meta, from_owner, is_meta, scaled, upload, written};
pub use trace::{Operand, Operator, trace_operators};
