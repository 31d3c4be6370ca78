//! Attention rollout (2005.00928): which patches the class token has looked at, through all blocks.
//!
//! As vit-explain has it (`vit_rollout.py`, `vit_grad_rollout.py`), with rows that add up to 1.

use super::Network;
use super::cam::{Map, resized, scaled};
use super::network::patch_grid;
use crate::Usage;
use crate::nn::Backward;
use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

/// How the heads of a block become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    #[default]
    Mean,
    Max,
    Min,
}

/// How attention is rolled out.
#[derive(Clone, Copy, Debug)]
pub struct Rollout {
    pub fusion: Fusion,
    /// The share of each block's least attention that is left out.
    pub discard: f64,
    /// Attention times what is positive of its gradient of the class, the mean over the heads, in place of `fusion`.
    pub gradient: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { fusion: Fusion::Mean, discard: 0.9, gradient: false }
    }
}

impl Rollout {
    /// A map for each picture of a batch (N, C, H, W); of its class, where the gradient is asked for. `choose` hears the
    /// logits and says the class of each picture.
    ///
    /// # Errors
    /// [`Usage`]: a network whose blocks do not all see all tokens, or without a class token.
    pub fn maps(
        &self,
        network: &Network,
        x: &Tensor,
        choose: &mut dyn FnMut(&Tensor) -> Result<Vec<i64>>,
    ) -> Result<Vec<Map>> {
        ensure!(
            (0.0..1.0).contains(&self.discard),
            Usage(format!("a discard of {} is not in 0 to 1", self.discard))
        );
        network.store().thaw();
        let x = x.f_detach()?.f_set_requires_grad(true)?;
        let pass = network.pass(&x, &[], true, Backward::Gradient)?;
        let classes = choose(&pass.logits.f_detach()?)?;
        let attention = &pass.seen.attention;
        let (count, prefix) = (x.size()[0], network.prefix_tokens);
        let tokens = attention.first().map_or(0, |matrix| matrix.size()[3]);
        let is_whole = |matrix: &Tensor| matrix.size()[0] == count && matrix.size()[2..] == [tokens, tokens];
        ensure!(
            !attention.is_empty() && prefix > 0 && attention.iter().all(is_whole),
            Usage("rollout is for networks with a class token whose blocks all see all tokens, as ViT and DeiT; class activation maps are for all".into())
        );
        let gradients = match self.gradient {
            false => Vec::new(),
            true => {
                let target = Tensor::from_slice(&classes).f_to_device(x.device())?.f_unsqueeze(1)?;
                let logit = pass.logits.f_gather(1, &target, false)?.f_sum(Kind::Float)?;
                Tensor::f_run_backward(&[&logit], &attention.iter().collect::<Vec<_>>(), false, false)?
            }
        };
        let _no_grad = tch::no_grad_guard();
        let eye = Tensor::f_eye(tokens, (Kind::Float, x.device()))?;
        let mut rolled = eye.f_expand([count, tokens, tokens], false)?;
        for (i, matrix) in attention.iter().enumerate() {
            let matrix = matrix.f_detach()?.f_to_kind(Kind::Float)?;
            let fused = match (gradients.get(i), self.fusion) {
                (Some(gradient), _) => matrix
                    .f_mul(gradient)?
                    .f_mean_dim([1i64].as_slice(), false, Kind::Float)?
                    .f_clamp_min(0.0)?,
                (None, Fusion::Mean) => matrix.f_mean_dim([1i64].as_slice(), false, Kind::Float)?,
                (None, Fusion::Max) => matrix.f_amax([1i64].as_slice(), false)?,
                (None, Fusion::Min) => matrix.f_amin([1i64].as_slice(), false)?,
            };
            let fused = without_least(&fused, self.discard)?.f_add(&eye)?.f_div_scalar(2.0)?;
            let rows = fused.f_sum_dim_intlist([2i64].as_slice(), true, Kind::Float)?;
            rolled = fused.f_div(&rows)?.f_matmul(&rolled)?;
        }
        let patches = tokens - prefix;
        let size = [x.size()[2], x.size()[3]];
        let [h, w] = patch_grid(patches, size).with_context(|| format!("{patches} patches are no grid"))?;
        let raw = rolled.f_select(1, 0)?.f_narrow(1, prefix, patches)?.f_reshape([count, h, w])?;
        let raw = raw.f_to_device(Device::Cpu)?;
        let maps = resized(&scaled(&raw)?, size)?;
        let map = |i: i64| -> Result<Map> {
            let (raw, map) = (raw.f_get(i)?, maps.f_get(i)?);
            let has_evidence = raw.f_max()?.f_double_value(&[])? > raw.f_min()?.f_double_value(&[])?;
            Ok(Map { map, raw: vec![("attention".to_owned(), raw)], has_evidence })
        };
        (0..count).map(map).collect()
    }
}

/// Matrices (N, T, T) with this share of their least entries set to 0, never the class token's of itself.
fn without_least(matrix: &Tensor, share: f64) -> Result<Tensor> {
    let flat = matrix.f_flatten(1, -1)?;
    let count = (flat.size()[1] as f64 * share) as i64;
    let (_, least) = flat.f_topk(count, 1, false, false)?;
    let kept = flat.f_scatter_value(1, &least, 0.0)?;
    let first = flat.f_narrow(1, 0, 1)?;
    let rest = kept.f_narrow(1, 1, flat.size()[1] - 1)?;
    Ok(Tensor::f_cat(&[first, rest], 1)?.f_view(matrix.size().as_slice())?)
}
