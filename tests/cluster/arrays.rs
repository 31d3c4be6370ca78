//! Slurm's job arrays: what is launched comes to its end, whatever happens to nodes and jobs.

use super::cluster::{Cluster, Sweep, read};
use crate::common::lab::text;
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Three rates, seeds for the rest.
fn rest(seeds: usize) -> String {
    format!("axes: {{train.optimizer.sgd.lr: [0.01, 0.05, 0.1]}}\nseeds: {seeds}\n")
}

/// Steps that a trial saves after.
const SAVE_EVERY: u64 = 5;

/// Each process of a trial goes on where the one before it saved: no more than an interval is done again. By the steps that
/// they printed, for one that is killed at its start leaves a line in `starts.jsonl` and no step.
fn lost_at_most_an_interval(sweep: &Sweep, trial: &str) {
    let turns: Vec<Vec<u64>> = sweep.steps(trial).1.into_iter().filter(|turn| !turn.is_empty()).collect();
    for pair in turns.windows(2) {
        let (reached, next) = (pair[0][pair[0].len() - 1], pair[1][0]);
        assert!(next + SAVE_EVERY > reached, "{trial}: after step {reached} again from {next}; {turns:?}");
    }
}

/// In chunks, with nodes that crash: all results are there, and the collector's report. `TCHVISION_TRIALS=1500` is the
/// size of a real sweep.
#[test]
fn a_sweep_survives_nodes_that_crash() {
    let trials: usize = std::env::var("TCHVISION_TRIALS").map_or(18, |n| n.parse().unwrap());
    let (array_size, crashes, epochs) = if trials > 100 { (1001, trials / 20, 2) } else { (10, 3, 8) };
    let cluster = Cluster::start(4, array_size);
    let train = format!("epochs: {epochs}, save_every: {SAVE_EVERY}");
    let sweep = Sweep::new(&cluster, &train, &rest(trials / 3));
    let start = Instant::now();
    let launched = sweep.launch("--max-parallel 4");
    println!("{trials} trials launched in {:.1?}", start.elapsed());
    assert_eq!((&launched["submitted"], &launched["queued"]), (&trials.into(), &0.into()));
    // Two arrays and the report.
    assert_eq!(launched["jobs"].as_array().unwrap().len(), 3);
    let again = sweep.launch("--max-parallel 4");
    let known = again["queued"].as_u64().unwrap() + again["done"].as_u64().unwrap();
    assert_eq!((&again["submitted"], known), (&0.into(), trials as u64), "{again}");
    for crash in 0..crashes {
        let (due, mut node) = (trials * crash / (crashes + 1), None);
        sweep.until(3600, "a trial at work", || {
            if sweep.done() >= due {
                node = sweep.node_at_work();
            }
            node.is_some()
        });
        let node = node.unwrap();
        cluster.does("kill-node", &node);
        // At once, not after the daemon's silence.
        cluster.says(&format!("scontrol update NodeName={node} State=DOWN Reason=crashed"));
        cluster.does("start-node", &node);
    }
    sweep.until(3600, "all trials", || sweep.done() == trials);
    let report = sweep.dir.join("report.md");
    sweep.until(60, "the report", || report.exists());
    println!("{trials} trials and {crashes} crashes in {:.0?}", start.elapsed());
    let status = sweep.status();
    assert!(status.iter().all(|trial| trial["state"] == "done" && trial["queue"].is_null()));
    let mut again = 0;
    for trial in &status {
        let id = trial["id"].as_str().unwrap();
        lost_at_most_an_interval(&sweep, id);
        again += sweep.steps(id).0.len() - 1;
    }
    println!("{again} trials were started again");
    assert!(again > 0, "no crash hit a trial");
    assert_eq!(sweep.launch("")["done"], trials);
}

