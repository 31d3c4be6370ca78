//! Adapts pretrained tensors to a model with other classes, input channels, input size or patch size, as timm
//! does (`timm/models/_manipulate.py`, and each model's `checkpoint_filter_fn`).

use super::resample::{Resampling, patch_kernel, position_embedding, relative_position_table};
use super::{Format, StateDict};
use crate::models::ModelSpec;
use crate::nn::Store;
use anyhow::{Context, Result, ensure};
use std::collections::{HashMap, HashSet};
use tch::{Kind, Tensor};

/// How to adapt the classifier to other classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Classes<'a> {
    /// The model keeps its newly initialised classifier, where the file has another number of classes or none.
    New,
    /// The same, also where the file has as many.
    Anew,
    /// The model's classes are these classes of the file, in this order.
    Selected(&'a [i64]),
}

/// Adapts a file's tensors to a model that differs from the pretrained one in `num_classes`, `in_chans`,
/// `patch_size` or the input size. Only classifiers, stems and position tables change, and only if their
/// shapes differ; for a model without classes the classifier is dropped. Other differences are left to the
/// strict load, which refuses them.
///
/// `model` has the tensors of `spec`. Returns the names of the classifier tensors that are newly initialised.
///
/// # Errors
/// A selected class that the file does not have, or a stem that cannot be adapted.
pub fn adapt(
    state: &mut StateDict,
    spec: &ModelSpec,
    model: &[(String, Tensor)],
    classes: Classes,
) -> Result<Vec<String>> {
    let heads = classifier(spec)?;
    let stems = depends_on(spec, "in_chans")?;
    let resampling = match state.format {
        Format::Npz => Resampling::Bilinear,
        _ => Resampling::Bicubic,
    };
    // For a model without a classifier, drop the file's.
    let has: HashSet<&str> = model.iter().map(|(name, _)| name.as_str()).collect();
    state.tensors.retain(|(name, _)| has.contains(name.as_str()) || !heads.contains(name));
    if classes == Classes::Anew {
        state.tensors.retain(|(name, _)| !heads.contains(name));
    }
    // If the file has no classifier, an explicit `num_classes` adds a new one.
    let is_headless = !state.tensors.iter().any(|(name, _)| heads.contains(name));
    let starts_anew =
        is_headless && spec.set.contains_key("num_classes") && !matches!(classes, Classes::Selected(_));
    let mut fresh = Vec::new();
    for (name, wanted) in model {
        let wanted = wanted.size();
        let Some(i) = state.tensors.iter().position(|(known, _)| known == name) else {
            if starts_anew && heads.contains(name) {
                fresh.push(name.clone());
            }
            continue;
        };
        let tensor = state.tensors[i].1.shallow_clone();
        if tensor.size() == wanted {
            continue;
        }
        let fitted = if heads.contains(name) && tensor.size().get(1..) == wanted.get(1..) {
            match classes {
                Classes::Selected(indices) => Some(select_classes(&tensor, indices)),
                Classes::New | Classes::Anew => {
                    state.tensors.remove(i);
                    fresh.push(name.clone());
                    continue;
                }
            }
        } else if stems.contains(name)
            && let (&[_, _, has_h, has_w], &[_, in_chans, h, w]) =
                (tensor.size().as_slice(), wanted.as_slice())
        {
            let is_patch = [has_h, has_w] != [h, w] && depends_on(spec, "patch_size")?.contains(name);
            let kernel = if is_patch { patch_kernel(&tensor, [h, w], resampling) } else { Ok(tensor) };
            Some(kernel.and_then(|kernel| input_conv(&kernel, in_chans)))
        } else {
            positions(name, &tensor, &wanted, resampling)
        };
        if let Some(fitted) = fitted {
            let fitted = fitted.with_context(|| format!("{}: `{name}`", state.path.display()))?;
            let (name, view) = state.tensors.swap_remove(i);
            state.tensors.push((name, view.map(|_| Ok(fitted))?));
        }
    }
    Ok(fresh)
}

/// The tensors of the classifier.
///
/// # Errors
/// An invalid `spec`.
pub fn classifier(spec: &ModelSpec) -> Result<HashSet<String>> {
    depends_on(spec, "num_classes")
}

