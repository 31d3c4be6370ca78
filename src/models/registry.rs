//! Every model by name: `torchvision/NAME`, `timm/NAME`, `paper/NAME`.

use super::spec::ErasedConfig;
use super::{
    alexnet, bn_inception, convnext, densenet, efficientnet, googlenet, inception_resnet_v2, inception_v3,
    inception_v4, maxvit, mnasnet, mobile, mobilenet_v2, mobilenet_v3, regnet, resnet, shufflenet_v2, squeezenet, swin, vgg, vit, xception, xception_aligned,
};
use crate::nearest;
use anyhow::{Result, anyhow};
use std::sync::LazyLock;

/// One registered model.
pub struct Entry {
    /// `source/name`.
    pub name: String,
    pub family: &'static str,
    pub(super) config: Box<dyn ErasedConfig>,
}

impl Entry {
    /// `torchvision`, `timm` or `paper`.
    pub fn source(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// Where a bare name is looked for, in this order.
const SOURCES: [&str; 3] = ["torchvision", "timm", "paper"];

/// All registered models, in the order of their files.
pub fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let families = [
            alexnet::entries(),
            vgg::entries(),
            googlenet::entries(),
            bn_inception::entries(),
            inception_v3::entries(),
            inception_v4::entries(),
            inception_resnet_v2::entries(),
            resnet::entries(),
            xception::entries(),
            xception_aligned::entries(),
            densenet::entries(),
            squeezenet::entries(),
            shufflenet_v2::entries(),
            mnasnet::entries(),
            mobilenet_v2::entries(),
            mobilenet_v3::entries(),
            efficientnet::entries(),
            mobile::entries(),
            regnet::entries(),
            convnext::entries(),
            maxvit::entries(),
            vit::entries(),
            swin::entries(),
        ];
        families.into_iter().flatten().collect()
    });
    &ENTRIES
}

/// The model of this name; a bare name is torchvision's if it has one, else timm's, else the paper's.
///
/// # Errors
/// An unknown name; the message has the nearest.
pub fn find(name: &str) -> Result<&'static Entry> {
    let exact = |name: &str| entries().iter().find(|entry| entry.name == name);
    let found = match name.contains('/') {
        true => exact(name),
        false => SOURCES.iter().find_map(|source| exact(&format!("{source}/{name}"))),
    };
    found.ok_or_else(|| {
        let names = entries().iter().map(|entry| match name.contains('/') {
            true => entry.name.as_str(),
            false => entry.name.split_once('/').map_or("", |(_, bare)| bare),
        });
        let like = nearest(name, names).unwrap_or_default();
        anyhow!("unknown model `{name}`; did you mean `{like}`? `tchvision models list` has them all")
    })
}
