//! What the times are meant to be, and whether they are.

use super::report::{Report, Row};
use super::work::Work;
use crate::cli::Dtype;

/// Our time over the least of some others', at most.
pub struct Goal {
    work: Work,
    dtype: Dtype,
    most: f64,
    beside: Beside,
    over: Over,
}

#[derive(Clone, Copy)]
enum Beside {
    /// The fastest of these in the same row.
    Fastest(&'static [&'static str]),
    /// PyTorch eager in float32, whatever the row's dtype.
    Float32Eager,
    Floor,
}

#[derive(Clone, Copy)]
enum Over {
    EachRow,
    EachRowOf(&'static [&'static str]),
    GeometricMean,
}

const EAGER: Beside = Beside::Fastest(&["eager"]);
const TUNED: Beside = Beside::Fastest(&["eager_tuned"]);
const COMPILE: Beside = Beside::Fastest(&["compile"]);
const ENGINES: Beside = Beside::Fastest(&["onnxruntime", "openvino"]);
const OPENVINO: Beside = Beside::Fastest(&["openvino"]);

const fn goal(work: Work, dtype: Dtype, most: f64, beside: Beside, over: Over) -> Goal {
    Goal { work, dtype, most, beside, over }
}

const GOALS: &[Goal] = &[
    goal(Work::Infer, Dtype::Float32, 0.65, EAGER, Over::EachRow),
    goal(Work::Infer, Dtype::Float32, 1.0, COMPILE, Over::EachRow),
    goal(Work::Infer, Dtype::Float32, 1.0, ENGINES, Over::GeometricMean),
    goal(
        Work::Infer,
        Dtype::Float32,
        1.15,
        Beside::Floor,
        Over::EachRowOf(&["torchvision/resnet50", "torchvision/vit_b_16"]),
    ),
    goal(Work::Infer, Dtype::Bfloat16, 0.35, Beside::Float32Eager, Over::EachRow),
    goal(Work::Infer, Dtype::Bfloat16, 1.0, OPENVINO, Over::GeometricMean),
    goal(Work::Train, Dtype::Float32, 0.60, EAGER, Over::EachRow),
    goal(Work::Train, Dtype::Float32, 1.0, COMPILE, Over::EachRow),
    goal(Work::Train, Dtype::Float32, 1.0, TUNED, Over::EachRow),
    goal(Work::Train, Dtype::Bfloat16, 0.35, Beside::Float32Eager, Over::EachRow),
];

/// A line for every goal of these rows. A GPU has none: which card it is decides.
pub fn verdicts(work: Work, dtype: Dtype, report: &Report) -> Vec<String> {
    let goals = GOALS.iter().filter(|goal| report.gpu.is_none() && goal.work == work && goal.dtype == dtype);
    goals.map(|goal| goal.verdict(&report.rows)).collect()
}

impl Goal {
    fn verdict(&self, rows: &[Row]) -> String {
        let asked = |row: &&Row| match self.over {
            Over::EachRowOf(models) => models.contains(&row.model.as_str()),
            _ => true,
        };
        let own = rows.iter().filter(|row| row.work == self.work && row.dtype == self.dtype).filter(asked);
        let ratios = own.filter_map(|row| Some((row, self.ratio(row, rows)?)));
        let ratios: Vec<(&Row, f64)> = ratios.collect();
        let which = match self.over {
            Over::EachRow => "each at most",
            Over::EachRowOf(_) => "ResNet-50 and ViT-B/16 each at most",
            Over::GeometricMean => "geometric mean at most",
        };
        let outcome = match self.over {
            _ if ratios.is_empty() => "not measured".to_owned(),
            Over::GeometricMean => {
                let mean = ratios.iter().map(|(_, ratio)| ratio.ln()).sum::<f64>() / ratios.len() as f64;
                let mean = mean.exp();
                format!("{} with {mean:.2}", if mean <= self.most { "met" } else { "missed" })
            }
            _ => {
                let above = ratios.iter().filter(|(_, ratio)| *ratio > self.most);
                let above =
                    above.map(|(row, ratio)| format!("{} × {} ({ratio:.2})", row.short_name(), row.batch));
                let above: Vec<_> = above.collect();
                if above.is_empty() {
                    format!("met by all {}", ratios.len())
                } else {
                    format!("missed by {}", above.join(", "))
                }
            }
        };
        format!("{which} {:.2} of {}: {outcome}", self.most, self.beside.name())
    }

    fn ratio(&self, row: &Row, rows: &[Row]) -> Option<f64> {
        let other = match self.beside {
            Beside::Fastest(names) => {
                names.iter().filter_map(|name| row.median_ms.get(*name).copied()).reduce(f64::min)
            }
            Beside::Float32Eager => {
                let same = |other: &&Row| {
                    (other.work, &other.model, other.batch) == (row.work, &row.model, row.batch)
                        && other.dtype == Dtype::Float32
                };
                rows.iter().find(same).and_then(|row| row.median_ms.get("eager").copied())
            }
            Beside::Floor => row.floor_ms,
        };
        Some(row.median_ms.get("tchvision")? / other?)
    }
}

impl Beside {
    fn name(self) -> String {
        match self {
            Beside::Fastest(names) if names.len() > 1 => format!("the faster of {}", names.join(" and ")),
            Beside::Fastest(names) => names.join(""),
            Beside::Float32Eager => "eager float32".to_owned(),
            Beside::Floor => "the floor".to_owned(),
        }
    }
}
