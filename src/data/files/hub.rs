//! Data sets of the Hugging Face Hub, `hf:OWNER/NAME[@REVISION][:CONFIG]`: their files come through the cache that Python
//! shares, those of the wanted halves only.

mod card;

use super::fields::Fields;
use super::halves::Half;
use super::listing::{MAX_DEPTH, is_image, walk};
use super::{FileSplits, ImageFiles, folder, parquet, table, webdataset};
use crate::Usage;
use crate::download::Failure;
use crate::hub::{Hub, Kind, Repository};
use anyhow::{Context, Error, Result, bail, ensure};
use card::Card;
use regex_lite::Regex;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What says how a repository is to be read, where it has it.
const CARD: &str = "README.md";
/// What shards and tables may have beside them.
const BESIDE: [&str; 3] = ["_info.json", "info.json", "classes.txt"];
/// The folder in a repository's cache with the names of each commit's files.
const LISTINGS: &str = ".tchvision";

/// Told of each file, its bytes so far and their total.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// Fetches the halves of a data set of the Hub, `hf:OWNER/NAME[@REVISION][:CONFIG]`, unless they are cached. Returns the
/// folder that has them.
///
/// # Errors
/// A name of another form ([`Usage`]), a server that does not respond or refuses, or a repository without pictures.
pub fn fetch_from_hub(name: &str, progress: &mut Progress) -> Result<PathBuf> {
    let name = name.strip_prefix("hf:").unwrap_or(name);
    let mut there = There::open(name)?;
    there.fetch(&[Half::Train, Half::Val], progress)?;
    Ok(there.snapshot)
}

pub(super) fn splits(name: &str, fields: &Fields) -> Result<FileSplits> {
    let mut there = There::open(name)?;
    there.fetch(&[Half::Train, Half::Val], &mut |_, _, _| ())?;
    there.read(&[Half::Train, Half::Val], fields)
}

/// The test half; the training half is fetched only where it alone says the classes.
pub(super) fn test(name: &str, fields: &Fields) -> Result<ImageFiles> {
    let mut there = There::open(name)?;
    there.fetch(&[Half::Val], &mut |_, _, _| ())?;
    match there.read(&[Half::Val], fields) {
        Ok(splits) => Ok(splits.test),
        Err(_) if there.halves.contains_key(&Half::Train) => Ok(splits(name, fields)?.test),
        Err(error) => Err(error),
    }
}

/// How pictures lie in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Parquet,
    Shards,
    /// Files of their own, with a table or in folders of classes.
    Pictures,
}

/// A repository as the Hub, or the cache, knows it.
struct There {
    hub: Hub,
    /// At its commit.
    repository: Repository,
    snapshot: PathBuf,
    files: Vec<String>,
    form: Form,
    /// The files of each half; that to test on is `Val`.
    halves: BTreeMap<Half, Vec<String>>,
}

impl There {
    fn open(name: &str) -> Result<Self> {
        let (asked, config) = parsed(name)?;
        let hub = Hub::from_env()?;
        let (commit, files) = listing(&hub, &asked).with_context(|| format!("hf:{name}"))?;
        let snapshot = hub.folder(&asked).join("snapshots").join(&commit);
        let repository = Repository { revision: commit, ..asked };
        let mut there =
            Self { hub, repository, snapshot, files, form: Form::Parquet, halves: BTreeMap::new() };
        there.choose(config).with_context(|| format!("hf:{name}"))?;
        Ok(there)
    }

    /// Which files each half has: by the card of the repository, else by their names.
    fn choose(&mut self, config: Option<&str>) -> Result<()> {
        let card = if self.files.iter().any(|file| file == CARD) {
            let path = self.file(CARD, &mut |_, _, _| ())?;
            Card::read(&path)?
        } else {
            Card::default()
        };
        let chosen = card.choose(config, &self.files)?;
        let ends = |end: &str| chosen.iter().any(|(file, _)| file.ends_with(end));
        self.form = match () {
            () if ends(".parquet") => Form::Parquet,
            () if ends(".tar") => Form::Shards,
            () if chosen.iter().any(|(file, _)| is_image(file)) => Form::Pictures,
            () => bail!(
                "neither files of Parquet nor shards nor pictures there; it has {:.300}",
                self.files.join(", ")
            ),
        };
        let is_of = |file: &str| match self.form {
            Form::Parquet => file.ends_with(".parquet"),
            Form::Shards => file.ends_with(".tar"),
            Form::Pictures => true,
        };
        for (file, split) in chosen.into_iter().filter(|(file, _)| is_of(file)) {
            let half = match split {
                Some(split) => Half::of(&split)?,
                None => Half::of_path(Path::new(""), Path::new(&file))?,
            };
            if let Some(half) = half {
                self.halves.entry(half).or_default().push(file);
            }
        }
        if self.halves.is_empty() {
            bail!("no file's name says which split it is of: train, validation or test");
        }
        // Without a validation half the test half is tested on.
        if let Some(test) = self.halves.remove(&Half::Test) {
            self.halves.entry(Half::Val).or_insert(test);
        }
        Ok(())
    }

