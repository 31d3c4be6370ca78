//! What runs see of their data and what their models cost, each worked out once.

use crate::models::Complexity;
use crate::train::RunConfig;
use crate::{Invalid, locked, yaml};
use anyhow::Result;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// What decides the shape of a data set's images: its name, its folder, the size that they are brought to.
type Images = (String, Option<PathBuf>, Option<i64>);
/// The shape of what a model sees, and its number of classes.
pub(super) type Shape = ([i64; 3], i64);

/// Shapes and costs that are known already.
#[derive(Default)]
pub(super) struct Costs {
    shapes: Mutex<HashMap<Images, Shape>>,
    /// By the model's spelling and the data's shape.
    costs: Mutex<HashMap<String, Result<Complexity, Invalid>>>,
}

impl Costs {
    /// What the model of a run sees of its data.
    pub fn shape(&self, config: &RunConfig) -> Result<Shape> {
        let data = &config.data;
        let key = (data.dataset.clone(), data.root.clone(), data.image_size);
        if let Some(shape) = locked(&self.shapes).get(&key) {
            return Ok(*shape);
        }
        let shape = data.shape()?;
        locked(&self.shapes).insert(key, shape);
        Ok(shape)
    }

    /// What a run's model costs on its data.
    pub fn of(&self, config: &RunConfig) -> Result<Complexity> {
        let (input, classes) = self.shape(config)?;
        let key = format!("{}{input:?}{classes}", yaml::to_string(&config.model)?);
        let known = locked(&self.costs).get(&key).cloned();
        let counted = known.unwrap_or_else(|| {
            let counted = config.complexity(input, classes).map_err(|error| Invalid::of(&error));
            locked(&self.costs).insert(key, counted.clone());
            counted
        });
        Ok(counted?)
    }

    /// As [`Self::of`], with an error at the field of the model that causes it.
    pub fn check(&self, config: &RunConfig) -> Result<Complexity> {
        let (input, classes) = self.shape(config)?;
        let costs = self.of(config).map_err(|error| config.blame(&error, input, classes))?;
        config.check_test_size(input, classes)?;
        config.check_protocol(input, &costs)?;
        config.check_parts(input, classes)?;
        config.check_teacher(input, classes)?;
        Ok(costs)
    }
}
