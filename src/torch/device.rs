//! Which device to run on, decided once, and libtorch's CUDA half opened only when a GPU is asked for.
//!
//! The program links `libtorch_cpu` alone, so a CPU run does not load half a gigabyte of CUDA code. Opening
//! `libtorch_cuda` registers its kernels, but only while nobody in the process has asked libtorch about CUDA (seeding
//! the random generators asks, too): resolve the device before anything else.

use super::ffi::{check, tv_allow_tf32};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::OnceLock;
use tch::{Cuda, Device};

/// Where the build found libtorch.
pub const LIBTORCH: &str = env!("TCHVISION_LIBTORCH");

/// The device called `name`: `cpu`, `cuda`, `cuda:N`, or `auto` (the first GPU where a driver is installed, else the
/// CPU).
///
/// # Errors
/// A name of another form, or a GPU that this machine, driver or libtorch does not have; the message says which.
pub fn resolve(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" if has_driver() => match cuda_count() {
            Ok(n) if n > 0 => Ok(Device::Cuda(0)),
            _ => Ok(Device::Cpu),
        },
        "auto" => Ok(Device::Cpu),
        "cuda" => cuda(0),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(index)) => cuda(index),
            _ => bail!("device `{name}`: use `auto`, `cpu`, `cuda` or `cuda:N`"),
        },
    }
}

/// The GPU with this index, seen working.
fn cuda(index: usize) -> Result<Device> {
    ensure!(
        has_driver(),
        "device `cuda:{index}`: no NVIDIA driver (libcuda.so.1) on this machine; use `cpu`"
    );
    let count = cuda_count()?;
    ensure!(
        index < count,
        "device `cuda:{index}`: libtorch sees {count} GPU(s); use one below that, or `cpu`"
    );
    Ok(Device::Cuda(index))
}

/// The device after this one, for a model over two: the next GPU, after the last the first; the CPU itself.
///
/// # Errors
/// As [`cuda_count`].
pub fn next(device: Device) -> Result<Device> {
    Ok(match device {
        Device::Cuda(index) => Device::Cuda((index + 1) % cuda_count()?.max(1)),
        other => other,
    })
}

/// How many GPUs libtorch sees, its CUDA half opened.
///
/// # Errors
/// `libtorch_cuda.so` is missing or does not open (the loader's message follows).
pub fn cuda_count() -> Result<usize> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    OPENED.get_or_init(open_cuda).clone().map_err(anyhow::Error::msg)?;
    Ok(usize::try_from(Cuda::device_count()).unwrap_or(0))
}

fn open_cuda() -> Result<(), String> {
    let path = Path::new(LIBTORCH).join("libtorch_cuda.so");
    if !path.exists() {
        return Err(format!(
            "{} does not exist: this libtorch is a CPU build; point LIBTORCH at a CUDA build and rebuild",
            path.display()
        ));
    }
    open(&path, libc::RTLD_NOW | libc::RTLD_GLOBAL)
}

/// Whether NVIDIA's driver library is installed; asks libtorch nothing.
pub fn has_driver() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| open(Path::new("libcuda.so.1"), libc::RTLD_LAZY).is_ok())
}

fn open(library: &Path, flags: i32) -> Result<(), String> {
    let name = CString::new(library.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: a valid C string; the handle is never closed, so what the library registers stays valid.
    unsafe {
        if libc::dlopen(name.as_ptr(), flags).is_null() {
            let reason = libc::dlerror();
            return Err(if reason.is_null() {
                format!("{} does not open", library.display())
            } else {
                CStr::from_ptr(reason).to_string_lossy().into_owned()
            });
        }
    }
    Ok(())
}

/// Whether the float32 products of GPUs, in matrix products and convolutions alike, may round their factors to the 10 bits
/// of TF32 (`torch.backends.cuda.matmul.allow_tf32` and `torch.backends.cudnn.allow_tf32`). libtorch starts with no for
/// the first and yes for the second.
///
/// # Errors
/// libtorch's refusal.
pub fn allow_tf32(allowed: bool) -> Result<()> {
    // SAFETY: a plain integer.
    check(unsafe { tv_allow_tf32(i32::from(allowed)) })
}

/// Sets the number of threads that libtorch uses for one operation.
///
/// # Errors
/// Zero, or more than libtorch can count.
pub fn set_threads(threads: usize) -> Result<()> {
    ensure!(threads > 0, "threads: 0 is not possible; use 1 or more");
    tch::set_num_threads(i32::try_from(threads).context("threads")?);
    Ok(())
}
