//! libtorch's process groups: two processes of this test find each other and sum.

use std::env;
use std::process::Command;
use std::time::Duration;
use tch::{Kind, Tensor};
use tchvision::torch::c10d::{ProcessGroup, Reducer, TcpStore};
use tchvision::torch::clear_grads;

const TIME: Duration = Duration::from_secs(60);

/// Which of the two this process is, and the port of the store.
const RANK: &str = "TCHVISION_TEST_RANK";

#[test]
fn two_processes_sum() {
    match env::var(RANK) {
        Ok(port) => sum(&TcpStore::connect("localhost", port.parse().unwrap(), TIME).unwrap(), 1),
        Err(_) => {
            let (store, port) = TcpStore::serve(TIME).unwrap();
            let mut other = Command::new(env::current_exe().unwrap());
            other.args(["--exact", "c10d::two_processes_sum"]).env(RANK, port.to_string());
            let mut other = other.spawn().unwrap();
            sum(&store, 0);
            assert!(other.wait().unwrap().success());
        }
    }
}

fn sum(store: &TcpStore, rank: usize) {
    store.set(&format!("here/{rank}"), &format!("rank {rank}")).unwrap();
    let other = format!("here/{}", 1 - rank);
    assert_eq!(store.get(&other).unwrap(), format!("rank {}", 1 - rank));
    assert!(store.has(&other).unwrap() && !store.has("nobody").unwrap());
    let group = ProcessGroup::new(&store.prefixed("group").unwrap(), rank, 2, TIME).unwrap();

    let ours = Tensor::from_slice(&[rank as f64 + 1.0, 10.0 * (rank as f64 + 1.0)]);
    group.all_reduce(&ours).unwrap();
    assert_eq!(Vec::<f64>::try_from(&ours).unwrap(), [3.0, 30.0]);
    let told = Tensor::from_slice(&[rank as i64 + 5]);
    group.broadcast(&[told.shallow_clone()]).unwrap();
    assert_eq!(told.int64_value(&[0]), 5);

    // One bucket more than the first, which is small; the gradient of a weight is the input times its rank's share.
    let large = Tensor::ones([512, 1024], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let small = Tensor::ones([3], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let unused = Tensor::ones([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let parameters = [("large", &large), ("small", &small), ("unused", &unused)]
        .map(|(n, t)| (n.to_owned(), t.shallow_clone()));
    let mut reducer = Reducer::new(&group, &parameters, true).unwrap();
    for step in 1..4 {
        // The first of two micro-batches stays here.
        let pass = |scale: f64| (&large * scale).sum(Kind::Float) + (&small * (2.0 * scale)).sum(Kind::Float);
        pass(step as f64).backward();
        reducer.before_forward().unwrap();
        let loss = pass(10.0 * (rank as f64 + 1.0));
        reducer.before_backward(&loss).unwrap();
        loss.backward();
        let wanted = 2.0 * step as f64 + 30.0;
        assert_eq!(large.grad().min().double_value(&[]), wanted, "step {step}");
        assert_eq!(large.grad().max().double_value(&[]), wanted, "step {step}");
        assert_eq!(small.grad().min().double_value(&[]), 2.0 * wanted, "step {step}");
        assert!(!unused.grad().defined());
        let begun = reducer.begun();
        assert_eq!(begun.iter().map(|(bytes, _)| bytes).sum::<i64>(), 4 * (512 * 1024 + 3 + 2), "{begun:?}");
        assert!(begun.is_sorted_by(|a, b| a.1 <= b.1), "{begun:?}");
        clear_grads(&parameters.each_ref().map(|(_, parameter)| parameter.shallow_clone())).unwrap();
    }
}
