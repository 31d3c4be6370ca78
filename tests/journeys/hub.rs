//! A data set of the Hugging Face Hub, from its name to an answer: through a hub on the loopback that is busy, breaks off,
//! redirects and lies.

use super::common::server::{Reply, Request, Server};
use super::yard::{Yard, json, stderr};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TRAIN: &str = "data/train-00000-of-00001.parquet";
const TEST: &str = "data/validation-00000-of-00001.parquet";
const CARD: &str = "---\nlicense: mit\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n    path: data/train-*\n\
    \x20 - split: test\n    path: data/validation-*\n- config_name: other\n  data_files: nothing/*\n---\n# Colours\n";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the Hub has of `me/colours`: by path.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet/colours");
    let read = |name: &'static str| (name, fs::read(fixture.join(name)).unwrap());
    vec![read(TRAIN), read(TEST), ("README.md", CARD.into()), ("data/notes.txt", b"none".to_vec())]
}

/// A hub, and the storage that it sends to; `storage` says what becomes of a file's bytes.
fn start(storage: impl Fn(&Request, &[u8]) -> Reply + Send + Sync + 'static) -> (Server, Server) {
    let held = Server::start(move |request| {
        let file = files().into_iter().find(|(name, _)| request.path == format!("/{name}"));
        file.map_or(Reply::status(404), |(_, bytes)| storage(request, &bytes))
    });
    let to = held.url.clone();
    let hub = Server::start(move |request| {
        let of = |start: &str| request.path.strip_prefix(start).map(str::to_owned);
        if of("/api/datasets/me/colours/revision/")
            .is_some_and(|revision| ["main", "v1%2Fx"].contains(&&*revision))
        {
            let names: Vec<_> =
                files().iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
            let body = serde_json::json!({"sha": COMMIT, "siblings": names}).to_string().into_bytes();
            return Reply { body, ..Reply::status(200) };
        }
        let Some(path) = of(&format!("/datasets/me/colours/resolve/{COMMIT}/")) else {
            return Reply::status(404);
        };
        let file = files().into_iter().find(|(name, _)| path == *name);
        file.map_or(Reply::status(404), |(_, bytes)| {
            Reply::redirect(302, format!("{to}/{path}"))
                .with("X-Repo-Commit", COMMIT)
                .with("X-Linked-Etag", format!("\"{}\"", sha256(&bytes)))
                .with("X-Linked-Size", bytes.len())
        })
    });
    (hub, held)
}

/// The program with a hub and an empty cache of its own.
fn run(yard: &Yard, hub: &str, offline: bool, line: &str) -> Output {
    let mut command = yard.command(line);
    command.env("HF_ENDPOINT", hub).env("HF_HUB_CACHE", yard.path("cache")).env("HF_TOKEN", "hf_secret");
    command.env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
    command.output().unwrap()
}