    fn fetch(&mut self, halves: &[Half], progress: &mut Progress) -> Result<()> {
        for name in BESIDE {
            if self.files.iter().any(|file| file == name) {
                self.file(name, progress)?;
            }
        }
        for half in halves {
            for file in self.halves.get(half).cloned().unwrap_or_default() {
                self.file(&file, progress)?;
            }
        }
        Ok(())
    }

    /// A file in the cache; it is trusted there, as Python does.
    fn file(&self, file: &str, progress: &mut Progress) -> Result<PathBuf> {
        let path = self.snapshot.join(file);
        if path.exists() {
            return Ok(path);
        }
        let url = self.hub.address(&self.repository, file);
        ensure!(!self.hub.offline, "{url}: not in the cache, and HF_HUB_OFFLINE is set");
        let remote = self.hub.ask(url).map_err(Error::from)?;
        let mut progress = |done, total| progress(file, done, total);
        let fetched = self.hub.take(&self.repository, file, &remote, &mut progress)?;
        ensure!(fetched.path == path, "{}: of another commit than was asked for", fetched.path.display());
        Ok(path)
    }

    fn read(&self, halves: &[Half], fields: &Fields) -> Result<FileSplits> {
        let paths = |half: Half| -> Vec<PathBuf> {
            let files = self.halves.get(&half).filter(|_| halves.contains(&half));
            files.into_iter().flatten().map(|file| self.snapshot.join(file)).collect()
        };
        let (train, test) = (paths(Half::Train), paths(Half::Val));
        match self.form {
            Form::Parquet => parquet::of(&self.snapshot, train, test, fields),
            Form::Shards => webdataset::of(&self.snapshot, train, test, fields),
            Form::Pictures if table::is_in(&self.snapshot) => table::splits(&self.snapshot, fields),
            Form::Pictures => folder::splits(&self.snapshot),
        }
    }
}

/// The commit and the files of a repository: as the Hub says, or without it as it last said. What Python alone has fetched
/// is taken as it lies there.
fn listing(hub: &Hub, asked: &Repository) -> Result<(String, Vec<String>)> {
    let kept = |commit: &str| hub.folder(asked).join(LISTINGS).join(format!("{commit}.json"));
    if !hub.offline {
        match hub.listing(asked) {
            Ok((commit, files)) => {
                let path = kept(&commit);
                fs::create_dir_all(path.parent().unwrap_or(&path))
                    .with_context(|| format!("{}: cannot be created", path.display()))?;
                crate::atomic::write(&path, json!(files).to_string().as_bytes())?;
                hub.refer(asked, &commit)?;
                return Ok((commit, files));
            }
            Err(Failure::Unreachable(_)) if hub.commit(asked).is_some() => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    let commit = hub.commit(asked).with_context(|| {
        format!("not in the cache {}, and HF_HUB_OFFLINE is set", hub.folder(asked).display())
    })?;
    if let Some(files) = fs::read(kept(&commit)).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
        return Ok((commit, files));
    }
    let snapshot = hub.folder(asked).join("snapshots").join(&commit);
    let mut files = Vec::new();
    walk(&snapshot, MAX_DEPTH, &mut |dir, images, others| {
        let inside = dir.strip_prefix(&snapshot).unwrap_or(dir);
        files.extend(images.iter().chain(others).map(|name| inside.join(name).display().to_string()));
    })?;
    whole(&files).with_context(|| snapshot.display().to_string())?;
    Ok((commit, files))
}

/// Whether all of `train-00000-of-00005.parquet` and so on are there.
fn whole(files: &[String]) -> Result<()> {
    let of_several = Regex::new(r"^(.*)-\d+-of-(\d{1,9})(?:-[0-9a-f]+)?(\.\w+)$")?;
    let mut found: BTreeMap<[&str; 3], usize> = BTreeMap::new();
    for parts in files.iter().filter_map(|file| of_several.captures(file)) {
        let (_, parts) = parts.extract();
        *found.entry(parts).or_default() += 1;
    }
    for ([stem, count, end], there) in found {
        let wanted: usize = count.parse()?;
        ensure!(
            there >= wanted,
            "{there} of {count} files `{stem}-…{end}` are there; fetch the others while online"
        );
    }
    Ok(())
}

/// `OWNER/NAME[@REVISION][:CONFIG]`
fn parsed(name: &str) -> Result<(Repository, Option<&str>)> {
    let (rest, config) = name.split_once(':').map_or((name, None), |(rest, config)| (rest, Some(config)));
    let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
    let is_name = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let is_valid = repository.split('/').all(is_name)
        && repository.split('/').count() <= 2
        && revision.split('/').all(is_name)
        && config.is_none_or(|config| !config.is_empty() && !config.contains(".."));
    let form = "a data set of the Hub is hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME:CONFIG";
    ensure!(is_valid, Usage(format!("hf:{name}: {form}")));
    let repository =
        Repository { kind: Kind::Dataset, name: repository.to_owned(), revision: revision.to_owned() };
    Ok((repository, config))
}
