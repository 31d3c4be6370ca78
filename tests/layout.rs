//! The layout of `src/`: a folder uses only those above it in `lib.rs`, and no files use each other in a circle.
//!
//! Arrows are read from the text: the paths in `use` lines and in code, followed through re-exports to the file that
//! defines the name. Method calls are not seen, nor what stands under `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// Arrows from a file to those it uses, each with the names that it takes.
type Arrows = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn folders_use_only_those_above_them() {
    let house = House::read();
    let order = house.order();
    let place = |file: &str| {
        let top = file.split(['/', '.']).next().unwrap_or_default();
        order.iter().position(|module| module == top)
    };
    let mut back = Vec::new();
    for (from, uses) in house.arrows() {
        for (to, names) in uses {
            if place(&from).zip(place(&to)).is_some_and(|(user, used)| user < used) {
                back.push(format!("src/{from} uses src/{to}: {}", joined(&names)));
            }
        }
    }
    assert!(back.is_empty(), "the order in lib.rs is {}; against it:\n{}", order.join(", "), back.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let arrows = House::read().arrows();
    let circles: Vec<String> = circles(&arrows).iter().map(|circle| shown(circle, &arrows)).collect();
    assert!(circles.is_empty(), "{} circle(s):\n{}", circles.len(), circles.join("\n"));
}

/// `src/a.rs -> src/b.rs: Name` a line.
fn shown(circle: &[String], arrows: &Arrows) -> String {
    let next = circle.iter().cycle().skip(1);
    let lines = circle.iter().zip(next).map(|(from, to)| {
        let names = joined(&arrows[from][to]);
        format!("  src/{from} -> src/{to}: {names}\n")
    });
    lines.collect()
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The shortest circles, no two of which share an arrow.
fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<&str>> = arrows.keys().filter_map(|start| circle(start, arrows)).collect();
    all.sort_by_key(Vec::len);
    let (mut told, mut circles) = (BTreeSet::new(), Vec::new());
    for circle in all {
        let next = circle.iter().cycle().skip(1);
        let own: Vec<_> = circle.iter().copied().zip(next.copied()).collect();
        if own.iter().all(|arrow| !told.contains(arrow)) {
            told.extend(own);
            circles.push(circle.into_iter().map(str::to_owned).collect());
        }
    }
    circles
}

/// The shortest circle through a file, if it is on one.
fn circle<'a>(start: &'a str, arrows: &'a Arrows) -> Option<Vec<&'a str>> {
    // Breadth first from `start` until an arrow leads back to it.
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let back = std::iter::successors(Some(file), |file| came_from.get(file).copied());
                let mut circle: Vec<&str> = back.collect();
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

/// A module by its path from `lib.rs` or `main.rs`, which are the first segment `crate` and `main`.
type Module = Vec<String>;

/// A name that a file brings in.
struct Use {
    path: Vec<String>,
    /// `*` for all names of a module.
    name: String,
    public: bool,
}

/// What stands in one file.
#[derive(Default)]
struct Source {
    file: String,
    /// Modules that it declares, in order.
    modules: Vec<String>,
    /// Items that it defines.
    items: BTreeSet<String>,
    uses: Vec<Use>,
    /// Paths of two segments or more in code.
    paths: Vec<Vec<String>>,
    /// Every word in code.
    words: BTreeSet<String>,
}

struct House(BTreeMap<Module, Source>);

impl House {
    fn read() -> Self {
        let mut house = Self(BTreeMap::new());
        house.add(vec!["crate".to_owned()], "lib.rs");
        house.add(vec!["main".to_owned()], "main.rs");
        house
    }

    /// Reads a module and those that it declares.
    fn add(&mut self, module: Module, file: &str) {
        let source = Source::parse(file, &fs::read_to_string(src().join(file)).unwrap());
        let folder = match file {
            "lib.rs" | "main.rs" => String::new(),
            _ => file.strip_suffix("mod.rs").map_or(file.replace(".rs", "/"), str::to_owned),
        };
        for name in &source.modules {
            let files = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            let file = files.iter().find(|file| src().join(file).exists());
            self.add([&module[..], std::slice::from_ref(name)].concat(), file.unwrap());
        }
        self.0.insert(module, source);
    }

    /// The modules of the library in the order in which they may use each other.
    fn order(&self) -> &[String] {
        &self.0[&vec!["crate".to_owned()]].modules
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, source) in &self.0 {
            let mut add = |path: &[String]| {
                if let Some((file, item)) = self.home(module, path).filter(|(file, _)| *file != source.file) {
                    arrows.entry(source.file.clone()).or_default().entry(file).or_default().insert(item);
                }
            };
            // What is only handed on makes no arrow.
            let taken = |one: &&Use| !one.public || source.words.contains(&one.name);
            source.uses.iter().filter(taken).for_each(|one| add(&one.path));
            source.paths.iter().for_each(|path| add(path));
        }
        arrows
    }

    /// The file and the item that `path` means in `module`; `None` for a module itself, and for what is not ours.
    fn home(&self, module: &[String], path: &[String]) -> Option<(String, String)> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.item(&module[..1], rest),
            "tchvision" if module[0] == "main" => self.item(&["crate".to_owned()], rest),
            "self" => self.item(module, rest),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                self.item(&module[..module.len() - ups], &path[ups..])
            }
            _ => self.item(module, path),
        }
    }

    /// As [`Self::home`], of a path that begins in `module`.
    fn item(&self, module: &[String], path: &[String]) -> Option<(String, String)> {
        let (first, rest) = path.split_first()?;
        let source = self.0.get(module)?;
        let child = [module, &path[..1]].concat();
        if self.0.contains_key(&child) {
            return self.item(&child, rest);
        }
        if source.items.contains(first) {
            return Some((source.file.clone(), first.clone()));
        }
        // Through an import; one of another crate that has its own name leads nowhere.
        let through = |one: &Use, rest: &[String]| {
            let path = [&one.path[..], rest].concat();
            if path[0] == *first { None } else { self.home(module, &path) }
        };
        match source.uses.iter().find(|one| one.name == *first) {
            Some(one) => through(one, rest),
            None => source.uses.iter().filter(|one| one.name == "*").find_map(|one| through(one, path)),
        }
    }
}

