//! Braces in the names of shards, as in shells and in Python's `braceexpand`: `{train,val}-{0000..1023}.tar`.

use anyhow::{Context, Result, bail, ensure};

/// Upper bound on what one pattern may stand for.
const MAX_NAMES: usize = 1 << 20;
/// Upper bound on the braces of one pattern, side by side and within each other.
const MAX_DEPTH: usize = 16;

/// All names that patterns stand for, in their order; `::` separates patterns, as in WebDataset.
///
/// # Errors
/// A brace that is not closed or that says nothing, or too many names.
pub(super) fn expand(patterns: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for pattern in patterns.split("::") {
        names.extend(one(pattern, MAX_DEPTH).with_context(|| format!("`{pattern:.200}`"))?);
        bounded(names.len())?;
    }
    Ok(names)
}

fn bounded(count: usize) -> Result<()> {
    ensure!(count <= MAX_NAMES, "stands for more than {MAX_NAMES} names");
    Ok(())
}

fn one(pattern: &str, depth: usize) -> Result<Vec<String>> {
    ensure!(depth > 0, "more than {MAX_DEPTH} braces");
    let Some(open) = pattern.find('{') else {
        ensure!(!pattern.contains('}'), "a `}}` without its `{{`");
        return Ok(vec![pattern.to_owned()]);
    };
    let inside = &pattern[open + 1..];
    let close = end(inside).context("a `{` without its `}`")?;
    let (before, choices) = (&pattern[..open], choices(&inside[..close], depth)?);
    let rest = one(&inside[close + 1..], depth - 1)?;
    bounded(choices.len().saturating_mul(rest.len()))?;
    let joined =
        choices.iter().flat_map(|choice| rest.iter().map(move |end| format!("{before}{choice}{end}")));
    Ok(joined.collect())
}

/// The place of the brace that closes one which is open.
fn end(inside: &str) -> Option<usize> {
    let mut depth = 1;
    inside.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        (depth == 0).then_some(at)
    })
}

/// What a pair of braces stands for.
fn choices(inside: &str, depth: usize) -> Result<Vec<String>> {
    let mut level = 0;
    let parts = inside.split(|c| {
        level += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && level == 0
    });
    match parts.collect::<Vec<_>>()[..] {
        [range] if !range.contains('{') => numbers(range),
        ref parts => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(one(part, depth - 1)?);
                bounded(all.len())?;
            }
            Ok(all)
        }
    }
}

/// `0000..1023`, or `0..100..10` in steps: as wide as the wider of both where one has leading zeros.
fn numbers(range: &str) -> Result<Vec<String>> {
    let parts: Vec<&str> = range.split("..").collect();
    let parsed: Option<Vec<usize>> =
        parts.iter().map(|part| part.parse().ok().filter(|_| !part.starts_with('+'))).collect();
    let (first, last, step) = match parsed.as_deref() {
        Some(&[first, last]) => (first, last, 1),
        Some(&[first, last, step]) if step > 0 => (first, last, step),
        _ => {
            bail!("`{{{range:.40}}}` is neither a range such as {{0000..1023}} nor a choice such as {{a,b}}")
        }
    };
    bounded(first.abs_diff(last) / step)?;
    let is_padded = parts[..2].iter().any(|part| part.len() > 1 && part.starts_with('0'));
    let width = if is_padded { parts[0].len().max(parts[1].len()) } else { 0 };
    let name = |i: usize| {
        let number = if first <= last { first + i * step } else { first - i * step };
        format!("{number:0width$}")
    };
    Ok((0..=first.abs_diff(last) / step).map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right values: Python's `braceexpand`.
    #[test]
    fn braces_stand_for_what_they_do_in_python() {
        for (pattern, names) in [
            ("a.tar", "a.tar"),
            ("{08..11}.tar", "08.tar 09.tar 10.tar 11.tar"),
            ("{8..11}", "8 9 10 11"),
            ("x-{3..1}", "x-3 x-2 x-1"),
            ("{000..10..5}", "000 005 010"),
            ("{train,val}-{0..1}.tar", "train-0.tar train-1.tar val-0.tar val-1.tar"),
            ("s{a,b{0..1}}", "sa sb0 sb1"),
            ("{a,}b", "ab b"),
            ("a-{0..1}::b-{2..3}", "a-0 a-1 b-2 b-3"),
        ] {
            assert_eq!(expand(pattern).unwrap().join(" "), names, "{pattern}");
        }
        let nested = "{".repeat(40);
        for wrong in ["{0..1", "0..1}", "{x}", "{}", "{0..99999999999}", "{0..9..0}", &nested] {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
        assert!(expand(&"{0..9}".repeat(8)).is_err());
        assert!(expand(&format!("{}a,b{}", "{".repeat(40), "}".repeat(40))).is_err());
    }
}
