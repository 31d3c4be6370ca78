//! Variants drawn at random until enough of them cost what they may.

use super::planner::Planner;
use super::space::Sample;
use super::spec::Cost;
use super::variant::Variant;
use crate::brief;
use crate::data::Stream;
use crate::train::RunConfig;
use crate::yaml;
use anyhow::Result;
use std::collections::HashSet;

/// Draws for each variant that a sample wants.
const DRAWS: usize = 200;

impl Planner<'_> {
    /// Draws until there are as many variants within the costs as are wanted.
    pub(super) fn samples(&mut self, sample: &Sample) -> Result<Vec<Variant>> {
        self.ensure(!sample.of.0.is_empty(), &["sample", "of"], "nothing to draw")?;
        self.ensure(sample.count > 0, &["sample", "count"], "0 variants")?;
        let bounds = [
            (Cost::Params, sample.within.params),
            (Cost::Macs, sample.within.macs),
            (Cost::Activations, sample.within.activations),
        ];
        let (mut found, mut seen, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
        let mut reason = None;
        for index in 0..(sample.count.saturating_mul(DRAWS) as u64) {
            let mut stream = Stream::new(sample.seed, "sample", 0, index);
            let cell = sample.of.0.iter().fold(Variant::default(), |cell, (path, draw)| {
                cell.set(path, draw.draw(&mut stream), &["sample", "of", path])
            });
            if !ids.insert(cell.id()) {
                continue;
            }
            let config = yaml::from_value::<RunConfig>(self.assigned(&cell)?)?;
            let cost = match self.cost(&config) {
                Ok(cost) => cost,
                Err(error) => {
                    reason = Some(brief(&error));
                    continue;
                }
            };
            let within = |(cost_of, bounds): &(Cost, Option<[f64; 2]>)| {
                let value = cost_of.of(&cost) as f64;
                bounds.is_none_or(|[low, high]| (low..=high).contains(&value))
            };
            if bounds.iter().all(within) {
                found.push(cell);
            } else {
                seen.push(cost);
            }
            if found.len() == sample.count {
                return Ok(found);
            }
        }
        let outside = bounds.iter().filter(|(_, bounds)| bounds.is_some()).filter_map(|(cost, _)| {
            let values = || seen.iter().map(|complexity| cost.of(complexity));
            Some(format!("{} from {} to {}", cost.name(), values().min()?, values().max()?))
        });
        let outside: Vec<String> = outside.chain(reason).collect();
        let message = format!(
            "only {} of {} variants found; the others drawn had {}",
            found.len(),
            sample.count,
            if outside.is_empty() { "nothing new".to_owned() } else { outside.join("; ") }
        );
        Err(self.experiment.document.error(&["sample", "within"], message))
    }
}
