//! The errors that a program treats apart from a plain failure. Any other error is an [`anyhow::Error`] as it is.

use std::fmt;

/// Wrong usage or configuration: nothing was run. The message names the file, the place and the remedy.
#[derive(Debug)]
pub struct Usage(pub String);

/// Stopped by a signal with everything saved; the message says how to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

/// What a program that uses the crate may want to tell apart, by [`ErrorKind::of`]. What an error says beside is found by
/// [`anyhow::Error::downcast_ref`]: [`Remedy`], [`Invalid`], and of weights the differences in [`crate::weights::Mismatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file that is not there.
    NotFound,
    /// A server that cannot be reached.
    Offline,
    /// A file of weights that is damaged, or is not the model's.
    Weights,
    /// Bytes that are no picture, a damaged one, or one that is too large.
    Image,
    /// A name, field or value that cannot be.
    Config,
    /// A GPU that is not there.
    Device,
    /// Stopped by a signal, with everything saved.
    Interrupted,
    /// Anything else, such as a shape that a model does not take.
    Other,
}

impl ErrorKind {
    /// The same error, of this kind.
    pub(crate) fn mark(self, error: anyhow::Error) -> anyhow::Error {
        Marked { kind: self, error }.into()
    }
}

/// An error whose kind was known where it was made; it reads as before.
#[derive(Debug)]
pub(crate) struct Marked {
    pub kind: ErrorKind,
    error: anyhow::Error,
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Marked {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.chain().nth(1)
    }
}

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
    /// Names of a file of weights paired with the model's by hand.
    Map,
    /// One of the state_dicts in a file of weights, by its key.
    Key,
    /// One of the networks in a state_dict, by the prefix of its names.
    Prefix,
}

/// An invalid setting; reads "`train.epochs`: 0 trains nothing".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The keys that lead to it from the root of a run's configuration, as far as they are known.
    pub keys: Vec<String>,
    /// Whether the last key itself is wrong, and not its value: the message then names it.
    pub unknown: bool,
    /// What is wrong with it, without its name.
    pub message: String,
}

impl Invalid {
    /// The value at a path of keys and indices such as `data.augment.0.pad_crop` is wrong.
    pub(crate) fn value(path: &str, message: impl fmt::Display) -> Self {
        let keys = path.split('.').map(str::to_owned).collect();
        Self { keys, unknown: false, message: message.to_string() }
    }

    /// The same of what is at `path`.
    pub(crate) fn below(mut self, path: &str) -> Self {
        self.keys.splice(0..0, path.split('.').map(str::to_owned));
        self
    }

    /// The place that an error carries, if any, with the message of the whole chain.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Self>() {
            Some(invalid) if error.chain().len() == 1 => invalid.clone(),
            Some(Self { keys, unknown, message }) => {
                let own = error.downcast_ref::<Self>().map(ToString::to_string);
                let context =
                    error.chain().map(ToString::to_string).take_while(|text| Some(text) != own.as_ref());
                let chain: Vec<String> = context.chain([message.clone()]).collect();
                Self { keys: keys.clone(), unknown: *unknown, message: chain.join(": ") }
            }
            None => Self { keys: Vec::new(), unknown: false, message: brief(error) },
        }
    }
}

/// A path of keys, an index as `[0]`.
pub(crate) fn path(keys: &[String]) -> String {
    let mut path = String::new();
    for key in keys {
        match is_index(key) {
            true => path += &format!("[{key}]"),
            false if path.is_empty() => path += key,
            false => path += &format!(".{key}"),
        }
    }
    path
}

/// Whether a key is a place in a list.
pub(crate) fn is_index(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.unknown || self.keys.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "`{}`: {}", path(&self.keys), self.message),
        }
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
            Remedy::Map => f.write_str("pair the names by hand"),
            Remedy::Key => f.write_str("choose one by its key"),
            Remedy::Prefix => f.write_str("choose one by its prefix"),
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
