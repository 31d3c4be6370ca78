//! Asynchronous halving (ASHA, 1810.05934): nobody waits until a rung is full. Who is free takes what the records allow: a
//! variant among the best of those that have reached a rung so far goes on, else a new one begins. The decision depends
//! on the records alone.

/// What the records say of a variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Runner {
    /// Its mean at each rung that all its trials have reached, the larger the better.
    pub reached: Vec<f64>,
    /// Whether it has trained beyond the last of these: it was among the best there once.
    pub goes_on: bool,
    /// Whether one of its trials failed: it goes no further.
    pub failed: bool,
    /// Whether all its trials are done.
    pub done: bool,
}

/// A race over `rungs` rungs and then to the end, in which one of `factor` goes on.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Race {
    pub rungs: usize,
    pub factor: usize,
    pub runners: Vec<Runner>,
}

impl Race {
    /// The variants that may train, each towards a level: `rungs` is the end, 0 the first rung. Those that are furthest
    /// come first, and of a level the best.
    pub fn allowed(&self) -> Vec<(usize, usize)> {
        let beyond =
            (0..self.rungs).rev().flat_map(|rung| self.beyond(rung).into_iter().map(move |i| (rung + 1, i)));
        let all = beyond.chain((0..self.runners.len()).map(|i| (0, i)));
        all.filter(|&(level, i)| self.runners[i].reached.len() == level && !self.is_over(i)).collect()
    }

    /// The rung after which a variant is dropped for good: nobody else can come there, and it is not among the best.
    pub fn dropped(&self, runner: usize) -> Option<usize> {
        let last = self.runners[runner].reached.len().checked_sub(1).filter(|&rung| rung < self.rungs)?;
        let stays = self.is_over(runner) || !self.is_full(last) || self.beyond(last).contains(&runner);
        (!stays).then_some(last)
    }

    fn is_over(&self, runner: usize) -> bool {
        self.runners[runner].failed || self.runners[runner].done
    }

    /// Those that may go beyond a rung, the best first: one of `factor` of all that have come so far, and once nobody
    /// else can come as many as halving keeps that waits for all; beside them those that have gone on already.
    fn beyond(&self, rung: usize) -> Vec<usize> {
        let mut ranked: Vec<usize> =
            (0..self.runners.len()).filter(|&i| self.runners[i].reached.len() > rung).collect();
        let value = |i: usize| self.runners[i].reached[rung];
        ranked.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
        // Those that failed on the way come last.
        let failed =
            self.runners.iter().filter(|runner| runner.failed && runner.reached.len() == rung).count();
        let all = ranked.len() + failed;
        let keep = if self.is_full(rung) { all.div_ceil(self.factor) } else { all / self.factor };
        let has_gone = |i: usize| self.runners[i].goes_on || self.runners[i].reached.len() > rung + 1;
        let places = ranked.into_iter().enumerate();
        places.filter(|&(place, i)| place < keep || has_gone(i)).map(|(_, i)| i).collect()
    }

    /// Whether nobody else can come to a rung.
    fn is_full(&self, rung: usize) -> bool {
        let came = |i: usize| self.runners[i].reached.len() > rung || self.is_over(i);
        match rung.checked_sub(1) {
            None => (0..self.runners.len()).all(came),
            Some(below) => self.is_full(below) && self.beyond(below).into_iter().all(came),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a race with so many places, the variant `i` being worth `values[i]`; returns the level that each reached and
    /// the most that were at work at the same time.
    fn run(values: &[f64], rungs: usize, factor: usize, places: usize) -> (Vec<usize>, usize) {
        let mut race = Race { rungs, factor, runners: vec![Runner::default(); values.len()] };
        let (mut busy, mut most): (Vec<(usize, usize)>, usize) = (Vec::new(), 0);
        loop {
            let taken = |busy: &[(usize, usize)], i: usize| busy.iter().any(|&(_, other)| other == i);
            while busy.len() < places {
                let Some(next) = race.allowed().into_iter().find(|&(_, i)| !taken(&busy, i)) else { break };
                busy.push(next);
            }
            most = most.max(busy.len());
            if busy.is_empty() {
                let levels = race.runners.iter().map(|runner| runner.reached.len());
                return (levels.collect(), most);
            }
            let (level, i) = busy.remove(0);
            race.runners[i].reached.push(values[i]);
            race.runners[i].done = level == rungs;
        }
    }

    #[test]
    fn the_best_reaches_the_end_and_most_stay_below() {
        let values: Vec<f64> = (0..27).map(|i| f64::from(i * 7 % 27)).collect();
        for places in [1, 4, 27] {
            let (levels, most) = run(&values, 3, 3, places);
            let best = values.iter().position(|&value| value == 26.0).unwrap();
            assert_eq!(levels[best], 4, "{levels:?}");
            assert!(levels.iter().filter(|&&level| level == 1).count() >= 14, "{levels:?}");
            assert!(levels.iter().all(|&level| level >= 1) && most == places);
        }
        // As many on each rung as halving that waits keeps, and some that were among the best of the first few.
        let (levels, _) = run(&values, 3, 3, 27);
        let at = |level: usize| levels.iter().filter(|&&reached| reached >= level).count();
        assert!(at(1) == 27 && (9..16).contains(&at(2)) && (3..9).contains(&at(3)), "{levels:?}");
        assert!((1..6).contains(&at(4)), "{levels:?}");
    }

    #[test]
    fn few_variants_have_a_winner_too() {
        assert_eq!(run(&[1.0, 2.0], 1, 3, 2).0, [1, 2]);
        assert_eq!(run(&[1.0], 2, 2, 1).0, [3]);
    }

    #[test]
    fn a_new_variant_begins_while_nobody_may_go_on() {
        let reached = |value: f64| Runner { reached: vec![value], ..Runner::default() };
        let race = |runners: Vec<Runner>| Race { rungs: 1, factor: 2, runners };
        let open = race(vec![reached(0.1), Runner::default(), Runner::default()]);
        assert_eq!(open.allowed(), [(0, 1), (0, 2)]);
        assert_eq!(open.dropped(0), None);
        // Of two one may go on, though a third has not begun.
        let two = race(vec![reached(0.1), reached(0.2), Runner::default()]);
        assert_eq!(two.allowed(), [(1, 1), (0, 2)]);
        // Who has gone on is not called back by a better one that comes later.
        let on = Runner { goes_on: true, ..reached(0.2) };
        let three = race(vec![reached(0.1), on, reached(0.3), reached(0.0)]);
        assert_eq!(three.allowed(), [(1, 2), (1, 1)]);
        assert_eq!((three.dropped(0), three.dropped(1), three.dropped(3)), (Some(0), None, Some(0)));
        // One that failed takes no place from the others.
        let failed = Runner { failed: true, ..Runner::default() };
        let rest = race(vec![reached(0.1), failed, reached(0.2)]);
        assert_eq!(rest.allowed(), [(1, 2), (1, 0)]);
    }
}
