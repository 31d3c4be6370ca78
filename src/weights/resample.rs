//! Resizes position tables and patch embedding kernels, with the same results as timm
//! (`timm/layers/pos_embed.py`, `pos_embed_rel.py` and `patch_embed.py`).

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// The interpolation of a grid of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// Bicubic with antialiasing, as timm uses for a state_dict.
    Bicubic,
    /// Bilinear without antialiasing, as timm uses for the `.npz` of the first releases.
    Bilinear,
}

impl Resampling {
    /// Resizes images (N, C, h, w).
    fn resize(self, images: &Tensor, size: [i64; 2]) -> Result<Tensor> {
        Ok(match self {
            Self::Bicubic => images.f_internal_upsample_bicubic2d_aa(size, false, None, None)?,
            Self::Bilinear => images.f_upsample_bilinear2d(size, false, None, None)?,
        })
    }
}

/// Upper bound on the side of a patch in pixels, so that a file cannot ask for a huge matrix.
const MAX_PATCH_SIDE: i64 = 256;

/// The kernel (out, in, h, w) of a patch embedding for another patch size, such that resized patches have
/// about the same embedding: the kernel times the pseudo-inverse of the resize (FlexiViT, 2212.08013, Section
/// 3.4; timm's `resample_patch_embed`). Computed in float32.
///
/// # Errors
/// A weight that is not a kernel, or a side of a patch out of range.
pub fn patch_kernel(weight: &Tensor, new: [i64; 2], resampling: Resampling) -> Result<Tensor> {
    let &[_, _, h, w] = weight.size().as_slice() else {
        anyhow::bail!("shape {:?} is not that of a patch embedding", weight.size());
    };
    ensure!(
        [h, w, new[0], new[1]].iter().all(|side| (1..=MAX_PATCH_SIDE).contains(side)),
        "patches of {h}×{w} and {}×{} pixels: each side must be 1 to {MAX_PATCH_SIDE}",
        new[0],
        new[1]
    );
    if [h, w] == new {
        return Ok(weight.shallow_clone());
    }
    // The resize is separable, and so is its pseudo-inverse.
    let inverse = |old: i64, new: i64| -> Result<Tensor> {
        let pixels = Tensor::f_eye(old, (Kind::Float, Device::Cpu))?.f_reshape([1, 1, old, old])?;
        let resized = resampling.resize(&pixels, [old, new])?.f_reshape([old, new])?;
        Ok(resized.f_linalg_pinv_atol_rtol_float(None, None, false)?)
    };
    let columns = inverse(w, new[1])?.f_transpose(0, 1)?;
    let kernel = inverse(h, new[0])?.f_matmul(&weight.f_to_kind(Kind::Float)?)?.f_matmul(&columns)?;
    Ok(kernel.f_to_kind(weight.f_kind()?)?)
}

/// Resizes absolute position embeddings (1, prefix + h·w, width) to another grid, in float32; the prefix
/// tokens are unchanged (timm's `resample_abs_pos_embed`). Without `old` the table's grid is square.
///
/// # Errors
/// A table whose number of positions does not match the grid.
pub fn position_embedding(
    table: &Tensor,
    new: [i64; 2],
    old: Option<[i64; 2]>,
    prefix: i64,
    resampling: Resampling,
) -> Result<Tensor> {
    let &[1, count, width] = table.size().as_slice() else {
        anyhow::bail!("shape {:?} is not that of position embeddings", table.size());
    };
    let side = (count - prefix).max(0).isqrt();
    let [h, w] = old.unwrap_or([side, side]);
    ensure!(
        prefix >= 0 && h > 0 && w > 0 && prefix + h * w == count,
        "{count} positions are not {h}×{w} and {prefix} prefix tokens"
    );
    if [h, w] == new {
        return Ok(table.shallow_clone());
    }
    let kind = table.f_kind()?;
    let grid = table.f_narrow(1, prefix, h * w)?.f_to_kind(Kind::Float)?;
    let grid = grid.f_reshape([1, h, w, width])?.f_permute([0, 3, 1, 2])?;
    let grid = resampling.resize(&grid, new)?;
    let grid = grid.f_permute([0, 2, 3, 1])?.f_reshape([1, -1, width])?.f_to_kind(kind)?;
    Ok(Tensor::f_cat(&[table.f_narrow(1, 0, prefix)?, grid], 1)?)
}

/// Resizes relative position biases (h·w, heads) to another window; `old` and `new` are the tables' sizes
/// (2·window − 1). Interpolates linearly between points whose distances grow geometrically from the centre,
/// so that near positions keep their resolution (timm's `resize_rel_pos_bias_table` without SciPy).
///
/// # Errors
/// A table whose number of positions does not match the old window.
pub fn relative_position_table(table: &Tensor, old: [i64; 2], new: [i64; 2]) -> Result<Tensor> {
    let &[count, heads] = table.size().as_slice() else {
        anyhow::bail!("shape {:?} is not that of relative position biases", table.size());
    };
    ensure!(count == old[0] * old[1], "{count} relative positions are not {}×{}", old[0], old[1]);
    ensure!(
        old.iter().chain(&new).all(|n| *n > 1 && n % 2 == 1),
        "the sizes {old:?} and {new:?} of the tables must be odd and above 1"
    );
    if old == new {
        return Ok(table.shallow_clone());
    }
    let kind = table.f_kind()?;
    let grid = table.f_to_kind(Kind::Float)?.f_reshape([old[0], old[1], heads])?.f_permute([2, 0, 1])?;
    let rows = interpolation(old[0], new[0])?.f_matmul(&grid)?;
    let grid = rows.f_matmul(&interpolation(old[1], new[1])?.f_transpose(0, 1)?)?;
    Ok(grid.f_permute([1, 2, 0])?.f_reshape([-1, heads])?.f_to_kind(kind)?)
}

/// The matrix (new, old) of linear interpolation from the geometric points to integer ones, constant beyond
/// the last point.
fn interpolation(old: i64, new: i64) -> Result<Tensor> {
    let points = geometric_points(old, new);
    let mut matrix = vec![0f32; (old * new) as usize];
    for (i, row) in matrix.chunks_exact_mut(old as usize).enumerate() {
        let x = i as f64 - (new / 2) as f64;
        let right = points.iter().position(|point| *point >= x);
        match right {
            None => row[points.len() - 1] = 1.0,
            Some(0) => row[0] = 1.0,
            Some(right) => {
                let part = (x - points[right - 1]) / (points[right] - points[right - 1]);
                row[right - 1] = (1.0 - part) as f32;
                row[right] = part as f32;
            }
        }
    }
    Ok(Tensor::from_slice(&matrix).f_reshape([new, old])?)
}

/// Points on both sides of 0 whose distances grow by the ratio with which the outermost reach half of `new`.
fn geometric_points(old: i64, new: i64) -> Vec<f64> {
    let half = old / 2;
    let reach = |ratio: f64| (1.0 - ratio.powi(half as i32)) / (1.0 - ratio);
    let (mut left, mut right, mut ratio) = (1.01, 1.5, 1.01);
    while right - left > 1e-6 {
        ratio = (left + right) / 2.0;
        if reach(ratio) > (new / 2) as f64 {
            right = ratio;
        } else {
            left = ratio;
        }
    }
    let mut distance = 1.0;
    let mut points = vec![0.0];
    for i in 1..=half {
        points.push(distance);
        points.insert(0, -distance);
        distance += f64::powi(ratio, i as i32);
    }
    points
}
