//! Results that say nothing about the question, in words.

use super::answer::Row;
use super::concerns::{names, title};
use super::metric::Metric;

/// What results show: variants at chance level, and variants whose results do not differ at all.
pub(super) fn nothing_said(rows: &[Row]) -> Vec<String> {
    let mut concerns = Vec::new();
    let at_chance = rows.iter().filter_map(|row| {
        let limit = chance(row.classes);
        let values = row.values(Metric::Top1);
        let count = values.iter().filter(|&&top1| top1 <= limit).count();
        let name = title(row.label.clone());
        match count {
            0 => None,
            n if n == values.len() => Some(name),
            n => Some(format!("{name} ({n} of {} seeds)", values.len())),
        }
    });
    let at_chance: Vec<String> = at_chance.collect();
    if !at_chance.is_empty() {
        let percent = 100.0 / rows[0].classes.max(1) as f64;
        let names = names(at_chance.into_iter());
        concerns.push(format!(
            "At chance level ({percent:.1} %), so that it has not learned: {names}. Comparisons with it say nothing."
        ));
    }
    let numbers = |row: &Row| -> Vec<(u64, u64, u64)> {
        row.results.iter().map(|result| (result.seed, result.top1.to_bits(), result.loss.to_bits())).collect()
    };
    let mut taken = vec![false; rows.len()];
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| !row.results.is_empty()) {
        let same: Vec<usize> =
            (i..rows.len()).filter(|&j| !taken[j] && numbers(&rows[j]) == numbers(row)).collect();
        if same.len() > 1 {
            let names = names(same.iter().map(|&j| title(rows[j].label.clone())));
            concerns.push(format!(
                "{names} have the same results to the last digit: what differs changed nothing."
            ));
        }
        same.into_iter().for_each(|j| taken[j] = true);
    }
    concerns
}

/// The accuracy, in percent, up to which a net is not told from a guess.
fn chance(classes: i64) -> f64 {
    let chance = 100.0 / classes.max(1) as f64;
    chance + (0.5 * chance).min(0.05 * (100.0 - chance))
}

#[cfg(test)]
mod tests {
    use super::chance;

    #[test]
    fn chance_leaves_room_for_noise() {
        assert!((chance(10) - 14.5).abs() < 1e-9 && (chance(2) - 52.5).abs() < 1e-9);
        assert!((chance(1000) - 0.15).abs() < 1e-9);
    }
}
