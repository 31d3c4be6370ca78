//! Fetching weights from servers on the loopback: breaks, wrong bytes, redirects, refusals, and no network at all.

use crate::common::server::{Reply, Request, Server};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tch::{Device, Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::catalogue::{self, Entry, Location};
use tchvision::weights::{self, Fetched, Hub};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const REPOSITORY: &str = "timm/resnet10t.c3_in1k";

/// Bytes that no two places share.
fn weights(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hub's answer for a large file that lies elsewhere.
fn pointer(bytes: &[u8], to: &str) -> Reply {
    Reply::redirect(302, to)
        .with("X-Repo-Commit", COMMIT)
        .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
        .with("X-Linked-Size", bytes.len())
}

/// A hub with one file, whose bytes are at `storage`.
fn hub_server(file: &'static str, bytes: &[u8], storage: &Server) -> Server {
    let (bytes, to) = (bytes.to_vec(), format!("{}/bytes", storage.url));
    Server::start(move |request| match request.path == format!("/{REPOSITORY}/resolve/main/{file}") {
        true => pointer(&bytes, &to),
        false => Reply::status(404),
    })
}

fn hub(endpoint: &str, folder: &Path) -> Hub {
    Hub {
        endpoint: endpoint.to_owned(),
        token: Some("secret".to_owned()),
        cache: folder.join("hub"),
        checkpoints: folder.join("checkpoints"),
        offline: false,
    }
}

fn entry() -> &'static Entry {
    catalogue::find(REPOSITORY).unwrap()
}

fn at(url: String) -> Entry {
    Entry { location: Location::Url(url), ..entry().clone() }
}

fn fetch(hub: &Hub, entry: &Entry) -> anyhow::Result<Fetched> {
    hub.fetch(entry, &mut |_, _, _| ())
}

fn failure(hub: &Hub, entry: &Entry) -> String {
    format!("{:#}", fetch(hub, entry).unwrap_err())
}

/// Every file below a folder, links included.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

fn snapshot(folder: &Path, file: &str) -> PathBuf {
    folder.join("hub/models--timm--resnet10t.c3_in1k/snapshots").join(COMMIT).join(file)
}

#[test]
fn a_file_of_the_hub_survives_dropped_connections_and_lands_in_pythons_cache() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(300_000);
    let (served, turn) = (bytes.clone(), AtomicUsize::new(0));
    let storage = Server::start(move |request| {
        // Twice the connection drops, once before the first byte.
        match turn.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::file(request, &served).dropping_after(100_000),
            1 => Reply::file(request, &served).dropping_after(0),
            2 => Reply::status(503),
            _ => Reply::file(request, &served),
        }
    });
    let server = hub_server("model.safetensors", &bytes, &storage);
    let hub = hub(&server.url, folder.path());
    let mut told = Vec::new();
    let fetched = hub.fetch(entry(), &mut |_, done, total| told.push((done, total))).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
    assert_eq!(fetched.path, snapshot(folder.path(), "model.safetensors"));
    assert_eq!((fetched.sha256.clone(), fetched.verified), (sha256(&bytes), true));
    assert_eq!(told.last(), Some(&(300_000, 300_000)));
    assert!(told.is_sorted(), "what has come is not told twice");
    let starts: Vec<usize> = storage.requests().iter().map(Request::start).collect();
    assert_eq!(starts, [0, 100_000, 100_000, 100_000]);

    let repository = "models--timm--resnet10t.c3_in1k";
    let etag = sha256(&bytes);
    assert_eq!(
        files(&folder.path().join("hub")),
        [
            format!(".locks/{repository}/{etag}.lock"),
            format!("{repository}/blobs/{etag}"),
            format!("{repository}/refs/main"),
            format!("{repository}/snapshots/{COMMIT}/model.safetensors"),
        ]
    );
    let link = std::fs::read_link(&fetched.path).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(&etag));
    let revision = folder.path().join("hub").join(repository).join("refs/main");
    assert_eq!(std::fs::read_to_string(revision).unwrap(), COMMIT);

    // The second time nothing is asked of anybody.
    let asked = server.requests().len();
    let again = fetch(&hub, entry()).unwrap();
    assert_eq!(again, Fetched { source: None, ..fetched });
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(1000);
    let served = bytes.clone();
    let storage = Server::start(move |request| Reply::file(request, &served));
    let server = hub_server("model.safetensors", &bytes, &storage);
    fetch(&hub(&server.url, folder.path()), entry()).unwrap();
    let tokens = |server: &Server| -> Vec<Option<String>> {
        server.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect()
    };
    assert_eq!(tokens(&server), [Some("Bearer secret".to_owned()), Some("Bearer secret".to_owned())]);
    assert_eq!(tokens(&storage), [None]);

    // Over a network without encryption it stays here; this address is the loopback by another name.
    let elsewhere = folder.path().join("elsewhere");
    let open = server.url.replace("127.0.0.1", "0.0.0.0");
    fetch(&hub(&open, &elsewhere), entry()).unwrap();
    assert_eq!(tokens(&server)[2..], [None, None]);
}