/// Slurm's notice before the time limit: the trial saves and comes again, and its result is that of one never stopped.
#[test]
fn a_trial_goes_on_after_its_time_limit_as_often_as_allowed() {
    let cluster = Cluster::start(2, 1001);
    let sweep = Sweep::new(&cluster, "epochs: 12", "seeds: 2\n");
    let plain = Sweep::new(&cluster, "epochs: 12", "seeds: 2\n");
    sweep.launch("--requeues 1 --time 4h --only seed=0");
    let begun = || sweep.log("seed=0").contains("step ");
    sweep.until(60, "its first step", begun);
    let job = sweep.status()[0]["queue"]["job"].as_str().unwrap().to_owned();
    // What Slurm does 90 s before the limit: USR2 to the shell.
    let notice = || cluster.says(&format!("scancel --batch --signal=USR2 {job}"));
    notice();
    sweep.until(60, "its second turn", || sweep.steps("seed=0").0.len() == 2);
    let restarts = |field: &str| {
        let shown = cluster.says(&format!("scontrol show job {job}"));
        shown.split_whitespace().find_map(|word| word.strip_prefix(field)).unwrap().to_owned()
    };
    assert_eq!(restarts("Restarts="), "1");
    let steps = || sweep.steps("seed=0").1;
    sweep.until(60, "a step of it", || steps().get(1).is_some_and(|turn| turn.len() > 1));
    notice();
    // Its one turn more is used: it waits for another launch, and says so.
    sweep.until(60, "its end", || restarts("JobState=") == "FAILED");
    let status = &sweep.status()[0];
    assert_eq!((&status["state"], &status["queue"]["state"]), (&"interrupted".into(), &"FAILED".into()));
    assert!(status["reason"].as_str().unwrap().starts_with("interrupted in epoch"), "{status}");
    assert_eq!(sweep.launch("--only seed=0")["submitted"], 1);
    sweep.until(120, "its result", || sweep.done() == 1);
    // Each turn began where the one before it ended.
    let (begun, turns) = sweep.steps("seed=0");
    for (turn, next) in turns.iter().zip(&begun[1..]) {
        assert_eq!(turn.last().unwrap_or(&0), next);
    }
    plain.ok("run", "--only seed=0");
    let epochs = |sweep: &Sweep| {
        let rows = read(&sweep.dir.join("trials/seed=0/metrics.jsonl"));
        let rows = rows.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        rows.map(|row| (row["train_loss"].clone(), row["test_loss"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(epochs(&sweep), epochs(&plain));
}

/// A trial that cannot run is not tried again by itself, says why, and stops neither others nor the report.
#[test]
fn a_trial_that_cannot_run_says_why_once() {
    let cluster = Cluster::start(2, 1001);
    let variants = "variants:\n  good: {}\n  bad: {train.optimizer.sgd.lr: 1.0e+30}\n";
    let sweep = Sweep::new(&cluster, "epochs: 1", variants);
    sweep.launch("");
    let report = sweep.dir.join("report.md");
    sweep.until(120, "the report", || report.exists());
    let status = sweep.status();
    assert_eq!((&status[0]["state"], &status[1]["state"]), (&"done".into(), &"failed".into()));
    assert!(status[1]["reason"].as_str().unwrap().contains("loss is NaN"), "{}", status[1]);
    assert_eq!(status[1]["queue"]["state"], "FAILED");
    assert_eq!(sweep.steps("bad_seed=0").0.len(), 1);
    let again = sweep.launch("");
    assert_eq!((&again["done"], &again["submitted"]), (&1.into(), &1.into()));
}

/// Cancelled trials save, do not come back by themselves, and go on when they are launched again.
#[test]
fn what_is_cancelled_stays_so_until_it_is_launched_again() {
    let cluster = Cluster::start(2, 1001);
    let sweep = Sweep::new(&cluster, "epochs: 12", &rest(1));
    sweep.launch("--time 4h");
    let begun = |trial: &str| sweep.log(trial).contains("step ");
    sweep.until(60, "two trials", || begun("lr=0.01_seed=0") && begun("lr=0.05_seed=0"));
    let reason = || sweep.status()[2]["queue"]["reason"].as_str().map(str::to_owned);
    sweep.until(60, "why the third waits", || reason().is_some());
    assert!(["Resources", "Priority"].contains(&reason().unwrap().as_str()), "{:?}", reason());
    assert_eq!(sweep.status()[2]["queue"]["state"], "PENDING");
    assert!(sweep.ok("cancel", "").starts_with("cancelled "));
    let queued = || cluster.says("squeue -h -o %i").lines().count();
    sweep.until(30, "an empty queue", || queued() == 0);
    assert_eq!(sweep.ok("cancel", "").trim(), "nothing of it is queued");
    let states: Vec<String> = sweep.status().iter().map(|t| t["queue"]["state"].to_string()).collect();
    assert!(states.iter().all(|state| state == "\"CANCELLED\"" || state == "\"FAILED\""), "{states:?}");
    assert!(sweep.log("lr=0.01_seed=0").contains("interrupted in epoch"));
    assert_eq!(sweep.launch("")["submitted"], 3);
    sweep.until(120, "all trials", || sweep.done() == 3);
    assert_eq!(sweep.steps("lr=0.01_seed=0").0.len(), 2);
}

/// Trials that start from the weights of others come after those.
#[test]
fn trials_wait_for_those_that_they_start_from() {
    let cluster = Cluster::start(2, 1001);
    let variants = "variants:\n  teacher: {}\n  pupil: {init: {trial: teacher}}\n";
    let sweep = Sweep::new(&cluster, "epochs: 1", &format!("{variants}seeds: 2\n"));
    let launched = sweep.launch("");
    assert_eq!((launched["jobs"].as_array().unwrap().len(), &launched["submitted"]), (3, &4.into()));
    sweep.until(120, "all trials", || sweep.done() == 4);
    for seed in [0, 1] {
        let trial = |name: &str| sweep.dir.join(format!("trials/{name}_seed={seed}"));
        let start = read(&trial("pupil").join("starts.jsonl"));
        let start: serde_json::Value = serde_json::from_str(start.lines().next().unwrap()).unwrap();
        let done = std::fs::metadata(trial("teacher").join("result.json")).unwrap().modified().unwrap();
        let done = done.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(start["wall_time"].as_f64().unwrap() > done, "{start}");
    }
}

/// The same plan by processes apart: the command returns, the trials go on, and cancelling saves them.
#[test]
fn processes_of_this_machine_go_on_after_the_command() {
    let cluster = Cluster::start(1, 1001);
    let sweep = Sweep::new(&cluster, "epochs: 12", &rest(1));
    let launched = sweep.ok("launch", "--on local --max-parallel 1 --json");
    assert!(launched.contains("\"submitted\": 3"), "{launched}");
    sweep.until(60, "a process", || !sweep.processes().is_empty());
    let again = sweep.ok("launch", "--on local --json");
    assert!(again.contains("\"queued\": 3") && again.contains("\"submitted\": 0"), "{again}");
    let saved = |trial: &str| sweep.dir.join("trials").join(trial).join("metrics.jsonl").exists();
    sweep.until(60, "an epoch", || saved("lr=0.01_seed=0"));
    assert!(sweep.ok("cancel", "").starts_with("cancelled "));
    sweep.until(30, "its end", || sweep.processes().is_empty());
    assert_eq!(sweep.status()[0]["state"], "interrupted");
    sweep.ok("launch", "--on local");
    sweep.until(180, "all trials", || sweep.done() == 3 && sweep.dir.join("report.md").exists());
}

/// Asynchronous halving: workers take what the records allow, of which nobody is told by another.
#[test]
fn workers_halve_side_by_side_without_waiting_for_each_other() {
    let cluster = Cluster::start(3, 1001);
    let rates = "axes: {train.optimizer.sgd.lr: [0.0, 1.0e-6, 0.02, 1.0e-5, 0.05, 1.0e-4]}\n";
    let halving = "halving: {first: 1, factor: 2, asynchronous: true}\n";
    let waits = Sweep::new(&cluster, "epochs: 4", &format!("{rates}halving: {{first: 1, factor: 2}}\n"));
    let refused = waits.run("launch", "--on slurm");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("write `asynchronous: true`"), "{}", text(&refused.stderr));
    let sweep = Sweep::new(&cluster, "epochs: 4", &format!("{rates}{halving}"));
    let launched = sweep.launch("--max-parallel 3");
    assert_eq!(launched["submitted"], 3);
    let again = sweep.launch("--max-parallel 3");
    assert_eq!((&again["submitted"], &again["queued"]), (&0.into(), &3.into()), "{again}");
    let node = std::cell::RefCell::new(None);
    sweep.until(60, "a trial at work", || {
        *node.borrow_mut() = sweep.node_at_work();
        node.borrow().is_some()
    });
    let node = node.into_inner().unwrap();
    cluster.does("kill-node", &node);
    cluster.says(&format!("scontrol update NodeName={node} State=DOWN Reason=crashed"));
    cluster.does("start-node", &node);
    let report = sweep.dir.join("report.md");
    sweep.until(180, "the report", || report.exists());
    let status = sweep.status();
    let of = |state: &str| status.iter().filter(|trial| trial["state"] == state).collect::<Vec<_>>();
    let (done, dropped) = (of("done"), of("dropped"));
    assert!(!done.is_empty() && done.len() + dropped.len() == 6, "{status:#?}");
    assert!(dropped.len() >= 3, "{status:#?}");
    // The rates that learn are not among those dropped first.
    let epochs = |id: &str| status.iter().find(|trial| trial["id"] == id).unwrap()["epoch"].as_u64().unwrap();
    assert!(epochs("lr=0.02_seed=0").max(epochs("lr=0.05_seed=0")) >= 2, "{status:#?}");
    assert_eq!(sweep.launch("--max-parallel 3")["submitted"], 0);
    assert_eq!(sweep.status().len(), 6);
}

/// A node that is out of reach, and taken for dead, may still train: its trial is not trained by another beside it.
#[test]
fn a_node_taken_for_dead_trains_on_alone() {
    let cluster = Cluster::start(2, 1001);
    let sweep = Sweep::new(&cluster, "epochs: 60", "");
    sweep.launch("");
    let mut node = None;
    sweep.until(60, "its first step", || {
        node = sweep.node_at_work();
        node.is_some()
    });
    let node = node.unwrap();
    let job = sweep.status()[0]["queue"]["job"].as_str().unwrap().to_owned();
    let process = sweep.processes()["seed=0"][0];
    cluster.does("kill-daemon", &node);
    cluster.says(&format!("scontrol update NodeName={node} State=DOWN Reason=lost"));
    // On the other node it is started again, finds its directory held and ends.
    let start = Instant::now();
    while !cluster.says(&format!("scontrol show job {job}")).contains("JobState=FAILED") {
        assert!(start.elapsed().as_secs() < 60, "{}", sweep.log("seed=0"));
        assert_eq!(sweep.steps("seed=0").0.len(), 1, "a second one has begun");
        sleep(Duration::from_millis(100));
    }
    assert!(sweep.log("seed=0").contains("another process trains there"), "{}", sweep.log("seed=0"));
    assert!(sweep.done() == 1 || sweep.processes()["seed=0"] == [process]);
    sweep.until(120, "its end", || sweep.done() == 1);
    assert_eq!(sweep.steps("seed=0").0.len(), 1);
}
