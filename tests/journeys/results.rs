//! Many models tested in one go: a row each, as in timm's tables.

use super::yard::Yard;
use std::fs;

#[test]
fn many_models_give_a_table_that_is_gone_on_with() {
    let yard = Yard::new();
    for seed in [1, 2] {
        yard.write_run(
            &format!("run{seed}"),
            &format!(
                "seed: {seed}\nmodel: {{name: paper/resnet20, num_layers: 8}}\n\
                 data: {{dataset: 'folder:pictures', image_size: 24}}\ntrain: {{optimizer: {{sgd: {{lr: 0.05}}}}}}\n"
            ),
        );
        yard.ok(&format!("train run{seed}.yaml"));
    }
    let [one, two] =
        [1, 2].map(|seed| yard.json(&format!("eval --run runs/run{seed} --data pictures/val --json")));
    let line = "eval --run runs/run1 --run runs/gone --data pictures/val --results r.csv --json";
    let message = yard.fails(1, line);
    assert!(message.contains("runs/gone") && message.contains("tries them again"), "{message}");
    let first = fs::read_to_string(yard.path("r.csv")).unwrap();
    assert_eq!(first.lines().count(), 2, "{first}");
    assert!(first.starts_with(
        "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation,data,protocol,images,skipped\n"
    ));
    // A row that is there is not computed again, and a torn one is.
    fs::write(yard.path("r.csv"), format!("{first}runs/run2,7")).unwrap();
    let line = "eval --run runs/run1 --run runs/run2 --data pictures/val --results r.csv --json";
    let table = yard.json(line);
    let text = fs::read_to_string(yard.path("r.csv")).unwrap();
    assert!(text.starts_with(&first) && text.lines().count() == 3, "{text}");
    let top1 = |name: &str| {
        let rows = table.as_array().unwrap();
        rows.iter().find(|row| row["model"] == name).unwrap()["top1"].as_f64().unwrap()
    };
    for (name, alone) in [("runs/run1", &one), ("runs/run2", &two)] {
        assert!((top1(name) - alone["top1"].as_f64().unwrap()).abs() < 1e-4);
    }
    let all: Vec<f64> = table.as_array().unwrap().iter().map(|row| row["top1"].as_f64().unwrap()).collect();
    assert!(all.is_sorted_by(|a, b| a >= b));
    let message = yard.fails(2, &line.replace("pictures/val", "folder:pictures"));
    assert!(message.contains("its rows are of data"), "{message}");

    // Of two classes of three none is taken for the third when it is masked.
    fs::remove_dir_all(yard.path("pictures/val/green")).unwrap();
    let seen = yard.json("eval --run runs/run1 --data pictures/val --masked --confusion --json");
    assert_eq!((&seen["masked"], &seen["images"]), (&true.into(), &22.into()));
    assert!(seen["confusion"].as_array().unwrap().iter().all(|pair| pair["taken_for"] != "green"), "{seen}");
    let open = yard.json("eval --run runs/run1 --data pictures/val --json");
    assert!(open.get("masked").is_none() && open["top1"].as_f64() <= seen["top1"].as_f64());
}