impl Source {
    fn parse(file: &str, text: &str) -> Self {
        let words = words(text);
        let mut source = Self { file: file.to_owned(), ..Self::default() };
        let mut depth = 0;
        let mut i = 0;
        while i < words.len() {
            let word = words[i].as_str();
            let next = words.get(i + 1).map_or("", String::as_str);
            match word {
                "#" if words[i..]
                    .starts_with(&["#", "[", "cfg", "(", "test", ")", "]"].map(str::to_owned)) =>
                {
                    i = end_of_item(&words, i + 7);
                    continue;
                }
                "{" => depth += 1,
                "}" => depth -= 1,
                "use" => {
                    let end = i + words[i..].iter().position(|word| word == ";").unwrap();
                    let public = i > 0 && (words[i - 1] == "pub" || words[i - 1] == ")");
                    source.add_uses(&[], &words[i + 1..end], public);
                    i = end;
                }
                "mod" if words.get(i + 2).is_some_and(|word| word == ";") => {
                    source.modules.push(next.to_owned())
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "macro_rules" | "mod"
                    if depth == 0 =>
                {
                    let name = if next == "!" || next == "mut" { &words[i + 2] } else { next };
                    source.items.insert(name.to_owned());
                }
                _ if is_name(word) && next == "::" && (i == 0 || words[i - 1] != "::") => {
                    let mut path = vec![word.to_owned()];
                    while words.get(i + 1).is_some_and(|word| word == "::") && is_name(&words[i + 2]) {
                        path.push(words[i + 2].clone());
                        i += 2;
                    }
                    source.words.insert(path[0].clone());
                    source.paths.push(path);
                }
                _ => _ = source.words.insert(word.to_owned()),
            }
            i += 1;
        }
        source
    }

    /// Takes apart `a::{b, c as d, e::*}`.
    fn add_uses(&mut self, prefix: &[String], tree: &[String], public: bool) {
        if let Some(open) = tree.iter().position(|word| word == "{") {
            let path: Vec<String> = tree[..open].iter().filter(|word| *word != "::").cloned().collect();
            let prefix = [prefix, &path[..]].concat();
            let mut depth = 0;
            let inner = &tree[open + 1..tree.len() - 1];
            let branches = inner.split(|word| {
                depth += i32::from(word == "{") - i32::from(word == "}");
                depth == 0 && word == ","
            });
            branches
                .filter(|branch| !branch.is_empty())
                .for_each(|branch| self.add_uses(&prefix, branch, public));
            return;
        }
        let (tree, alias) = match tree.iter().position(|word| word == "as") {
            Some(at) => (&tree[..at], tree.last()),
            None => (tree, None),
        };
        let mut path = prefix.to_vec();
        path.extend(tree.iter().filter(|word| *word != "::").cloned());
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.or(path.last()).cloned().unwrap();
        if name == "*" {
            path.pop();
        }
        self.uses.push(Use { path, name, public });
    }
}

/// Behind the item that begins at `start`: its `;` or its closing brace.
fn end_of_item(words: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (i, word) in words.iter().enumerate().skip(start) {
        match word.as_str() {
            ";" if depth == 0 => return i + 1,
            "{" => depth += 1,
            "}" if depth == 1 => return i + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    words.len()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs of a text of Rust, without comments, literals and lifetimes.
fn words(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let find = |from: usize, wanted: &[char]| {
        let found = text[from..].windows(wanted.len()).position(|window| window == wanted);
        found.map_or(text.len(), |at| from + at + wanted.len())
    };
    let mut words = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let rest = &text[i..];
        match rest {
            ['/', '/', ..] => i = find(i, &['\n']),
            ['/', '*', ..] => i = find(i, &['*', '/']),
            ['r', '"', ..] => i = find(i + 2, &['"']),
            ['r', '#', '"', ..] => i = find(i + 3, &['"', '#']),
            ['"', ..] => {
                i += 1;
                while i < text.len() && text[i] != '"' {
                    i += if text[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            ['\'', '\\', ..] => i = find(i + 3, &['\'']),
            ['\'', _, '\'', ..] => i += 3,
            ['\'', ..] => i += 1 + rest[1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count(),
            [':', ':', ..] => {
                words.push("::".to_owned());
                i += 2;
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                i += word.chars().count();
                words.push(word);
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    words.push(c.to_string());
                }
                i += 1;
            }
            [] => {}
        }
    }
    words
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
