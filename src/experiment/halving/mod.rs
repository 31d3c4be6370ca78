//! Successive halving (1502.07943): all variants train a little, the better ones go on.

mod race;
mod records;

pub(super) use records::Records;

use serde::Deserialize;

/// `{first: 2, factor: 3}`: after 2 epochs the best third goes on, after 6 the best third of these, and so on to the end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Epochs before the first choice.
    pub first: u64,
    #[serde(default = "three")]
    pub factor: u64,
    /// Whether a variant goes on as soon as it is among the best of those that came so far, and waits for no others: where
    /// trials run side by side on a cluster.
    #[serde(default)]
    pub asynchronous: bool,
}

fn three() -> u64 {
    3
}

impl Halving {
    /// The epochs after which a choice is made, in a run of `epochs`.
    pub fn rungs(&self, epochs: u64) -> Vec<u64> {
        let next = |&rung: &u64| rung.checked_mul(self.factor.max(2));
        std::iter::successors(Some(self.first.max(1)), next).take_while(|&rung| rung < epochs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_and_end_before_the_run() {
        assert_eq!(Halving { first: 2, factor: 3, asynchronous: false }.rungs(20), [2, 6, 18]);
        assert_eq!(Halving { first: 1, factor: 2, asynchronous: false }.rungs(4), [1, 2]);
        assert!(Halving { first: 5, factor: 2, asynchronous: false }.rungs(5).is_empty());
    }
}
