//! `tchvision preprocess`: the tensor that classify would feed to the network.

use super::{network, print};
use anyhow::Result;
use std::collections::HashMap;
use std::path::PathBuf;
use tch::Device;
use tchvision::data::ModelInput;
use tchvision::data::image;
use tchvision::weights::{self, catalogue};
use tchvision::{Classifier, Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    image: PathBuf,
    /// Whose input: such as `resnet50`, `timm/resnet50.a1_in1k`
    #[arg(long, value_name = "NAME[.TAG]", required_unless_present = "run")]
    model: Option<String>,
    /// The run whose input: its directory, or a file of its weights
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "model")]
    run: Option<PathBuf>,
    #[command(flatten)]
    input: network::Input,
    /// Where `input` (1, C, H, W) goes, float32
    #[arg(long, value_name = "OUT.safetensors")]
    to: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let input = args.model_input()?;
    let image = input.preprocess.crop(&image::read(&args.image)?)?;
    let tensor = input.of_views([&image], Device::Cpu)?;
    let shape = tensor.size();
    weights::save(&args.to, &[("input".to_owned(), tensor.f_contiguous()?)], HashMap::new())?;
    print(format_args!("{}: input {shape:?}", args.to.display()))
}

impl Args {
    fn model_input(&self) -> Result<ModelInput> {
        if let Some(run) = &self.run {
            let classifier = network::open(self.input.of(Classifier::of_file(run)))?;
            network::show_notes(&classifier);
            return Ok(classifier.input().clone());
        }
        let name = self.model.as_deref().unwrap_or_default();
        let entry = catalogue::find(name).map_err(|error| Usage(brief(&error)))?;
        self.input.of_entry(entry)
    }
}
