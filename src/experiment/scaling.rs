//! Compound scaling of a run, with knobs that whole numbers turn.

use super::planner::Planner;
use super::setting::Settings;
use super::space::{Dimension, Scale};
use super::variant::{Assignment, Variant};
use crate::yaml::{self, set_path};
use anyhow::{Context, Error, Result};
use serde_json::Value as Json;
use serde_yaml::Value;

/// How far from the scaled value a whole number may move until it makes a model.
const NEIGHBOURS: i64 = 32;

impl Planner<'_> {
    /// Multiplies the three knobs of `scale` in `value`, and returns their settings.
    pub(super) fn scaled(&self, variant: &Variant, value: &mut Value) -> Result<Settings> {
        let spec = &self.experiment.spec;
        let scale = match (&spec.scale, &spec.search) {
            (Some(scale), _) => scale.clone(),
            (None, Some(_)) => Scale::default(),
            (None, None) => {
                let stray = variant.assignments.iter().find(|a| a.path.starts_with("scale."));
                let message = "there is no `scale` whose key this could be";
                return match stray {
                    Some(a) => Err(self.experiment.document.error(&a.place, message)),
                    None => Ok(Settings::new()),
                };
            }
        };
        let [mut phi, mut alpha, mut beta, mut gamma] =
            [Some(0.0), scale.alpha, scale.beta, scale.gamma].map(|x| x.unwrap_or(1.0));
        for Assignment { path, value, place } in &variant.assignments {
            let Some(key) = path.strip_prefix("scale.") else { continue };
            let (Some(number), Some(to)) = (
                value.as_f64(),
                match key {
                    "phi" => Some(&mut phi),
                    "alpha" => Some(&mut alpha),
                    "beta" => Some(&mut beta),
                    "gamma" => Some(&mut gamma),
                    _ => None,
                },
            ) else {
                let message =
                    "numbers of `scale` are `scale.phi`, `scale.alpha`, `scale.beta`, `scale.gamma`";
                return Err(self.experiment.document.error(place, message));
            };
            *to = number;
        }
        let mut settings = Settings::new();
        let knobs = [
            (Dimension::Depth, &scale.depth, alpha),
            (Dimension::Width, &scale.width, beta),
            (Dimension::Resolution, &scale.resolution, gamma),
        ];
        for (dimension, path, coefficient) in knobs {
            let factor = coefficient.powf(phi);
            if factor == 1.0 {
                continue;
            }
            let setting = self
                .present(value, path)
                .and_then(|path| {
                    let setting = self.scaled_knob(value, &path, |knob| dimension.times(knob, factor))?;
                    Ok((path, setting))
                })
                .map_err(|e| self.blame(variant, &e.context(format!("`{path}` times {factor:.4}"))))?;
            settings.insert(setting.0, setting.1);
        }
        Ok(settings)
    }

    /// Sets one knob to its scaled value, or to the whole number nearest to it that makes a model.
    fn scaled_knob(
        &self,
        value: &mut Value,
        path: &str,
        times: impl Fn(&Value) -> Option<Value>,
    ) -> Result<Json> {
        let keys: Vec<&str> = path.split('.').collect();
        let now = self.knob(&yaml::from_value(value)?, path)?;
        let wanted = times(&now).with_context(|| format!("it is {now:?}, which is no number"))?;
        let others = wanted.as_i64().map_or(Vec::new(), |n| {
            (1..=NEIGHBOURS).flat_map(|d| [n + d, n - d]).filter(|&n| n > 0).map(Value::from).collect()
        });
        let mut first = None;
        for setting in std::iter::once(wanted).chain(others) {
            let mut trial = value.clone();
            set_path(&mut trial, &keys, setting.clone())?;
            match yaml::from_value(&trial).and_then(|config| self.costs.of(&config)) {
                Ok(_) => {
                    *value = trial;
                    return Ok(serde_json::to_value(setting)?);
                }
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        Err(first.unwrap_or_else(|| Error::msg("no setting makes a model")))
    }
}
