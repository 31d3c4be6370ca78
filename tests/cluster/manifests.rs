//! Manifests of Kubernetes against the schemas of its API (`kubernetes-validate`, with the schemas inside).

use crate::common::lab::{Lab, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tchvision::yaml;

/// A version of Kubernetes that has all fields as stable ones.
const VERSION: &str = "1.33";

const SWEEP: &str = "question: Which?\nbase:\n  model: {name: paper/resnet20}\n  data: {dataset: cifar10}\n  \
    train: {epochs: 1, batch_size: 128}\naxes: {train.optimizer.sgd.lr: [0.01, 0.1]}\nseeds: 2\n";

struct Desk {
    lab: Lab,
    file: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let lab = Lab::new();
        let file = lab.folder.path().join("sweep.yaml");
        fs::write(&file, SWEEP).unwrap();
        Self { lab, file }
    }

    /// `experiment launch --on kubernetes --dry-run` with the run directory `/runs/sweep`, which is not made.
    fn launch(&self, more: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
        command.args(["experiment", "launch"]).arg(&self.file).args([
            "--on",
            "kubernetes",
            "--dry-run",
            "--json",
        ]);
        command.args(["--out", "/runs/sweep"]).args(more.split_whitespace()).output().unwrap()
    }

    fn manifest(&self, more: &str) -> String {
        let out = self.launch(more);
        assert!(out.status.success(), "{more}: {}", text(&out.stderr));
        let launched: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        launched["scripts"][0][1].as_str().unwrap().to_owned()
    }

    /// What Kubernetes' schemas have against a manifest; nothing where it is right.
    fn faults(&self, manifest: &str) -> String {
        let path = self.lab.folder.path().join("manifest.yaml");
        fs::write(&path, manifest).unwrap();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
        let mut command = Command::new(&python);
        command.args(["-c", VALIDATE, VERSION]).arg(&path);
        let out = command
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; `make test` makes it", python.display()));
        let said = text(&out.stderr);
        assert!(out.status.success(), "pip install -r requirements/cluster.txt: {said}");
        text(&out.stdout)
    }
}

/// Prints the errors of each document of a file.
const VALIDATE: &str = "
import sys, yaml, kubernetes_validate as kv
for document in yaml.safe_load_all(open(sys.argv[2])):
    try:
        kv.validate(document, sys.argv[1], strict=True)
    except kv.ValidationError as error:
        print(error)
";

const FLAGS: &str = "--image registry.example/tchvision:1 --volume runs:/runs";

#[test]
fn the_manifest_of_a_sweep_is_valid_and_complete() {
    let desk = Desk::new();
    let manifest = desk.manifest(&format!(
        "{FLAGS} --volume data:/data --namespace vision --max-parallel 3 --gpus 1 --cpus 8 --memory 32Gi"
    ));
    assert_eq!(desk.faults(&manifest), "", "{manifest}");
    // The check itself sees a key that is not there, and a value of another type.
    assert!(desk.faults(&manifest.replace("parallelism", "paralelism")).contains("paralelism"));
    assert!(desk.faults(&manifest.replace("completions: 4", "completions: four")).contains("four"));
    let job: serde_json::Value = yaml::parse(&manifest, "manifest").unwrap();
    let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&4.into(), &3.into()));
    assert_eq!((&spec["completionMode"], &spec["backoffLimitPerIndex"]), (&"Indexed".into(), &50.into()));
    let rules = &spec["podFailurePolicy"]["rules"];
    assert_eq!(
        (&rules[0]["action"], &rules[0]["onPodConditions"][0]["type"]),
        (&"Ignore".into(), &"DisruptionTarget".into())
    );
    assert_eq!(
        (&rules[1]["action"], &rules[1]["onExitCodes"]["values"]),
        (&"FailIndex".into(), &serde_json::json!([1, 2]))
    );
    assert_eq!(pod["restartPolicy"], "Never");
    let container = &pod["containers"][0];
    assert_eq!(
        container["resources"]["limits"],
        serde_json::json!({"nvidia.com/gpu": 1, "cpu": 8, "memory": "32Gi"})
    );
    assert_eq!(container["volumeMounts"][1], serde_json::json!({"name": "volume-1", "mountPath": "/data"}));
    let command = container["command"][2].as_str().unwrap();
    assert!(command.ends_with("exec tchvision train /runs/sweep/trials/\"$trial\"/config.yaml --out /runs/sweep/trials/\"$trial\""), "{command}");
}

