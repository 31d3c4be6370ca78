//! How right a map is: what becomes of P(class) as its strongest places go, and as they come (RISE, 1806.07421).

use super::Network;
use anyhow::Result;
use tch::{Kind, Tensor};

/// Steps of the curves.
const STEPS: i64 = 28;

/// The curves, and the means over them: of a map that is right, deletion is low and insertion high.
#[derive(Clone, Debug)]
pub struct Score {
    pub deletion: f64,
    pub insertion: f64,
    /// P(class) with 0/28, 1/28, … of the places deleted.
    pub deleted: Vec<f64>,
    /// The same with as many of them alone.
    pub inserted: Vec<f64>,
}

/// Deletes the strongest places of a map (H, W) from a picture (1, C, H, W) step by step, and puts them into an empty one.
/// What is not there has the mean colour.
///
/// # Errors
/// A map of another size.
pub fn deletion_insertion(network: &Network, x: &Tensor, map: &Tensor, class: i64) -> Result<Score> {
    let _no_grad = tch::no_grad_guard();
    let flat = map.f_to_device(x.device())?.f_reshape([-1])?;
    let places = flat.size()[0];
    // Of each place how many are stronger.
    let order = flat.f_argsort(0, true)?;
    let ranks = order.f_argsort(0, false)?.f_view([1, 1, x.size()[2], x.size()[3]])?;
    let probability = |x: &Tensor| -> Result<f64> {
        Ok(network.logits(x)?.f_softmax(1, Kind::Float)?.f_double_value(&[0, class])?)
    };
    let (mut deleted, mut inserted) = (Vec::new(), Vec::new());
    for step in 0..=STEPS {
        let strong = ranks.f_lt(places as f64 * step as f64 / STEPS as f64)?;
        inserted.push(probability(&x.f_mul(&strong.f_to_kind(Kind::Float)?)?)?);
        deleted.push(probability(&x.f_mul(&strong.f_logical_not()?.f_to_kind(Kind::Float)?)?)?);
    }
    // By trapezia, over the share of the places.
    let area =
        |curve: &[f64]| curve.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / STEPS as f64;
    Ok(Score { deletion: area(&deleted), insertion: area(&inserted), deleted, inserted })
}
