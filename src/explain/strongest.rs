//! The pictures that excite a map the most, each beside what of it did: ZFNet's figures 2 and 4.

use super::figure::{grid, part, signed};
use super::network::Network;
use super::project::{Feature, field, project};
use super::{Look, Panel};
use crate::classifier::Classifier;
use crate::data::Skipped;
use crate::data::image::RgbImage;
use crate::evaluate::ReadPictures;
use crate::nn::Backward;
use crate::{Usage, brief};
use anyhow::{Result, ensure};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Which maps of a layer, and how many pictures of each.
#[derive(Clone, Debug)]
pub struct Strongest {
    /// [`Network::default_layer`] without one.
    pub layer: Option<String>,
    /// Numbers of maps; without any, `count` that are spread evenly over the layer.
    pub maps: Vec<i64>,
    pub count: usize,
    /// Pictures of each map.
    pub top: usize,
    pub backward: Backward,
    /// Pictures that go through the network at once.
    pub batch_size: usize,
}

impl Default for Strongest {
    fn default() -> Self {
        let backward = Backward::Deconvnet;
        Self { layer: None, maps: Vec::new(), count: 16, top: 9, backward, batch_size: 32 }
    }
}

/// A picture that excites a map.
#[derive(Clone, Debug)]
pub struct Excited {
    /// Its place among the pictures.
    pub picture: usize,
    pub title: String,
    /// The greatest activation.
    pub value: f64,
    /// The part of the input that the map sees there.
    pub patch: RgbImage,
    /// What of that part led to the activation.
    pub projection: RgbImage,
}

/// The strongest pictures of a map.
#[derive(Clone, Debug)]
pub struct Strong {
    pub map: i64,
    /// From the strongest on.
    pub pictures: Vec<Excited>,
}

impl Strongest {
    /// The strongest pictures of each map, and the layer; `each` hears of every picture, `skipped` of those that cannot be
    /// read.
    ///
    /// # Errors
    /// [`Usage`]: a layer or map that the model does not have, no pictures; and those of `each`.
    pub fn of(
        &self,
        classifier: &Classifier,
        pictures: &dyn ReadPictures,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(String, Vec<Strong>)> {
        ensure!(pictures.count() > 0, Usage("no pictures to look through".into()));
        let network = Network::of(classifier);
        let mut layer = self.layer.clone();
        let mut maps = self.maps.clone();
        // Of each map the value and the picture, from the strongest on.
        let mut best: Vec<Vec<(f64, usize)>> = Vec::new();
        let places: Vec<usize> = (0..pictures.count()).collect();
        network.store().freeze(Kind::Float);
        for some in places.chunks(self.batch_size.max(1)) {
            let (mut inputs, mut read) = (Vec::new(), Vec::new());
            for &place in some {
                match pictures.decode(place).and_then(|image| Look::at(classifier, &image)) {
                    Ok(look) => {
                        inputs.push(look.input);
                        read.push(place);
                    }
                    Err(error) => skipped(Skipped { name: pictures.title(place), reason: brief(&error) }),
                }
                each()?;
            }
            if inputs.is_empty() {
                continue;
            }
            let _no_grad = tch::no_grad_guard();
            let x = Tensor::f_cat(&inputs, 0)?;
            let layer = match &layer {
                Some(layer) => layer.clone(),
                None => layer.insert(network.default_layer(&x)?).clone(),
            };
            if best.is_empty() && network.stage(&layer).is_none() {
                network.store().thaw();
            }
            let pass = network.pass(&x, &[layer], false, Backward::Gradient)?;
            let found = network.maps(&pass.features[0], [x.size()[2], x.size()[3]])?;
            let peaks = found.f_amax([2i64, 3].as_slice(), false)?.f_to_device(Device::Cpu)?;
            let channels = peaks.size()[1];
            if best.is_empty() {
                if maps.is_empty() {
                    let count = (self.count as i64).clamp(1, channels);
                    maps = (0..count).map(|i| i * channels / count).collect();
                }
                let wrong = maps.iter().find(|map| !(0..channels).contains(*map));
                ensure!(
                    wrong.is_none(),
                    Usage(format!("no map {}: the layer has {channels}, from 0", wrong.unwrap_or(&0)))
                );
                best = vec![Vec::new(); maps.len()];
            }
            for (best, &map) in best.iter_mut().zip(&maps) {
                let values = Vec::<f64>::try_from(peaks.f_select(1, map)?.f_to_kind(Kind::Double)?)?;
                best.extend(values.into_iter().zip(read.iter().copied()).filter(|(value, _)| *value > 0.0));
                best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                best.truncate(self.top);
            }
        }
        let layer = layer.ok_or_else(|| Usage("no picture could be read".into()))?;
        let mut strong = Vec::new();
        for (&map, best) in maps.iter().zip(&best) {
            let excited = best
                .iter()
                .map(|&(value, picture)| self.excited(classifier, pictures, &layer, map, value, picture));
            strong.push(Strong { map, pictures: excited.collect::<Result<_>>()? });
        }
        Ok((layer, strong))
    }

    fn excited(
        &self,
        classifier: &Classifier,
        pictures: &dyn ReadPictures,
        layer: &str,
        map: i64,
        value: f64,
        picture: usize,
    ) -> Result<Excited> {
        let network = Network::of(classifier);
        let look = Look::at(classifier, &pictures.decode(picture)?)?;
        let feature = Feature::Map(layer.to_owned(), Some(map));
        let projected = project(&network, &look.input, &feature, self.backward)?;
        let place = projected.place.map_or([0, 0], |(_, place)| place);
        let seen = field(&network, &look.input, layer, place)?;
        let [rows, columns] = seen.clone();
        let pixels = projected.pixels.f_narrow(1, rows.start, rows.end - rows.start)?;
        let pixels = pixels.f_narrow(2, columns.start, columns.end - columns.start)?;
        let [rows, columns]: [Range<usize>; 2] = seen.map(|range| range.start as usize..range.end as usize);
        let patch = part(&look.shown, rows, columns);
        let title = pictures.title(picture);
        Ok(Excited { picture, title, value, patch, projection: signed(&pixels)? })
    }
}

impl Strong {
    /// Two pictures: the projections in a square, and the patches likewise.
    pub fn panels(&self, what: &str) -> [Panel; 2] {
        let square = |of: fn(&Excited) -> &RgbImage| grid(&self.pictures.iter().map(of).collect::<Vec<_>>());
        let most = self.pictures.first().map_or(0.0, |excited| excited.value);
        let caption = match self.pictures.is_empty() {
            true => format!("map {}: never active", self.map),
            false => format!("map {}, up to {most:.2}", self.map),
        };
        [
            Panel { image: square(|excited| &excited.projection), caption: vec![caption, what.to_owned()] },
            Panel {
                image: square(|excited| &excited.patch),
                caption: vec![String::new(), "patches".to_owned()],
            },
        ]
    }
}
