//! The mean of several files of weights: a model soup (2203.05482).

use super::StateFile;
use crate::Usage;
use anyhow::{Result, ensure};
use std::collections::HashSet;
use tch::{Kind, Tensor};

/// Names that a message lists.
const SHOWN: usize = 3;

/// The mean of the tensors of these files, in the order of the first; whole numbers, such as counters, are the first's.
///
/// # Errors
/// [`Usage`]: no files, or such whose tensors have other names or shapes than the first's.
pub fn average(files: &[&StateFile]) -> Result<Vec<(String, Tensor)>> {
    let [first, others @ ..] = files else { return Err(Usage("no weights to average".into()).into()) };
    let names = first.names();
    for other in others {
        let missing = |from: &[String], to: &[String]| {
            let there: HashSet<&String> = to.iter().collect();
            from.iter().filter(|name| !there.contains(name)).cloned().collect::<Vec<_>>()
        };
        let apart = [missing(names, other.names()), missing(other.names(), names)].concat();
        let (a, b) = (first.path().display(), other.path().display());
        let some = apart.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let text =
            format!("{a} and {b} are of different networks: {} names in one alone, {some}", apart.len());
        ensure!(apart.is_empty(), Usage(text));
    }
    let mean = |name: &String| -> Result<(String, Tensor)> {
        let one = first.get(name)?;
        if !one.is_floating_point() {
            return Ok((name.clone(), one.copy()));
        }
        let mut sum = one.f_to_kind(Kind::Double)?;
        for other in others {
            let next = other.get(name)?;
            let (a, b) = (first.path().display(), other.path().display());
            let text = format!("`{name}` has shape {:?} in {a} and {:?} in {b}", one.size(), next.size());
            ensure!(one.size() == next.size(), Usage(text));
            sum = sum.f_add(&next.f_to_kind(Kind::Double)?)?;
        }
        Ok((name.clone(), sum.f_div_scalar(files.len() as f64)?.f_to_kind(one.kind())?))
    };
    names.iter().map(mean).collect()
}
