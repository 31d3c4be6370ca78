//! What is minimised: how far logits are from targets, and from a teacher's.

use super::loss_config::{BinaryCrossEntropy, Distillation, DistillationConfig, LossConfig};
use anyhow::Result;
use tch::{Kind, Reduction, Tensor};

/// The loss of logits (N, classes) against targets: int64 labels (N), or shares of the classes (N, classes).
pub struct Criterion {
    loss: LossConfig,
    /// Probability spread over all classes.
    smoothing: f64,
    /// One for each class, in the cross-entropy.
    weights: Option<Tensor>,
}

impl Criterion {
    pub fn new(loss: LossConfig, smoothing: f64, weights: Option<Tensor>) -> Self {
        Self { loss, smoothing, weights }
    }

    /// The mean over the images, a scalar. With weights of classes the mean is weighted by those of the labels, as
    /// `torch.nn.functional.cross_entropy` has it.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn loss(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        match &self.loss {
            LossConfig::CrossEntropy => Ok(logits.f_cross_entropy_loss(
                targets,
                self.weights.as_ref(),
                Reduction::Mean,
                -100,
                self.smoothing,
            )?),
            LossConfig::BinaryCrossEntropy(settings) => self.binary(settings, logits, targets),
        }
    }

    fn binary(&self, settings: &BinaryCrossEntropy, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let classes = logits.size()[1];
        let shares = match targets.kind() {
            Kind::Int64 => targets.f_one_hot(classes)?,
            _ => targets.shallow_clone(),
        };
        let mut shares = shares.f_to_kind(logits.kind())?;
        if self.smoothing > 0.0 {
            shares =
                shares.f_mul_scalar(1.0 - self.smoothing)?.f_add_scalar(self.smoothing / classes as f64)?;
        }
        if let Some(threshold) = settings.target_threshold {
            shares = shares.f_gt(threshold)?.f_to_kind(logits.kind())?;
        }
        let none = None::<Tensor>;
        let mean = logits.f_binary_cross_entropy_with_logits(
            &shares,
            none.as_ref(),
            none.as_ref(),
            Reduction::Mean,
        )?;
        Ok(if settings.sum_classes { mean.f_mul_scalar(classes as f64)? } else { mean })
    }
}

/// How far the student's logits are from the teacher's, both (N, classes): a scalar (DeiT's `losses.py`).
///
/// # Errors
/// Shapes that do not fit.
pub fn distillation(config: &DistillationConfig, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    match config.kind {
        Distillation::Hard => {
            let labels = teacher.f_argmax(1, false)?;
            Ok(student.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
        }
        Distillation::Soft => {
            let t = config.temperature;
            let log = |logits: &Tensor| logits.f_div_scalar(t)?.f_log_softmax(1, Kind::Float);
            let divergence = log(student)?.f_kl_div(&log(teacher)?, Reduction::Sum, true)?;
            Ok(divergence.f_mul_scalar(t * t / student.numel() as f64)?)
        }
    }
}
