//! Which layers of the model each layer of a file may be.

use super::unit::{Relation, Unit, WORDS, relation};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Units that may be each other's.
#[derive(Default)]
pub(super) struct Class {
    pub(super) model: Vec<usize>,
    pub(super) file: Vec<usize>,
}

impl Class {
    pub(super) fn fits(&self) -> bool {
        self.model.len() == self.file.len()
    }
}

/// Units of the same roles and shapes. What is left over goes by its shape where it is alone with it, or is a classifier
/// of other classes.
pub(super) fn classes(model: &[Unit], file: &[Unit]) -> Vec<Class> {
    let mut found: BTreeMap<Vec<(&str, Vec<i64>)>, Class> = BTreeMap::new();
    for (i, unit) in model.iter().enumerate() {
        found.entry(unit.signature()).or_default().model.push(i);
    }
    for (i, unit) in file.iter().enumerate() {
        found.entry(unit.signature()).or_default().file.push(i);
    }
    let (mut classes, rest): (Vec<Class>, Vec<Class>) =
        found.into_values().partition(|class| !class.model.is_empty() && !class.file.is_empty());
    let rest = rest.into_iter().fold(Class::default(), |mut all, class| {
        all.model.extend(class.model);
        all.file.extend(class.file);
        all
    });
    let mut alone: BTreeMap<Vec<i64>, Class> = BTreeMap::new();
    let by_shape = |unit: &Unit| match unit.tensors.as_slice() {
        [(_, (_, shape))] => shape.iter().copied().filter(|&n| n != 1).collect(),
        // Told apart by what no shape has.
        _ => vec![-1],
    };
    for &i in &rest.model {
        alone.entry(by_shape(&model[i])).or_default().model.push(i);
    }
    for &i in &rest.file {
        alone.entry(by_shape(&file[i])).or_default().file.push(i);
    }
    let mut over = Class::default();
    for (shape, class) in alone {
        match (class.model.as_slice(), class.file.as_slice()) {
            ([_], [_]) if shape != [-1] => classes.push(class),
            _ => {
                over.model.extend(class.model);
                over.file.extend(class.file);
            }
        }
    }
    match (over.model.as_slice(), over.file.as_slice()) {
        (&[m], &[f]) if model[m].has_rows_of(&file[f]) => classes.push(over),
        _ => {
            classes.extend(over.model.into_iter().map(|i| Class { model: vec![i], file: Vec::new() }));
            classes.extend(over.file.into_iter().map(|i| Class { model: Vec::new(), file: vec![i] }));
        }
    }
    classes
}

/// A file of so many times the model's units is not compared unit by unit: it does not fit, and may be large to do harm.
const MOST: usize = 2;

fn relations(units: &[Unit]) -> Vec<Vec<Relation>> {
    let mut all = vec![vec![(0, None); units.len()]; units.len()];
    for (i, a) in units.iter().enumerate() {
        for (j, b) in units.iter().enumerate().skip(i + 1) {
            let (shared, order) = relation(&a.path, &b.path);
            (all[i][j], all[j][i]) = ((shared, order), (shared, order.map(Ordering::reverse)));
        }
        all[i][i] = relation(&a.path, &a.path);
    }
    all
}