/// The shell of the image finds the trial of its index.
#[test]
fn a_pod_trains_the_trial_of_its_index() {
    let desk = Desk::new();
    let manifest = desk.manifest(FLAGS);
    let job: serde_json::Value = yaml::parse(&manifest, "manifest").unwrap();
    let command = job["spec"]["template"]["spec"]["containers"][0]["command"].clone();
    let command = command[2].as_str().unwrap().replace("exec tchvision", "echo");
    let list = desk.lab.folder.path().join("trials.txt");
    fs::write(&list, "a\nb c\nd\n").unwrap();
    let command = command.replace("/runs/sweep/launch/1/trials.txt", list.to_str().unwrap());
    let out = Command::new("sh").args(["-c", &command]).env("JOB_COMPLETION_INDEX", "1").output().unwrap();
    assert_eq!(text(&out.stdout), "train /runs/sweep/trials/b c/config.yaml --out /runs/sweep/trials/b c\n");
}

#[test]
fn one_training_over_several_pods_has_a_service_and_ranks() {
    let desk = Desk::new();
    let manifest = desk.manifest(&format!("{FLAGS} --nodes 2 --gpus 2 --only seed=0"));
    assert_eq!(desk.faults(&manifest), "", "{manifest}");
    let documents: Vec<serde_json::Value> =
        manifest.split("---\n").map(|text| yaml::parse(text, "manifest").unwrap()).collect();
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Service", "Job", "Service", "Job"]);
    let (service, job) = (&documents[0], &documents[1]);
    let name = service["metadata"]["name"].as_str().unwrap();
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["selector"]["batch.kubernetes.io/job-name"], job["metadata"]["name"]);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!((&pod["subdomain"], &job["spec"]["completions"]), (&name.into(), &4.into()));
    let variables = &pod["containers"][0]["env"];
    assert_eq!(
        (&variables[0]["value"], &variables[1]["value"]),
        (&"4".into(), &format!("{name}-0.{name}").into())
    );
    assert_eq!(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], 1);
}

#[test]
fn a_template_adds_what_a_site_needs() {
    let desk = Desk::new();
    let template = desk.lab.folder.path().join("pod.yaml");
    let site = "spec:\n  tolerations: [{key: gpu, operator: Exists}]\n  containers:\n  - {name: trial, imagePullPolicy: Always}\n  \
                volumes:\n  - {name: scratch, emptyDir: {}}\n";
    fs::write(&template, site).unwrap();
    let manifest = desk.manifest(&format!("{FLAGS} --template {}", template.display()));
    assert_eq!(desk.faults(&manifest), "", "{manifest}");
    let job: serde_json::Value = yaml::parse(&manifest, "manifest").unwrap();
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["containers"][0]["imagePullPolicy"], &pod["containers"][0]["name"]),
        (&"Always".into(), &"trial".into())
    );
    assert_eq!(
        (&pod["volumes"][0]["name"], &pod["volumes"][1]["name"]),
        (&"volume-0".into(), &"scratch".into())
    );
}

#[test]
fn what_kubernetes_cannot_have_is_refused() {
    let desk = Desk::new();
    for (more, message) in [
        ("", "--image: name the image"),
        ("--image a", "/runs/sweep: in none of the volumes; --volume CLAIM:/PATH"),
        (&format!("{FLAGS} --time 4h"), "--time: `--on kubernetes` has no such thing"),
        (&format!("{FLAGS} --nodes 3"), "a batch of 128 cannot be divided among 3 processes"),
        (&format!("{FLAGS} --nodes 2 --max-parallel 2"), "--max-parallel: Jobs of several pods"),
    ] {
        let out = desk.launch(more);
        assert_eq!(out.status.code(), Some(2), "{more}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(message), "{more}: {}", text(&out.stderr));
    }
}
