//! `tchvision explain occlusion`.

use super::pictures::{Classes, Common, Drawing, Found, Pictures, label, probability};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Kind, Tensor};
use tchvision::Classifier;
use tchvision::data::image::RgbImage;
use tchvision::explain::{Figure, Network, Occluded, Occlusion, Panel, coloured};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    classes: Classes,
    /// Side of the cover in pixels of the input; without it, a seventh of the input's
    #[arg(long, value_name = "PIXELS")]
    window: Option<i64>,
    /// Pixels from one position to the next; without it, a quarter of the window
    #[arg(long, value_name = "PIXELS")]
    stride: Option<i64>,
    /// The value of the cover after normalisation; 0 is the mean colour
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    baseline: f64,
    /// The stage whose strongest map is watched; without it, the last
    #[arg(long, value_name = "STAGE")]
    layer: Option<String>,
    /// Covered pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 25)]
    batch_size: i64,
    #[command(flatten)]
    drawing: Drawing,
}

/// Classes of the map of the most probable one that have a colour; the rest is grey.
const COLOURED: usize = 8;
const COLOURS: [[u8; 3]; COLOURED] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [240, 228, 66],
    [68, 68, 68],
];

pub fn run(args: &Args) -> Result<()> {
    let overlay = args.drawing.overlay()?;
    let mut pictures = Pictures::new(&args.images)?;
    let classifier = args.common.open()?;
    let class = args.classes.only(&classifier)?;
    let network = Network::of(&classifier);
    let [_, height, width] = classifier.input().shape();
    let window = args.window.unwrap_or((height.min(width) / 7).max(1));
    let stride = args.stride.unwrap_or((window / 4).max(1));
    let layer = match &args.layer {
        Some(layer) => layer.clone(),
        None => network.last_map_stage(&classifier.input().blank(classifier.device())?)?,
    };
    let occlusion = Occlusion {
        window,
        stride,
        baseline: args.baseline,
        layer: Some(layer.clone()),
        batch_size: args.batch_size,
    };
    let what = json!({"explain": "occlusion", "method": "occlusion", "window": window, "stride": stride,
                      "baseline": args.baseline, "layers": [layer], "colours": args.drawing.colours.name()});
    pictures.steps(occlusion.positions([height, width]) as usize);
    pictures.each(&args.common, &classifier, what, &mut |pictures, _, look| {
        let logits = tch::no_grad(|| classifier.model().forward(&look.input, false))?;
        let id = class.chosen(&logits)?[0];
        let found = occlusion
            .of(&network, &look.input, id, &mut |done| (0..done).try_for_each(|_| pictures.step()))?;
        let name = label(&classifier, id);
        let map = scaled(&found.attribution)?;
        let figure = figure(&classifier, &found, &look.shown, &map, [&name, &layer], &overlay)?;
        let mut tensors = vec![
            ("map".to_owned(), map),
            ("raw".to_owned(), found.attribution.shallow_clone()),
            ("probability".to_owned(), found.probability.shallow_clone()),
            ("classes".to_owned(), found.classes.shallow_clone()),
        ];
        let mut about = json!({"class": id, "label": name, "probability": probability(&logits, id)?,
                                   "positions": found.probability.size()});
        if let Some((map, sums)) = &found.activation {
            tensors.push(("activation".to_owned(), sums.shallow_clone()));
            about["map"] = json!(map);
        }
        let least = found.probability.f_min()?.f_double_value(&[])?;
        let line = format!("{name} {:.2} %, down to {:.2} %", 100.0 * found.whole, 100.0 * least);
        Ok(Found { figure, tensors, about, line })
    })
}

/// From 0 to 1, where anything falls: what rises is 0.
fn scaled(attribution: &Tensor) -> Result<Tensor> {
    let falls = attribution.f_clamp_min(0.0)?;
    let most = falls.f_max()?.f_double_value(&[])?;
    Ok(falls.f_div_scalar(if most > 0.0 { most } else { 1.0 })?)
}

/// The picture, its attribution, P(class), the activation and the most probable class by the position of the cover.
fn figure(
    classifier: &Classifier,
    found: &Occluded,
    shown: &RgbImage,
    map: &Tensor,
    [name, layer]: [&String; 2],
    overlay: &tchvision::explain::Overlay,
) -> Result<Figure> {
    let size = [shown.height as i64, shown.width as i64];
    let large = |grid: &Tensor| -> Result<Tensor> {
        let grid = grid.f_to_kind(Kind::Float)?.f_unsqueeze(0)?.f_unsqueeze(0)?;
        Ok(grid.f_upsample_nearest2d(size, None, None)?.f_view(size)?)
    };
    let panel =
        |image: RgbImage, first: String, second: String| Panel { image, caption: vec![first, second] };
    let mut row = vec![
        panel(shown.clone(), "input".into(), format!("{name} {:.2} %", 100.0 * found.whole)),
        panel(overlay.over(shown, map)?, "fall of P".into(), "by pixel".into()),
        panel(
            coloured(&large(&found.probability)?, overlay.colours)?,
            format!("P({name})"),
            "by the cover's place".into(),
        ),
    ];
    if let Some((map, sums)) = &found.activation {
        let low = sums.f_min()?.f_double_value(&[])?;
        let spread = (sums.f_max()?.f_double_value(&[])? - low).max(f64::MIN_POSITIVE);
        let image = coloured(&large(&sums.f_sub_scalar(low)?.f_div_scalar(spread)?)?, overlay.colours)?;
        row.push(panel(
            image,
            format!("map {map} of {layer}"),
            format!("sum, {low:.3} to {:.3}", low + spread),
        ));
    }
    let classes = Vec::<i64>::try_from(found.classes.f_view(-1)?)?;
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    classes.iter().for_each(|class| *counts.entry(*class).or_default() += 1);
    let mut common: Vec<(i64, usize)> = counts.into_iter().collect();
    common.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
    let colour = |class: i64| {
        let place = common.iter().position(|(known, _)| *known == class).unwrap_or(COLOURED);
        COLOURS.get(place).copied().unwrap_or([200; 3])
    };
    let places = Vec::<f32>::try_from(large(&found.classes)?.f_view(-1)?)?;
    let pixels = places.into_iter().flat_map(|class| colour(class as i64)).collect();
    let image = RgbImage { width: shown.width, height: shown.height, pixels };
    row.push(panel(image, "most probable".into(), "by the cover's place".into()));
    let of = classes.len();
    let legend = common.iter().take(COLOURED).map(|&(class, count)| {
        (Some(colour(class)), format!("{} at {count} of {of}", label(classifier, class)))
    });
    let scale = Some((overlay.colours, ["0".to_owned(), "1".to_owned()]));
    let title = format!("Occlusion of {}", classifier.name());
    let rest = row.split_off(3);
    Ok(Figure { title, rows: vec![row, rest], scale, legend: legend.collect() })
}
