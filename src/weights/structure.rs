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

use super::load::is_computed;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What names of tensors end in, each with its other spellings.
const ROLES: [(&str, &[&str]); 4] = [
    ("weight", &["weight", "gamma"]),
    ("bias", &["bias", "beta"]),
    ("running_mean", &["running_mean", "moving_mean"]),
    ("running_var", &["running_var", "moving_variance", "moving_var"]),
];

/// Words that mean one thing, wherever they stand in a name.
const WORDS: [&[&str]; 4] = [
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
    path: Vec<Part>,
    /// Whether its role is a word that the other side does not have.
    blind: bool,
}

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
    let solved = solver.solve();
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

/// One part of a name between dots.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// Of the whole part.
    id: usize,
    /// Of its letters.
    letters: usize,
    numbers: Vec<u64>,
    /// Whether its numbers count its siblings.
    counts: bool,
    /// Which of [`WORDS`] it has.
    words: u8,
}

/// Numbers for texts.
#[derive(Default)]
struct Parts(HashMap<String, usize>);

impl Parts {
    fn id(&mut self, text: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(text.to_owned()).or_insert(next)
    }

    fn part(&mut self, text: &str) -> Part {
        let (mut letters, mut numbers) = (String::new(), Vec::new());
        let mut within = false;
        for c in text.chars() {
            match c.to_digit(10) {
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
        let words = WORDS.iter().enumerate().filter(|(_, words)| words.iter().any(|word| has(&word)));
        let words = words.fold(0, |all, (i, _)| all | (1 << i));
        Part { id: self.id(text), letters: self.id(&letters), numbers, counts: true, words }
    }
}

/// How many parts two names begin with, and which comes first where the names tell: by the one number in which siblings
/// differ.
fn relation(a: &[Part], b: &[Part]) -> (usize, Option<Ordering>) {
    let shared = a.iter().zip(b).take_while(|(a, b)| a.id == b.id).count();
    let (Some(a), Some(b)) = (a.get(shared), b.get(shared)) else { return (shared, None) };
    let mut apart = a.numbers.iter().zip(&b.numbers).filter(|(a, b)| a != b);
    let first = match (apart.next(), apart.next()) {
        (Some((a, b)), None) => Some(a.cmp(b)),
        _ => None,
    };
    (shared, first.filter(|_| a.letters == b.letters && a.counts && b.counts))
}

/// The name of the layer and the role of a tensor; no role where its name does not end in one.
pub(super) fn split(name: &str) -> (&str, Option<&'static str>) {
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
fn units(tensors: &[Named], parts: &mut Parts) -> Vec<Unit> {
    let dotted = tensors.iter().any(|(name, _)| name.contains(['.', '/']));
    let mut path = |name: &str| -> Vec<Part> {
        let pieces = name.split(|c| matches!(c, '.' | '/') || (c == '_' && !dotted));
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
    for Unit { path, .. } in units {
        for depth in 0..path.len() {
            let mut places = 0..path[depth].numbers.len();
            path[depth].counts = places.all(|place| counts(&series[&key(path, depth, place)]));
        }
    }
}

/// Marks the units whose role is a word that only one side has.
fn find_blind(model: &mut [Unit], file: &mut [Unit]) {
    let known = |role: &str| ROLES.iter().any(|(known, _)| *known == role);
    let words = |units: &[Unit]| -> HashSet<String> {
        units.iter().flat_map(|unit| unit.tensors.iter().map(|(role, _)| role.clone())).collect()
    };
    let (ours, theirs) = (words(model), words(file));
    for unit in model.iter_mut().chain(file) {
        let (role, _) = &unit.tensors[0];
        unit.blind = !known(role) && !(ours.contains(role) && theirs.contains(role));
    }
}

/// A shape without the sizes of 1 that change nothing: a linear layer is a convolution of 1×1.
pub(super) fn plain(role: &str, shape: &[i64]) -> Vec<i64> {
    if role != "weight" {
        return shape.iter().copied().filter(|&n| n != 1).collect();
    }
    let ones = shape.iter().rev().take_while(|&&n| n == 1).count();
    shape[..shape.len() - ones].to_vec()
}

/// Units that may be each other's.
#[derive(Default)]
struct Class {
    model: Vec<usize>,
    file: Vec<usize>,
}

impl Class {
    fn fits(&self) -> bool {
        self.model.len() == self.file.len()
    }
}

/// Units of the same roles and shapes. What is left over goes by its shape where it is alone with it, or is a classifier
/// of other classes.
fn classes(model: &[Unit], file: &[Unit]) -> Vec<Class> {
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

impl Unit {
    /// Roles and shapes.
    fn signature(&self) -> Vec<(&str, Vec<i64>)> {
        let all = self.tensors.iter().map(|(word, (_, shape))| {
            let role = if self.blind { "" } else { word.as_str() };
            (role, plain(word, shape))
        });
        all.collect()
    }

    /// Whether they differ in the number of rows alone.
    fn has_rows_of(&self, other: &Self) -> bool {
        let same = |((role, (_, a)), (other, (_, b))): (&(String, Named), &(String, Named))| {
            role == other && !a.is_empty() && a.get(1..) == b.get(1..)
        };
        self.tensors.len() == other.tensors.len() && self.tensors.iter().zip(&other.tensors).all(same)
    }
}

/// What the names say of two units: how many parts they begin with, and which comes first.
type Relation = (usize, Option<Ordering>);

fn relations(units: &[Unit]) -> Vec<Vec<Relation>> {
    let mut all = vec![vec![(usize::MAX, None); units.len()]; units.len()];
    for (i, a) in units.iter().enumerate() {
        for (j, b) in units.iter().enumerate().skip(i + 1) {
            let (shared, order) = relation(&a.path, &b.path);
            (all[i][j], all[j][i]) = ((shared, order), (shared, order.map(Ordering::reverse)));
        }
        all[i][i].0 = a.path.len();
    }
    all
}

/// Takes places away that units of the file cannot have.
struct Solver<'a> {
    model: Vec<Vec<Relation>>,
    file: Vec<Vec<Relation>>,
    classes: &'a [Class],
    /// Of each unit of the file the units of the model that it may be.
    domains: Vec<Vec<usize>>,
    /// Units of the file whose places may be told by more than their shape, in order.
    told: Vec<usize>,
}

impl<'a> Solver<'a> {
    fn new(model: &[Unit], file: &[Unit], classes: &'a [Class]) -> Self {
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
        Self { model: relations(model), file: relations(file), classes, domains, told }
    }

    /// Whether it ended without a unit that has no place.
    fn solve(&mut self) -> bool {
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
        let count = |relations: &[Relation], depth: usize| relations.iter().filter(|r| r.0 >= depth).count();
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
            let (least, most) = bounds[own[g].0];
            self.domains[g].retain(|&n| (least..most).contains(&theirs[n].0));
        }
    }
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
                && relation(&last.path, &unit.path) == (depth, Some(Ordering::Greater))
            {
                return Some(format!("`{}` stands after `{}`", unit.name, last.name));
            }
        }
    }
    None
}
