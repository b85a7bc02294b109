//! Several at one time: simulations on one machine, and kubeconfigs in one variable.

use super::simulated::Servers;
use super::{command, folder, run, said};

const WORLD: &str = include_str!("../../policies/world.yaml");

#[test]
fn a_second_simulation_neither_takes_the_kubeconfig_of_one_that_runs_nor_waits_for_it() {
    let folder = folder(&[("world.yaml", WORLD)]);
    let folder = folder.path();
    let held = || std::fs::read_to_string(folder.join("k")).unwrap();
    let servers = Servers::start(folder);
    let first = held();
    let second = run(folder, &["simulate", "world.yaml", "--kubeconfig", "k"]);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    for words in ["another `couchestor simulate` runs and serves k", "--kubeconfig"] {
        assert!(said(&second).contains(words), "{}", said(&second));
    }
    assert_eq!(held(), first);
    // With a file of its own it runs beside the first.
    let beside = Servers::start_with(folder, "k2");
    let status = run(folder, &["status", "--kubeconfig", "k"]);
    assert!(status.status.success(), "{}", said(&status));
    drop(beside);
    // Nobody has to tidy up after one that was killed.
    drop(servers);
    drop(Servers::start(folder));
    assert_ne!(held(), first);
}

#[test]
fn kubeconfig_may_name_several_files_and_one_that_is_set_to_nothing_names_none() {
    let folder = folder(&[("world.yaml", WORLD), ("empty", "apiVersion: v1\nkind: Config\n")]);
    let folder = folder.path();
    let servers = Servers::start(folder);
    let with = |value: &str| {
        let mut status = command(folder, &["status"]);
        status.env("KUBECONFIG", value).output().unwrap()
    };
    for value in ["k", "empty:k", ":gone:k:", "k:empty"] {
        let status = with(value);
        assert!(status.status.success(), "{value}: {}", said(&status));
    }
    for (value, words) in [
        ("gone", "gone"),
        ("gone:away", "none of the files gone:away exists"),
        ("", "no way to the Kubernetes API"),
    ] {
        let status = with(value);
        assert_eq!(status.status.code(), Some(1), "{value}: {}", said(&status));
        assert!(said(&status).contains(words), "{value}: {}", said(&status));
    }
    drop(servers);
}
