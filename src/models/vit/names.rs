//! The names of both libraries, and small-image nets of our own.

use super::{Backbone, Config, Pool};
use crate::models::Entry;
use crate::nn::Activation;

/// The name of a size, its configuration, its patch size, and the image sizes that timm has.
type Row = (&'static str, Config, i64, &'static [i64]);

/// Every ViT and DeiT by name.
pub(in crate::models) fn entries() -> Vec<Entry> {
    let mut entries = torchvision();
    entries.extend(plain());
    entries.extend(hybrid());
    entries.extend(clip());
    entries.extend(dinov2());
    entries.extend(siglip());
    entries.extend(deit());
    entries.extend(small_images());
    entries
}

fn vit(name: String, config: Config) -> Entry {
    Entry::new(name, "ViT", config)
}

fn torchvision() -> Vec<Entry> {
    let sizes = [
        ("vit_b_16", Config::base()),
        ("vit_b_32", Config::base().patch(32)),
        ("vit_l_16", Config::large()),
        ("vit_l_32", Config::large().patch(32)),
        ("vit_h_14", Config::huge().patch(14)),
    ];
    sizes.map(|(name, config)| vit(format!("torchvision/{name}"), config.torchvision())).into()
}

/// The paper's ViT and its larger variants.
fn plain() -> Vec<Entry> {
    let rows: [Row; 14] = [
        ("tiny", Config::tiny(), 16, &[224, 384]),
        ("small", Config::small().classes(0), 8, &[224]),
        ("small", Config::small(), 16, &[224, 384]),
        ("small", Config::small(), 32, &[224, 384]),
        ("base", Config::base(), 8, &[224]),
        ("base", Config::base(), 16, &[224, 384]),
        ("base", Config::base(), 32, &[224, 384]),
        ("large", Config::large(), 14, &[224]),
        ("large", Config::large(), 16, &[224, 384]),
        ("large", Config::large().classes(0), 32, &[224]),
        ("large", Config::large(), 32, &[384]),
        ("huge", Config::huge().classes(0), 14, &[224]),
        ("giant", Config::giant(), 14, &[224]),
        ("gigantic", Config::gigantic(), 14, &[224]),
    ];
    each(rows, "vit", "")
}

/// Over a residual net: the paper's and "How to train your ViT"'s (2106.10270), and timm's own over ResNet-D.
fn hybrid() -> Vec<Entry> {
    let bit = |config: Config, layers: &[i64]| config.hybrid(Backbone::Bit, layers);
    let resnet_d = |config: Config, layers: &[i64]| config.hybrid(Backbone::ResnetD, layers);
    let (r26, r50) = ([2, 2, 2, 2], [3, 4, 6, 3]);
    let small = Config { mlp_ratio: 3.0, ..Config::vit(768, 8, 8) };
    let stem = bit(Config::tiny(), &[]).patch(8);
    let nets = [
        ("tiny_r_s16_p8_224", stem.clone()),
        ("tiny_r_s16_p8_384", stem.image(384)),
        ("small_r26_s32_224", bit(Config::small(), &r26)),
        ("small_r26_s32_384", bit(Config::small(), &r26).image(384)),
        ("base_r26_s32_224", bit(Config::base(), &r26)),
        // The paper's own: the blocks of the fourth stage are moved to the third.
        ("base_r50_s16_224", bit(Config::base(), &[3, 4, 9]).classes(0)),
        ("base_r50_s16_384", bit(Config::base(), &[3, 4, 9]).image(384)),
        ("large_r50_s32_224", bit(Config::large(), &r50)),
        ("large_r50_s32_384", bit(Config::large(), &r50).image(384)),
        ("small_resnet26d_224", resnet_d(small.clone(), &r26)),
        ("small_resnet50d_s16_224", resnet_d(small, &r50[..3])),
        ("base_resnet26d_224", resnet_d(Config::base(), &r26)),
        ("base_resnet50d_224", resnet_d(Config::base(), &r50)),
    ];
    nets.map(|(name, config)| vit(format!("timm/vit_{name}"), config)).into()
}

/// `timm/FAMILY_SIZE_patchP_KINDIMAGE` for every row and image size.
fn each(rows: impl IntoIterator<Item = Row>, prefix: &'static str, kind: &str) -> Vec<Entry> {
    let family = if prefix == "vit" { "ViT" } else { "DeiT" };
    let mut entries = Vec::new();
    for (size, config, patch, images) in rows {
        for &image in images {
            let name = format!("timm/{prefix}_{size}_patch{patch}_{kind}{image}");
            entries.push(Entry::new(name, family, config.clone().patch(patch).image(image)));
        }
    }
    entries
}

/// The same rows, each with its configuration changed.
fn changed(rows: &[Row], change: fn(Config) -> Config) -> impl Iterator<Item = Row> {
    rows.iter().cloned().map(move |(size, config, patch, images)| (size, change(config), patch, images))
}

