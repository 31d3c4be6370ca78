//! Text and bytes in a pickle, and how they are written there.

use anyhow::{Context, Result, bail, ensure};

/// How bytes are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Coding {
    Plain,
    /// As the UTF-8 of a text whose characters are the bytes: `bytes` in Python's protocol 2.
    Utf8,
    /// The same in protocols 0 and 1: bytes with `\u0000` for some.
    Unicode,
    /// Python 2's string in quotes, with `\x00` and `\n`.
    Quoted,
}

impl Coding {
    /// The text, for names and keys.
    pub fn text(self, raw: &[u8]) -> Result<String> {
        Ok(match self {
            Self::Plain | Self::Utf8 => String::from_utf8_lossy(raw).into_owned(),
            Self::Unicode | Self::Quoted => self.characters(raw)?.into_iter().collect(),
        })
    }

    /// The bytes.
    ///
    /// # Errors
    /// Text of other characters than bytes.
    pub fn decode(self, raw: &[u8]) -> Result<Vec<u8>> {
        let byte = |c: char| u8::try_from(c).context("text where bytes should be");
        match self {
            Self::Plain => Ok(raw.to_vec()),
            Self::Utf8 => std::str::from_utf8(raw)?.chars().map(byte).collect(),
            Self::Unicode | Self::Quoted => self.characters(raw)?.into_iter().map(byte).collect(),
        }
    }

    /// The characters of escaped text, whose other bytes stand for themselves.
    fn characters(self, raw: &[u8]) -> Result<Vec<char>> {
        let quotes = matches!(raw, [b'\'', .., b'\''] | [b'"', .., b'"']);
        let raw = if self == Self::Quoted && quotes { &raw[1..raw.len() - 1] } else { raw };
        let mut out = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter();
        while let Some(&byte) = bytes.next() {
            let rest = bytes.as_slice();
            let escape = if byte == b'\\' { rest.first().copied() } else { None };
            let digits = match (self, escape) {
                (Self::Unicode, Some(b'u')) => 4,
                (Self::Unicode, Some(b'U')) => 8,
                (Self::Quoted, Some(b'x')) => 2,
                (Self::Quoted, Some(escape)) => {
                    out.push(match escape {
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'\\' | b'\'' | b'"' => escape.into(),
                        _ => bail!("an escape `\\{}` in text", char::from(escape)),
                    });
                    bytes.next();
                    continue;
                }
                _ => {
                    out.push(byte.into());
                    continue;
                }
            };
            ensure!(rest.len() > digits, "an escape is cut");
            let number = u32::from_str_radix(std::str::from_utf8(&rest[1..=digits])?, 16)?;
            out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            bytes = rest[1 + digits..].iter();
        }
        Ok(out)
    }
}
