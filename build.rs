//! Compiles the shim over libtorch and makes every linked program find libtorch without an environment variable.

use std::path::PathBuf;

fn main() {
    for file in [
        "shim.h",
        "shim.cpp",
        "trace.cpp",
        "loops.h",
        "batch_norm.cpp",
        "rectifier.cpp",
        "squeeze_excite.cpp",
        "c10d.cpp",
        "gloo",
    ] {
        println!("cargo:rerun-if-changed=src/torch/{file}");
    }
    compile_libjpeg();
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    // torch-sys has `links = "tch"`: as a direct dependency it tells where it found libtorch.
    let lib = PathBuf::from(
        std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys did not say where libtorch is"),
    );
    let include = match std::env::var("LIBTORCH_INCLUDE") {
        Ok(root) => PathBuf::from(root).join("include"),
        Err(_) => lib.join("../include"),
    };
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    let mut shim = cc::Build::new();
    shim.cpp(true).std("c++20").warnings(true).extra_warnings(true);
    shim.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    // As libtorch is built: some of its classes have members more without it.
    shim.define("NDEBUG", None);
    // libtorch's headers are the system's: no warning is about them.
    for headers in [include.clone(), include.join("torch/csrc/api/include")] {
        shim.flag("-isystem").flag(headers);
    }
    let plain = ["shim", "trace", "rectifier"].map(|file| format!("src/torch/{file}.cpp"));
    shim.clone().files(plain).compile("tchvision_shim");
    if std::env::var_os("CARGO_FEATURE_DISTRIBUTED").is_some() {
        // libtorch has gloo in it, but ships none of its headers: `gloo/` declares what c10d's name of it.
        let mut c10d = shim.clone();
        c10d.define("USE_C10D_GLOO", None).flag("-isystem").flag("src/torch");
        c10d.file("src/torch/c10d.cpp").compile("tchvision_c10d");
    }
    // Loops of our own: fast in every profile, and on libtorch's threads where these are GNU OpenMP's.
    shim.opt_level(3).file("src/torch/batch_norm.cpp").file("src/torch/squeeze_excite.cpp");
    let threads = lib.join("libgomp.so.1").exists() && shim.get_compiler().is_like_gnu();
    if threads {
        shim.flag("-fopenmp");
    }
    shim.compile("tchvision_loops");
    if threads {
        println!("cargo:rustc-link-search=native={}", lib.display());
        println!("cargo:rustc-link-lib=dylib:+verbatim=libgomp.so.1");
    }
    // Only libtorch_cpu is linked: `torch::device` opens libtorch_cuda by this path when a GPU is asked for,
    // so a CPU run does not load it.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-env=TCHVISION_LIBTORCH={}", lib.display());
}

/// How libjpeg is driven; `mozjpeg-sys` has `links = "jpeg"` and tells where its headers are.
fn compile_libjpeg() {
    let file = "src/data/image/jpeg/libjpeg.c";
    println!("cargo:rerun-if-changed={file}");
    let include =
        std::env::var_os("DEP_JPEG_INCLUDE").expect("mozjpeg-sys did not say where its headers are");
    let mut shim = cc::Build::new();
    for headers in std::env::split_paths(&include) {
        shim.flag("-isystem").flag(headers);
    }
    shim.warnings(true).extra_warnings(true).file(file).compile("tchvision_jpeg");
}
