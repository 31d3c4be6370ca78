//! The image, as far as it can be checked where none can be built.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The first number after `before`, as `major.minor`.
fn version(text: &str, before: &str) -> (u32, u32) {
    let rest = text.split_once(before).unwrap().1;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn the_image_has_a_rust_that_is_new_enough_and_what_make_wants() {
    let (docker, manifest, make) = (read("Dockerfile"), read("Cargo.toml"), read("Makefile"));
    assert!(version(&docker, "FROM rust:") >= version(&manifest, "rust-version = \""));
    // What `make tools` asks for, but cargo, which the base has.
    for package in ["g++", "python3", "python3-venv", "make"] {
        assert!(
            docker
                .lines()
                .any(|line| line.contains("apt-get install") && line.split(' ').any(|word| word == package))
        );
    }
    for target in ["build", "cuda"] {
        assert!(make.contains(&format!("\n{target}:")), "{target}");
    }
    // What the checkout has and the image must not take: it is of this machine.
    let ignored = read(".dockerignore");
    for name in read(".gitignore").lines().map(|line| line.trim_start_matches('/')) {
        assert!(ignored.lines().any(|line| line == name), "{name}");
    }
}

/// Each file of an earlier stage is made there, and lies where the program looks for it.
#[test]
fn the_second_stage_takes_what_the_first_one_makes() {
    let docker = read("Dockerfile");
    let (first, second) = docker.split_once("\nFROM debian").unwrap();
    let workdir = first.lines().find_map(|line| line.strip_prefix("WORKDIR ")).unwrap();
    let mut copied = 0;
    for line in second.lines().filter(|line| line.starts_with("COPY")) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[1], "--from=build");
        let within = words[2].strip_prefix(workdir).unwrap();
        assert!(["/tchvision", "/.venv/lib"].contains(&within), "{line}");
        copied += 1;
    }
    assert_eq!(copied, 2);
    assert!(second.contains(&format!("{workdir}/libtorch\n")));
}
