//! The records of a run: one row per epoch, one per start, and the final result.

use super::identity::Change;
use super::schedule_config::Watched;
use crate::evaluate::{Accuracy, Protocol};
use crate::weights::Parent;
use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`: a completed epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: u64,
    /// Optimizer steps since the start.
    pub step: u64,
    /// Learning rate of the epoch's last step.
    pub lr: f64,
    pub train_loss: f64,
    /// Percent, of the training images as augmented.
    pub train_top1: f64,
    /// Cross-entropy on the test images, without label smoothing; null in epochs without evaluation, and in runs that
    /// validate, which read the test images once, at their end.
    pub test_loss: Option<f64>,
    /// Percent; of the averaged weights where the run has an EMA.
    pub test_top1: Option<f64>,
    /// As `test_top1`, the class among the five likeliest.
    #[serde(default)]
    pub test_top5: Option<f64>,
    /// On the validation images, in runs that have some.
    #[serde(flatten)]
    pub validation: Option<Validation>,
    /// Percent, of the raw weights; only in runs with an EMA.
    pub raw_top1: Option<f64>,
    /// Training images per second, evaluation excluded.
    pub images_per_second: f64,
    /// Seconds spent on the run so far, over all its processes.
    pub seconds: f64,
    /// Unix time.
    pub wall_time: f64,
    /// Peak resident memory of the process.
    pub peak_memory_bytes: u64,
    /// Peak memory of tensors on the GPU; absent on the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_gpu_memory_bytes: Option<u64>,
}

/// What the validation images say of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Cross-entropy, without label smoothing.
    #[serde(rename = "validation_loss")]
    pub loss: f64,
    /// Percent.
    #[serde(rename = "validation_top1")]
    pub top1: f64,
    /// Percent with their class among the five likeliest.
    #[serde(rename = "validation_top5")]
    pub top5: Option<f64>,
}

/// What every choice of a run or an experiment looks at: the validation images of a run that has some, else its test
/// images, since there are no others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    pub loss: f64,
    pub top1: f64,
    /// Unknown in records of before it was kept.
    pub top5: Option<f64>,
    pub is_validation: bool,
}

impl Evaluation {
    fn new(validation: Option<Validation>, test: Option<(f64, f64)>, top5: Option<f64>) -> Option<Self> {
        match (validation, test) {
            (Some(Validation { loss, top1, top5 }), _) => {
                Some(Self { loss, top1, top5, is_validation: true })
            }
            (None, Some((loss, top1))) => Some(Self { loss, top1, top5, is_validation: false }),
            (None, None) => None,
        }
    }

    /// The metric's value where more is better; the least there is where it is unknown.
    pub fn score(&self, metric: Watched) -> f64 {
        match metric {
            Watched::Loss => -self.loss,
            Watched::Top1 => self.top1,
            Watched::Top5 => self.top5.unwrap_or(f64::NEG_INFINITY),
        }
    }
}

impl EpochMetrics {
    /// The epoch's evaluation; `None` where it had none.
    pub fn evaluation(&self) -> Option<Evaluation> {
        Evaluation::new(self.validation, self.test_loss.zip(self.test_top1), self.test_top5)
    }
}

/// One line of `starts.jsonl`: a process that started or resumed the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Start {
    /// Optimizer steps already done.
    pub step: u64,
    pub device: String,
    /// Processes; absent where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<usize>,
    pub threads: usize,
    /// Threads that load images; chosen automatically if absent.
    pub workers: Option<usize>,
    /// The processor's name.
    pub machine: String,
    /// Versions of this package and of libtorch.
    pub version: String,
    pub libtorch: String,
    /// Settings that differ from those of the previous process.
    pub changes: Vec<Change>,
    /// Unix time.
    pub wall_time: f64,
}

/// What the test images say of a network beside loss and top-1, as `tchvision eval` does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestMetrics {
    /// Percent with their class among the five likeliest.
    pub top5: f64,
    /// Expected calibration error over 15 bins, from 0 to 1.
    pub ece: f64,
    /// Mean recall of the classes, in percent.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes, in percent.
    pub f1: f64,
}

impl TestMetrics {
    /// `None` without images.
    pub(super) fn of(accuracy: &Accuracy) -> Option<Self> {
        Some(Self {
            top5: accuracy.total().top5_percent()?,
            ece: accuracy.calibration_error()?,
            balanced_accuracy: accuracy.balanced_percent()?,
            f1: accuracy.f1_percent()?,
        })
    }
}

/// `result.json`: written last, it means that the run is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    pub model: String,
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    pub seed: u64,
    pub epochs: u64,
    pub steps: u64,
    /// How the weights were tested after the last epoch, for `top1`, `loss` and `test`; the centre where it is absent.
    #[serde(default, skip_serializing_if = "Protocol::is_center")]
    pub protocol: Protocol,
    /// Percent on the test images after the last epoch.
    pub top1: f64,
    /// Cross-entropy on the test images after the last epoch.
    pub loss: f64,
    /// On the test images after the last epoch; absent in results of earlier versions.
    #[serde(flatten)]
    pub test: Option<TestMetrics>,
    /// On the validation images after the last epoch, in runs that have some.
    #[serde(flatten)]
    pub validation: Option<Validation>,
    /// Percent, of the best evaluated epoch (`best.safetensors`): on the validation images of a run that has some, else
    /// on the test images, by the centre as in every test between epochs.
    pub best_top1: f64,
    pub best_epoch: u64,
    /// Median over the epochs.
    pub images_per_second: f64,
    /// Pictures that could not be read and were left out.
    #[serde(default)]
    pub skipped: usize,
    pub seconds: f64,
    pub device: String,
    pub threads: usize,
    /// Versions of this package and of libtorch.
    pub version: String,
    pub libtorch: String,
    /// The processor's name.
    #[serde(default)]
    pub machine: String,
    /// Of the repository in which the run was ended, where it was in one; `-dirty` behind it says that files differ.
    #[serde(default)]
    pub commit: Option<String>,
    /// Unix time of the end.
    #[serde(default)]
    pub wall_time: f64,
    /// The files of weights that the run started from, and which of its tensors were new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
}

impl RunResult {
    /// What a choice among runs looks at.
    pub fn evaluation(&self) -> Option<Evaluation> {
        Evaluation::new(self.validation, Some((self.loss, self.top1)), self.test.map(|test| test.top5))
    }
}

#[cfg(test)]
mod tests {
    use super::RunResult;
    use serde_json::json;

    #[test]
    fn results_of_earlier_versions_are_read() {
        let mut old = json!({
            "model": "paper/resnet20", "params": 1, "macs": 2, "activations": 3, "seed": 0, "epochs": 1, "steps": 9,
            "top1": 50.0, "loss": 1.5, "best_top1": 50.0, "best_epoch": 1, "images_per_second": 10.0,
            "seconds": 1.0, "device": "Cpu", "threads": 1, "version": "0.1.0", "libtorch": "2.9.0"
        });
        let result: RunResult = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((result.loss, result.test), (1.5, None));
        for (metric, value) in [("top5", 99.0), ("ece", 0.1), ("balanced_accuracy", 49.0), ("f1", 48.0)] {
            old[metric] = value.into();
        }
        let result: RunResult = serde_json::from_value(old).unwrap();
        assert_eq!(serde_json::to_value(&result).unwrap()["f1"], 48.0);
    }
}
