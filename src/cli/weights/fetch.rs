//! `tchvision weights fetch`: the path of the file on stdout, so that scripts can take it.

use crate::cli::progress::FileBar;
use crate::cli::{print, print_json};
use anyhow::Result;
use serde_json::json;
use std::path::PathBuf;
use tchvision::weights::{Hub, catalogue};
use tchvision::{Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    /// Such as `timm/resnet50.a1_in1k`, `resnet50.IMAGENET1K_V2`, `resnet50`
    #[arg(value_name = "NAME[.TAG]")]
    name: String,
    /// A folder for a copy under a name of its own; else the file stays in the cache of its library
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let entry = catalogue::find(&args.name).map_err(|e| Usage(brief(&e)))?;
    let progress = FileBar::new();
    let fetched = Hub::from_env()?.fetch(entry, &mut |file, done, total| progress.set(file, done, total));
    progress.finish();
    let mut fetched = fetched?;
    if let Some(folder) = &args.to {
        fetched = fetched.copy_to(folder, entry)?;
    }
    if args.json {
        return print_json(&json!({
            "name": entry.name(), "path": fetched.path, "source": fetched.source, "sha256": fetched.sha256,
            "verified": fetched.verified,
        }));
    }
    let source = fetched.source.map_or("already here".to_owned(), |source| format!("from {source}"));
    let checksum = if fetched.verified { "checksum right" } else { "no checksum was published" };
    eprintln!("{}: {source}, {checksum}", entry.name());
    print(fetched.path.display())
}