#[test]
fn a_part_of_an_earlier_run_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(5000);
    let served = bytes.clone();
    let storage = Server::start(move |request| Reply::file(request, &served));
    let server = hub_server("model.safetensors", &bytes, &storage);
    let blobs = folder.path().join("hub/models--timm--resnet10t.c3_in1k/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(&bytes)));
    std::fs::write(&part, &bytes[..1234]).unwrap();
    let hub = hub(&server.url, folder.path());
    assert_eq!(std::fs::read(fetch(&hub, entry()).unwrap().path).unwrap(), bytes);
    assert_eq!(storage.requests()[0].start(), 1234);

    // A part with wrong bytes costs one more download, not the file.
    std::fs::remove_dir_all(folder.path().join("hub")).unwrap();
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(&part, [0; 4000]).unwrap();
    assert_eq!(std::fs::read(fetch(&hub, entry()).unwrap().path).unwrap(), bytes);
    assert_eq!(storage.requests()[1..].iter().map(Request::start).collect::<Vec<_>>(), [4000, 0]);

    // Nor does one that is longer than the file.
    std::fs::remove_dir_all(folder.path().join("hub")).unwrap();
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(&part, [0; 9000]).unwrap();
    assert_eq!(std::fs::read(fetch(&hub, entry()).unwrap().path).unwrap(), bytes);
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_again() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(200_000);
    let (served, turn) = (bytes.clone(), AtomicUsize::new(0));
    let server = Server::start(move |_| {
        let whole = Reply { body: served.clone(), ..Reply::status(200) };
        whole.dropping_after(if turn.fetch_add(1, Ordering::SeqCst) == 0 { 150_000 } else { usize::MAX })
    });
    let entry = at(format!("{}/net-{}.pth", server.url, &sha256(&bytes)[..8]));
    let fetched = fetch(&hub(&server.url, folder.path()), &entry).unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), bytes);
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, mut wrong) = (weights(5000), weights(5000));
    wrong[4321] ^= 1;
    let served = wrong.clone();
    let storage = Server::start(move |request| Reply::file(request, &served));
    let server = hub_server("model.safetensors", &bytes, &storage);
    let hub = hub(&server.url, folder.path());
    let message = failure(&hub, entry());
    assert!(message.contains(&sha256(&bytes)) && message.contains(&sha256(&wrong)), "{message}");
    let left = files(&folder.path().join("hub"));
    assert!(left.iter().all(|file| file.starts_with(".locks/")), "{left:?}");

    let entry = at(format!("{}/net-{}.pth", storage.url, &sha256(&bytes)[..8]));
    assert!(failure(&hub, &entry).contains("not the published file"));
    assert!(!hub.checkpoints.join("net.pth").exists());

    // More bytes than the hub spoke of are not even written.
    let long = Server::start(|request| Reply::file(request, &weights(6000)));
    let server = hub_server("model.safetensors", &bytes, &long);
    let message = failure(&Hub { endpoint: server.url.clone(), ..hub }, self::entry());
    assert!(message.contains("6000 bytes exceed the limit"), "{message}");
}

#[test]
fn a_server_that_never_gets_on_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|request| Reply::file(request, &weights(5000)).dropping_after(0));
    let hub = hub(&server.url, folder.path());
    let message = failure(&hub, &at(format!("{}/net.pth", server.url)));
    assert!(message.contains("interrupted"), "{message}");
    assert_eq!(server.count("GET"), 5);
}

