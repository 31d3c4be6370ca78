//! Words for a shell.

use std::path::Path;

/// A word that the shell takes as it is.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as such a word.
pub(super) fn quoted(path: &Path) -> String {
    quote(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_stay_within_quotes() {
        assert_eq!(quote("/runs/lr=0.1_seed=0"), "/runs/lr=0.1_seed=0");
        assert_eq!(quote("my runs"), "'my runs'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote(""), "''");
    }
}
