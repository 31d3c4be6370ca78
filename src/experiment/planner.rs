//! The base of an experiment with the settings of a variant, and errors at the place of the setting that is wrong.

use super::costs::Costs;
use super::source::Experiment;
use super::variant::{Assignment, Variant};
use crate::Invalid;
use crate::models::{Architecture, ModelSpec};
use crate::train::RunConfig;
use crate::yaml::{self, set_path};
use anyhow::{Context, Error, Result};
use serde_yaml::Value;

/// What the steps from variants to trials share.
pub(super) struct Planner<'a> {
    pub experiment: &'a Experiment,
    pub costs: Costs,
}

impl Planner<'_> {
    /// The base with the variant's settings.
    pub fn assigned(&self, variant: &Variant) -> Result<Value> {
        let base = self.experiment.base();
        let settings = variant.assignments.iter().filter(|a| !a.path.starts_with("scale."));
        let set = |value: &mut Value, a: &Assignment| {
            set_path(value, &a.path.split('.').collect::<Vec<_>>(), a.value.clone())
        };
        let check = |value: &Value| -> Result<()> {
            yaml::from_value::<RunConfig>(value)?.model.resolve()?;
            Ok(())
        };
        let mut value = base.clone();
        if settings.clone().try_for_each(|a| set(&mut value, a)).and_then(|()| check(&value)).is_ok() {
            return Ok(value);
        }
        // Once more, one by one, for the place of what is wrong.
        value = base;
        for a in settings {
            set(&mut value, a).and_then(|()| check(&value)).map_err(|e| self.misplaced(&a.place, &e))?;
        }
        Ok(value)
    }

    /// The value of a run at a key path, defaults included.
    pub fn knob(&self, config: &RunConfig, path: &str) -> Result<Value> {
        let (shape, classes) = self.costs.shape(config)?;
        if path == "data.image_size" {
            return Ok(shape[1].into());
        }
        let mut all = serde_yaml::to_value(config)?;
        let model = config.architecture(shape, classes)?;
        set_path(&mut all, &["model"], model.fields()?.into())?;
        let found = path.split('.').try_fold(&all, |value, key| value.as_mapping()?.get(key));
        found.cloned().with_context(|| renamed(&model, path).unwrap_or(format!("the base has no `{path}`")))
    }

    /// A knob of the model by its name of now: `model.depth` of a net whose blocks are `num_blocks` leads there.
    pub(super) fn present(&self, value: &Value, path: &str) -> Result<String> {
        let config: RunConfig = yaml::from_value(value)?;
        let (shape, classes) = self.costs.shape(&config)?;
        let model = config.architecture(shape, classes)?;
        let now = path.strip_prefix("model.").and_then(|field| model.renamed(field));
        Ok(now.map_or_else(|| path.to_owned(), |now| format!("model.{now}")))
    }

    /// What a run does, spelled the same for runs that do the same.
    pub fn signature(&self, config: &RunConfig) -> Result<String> {
        let (shape, classes) = self.costs.shape(config)?;
        let architecture = config.architecture(shape, classes)?;
        let model = ModelSpec { name: architecture.name.to_owned(), set: architecture.fields()? };
        yaml::to_string(&RunConfig { model, ..config.clone() })
    }

    /// An error of one assignment: at its key when that is unknown, else at its value.
    fn misplaced(&self, place: &[String], error: &Error) -> Error {
        let (invalid, document) = (Invalid::of(error), &self.experiment.document);
        if !invalid.unknown {
            return document.error(place, invalid);
        }
        let key = place.iter().position(|key| key.contains('.')).map_or(place.len(), |i| i + 1);
        document.key_error(&place[..key], invalid)
    }

    /// An error of a whole variant: at the last assignment of the setting that is wrong, else at the last of all.
    pub fn blame(&self, variant: &Variant, error: &Error) -> Error {
        let invalid = Invalid::of(error);
        let message = match variant.id().trim_end_matches('_') {
            "" => invalid.to_string(),
            id => format!("variant {id}: {invalid}"),
        };
        let keys = &invalid.keys;
        let sets = |a: &&Assignment| !keys.is_empty() && a.path.split('.').zip(keys).all(|(a, b)| a == b);
        let place = variant.assignments.iter().rev().find(sets).or(variant.assignments.last());
        let base = ["base".to_owned()];
        self.experiment.document.error(place.map_or(&base[..], |a| &a.place), message)
    }

    /// # Errors
    /// `message` at `place`, unless it `holds`.
    pub fn ensure(&self, holds: bool, place: &[&str], message: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.experiment.document.error(place, message)) }
    }
}

/// What to write in place of a key path that leads to a field of the model by its old name.
pub(super) fn renamed(model: &Architecture, path: &str) -> Option<String> {
    let now = model.renamed(path.strip_prefix("model.")?)?;
    Some(format!("`{path}` is now `model.{now}`"))
}
