//! What frameworks put around the names of a network, and beside it.

/// Modules that wrap another one, wherever they stand: DistributedDataParallel, torch.compile, FSDP, activation
/// checkpointing.
const TRANSPARENT: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What stands beside a network and is no part of it: losses, metrics, counters, the queue of MoCo, what MAE only
/// pretrains with; a trailing `*` stands for any ending.
const BESIDE: [&str; 13] = [
    "criterion*",
    "loss*",
    "*metrics",
    "*metric",
    "*_acc",
    "*accuracy",
    "n_averaged",
    "queue",
    "queue_ptr",
    "mask_token",
    "decoder_*",
    "optimizer",
    "opt",
];

/// A network and its slowly moving copy, which nobody evaluates.
const COPIES: [(&str, &str); 3] =
    [("encoder_q", "encoder_k"), ("base_encoder", "momentum_encoder"), ("backbone", "momentum_backbone")];

/// Upper bound on the modules that a network is nested in.
const MAX_DEPTH: usize = 6;

/// The key without the modules that only wrap.
pub(super) fn bare(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').filter(|part| !TRANSPARENT.contains(part)).collect();
    parts.join(".")
}

/// The rest of a key under this module; modules that only wrap are passed over.
pub(in crate::weights) fn under<'a>(key: &'a str, module: &str) -> Option<&'a str> {
    let mut rest = key;
    for wanted in module.split('.') {
        loop {
            let (part, inner) = rest.split_once('.')?;
            rest = inner;
            if part == wanted {
                break;
            }
            if !TRANSPARENT.contains(&part) {
                return None;
            }
        }
    }
    Some(rest)
}

/// Whether a tensor stands beside the network.
pub(super) fn is_beside(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or(key);
    BESIDE.iter().any(|beside| match (beside.strip_prefix('*'), beside.strip_suffix('*')) {
        (Some(end), _) => first.ends_with(end),
        (_, Some(start)) => first.starts_with(start),
        (None, None) => first == *beside,
    })
}

/// The modules (with their dot, or slash) that hold at least this many of the keys; the whole file first.
pub(super) fn prefixes<'a>(keys: &[&'a str], least: usize) -> Vec<&'a str> {
    let mut found = vec![""];
    let mut at = 0;
    while at < found.len() {
        let outer = found[at];
        at += 1;
        if outer.matches(['.', '/']).count() >= MAX_DEPTH {
            continue;
        }
        let mut inner: Vec<&str> = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(outer)) {
            let end = key[outer.len()..].find(['.', '/']).map(|end| outer.len() + end + 1);
            let prefix = end.map(|end| &key[..end]);
            if let Some(prefix) = prefix.filter(|prefix| !inner.contains(prefix)) {
                inner.push(prefix);
            }
        }
        let is_copy = |prefix: &str| {
            COPIES.iter().any(|(network, copy)| {
                let stem = prefix.strip_suffix('.').and_then(|prefix| prefix.strip_suffix(copy));
                stem.is_some_and(|stem| inner.iter().any(|other| *other == format!("{stem}{network}.")))
            })
        };
        let holds = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count() >= least;
        found.extend(inner.iter().filter(|prefix| !is_copy(prefix) && holds(prefix)));
    }
    found
}
