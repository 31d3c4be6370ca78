//! Weights of several runs become one file that evaluates, classifies and starts a run.

use super::yard::Yard;
use tch::Kind;
use tchvision::weights::StateFile;

#[test]
fn runs_become_a_soup() {
    let yard = Yard::new();
    let yaml = "model: {name: paper/resnet20}\ndata: {dataset: 'folder:pictures', image_size: 32}\n";
    yard.write_run("a", yaml);
    yard.ok("train a.yaml");
    // From one start, as soups are.
    for seed in [1, 2] {
        yard.ok(&format!("train a.yaml --out runs/b{seed} seed={seed} init=runs/a"));
    }
    let said =
        yard.ok("weights average runs/b1/best.safetensors runs/b2/best.safetensors --to soup.safetensors");
    assert!(said.contains("the mean of 2 files"), "{said}");
    let open = |name: &str| StateFile::open(&yard.path(name)).unwrap();
    let (one, two, soup) =
        (open("runs/b1/best.safetensors"), open("runs/b2/best.safetensors"), open("soup.safetensors"));
    for name in soup.names().iter().filter(|name| name.ends_with("weight")) {
        let mean = (&*one.get(name).unwrap() + &*two.get(name).unwrap()) / 2.0;
        let apart = (mean - &*soup.get(name).unwrap()).abs().max().to_kind(Kind::Double).double_value(&[]);
        assert!(apart < 1e-6, "{name}: {apart}");
    }
    // It knows model, input and classes, and what it is made of.
    let evaluated = yard.json("eval --weights soup.safetensors --data pictures/val --json");
    assert!(evaluated["top1"].as_f64().is_some(), "{evaluated}");
    assert_eq!(tchvision::weights::About::of(&soup).unwrap().unwrap().parents.len(), 2);
    let greedy = yard.json(
        "weights average runs/b1 runs/b2 runs/a --greedy --data pictures/val --to greedy.safetensors --json",
    );
    let alone = ["runs/b1", "runs/b2", "runs/a"].map(|run| {
        yard.json(&format!("eval --run {run} --data pictures/val --json"))["top1"].as_f64().unwrap()
    });
    let best = alone.into_iter().fold(0.0, f64::max);
    assert!(greedy["top1"].as_f64().unwrap() >= best, "{greedy} {alone:?}");
    let again = yard.json("eval --weights greedy.safetensors --data pictures/val --json");
    assert_eq!(again["top1"], greedy["top1"]);
    // What does not go together, and what would be overwritten.
    yard.write_run("other", &yaml.replace("resnet20", "resnet32"));
    yard.ok("train other.yaml");
    let refused = yard.fails(2, "weights average runs/a runs/other --to no.safetensors");
    assert!(refused.contains("are of different networks"), "{refused}");
    let refused = yard.fails(2, "weights average soup.safetensors runs/b1 --to soup.safetensors");
    assert!(refused.contains("is a file that is read"), "{refused}");
}