/// The tensors whose shapes depend on a field of the configuration; none if the model accepts no other value.
fn depends_on(spec: &ModelSpec, field: &str) -> Result<HashSet<String>> {
    let fields = spec.resolve()?.fields()?;
    let Some(value) = fields.get(field).and_then(serde_yaml::Value::as_i64) else {
        return Ok(HashSet::new());
    };
    let shapes = |value: i64| -> Result<HashMap<String, Vec<i64>>> {
        let mut spec = spec.clone();
        spec.set(field, &value.to_string())?;
        let store = Store::meta();
        spec.resolve()?.build(&store)?;
        Ok(store.state_dict().into_iter().map(|(name, tensor)| (name, tensor.size())).collect())
    };
    let these = shapes(value)?;
    let Ok(mut others) = shapes(value + 1) else { return Ok(HashSet::new()) };
    others.retain(|name, shape| these.get(name) != Some(shape));
    Ok(others.into_keys().collect())
}

/// The rows of a classifier's weight or bias for these classes, in this order.
///
/// # Errors
/// A class that the classifier does not have.
pub fn select_classes(tensor: &Tensor, classes: &[i64]) -> Result<Tensor> {
    let has = *tensor.size().first().context("a classifier without classes")?;
    if let Some(class) = classes.iter().find(|class| !(0..has).contains(*class)) {
        anyhow::bail!("no class {class}: the file has {has} classes");
    }
    Ok(tensor.f_index_select(0, &Tensor::from_slice(classes))?)
}

/// Adapts the first convolution (out, 3, h, w) of an RGB model to `in_chans` channels: summed for one
/// channel, repeated and scaled otherwise, so that the response to grey images stays about the same (timm's
/// `adapt_input_conv`).
///
/// # Errors
/// A weight whose number of channels is not 3 or, for one channel, not a multiple of 3.
pub fn input_conv(weight: &Tensor, in_chans: i64) -> Result<Tensor> {
    let &[out, has, h, w] = weight.size().as_slice() else {
        anyhow::bail!("a first convolution of shape {:?} cannot be adapted", weight.size());
    };
    ensure!(in_chans > 0, "{in_chans} input channels");
    if in_chans == has {
        return Ok(weight.shallow_clone());
    }
    let kind = weight.f_kind()?;
    let weight = weight.f_to_kind(Kind::Float)?;
    let adapted = match in_chans {
        // Space-to-depth stems have several groups of three channels; each is summed.
        1 if has > 3 && has % 3 == 0 => {
            weight.f_reshape([out, has / 3, 3, h, w])?.f_sum_dim_intlist(2, false, None::<Kind>)?
        }
        1 if has <= 3 => weight.f_sum_dim_intlist(1, true, None::<Kind>)?,
        _ => {
            ensure!(has == 3, "a first convolution of {has} channels cannot be adapted to {in_chans}");
            let repeats = (in_chans + 2) / 3;
            let repeated = weight.f_repeat([1, repeats, 1, 1])?.f_narrow(1, 0, in_chans)?;
            repeated.f_mul_scalar(3.0 / in_chans as f64)?
        }
    };
    Ok(adapted.f_to_kind(kind)?)
}

/// Resizes a position table; `None` if the tensor is not one or a size is not square.
fn positions(name: &str, table: &Tensor, wanted: &[i64], resampling: Resampling) -> Option<Result<Tensor>> {
    let side = |n: i64| Some(n.isqrt()).filter(|side| *side > 0 && side * side == n);
    match (name.rsplit('.').next()?, table.size().as_slice(), wanted) {
        ("pos_embed" | "pos_embedding", &[1, has, width], &[1, wants, same]) if width == same => {
            // Class, distillation and register tokens come first; the rest is square in both.
            let prefix =
                (0..has.min(wants)).find(|n| side(has - n).is_some() && side(wants - n).is_some())?;
            let new = side(wants - prefix)?;
            Some(position_embedding(table, [new, new], None, prefix, resampling))
        }
        ("relative_position_bias_table", &[has, heads], &[wants, same]) if heads == same => {
            let (old, new) = (side(has)?, side(wants)?);
            Some(relative_position_table(table, [old, old], [new, new]))
        }
        _ => None,
    }
}
