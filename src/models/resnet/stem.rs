//! What stands before the blocks.

use super::config::{Config, StemKind, StemPool};
use crate::nn::{Conv2d, ConvNormAct, Layer, MaxPool2d, Path, Sequence};
use anyhow::Result;
use tch::Tensor;

/// The stem without its pooling: in pre-activation nets its last convolution is bare.
pub(super) fn convolutions(path: &Path, config: &Config) -> Result<Sequence> {
    let (names, out) = (config.keys.names(), config.stem_channels());
    let one = |kernel| vec![config.conv(config.in_chans, out, kernel)];
    let three = |first| {
        let half = out / 2;
        vec![config.conv(config.in_chans, first, 3), config.conv(first, half, 3), config.conv(half, out, 3)]
    };
    let (mut convs, names) = match config.stem {
        StemKind::Single => (one(7), &names.single[..]),
        StemKind::Cifar => (one(3), &names.single[..]),
        StemKind::Deep => (three(out / 2), &names.deep[..]),
        StemKind::Tiered => (three(3 * out / 8), &names.deep[..]),
    };
    convs[0] = convs[0].stride(config.stem_stride);
    let bare = config.pre_activation && !config.norm_before_pool;
    let last = convs.len() - 1;
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    for (i, (conv, [conv_name, norm_name])) in convs.into_iter().zip(names).enumerate() {
        let [conv_path, norm_path] = [conv_name, norm_name].map(|name| path / key(config, name));
        layers.push(if bare && i == last {
            Box::new(Conv2d::new(&conv_path, conv)?)
        } else {
            Box::new(ConvNormAct::relu(config.conv_norm(&conv_path, &norm_path, conv)?))
        });
    }
    Ok(Sequence(layers))
}

/// timm's stem alone has no prefix.
fn key<'a>(config: &Config, name: &'a str) -> &'a str {
    if config.planes.is_empty() { name.trim_start_matches("stem.") } else { name }
}

impl StemPool {
    pub(super) fn layer(self, tf_same: bool) -> Option<Box<dyn Layer>> {
        let pool = MaxPool2d { stride: 2, ..MaxPool2d::new(3) };
        match self {
            StemPool::None => None,
            StemPool::Padded if tf_same => Some(Box::new(SamePadded(pool))),
            StemPool::Padded => Some(Box::new(MaxPool2d { padding: 1, ..pool })),
            StemPool::Ceil => Some(Box::new(MaxPool2d { ceil_mode: true, ..pool })),
            StemPool::Zeros => Some(Box::new(ZeroPadded(pool))),
        }
    }
}

/// Zeros around the image before the pooling.
struct ZeroPadded(MaxPool2d);

impl Layer for ZeroPadded {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward(&x.f_constant_pad_nd([1; 4])?, train)
    }
}

/// TensorFlow's SAME padding: ⌈size/2⌉ outputs per side, and one place more at the end than at the start of an even one.
struct SamePadded(MaxPool2d);

impl Layer for SamePadded {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (_, _, h, w) = x.size4()?;
        let padding = [w % 2, 1, h % 2, 1];
        self.0.forward(&x.f_pad(padding, "constant", f64::NEG_INFINITY)?, train)
    }
}
