//! Which known names a mistyped one may mean.

use std::cmp::Reverse;
use strsim::osa_distance;

/// Suggestions made at most.
const MOST: usize = 3;

/// How a word is like a name, the closest first; the number is what they differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// But for case and the signs between letters and digits.
    Same,
    /// The same letters and digits in another order: `resnet50_v2` and `resnetv2_50`.
    Reordered,
    /// At most one letter in five is missing, too many, another or swapped with the next; one in words of four letters.
    Misspelt(usize),
    /// Its words stand in the name side by side: `batch` and `batch_size`.
    Part(usize),
    /// The words of the name stand in it side by side: `resnet50-imagenet` and `resnet50`; the longest name is closest.
    Whole(Reverse<usize>),
}

/// The sentence that names the close ones of these candidates: "did you mean `a`, `b` or `c`?"; `otherwise` where none is
/// close.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    match close(word, candidates).as_slice() {
        [] => otherwise.to_owned(),
        names => format!("did you mean {}?", either(names)),
    }
}

/// The names that are closest to `word`, at most [`MOST`] of them and in their order; none where all are far from it.
pub(crate) fn close<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<(Likeness, &str)> =
        candidates.into_iter().filter_map(|name| Some((likeness(word, name)?, name))).collect();
    // Stable: among equals the order of the candidates decides.
    found.sort_by_key(|(likeness, _)| *likeness);
    let Some(&(best, _)) = found.first() else { return Vec::new() };
    let as_close = |likeness: Likeness| match best {
        Likeness::Part(_) => matches!(likeness, Likeness::Part(_)),
        _ => likeness == best,
    };
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in found.into_iter().filter(|(likeness, _)| as_close(*likeness)) {
        if names.len() < MOST && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `a`, or `a`, `b` or `c`, each in backquotes.
pub(crate) fn either(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// How close they are, whatever stands before a slash; `None` where they are not.
fn likeness(word: &str, name: &str) -> Option<Likeness> {
    let [word, name] = [word, name].map(|text| text.rsplit('/').next().unwrap_or_default());
    let (a, b) = (squeezed(word), squeezed(name));
    let longest = a.chars().count().max(b.chars().count());
    if a == b {
        return (longest > 0).then_some(Likeness::Same);
    }
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    if longest >= 6 && sorted(&a) == sorted(&b) {
        return Some(Likeness::Reordered);
    }
    let edits = osa_distance(&a, &b);
    if longest >= 4 && edits <= (longest / 5).max(1) {
        return Some(Likeness::Misspelt(edits));
    }
    let (a, b) = (words(word), words(name));
    let within = |few: &[String], many: &[String]| many.windows(few.len().max(1)).any(|some| some == few);
    let letters = |words: &[String]| words.iter().map(String::len).sum::<usize>();
    if letters(&a) >= 2 && within(&a, &b) {
        return Some(Likeness::Part(letters(&b) - letters(&a)));
    }
    (letters(&b) >= 4 && within(&b, &a)).then(|| Likeness::Whole(Reverse(letters(&b))))
}

/// Its letters and digits, in lower case.
pub(crate) fn squeezed(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Its runs of letters and its runs of digits, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars() {
        let goes_on = before.is_alphanumeric() && before.is_ascii_digit() == c.is_ascii_digit();
        match words.last_mut() {
            Some(word) if goes_on && c.is_alphanumeric() => word.extend(c.to_lowercase()),
            _ if c.is_alphanumeric() => words.push(c.to_lowercase().collect()),
            _ => {}
        }
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_found_and_others_are_not_suggested() {
        let names =
            ["resnet18", "resnet50", "resnetv2_50", "resnet101", "vit_b_16", "efficientnet_b0", "vgg16"];
        for (word, expected) in [
            ("resnet-50", &["resnet50"][..]),
            ("ResNet 50", &["resnet50"]),
            ("resnet50_v2", &["resnetv2_50"]),
            ("resnet5O", &["resnet50"]),
            ("vit_b16", &["vit_b_16"]),
            ("efficientnetb0", &["efficientnet_b0"]),
            ("resnet", &["resnet18", "resnet50", "resnet101"]),
            ("resnet50-imagenet", &["resnet50"]),
            ("microsoft/resnet-50", &["resnet50"]),
            ("convnext", &[]),
            ("x", &[]),
            ("", &[]),
        ] {
            assert_eq!(close(word, names), expected, "{word}");
        }
        let keys = ["epochs", "batch_size", "eval_batch_size", "label_smoothing", "clip_grad_norm", "ema"];
        for (word, expected) in [
            ("epoch", &["epochs"][..]),
            ("batch", &["batch_size", "eval_batch_size"]),
            ("smoothing", &["label_smoothing"]),
            ("clip_grad", &["clip_grad_norm"]),
            ("lr", &[]),
            ("amp", &[]),
            ("pretrained", &[]),
        ] {
            assert_eq!(close(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn suggestions_read_as_a_sentence() {
        assert_eq!(did_you_mean("epoch", ["epochs"], "no"), "did you mean `epochs`?");
        assert_eq!(
            did_you_mean("resnet", ["resnet18", "resnet50"], "no"),
            "did you mean `resnet18` or `resnet50`?"
        );
        assert_eq!(did_you_mean("lr", ["epochs"], "write one"), "write one");
    }
}
