//! Device selection: decided once, with libtorch's CUDA library loaded only when a GPU is requested.
//!
//! The program links only `libtorch_cpu`, so a CPU run does not load half a gigabyte of CUDA code. Loading
//! `libtorch_cuda` registers its kernels, but only if libtorch has not been queried about CUDA before in this process
//! (seeding the random generators is such a query): resolve the device before anything else.

use super::ffi::{check, tv_allow_tf32, tv_peak_cuda_bytes, tv_synchronize};
use crate::ErrorKind;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
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

/// Whether [`resolve`] knows a device of this name, be it there or not.
pub fn is_name(name: &str) -> bool {
    let index = name.strip_prefix("cuda:").map(str::parse::<usize>);
    ["auto", "cpu", "cuda"].contains(&name) || matches!(index, Some(Ok(_)))
}

/// The GPU with this index, checked to be usable.
fn cuda(index: usize) -> Result<Device> {
    usable(index).map_err(|error| ErrorKind::Device.mark(error))
}

fn usable(index: usize) -> Result<Device> {
    ensure!(
        has_driver(),
        "device `cuda:{index}`: no NVIDIA driver (libcuda.so.1) on this machine; use `cpu`"
    );
    let count = cuda_count()?;
    ensure!(
        index < count,
        "device `cuda:{index}`: libtorch sees {count} GPU(s); use a smaller index, or `cpu`"
    );
    Ok(Device::Cuda(index))
}

/// The name of this device, as [`resolve`] takes it.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// The next device, for a model split over two: the next GPU, and the first after the last; for the CPU, the CPU
/// itself.
///
/// # Errors
/// As [`cuda_count`].
pub fn next(device: Device) -> Result<Device> {
    Ok(match device {
        Device::Cuda(index) => Device::Cuda((index + 1) % cuda_count()?.max(1)),
        other => other,
    })
}

/// How many GPUs libtorch sees, after loading its CUDA library.
///
/// # Errors
/// `libtorch_cuda.so` is missing or cannot be loaded (the loader's message follows).
pub fn cuda_count() -> Result<usize> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    OPENED.get_or_init(open_cuda).clone().map_err(anyhow::Error::msg)?;
    Ok(usize::try_from(Cuda::device_count()).unwrap_or(0))
}

fn open_cuda() -> Result<(), String> {
    let path = Path::new(LIBTORCH).join(CUDA);
    if !path.exists() {
        return Err(format!(
            "{} does not exist: this libtorch is a CPU build; point LIBTORCH at a CUDA build and rebuild",
            path.display()
        ));
    }
    open(&path, libc::RTLD_NOW | libc::RTLD_GLOBAL).map(drop)
}

/// Whether the libraries of NVIDIA's that `libtorch_cuda.so` opens are installed: beside it, or as packages of Python.
/// Opens nothing.
pub fn has_cuda_libraries() -> bool {
    let folder = Path::new(LIBTORCH);
    let has_cudnn = |folder: &Path| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("libcudnn.so"))
    };
    folder.join(CUDA).exists() && (has_cudnn(folder) || has_cudnn(&folder.join("../../nvidia/cudnn/lib")))
}

/// The half of libtorch for GPUs.
const CUDA: &str = "libtorch_cuda.so";

const DRIVER: &str = "libcuda.so.1";

/// Whether NVIDIA's driver library is installed; does not query libtorch.
pub fn has_driver() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| open(Path::new(DRIVER), libc::RTLD_LAZY).is_ok())
}

/// A GPU, as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Bytes of memory in all.
    pub memory: u64,
}

