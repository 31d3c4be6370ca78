//! Pictures that are near each other by their features.

use anyhow::Result;
use tch::{Kind, Tensor};

/// The `count` rows of `features` (N, D) that are nearest to `own` (1, D) by the cosine of their angle, the nearest first,
/// each with it. Rows with values that are no numbers are left out.
///
/// # Errors
/// Features of another width.
pub fn nearest(own: &Tensor, features: &Tensor, count: usize) -> Result<Vec<(usize, f64)>> {
    let unit = |x: &Tensor| -> Result<Tensor> {
        let x = x.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?;
        let length = x.f_norm_scalaropt_dim(2, [1i64].as_slice(), true)?.f_clamp_min(1e-12)?;
        Ok(x.f_div(&length)?)
    };
    let cosines = unit(features)?.f_matmul(&unit(own)?.f_transpose(0, 1)?)?.f_squeeze_dim(1)?;
    let cosines = cosines.f_nan_to_num(f64::NEG_INFINITY, None, None)?;
    let (values, places) = cosines.f_topk((count as i64).min(features.size()[0]), 0, true, true)?;
    let values = Vec::<f64>::try_from(values.f_to_kind(Kind::Double)?)?;
    let places = Vec::<i64>::try_from(places)?;
    let found = places.into_iter().zip(values).filter(|(_, value)| value.is_finite());
    Ok(found.map(|(place, value)| (place as usize, value)).collect())
}
