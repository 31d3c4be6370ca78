//! AlexNet over two devices (the paper's section 3.2): each has half of every layer's channels, and each half sees both
//! in the layers with one group.

use super::config::{Config, ConvLayer, FIELD, RESPONSE_NORM, ResponseNorm};
use crate::models::net::Net;
use crate::nn::{
    self, Activation, Conv2d, Dropout, Layer, Linear, LocalResponseNorm, Logits, MaxPool2d, Outputs, Path,
    adaptive_avg_pool,
};
use crate::torch::device;
use anyhow::{Context, Result, ensure};
use tch::{Device, Tensor};

/// `x` on this device; `None` is the meta device.
fn on(x: &Tensor, device: Option<Device>) -> Result<Tensor> {
    match device {
        Some(device) if device != x.device() => Ok(x.f_to_device(device)?),
        _ => Ok(x.shallow_clone()),
    }
}

/// Two halves of one tensor's channels, each on its own device.
struct Halves([Tensor; 2]);

impl Halves {
    /// All channels, on this device.
    fn gather(&self, device: Option<Device>) -> Result<Tensor> {
        let [first, second] = &self.0;
        Ok(Tensor::f_cat(&[on(first, device)?, on(second, device)?], 1)?)
    }

    /// `f` of each.
    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let [first, second] = &self.0;
        Ok(Self([f(first)?, f(second)?]))
    }

    /// Normalises each half; the channels at the boundary see their neighbours in the other half.
    fn response_norm(&self, norm: &LocalResponseNorm, devices: [Option<Device>; 2]) -> Result<Self> {
        let ([first, second], reach) = (&self.0, norm.size / 2);
        let (left, right) = (first.size()[1], second.size()[1]);
        let after = on(&second.f_narrow(1, 0, reach.min(right))?, devices[0])?;
        let before = on(&first.f_narrow(1, (left - reach).max(0), reach.min(left))?, devices[1])?;
        let wide = [Tensor::f_cat(&[first, &after], 1)?, Tensor::f_cat(&[&before, second], 1)?];
        let [wide_first, wide_second] = [norm.forward(&wide[0], false)?, norm.forward(&wide[1], false)?];
        let own_second = wide_second.f_narrow(1, before.size()[1], right)?;
        Ok(Self([wide_first.f_narrow(1, 0, left)?, own_second]))
    }
}

/// A convolution split in halves, with its activation and what follows it.
struct Stage {
    halves: [Conv2d; 2],
    /// Whether each half sees the channels of both halves.
    sees_both: bool,
    activation: Activation,
    norm: ResponseNorm,
    pool: Option<MaxPool2d>,
}

impl Stage {
    fn new(
        paths: &[Path; 2],
        config: &Config,
        in_channels: i64,
        layer: &ConvLayer,
        is_first: bool,
    ) -> Result<Self> {
        ensure!(layer.channels % 2 == 0, "{} channels cannot be halved", layer.channels);
        ensure!(matches!(layer.groups, 1 | 2), "`groups` {} must be 1 or 2 in two towers", layer.groups);
        ensure!(layer.groups == 1 || !is_first, "the first layer sees the whole image: `groups` must be 1");
        let half = ConvLayer { channels: layer.channels / 2, groups: 1, ..layer.clone() };
        let conv = |path: &Path| Conv2d::new(path, config.conv(in_channels / layer.groups, &half));
        Ok(Self {
            halves: [conv(&paths[0])?, conv(&paths[1])?],
            sees_both: layer.groups == 1 && !is_first,
            activation: config.activation,
            norm: layer.norm,
            pool: layer.max_pool(config.pool_kernel),
        })
    }

    fn forward(&self, x: &Halves, devices: [Option<Device>; 2], train: bool) -> Result<Halves> {
        let seen = if self.sees_both {
            Halves([x.gather(devices[0])?, x.gather(devices[1])?])
        } else {
            x.map(|half| Ok(half.shallow_clone()))?
        };
        let half = |i: usize| self.halves[i].forward_act(&seen.0[i], self.activation, train);
        let mut y = Halves([half(0)?, half(1)?]);
        if self.norm == ResponseNorm::BeforePool {
            y = y.response_norm(&RESPONSE_NORM, devices)?;
        }
        if let Some(pool) = &self.pool {
            y = y.map(|half| pool.forward(half, train))?;
        }
        if self.norm == ResponseNorm::AfterPool {
            y = y.response_norm(&RESPONSE_NORM, devices)?;
        }
        Ok(y)
    }
}

/// All convolutions: the whole image to each tower, the features of both gathered on the first device.
struct Features {
    stages: Vec<Stage>,
    devices: [Option<Device>; 2],
}

impl Layer for Features {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut halves = Halves([on(x, self.devices[0])?, on(x, self.devices[1])?]);
        for (stage, number) in self.stages.iter().zip(1..) {
            halves = stage
                .forward(&halves, self.devices, train)
                .with_context(|| format!("convolution {number} of `convs`"))?;
        }
        halves.gather(self.devices[0])
    }
}

/// Hidden layers in halves, each seeing the features of both, and the logits on the first device.
struct Head {
    hidden: Vec<[Linear; 2]>,
    dropout: Dropout,
    activation: Activation,
    logits: Logits,
    devices: [Option<Device>; 2],
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let mut x = adaptive_avg_pool(x, [FIELD; 2])?.f_flatten(1, -1)?;
        for halves in &self.hidden {
            x = self.dropout.forward(&x, train)?;
            let half = |i: usize| halves[i].forward_act(&on(&x, self.devices[i])?, self.activation, train);
            x = Halves([half(0)?, half(1)?]).gather(self.devices[0])?;
        }
        self.logits.of(x, train)
    }
}

/// The net of a [`Config`] with `towers: 2`.
pub(super) fn network(path: &Path, config: &Config) -> Result<Net> {
    let devices = [path.device(), path.device().map(device::next).transpose()?];
    let towers: [Path; 2] = std::array::from_fn(|i| {
        let tower = path / "towers" / i;
        devices[i].map_or(tower.clone(), |device| tower.on(device))
    });
    let at = |key: String| [&towers[0] / &key, &towers[1] / &key];
    let (mut channels, mut index) = (config.in_chans, 0);
    let mut stages = Vec::new();
    for (layer, number) in config.convs.iter().zip(1..) {
        let stage = Stage::new(&at(format!("features.{index}")), config, channels, layer, number == 1);
        stages.push(stage.with_context(|| format!("convolution {number} of `convs`"))?);
        index += layer.keys();
        channels = layer.channels;
    }
    let mut features = channels * FIELD * FIELD;
    let mut hidden = Vec::new();
    for (i, &width) in config.hidden.iter().enumerate() {
        ensure!(width % 2 == 0, "`hidden`: {width} features cannot be halved");
        let [first, second] = at(format!("classifier.{}", 3 * i + 1));
        let half = |path: &Path| config.hidden_layer(path, features, width / 2);
        hidden.push([half(&first)?, half(&second)?]);
        features = width;
    }
    let logits = config.logits(&(path / "classifier" / (3 * hidden.len())), features)?;
    let dropout = Dropout::new(config.dropout)?;
    let features: Box<dyn Layer> = Box::new(Features { stages, devices });
    Ok(Net::new(
        vec![("features", features)],
        Head { hidden, dropout, activation: config.activation, logits, devices },
    ))
}
