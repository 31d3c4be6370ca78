//! The errors that a program treats apart from a plain failure. Any other error is an [`anyhow::Error`] as it is.

use std::fmt;

/// Wrong usage or configuration: nothing was run. The message names the file, the place and the remedy.
#[derive(Debug)]
pub struct Usage(pub String);

/// Stopped by a signal with everything saved; the message says how to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

/// The last cause of an error that another choice of the caller mends. The library says what to choose; a program looks
/// for it with [`anyhow::Error::downcast_ref`] and says how, such as by which flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another directory for a run or an experiment.
    RunDirectory,
    /// To extend the run that is there, by this setting and value.
    Extend(String, String),
    /// Trials of the plan, such as the one with this ID.
    Trial(String),
    /// A folder that has the files of a data set.
    DataFolder,
    /// A file of weights.
    WeightsFile,
    /// The name of a model.
    Model,
    /// So many classes of the model, or as many as the file of weights has.
    Classes(Option<usize>),
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The keys that lead to it from the root of a run's configuration, as far as they are known.
    pub keys: Vec<String>,
    /// Whether the last key itself is wrong, and not its value.
    pub unknown: bool,
    pub message: String,
}

impl Invalid {
    /// The value at a path of keys such as `train.epochs` is wrong; reads "`train.epochs`: 0 trains nothing".
    pub(crate) fn value(path: &str, message: impl fmt::Display) -> Self {
        let keys = path.split('.').map(str::to_owned).collect();
        Self { keys, unknown: false, message: format!("`{path}`: {message}") }
    }

    /// The place that an error carries, if any, with the whole message.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let (keys, unknown) = match error.downcast_ref::<Self>() {
            Some(Self { keys, unknown, .. }) => (keys.clone(), *unknown),
            None => (Vec::new(), false),
        };
        Self { keys, unknown, message: brief(error) }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Remedy::RunDirectory => f.write_str("choose another directory, or remove this one"),
            Remedy::Extend(key, _) => write!(f, "extend `{key}` of the run, or choose another directory"),
            Remedy::Trial(like) => write!(f, "write an ID such as `{like}`, or KEY=VALUE"),
            Remedy::DataFolder => f.write_str("put them there by hand, or name a folder that has them"),
            Remedy::WeightsFile => f.write_str("name a file of weights"),
            Remedy::Model => f.write_str("name the model"),
            Remedy::Classes(Some(classes)) => write!(f, "use weights for {classes} classes"),
            Remedy::Classes(None) => f.write_str("build the model with as many classes as the file has"),
        }
    }
}

impl std::error::Error for Invalid {}
impl std::error::Error for Usage {}
impl std::error::Error for Interrupted {}
impl std::error::Error for Remedy {}

/// The whole chain of an error on one line, without the C++ stack that libtorch appends to its messages.
pub fn brief(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split("\nException raised from").next().unwrap_or_default().trim_end().to_owned()
}

/// The candidate most like `word`, for "did you mean".
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::jaro_winkler(word, c), c));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}
