//! A network whose layers are looked at, by the names that PyTorch has for its modules.

use crate::Usage;
use crate::classifier::Classifier;
use crate::models::Model;
use crate::names::did_you_mean;
use crate::nn::{Backward, Observe, Seen, Store, observe};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use tch::Tensor;

/// A model and the store of its tensors, with what their names tell.
pub struct Network<'a> {
    model: &'a dyn Model,
    store: &'a Store,
    keys: Vec<String>,
    /// Whether maps have their channels last, as Swin's: the one kind of net with windows and without batch norm.
    is_swin: bool,
    /// Tokens before those of the patches: of the class, of distillation, registers.
    pub(super) prefix_tokens: i64,
}

/// The output of a layer in one pass.
pub(super) struct Feature {
    pub layer: String,
    pub tensor: Tensor,
    /// Whether its channels are its last dimension: of tokens, and of Swin's maps.
    channels_last: bool,
}

impl Feature {
    /// Something else of the same shape, such as its gradient.
    pub fn with(&self, tensor: Tensor) -> Self {
        Self { layer: self.layer.clone(), tensor, channels_last: self.channels_last }
    }
}

/// A pass that kept what was asked for.
pub(super) struct Pass {
    pub logits: Tensor,
    /// In the order in which they were asked for.
    pub features: Vec<Feature>,
    pub seen: Seen,
}

/// What stands before the name of a stage that is also that of a layer in it.
const STAGE: &str = "stage:";

/// What the names of the tokens before those of the patches end in.
const PREFIX: [&str; 4] = ["cls_token", "class_token", "dist_token", "reg_token"];

impl<'a> Network<'a> {
    /// `store` has the tensors of `model`.
    pub fn new(model: &'a dyn Model, store: &'a Store) -> Self {
        let state = store.state_dict();
        let has = |ends: &[&str]| state.iter().any(|(key, _)| ends.iter().any(|end| key.ends_with(end)));
        let is_swin = has(&["relative_position_bias_table", "logit_scale"]) && !has(&["running_mean"]);
        let tokens =
            state.iter().filter(|(key, _)| key.rsplit('.').next().is_some_and(|name| PREFIX.contains(&name)));
        let prefix_tokens = tokens.map(|(_, tensor)| tensor.size().get(1).copied().unwrap_or(1)).sum();
        let keys = state.into_iter().map(|(key, _)| key).collect();
        Self { model, store, keys, is_swin, prefix_tokens }
    }

    pub fn of(classifier: &'a Classifier) -> Self {
        Self::new(classifier.model(), classifier.store())
    }

    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// The stages, and all modules with a weight.
    pub fn layers(&self) -> Vec<String> {
        let stages: Vec<String> = self.stages().into_iter().map(str::to_owned).collect();
        let modules = self.keys.iter().filter_map(|key| key.strip_suffix(".weight"));
        let modules: Vec<String> =
            modules.filter(|module| !stages.iter().any(|stage| stage == module)).map(str::to_owned).collect();
        [stages, modules].concat()
    }

