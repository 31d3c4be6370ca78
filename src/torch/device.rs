//! Which device to run on, decided once, and libtorch's CUDA half opened only when a GPU is asked for.
//!
//! The program links `libtorch_cpu` alone, so a CPU run does not load half a gigabyte of CUDA code. Opening
//! `libtorch_cuda` registers its kernels, but only while nobody in the process has asked libtorch about CUDA (seeding
//! the random generators asks, too): resolve the device before anything else.

use super::ffi::{check, tv_allow_tf32, tv_synchronize};
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

/// How [`resolve`] takes this device.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
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

/// Whether NVIDIA's driver library is installed; asks libtorch nothing.
pub fn has_driver() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| open(Path::new(DRIVER), libc::RTLD_LAZY).is_ok())
}

/// What the driver calls the GPU with this index, such as `NVIDIA H100 80GB HBM3`.
///
/// # Errors
/// No driver, or one that knows no such GPU.
pub fn card(index: usize) -> Result<String> {
    let driver = open(Path::new(DRIVER), libc::RTLD_LAZY).map_err(anyhow::Error::msg)?;
    let index = c_int::try_from(index)?;
    let (mut device, mut name) = (0, [0u8; 256]);
    // SAFETY: the driver's interface has these functions with these signatures since its first version; it writes one
    // number and, NUL at its end, at most as many bytes as it is told.
    unsafe {
        let start: unsafe extern "C" fn(flags: u32) -> c_int = function(driver, c"cuInit")?;
        let get: unsafe extern "C" fn(*mut c_int, c_int) -> c_int = function(driver, c"cuDeviceGet")?;
        let get_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int =
            function(driver, c"cuDeviceGetName")?;
        let codes = [
            start(0),
            get(&mut device, index),
            get_name(name.as_mut_ptr().cast(), name.len() as c_int, device),
        ];
        ensure!(codes == [0; 3], "NVIDIA's driver does not name GPU {index}: codes {codes:?}");
    }
    Ok(CStr::from_bytes_until_nul(&name)?.to_string_lossy().into_owned())
}

/// A function of an open library.
///
/// # Safety
/// `F` is the function's own type.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> Result<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: an open library and a C string; a function's address as what the caller says that it is.
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
            format!("{} does not open", library.display())
        } else {
            CStr::from_ptr(reason).to_string_lossy().into_owned()
        })
    }
}

/// Readies a GPU for inputs of one size; the CPU needs nothing. cuDNN searches for its fastest kernels. `tf32`: whether
/// float32 products, in matrix products and convolutions alike, may round their factors to the 10 bits of TF32
/// (`torch.backends.cuda.matmul.allow_tf32` and `torch.backends.cudnn.allow_tf32`); libtorch starts with no for the first
/// and yes for the second.
///
/// # Errors
/// libtorch's refusal.
pub fn set_up(device: Device, tf32: bool) -> Result<()> {
    if device.is_cuda() {
        Cuda::cudnn_set_benchmark(true);
        // SAFETY: a plain integer.
        check(unsafe { tv_allow_tf32(i32::from(tf32)) })?;
    }
    Ok(())
}

/// Waits until the device has done all that it was given; the CPU always has.
///
/// # Errors
/// What went wrong on the GPU in the meantime.
pub fn synchronize(device: Device) -> Result<()> {
    match device {
        // SAFETY: a plain integer.
        Device::Cuda(index) => check(unsafe { tv_synchronize(c_int::try_from(index)?) }),
        _ => Ok(()),
    }
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
