//! Occlusion: what the network says of a picture with a part of it covered (ZFNet, 1311.2901, section 4.2 and figure 7).

use super::Network;
use crate::Usage;
use crate::nn::Backward;
use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// Where the cover goes.
#[derive(Clone, Debug)]
pub struct Occlusion {
    /// Side of the cover in pixels of the input.
    pub window: i64,
    /// Pixels from one position to the next; the last one is cut off at the border.
    pub stride: i64,
    /// The value of the cover after normalisation: 0 is the mean colour, the paper's grey.
    pub baseline: f64,
    /// A stage whose strongest map is watched.
    pub layer: Option<String>,
    /// Covered pictures that go through the network at once.
    pub batch_size: i64,
}

impl Default for Occlusion {
    /// A cover of 32 pixels in steps of 8, for inputs of about 224.
    fn default() -> Self {
        Self { window: 32, stride: 8, baseline: 0.0, layer: None, batch_size: 25 }
    }
}

/// What came out, by position of the cover.
#[derive(Debug)]
pub struct Occluded {
    /// P(class) of the picture as it is.
    pub whole: f64,
    /// P(class), (rows, columns) float32.
    pub probability: Tensor,
    /// The most probable class, (rows, columns) int64.
    pub classes: Tensor,
    /// The number of the strongest map of the layer, and the sum of its activations, (rows, columns).
    pub activation: Option<(i64, Tensor)>,
    /// By how much P(class) falls where a pixel is covered, the mean over the covers that it is under: (H, W) float32, as
    /// captum's `Occlusion` gives it.
    pub attribution: Tensor,
}

impl Occlusion {
    /// Rows and columns of positions over an input of this height and width.
    fn grid(&self, size: [i64; 2]) -> [i64; 2] {
        size.map(|side| (side - self.window + self.stride - 1) / self.stride + 1)
    }

    /// How many positions there are.
    pub fn positions(&self, size: [i64; 2]) -> i64 {
        self.grid(size).into_iter().product()
    }

    /// Covers a picture (1, C, H, W) at all positions; `each` hears of every batch how many are done.
    ///
    /// # Errors
    /// [`Usage`]: a cover that is larger than the picture, a stride that leaves gaps or a layer that is no stage; and those
    /// of `each`.
    pub fn of(
        &self,
        network: &Network,
        x: &Tensor,
        class: i64,
        each: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Occluded> {
        let (_, _, height, width) = x.size4()?;
        let Self { window, stride, .. } = *self;
        let text = format!("a window of {window} does not fit an input of {height}×{width}: make it smaller");
        ensure!((1..=height.min(width)).contains(&window), Usage(text));
        ensure!(
            (1..=window).contains(&stride),
            Usage(format!("a stride of {stride} is not from 1 to the window, {window}"))
        );
        ensure!(self.batch_size > 0, Usage("a batch size of 0".to_owned()));
        let _no_grad = tch::no_grad_guard();
        // No gradient is needed: the kernels of a frozen model.
        network.store().freeze(Kind::Float);
        let layers: Vec<String> = self.layer.iter().cloned().collect();
        let is_stage = layers.iter().all(|layer| network.stage(layer).is_some());
        if !is_stage {
            network.store().thaw();
        }
        let softmax = |logits: &Tensor| logits.f_softmax(1, Kind::Float);
        let pass = network.pass(x, &layers, false, Backward::Gradient)?;
        let whole = softmax(&pass.logits)?.f_double_value(&[0, class])?;
        let strongest = match pass.features.first() {
            None => None,
            Some(feature) => {
                let maps = network.maps(feature, [height, width])?.f_squeeze_dim(0)?;
                Some(maps.f_amax([1i64, 2].as_slice(), false)?.f_argmax(0, false)?.f_int64_value(&[])?)
            }
        };
        let [rows, columns] = self.grid([height, width]);
        let places: Vec<[i64; 2]> =
            (0..rows * columns).map(|i| [i / columns * stride, i % columns * stride]).collect();
        let (mut probabilities, mut classes, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        for some in places.chunks(self.batch_size as usize) {
            let covered = x.f_repeat([some.len() as i64, 1, 1, 1])?;
            let covered = crate::torch::channels_last(&covered)?;
            for (i, &[y, x]) in (0..).zip(some) {
                let part = covered.f_get(i)?.f_narrow(1, y, window.min(height - y))?;
                let _filled = part.f_narrow(2, x, window.min(width - x))?.f_fill_(self.baseline)?;
            }
            let pass = network.pass(&covered, &layers, false, Backward::Gradient)?;
            let all = softmax(&pass.logits)?;
            probabilities.push(all.f_select(1, class)?.f_to_device(Device::Cpu)?);
            classes.push(all.f_argmax(1, false)?.f_to_device(Device::Cpu)?);
            if let (Some(map), Some(feature)) = (strongest, pass.features.first()) {
                let map = network.maps(feature, [height, width])?.f_select(1, map)?;
                sums.push(
                    map.f_sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)?
                        .f_to_device(Device::Cpu)?,
                );
            }
            each(some.len())?;
        }
        let grid =
            |parts: &[Tensor]| -> Result<Tensor> { Ok(Tensor::f_cat(parts, 0)?.f_view([rows, columns])?) };
        let probability = grid(&probabilities)?;
        let options = (Kind::Double, Device::Cpu);
        let (sum, count) =
            (Tensor::f_zeros([height, width], options)?, Tensor::f_zeros([height, width], options)?);
        for (&[y, x], &p) in places.iter().zip(&Vec::<f32>::try_from(probability.f_view(-1)?)?) {
            let part = |t: &Tensor| -> Result<Tensor> {
                Ok(t.f_narrow(0, y, window.min(height - y))?.f_narrow(1, x, window.min(width - x))?)
            };
            let _added = part(&sum)?.f_add_scalar_(whole - f64::from(p))?;
            let _added = part(&count)?.f_add_scalar_(1.0)?;
        }
        let attribution = sum.f_div(&count)?.f_to_kind(Kind::Float)?;
        let activation = strongest.map(|map| Ok::<_, anyhow::Error>((map, grid(&sums)?))).transpose()?;
        Ok(Occluded { whole, probability, classes: grid(&classes)?, activation, attribution })
    }
}
