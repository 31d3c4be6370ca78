//! What stands between a plan and an answer to its question, in words.

use super::metric::Cost;
use super::spec::{Match, Spec};
use super::trial::Trial;
use std::collections::HashMap;

/// Beyond so many, variants are counted instead of named.
const NAMED: usize = 4;
/// Relative differences of costs that the question calls equal, where no `match` says what is.
const EQUAL: f64 = 0.03;
/// As [`EQUAL`], of costs that it calls a multiple of the base's.
const MULTIPLE: f64 = 0.1;

/// What a plan shows: choices by test images, costs that are not what the question says, variants that are one run.
/// `signatures` say what each trial really runs.
pub(super) fn of_plan(
    spec: &Spec,
    trials: &[Trial],
    signatures: &[String],
    target: Option<(Cost, u64)>,
) -> Vec<String> {
    let firsts = trials.chunk_by(|a, b| a.variant == b.variant).map(|seeds| &seeds[0]);
    let firsts: Vec<&Trial> = firsts.collect();
    let mut concerns: Vec<String> =
        [by_test_images(spec), unmatched(spec, &firsts, target), asked(spec, &firsts)]
            .into_iter()
            .flatten()
            .collect();
    let mut same: HashMap<(&str, u64), Vec<&Trial>> = HashMap::new();
    for (trial, signature) in trials.iter().zip(signatures) {
        same.entry((signature, trial.seed)).or_default().push(trial);
    }
    for first in firsts {
        let of_first = same.values().find(|group| group.len() > 1 && std::ptr::eq(group[0], first));
        if let Some(group) = of_first {
            let names = names(group.iter().map(|trial| title(trial.label())));
            concerns.push(format!(
                "{names} are one and the same run: what differs between them changes nothing."
            ));
        }
    }
    concerns
}

fn by_test_images(spec: &Spec) -> Option<String> {
    if spec.base.data.validation.is_some() {
        return None;
    }
    let choices = [
        ("`search`", spec.search.is_some()),
        ("`halving`", spec.halving.is_some()),
        ("`train.patience`", spec.base.train.patience.is_some()),
    ];
    let choices = choices.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name.to_owned());
    let choices: Vec<String> = choices.collect();
    (!choices.is_empty()).then(|| {
        let verb = if choices.len() == 1 { "chooses" } else { "choose" };
        format!(
            "{} {verb} by the test images, so that their figures flatter; `data.validation: 0.1` keeps training images \
             for it.",
            names(choices.into_iter())
        )
    })
}

/// Variants whose knob `match` does not solve, and that cost something else than those it does.
fn unmatched(spec: &Spec, trials: &[&Trial], target: Option<(Cost, u64)>) -> Option<String> {
    let (Match { tolerance, .. }, (cost, target)) = (spec.matching.as_ref()?, target?);
    let off = |trial: &&&Trial| (trial.cost(cost) as f64 / target as f64 - 1.0).abs() > *tolerance;
    let off: Vec<&&Trial> = trials.iter().filter(off).collect();
    // The base is what the others are a multiple of.
    let is_base = |trial: &Trial| {
        trial.solved.is_empty() && Some(trial.cost(cost)) == trials.first().map(|t| t.cost(cost))
    };
    if off.iter().all(|trial| is_base(trial)) {
        return None;
    }
    let times = off.iter().map(|trial| {
        format!("{} ({:.2} of it)", title(trial.label()), trial.cost(cost) as f64 / target as f64)
    });
    Some(format!("Not of the {} that `match` asks for: {}.", cost.title(), names(times)))
}

/// Costs that the question calls equal, or twice those of the first variant, and that are not.
fn asked(spec: &Spec, trials: &[&Trial]) -> Option<String> {
    let (first, rest) = trials.split_first()?;
    let tolerance = spec.matching.as_ref().map_or(EQUAL, |matching| matching.tolerance);
    let (times, cost) = claim(&spec.question)?;
    let value = |trial: &Trial| trial.cost(cost) as f64;
    let (what, off): (String, Vec<&&Trial>) = if times == 1.0 {
        let (least, most) =
            trials.iter().fold((f64::MAX, 0.0f64), |(a, b), t| (a.min(value(t)), b.max(value(t))));
        let middle = (least * most).sqrt();
        let off = |trial: &&&Trial| (value(trial) / middle - 1.0).abs() > tolerance;
        ("equal".to_owned(), trials.iter().filter(off).collect())
    } else {
        let off =
            |trial: &&&Trial| (value(trial) / value(first) / times - 1.0).abs() > tolerance.max(MULTIPLE);
        (format!("{times} times those of {}", title(first.label())), rest.iter().filter(off).collect())
    };
    if off.is_empty() {
        return None;
    }
    let shares =
        off.iter().map(|trial| format!("{} ({:.2})", title(trial.label()), value(trial) / value(first)));
    Some(format!(
        "The question speaks of {} that are {what}, and they are not: {}, as multiples of the first.",
        cost.title(),
        names(shares)
    ))
}

/// Which cost the question says is how many times the base's: `at equal MACs`, `twice the parameters`.
fn claim(question: &str) -> Option<(f64, Cost)> {
    let words: Vec<String> = question
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .collect();
    let cost = |word: &String| match word.as_str() {
        "macs" | "flops" | "multiply-adds" | "cost" | "costs" | "compute" => Some(Cost::Macs),
        "params" | "parameters" => Some(Cost::Params),
        "activations" => Some(Cost::Activations),
        _ => None,
    };
    words.iter().enumerate().find_map(|(i, word)| {
        let times = match word.as_str() {
            "equal" | "same" => 1.0,
            "twice" | "double" => 2.0,
            _ => return None,
        };
        Some((times, words[i + 1..].iter().take(2).find_map(cost)?))
    })
}

/// A variant in a sentence.
pub(super) fn title(label: String) -> String {
    if label.is_empty() { "the base".to_owned() } else { label }
}

/// Names in a sentence, the first of many.
pub(super) fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    match all.len().checked_sub(NAMED) {
        None | Some(0) => all.join("; "),
        Some(more) => format!("{}; and {more} more", all[..NAMED].join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_which_costs_are_equal() {
        assert_eq!(claim("At equal MACs, is cardinality worth more than width?"), Some((1.0, Cost::Macs)));
        assert_eq!(claim("At the same parameters, deep or wide?"), Some((1.0, Cost::Params)));
        assert_eq!(claim("Is twice the cost best spent on depth?"), Some((2.0, Cost::Macs)));
        assert_eq!(claim("Does the same net gain from depth?"), None);
    }
}
