//! Batch norms' running statistics over the micro-batches of one step, on all ranks.

use crate::nn::Store;
use crate::train::ranks::Ranks;
use anyhow::Result;
use tch::{Kind, Tensor};

/// The running statistics of all batch norms of a network.
pub struct Statistics {
    /// `running_mean` and `running_var`.
    averages: Vec<Tensor>,
    /// `num_batches_tracked`.
    counters: Vec<Tensor>,
}

/// What they were at one time: all averages as one vector, and the counters.
pub struct Copied(Option<Tensor>, Vec<Tensor>);

impl Statistics {
    pub fn of(store: &Store) -> Self {
        let (mut averages, mut counters) = (Vec::new(), Vec::new());
        for (name, tensor) in store.buffers() {
            match name.rsplit('.').next() {
                Some("running_mean" | "running_var") => averages.push(tensor),
                Some("num_batches_tracked") => counters.push(tensor),
                _ => {}
            }
        }
        Self { averages, counters }
    }

    /// # Errors
    /// No memory for a copy.
    pub fn copy(&self) -> Result<Copied> {
        let counters = self.counters.iter().map(Tensor::f_detach_copy).collect::<Result<_, _>>()?;
        Ok(Copied(if self.averages.is_empty() { None } else { Some(self.flat()?) }, counters))
    }

    /// # Errors
    /// As of libtorch.
    pub fn write(&self, Copied(averages, counters): &Copied) -> Result<()> {
        averages.as_ref().map_or(Ok(()), |flat| self.write_averages(flat))?;
        let mut pairs = self.counters.iter().zip(counters);
        pairs.try_for_each(|(counter, copied)| Ok(counter.shallow_clone().f_copy_(copied)?))
    }

    fn flat(&self) -> Result<Tensor> {
        Ok(Tensor::f_cat(&self.averages, 0)?.f_to_kind(Kind::Float)?)
    }

    fn write_averages(&self, flat: &Tensor) -> Result<()> {
        let sizes: Vec<i64> = self.averages.iter().map(|tensor| tensor.numel() as i64).collect();
        let pieces = flat.f_split_with_sizes(sizes, 0)?;
        let mut pairs = self.averages.iter().zip(&pieces);
        pairs.try_for_each(|(tensor, piece)| Ok(tensor.shallow_clone().f_copy_(piece)?))
    }
}

/// A step of several micro-batches counts as one batch: each starts from the statistics before the step, and what they come
/// to is averaged by their shares of the images. In a step of one batch there is nothing to do.
pub struct Running {
    statistics: Statistics,
    before: Option<Copied>,
    /// The sum of the changes of the averages, each times its share.
    change: Option<Tensor>,
}

impl Running {
    /// # Errors
    /// No memory for a copy of the statistics.
    pub fn new(store: &Store, parts: usize) -> Result<Self> {
        let statistics = Statistics::of(store);
        let before = if parts > 1 { Some(statistics.copy()?) } else { None };
        Ok(Self { statistics, before, change: None })
    }

    /// # Errors
    /// As of libtorch, as below.
    pub fn before_part(&mut self) -> Result<()> {
        self.before.as_ref().map_or(Ok(()), |before| self.statistics.write(before))
    }

    pub fn after_part(&mut self, share: f64) -> Result<()> {
        let Some(Copied(Some(before), _)) = &self.before else { return Ok(()) };
        let change = self.statistics.flat()?.f_sub(before)?.f_mul_scalar(share)?;
        self.change = Some(match self.change.take() {
            None => change,
            Some(sum) => sum.f_add(&change)?,
        });
        Ok(())
    }

    /// # Errors
    /// As above, or of another rank.
    pub fn finish(self, ranks: &Ranks) -> Result<()> {
        let Self { statistics, before: Some(Copied(Some(averages), counters)), change } = self else {
            return Ok(());
        };
        let change = change.map_or_else(|| averages.f_zeros_like(), Ok)?;
        ranks.sum(&change)?;
        statistics.write_averages(&averages.f_add(&change)?)?;
        if ranks.world() == 1 {
            return Ok(());
        }
        // A rank without images has not counted the step.
        let counted = |(counter, before): (&Tensor, &Tensor)| -> Result<_> {
            Ok(counter.f_sub(before)?.f_int64_value(&[])? as f64)
        };
        let own = statistics.counters.iter().zip(&counters).map(counted).collect::<Result<Vec<_>>>()?;
        let mut all = statistics.counters.into_iter().zip(&counters).zip(ranks.sums(&own)?);
        all.try_for_each(|((mut counter, before), more)| {
            Ok(counter.f_copy_(&before.f_add_scalar(i64::from(more > 0.0))?)?)
        })
    }
}
