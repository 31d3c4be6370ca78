//! The tensors of a file, or of a model, as layers, and what their names say of two of them.

use crate::weights::load::is_computed;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What names of tensors end in, each with its other spellings.
pub(super) const ROLES: [(&str, &[&str]); 4] = [
    ("weight", &["weight", "gamma"]),
    ("bias", &["bias", "beta"]),
    ("running_mean", &["running_mean", "moving_mean"]),
    ("running_var", &["running_var", "moving_variance", "moving_var"]),
];

/// Words that mean one thing, wherever they stand in a name.
pub(super) const WORDS: [&[&str]; 4] = [
    &["downsample", "shortcut", "identity", "skip"],
    &["q", "query", "queries"],
    &["k", "key", "keys"],
    &["v", "value", "values"],
];

/// The name and shape of a tensor.
pub type Named = (String, Vec<i64>);

/// Tensors that belong together: those of one layer, or a single one whose role is unknown.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What their names have in common; the whole name of a single tensor.
    pub name: String,
    /// Role, whole name and shape of each, by role.
    pub tensors: Vec<(String, Named)>,
    pub(super) path: Vec<Part>,
    /// Whether its role is a word that the other side does not have.
    pub(super) blind: bool,
}

impl Unit {
    /// Roles and shapes.
    pub(super) fn signature(&self) -> Vec<(&str, Vec<i64>)> {
        let all = self.tensors.iter().map(|(word, (_, shape))| {
            let role = if self.blind { "" } else { word.as_str() };
            (role, plain(word, shape))
        });
        all.collect()
    }

    /// Whether they have the same roles and shapes.
    pub fn is_like(&self, other: &Self) -> bool {
        self.signature() == other.signature()
    }

    /// Whether they differ in the number of rows alone.
    pub(super) fn has_rows_of(&self, other: &Self) -> bool {
        let same = |((role, (_, a)), (other, (_, b))): (&(String, Named), &(String, Named))| {
            role == other && !a.is_empty() && a.get(1..) == b.get(1..)
        };
        self.tensors.len() == other.tensors.len() && self.tensors.iter().zip(&other.tensors).all(same)
    }
}

/// What the names say of two units: how many parts they begin with, and which comes first.
pub(super) type Relation = (u16, Option<Ordering>);

/// Parts of a name that are told apart; a hostile file could have any number.
const DEEPEST: usize = 64;

/// A part that is longer has no numbers.
const LONGEST: usize = 64;

/// One part of a name between dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Of the whole part.
    pub(super) id: usize,
    /// Of its letters.
    pub(super) letters: usize,
    numbers: Vec<u64>,
    /// Whether its numbers count its siblings.
    counts: bool,
    /// Which of [`WORDS`] it has.
    pub(super) words: u8,
}

/// Numbers for texts.
#[derive(Default)]
pub(super) struct Parts(HashMap<String, usize>);

impl Parts {
    fn id(&mut self, text: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(text.to_owned()).or_insert(next)
    }

    fn part(&mut self, text: &str) -> Part {
        let (mut letters, mut numbers) = (String::new(), Vec::new());
        let mut within = false;
        for c in text.chars() {
            match c.to_digit(10).filter(|_| text.len() <= LONGEST) {
                Some(digit) => {
                    if !within {
                        numbers.push(0);
                        letters.push('#');
                    }
                    let number: Option<&mut u64> = numbers.last_mut();
                    number.into_iter().for_each(|n| *n = n.saturating_mul(10).saturating_add(digit.into()));
                }
                None => letters.push(c),
            }
            within = c.is_ascii_digit();
        }
        let has = |word: &&str| letters.split(['_', '#']).any(|piece| piece.eq_ignore_ascii_case(word));
        let words = WORDS.iter().enumerate().filter(|(_, words)| words.iter().any(has));
        let words = words.fold(0, |all, (i, _)| all | (1 << i));
        Part { id: self.id(text), letters: self.id(&letters), numbers, counts: true, words }
    }
}

/// How many parts two names begin with, and which comes first where the names tell: by the one number in which siblings
/// differ.
pub(super) fn relation(a: &[Part], b: &[Part]) -> Relation {
    let shared = a.iter().zip(b).take_while(|(a, b)| a.id == b.id).count();
    let depth = shared.min(DEEPEST) as u16;
    let (Some(a), Some(b)) = (a.get(shared), b.get(shared)) else { return (depth, None) };
    let mut apart = a.numbers.iter().zip(&b.numbers).filter(|(a, b)| a != b);
    let first = match (apart.next(), apart.next()) {
        (Some((a, b)), None) => Some(a.cmp(b)),
        _ => None,
    };
    (depth, first.filter(|_| a.letters == b.letters && a.counts && b.counts))
}

