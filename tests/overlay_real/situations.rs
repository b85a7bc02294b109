//! Situations that people meet, each by name: what is easily got wrong, and what must be refused.

use super::{compare, tree};
use crate::support::servers;

#[test]
fn every_situation_is_built_as_kustomize_builds_it() {
    if servers::left_out("every_situation_is_built_as_kustomize_builds_it") {
        return;
    }
    let mut failures = Vec::new();
    let all = all();
    for (name, files) in &all {
        let tree = tree(files);
        if let Err(difference) = compare(name, &tree, "over") {
            failures.push(difference);
        }
    }
    println!("overlay situations: {}", all.len());
    assert!(failures.is_empty(), "{}", failures.join("\n=======\n"));
}

type Situation = (&'static str, &'static [(&'static str, &'static str)]);

fn all() -> Vec<Situation> {
    vec![]
}
