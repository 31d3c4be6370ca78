//! The processes that train one run together: each takes its micro-batches of a step, and the gradients are summed.
//!
//! A process that is alone is rank 0 of 1, for which nothing here does anything.

mod environment;
#[cfg(feature = "distributed")]
mod rendezvous;
mod together;

pub use environment::{Place, Starter};
use together::Group;
pub use together::Reducer;

use crate::torch::device;
use anyhow::Result;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The processes of a run, of which this is one.
pub struct Ranks {
    rank: usize,
    world: usize,
    group: Option<Group>,
}

impl Ranks {
    /// This process alone.
    pub fn alone() -> Self {
        Self { rank: 0, world: 1, group: None }
    }

    /// Finds the others, by the store of torchrun or by a file in `dir`, which all must see. `lost` is called in a thread
    /// of its own with what to say when another has ended and this one has had some seconds to end by itself.
    ///
    /// # Errors
    /// Others that do not come within two minutes (or as many seconds as `TCHVISION_RANK_TIMEOUT` says), by their numbers; a
    /// program without the feature `distributed`.
    pub fn join(place: &Place, dir: &Path, lost: Box<dyn FnOnce(anyhow::Error) + Send>) -> Result<Self> {
        let group = Group::join(place, dir, lost)?;
        Ok(Self { rank: place.rank, world: place.world, group: Some(group) })
    }

    /// The number of this one, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn world(&self) -> usize {
        self.world
    }

    /// Whether this is the one that writes what all have come to.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }

    /// For people: `rank 1 of 4 on node7, cpu, gloo`; `None` alone.
    pub fn title(&self, device: Device) -> Option<String> {
        let group = self.group.as_ref()?;
        let Self { rank, world, .. } = self;
        Some(format!(
            "rank {rank} of {world} on {}, {}, {}",
            group.host(),
            device::name(device),
            group.backend()
        ))
    }

    /// This process's share of so many cores of its node: those that other ranks there may use as well are divided.
    pub fn cores(&self, of: usize) -> usize {
        self.group.as_ref().map_or(of, |group| (of / group.neighbours()).max(1))
    }

    /// Replaces a tensor's values by their sums over all ranks.
    ///
    /// # Errors
    /// Another rank has ended: what it says, or [`crate::Interrupted`].
    pub fn sum(&self, tensor: &Tensor) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.sum(tensor))
    }

    /// The sums of numbers over all ranks.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn sums(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        if self.group.is_none() {
            return Ok(numbers.to_vec());
        }
        let sums = Tensor::f_from_slice(numbers)?;
        self.sum(&sums)?;
        Ok(Vec::try_from(&sums)?)
    }

    /// As [`Self::sums`], of a few.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn totals<const N: usize>(&self, mut numbers: [f64; N]) -> Result<[f64; N]> {
        let sums = self.sums(&numbers)?;
        numbers.copy_from_slice(&sums);
        Ok(numbers)
    }

    /// The largest of each number over all ranks.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn most(&self, numbers: &[usize]) -> Result<Vec<usize>> {
        let count = numbers.len();
        let mut all = vec![0.0; count * self.world];
        let own = &mut all[self.rank * count..][..count];
        own.iter_mut().zip(numbers).for_each(|(place, &number)| *place = number as f64);
        let all = self.sums(&all)?;
        let most =
            |i: usize| all.iter().skip(i).step_by(count).fold(0.0, |most: f64, &n| most.max(n)) as usize;
        Ok((0..count).map(most).collect())
    }

    /// Rank 0's number.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn first(&self, number: f64) -> Result<f64> {
        let [number] = self.totals([if self.leads() { number } else { 0.0 }])?;
        Ok(number)
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn any(&self, said: bool) -> Result<bool> {
        let [count] = self.totals([f64::from(u8::from(said))])?;
        Ok(count > 0.0)
    }

    /// The numbers below `count` that any rank lists, in order.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn union(&self, own: Vec<usize>, count: usize) -> Result<Vec<usize>> {
        if !self.any(!own.is_empty())? || self.group.is_none() {
            return Ok(own);
        }
        let mut listed = vec![0i32; count];
        own.into_iter().for_each(|index| listed[index] = 1);
        let listed = Tensor::f_from_slice(&listed)?;
        self.sum(&listed)?;
        let listed = Vec::<i32>::try_from(&listed)?;
        Ok((0..count).filter(|&index| listed[index] > 0).collect())
    }

    /// Rank 0's values in all tensors.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn broadcast(&self, tensors: &[Tensor]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.group.as_ref().map_or(Ok(()), |group| group.broadcast(tensors))
    }

    /// Goes on where all ranks do.
    ///
    /// # Errors
    /// Its own, or the one of another.
    pub fn agree<T>(&self, outcome: Result<T>) -> Result<T> {
        let Some(group) = &self.group else { return outcome };
        if let Err(error) = &outcome {
            group.tell(error);
        }
        let failed = self.any(outcome.is_err());
        match (outcome, failed) {
            (Ok(_), Ok(true)) => Err(group.told()),
            (Ok(_), Err(error)) | (Err(error), _) => Err(error),
            (Ok(value), Ok(false)) => Ok(value),
        }
    }

    /// Tells the others why this one ends, for as long as they may ask; returns what to say, which is not gloo's own text where
    /// another has ended during a backward pass.
    pub fn fail(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(group) = &self.group else { return error };
        let error = group.explained(error);
        group.tell(&error);
        group.linger();
        error
    }

    /// Sums the gradients of these parameters while backward runs; `None` alone. Where a step may leave out some of them,
    /// say so.
    ///
    /// # Errors
    /// Other parameters on another rank.
    pub fn reducer(&self, parameters: &[(String, Tensor)], some_unused: bool) -> Result<Option<Reducer>> {
        self.group.as_ref().map(|group| group.reducer(parameters, some_unused)).transpose()
    }

    /// Ends together: until here another that ends is missed.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub fn part(self) -> Result<()> {
        self.group.map_or(Ok(()), Group::part)
    }
}

/// The loss of no pictures: no gradient of these parameters, where a rank has none to learn from.
///
/// # Errors
/// As of libtorch.
pub(super) fn nothing(parameters: &[(String, Tensor)]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (_, parameter) in parameters {
        let zero = parameter.f_sum(Kind::Float)?.f_mul_scalar(0.0)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&zero)?,
            None => zero,
        });
    }
    sum.ok_or_else(|| anyhow::anyhow!("nothing is trained"))
}