/// The name of the layer and the role of a tensor; no role where its name does not end in one.
pub(in crate::weights) fn split(name: &str) -> (&str, Option<&'static str>) {
    let end = |spelling: &str| {
        let rest = name.strip_suffix(spelling)?;
        (rest.is_empty() || rest.ends_with(['.', '/', '_'])).then(|| rest.trim_end_matches(['.', '/', '_']))
    };
    let found =
        ROLES.iter().flat_map(|(role, spellings)| spellings.iter().map(|spelling| (*role, *spelling)));
    match found.filter_map(|(role, spelling)| Some((end(spelling)?, role))).next() {
        Some((layer, role)) => (layer, Some(role)),
        None => (name, None),
    }
}

/// The tensors as units, without buffers that a model computes itself.
pub(super) fn units(tensors: &[Named], parts: &mut Parts) -> Vec<Unit> {
    let dotted = tensors.iter().any(|(name, _)| name.contains(['.', '/']));
    let mut path = |name: &str| -> Vec<Part> {
        let pieces = name.splitn(DEEPEST, |c| matches!(c, '.' | '/') || (c == '_' && !dotted));
        pieces.map(|piece| parts.part(piece)).collect()
    };
    let mut units: Vec<Unit> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let beta = tensors.iter().filter(|(name, _)| name.ends_with("beta"));
    let norms: HashSet<&str> = beta.map(|(name, _)| split(name).0).collect();
    for tensor in tensors.iter().filter(|(name, _)| !is_computed(name)) {
        let (mut layer, mut role) = split(&tensor.0);
        // Without a beta it is no norm's.
        if tensor.0.ends_with("gamma") && !norms.contains(layer) {
            (layer, role) = (&tensor.0, None);
        }
        let Some(role) = role else {
            let word = layer.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
            let (name, path) = (layer.to_owned(), path(layer));
            units.push(Unit { name, tensors: vec![(word, tensor.clone())], path, blind: false });
            continue;
        };
        let place = *places.entry(layer).or_insert_with(|| {
            let (name, path) = (layer.to_owned(), path(layer));
            units.push(Unit { name, tensors: Vec::new(), path, blind: false });
            units.len() - 1
        });
        units[place].tensors.push((role.to_owned(), tensor.clone()));
    }
    units.iter_mut().for_each(|unit| unit.tensors.sort());
    find_counts(&mut units);
    units
}

/// Tells numbers that count siblings from those that are a part of a word, as in `x8131`.
fn find_counts(units: &mut [Unit]) {
    // The numbers at one place of parts that are else the same, below one parent.
    let key = |path: &[Part], depth: usize, place: usize| {
        let parents: Vec<usize> = path[..depth].iter().map(|part| part.id).collect();
        let mut others = path[depth].numbers.clone();
        others.remove(place);
        (parents, path[depth].letters, place, others)
    };
    let mut series: HashMap<_, BTreeSet<u64>> = HashMap::new();
    for Unit { path, .. } in &*units {
        for (depth, part) in path.iter().enumerate() {
            for (place, number) in part.numbers.iter().enumerate() {
                series.entry(key(path, depth, place)).or_default().insert(*number);
            }
        }
    }
    let counts = |numbers: &BTreeSet<u64>| {
        // Layers without tensors leave gaps.
        let (first, gap) = if numbers.len() < 4 { (3, 4) } else { (9, 8) };
        let near = numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| b - a <= gap);
        numbers.len() < 2 || near && numbers.first().is_some_and(|&n| n <= first)
    };
    let series: HashMap<_, bool> = series.into_iter().map(|(key, numbers)| (key, counts(&numbers))).collect();
    for Unit { path, .. } in units {
        for depth in 0..path.len() {
            let mut places = 0..path[depth].numbers.len();
            path[depth].counts = places.all(|place| series[&key(path, depth, place)]);
        }
    }
}

/// Marks the units whose role is a word that only one side has.
pub(super) fn find_blind(model: &mut [Unit], file: &mut [Unit]) {
    let known = |role: &str| ROLES.iter().any(|(known, _)| *known == role);
    let words = |units: &[Unit]| -> HashSet<String> {
        units.iter().flat_map(|unit| unit.tensors.iter().map(|(role, _)| role.clone())).collect()
    };
    let (ours, theirs) = (words(model), words(file));
    for unit in model.iter_mut().chain(file) {
        let (role, _) = &unit.tensors[0];
        unit.blind = !(known(role) || ours.contains(role) && theirs.contains(role));
    }
}

/// A shape without the sizes of 1 that change nothing: a linear layer is a convolution of 1×1.
pub(in crate::weights) fn plain(role: &str, shape: &[i64]) -> Vec<i64> {
    if role != "weight" {
        return shape.iter().copied().filter(|&n| n != 1).collect();
    }
    let ones = shape.iter().rev().take_while(|&&n| n == 1).count();
    shape[..shape.len() - ones].to_vec()
}
