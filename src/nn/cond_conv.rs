//! Convolutions whose kernel depends on the image (CondConv, 1904.04971).

use super::conv::Conv;
use super::cost;
use super::store::Path;
use crate::torch;
use crate::torch::SharedTensor;
use anyhow::{Result, ensure};
use tch::Tensor;

/// timm's `CondConv2d`: each image's kernel is the sum of the experts' kernels weighted by its routing. Key `weight`
/// (experts, out · in/groups · kh · kw); no bias.
pub struct CondConv2d {
    spec: Conv,
    weight: SharedTensor,
}

impl CondConv2d {
    /// With kernels initialised by [`Conv::init_fan_out_of_group`].
    ///
    /// # Errors
    /// Experts or sizes that are not positive.
    pub fn new(path: &Path, spec: Conv, experts: i64) -> Result<Self> {
        ensure!(experts > 0, "conditional convolution: {experts} experts, but at least one is needed");
        let kernel = spec.weight_size().iter().product();
        let init = spec.init_fan_out_of_group().initial();
        Ok(Self { spec, weight: path.parameter("weight", &[experts, kernel], init)? })
    }

    /// Convolves each image of `x` (N, C, H, W) with the kernel that its row of `routing` (N, experts) mixes.
    ///
    /// # Errors
    /// Shapes that do not fit the convolution.
    pub fn forward(&self, x: &Tensor, routing: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.size4()?;
        let size = self.spec.output_size(&[n, c, h, w])?;
        let [out, inputs, kh, kw] = self.spec.weight_size();
        let y = if torch::is_meta(x)? {
            torch::empty_meta(&size, x.kind())?
        } else {
            let weight = routing.f_to_kind(self.weight.kind())?.f_matmul(&self.weight)?;
            let weight = weight.f_to_kind(x.kind())?.f_view([n * out, inputs, kh, kw])?;
            // The images side by side in the channels, so that one grouped convolution handles them all.
            let x = x.f_reshape([1, n * c, h, w])?;
            self.spec.apply(&x, &weight, None, n)?.f_reshape(size)?
        };
        let (outputs, mixed) = (y.numel() as i64, n * self.weight.numel() as i64);
        cost::record(outputs * inputs * kh * kw + mixed, outputs);
        Ok(y)
    }
}
