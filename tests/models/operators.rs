//! The shim: what it computes, and that a C++ exception becomes an `Err`.

use crate::common::{images, values};
use std::process::Command;
use tch::{Device, Kind, Tensor};
use tchvision::torch::{self, Autocast, SgdStep, device};

#[test]
fn exceptions_become_errors() {
    let step = SgdStep { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false };
    let lengths = torch::fused_sgd(&[images("p", &[3])], &[], &[], step).unwrap_err();
    assert!(lengths.to_string().contains("different lengths"));
    let shapes = torch::lerp(&[images("a", &[3])], &[images("b", &[4])], 0.5).unwrap_err();
    assert!(shapes.to_string().starts_with("libtorch: "), "{shapes}");
    assert!(!shapes.to_string().contains("frame #"), "no C++ stack in a message");
    assert!(torch::clip_grad_norm(&[], 1.0).is_err());
    assert!(torch::empty_meta(&[-1], Kind::Float).is_err());
}

#[test]
fn autocast_computes_in_bfloat16_on_the_cpu_until_it_is_dropped() {
    let (a, b) = (images("a", &[8, 8]), images("b", &[8, 8]));
    {
        let _outer = Autocast::new(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
        drop(Autocast::new(Device::Cpu, Kind::BFloat16).unwrap());
        assert_eq!(a.matmul(&b).kind(), Kind::BFloat16, "the inner guard puts back what was there");
    }
    assert_eq!(a.matmul(&b).kind(), Kind::Float);
}

#[test]
fn gradients_are_dropped_not_zeroed() {
    let w = images("w", &[3]).set_requires_grad(true);
    (&w * 2.0).sum(Kind::Float).backward();
    assert_eq!(values(&w.grad()), [2.0; 3]);
    torch::clear_grads(&[w.shallow_clone()]).unwrap();
    assert!(!w.grad().defined());
    (&w * 3.0).sum(Kind::Float).backward();
    assert_eq!(values(&w.grad()), [3.0; 3]);
}

#[test]
fn clipping_scales_to_the_norm_and_no_further() {
    let grads = [Tensor::from_slice(&[3.0f32, 0.0]), Tensor::from_slice(&[4.0f32])];
    let norm = torch::clip_grad_norm(&grads, 10.0).unwrap();
    assert_eq!((norm.double_value(&[]), values(&grads[1])), (5.0, vec![4.0]));
    let _norm = torch::clip_grad_norm(&grads, 1.0).unwrap();
    assert!((values(&grads[0])[0] - 0.6).abs() < 1e-5 && (values(&grads[1])[0] - 0.8).abs() < 1e-5);
}

#[test]
fn meta_tensors_have_shapes_and_no_memory() {
    let huge = torch::empty_meta(&[1 << 20, 1 << 20, 64], Kind::Float).unwrap();
    assert!(torch::is_meta(&huge).unwrap() && !torch::is_meta(&images("real", &[1])).unwrap());
    assert_eq!((&huge + 1.0).size(), [1 << 20, 1 << 20, 64]);
}

#[test]
fn bytes_are_written_in_place_and_stay_where_they_are_uploaded_to() {
    let (bytes, told) = torch::written(&[2, 3], false, |bytes| {
        bytes.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
        bytes.len()
    })
    .unwrap();
    assert_eq!((told, bytes.size(), bytes.kind()), (6, vec![2, 3], Kind::Uint8));
    let turned = bytes.transpose(0, 1);
    let uploaded = torch::upload(&turned, Device::Cpu).unwrap();
    assert_eq!((uploaded.stride(), values(&uploaded)), (vec![1, 3], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    // With a driver it would open CUDA before a device is chosen.
    if !device::has_driver() {
        assert!(torch::written(&[2], true, |_| ()).is_err(), "pinned memory without a GPU");
    }
}

#[test]
fn devices_by_name() {
    assert_eq!(device::resolve("cpu").unwrap(), Device::Cpu);
    let unknown = device::resolve("tpu").unwrap_err().to_string();
    assert!(unknown.contains("`tpu`: use `auto`, `cpu`, `cuda` or `cuda:N`"), "{unknown}");
    if !device::has_driver() {
        assert_eq!(device::resolve("auto").unwrap(), Device::Cpu);
        let cuda = device::resolve("cuda:1").unwrap_err().to_string();
        assert!(cuda.contains("no NVIDIA driver"), "{cuda}");
    }
    assert!(device::set_threads(0).is_err());
}

/// A program that finds libtorch without any help from the environment, and a CPU run without CUDA code in memory.
#[test]
fn doctor_needs_no_environment_and_loads_no_cuda() {
    let out = Command::new(env!("CARGO_BIN_EXE_tchvision"))
        .args(["doctor", "--json"])
        .env_clear()
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["libtorch_loaded"], report["libtorch_built"]);
    assert_eq!(report["problems"], serde_json::json!([]));
    let loaded = report["loaded_libraries"].to_string();
    assert!(loaded.contains("libtorch_cpu"), "{loaded}");
    if !device::has_driver() {
        assert!(!loaded.contains("cuda"), "{loaded}");
    }
}

/// The same numbers as libtorch's own operators, whose memory order is the other one.
#[test]
fn batch_norm_with_relu_and_residual_is_that_of_separate_operators() {
    let channels_last = |x: &Tensor| torch::channels_last(&x.detach()).unwrap().set_requires_grad(true);
    let size = [3, 20, 9, 7];
    for (relu, with_residual) in [(false, false), (false, true), (true, false), (true, true)] {
        let x = (images("x", &size) * 3.0 + 40.0).set_requires_grad(true);
        let residual = with_residual.then(|| images("r", &size).set_requires_grad(true));
        let parameter = |name: &str| (images(name, &[20]) + 0.5).set_requires_grad(true);
        let (weight, bias) = (parameter("w"), parameter("b"));
        let running = || {
            (Tensor::zeros([20], (Kind::Float, Device::Cpu)), Tensor::ones([20], (Kind::Float, Device::Cpu)))
        };
        let gradient = images("g", &size);

        let (mean, var) = running();
        let mut y = x.batch_norm(Some(&weight), Some(&bias), Some(&mean), Some(&var), true, 0.2, 1e-5, true);
        if let Some(residual) = &residual {
            y += residual;
        }
        if relu {
            y = y.relu();
        }
        let inputs: Vec<_> = [&x, &weight, &bias].into_iter().chain(&residual).collect();
        let expected = Tensor::run_backward(&[(&y * &gradient).sum(Kind::Float)], &inputs, false, false);

        let (mine, other) = (channels_last(&x), residual.as_ref().map(channels_last));
        let (running_mean, running_var) = running();
        let norm = torch::BatchNorm {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_var: &running_var,
            momentum: 0.2,
            eps: 1e-5,
        };
        assert!(torch::batch_norm_relu(&x, norm, None, relu).unwrap().is_none(), "another memory order");
        let out = torch::batch_norm_relu(&mine, norm, other.as_ref(), relu).unwrap();
        let out = out.expect("libtorch's threads are GNU OpenMP's here");
        let inputs: Vec<_> = [&mine, &weight, &bias].into_iter().chain(&other).collect();
        let got = Tensor::run_backward(&[(&out * &gradient).sum(Kind::Float)], &inputs, false, false);

        let close = |a: &Tensor, b: &Tensor, what: &str| {
            let difference = (a - b).abs().max().double_value(&[]);
            assert!(difference < 1e-3 * b.abs().max().double_value(&[]).max(1.0), "{what}: {difference}");
        };
        close(&out, &y, "output");
        close(&running_mean, &mean, "running mean");
        close(&running_var, &var, "running variance");
        for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
            close(a, b, &format!("gradient {i}"));
        }

        let few = Tensor::ones([19], (Kind::Float, Device::Cpu));
        let wrong = torch::BatchNorm { weight: &few, ..norm };
        assert!(
            torch::batch_norm_relu(&mine, wrong, None, relu).unwrap().is_none(),
            "another number of channels"
        );
        let plain = torch::affine_relu(&mine, &weight, &bias, relu).unwrap().unwrap();
        let spread = |t: &Tensor| t.reshape([1, 20, 1, 1]);
        let product = &x * spread(&weight) + spread(&bias);
        close(&plain, &if relu { product.relu() } else { product }, "affine");
    }
}

#[test]
fn relu_after_batch_norm_keeps_not_a_number() {
    let x = Tensor::full([1, 8, 2, 2], f64::NAN, (Kind::Float, Device::Cpu));
    let ones = Tensor::ones([8], (Kind::Float, Device::Cpu));
    let y = torch::affine_relu(&torch::channels_last(&x).unwrap(), &ones, &ones, true).unwrap().unwrap();
    assert!(values(&y).iter().all(|value| value.is_nan()));
}

#[test]
fn squeeze_excitation_is_that_of_separate_operators() {
    type Function = fn(&Tensor) -> Tensor;
    let functions: [(_, Function); 4] = [
        (c"relu", Tensor::relu),
        (c"swish", Tensor::silu),
        (c"sigmoid", Tensor::sigmoid),
        (c"hardsigmoid", Tensor::hardsigmoid),
    ];
    // Images and channels that threads share out evenly and unevenly; means of many pixels.
    for size in [[1, 20, 9, 7], [3, 33, 16, 17], [1, 96, 150, 150], [2, 8, 1, 1]] {
        let [_, channels, ..] = size;
        let squeezed = channels / 4 + 1;
        let x = torch::channels_last(&(images("x", &size) + 0.5)).unwrap();
        for (index, (inner, inner_function)) in functions.iter().enumerate() {
            let (outer, outer_function) = functions[(index + 2) % 4];
            let product = |name: &str, from, to, after: &'static _| torch::Product {
                weight: images(name, &[from, to]).into(),
                bias: (index % 2 == 0).then(|| images("bias", &[to]).into()),
                after: torch::Pointwise::named(after),
            };
            let reduce = product("reduce", channels, squeezed, inner);
            let expand = product("expand", squeezed, channels, outer);
            let got = torch::squeeze_excite(&x, &reduce, &expand).unwrap();
            let got = got.expect("libtorch's threads are GNU OpenMP's here");
            let apply = |x: &Tensor, product: &torch::Product, function: &Function| {
                let y = x.matmul(&product.weight);
                function(&product.bias.as_deref().map_or(y.shallow_clone(), |bias| y + bias))
            };
            let mean = x.mean_dim([2, 3].as_slice(), false, Kind::Float);
            let gates = apply(&apply(&mean, &reduce, inner_function), &expand, &outer_function);
            let want = &x * gates.unsqueeze(2).unsqueeze(3);
            let apart = (&got - &want).abs().max().double_value(&[]);
            let largest = want.abs().max().double_value(&[]);
            assert!(apart <= 1e-5 * largest, "{size:?}, {inner:?} and {outer:?}: {apart} of {largest}");
            assert_eq!(got.stride(), x.stride(), "{size:?}");

            let no = |x: &Tensor, expand: &_| torch::squeeze_excite(x, &reduce, expand).unwrap().is_none();
            assert!(no(&x.to_kind(Kind::BFloat16), &expand), "another dtype");
            assert!(no(&x, &product("expand", squeezed, channels, c"tanh")), "another function");
            assert!(no(&x, &product("expand", squeezed, channels + 1, outer)), "another number of channels");
            if size[2] > 1 {
                assert!(no(&x.contiguous(), &expand), "another memory order");
            }
        }
    }
}
