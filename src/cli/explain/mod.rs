//! `tchvision explain`: what a network looks at.

mod cam;
mod correspondence;
mod deconvnet;
mod excitations;
mod filters;
mod invariance;
mod occlusion;
mod pictures;
mod rollout;
mod similar;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Which places of a picture speak for a class: Grad-CAM and its kin
    Cam(cam::Args),
    /// Which patches the class token of a ViT has looked at, through all blocks
    Rollout(rollout::Args),
    /// What the network says of a picture with a part of it covered (ZFNet's figure 7)
    Occlusion(occlusion::Args),
    /// Features projected back to the pixels, and the pictures that excite them most (ZFNet's figures 2 and 4)
    Deconvnet(deconvnet::Args),
    /// The filters of the first convolution, of one network or of two (ZFNet's figure 6)
    Filters(filters::Args),
    /// How far features move when a picture is shifted, scaled and turned (ZFNet's figure 5)
    Invariance(invariance::Args),
    /// Whether the network relates the same part of several pictures (ZFNet's table 1)
    Correspondence(correspondence::Args),
    /// The pictures of a folder or a data set that are nearest by their features (AlexNet's figure 4)
    Similar(similar::Args),
    /// Which channels squeeze-and-excitation lets through for which class, block by block (SENet, section 7.2)
    Excitations(excitations::Args),
}

pub fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Cam(args) => cam::run(args),
        Verb::Rollout(args) => rollout::run(args),
        Verb::Occlusion(args) => occlusion::run(args),
        Verb::Deconvnet(args) => deconvnet::run(args),
        Verb::Filters(args) => filters::run(args),
        Verb::Invariance(args) => invariance::run(args),
        Verb::Correspondence(args) => correspondence::run(args),
        Verb::Similar(args) => similar::run(args),
        Verb::Excitations(args) => excitations::run(args),
    }
}
