//! Batch norms' running statistics over the micro-batches of one step, on all ranks.

use crate::nn::Store;
use crate::train::ranks::Ranks;
use anyhow::Result;
use tch::{Kind, Tensor};

/// A step of several micro-batches counts as one batch: each starts from the statistics before the step, and what they come
/// to is averaged by their shares of the images. In a step of one batch there is nothing to do.
pub struct Running {
    /// `running_mean` and `running_var` of all batch norms, as one vector before the step.
    before: Option<Tensor>,
    statistics: Vec<Tensor>,
    /// `num_batches_tracked`, and what they were before the step.
    counters: Vec<(Tensor, Tensor)>,
    /// The sum of the changes, each times its share.
    change: Option<Tensor>,
}

impl Running {
    /// # Errors
    /// No memory for a copy of the statistics.
    pub fn new(store: &Store, parts: usize) -> Result<Self> {
        let buffers = if parts > 1 { store.buffers() } else { Vec::new() };
        let mut all = Self { before: None, statistics: Vec::new(), counters: Vec::new(), change: None };
        for (name, tensor) in buffers {
            match name.rsplit('.').next() {
                Some("running_mean" | "running_var") => all.statistics.push(tensor),
                Some("num_batches_tracked") => {
                    let before = tensor.f_detach_copy()?;
                    all.counters.push((tensor, before));
                }
                _ => {}
            }
        }
        if !all.statistics.is_empty() {
            all.before = Some(all.flat()?);
        }
        Ok(all)
    }

    fn flat(&self) -> Result<Tensor> {
        Ok(Tensor::f_cat(&self.statistics, 0)?.f_to_kind(Kind::Float)?)
    }

    /// # Errors
    /// As of libtorch, as below.
    pub fn before_part(&mut self) -> Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        self.write(before)?;
        self.counters.iter_mut().try_for_each(|(counter, before)| Ok(counter.f_copy_(before)?))
    }

    pub fn after_part(&mut self, share: f64) -> Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        let change = self.flat()?.f_sub(before)?.f_mul_scalar(share)?;
        self.change = Some(match self.change.take() {
            None => change,
            Some(sum) => sum.f_add(&change)?,
        });
        Ok(())
    }

    pub fn finish(mut self, ranks: &Ranks) -> Result<()> {
        let Some(before) = self.before.take() else { return Ok(()) };
        let change = match self.change.take() {
            Some(change) => change,
            None => before.f_zeros_like()?,
        };
        ranks.sum(&change)?;
        self.write(&before.f_add(&change)?)?;
        if ranks.world() == 1 {
            return Ok(());
        }
        // A rank without images has not counted the step.
        let counted = |counter: &Tensor, before: &Tensor| counter.f_sub(before)?.f_int64_value(&[]);
        let own: Vec<f64> = self
            .counters
            .iter()
            .map(|(counter, before)| Ok(counted(counter, before)? as f64))
            .collect::<Result<_>>()?;
        for ((counter, before), more) in self.counters.iter_mut().zip(ranks.sums(&own)?) {
            counter.f_copy_(&before.f_add_scalar(i64::from(more > 0.0))?)?;
        }
        Ok(())
    }

    fn write(&self, flat: &Tensor) -> Result<()> {
        let sizes: Vec<i64> = self.statistics.iter().map(|tensor| tensor.numel() as i64).collect();
        let pieces = flat.f_split_with_sizes(sizes, 0)?;
        let mut pairs = self.statistics.iter().zip(&pieces);
        pairs.try_for_each(|(tensor, piece)| Ok(tensor.shallow_clone().f_copy_(piece)?))
    }
}
