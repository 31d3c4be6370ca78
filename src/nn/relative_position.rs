//! Attention biases for the relative position of two tokens in a window (Swin, MaxViT).

use anyhow::Result;
use tch::{Device, Kind, Tensor};

/// For each pair of tokens in a window, its row in a table of (2·window − 1)² relative positions: (window⁴).
pub fn relative_position_index(window: i64) -> Result<Tensor> {
    let side = Tensor::f_arange(window, (Kind::Int64, Device::Cpu))?;
    // Differences of coordinates along one side, shifted to start at 0.
    let apart = side.f_unsqueeze(1)?.f_sub(&side)?.f_add_scalar(window - 1)?;
    let rows = apart.f_view([window, 1, window, 1])?.f_mul_scalar(2 * window - 1)?;
    let columns = apart.f_view([1, window, 1, window])?;
    Ok(rows.f_add(&columns)?.f_reshape([-1])?)
}

/// A table of ((2·window − 1)², heads) looked up by that index: (1, heads, window², window²).
pub fn relative_position_bias(table: &Tensor, index: &Tensor) -> Result<Tensor> {
    let tokens = (index.numel() as f64).sqrt().round() as i64;
    let bias = table.f_index_select(0, &index.f_view([-1])?)?.f_view([tokens, tokens, -1])?;
    Ok(bias.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_contiguous()?)
}
