//! The names of both libraries, and small-image nets of our own.

use super::Config;
use crate::models::Entry;

/// Every Swin by name.
pub(in crate::models) fn entries() -> Vec<Entry> {
    let swin = |(name, config): (&str, Config)| Entry::new(name.to_owned(), "Swin", config);
    torchvision().into_iter().chain(first()).chain(second()).chain(small_images()).map(swin).collect()
}

type Named = (&'static str, Config);

fn torchvision() -> [Named; 6] {
    [
        ("torchvision/swin_t", Config::tiny().torchvision(0.2)),
        ("torchvision/swin_s", Config::small().torchvision(0.3)),
        ("torchvision/swin_b", Config::base().torchvision(0.5)),
        ("torchvision/swin_v2_t", Config::tiny().v2().torchvision(0.2)),
        ("torchvision/swin_v2_s", Config::small().v2().torchvision(0.3)),
        ("torchvision/swin_v2_b", Config::base().v2().torchvision(0.5)),
    ]
}

fn first() -> [Named; 6] {
    [
        ("timm/swin_tiny_patch4_window7_224", Config::tiny()),
        ("timm/swin_small_patch4_window7_224", Config::small()),
        ("timm/swin_base_patch4_window7_224", Config::base()),
        ("timm/swin_base_patch4_window12_384", Config::base().window(12).image(384)),
        ("timm/swin_large_patch4_window7_224", Config::large()),
        ("timm/swin_large_patch4_window12_384", Config::large().window(12).image(384)),
    ]
}

fn second() -> [Named; 12] {
    let [tiny, small, base, large] =
        [Config::tiny(), Config::small(), Config::base(), Config::large()].map(Config::v2);
    let pretrained = |config: &Config| Config { num_classes: 21841, ..config.clone().window(12).image(192) };
    let tuned =
        |config: &Config, window: i64, image: i64| config.clone().from_window12().window(window).image(image);
    [
        ("timm/swinv2_tiny_window8_256", tiny.clone()),
        ("timm/swinv2_tiny_window16_256", tiny.window(16)),
        ("timm/swinv2_small_window8_256", small.clone()),
        ("timm/swinv2_small_window16_256", small.window(16)),
        ("timm/swinv2_base_window8_256", base.clone()),
        ("timm/swinv2_base_window16_256", base.clone().window(16)),
        ("timm/swinv2_base_window12_192", pretrained(&base)),
        ("timm/swinv2_base_window12to16_192to256", tuned(&base, 16, 256)),
        ("timm/swinv2_base_window12to24_192to384", tuned(&base, 24, 384)),
        ("timm/swinv2_large_window12_192", pretrained(&large)),
        ("timm/swinv2_large_window12to16_192to256", tuned(&large, 16, 256)),
        ("timm/swinv2_large_window12to24_192to384", tuned(&large, 24, 384)),
    ]
}

/// For images of 28 to 64 pixels: three stages from patches of 2.
fn small_images() -> [Named; 2] {
    let tiny = Config {
        num_classes: 10,
        image_size: 32,
        patch_size: 2,
        depths: vec![2, 2, 6],
        heads: vec![3, 6, 12],
        window: 4,
        ..Config::tiny()
    };
    [
        ("paper/swin_tiny_32", tiny.clone()),
        ("paper/swin_v2_tiny_32", Config { version: super::Version::V2, ..tiny }),
    ]
}
