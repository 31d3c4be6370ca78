//! Projections of a feature back to the pixels: a deconvnet (ZFNet, 1311.2901, section 2.1), guided backpropagation, the
//! gradient; and the part of a picture that a feature depends on.

use super::Network;
use crate::Usage;
use crate::nn::Backward;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use tch::{Kind, Tensor};

/// What is projected.
#[derive(Clone, Debug)]
pub enum Feature {
    /// The greatest activation of a map of this layer; of its strongest map, where none is named.
    Map(String, Option<i64>),
    /// A class's logit.
    Class(i64),
}

/// A projection.
#[derive(Debug)]
pub struct Projected {
    /// (C, H, W) float32, of the input's size.
    pub pixels: Tensor,
    /// The map, and the row and column of its greatest activation; none for a class.
    pub place: Option<(i64, [i64; 2])>,
    /// The activation, or the logit.
    pub value: f64,
}

/// Projects a feature of one picture (1, C, H, W) back to its pixels.
///
/// # Errors
/// [`Usage`]: a layer or a map that the model does not have, and a way back for ReLUs in a network without any.
pub fn project(network: &Network, x: &Tensor, feature: &Feature, backward: Backward) -> Result<Projected> {
    network.store().thaw();
    let x = x.f_detach()?.f_set_requires_grad(true)?;
    let layers = match feature {
        Feature::Map(layer, _) => vec![layer.clone()],
        Feature::Class(_) => Vec::new(),
    };
    let pass = network.pass(&x, &layers, false, backward)?;
    ensure!(
        pass.seen.relus > 0 || matches!(backward, Backward::Gradient | Backward::Field),
        Usage("a deconvnet and guided backpropagation are for networks of ReLUs, and this one has none; take the gradient".into())
    );
    let (sum, place, value) = match (feature, pass.features.first()) {
        (Feature::Map(_, map), Some(found)) => {
            let maps = network.maps(found, [x.size()[2], x.size()[3]])?.f_squeeze_dim(0)?;
            let (place, value) = strongest(&maps, *map)?;
            let (map, [row, column]) = place;
            let one = maps.f_get(map)?.f_get(row)?.f_get(column)?;
            // All other activations are 0, and this one goes back as it is.
            let weight = if backward == Backward::Deconvnet { value } else { 1.0 };
            (one.f_mul_scalar(weight)?, Some(place), value)
        }
        (Feature::Class(class), _) => {
            let logit = pass.logits.f_select(1, *class)?.f_sum(Kind::Float)?;
            let value = logit.f_double_value(&[])?;
            (logit, None, value)
        }
        (Feature::Map(layer, _), None) => anyhow::bail!("no output of `{layer}`"),
    };
    let pixels = Tensor::f_run_backward(&[&sum], &[&x], false, false)?;
    let pixels = pixels.into_iter().next().context("no gradient")?;
    Ok(Projected { pixels: pixels.f_squeeze_dim(0)?.f_to_device(tch::Device::Cpu)?, place, value })
}

/// The place and value of the greatest activation of a map, or of all of them, (C, h, w).
fn strongest(maps: &Tensor, map: Option<i64>) -> Result<((i64, [i64; 2]), f64)> {
    let (channels, _, width) = maps.size3()?;
    let text = format!("no map {}: the layer has {channels}, from 0", map.unwrap_or(-1));
    ensure!(map.is_none_or(|map| (0..channels).contains(&map)), Usage(text));
    let peaks = maps.f_detach()?.f_flatten(1, -1)?;
    let (values, places) = peaks.f_max_dim(1, false)?;
    let map = match map {
        Some(map) => map,
        None => values.f_argmax(0, false)?.f_int64_value(&[])?,
    };
    let place = places.f_int64_value(&[map])?;
    Ok(((map, [place / width, place % width]), values.f_double_value(&[map])?))
}

/// The rows and columns of an input (1, C, H, W) that a place of a layer depends on.
///
/// # Errors
/// A layer that the model does not have.
pub fn field(network: &Network, x: &Tensor, layer: &str, [row, column]: [i64; 2]) -> Result<[Range<i64>; 2]> {
    network.store().thaw();
    let x = x.f_detach()?.f_set_requires_grad(true)?;
    let pass = network.pass(&x, &[layer.to_owned()], false, Backward::Field)?;
    let found = pass.features.first().context("no output")?;
    let maps = network.maps(found, [x.size()[2], x.size()[3]])?;
    // Different weights, so that no two maps cancel.
    let weights = Tensor::f_linspace(1.0, 2.0, maps.size()[1], (Kind::Float, x.device()))?;
    let sum = maps.f_select(3, column)?.f_select(2, row)?.f_mul(&weights)?.f_sum(Kind::Float)?;
    let gradient = Tensor::f_run_backward(&[&sum], &[&x], false, false)?;
    let reached =
        gradient.first().context("no gradient")?.f_ne(0.0)?.f_any_dims([0i64, 1].as_slice(), false)?;
    let range = |dim: i64| -> Result<Range<i64>> {
        let line = Vec::<bool>::try_from(reached.f_any_dim(dim, false)?.f_to_device(tch::Device::Cpu)?)?;
        let first = line.iter().position(|&is| is).unwrap_or(0) as i64;
        let last = line.iter().rposition(|&is| is).map_or(line.len(), |last| last + 1) as i64;
        Ok(first..last)
    };
    Ok([range(1)?, range(0)?])
}