#[test]
fn an_address_without_the_hub_fills_pythons_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(5000);
    let served = bytes.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/moved.pth" => Reply::status(404),
        path if path.starts_with("/models/") => Reply::redirect(302, path.replace("/models/", "/files/")),
        _ => Reply::file(request, &served),
    });
    let hub = hub(&server.url, folder.path());
    let name = format!("net-{}.pth", &sha256(&bytes)[..8]);
    let entry = at(format!("{}/models/{name}", server.url));
    let fetched = fetch(&hub, &entry).unwrap();
    assert_eq!(fetched.path, hub.checkpoints.join(&name));
    assert_eq!((fetched.verified, fetched.sha256.as_str()), (true, sha256(&bytes).as_str()));
    assert_eq!(files(&hub.checkpoints), std::slice::from_ref(&name));
    assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));

    let asked = server.requests().len();
    assert_eq!(fetch(&hub, &entry).unwrap().source, None);
    assert_eq!(server.requests().len(), asked);
    // A damaged file is fetched anew.
    std::fs::write(&fetched.path, b"damaged").unwrap();
    assert!(fetch(&hub, &entry).unwrap().source.is_some());
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);

    let message = failure(&hub, &at(format!("{}/moved.pth", server.url)));
    assert!(message.contains("status 404") && message.contains("save it as"), "{message}");
}

#[test]
fn older_repositories_have_a_pickle() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(1000);
    let served = bytes.clone();
    let storage = Server::start(move |request| Reply::file(request, &served));
    let server = hub_server("pytorch_model.bin", &bytes, &storage);
    let hub = hub(&server.url, folder.path());
    let fetched = fetch(&hub, entry()).unwrap();
    assert_eq!(fetched.path, snapshot(folder.path(), "pytorch_model.bin"));
    let copied = fetched.copy_to(&folder.path().join("here"), entry()).unwrap();
    assert_eq!(copied.path.file_name().unwrap(), "resnet10t.c3_in1k.bin");
    assert_eq!(fetch(&hub, entry()).unwrap().source, None);
}

/// A repository that is not in the catalogue.
#[test]
fn any_repository_of_the_hub_can_be_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(1000);
    let (served, told) = (bytes.clone(), bytes.clone());
    let config = br#"{"architecture": "resnet18"}"#.to_vec();
    let (settings, written) = (config.clone(), config.clone());
    let storage = Server::start(move |request| match request.path.as_str() {
        "/config" => Reply::file(request, &config),
        _ => Reply::file(request, &served),
    });
    let [to, beside] = ["bytes", "config"].map(|name| format!("{}/{name}", storage.url));
    let server = Server::start(move |request| match request.path.as_str() {
        "/me/my.net/resolve/main/model.safetensors" => pointer(&told, &to),
        "/me/my.net/resolve/main/config.json" => pointer(&settings, &beside),
        _ => Reply::status(404),
    });
    let fetched = hub(&server.url, folder.path()).fetch_repository("me/my.net", &mut |_, _| ()).unwrap();
    assert_eq!((fetched.sha256, fetched.verified), (sha256(&bytes), true));
    assert!(fetched.path.starts_with(folder.path().join("hub/models--me--my.net/snapshots")));
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
    assert_eq!(std::fs::read(fetched.path.with_file_name("config.json")).unwrap(), written);
}

#[test]
fn a_repository_that_moved_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(1000);
    let served = bytes.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/bytes" => Reply::file(request, &served),
        path if path.starts_with("/timm/") => Reply::redirect(307, path.replace("/timm/", "/newer/")),
        path if path.starts_with("/newer/") => Reply::file(request, &served)
            .with("X-Repo-Commit", COMMIT)
            .with("ETag", format!("W/\"{}\"", sha256(&served))),
        _ => Reply::status(404),
    });
    let fetched = fetch(&hub(&server.url, folder.path()), entry()).unwrap();
    assert_eq!(fetched.path, snapshot(folder.path(), "model.safetensors"));
    assert!(fetched.source.unwrap().contains("/newer/"));

    let circle = Server::start(|request| Reply::redirect(307, &request.path));
    let message = failure(&hub(&circle.url, &folder.path().join("circle")), entry());
    assert!(message.contains("more than 5 redirects"), "{message}");
}

