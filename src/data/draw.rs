//! Which images an epoch takes, and how often.

use super::Stream;

/// How the images of an epoch are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Times that an image is taken in a row, each with an augmentation of its own; an epoch has as many images as without, so
    /// that it takes a part of them (repeated augmentation, 1902.05509; timm's `RepeatAugSampler`).
    pub repeats: usize,
    /// Draw with replacement, each class as often as every other.
    pub balanced: bool,
}

impl Default for Draw {
    fn default() -> Self {
        Self { repeats: 1, balanced: false }
    }
}

impl Draw {
    /// The images of an epoch as [`Copy`] numbers, from the shuffled `order` of all.
    pub(super) fn draw(self, order: Vec<usize>, labels: &[i64], seed: u64, epoch: u64) -> Vec<usize> {
        let count = order.len();
        let drawn = if self.balanced { balanced(count, labels, seed, epoch) } else { order };
        if (self.repeats, self.balanced) == (1, false) {
            return drawn;
        }
        let mut taken = vec![0; count];
        let repeated =
            drawn.into_iter().flat_map(|index| std::iter::repeat_n(index, self.repeats)).take(count);
        repeated
            .map(|index| {
                let copy = Copy { index, number: taken[index] };
                taken[index] += 1;
                copy.code(count)
            })
            .collect()
    }
}

/// One of the times that an epoch takes an image, out of `count`: `index + number · count` as one number.
#[derive(Clone, Copy)]
pub(super) struct Copy {
    pub index: usize,
    number: usize,
}

impl Copy {
    fn code(self, count: usize) -> usize {
        self.index + self.number * count
    }

    pub fn of(code: usize, count: usize) -> Self {
        Self { index: code % count.max(1), number: code / count.max(1) }
    }
}

/// As many images as there are: first the class, of those that have any, then one of its images.
fn balanced(count: usize, labels: &[i64], seed: u64, epoch: u64) -> Vec<usize> {
    let classes = labels.iter().copied().max().map_or(0, |last| last as usize + 1);
    let mut of_class = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(index, &label)| of_class[label as usize].push(index));
    of_class.retain(|images| !images.is_empty());
    let mut stream = Stream::new(seed, "balance", epoch, 0);
    (0..count)
        .map(|_| {
            let images = &of_class[stream.below(of_class.len() as u64) as usize];
            images[stream.below(images.len() as u64) as usize]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_follow_each_other_and_leave_others_out() {
        let draw = Draw { repeats: 3, balanced: false };
        let codes = draw.draw(vec![4, 1, 0, 3, 2], &[0; 5], 7, 0);
        let copies: Vec<_> =
            codes.iter().map(|&code| (Copy::of(code, 5).index, Copy::of(code, 5).number)).collect();
        assert_eq!(copies, [(4, 0), (4, 1), (4, 2), (1, 0), (1, 1)]);
        assert_eq!(Draw::default().draw(vec![4, 1, 0, 3, 2], &[0; 5], 7, 0), [4, 1, 0, 3, 2]);
    }

    /// One class has 40 of 4,000 images, one none: the three others are drawn alike, and no copy twice.
    #[test]
    fn classes_are_drawn_alike() {
        let labels: Vec<i64> =
            (0..4000).map(|i| if i < 40 { 0 } else { 2 + i64::from(i % 4 == 0) }).collect();
        let draw = Draw { repeats: 1, balanced: true };
        let codes = draw.draw((0..4000).collect(), &labels, 7, 3);
        let mut counts = [0i32; 4];
        codes.iter().for_each(|&code| counts[labels[Copy::of(code, 4000).index] as usize] += 1);
        assert_eq!(counts[1], 0);
        // Binomial of 4,000 and a third: the deviation is 30.
        assert!([0, 2, 3].iter().all(|&class| (counts[class] - 1333).abs() < 120), "{counts:?}");
        let distinct: std::collections::HashSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), 4000);
        assert_ne!(codes, draw.draw((0..4000).collect(), &labels, 7, 4));
    }
}
