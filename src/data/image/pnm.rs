//! Netpbm's PBM, PGM and PPM (P1 to P6), with Pillow's values.

use super::rgb::{RgbImage, bounded_by};
use anyhow::{Context, Result, ensure};

/// Digits of a number at most, as in Pillow.
const MAX_DIGITS: usize = 10;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let (kind, mut rest) = (bytes[1], &bytes[2..]);
    let (width, height) = (number(&mut rest)?, number(&mut rest)?);
    let count = bounded_by(width, height, most)?;
    let channels = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let samples: Vec<u8> = match kind {
        b'1' => {
            let plain = without_comments(rest);
            let mut bits = plain.iter().filter(|byte| !is_space(**byte));
            let bit = |_| match bits.next().context("the file is truncated")? {
                b'0' => Ok(255),
                b'1' => Ok(0),
                other => Err(anyhow::anyhow!("`{}` is no bit", other.escape_ascii())),
            };
            (0..count).map(bit).collect::<Result<_>>()?
        }
        b'4' => {
            let stride = width.div_ceil(8);
            let rows = rest.get(..stride * height).context("the file is truncated")?.chunks_exact(stride);
            rows.flat_map(|row| (0..width).map(|x| if row[x / 8] << (x % 8) & 0x80 == 0 { 255 } else { 0 }))
                .collect()
        }
        _ => {
            let largest = number(&mut rest)?;
            ensure!((1..65_536).contains(&largest), "its largest value {largest} is not between 1 and 65535");
            let is_gray = channels == 1;
            // Pillow scales grey of more than 8 bits to 16, which it then clips to 255.
            let white = if is_gray && largest > 255 { 65_535.0 } else { 255.0 };
            let scaled =
                |value: usize| (value as f64 / largest as f64 * white).round_ties_even().min(255.0) as u8;
            if matches!(kind, b'2' | b'3') {
                let plain = without_comments(rest);
                let mut values = plain.split(|&byte| is_space(byte)).filter(|token| !token.is_empty());
                let value = |_| {
                    let value = parsed(values.next().context("the file is truncated")?)?;
                    ensure!(value <= largest, "the value {value} is above {largest}");
                    Ok(scaled(value))
                };
                (0..count * channels).map(value).collect::<Result<_>>()?
            } else {
                let step = if largest < 256 { 1 } else { 2 };
                let data = rest.get(..count * channels * step).context("the file is truncated")?;
                let value =
                    |sample: &[u8]| sample.iter().fold(0, |value, &byte| value << 8 | usize::from(byte));
                data.chunks_exact(step).map(|sample| scaled(value(sample))).collect()
            }
        }
    };
    RgbImage::from_samples(width, height, channels, samples)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The next number of the header, with the white space that ends it.
fn number(rest: &mut &[u8]) -> Result<usize> {
    let mut token = Vec::new();
    while token.len() <= MAX_DIGITS {
        let Some((&byte, after)) = rest.split_first() else { break };
        *rest = after;
        if byte == b'#' {
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            *rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        } else if !is_space(byte) {
            token.push(byte);
        } else if !token.is_empty() {
            break;
        }
    }
    parsed(&token)
}

fn parsed(token: &[u8]) -> Result<usize> {
    let is_number = (1..=MAX_DIGITS).contains(&token.len()) && token.iter().all(u8::is_ascii_digit);
    ensure!(is_number, "`{}` is not a number", token.escape_ascii());
    Ok(token.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0')))
}

/// The text without comments, which end with their line.
fn without_comments(mut rest: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(rest.len());
    while let Some(begin) = rest.iter().position(|&byte| byte == b'#') {
        text.extend_from_slice(&rest[..begin]);
        let end = rest[begin..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        rest = &rest[end.map_or(rest.len(), |end| begin + end + 1)..];
    }
    text.extend_from_slice(rest);
    text
}
