//! Class activation maps: which places of a picture speak for a class.
//!
//! Each method weighs the maps of a layer, A (C, h, w), by their gradient G of the class's logit, and keeps what is
//! positive of their sum. The numbers are those of grad-cam 1.5.7 (`pytorch_grad_cam/base_cam.py` and a file a method).

use super::Network;
use super::network::distinct;
use crate::Usage;
use crate::nn::Backward;
use anyhow::Result;
use std::fmt;
use std::str::FromStr;
use tch::{Kind, Tensor};

/// How the maps of a layer are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By the mean of their gradient (1610.02391).
    #[default]
    GradCam,
    /// By the gradient at each place (2011.08891).
    HiResCam,
    /// By what is positive of the gradient at each place (LayerCAM, TIP 2021).
    LayerCam,
    /// By positive gradients with weights of second order (1710.11063).
    GradCamPlusPlus,
    /// By the gradient at each place as a share of the map's sum (2008.02312).
    XGradCam,
    /// No class: their first principal component over the places (2008.00299).
    EigenCam,
    /// No gradient: by the class's score for the picture seen through each map (1910.01279).
    ScoreCam,
}

impl Method {
    pub const ALL: [Self; 7] = [
        Self::GradCam,
        Self::HiResCam,
        Self::LayerCam,
        Self::GradCamPlusPlus,
        Self::XGradCam,
        Self::EigenCam,
        Self::ScoreCam,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::GradCam => "gradcam",
            Self::HiResCam => "hirescam",
            Self::LayerCam => "layercam",
            Self::GradCamPlusPlus => "gradcam++",
            Self::XGradCam => "xgradcam",
            Self::EigenCam => "eigencam",
            Self::ScoreCam => "scorecam",
        }
    }

    fn needs_gradient(self) -> bool {
        !matches!(self, Self::EigenCam | Self::ScoreCam)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| Usage(format!("no method is called `{text}`; there are {names}")))
    }
}

/// What makes a map smoother.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smooth {
    /// The mean over the picture and its mirror image, each at 0.9, 1 and 1.1 times its contrast: six passes for one.
    pub augmented: bool,
    /// The first principal component of the weighed maps in place of their sum.
    pub eigen: bool,
}

/// How class activation maps are made.
#[derive(Clone, Debug, Default)]
pub struct Cam {
    pub method: Method,
    /// By PyTorch's names of the modules; without any, [`Network::default_layer`]. The map is the mean over several.
    pub layers: Vec<String>,
    pub smooth: Smooth,
}

/// The map of one picture.
#[derive(Debug)]
pub struct Map {
    /// (H, W) of the input, float32 from 0 to 1; all 0 where there is no evidence.
    pub map: Tensor,
    /// The map of each layer before scaling, (h, w) float32, not below 0; of the picture as it is.
    pub raw: Vec<(String, Tensor)>,
    /// Whether anything speaks for the class at these layers: the map is coloured otherwise for nothing.
    pub has_evidence: bool,
}

/// A second term that keeps divisions by 0 finite, as grad-cam has it.
const EPS: f64 = 1e-7;
/// Masked pictures that go through the network at once in ScoreCAM.
const MASKED: i64 = 16;

/// The classes of a batch's maps, given its logits (N, classes): sets of one class a picture.
type Choose<'a> = dyn FnMut(&Tensor) -> Result<Vec<Vec<i64>>> + 'a;

impl Cam {
    /// A map for each picture of a batch (N, C, H, W), of its class.
    ///
    /// # Errors
    /// [`Usage`]: a layer that the model does not have or whose output has no places.
    pub fn maps(&self, network: &Network, x: &Tensor, classes: &[i64]) -> Result<Vec<Map>> {
        let sets = self.chosen(network, x, &mut |_| Ok(vec![classes.to_vec()]))?;
        Ok(sets.into_iter().flatten().collect())
    }

    /// The same for classes that `choose` takes by the logits (N, classes): the maps of each set, for one pass of the
    /// network.
    ///
    /// # Errors
    /// As [`Cam::maps`], and those of `choose`.
    pub fn chosen(&self, network: &Network, x: &Tensor, choose: &mut Choose) -> Result<Vec<Vec<Map>>> {
        let layers = match self.layers.is_empty() {
            true => vec![network.default_layer(x)?],
            false => distinct(&self.layers),
        };
        let count = x.size()[0];
        network.store().thaw();
        let mut sets = Vec::new();
        let plain = self.once(network, x, &layers, &mut |logits| {
            sets = choose(logits)?;
            Ok(sets.clone())
        })?;
        let mut maps: Vec<Tensor> = plain.iter().map(|once| once.map.shallow_clone()).collect();
        if self.smooth.augmented {
            let mut sums = maps.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>()?;
            for flips in [false, true] {
                for factor in [0.9, 1.0, 1.1] {
                    let view = if flips { x.f_flip([3])? } else { x.shallow_clone() };
                    let view = view.f_mul_scalar(factor)?;
                    let each = self.once(network, &view, &layers, &mut |_| Ok(sets.clone()))?;
                    for (sum, Once { map, .. }) in sums.iter_mut().zip(each) {
                        *sum = sum.f_add(&if flips { map.f_flip([2])? } else { map })?;
                    }
                }
            }
            maps = sums.iter().map(|sum| sum.f_div_scalar(6.0)).collect::<Result<_, _>>()?;
        }
        let of_set =
            |(map, once): (&Tensor, &Once)| (0..count).map(|i| single(map, once, &layers, i)).collect();
        maps.iter().zip(&plain).map(of_set).collect()
    }

