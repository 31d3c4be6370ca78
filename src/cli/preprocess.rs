//! `tchvision preprocess`: the tensor that classify would feed to the network.

use super::print;
use anyhow::Result;
use std::collections::HashMap;
use std::path::PathBuf;
use tch::Device;
use tchvision::data::image;
use tchvision::weights::{self, catalogue};
use tchvision::{Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    image: PathBuf,
    /// Whose input: such as `resnet50`, `timm/resnet50.a1_in1k`
    #[arg(long, value_name = "NAME[.TAG]")]
    model: String,
    /// Height and width of the input; without it, those of the weights
    #[arg(long, value_name = "SIDE")]
    image_size: Option<i64>,
    /// Where `input` (1, 3, H, W) goes, float32
    #[arg(long, value_name = "OUT.safetensors")]
    to: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let entry = catalogue::find(&args.model).map_err(|error| Usage(brief(&error)))?;
    let mut preprocess = entry.preprocess.clone();
    if let Some(side) = args.image_size {
        preprocess = preprocess.at(side);
    }
    let input = preprocess.input([&preprocess.crop(&image::read(&args.image)?)?], Device::Cpu)?;
    let shape = input.size();
    weights::save(&args.to, &[("input".to_owned(), input.f_contiguous()?)], HashMap::new())?;
    print(format_args!("{}: input {shape:?}", args.to.display()))
}
