mod common;
use std::fmt::Write;
use tch::{Device, Kind};
use tchvision::models;
use tchvision::nn::Store;

#[test]
fn dump() {
    let mut out = String::new();
    for entry in models::entries() {
        if !["ResNet", "WRN", "ResNeXt", "SENet"].contains(&entry.family) || entry.name.contains("mobile") || entry.name.contains("inception") || entry.name.contains("googlenet") { continue; }
        let model = entry.architecture().unwrap();
        let cost = model.complexity(model.input()).unwrap();
        let store = Store::meta();
        model.build(&store).unwrap();
        let keys: Vec<String> = store.state_dict().iter().map(|(k, t)| format!("{k}{:?}", t.size())).collect();
        let mut h: u64 = 0xcbf29ce484222325;
        for b in keys.join("\n").bytes() { h = (h ^ u64::from(b)).wrapping_mul(0x100000001b3); }
        write!(out, "{} keys {h:x} {} {} {}", entry.name, cost.params, cost.macs, cost.activations).unwrap();
        if cost.params < 45_000_000 && cost.macs < 6_000_000_000 && keys.len() < 1500 {
            tch::manual_seed(3);
            let store = Store::new(Device::Cpu);
            let net = model.build(&store).unwrap();
            let sum: f64 = store.state_dict().iter().enumerate().map(|(i, (_, t))| (i as f64 + 1.0).sqrt() * t.to_kind(Kind::Double).abs().sum(Kind::Double).double_value(&[])).sum();
            let size = if model.input()[1] == 32 { 32 } else { 64 };
            let x = common::images("x", &[2, 3, size, size]);
            let _g = tch::no_grad_guard();
            let y = net.forward(&x, false).unwrap();
            let t = net.forward(&x, true).unwrap();
            let s = |t: &tch::Tensor| t.to_kind(Kind::Double).abs().sum(Kind::Double).double_value(&[]);
            write!(out, " init {sum:.6} eval {:.6} train {:.4}", s(&y), s(&t)).unwrap();
        }
        out.push('\n');
    }
    std::fs::write(std::env::var("DUMP").unwrap(), out).unwrap();
}