#[test]
fn refusals_tell_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for (status, remedy) in
        [(401, "set HF_TOKEN"), (403, "accept the terms"), (404, "has no weights on the hub")]
    {
        let server = Server::start(move |_| Reply::status(status));
        let message = failure(&hub(&server.url, folder.path()), entry());
        assert!(message.contains(&format!("status {status}")) && message.contains(remedy), "{message}");
        assert!(message.contains(&format!("{}/{REPOSITORY}/resolve/main", server.url)), "{message}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn what_a_hostile_hub_says_stays_out_of_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (commit, etag) in [("../../evil", "abc"), (COMMIT, "../../../evil"), (COMMIT, ""), ("", "abc")] {
        let server = Server::start(move |_| {
            Reply::status(200).with("X-Repo-Commit", commit).with("ETag", format!("\"{etag}\""))
        });
        let message = failure(&hub(&server.url, folder.path()), entry());
        assert!(message.contains("the response has no valid"), "{message}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn two_at_once_download_once() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(400_000);
    let served = bytes.clone();
    let storage = Server::start(move |request| {
        thread::sleep(std::time::Duration::from_millis(200));
        Reply::file(request, &served)
    });
    let server = hub_server("model.safetensors", &bytes, &storage);
    let hub = hub(&server.url, folder.path());
    let url = at(format!("{}/net-{}.pth", storage.url, &sha256(&bytes)[..8]));
    for entry in [entry(), &url] {
        let before = storage.count("GET");
        thread::scope(|scope| {
            let both = [scope.spawn(|| fetch(&hub, entry)), scope.spawn(|| fetch(&hub, entry))];
            for one in both {
                assert_eq!(std::fs::read(one.join().unwrap().unwrap().path).unwrap(), bytes);
            }
        });
        assert_eq!(storage.count("GET") - before, 1);
    }
}

#[test]
fn without_network_the_error_names_the_file_and_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let offline = Hub { offline: true, ..hub("https://huggingface.co", folder.path()) };
    let place = folder.path().join("hub/models--timm--resnet10t.c3_in1k/snapshots/main/model.safetensors");
    let message = failure(&offline, entry());
    for part in [
        "timm/resnet10t.c3_in1k",
        "HF_HUB_OFFLINE",
        "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/model.safetensors",
        place.to_str().unwrap(),
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // What was placed as the message says is found, here and by Python.
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, b"weights").unwrap();
    let fetched = fetch(&offline, entry()).unwrap();
    assert_eq!((fetched.path, fetched.verified), (place, false));

    let vgg = catalogue::find("torchvision/vgg11").unwrap();
    let message = failure(&offline, vgg);
    let place = offline.checkpoints.join("vgg11-8a719046.pth");
    assert!(message.contains("https://download.pytorch.org/models/vgg11-8a719046.pth"), "{message}");
    assert!(message.contains(place.to_str().unwrap()), "{message}");

    // Nobody listens at this port any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = hub(&format!("http://{gone}"), &folder.path().join("other"));
    let message = failure(&nobody, entry());
    assert!(message.contains("cannot be reached") && message.contains("save it as"), "{message}");
}

fn command(arguments: &[&str], endpoint: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
    command.args(arguments).env("HF_ENDPOINT", endpoint).env("HF_HOME", folder);
    command.env("TORCH_HOME", folder.join("torch"));
    for name in [
        "HF_HUB_CACHE",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HUGGINGFACE_HUB_CACHE",
        "HUGGING_FACE_HUB_TOKEN",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(name);
    }
    command
}

fn tchvision(arguments: &[&str], endpoint: &str, folder: &Path) -> Output {
    command(arguments, endpoint, folder).output().unwrap()
}

/// Where Python looks for a token, in its order; what is no token stays out of the message.
#[test]
fn the_token_is_found_where_python_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Server::start(|request| Reply::file(request, b"weights"));
    let server = hub_server("model.safetensors", b"weights", &storage);
    let file = folder.path().join("elsewhere");
    let path = file.to_str().unwrap();
    let fetch = |variables: &[(&str, &str)]| {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "  at_home\n").unwrap();
        let mut command = command(&["weights", "fetch", "resnet10t.c3_in1k"], &server.url, home.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let sent =
            server.requests().pop().and_then(|request| request.header("authorization").map(str::to_owned));
        (sent.unwrap_or_default(), output)
    };
    assert_eq!(fetch(&[]).0, "Bearer at_home");
    std::fs::write(&file, "by_path\n").unwrap();
    assert_eq!(fetch(&[("HF_TOKEN_PATH", path)]).0, "Bearer by_path");
    let old = [("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN_PATH", path)];
    assert_eq!(fetch(&old).0, "Bearer old");
    assert_eq!(fetch(&[old[0], old[1], ("HF_TOKEN", "new")]).0, "Bearer new");
    // No token unasked: neither a variable's nor a file's.
    let disabled = ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes");
    assert_eq!(fetch(&[disabled]).0, "");
    assert_eq!(fetch(&[disabled, ("HF_TOKEN", "new")]).0, "");
    assert_eq!(fetch(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")]).0, "Bearer at_home");
    let missing = folder.path().join("none");
    assert_eq!(fetch(&[("HF_TOKEN_PATH", missing.to_str().unwrap())]).0, "");
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));

    std::fs::write(&file, "my secret words").unwrap();
    let before = server.requests().len();
    let (_, output) = fetch(&[("HF_TOKEN_PATH", path)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(path) && said.contains("not a token") && !said.contains("secret"), "{said}");
    assert_eq!(server.requests().len(), before);
}

/// The caches and the switch of the network, by the variables that Python reads.
#[test]
fn the_caches_are_where_python_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Server::start(|request| Reply::file(request, b"weights"));
    let server = hub_server("model.safetensors", b"weights", &storage);
    let home = folder.path().to_str().unwrap();
    let run = |variables: &[(&str, &str)]| {
        let mut command = command(&["weights", "fetch", "resnet10t.c3_in1k"], &server.url, folder.path());
        command.env("HOME", home).env_remove("HF_HOME").env_remove("XDG_CACHE_HOME");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let (path, said) = (output.stdout, output.stderr);
        let path = String::from_utf8(path).unwrap().trim().strip_prefix(home).map(str::to_owned);
        (path.unwrap_or_default(), String::from_utf8(said).unwrap())
    };
    let end = format!("models--timm--resnet10t.c3_in1k/snapshots/{COMMIT}/model.safetensors");
    for (variables, place) in [
        (&[][..], "/.cache/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "~/xdg")], "/xdg/huggingface/hub"),
        (&[("HF_HOME", "~/home")], "/home/hub"),
        (&[("HF_HOME", "~/home"), ("HUGGINGFACE_HUB_CACHE", "~/old")], "/old"),
        (&[("HUGGINGFACE_HUB_CACHE", "~/old"), ("HF_HUB_CACHE", "~/new")], "/new"),
    ] {
        assert_eq!(run(variables).0, format!("{place}/{end}"), "{variables:?}");
    }
    for (name, value) in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "on"), ("TRANSFORMERS_OFFLINE", "true")]
    {
        let before = server.requests().len();
        let (path, said) = run(&[("HF_HOME", "~/empty"), (name, value)]);
        assert!(path.is_empty() && said.contains("HF_HUB_OFFLINE is set"), "{said}");
        assert_eq!(server.requests().len(), before);
    }
}

