//! The tables that spell a mobile net: a line a stage, an item a kind of block.
//!
//! An item is the kind and its fields, such as `ir x2 k3 s2 e6 c24 se0.25`: two inverted residuals of kernel 3 that
//! expand six times, the first at stride 2, to 24 channels, with squeeze-excitation of a quarter. A stage of several
//! kinds has them with commas between.

use crate::nn::Activation;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::{Deserialize, Deserializer, Error};

/// What a row builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `cn`: a convolution with norm and activation.
    Conv,
    /// `ds`: depthwise separable convolution, linear at its end.
    Separable,
    /// `dsa`: the same with an activation at its end and nothing round it (MobileNetV1).
    SeparableAct,
    /// `ir`: inverted residual.
    Inverted,
    /// `er`: fused inverted residual.
    Fused,
    /// `uir`: universal inverted bottleneck (MobileNetV4).
    Universal,
    /// `mqa`: multi-query attention.
    Attention,
}

/// One item of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub kind: Kind,
    /// `x`: blocks.
    pub repeats: i64,
    /// `k`: kernel of the (depthwise) convolution; 0 is none in `uir`.
    pub kernel: i64,
    /// `a`: kernel of the depthwise convolution before the expansion of `uir`; 0 is none.
    pub start_kernel: i64,
    /// `s`: stride of the stage's first block.
    pub stride: i64,
    /// `e`: expansion factor.
    pub expansion: f64,
    /// `c`: output channels, before the width multiplier; `cn` without it puts out `e` times its input's.
    pub channels: i64,
    /// `fc`: channels that `er` expands instead of its input's; 0 is the input's.
    pub expanded_from: i64,
    /// `se`: share of the channels that squeeze-excitation keeps; 0 is none.
    pub squeeze: f64,
    /// `cc`: experts of conditional convolutions in `ir`; 0 is plain ones.
    pub experts: i64,
    /// `h`: heads of `mqa`.
    pub heads: i64,
    /// `d`: channels of a key.
    pub key_dim: i64,
    /// `v`: stride of keys and values.
    pub kv_stride: i64,
    /// `relu` instead of the net's.
    pub activation: Option<Activation>,
    /// Whether a block that keeps the shape is residual; `skip` and `noskip` say so.
    pub skip: bool,
}

impl Row {
    fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let kind = match words.next() {
            Some("cn") => Kind::Conv,
            Some("ds") => Kind::Separable,
            Some("dsa") => Kind::SeparableAct,
            Some("ir") => Kind::Inverted,
            Some("er") => Kind::Fused,
            Some("uir") => Kind::Universal,
            Some("mqa") => Kind::Attention,
            _ => bail!("a block's kind must be cn, ds, dsa, ir, er, uir or mqa"),
        };
        let mut row = Row {
            kind,
            repeats: 1,
            kernel: 0,
            start_kernel: 0,
            stride: 1,
            expansion: 1.0,
            channels: 0,
            expanded_from: 0,
            squeeze: 0.0,
            experts: 0,
            heads: 0,
            key_dim: 0,
            kv_stride: 1,
            activation: None,
            skip: !matches!(kind, Kind::Conv | Kind::SeparableAct),
        };
        for word in words {
            row.read(word).with_context(|| format!("`{word}`"))?;
        }
        let relative = kind == Kind::Conv && row.expansion != 1.0;
        let has_channels = row.channels > 0 || relative;
        ensure!(row.repeats > 0 && has_channels, "x (blocks) and c (channels) must be positive");
        ensure!(row.kernel > 0 || kind == Kind::Universal, "k (kernel) must be positive");
        ensure!(row.stride == 1 || row.stride == 2, "s (stride) must be 1 or 2");
        ensure!(row.stride == 1 || row.kernel + row.start_kernel > 0, "s (stride) needs a kernel");
        ensure!(row.expansion > 0.0, "e (expansion) must be positive");
        Ok(row)
    }

    /// Output channels after an input of `from`, both before the width multiplier.
    pub fn to(&self, from: i64) -> i64 {
        if self.channels > 0 { self.channels } else { (from as f64 * self.expansion).round() as i64 }
    }

    fn read(&mut self, word: &str) -> Result<()> {
        match word {
            "skip" => self.skip = true,
            "noskip" => self.skip = false,
            "relu" => self.activation = Some(Activation::Relu),
            _ => {
                let digits = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
                let (key, value) = word.split_at(digits);
                let number: f64 = value.parse().map_err(|_| anyhow!("a letter and a number expected"))?;
                ensure!(number <= 1e6, "the number is too large");
                let whole = || {
                    ensure!(number.fract() == 0.0, "the number must be whole");
                    Ok(number as i64)
                };
                match key {
                    "x" => self.repeats = whole()?,
                    "k" => self.kernel = whole()?,
                    "a" => self.start_kernel = whole()?,
                    "s" => self.stride = whole()?,
                    "e" => self.expansion = number,
                    "c" => self.channels = whole()?,
                    "fc" => self.expanded_from = whole()?,
                    "se" => self.squeeze = number,
                    "cc" => self.experts = whole()?,
                    "h" => self.heads = whole()?,
                    "d" => self.key_dim = whole()?,
                    "v" => self.kv_stride = whole()?,
                    _ => bail!("the fields are x, k, a, s, e, c, fc, se, cc, h, d, v, relu, skip, noskip"),
                }
            }
        }
        Ok(())
    }
}

/// Reads stages, one line each.
pub(super) fn lines<'de, D: Deserializer<'de>>(stages: D) -> Result<Vec<String>, D::Error> {
    Vec::deserialize(stages).map_err(|_| {
        D::Error::custom(
            "one line a stage: `{block: mb_conv, expansion: 6, kernel: 5, stride: 2, channels: 40, blocks: 2}` is now \
             `ir x2 k5 s2 e6 c40 se0.25`",
        )
    })
}

/// The blocks of one stage, one by one, as many as `deepened` makes of the table's; only the first may have a stride.
///
/// # Errors
/// A line that is not a stage, by the place in it.
pub(super) fn blocks(stage: &str, deepened: impl Fn(i64) -> i64) -> Result<Vec<Row>> {
    let parse =
        |item: &str| Row::parse(item).with_context(|| format!("stage `{stage}`, block `{}`", item.trim()));
    let rows: Vec<Row> = stage.split(',').map(parse).collect::<Result<_>>()?;
    let repeats: Vec<i64> = rows.iter().map(|row| row.repeats).collect();
    let repeats = spread(&repeats, deepened(repeats.iter().sum()));
    let mut blocks: Vec<Row> = Vec::new();
    for (row, repeats) in rows.into_iter().zip(repeats) {
        for _ in 0..repeats {
            let stride = if blocks.is_empty() { row.stride } else { 1 };
            blocks.push(Row { stride, ..row });
        }
    }
    Ok(blocks)
}

/// Spreads as many as `after` blocks over a stage's items, from the last to the first: so the first, which changes the
/// shape, is repeated last.
fn spread(repeats: &[i64], mut after: i64) -> Vec<i64> {
    let mut before: i64 = repeats.iter().sum();
    let mut spread: Vec<i64> = Vec::new();
    for &count in repeats.iter().rev() {
        let share = (count as f64 / before as f64 * after as f64).round_ties_even() as i64;
        spread.push(share.max(1));
        before -= count;
        after -= share.max(1);
    }
    spread.reverse();
    spread
}
