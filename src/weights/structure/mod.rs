//! Pairs tensors of unknown names with a model's by role, shape and place in the tree of names.
//!
//! Tensors whose names end in a role (`weight`, `running_mean`) and begin alike are a unit; units that hold the same roles
//! in the same shapes may be each other's. Three things narrow that down, and only what holds whatever the author's words
//! mean:
//! - numbers: of siblings counted by one number the smaller comes first, in the file as in the model; siblings that
//!   differ in words have no order, not even that of the file: a projection may stand before its branch, `k` before `q`;
//! - the tree: what is nearer to a pair in one tree is not farther from it in the other;
//! - a few words for shortcuts and for queries, keys and values, where both sides use them.
//!
//! A pairing is certain when every unit is left with one place. The order of a pickle, which its author chose, never
//! decides; where it contradicts the names, nothing is certain. See [`pair`].

mod solver;
mod unit;

pub use unit::{Named, Unit};
pub(super) use unit::{plain, split};

use solver::{Class, Solver, classes};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use unit::{Parts, ROLES, find_blind, relation, units};

/// Units of the model that may be any of as many of the file.
#[derive(Debug)]
pub struct Open {
    pub model: Vec<String>,
    pub file: Vec<String>,
}

/// Which unit of the file each of the model's is.
pub struct Pairing {
    /// Those that can be no other: of the model, of the file.
    pub pairs: Vec<(Unit, Unit)>,
    pub open: Vec<Open>,
    /// Units of the model, and of the file, that nothing on the other side is like.
    pub missing: Vec<String>,
    pub left: Vec<String>,
    /// Whether each side has as many units of each kind as the other.
    pub fits: bool,
    /// Where the file contradicts itself.
    pub contradiction: Option<String>,
}

impl Pairing {
    pub fn is_certain(&self) -> bool {
        self.fits && self.open.is_empty() && self.contradiction.is_none()
    }

    /// Units of the model.
    pub fn layers(&self) -> usize {
        self.pairs.len() + self.missing.len() + self.open.iter().map(|open| open.model.len()).sum::<usize>()
    }
}

/// Pairs the tensors of a file with those of a model. `authors_order` says whether the file's tensors stand as the author's
/// modules have them, as in pickles.
pub fn pair(file: &[Named], authors_order: bool, model: &[Named]) -> Pairing {
    let mut parts = Parts::default();
    let (mut model, named, mut file) = (units(model, &mut parts), file, units(file, &mut parts));
    let contradiction = if authors_order { misplaced(named, &file) } else { None };
    find_blind(&mut model, &mut file);
    let classes = classes(&model, &file);
    let mut solver = Solver::new(&model, &file, &classes);
    let solved = contradiction.is_some() || solver.solve();
    let unsolved = || "no pairing agrees with their numbers and their tree".to_owned();
    let mut pairing = Pairing {
        pairs: Vec::new(),
        open: Vec::new(),
        missing: Vec::new(),
        left: Vec::new(),
        fits: classes.iter().all(Class::fits),
        contradiction: contradiction.or_else(|| (!solved).then(unsolved)),
    };
    let names = |units: &[Unit], which: &[usize]| -> Vec<String> {
        which.iter().map(|&i| units[i].name.clone()).collect()
    };
    for class in &classes {
        let Class { model: ours, file: theirs } = class;
        let mut open: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
        for &i in theirs {
            match solver.domains[i].as_slice() {
                &[only] if solved && class.fits() => {
                    pairing.pairs.push((model[only].clone(), file[i].clone()))
                }
                domain if solved && class.fits() => open.entry(domain).or_default().push(i),
                _ => open.entry(ours).or_default().push(i),
            }
        }
        if ours.is_empty() || theirs.is_empty() {
            pairing.missing.extend(names(&model, ours));
            pairing.left.extend(names(&file, theirs));
            continue;
        }
        for (domain, members) in merged(open) {
            pairing.open.push(Open { model: names(&model, &domain), file: names(&file, &members) });
        }
    }
    let place: HashMap<&str, usize> =
        model.iter().enumerate().map(|(i, unit)| (unit.name.as_str(), i)).collect();
    pairing.pairs.sort_by_key(|(unit, _)| place[unit.name.as_str()]);
    pairing.open.sort_by_key(|open| place[open.model[0].as_str()]);
    pairing
}

/// Domains that overlap are one question.
fn merged(open: BTreeMap<&[usize], Vec<usize>>) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for (domain, members) in open {
        let (mut domain, mut members) = (domain.to_vec(), members);
        let (touching, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(other, _)| other.iter().any(|i| domain.contains(i)));
        groups = apart;
        for (other, some) in touching {
            domain.extend(other);
            members.extend(some);
        }
        domain.sort_unstable();
        domain.dedup();
        members.sort_unstable();
        groups.push((domain, members));
    }
    groups
}

/// What in a pickle stands where its author's modules cannot have put it: each writes its own tensors, then those of its
/// children one after the other. Sorted names have no order of an author.
fn misplaced(file: &[Named], units: &[Unit]) -> Option<String> {
    if file.is_sorted_by(|(a, _), (b, _)| a <= b) {
        return None;
    }
    let mut left: HashSet<&str> = HashSet::new();
    for ((last, _), (name, _)) in file.iter().zip(&file[1..]) {
        let begins = |name: &str| -> Vec<usize> { name.match_indices(['.', '/']).map(|(i, _)| i).collect() };
        let goes_on = |i: &usize| name.starts_with(&last[..*i]) && name[*i..].starts_with(['.', '/']);
        left.extend(begins(last).into_iter().filter(|i| !goes_on(i)).map(|i| &last[..i]));
        if let Some(i) = begins(name).into_iter().find(|&i| left.contains(&name[..i])) {
            return Some(format!("`{name}` stands apart from the rest of `{}`", &name[..i]));
        }
        let ((layer, role), (other, other_role)) = (split(last), split(name));
        let place = |role: Option<&str>| ROLES.iter().position(|(known, _)| Some(*known) == role);
        if layer == other && place(other_role) < place(role) {
            return Some(format!("`{name}` stands after `{last}`"));
        }
    }
    let mut before: HashMap<(Vec<usize>, usize), &Unit> = HashMap::new();
    for unit in units {
        for (depth, part) in unit.path.iter().enumerate() {
            let parents = unit.path[..depth].iter().map(|part| part.id).collect();
            if let Some(last) = before.insert((parents, part.letters), unit)
                && relation(&last.path, &unit.path) == (depth as u16, Some(Ordering::Greater))
            {
                return Some(format!("`{}` stands after `{}`", unit.name, last.name));
            }
        }
    }
    None
}
