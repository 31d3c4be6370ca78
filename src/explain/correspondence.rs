//! Whether the network relates the same part of several pictures (ZFNet, 1311.2901, section 4.3 and table 1).

use super::Network;
use crate::Usage;
use crate::data::Stream;
use crate::nn::Backward;
use crate::statistics::{mean, std};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// A part of a picture: left, top, width and height in pixels of the input.
pub type Box = [i64; 4];

/// How alike the changes are that covering a part makes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    pub part: String,
    /// The mean Hamming distance between the signs of two pictures' changes, as a share of the features, and its deviation
    /// over the pairs, for each layer. Less is more alike.
    pub distances: Vec<[f64; 2]>,
}

/// The agreement of each named part over pictures (1, C, H, W), all of which have it, and of parts at random of the same
/// sizes, `random` a picture. A covered part has the mean colour.
///
/// # Errors
/// [`Usage`]: fewer than two pictures, a part that a picture lacks or that lies outside; a layer that the model does not
/// have.
pub fn correspondence(
    network: &Network,
    pictures: &[(Tensor, BTreeMap<String, Box>)],
    layers: &[String],
    random: usize,
    seed: u64,
) -> Result<Vec<Agreement>> {
    ensure!(pictures.len() > 1, Usage("a part is compared between pictures: name two or more".into()));
    let _no_grad = tch::no_grad_guard();
    network.store().thaw();
    let look = |x: &Tensor| -> Result<Vec<Tensor>> {
        let pass = network.pass(x, layers, false, Backward::Gradient)?;
        pass.features.into_iter().map(|feature| Ok(feature.tensor.f_reshape([-1])?)).collect()
    };
    // Of each layer the signs of what covering a part changes.
    let change = |x: &Tensor, whole: &[Tensor], [left, top, width, height]: Box| -> Result<Vec<Tensor>> {
        let (_, _, rows, columns) = x.size4()?;
        let inside = left >= 0 && top >= 0 && width > 0 && height > 0;
        let inside = inside && left + width <= columns && top + height <= rows;
        let text = format!("a part of {width}×{height} at ({left}, {top}) is not inside {columns}×{rows}");
        ensure!(inside, Usage(text));
        let covered = x.f_add_scalar(0.0)?;
        let _filled = covered.f_narrow(2, top, height)?.f_narrow(3, left, width)?.f_fill_(0.0)?;
        let with = look(&covered)?;
        whole.iter().zip(&with).map(|(whole, with)| Ok(whole.f_sub(with)?.f_sign()?)).collect()
    };
    let wholes = pictures.iter().map(|(x, _)| look(x)).collect::<Result<Vec<_>>>()?;
    let mut agreements = Vec::new();
    let names: Vec<String> = pictures[0].1.keys().cloned().collect();
    for part in names {
        let mut signs = Vec::new();
        for (i, ((x, parts), whole)) in pictures.iter().zip(&wholes).enumerate() {
            let place =
                parts.get(&part).with_context(|| Usage(format!("picture {} has no part `{part}`", i + 1)))?;
            signs.push(change(x, whole, *place)?);
        }
        agreements.push(Agreement { distances: apart(&[signs], layers.len())?, part });
    }
    if random > 0 {
        let mut rounds = Vec::new();
        for round in 0..random {
            let mut signs = Vec::new();
            for (i, ((x, parts), whole)) in pictures.iter().zip(&wholes).enumerate() {
                let mut stream = Stream::new(seed, "correspondence", round as u64, i as u64);
                let sizes: Vec<Box> = parts.values().copied().collect();
                let [_, _, width, height] = *sizes.get(round % sizes.len().max(1)).context("no parts")?;
                let (_, _, rows, columns) = x.size4()?;
                let mut below = |room: i64| stream.below((room + 1).max(1) as u64) as i64;
                let place = [below(columns - width), below(rows - height), width, height];
                signs.push(change(x, whole, place)?);
            }
            rounds.push(signs);
        }
        agreements.push(Agreement { part: "random".to_owned(), distances: apart(&rounds, layers.len())? });
    }
    Ok(agreements)
}

/// Mean and deviation over all pairs of pictures of each round.
fn apart(rounds: &[Vec<Vec<Tensor>>], layers: usize) -> Result<Vec<[f64; 2]>> {
    let of_layer = |layer: usize| -> Result<[f64; 2]> {
        let mut distances = Vec::new();
        for pictures in rounds {
            for (i, a) in pictures.iter().enumerate() {
                for b in &pictures[..i] {
                    let differs = a[layer].f_ne_tensor(&b[layer])?.f_to_kind(Kind::Double)?;
                    distances.push(differs.f_mean(Kind::Double)?.f_double_value(&[])?);
                }
            }
        }
        Ok([mean(&distances), std(&distances)].map(Option::unwrap_or_default))
    };
    (0..layers).map(of_layer).collect()
}