    fn once(
        &self,
        network: &Network,
        x: &Tensor,
        layers: &[String],
        choose: &mut Choose,
    ) -> Result<Vec<Once>> {
        let size = [x.size()[2], x.size()[3]];
        if !self.method.needs_gradient() {
            let _no_grad = tch::no_grad_guard();
            let pass = network.pass(x, layers, false, Backward::Gradient)?;
            let maps = pass.features.iter().map(|feature| network.maps(feature, size));
            let maps = maps.collect::<Result<Vec<_>>>()?;
            let each = choose(&pass.logits)?.into_iter();
            return each.map(|classes| self.weighed(network, x, &classes, &maps, &[])).collect();
        }
        // A graph also where no weight has a gradient.
        let x = x.f_detach()?.f_set_requires_grad(true)?;
        let pass = network.pass(&x, layers, false, Backward::Gradient)?;
        let sets = choose(&pass.logits.f_detach()?)?;
        let tensors: Vec<&Tensor> = pass.features.iter().map(|feature| &feature.tensor).collect();
        let mut maps = Vec::new();
        for feature in &pass.features {
            maps.push(network.maps(feature, size)?.f_detach()?);
        }
        let mut each = Vec::new();
        for (i, classes) in sets.iter().enumerate() {
            let target = Tensor::from_slice(classes).f_to_device(x.device())?.f_unsqueeze(1)?;
            let logit = pass.logits.f_gather(1, &target, false)?.f_sum(Kind::Float)?;
            let again = i + 1 < sets.len();
            let found = Tensor::f_run_backward(&[&logit], &tensors, again, false)?;
            let gradients = pass
                .features
                .iter()
                .zip(found)
                .map(|(feature, gradient)| network.maps(&feature.with(gradient), size));
            let gradients = gradients.collect::<Result<Vec<_>>>()?;
            each.push(self.weighed(network, &x, classes, &maps, &gradients)?);
        }
        Ok(each)
    }

    /// The sum of each layer's maps by their weights, and the mean of the layers at the size of the input.
    fn weighed(
        &self,
        network: &Network,
        x: &Tensor,
        classes: &[i64],
        maps: &[Tensor],
        gradients: &[Tensor],
    ) -> Result<Once> {
        let _no_grad = tch::no_grad_guard();
        let size = [x.size()[2], x.size()[3]];
        let mut raw = Vec::new();
        for (i, maps) in maps.iter().enumerate() {
            let maps = maps.f_to_kind(Kind::Float)?;
            let weights = match self.method {
                Method::EigenCam => None,
                Method::ScoreCam => Some(scores(network, x, classes, &maps)?),
                _ => Some(self.weights(&maps, &gradients[i].f_to_kind(Kind::Float)?)?),
            };
            let sum = match weights {
                None => component(&maps)?,
                Some(weights) if self.smooth.eigen => component(&weights.f_mul(&maps)?)?,
                Some(weights) => {
                    weights.f_mul(&maps)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?
                }
            };
            raw.push(sum.f_clamp_min(0.0)?.f_to_device(tch::Device::Cpu)?);
        }
        let mut map = Tensor::f_zeros([x.size()[0], size[0], size[1]], (Kind::Float, tch::Device::Cpu))?;
        for raw in &raw {
            map = map.f_add(&resized(&scaled(raw)?, size)?)?;
        }
        Ok(Once { map: scaled(&map.f_div_scalar(raw.len() as f64)?)?, raw })
    }

    /// What multiplies the maps (N, C, h, w): of each map, or of each place.
    fn weights(&self, a: &Tensor, g: &Tensor) -> Result<Tensor> {
        let over_places = |t: &Tensor| t.f_sum_dim_intlist([2i64, 3].as_slice(), true, Kind::Float);
        Ok(match self.method {
            Method::HiResCam => g.shallow_clone(),
            Method::LayerCam => g.f_clamp_min(0.0)?,
            Method::GradCamPlusPlus => {
                let (squared, cubed) = (g.f_square()?, g.f_pow_tensor_scalar(3)?);
                let below =
                    squared.f_mul_scalar(2.0)?.f_add(&over_places(a)?.f_mul(&cubed)?)?.f_add_scalar(1e-6)?;
                let alpha = squared.f_div(&below)?.f_masked_fill(&g.f_eq(0.0)?, 0.0)?;
                over_places(&alpha.f_mul(&g.f_clamp_min(0.0)?)?)?
            }
            Method::XGradCam => over_places(&g.f_mul(a)?.f_div(&over_places(a)?.f_add_scalar(EPS)?)?)?,
            Method::GradCam | Method::EigenCam | Method::ScoreCam => {
                g.f_mean_dim([2i64, 3].as_slice(), true, Kind::Float)?
            }
        })
    }
}

