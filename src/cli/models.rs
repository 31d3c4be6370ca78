use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Verb {}

pub fn run(verb: Verb) -> Result<()> {
    match verb {}
}