fn ok(out: Output) -> String {
    assert!(out.status.success(), "{}", stderr(&out));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_data_set_of_the_hub_is_trained_on_by_its_name() {
    let yard = Yard::new();
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&turn);
    // Busy, then breaking off in the midst, then going on.
    let (hub, storage) = start(move |request, bytes| match turns.fetch_add(1, Ordering::SeqCst) {
        1 => Reply::status(429).with("Retry-After", 1),
        2 => Reply::file(request, bytes).dropping_after(bytes.len() / 2),
        3 => Reply::status(503),
        _ => Reply::file(request, bytes),
    });
    let line = |name: &str| format!("data inspect {name} --json");
    let began = Instant::now();
    let seen: serde_json::Value =
        serde_json::from_str(&ok(run(&yard, &hub.url, false, &line("hf:me/colours:small")))).unwrap();
    assert!(began.elapsed() > Duration::from_secs(1), "the hub has asked for a second");
    assert_eq!((&seen["train"], &seen["test"]), (&30.into(), &9.into()));
    assert_eq!(seen["classes"], serde_json::json!(["blue", "green", "red"]));
    let starts: Vec<usize> = storage.requests().iter().map(Request::start).collect();
    assert!(starts.iter().any(|&start| start > 0), "gone on from where it broke off: {starts:?}");
    // The token is the hub's alone, and what is not of the data set stays there.
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(hub.requests().iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")));
    assert!(storage.requests().iter().all(|request| !request.path.contains("notes")));

    // As `huggingface_hub` lays it out.
    let cache = yard.path("cache/datasets--me--colours");
    let train = cache.join("snapshots").join(COMMIT).join(TRAIN);
    let (_, bytes) = &files()[0];
    assert_eq!(fs::read_link(&train).unwrap(), Path::new("../../../blobs").join(sha256(bytes)));
    assert_eq!(&fs::read(&train).unwrap(), bytes);
    assert_eq!(fs::read_to_string(cache.join("refs/main")).unwrap(), COMMIT);

    // Once it is there nothing but the list of files is asked for, and without a network not even that.
    let asked = storage.requests().len();
    ok(run(&yard, &hub.url, false, &line("hf:me/colours@v1/x:small")));
    ok(run(&yard, &hub.url, true, &line("hf:me/colours:small")));
    ok(run(&yard, "http://127.0.0.1:9", false, &line("hf:me/colours:small")));
    assert_eq!(storage.requests().len(), asked);

    yard.write_run(
        "named",
        "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'hf:me/colours:small', image_size: 24}\n\
         train: {optimizer: {sgd: {lr: 0.05}}}\n",
    );
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet/colours");
    ok(run(&yard, &hub.url, true, "train named.yaml"));
    let dataset = format!("train named.yaml --out plain data.dataset=parquet:{}", fixture.display());
    ok(run(&yard, &hub.url, true, &dataset));
    let [named, plain] = ["runs/named", "plain"].map(|run| json(&yard.path(run).join("result.json")));
    assert_eq!((&named["loss"], &named["top1"]), (&plain["loss"], &plain["top1"]));
}

#[test]
fn only_the_half_to_test_on_is_fetched_for_a_test() {
    let yard = Yard::new();
    let (hub, storage) = start(Reply::file);
    yard.write_run(
        "folder",
        "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\n\
         train: {optimizer: {sgd: {lr: 0.05}}}\n",
    );
    yard.ok("train folder.yaml");
    let out = ok(run(&yard, &hub.url, false, "eval --run runs/folder --data hf:me/colours:small --json"));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["images"], 9);
    assert!(storage.requests().iter().all(|request| !request.path.contains("train")));
}

#[test]
fn what_the_hub_has_wrong_is_refused() {
    let yard = Yard::new();
    let fails = |hub: &str, name: &str, part: &str| {
        let out = run(&yard, hub, false, &format!("data inspect {name}"));
        let message = stderr(&out);
        assert!(!out.status.success() && message.contains(part), "{message}");
        assert!(!message.contains("hf_secret") && message.lines().count() <= 10, "{message}");
    };
    let (wrong, _storage) = start(|request, bytes| {
        let mut bytes = bytes.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Reply::file(request, &bytes)
    });
    fails(&wrong.url, "hf:me/colours:small", "not the published file");
    let (hub, _storage) = start(Reply::file);
    fails(&hub.url, "hf:me/colours", "several configurations: small, other");
    fails(&hub.url, "hf:me/colours:smal", "did you mean `small`?");
    fails(&hub.url, "hf:me/colours:other", "none of its 4 files");
    fails(&hub.url, "hf:me/nothing", "status 404");
    fails(&hub.url, "hf:me/colours@../x:small", "a data set of the Hub is hf:OWNER/NAME");
    let refusing = Server::start(|_| Reply::status(403));
    fails(&refusing.url, "hf:me/colours", "set HF_TOKEN");
    let busy = Server::start(|_| Reply::status(503));
    fails(&busy.url, "hf:me/colours", "status 503");
    fails("http://127.0.0.1:9", "hf:me/other", "cannot be reached");
    for sibling in ["../../x.parquet", "/etc/x.parquet", "a//b.parquet"] {
        let lying = Server::start(move |_| {
            let body = serde_json::json!({"sha": COMMIT, "siblings": [{"rfilename": sibling}]});
            Reply { body: body.to_string().into_bytes(), ..Reply::status(200) }
        });
        fails(&lying.url, "hf:me/lying", "is refused");
    }
}