/// Takes places away that units of the file cannot have.
pub(super) struct Solver<'a> {
    model: Vec<Vec<Relation>>,
    file: Vec<Vec<Relation>>,
    classes: &'a [Class],
    /// Of each unit of the file the units of the model that it may be.
    pub(super) domains: Vec<Vec<usize>>,
    /// Units of the file whose places may be told by more than their shape, in order.
    told: Vec<usize>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(model: &[Unit], file: &[Unit], classes: &'a [Class]) -> Self {
        let mut domains = vec![Vec::new(); file.len()];
        for class in classes {
            class.file.iter().for_each(|&f| domains[f] = class.model.clone());
        }
        for word in 0..WORDS.len() {
            let has = |unit: &Unit| unit.path.iter().any(|part| part.words & (1 << word) != 0);
            let count = |units: &[Unit], some: &[usize]| some.iter().filter(|&&i| has(&units[i])).count();
            if classes.iter().all(|class| count(model, &class.model) == count(file, &class.file)) {
                for (f, domain) in domains.iter_mut().enumerate() {
                    domain.retain(|&m| has(&model[m]) == has(&file[f]));
                }
            }
        }
        // Of tensors of one shape that all have one unknown word, that word is one role.
        let words = |units: &[Unit], some: &[usize]| {
            some.iter().map(|&i| units[i].tensors[0].0.clone()).collect::<HashSet<_>>().len()
        };
        let told = |class: &&Class| {
            let blind = class.file.iter().any(|&f| file[f].blind);
            class.fits() && (!blind || words(model, &class.model) == 1 && words(file, &class.file) == 1)
        };
        let mut told: Vec<usize> =
            classes.iter().filter(told).flat_map(|class| class.file.iter().copied()).collect();
        told.sort_unstable();
        let bounded = if file.len() > MOST * model.len() { &[] } else { file };
        Self { model: relations(model), file: relations(bounded), classes, domains, told }
    }

    /// Whether it ended without a unit that has no place.
    pub(super) fn solve(&mut self) -> bool {
        if self.file.len() < self.domains.len() {
            return true;
        }
        self.rank();
        let mut seen = HashSet::new();
        let bijective = self.classes.iter().all(Class::fits);
        loop {
            let before: usize = self.places();
            self.keep_order();
            self.take_turns();
            if self.told.iter().any(|&f| self.domains[f].is_empty()) {
                return false;
            }
            if bijective {
                let anchors: Vec<usize> = self
                    .told
                    .iter()
                    .copied()
                    .filter(|&f| self.domains[f].len() == 1 && seen.insert(f))
                    .collect();
                anchors.into_iter().for_each(|f| self.keep_near(f));
            }
            if self.places() == before {
                return true;
            }
        }
    }

    fn places(&self) -> usize {
        self.domains.iter().map(Vec::len).sum()
    }

    /// As many of a class must find room before and after a unit as the numbers put there.
    fn rank(&mut self) {
        // How many certainly stand after a unit, then before it, and how many may, itself among these.
        let room = |relations: &[Relation], among: &[usize]| {
            [Ordering::Less, Ordering::Greater].map(|side| {
                let certain = among.iter().filter(|&&i| relations[i].1 == Some(side)).count();
                let against = among.iter().filter(|&&i| relations[i].1 == Some(side.reverse())).count();
                (certain, among.len() - against)
            })
        };
        for Class { model, file } in self.classes.iter().filter(|class| class.fits()) {
            let rooms: HashMap<usize, _> = model.iter().map(|&m| (m, room(&self.model[m], model))).collect();
            for &f in file.iter().filter(|f| self.told.binary_search(f).is_ok()) {
                let own = room(&self.file[f], file);
                let suits = |m: &usize| {
                    own.iter().zip(&rooms[m]).all(|(own, theirs)| own.0 < theirs.1 && theirs.0 < own.1)
                };
                self.domains[f].retain(suits);
            }
        }
    }

    /// Two units whose numbers tell their order stand so in the model, where its numbers tell it.
    fn keep_order(&mut self) {
        for (i, &f) in self.told.iter().enumerate() {
            for &g in &self.told[i + 1..] {
                let Some(order) = self.file[f][g].1 else { continue };
                let agree =
                    |m: usize, n: usize| m != n && self.model[m][n].1.is_none_or(|other| other == order);
                if let ([m], [n]) = (self.domains[f].as_slice(), self.domains[g].as_slice())
                    && agree(*m, *n)
                {
                    continue;
                }
                let keep = |own: &[usize], other: &[usize], agree: &dyn Fn(usize, usize) -> bool| {
                    let has = |&m: &usize| other.iter().any(|&n| agree(m, n));
                    own.iter().copied().filter(has).collect::<Vec<_>>()
                };
                let firsts = keep(&self.domains[f], &self.domains[g], &agree);
                let seconds = keep(&self.domains[g], &firsts, &|n, m| agree(m, n));
                (self.domains[f], self.domains[g]) = (firsts, seconds);
            }
        }
    }

    /// A place that one unit must have is no other's, and a place that only one can have is its.
    fn take_turns(&mut self) {
        for Class { model, file } in self.classes.iter().filter(|class| class.fits()) {
            for &f in file {
                if let [m] = *self.domains[f].as_slice() {
                    file.iter().filter(|&&g| g != f).for_each(|&g| self.domains[g].retain(|&n| n != m));
                }
            }
            for &m in model {
                let mut takers = file.iter().filter(|&&f| self.domains[f].contains(&m));
                if let (Some(&f), None) = (takers.next(), takers.next()) {
                    self.domains[f] = vec![m];
                }
            }
        }
    }

    /// What is near a unit whose place is known in one tree is not far from it in the other: of the units that begin as it
    /// does for so many parts in the file, and those in the model, the fewer are among the more.
    fn keep_near(&mut self, f: usize) {
        let [place] = *self.domains[f].as_slice() else { return };
        let (own, theirs) = (&self.file[f], &self.model[place]);
        let count = |relations: &[Relation], depth: u16| relations.iter().filter(|r| r.0 >= depth).count();
        let deepest = |relations: &[Relation]| relations.iter().map(|r| r.0).max().unwrap_or(0);
        let near: Vec<usize> = (0..=deepest(own) + 1).map(|depth| count(own, depth)).collect();
        let wanted: Vec<usize> = (0..=deepest(theirs) + 1).map(|depth| count(theirs, depth)).collect();
        let bounds: Vec<(usize, usize)> = (0..near.len() - 1)
            .map(|depth| {
                let least = wanted.iter().rposition(|&n| n >= near[depth]).unwrap_or(0);
                let most = wanted.iter().position(|&n| n <= near[depth + 1]).unwrap_or(wanted.len());
                (least, most)
            })
            .collect();
        for &g in self.told.iter().filter(|&&g| g != f) {
            let (least, most) = bounds[usize::from(own[g].0)];
            self.domains[g].retain(|&n| (least..most).contains(&usize::from(theirs[n].0)));
        }
    }
}
