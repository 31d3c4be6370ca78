//! What to write in place of a key that there is not.

use super::keys::{Node, nodes};
use super::spelling::Spelling;
use super::synonyms::{KEYS, Meaning};
use crate::error::path;
use crate::names::{did_you_mean, squeezed};
use serde::de::DeserializeOwned;
use serde_yaml::Value;

/// The end of a sentence about a key that `T` does not have: what is meant by its synonyms, by its place elsewhere in `T`,
/// or by its likeness to the keys that may stand `beside` it.
pub(super) fn unknown_key<T: DeserializeOwned>(
    keys: &[String],
    beside: &[&str],
    value: &Value,
    spelling: Spelling,
) -> String {
    let Some((word, parents)) = keys.split_last() else { return String::new() };
    if let Some((key, rest)) = word.split_once(':') {
        return format!("write a space after the colon: `{key}: {rest}`");
    }
    if word == "<<" {
        return "merge keys are not read; write the keys out".to_owned();
    }
    let tree = Tree { nodes: nodes::<T>(), value };
    if let Some(sentence) = synonym(word, parents, &tree, spelling) {
        return sentence;
    }
    if let Some(path) = tree.elsewhere(word) {
        return did_you_mean_path(&path, parents);
    }
    let of = if parents.is_empty() { "here".to_owned() } else { format!("of `{}`", path(parents)) };
    did_you_mean(word, beside.iter().copied(), &format!("the keys {of} are {}", beside.join(", ")))
}

/// What a field of the model that there is not may mean in a run.
pub(crate) fn unknown_field(word: &str, fields: &[&str]) -> Option<String> {
    match meanings(word).next()? {
        Meaning::Key(path) => match path.strip_prefix("model.") {
            Some(field) => fields.contains(&field).then(|| format!("did you mean `{field}`?")),
            None if path.contains('*') => None,
            None => Some(format!("in a run it is `{path}`")),
        },
        Meaning::Setting(path, example) => Some(format!("in a run it is `{path}: {example}`")),
        Meaning::Elsewhere(_) => None,
    }
}

/// What the table of synonyms has for a word.
fn meanings(word: &str) -> impl Iterator<Item = Meaning> {
    let word = squeezed(word);
    let means = move |words: &[&str]| words.iter().any(|known| squeezed(known) == word);
    KEYS.iter().filter(move |(words, _)| means(words)).map(|(_, meaning)| *meaning)
}

/// The end of a sentence about a word that the table of synonyms has.
fn synonym(word: &str, parents: &[String], tree: &Tree, spelling: Spelling) -> Option<String> {
    meanings(word).find_map(|meaning| match meaning {
        Meaning::Key(target) => Some(did_you_mean_path(&tree.find(target)?, parents)),
        Meaning::Setting(target, example) => {
            Some(format!("write {}", spelling.setting(&tree.find(target)?, example)))
        }
        // Said of runs alone.
        Meaning::Elsewhere(sentence) => tree.find("train.epochs").map(|_| sentence.to_owned()),
    })
}

/// Names a key by its path, or alone where it stands beside the wrong one.
fn did_you_mean_path(path: &[String], parents: &[String]) -> String {
    match path.strip_prefix(parents) {
        Some([key]) => format!("did you mean `{key}`?"),
        _ if path.len() == 1 => format!("did you mean `{}` at the top of the file?", path[0]),
        _ => format!("did you mean `{}`?", crate::error::path(path)),
    }
}

/// The keys of a type, and the value that chooses among them.
struct Tree<'a> {
    nodes: Vec<Node>,
    value: &'a Value,
}

impl Tree<'_> {
    /// The key that ends as `target` does, below a node that takes any key where need be.
    fn find(&self, target: &str) -> Option<Vec<String>> {
        let target: Vec<&str> = target.split('.').collect();
        let alike =
            |path: &[&str]| path.iter().zip(&target).all(|(key, wanted)| *wanted == "*" || key == wanted);
        // How many keys of the target a node stands for.
        let length = |node: &Node| {
            let tails = (0..node.path.len()).map(|start| &node.path[start..]);
            let mut lengths = tails.filter(|tail| alike(tail)).map(<[_]>::len);
            lengths.find(|&n| n == target.len() || n < target.len() && node.open)
        };
        let node = self.preferred(|node| length(node).is_some())?;
        let rest = &target[length(node)?..];
        Some(node.path.iter().chain(rest).map(|&key| key.to_owned()).collect())
    }

    /// The key of this name, wherever it is.
    fn elsewhere(&self, word: &str) -> Option<Vec<String>> {
        let word = squeezed(word);
        let node = self.preferred(|node| node.path.last().is_some_and(|last| squeezed(last) == word))?;
        Some(node.path.iter().map(|&key| key.to_owned()).collect())
    }

    /// The first of the wanted nodes that is in use, else the first.
    fn preferred(&self, wanted: impl Fn(&Node) -> bool) -> Option<&Node> {
        let in_use = |node: &&Node| wanted(node) && node.in_use(self.value, &self.nodes);
        self.nodes.iter().find(in_use).or_else(|| self.nodes.iter().find(|node| wanted(node)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::synonyms::VALUES;
    use super::*;
    use crate::experiment::Spec;
    use crate::train::{RunConfig, TrainConfig};
    use crate::yaml::{from_value, parse};
    use std::collections::HashSet;

    #[test]
    fn every_synonym_leads_to_a_key_and_every_word_to_one() {
        let tree = Tree { nodes: nodes::<Spec>(), value: &Value::Null };
        let mut seen = HashSet::new();
        for (words, meaning) in KEYS {
            for word in *words {
                assert!(seen.insert(squeezed(word)), "{word} twice");
            }
            if let Meaning::Key(target) | Meaning::Setting(target, _) = meaning {
                assert!(tree.find(target).is_some(), "{target}");
            }
        }
        for (key, _, value) in
            VALUES.iter().filter(|(key, ..)| ["optimizer", "schedule", "precision"].contains(key))
        {
            parse::<TrainConfig>(&format!("{key}: {value}"), "a value").unwrap();
        }
    }

    #[test]
    fn a_choice_that_is_not_made_is_the_first() {
        let tree = Tree { nodes: nodes::<TrainConfig>(), value: &Value::Null };
        let default = serde_yaml::to_value(TrainConfig::default()).unwrap();
        for key in ["optimizer", "schedule"] {
            let first = tree.nodes.iter().find(|node| node.path.len() == 2 && node.path[0] == key).unwrap();
            assert!(default[key].get(first.path[1]).is_some(), "{key}");
            let bare = from_value::<TrainConfig>(&parse(&format!("{key}: {}", first.path[1]), "").unwrap());
            assert_eq!(bare.unwrap(), TrainConfig::default());
        }
    }

    #[test]
    fn the_choice_in_use_decides() {
        let hint = |value: &str, keys: &str| {
            let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
            unknown_key::<RunConfig>(
                &keys,
                &["model", "data"],
                &serde_yaml::from_str(value).unwrap(),
                Spelling::File,
            )
        };
        assert_eq!(hint("train: {}", "lr"), "did you mean `train.optimizer.sgd.lr`?");
        assert_eq!(hint("train: {optimizer: adamw}", "lr"), "did you mean `train.optimizer.adamw.lr`?");
        assert_eq!(hint("{}", "warmup"), "did you mean `train.schedule.cosine.warmup_epochs`?");
        assert_eq!(hint("{}", "train.seed"), "did you mean `seed` at the top of the file?");
        assert_eq!(hint("{}", "no_such_key"), "the keys here are model, data");
    }
}