#[test]
fn the_command_line_prints_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = weights(1000);
    let served = bytes.clone();
    let storage = Server::start(move |request| Reply::file(request, &served));
    let server = hub_server("model.safetensors", &bytes, &storage);
    let run = |arguments: &[&str]| tchvision(arguments, &format!("{}/", server.url), folder.path());
    let output = run(&["weights", "fetch", "resnet10t.c3_in1k"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = snapshot(folder.path(), "model.safetensors");
    assert_eq!(text(&output.stdout), format!("{}\n", path.display()));
    assert!(text(&output.stderr).contains("checksum right"));

    let to = folder.path().join("weights");
    let to = to.to_str().unwrap();
    for _ in 0..2 {
        let output = run(&["weights", "fetch", "timm/resnet10t", "--to", to, "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let path = format!("{to}/resnet10t.c3_in1k.safetensors");
        assert_eq!(told["path"], path.as_str());
        assert_eq!(told["sha256"], sha256(&bytes).as_str());
        assert_eq!(std::fs::read(path).unwrap(), bytes);
    }

    let missing = run(&["weights", "fetch", "timm/resnet14t"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("has no weights on the hub"), "{}", text(&missing.stderr));
}

/// A public model from a file in the cache: network, weights, preprocessing and labels together.
#[test]
fn from_pretrained_gives_the_model_with_its_weights_preprocessing_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let offline = Hub { offline: true, ..hub("https://huggingface.co", folder.path()) };
    let store = Store::new(Device::Cpu);
    let network = ModelSpec::new("timm/resnet10t").resolve().unwrap().build(&store).unwrap();
    let place = folder.path().join("hub/models--timm--resnet10t.c3_in1k/snapshots/main/model.safetensors");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    weights::save(&place, &store.state_dict(), Default::default()).unwrap();

    let public =
        weights::from_pretrained("resnet10t.c3_in1k", Device::Cpu, &offline, &mut |_, _, _| {}).unwrap();
    let images = Tensor::rand([1, 3, 64, 64], (Kind::Float, Device::Cpu));
    let _no_grad = tch::no_grad_guard();
    let logits = public.pretrained.model.forward(&images, false).unwrap();
    assert_eq!(logits, network.forward(&images, false).unwrap());
    assert_eq!(public.entry.preprocess.input, [3, 176, 176]);
    let labels = public.entry.labels().unwrap();
    assert_eq!((labels.len(), labels[0], labels[207]), (1000, "tench", "golden retriever"));

    let unknown = weights::from_pretrained("resnet10t.c3_in2k", Device::Cpu, &offline, &mut |_, _, _| {})
        .err()
        .unwrap();
    assert!(format!("{unknown:#}").contains("did you mean"), "{unknown:#}");
}