/// OpenCLIP's image towers; `quickgelu` is OpenAI's.
fn clip() -> Vec<Entry> {
    let quick = |config: Config, classes: i64| Config {
        activation: Activation::QuickGelu,
        ..config.clip().classes(classes)
    };
    let rows: [Row; 12] = [
        ("xsmall", Config::vit(256, 10, 4).clip().classes(512), 16, &[224]),
        ("medium", Config::medium().clip().classes(512), 16, &[224]),
        ("medium", Config::medium().clip().classes(512), 32, &[224]),
        ("betwixt", Config::vit(640, 12, 10).clip().classes(512), 32, &[224]),
        ("base", Config::base().clip(), 16, &[224, 384]),
        ("base", Config::base().clip(), 32, &[224, 384, 448]),
        ("base", Config::base().clip().classes(512), 32, &[256]),
        ("large", Config::large().clip(), 14, &[224, 336]),
        ("huge", Config::huge().clip(), 14, &[224, 336]),
        ("huge", Config::huge().clip().classes(1024), 14, &[378]),
        ("giant", Config::giant().clip().classes(1024), 14, &[224]),
        ("gigantic", Config::gigantic().clip().classes(1280), 14, &[224, 378]),
    ];
    let quick_rows: [Row; 5] = [
        ("base", quick(Config::base(), 512), 16, &[224]),
        ("base", quick(Config::base(), 512), 32, &[224]),
        ("large", quick(Config::large(), 768), 14, &[224, 336]),
        ("huge", quick(Config::huge(), 1024), 14, &[224, 378]),
        ("gigantic", quick(Config::gigantic(), 1280), 14, &[224]),
    ];
    let plus = Config::vit(896, 12, 14).clip().classes(640).image(240);
    let mut entries = each(rows, "vit", "clip_");
    entries.extend(each(quick_rows, "vit", "clip_quickgelu_"));
    entries.push(vit("timm/vit_base_patch16_plus_clip_240".into(), plus));
    entries
}

fn dinov2() -> Vec<Entry> {
    let swiglu = Config {
        mlp_ratio: 5.33334,
        activation: Activation::Silu,
        gated_mlp: true,
        ..Config::vit(1536, 40, 24)
    };
    let sizes =
        [("small", Config::small()), ("base", Config::base()), ("large", Config::large()), ("giant", swiglu)];
    let mut entries = Vec::new();
    for (size, config) in sizes {
        let config = config.dinov2();
        entries.push(vit(format!("timm/vit_{size}_patch14_dinov2"), config.clone()));
        entries.push(vit(format!("timm/vit_{size}_patch14_reg4_dinov2"), config.with_registers(4)));
    }
    entries
}

/// SigLIP's image towers, with its own pooling and (`gap`) with the mean; the later ones use the tanh approximation of
/// GELU.
fn siglip() -> Vec<Entry> {
    let tanh = |config: Config| Config { activation: Activation::GeluTanh, ..config };
    let giantopt = tanh(Config::vit(1536, 40, 16));
    let rows: [Row; 7] = [
        ("base", Config::base(), 16, &[224, 256, 384, 512]),
        ("base", tanh(Config::base()), 32, &[256]),
        ("large", Config::large(), 16, &[256, 384]),
        ("large", tanh(Config::large()), 16, &[512]),
        ("so400m", Config::so400m(), 14, &[224, 378, 384]),
        ("so400m", tanh(Config::so400m()), 16, &[256, 384, 512]),
        ("giantopt", giantopt, 16, &[256, 384]),
    ];
    let average = |config: Config| Config { pool: Pool::Average, ..config.siglip() };
    let dense: Row = ("so400m", average(Config::so400m()), 14, &[448, 896]);
    let mut entries = each(changed(&rows, Config::siglip), "vit", "siglip_");
    entries.extend(each(changed(&rows, average), "vit", "siglip_gap_"));
    entries.extend(each([dense], "vit", "siglip_gap_"));
    entries
}

fn deit() -> Vec<Entry> {
    let first: [Row; 6] = [
        ("tiny", Config::tiny(), 16, &[224]),
        ("small", Config::small(), 16, &[224]),
        ("base", Config::base(), 16, &[224, 384]),
        ("tiny_distilled", Config::tiny().distilled(), 16, &[224]),
        ("small_distilled", Config::small().distilled(), 16, &[224]),
        ("base_distilled", Config::base().distilled(), 16, &[224, 384]),
    ];
    let third: [Row; 5] = [
        ("small", Config::small().deit3(), 16, &[224, 384]),
        ("medium", Config::medium().deit3(), 16, &[224]),
        ("base", Config::base().deit3(), 16, &[224, 384]),
        ("large", Config::large().deit3(), 16, &[224, 384]),
        ("huge", Config::huge().deit3(), 14, &[224]),
    ];
    let mut entries = each(first, "deit", "");
    entries.extend(each(third, "deit3", ""));
    entries
}

/// For images of 28 to 64 pixels.
fn small_images() -> Vec<Entry> {
    let sizes = [("tiny", Config::tiny()), ("small", Config::small())];
    let small = |config: Config| config.classes(10).image(32).patch(4);
    sizes.map(|(size, config)| vit(format!("paper/vit_{size}_32"), small(config))).into()
}
