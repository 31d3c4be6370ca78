//! docs/coming_from.md: it speaks of every option of the other programs, and the keys and flags that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tchvision::train::RunConfig;
use tchvision::yaml::{Document, Override};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_option_of_the_other_programs_has_a_row() {
    let page = read("docs/coming_from.md");
    let words: Vec<&str> = quoted(&page).flat_map(str::split_whitespace).collect();
    let options: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&read("tests/goldens/options.json")).unwrap();
    assert_eq!(options.len(), 4);
    for (program, options) in options {
        let options = options.as_array().unwrap();
        assert!(options.len() > 40, "{program}");
        for option in options {
            let option = option.as_str().unwrap();
            let is_meant = |word: &&str| {
                *word == option || word.strip_suffix('*').is_some_and(|start| option.starts_with(start))
            };
            assert!(words.iter().any(is_meant), "{program}: {option} has no row");
        }
    }
}

#[test]
fn the_keys_and_flags_that_it_names_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.yaml");
    fs::write(&file, "model: {name: resnet18}\ndata: {dataset: fashion-mnist}\n").unwrap();
    let page = read("docs/coming_from.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.contains(" here |"));
    let middle: BTreeSet<&str> =
        rows.flat_map(|row| quoted(row.split(" | ").nth(1).unwrap()).collect::<Vec<_>>()).collect();
    assert!(middle.len() > 40);
    for text in middle {
        if let Some(command) = text.strip_prefix("tchvision ") {
            let (verb, flag) = command.split_once(" --").unwrap_or((command, "help"));
            let out =
                Command::new(env!("CARGO_BIN_EXE_tchvision")).args(verb.split(' ')).arg("--help").output();
            let help = String::from_utf8(out.unwrap().stdout).unwrap();
            assert!(help.contains(&format!("--{flag}")), "{text}: no such flag");
            continue;
        }
        // A value of the wrong type is refused, an unknown key as such.
        let refused = |key: &str| {
            let wrong = Override::new(&format!("{key}={{no: [such, thing]}}")).unwrap();
            let read = Document::read(&file, vec![wrong]).and_then(|document| RunConfig::read(&document));
            format!("{:#}", read.unwrap_err())
        };
        let unknown = |key: &str| {
            let (message, last) = (refused(key), key.rsplit('.').next().unwrap());
            message.contains(&format!("unknown key `{key}`"))
                || message.contains(&format!("unknown field `{last}`"))
        };
        assert!(!unknown(text), "{text}: {}", refused(text));
        assert!(unknown(&format!("{text}x")), "{}", refused(&format!("{text}x")));
    }
}