/// Maps of one pass: (N, H, W), and of each layer (N, h, w).
struct Once {
    map: Tensor,
    raw: Vec<Tensor>,
}

/// Of one picture of a batch.
fn single(map: &Tensor, once: &Once, layers: &[String], i: i64) -> Result<Map> {
    let (mut raw, mut has_evidence) = (Vec::new(), false);
    for (layer, maps) in layers.iter().zip(&once.raw) {
        let map = maps.f_get(i)?;
        let spread = map.f_max()?.f_double_value(&[])? - map.f_min()?.f_double_value(&[])?;
        has_evidence |= spread > 0.0 && spread.is_finite();
        raw.push((layer.clone(), map));
    }
    let map = map.f_get(i)?;
    Ok(Map { map: if has_evidence { map } else { map.f_zeros_like()? }, raw, has_evidence })
}

/// The class's score of each picture seen through each of its maps, after a softmax over the maps: (N, C, 1, 1).
fn scores(network: &Network, x: &Tensor, classes: &[i64], maps: &Tensor) -> Result<Tensor> {
    let (n, channels, ..) = maps.size4()?;
    let mut all = Vec::new();
    for (i, &class) in (0..n).zip(classes) {
        let image = x.f_narrow(0, i, 1)?;
        let mut scores = Vec::new();
        for first in (0..channels).step_by(MASKED as usize) {
            let some = maps.f_get(i)?.f_narrow(0, first, MASKED.min(channels - first))?.f_unsqueeze(1)?;
            let large = some.f_upsample_bilinear2d([x.size()[2], x.size()[3]], true, None, None)?;
            let least = large.f_amin([2i64, 3].as_slice(), true)?;
            let most = large.f_amax([2i64, 3].as_slice(), true)?;
            let masks = large.f_sub(&least)?.f_div(&most.f_sub(&least)?.f_add_scalar(1e-8)?)?;
            let logits = network.logits(&image.f_mul(&masks)?)?;
            scores.push(logits.f_select(1, class)?.f_to_kind(Kind::Float)?);
        }
        all.push(Tensor::f_cat(&scores, 0)?.f_softmax(0, Kind::Float)?);
    }
    Ok(Tensor::f_stack(&all, 0)?.f_view([n, channels, 1, 1])?)
}

/// The projection of each place's values over the channels on their first principal component: (N, h, w). Its sign, which
/// is free, makes the greatest value positive.
fn component(maps: &Tensor) -> Result<Tensor> {
    let (n, _, h, w) = maps.size4()?;
    let places = maps.f_flatten(2, -1)?.f_transpose(1, 2)?.f_to_kind(Kind::Double)?;
    let centred = places.f_sub(&places.f_mean_dim([1i64].as_slice(), true, Kind::Double)?)?;
    // The component's direction over the channels by the vectors over the places, of which there are fewer.
    let gram = centred.f_matmul(&centred.f_transpose(1, 2)?)?;
    let (_, vectors) = gram.f_linalg_eigh("L")?;
    let first = vectors.f_narrow(2, h * w - 1, 1)?;
    let direction = centred.f_transpose(1, 2)?.f_matmul(&first)?;
    let length =
        direction.f_norm_scalaropt_dim(2, [1i64].as_slice(), true)?.f_clamp_min(f64::MIN_POSITIVE)?;
    let projected = centred.f_matmul(&direction.f_div(&length)?)?.f_view([n, h * w])?;
    let (least, most) =
        (projected.f_amin([1i64].as_slice(), true)?, projected.f_amax([1i64].as_slice(), true)?);
    let flipped = least.f_abs()?.f_gt_tensor(&most.f_abs()?)?;
    let signed = projected.f_where_self(&flipped.f_logical_not()?, &projected.f_neg()?)?;
    Ok(signed.f_view([n, h, w])?.f_to_kind(Kind::Float)?)
}

/// Maps (N, h, w), each from 0 at its least value to 1 at its greatest.
pub(super) fn scaled(maps: &Tensor) -> Result<Tensor> {
    let shifted = maps.f_sub(&maps.f_amin([1i64, 2].as_slice(), true)?)?;
    Ok(shifted.f_div(&shifted.f_amax([1i64, 2].as_slice(), true)?.f_add_scalar(EPS)?)?)
}

/// Maps (N, h, w) at another size: bilinear between the middles of the pixels.
pub(super) fn resized(maps: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
    let large = maps.f_unsqueeze(1)?.f_upsample_bilinear2d([height, width], false, None, None)?;
    Ok(large.f_squeeze_dim(1)?)
}
