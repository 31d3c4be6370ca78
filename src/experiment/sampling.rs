//! Variants drawn at random until enough of them cost what they may.

use super::planner::Planner;
use super::space::{Sample, is_within, spreads};
use super::variant::Variant;
use crate::brief;
use crate::data::Stream;
use crate::models::Complexity;
use crate::train::RunConfig;
use crate::yaml;
use anyhow::Result;
use rayon::prelude::*;
use std::collections::HashSet;

/// Draws for each variant that a sample wants.
const DRAWS: usize = 200;
/// Draws costed side by side, where no more variants are wanted.
const ABREAST: usize = 16;

impl Planner<'_> {
    /// Draws until there are as many variants within the costs as are wanted.
    pub(super) fn samples(&self, sample: &Sample, base: &Complexity) -> Result<Vec<Variant>> {
        self.ensure(!sample.of.0.is_empty(), &["sample", "of"], "nothing to draw")?;
        self.ensure(sample.count > 0, &["sample", "count"], "0 variants")?;
        let bounds = sample.within.bounds(base);
        let (mut found, mut seen, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
        let mut reason = None;
        let draws = sample.count.saturating_mul(DRAWS) as u64;
        let mut next = 0;
        while next < draws {
            // As many as may all be wanted are costed side by side, and looked at in their order.
            let some = (sample.count - found.len()).max(ABREAST) as u64;
            let drawn = (next..draws.min(next + some)).map(|index| Self::draw(sample, index));
            let new: Vec<Variant> = drawn.filter(|cell| ids.insert(cell.id())).collect();
            let configs: Vec<Result<RunConfig>> =
                new.par_iter().map(|cell| yaml::from_value(&self.assigned(cell)?)).collect();
            let configs = configs.into_iter().collect::<Result<Vec<_>>>()?;
            let costs: Vec<Result<Complexity>> =
                configs.par_iter().map(|config| self.costs.of(config)).collect();
            for (cell, cost) in new.into_iter().zip(costs) {
                match cost {
                    Ok(cost) if is_within(&bounds, &cost) => found.push(cell),
                    Ok(cost) => seen.push(cost),
                    Err(error) => reason = Some(brief(&error)),
                }
                if found.len() == sample.count {
                    return Ok(found);
                }
            }
            next += some;
        }
        let outside: Vec<String> = spreads(&bounds, &seen).into_iter().chain(reason).collect();
        let message = format!(
            "only {} of {} variants found; the others drawn had {}",
            found.len(),
            sample.count,
            if outside.is_empty() { "nothing new".to_owned() } else { outside.join("; ") }
        );
        Err(self.experiment.document.error(&["sample", "within"], message))
    }

    /// The variant of one draw.
    fn draw(sample: &Sample, index: u64) -> Variant {
        let mut stream = Stream::new(sample.seed, "sample", 0, index);
        sample.of.0.iter().fold(Variant::default(), |cell, (path, draw)| {
            cell.set(path, draw.draw(&mut stream), &["sample", "of", path])
        })
    }
}
