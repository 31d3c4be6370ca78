//! One frozen model in many threads, and for several batch sizes.

use crate::common::{fill_scaled, images};
use tch::{Device, Kind, Tensor};
use tchvision::models::{Frozen, ModelSpec};
use tchvision::nn::Store;

fn is<T: Send + Sync + Clone>() {}

const SHAPES: [[i64; 4]; 4] = [[1, 3, 32, 32], [2, 3, 32, 32], [4, 3, 32, 32], [8, 3, 32, 32]];

fn model(name: &str) -> (Frozen, Store) {
    let mut spec = ModelSpec::new(name);
    if name.contains("vit") {
        spec.set("image_size", "32").unwrap();
    }
    let store = Store::uninitialised(Device::Cpu);
    let model = spec.resolve().unwrap().build(&store).unwrap();
    fill_scaled(&store, 1.0);
    (Frozen::new(model, &store, Kind::Float), store)
}

fn batches() -> Vec<Tensor> {
    SHAPES.iter().map(|shape| images(&format!("batch of {}", shape[0]), shape)).collect()
}

#[test]
fn frozen_models_are_for_all_threads() {
    is::<Frozen>();
    is::<Store>();
}

/// Batches of each size in every order, in four threads at once, unprepared and prepared, give the bits of one thread.
#[test]
fn threads_and_batch_sizes_give_the_same_bits() {
    for name in ["paper/resnet20", "timm/mobilenetv3_small_050", "timm/vit_tiny_patch16_224"] {
        // As many threads within a pass as below: sums are split by it.
        tch::set_num_threads(1);
        let (alone, _) = model(name);
        let batches = batches();
        let wanted: Vec<Tensor> = batches.iter().map(|batch| alone.forward(batch).unwrap()).collect();
        let (shared, _) = model(name);
        for prepared in [false, true] {
            if prepared {
                shared.prepare(&SHAPES).unwrap();
            }
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let shared = shared.clone();
                    let batches: Vec<Tensor> = batches.iter().map(Tensor::shallow_clone).collect();
                    let wanted: Vec<Tensor> = wanted.iter().map(Tensor::shallow_clone).collect();
                    scope.spawn(move || {
                        tch::set_num_threads(1);
                        for turn in 0..12 {
                            let size = (turn * (2 * thread + 1) + thread) % 4;
                            assert_eq!(
                                shared.forward(&batches[size]).unwrap(),
                                wanted[size],
                                "{name}: {size}"
                            );
                        }
                    });
                }
            });
        }
    }
}

#[test]
fn dropped_floats_leave_the_same_model_and_nothing_else() {
    let (frozen, store) = model("paper/resnet20");
    frozen.prepare(&SHAPES[..2]).unwrap();
    let batches = batches();
    let before: Vec<Tensor> = batches.iter().map(|batch| frozen.forward(batch).unwrap()).collect();
    let floats = store.count_parameters() * 4;
    let freed = frozen.drop_floats().unwrap();
    if tchvision::torch::has_fused_kernels(Kind::Float) {
        assert!(freed > floats * 9 / 10, "{freed} of {floats} bytes");
    }
    // The sizes that it was prepared for, and others.
    for (batch, before) in batches.iter().zip(&before) {
        assert_eq!(&frozen.forward(batch).unwrap(), before);
    }
    // Nothing can be written where the floats were.
    let (_, mut weight) = store.parameters().remove(0);
    let _no_grad = tch::no_grad_guard();
    assert!(weight.f_copy_(&Tensor::zeros_like(&weight)).is_err());
    store.thaw();
    let error = format!("{:#}", frozen.forward(&batches[0]).unwrap_err());
    assert!(error.contains("dropped"), "{error}");
    store.freeze(Kind::Float);
    assert!(frozen.forward(&batches[0]).is_err());
}

/// Weights written into a frozen model are those of the next pass.
#[test]
fn a_load_after_freezing_takes_effect() {
    let (frozen, store) = model("paper/resnet20");
    let x = &batches()[0];
    let before = frozen.forward(x).unwrap();
    {
        let _no_grad = tch::no_grad_guard();
        for (_, mut tensor) in store.parameters().into_iter().filter(|(_, tensor)| tensor.dim() > 1) {
            tensor.copy_(&(&tensor * -0.5));
        }
    }
    let after = frozen.forward(x).unwrap();
    assert!((&after - &before).abs().max().double_value(&[]) > 1e-3);
    store.freeze(Kind::Float);
    assert_eq!(frozen.forward(x).unwrap(), after);
}
