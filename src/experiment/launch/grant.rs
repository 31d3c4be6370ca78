//! How many elements an array has, and how many of them may be at work at the same time.

use std::ops::Range;

/// A part of the trials, as one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Which of the trials.
    pub trials: Range<usize>,
    /// Elements at work at the same time.
    pub parallel: Option<usize>,
    /// The array of the same trials that has to be over before, where there are fewer places than arrays.
    pub after: Option<usize>,
}

/// Divides `trials` into arrays of `most` elements or fewer, all about as long, and `parallel` places among them.
pub(super) fn grants(trials: usize, most: usize, parallel: Option<usize>) -> Vec<Grant> {
    let arrays = trials.div_ceil(most.max(1));
    let part = |whole: usize, i: usize| whole / arrays + usize::from(i < whole % arrays);
    let mut start = 0;
    let grant = |i: usize| {
        let range = start..start + part(trials, i);
        start = range.end;
        let places = parallel.map(|parallel| part(parallel, i));
        let after = parallel.filter(|&parallel| parallel <= i).map(|parallel| i - parallel.max(1));
        Grant { trials: range, parallel: places.map(|places| places.max(1)), after }
    };
    (0..arrays).map(grant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_about_as_long_and_share_the_places() {
        let all = grants(1500, 1001, Some(5));
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].trials.clone(), all[1].trials.clone()), (0..750, 750..1500));
        assert_eq!((all[0].parallel, all[1].parallel), (Some(3), Some(2)));
        assert!(all.iter().all(|grant| grant.after.is_none()));
        assert_eq!(grants(3, 1001, None), [Grant { trials: 0..3, parallel: None, after: None }]);
        assert_eq!(grants(0, 1001, None), []);
    }

    /// Two places for five arrays: two chains, one at a time in each.
    #[test]
    fn arrays_without_a_place_wait_for_one() {
        let all = grants(50, 10, Some(2));
        assert_eq!(all.iter().map(|g| g.after).collect::<Vec<_>>(), [None, None, Some(0), Some(1), Some(2)]);
        assert!(all.iter().all(|grant| grant.parallel == Some(1)));
        assert_eq!(all.last().unwrap().trials, 40..50);
    }
}