    fn stages(&self) -> Vec<&'a str> {
        self.model.stages().into_iter().map(|(name, _)| name).collect()
    }

    /// The stage of this name, whose output a frozen pass has too. A layer with a weight of its own comes before a stage
    /// that begins with it, unless `stage:` stands before the name; and a stage may have the modules around it before its
    /// own name, as in `trunk_output.block4`.
    pub(super) fn stage(&self, layer: &str) -> Option<&'a str> {
        let stages = self.stages();
        let named = |name: &str| stages.iter().copied().find(|stage| *stage == name);
        if let Some(name) = layer.strip_prefix(STAGE) {
            return named(name);
        }
        if self.keys.iter().any(|key| key.strip_suffix(".weight") == Some(layer)) {
            return None;
        }
        let around = |stage: &&str| {
            let is_end = layer.strip_suffix(*stage).is_some_and(|rest| rest.ends_with('.'));
            let is_below = |key: &String| key.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
            is_end && self.keys.iter().any(is_below)
        };
        named(layer).or_else(|| stages.iter().copied().find(around))
    }

    /// The name by which [`Network::stage`] finds a stage.
    fn name_of(&self, stage: &str) -> String {
        if self.stage(stage).is_some() { stage.to_owned() } else { format!("{STAGE}{stage}") }
    }

    /// The logits of a batch (N, C, H, W), with the outputs of these layers.
    ///
    /// # Errors
    /// A layer that the model does not have ([`Usage`]), and images that it does not take.
    pub(super) fn pass(
        &self,
        x: &Tensor,
        layers: &[String],
        attention: bool,
        backward: Backward,
    ) -> Result<Pass> {
        let stages: Vec<Option<&str>> = layers.iter().map(|layer| self.stage(layer)).collect();
        let modules = layers.iter().zip(&stages).filter(|(_, stage)| stage.is_none());
        let modules: Vec<String> = modules.map(|(layer, _)| layer.clone()).collect();
        let (is_swin, mut features) = (self.is_swin, Vec::new());
        let (logits, mut seen) = observe(self.store, Observe { modules, attention, backward }, || {
            let mut x = x.shallow_clone();
            for (name, stage) in self.model.stages() {
                let y = stage.forward(&x, false);
                x = y.with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
                if let Some(place) = stages.iter().position(|stage| *stage == Some(name)) {
                    // What follows may write into what it owns.
                    let copy = x.f_add_scalar(0.0)?;
                    let tensor = std::mem::replace(&mut x, copy);
                    let channels_last = tensor.dim() == 3 || is_swin;
                    features.push(Feature { layer: layers[place].clone(), tensor, channels_last });
                }
            }
            self.model.head().forward(&x, false).context("head")
        });
        let logits = logits?;
        for output in std::mem::take(&mut seen.outputs) {
            let channels_last = output.channels_last || output.tensor.dim() == 3 || is_swin;
            features.push(Feature { layer: output.module, tensor: output.tensor, channels_last });
        }
        let mut found = Vec::new();
        for layer in layers {
            let place = features.iter().position(|feature| feature.layer == *layer);
            let Some(place) = place else { bail!(self.unknown(layer)) };
            found.push(features.swap_remove(place));
        }
        Ok(Pass { logits, features: found, seen })
    }

    fn unknown(&self, layer: &str) -> Usage {
        let all = self.layers();
        let stages = self.stages().join(", ");
        let near = did_you_mean(layer, all.iter().map(String::as_str), &format!("the stages are {stages}"));
        Usage(format!("no layer is called `{layer}` as PyTorch names modules; {near}"))
    }

    /// The layer whose maps are shown unless another is named: the last stage whose output has more than one place. For
    /// tokens it is the norm before the attention of the last block, since with a class token the patches of the last
    /// block's output have no gradient; for Swin the norm before the last MLP, whose maps lie on the object where those of
    /// the norm before are heavy with background (torch-cam, pull request 412).
    ///
    /// # Errors
    /// A model without such a layer, and images that it does not take.
    pub fn default_layer(&self, x: &Tensor) -> Result<String> {
        let features = tch::no_grad(|| self.model.features(&x.f_narrow(0, 0, 1)?, false))?;
        let (last, output) = features.last().context("a model without stages")?;
        let wanted: &[&str] = match output.dim() {
            _ if self.is_swin => &["norm2"],
            3 if self.prefix_tokens > 0 => &["norm1", "ln_1"],
            3 => return Ok(self.name_of(last)),
            _ => &[],
        };
        if !wanted.is_empty() {
            let layers = self.layers();
            let norm = layers.iter().rev().find(|layer| {
                let rest = layer.strip_prefix(last.as_str()).and_then(|rest| rest.strip_prefix('.'));
                rest.is_some_and(|rest| wanted.contains(&rest.rsplit('.').next().unwrap_or(rest)))
            });
            return norm.cloned().with_context(|| format!("no norm is in `{last}`; name a layer"));
        }
        Ok(self.name_of(&last_spatial(&features)?))
    }

    /// The last stage whose output has more than one place.
    ///
    /// # Errors
    /// [`Usage`]: a model without such a stage.
    pub fn last_map_stage(&self, x: &Tensor) -> Result<String> {
        let features = tch::no_grad(|| self.model.features(&x.f_narrow(0, 0, 1)?, false))?;
        Ok(self.name_of(&last_spatial(&features)?))
    }

    /// A layer's output as maps (N, C, h, w), for images of this height and width: tokens in the grid of their patches,
    /// without those before them.
    ///
    /// # Errors
    /// [`Usage`]: an output without places.
    pub(super) fn maps(&self, feature: &Feature, [height, width]: [i64; 2]) -> Result<Tensor> {
        let Feature { layer, tensor, channels_last } = feature;
        let flat =
            || Usage(format!("the output of `{layer}`, {:?}, has no places in the picture", tensor.size()));
        let maps = match tensor.size().as_slice() {
            [_, _, _, _] if *channels_last => tensor.f_permute([0, 3, 1, 2])?,
            [_, _, _, _] => tensor.shallow_clone(),
            &[n, tokens, c] => {
                let patches = tokens - self.prefix_tokens;
                let [h, w] = patch_grid(patches, [height, width]).ok_or_else(flat)?;
                let patches = tensor.f_narrow(1, self.prefix_tokens, patches)?.f_transpose(1, 2)?;
                patches.f_reshape([n, c, h, w])?
            }
            _ => bail!(flat()),
        };
        Ok(maps)
    }

    /// Logits of a frozen or plain evaluation pass without gradient.
    pub(super) fn logits(&self, x: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| self.model.forward(x, false))
    }

    /// The names of the last two stages.
    pub fn last_two(&self) -> Vec<String> {
        let stages = self.stages();
        stages[stages.len().saturating_sub(2)..].iter().map(|stage| self.name_of(stage)).collect()
    }

    /// The names of the first and the last stage.
    ///
    /// # Errors
    /// A model without stages.
    pub fn ends(&self) -> Result<[String; 2]> {
        let stages = self.stages();
        let (first, last) = (stages.first(), stages.last());
        let none = "a model without stages";
        Ok([first.context(none)?, last.context(none)?].map(|stage| self.name_of(stage)))
    }
}

/// Rows and columns of so many patches in an image of this height and width; `None` where they fill none.
pub(super) fn patch_grid(patches: i64, [height, width]: [i64; 2]) -> Option<[i64; 2]> {
    let rows = ((patches * height) as f64 / width as f64).sqrt().round() as i64;
    (rows > 0 && patches % rows == 0).then(|| [rows, patches / rows])
}

fn last_spatial(features: &[(String, Tensor)]) -> Result<String> {
    // Channels may come first or last.
    let has_places = |output: &Tensor| match output.size()[..] {
        [_, tokens, _] => tokens > 1,
        [_, b, c, d] => b * c > 1 && c * d > 1,
        _ => false,
    };
    let spatial = features.iter().rev().find(|(_, output)| has_places(output));
    let none = || Usage("no stage of this model has maps of more than one place; name a layer".to_owned());
    Ok(spatial.with_context(none)?.0.clone())
}

/// Names in order, each once.
pub(super) fn distinct(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect()
}