/// The GPU with this index.
///
/// # Errors
/// No driver, or no such GPU.
pub fn card(index: usize) -> Result<Card> {
    let driver = open(Path::new(DRIVER), libc::RTLD_LAZY).map_err(anyhow::Error::msg)?;
    let index = c_int::try_from(index)?;
    let (mut device, mut name, mut memory) = (0, [0u8; 256], 0usize);
    // SAFETY: the driver has had these functions with these signatures since CUDA 3.2; it writes one number,
    // a NUL-terminated string of at most the given length, and a size.
    unsafe {
        let start: unsafe extern "C" fn(flags: u32) -> c_int = function(driver, c"cuInit")?;
        let get: unsafe extern "C" fn(*mut c_int, c_int) -> c_int = function(driver, c"cuDeviceGet")?;
        let get_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int =
            function(driver, c"cuDeviceGetName")?;
        let get_memory: unsafe extern "C" fn(*mut usize, c_int) -> c_int =
            function(driver, c"cuDeviceTotalMem_v2")?;
        let codes = [
            start(0),
            get(&mut device, index),
            get_name(name.as_mut_ptr().cast(), name.len() as c_int, device),
            get_memory(&mut memory, device),
        ];
        ensure!(codes == [0; 4], "NVIDIA's driver cannot describe GPU {index}: codes {codes:?}");
    }
    let name = CStr::from_bytes_until_nul(&name)?.to_string_lossy().into_owned();
    Ok(Card { name, memory: memory as u64 })
}

/// A function of a loaded library.
///
/// # Safety
/// `F` must be the function's own type.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> Result<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: a loaded library and a C string; the caller guarantees the function's type.
    unsafe {
        let address = libc::dlsym(library, name.as_ptr());
        ensure!(!address.is_null(), "{} is not in {DRIVER}", name.to_string_lossy());
        Ok(std::mem::transmute_copy(&address))
    }
}

/// The library's handle; it is never closed, so what it registers stays valid.
fn open(library: &Path, flags: i32) -> Result<*mut c_void, String> {
    let name = CString::new(library.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: a valid C string.
    unsafe {
        let handle = libc::dlopen(name.as_ptr(), flags);
        if !handle.is_null() {
            return Ok(handle);
        }
        let reason = libc::dlerror();
        Err(if reason.is_null() {
            format!("{} cannot be loaded", library.display())
        } else {
            CStr::from_ptr(reason).to_string_lossy().into_owned()
        })
    }
}

/// Prepares a GPU for inputs of one size: cuDNN searches for its fastest kernels. The CPU needs nothing. `tf32`:
/// whether float32 matrix products and convolutions may round their inputs to TF32's 10-bit mantissa
/// (`torch.backends.cuda.matmul.allow_tf32` and `torch.backends.cudnn.allow_tf32`); libtorch's defaults are no for the
/// first and yes for the second.
///
/// # Errors
/// An error from libtorch.
pub fn set_up(device: Device, tf32: bool) -> Result<()> {
    if device.is_cuda() {
        Cuda::cudnn_set_benchmark(true);
        // SAFETY: a plain integer.
        check(unsafe { tv_allow_tf32(i32::from(tf32)) })?;
    }
    Ok(())
}

/// Waits until the device has finished all queued work; the CPU always has.
///
/// # Errors
/// The error of an operation that failed on the GPU.
pub fn synchronize(device: Device) -> Result<()> {
    match device {
        // SAFETY: a plain integer.
        Device::Cuda(index) => check(unsafe { tv_synchronize(c_int::try_from(index)?) }),
        _ => Ok(()),
    }
}

/// The most bytes that tensors on this GPU have held at once; `None` for the CPU.
///
/// # Errors
/// A GPU that libtorch has not used.
pub fn peak_bytes(device: Device) -> Result<Option<u64>> {
    let Device::Cuda(index) = device else { return Ok(None) };
    let mut bytes = 0;
    // SAFETY: writes one number.
    check(unsafe { tv_peak_cuda_bytes(c_int::try_from(index)?, &mut bytes) })?;
    Ok(Some(u64::try_from(bytes)?))
}

/// Sets the number of threads that libtorch uses for one operation.
///
/// # Errors
/// Zero, or more than libtorch can count.
pub fn set_threads(threads: usize) -> Result<()> {
    ensure!(threads > 0, "`threads` must be 1 or more, not 0");
    tch::set_num_threads(i32::try_from(threads).context("threads")?);
    Ok(())
}
