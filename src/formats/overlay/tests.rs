//! Claims about overlays; `tests/overlay_real.rs` compares whole folders with the real kustomize.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{InMemory, build, needed_files, read_objects};
use crate::canary::Canary;
use crate::model::secret::witness::wiped;

fn files(all: &[(&str, &str)]) -> InMemory {
    let mut files = InMemory::default();
    for (path, text) in all {
        files.add(*path, *text);
    }
    files
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";

#[test]
fn a_plain_folder_is_read_whole_but_for_hidden_files() {
    let all = files(&[
        ("p/a.yaml", MAP),
        ("p/.sops.yaml", "x: 1"),
        ("p/.github/w.yaml", "x"),
        ("q/b.yaml", "x"),
        ("p/r.md", ""),
    ]);
    assert_eq!(
        needed_files("p", &all).files.into_iter().collect::<Vec<_>>(),
        ["p/a.yaml"]
    );
    let (resources, diagnostics) = build("p", &all);
    assert_eq!((resources.len(), diagnostics.len()), (1, 0));
}

#[test]
fn what_is_not_read_is_refused_by_name_and_place() {
    for (kustomization, rule, line) in [
        ("resources: [a.yaml]\nhelmCharts: []\n", "kustomization-field", 2),
        ("resources:\n- https://example.org/x\n", "remote-base", 2),
        ("resources:\n- github.com/org/repo\n", "remote-base", 2),
        ("resources:\n- ../../x\n", "path", 2),
        ("resources:\n- /etc\n", "path", 2),
        ("resources:\n- b.yaml\n", "missing-file", 2),
        ("resources:\n- .\n", "cycle", 1),
        (
            "resources: [a.yaml]\npatches:\n- path: x.yaml\n",
            "missing-file",
            3,
        ),
    ] {
        let all = files(&[("p/a.yaml", MAP), ("p/kustomization.yaml", kustomization)]);
        let diagnostics = needed_files("p", &all).diagnostics;
        let found = &diagnostics[0];
        assert_eq!(
            (found.rule.as_str(), found.place.line),
            (rule, line),
            "{kustomization}\n{found}"
        );
    }
}

#[test]
fn the_same_object_twice_is_refused_with_both_places() {
    let all = files(&[("p/a.yaml", MAP), ("p/b.yaml", MAP)]);
    let (_, diagnostics) = build("p", &all);
    assert_eq!(
        diagnostics[0].to_string(),
        "p/b.yaml:3:12: error[duplicate-object]: ConfigMap a is defined twice; first at p/a.yaml:3:12; keep one of the two, or give one another name"
    );
}

#[test]
fn a_patch_that_fits_nothing_is_an_error() {
    let all = files(&[
        ("p/a.yaml", MAP),
        (
            "p/kustomization.yaml",
            "resources: [a.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: remove, path: /data/k}\n",
        ),
    ]);
    assert_eq!(build("p", &all).1[0].rule, "patch-target");
}

#[test]
fn what_an_encrypted_patch_touches_is_secret_and_its_values_are_in_no_message() {
    let kustomization = "resources: [a.yaml]\npatches:\n- path: patch.yaml\n  target: {kind: ConfigMap}\n";
    let canary = Canary::new();
    for (patch, wrong) in [
        ("data: {k: CANARY}\n", false),
        ("- {op: CANARY, path: /data/k}\n", true),
    ] {
        let patch = &patch.replace("CANARY", &canary.word);
        let all = files(&[
            ("p/a.yaml", MAP),
            ("p/kustomization.yaml", kustomization),
            ("p/patch.yaml", patch),
        ]);
        let (resources, diagnostics) = build("p", &Sealed(all, "p/patch.yaml"));
        assert_eq!(diagnostics.len(), usize::from(wrong));
        assert!(wrong || resources[0].origin.secret);
        canary.assert_absent(&format!("{diagnostics:?}"));
        canary.assert_absent(&diagnostics.iter().map(ToString::to_string).collect::<String>());
    }
}

/// A tree of so many objects, and so many patches that are for each of them.
fn patched_tree(objects: usize, patches: usize) -> InMemory {
    let all: Vec<String> = (0..objects)
        .map(|number| MAP.replace("name: a", &format!("name: a{number}")))
        .collect();
    let patches: String = (0..patches)
        .map(|number| match number % 2 {
            0 => format!("- {{target: {{kind: ConfigMap}}, patch: '{{data: {{p{number}: \"{number}\"}}}}'}}\n"),
            _ => format!("- {{target: {{name: a.*}}, patch: '[{{op: add, path: /data/p{number}, value: \"{number}\"}}]'}}\n"),
        })
        .collect();
    files(&[
        ("p/a.yaml", &all.join("---\n")),
        (
            "p/kustomization.yaml",
            &format!("resources: [a.yaml]\npatches:\n{patches}"),
        ),
    ])
}

#[test]
fn twenty_patches_over_all_of_two_thousand_objects_are_no_attack_and_a_thousand_are_one() {
    let (resources, diagnostics) = build("p", &patched_tree(2_000, 20));
    assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
    assert_eq!(resources.len(), 2_000);
    for resource in &resources {
        for number in 0..20 {
            assert_eq!(resource.value["data"][format!("p{number}")], number.to_string());
        }
    }
    let (_, diagnostics) = build("p", &patched_tree(2_000, 1_000));
    let rules: Vec<&str> = diagnostics.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(rules, ["too-much-work"]);
}

/// Files of which some were encrypted.
struct Sealed(InMemory, &'static str);

impl super::Files for Sealed {
    fn paths(&self) -> &std::collections::BTreeSet<String> {
        self.0.paths()
    }
    fn text(&self, path: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.0.text(path)
    }
    fn secret(&self, path: &str) -> bool {
        path == self.1
    }
}

#[test]
fn what_an_encrypted_object_is_called_may_be_a_name_elsewhere_and_its_values_may_not() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: canary}\n";
    for (from, called) in [("", Some("s")), ("stringData.k", None)] {
        let replacement = format!(
            "source: {{kind: Secret, fieldPath: '{from}'}}\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [metadata.name]}}]"
        );
        let all = files(&[
            ("p/a.yaml", MAP),
            ("p/s.yaml", secret),
            (
                "p/kustomization.yaml",
                &format!("resources: [a.yaml, s.yaml]\nreplacements:\n- {replacement}\n"),
            ),
        ]);
        let (resources, diagnostics) = build("p", &Sealed(all, "p/s.yaml"));
        match called {
            Some(called) => {
                assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
                assert_eq!(resources[0].name(), called);
            }
            None => assert!(
                diagnostics[0]
                    .message
                    .contains("a part of what an object is called")
            ),
        }
    }
}

#[test]
fn the_tree_and_the_objects_of_an_encrypted_file_are_wiped_also_when_it_is_refused() {
    let good = MAP.replace("k: v", "k: canary");
    let broken = format!("{good}---\n{}", MAP.replace("k: v", "k: .inf"));
    for (text, is_read) in [(good, true), (broken, false)] {
        let count = wiped("canary", || {
            assert_eq!(read_objects("a.yaml", &text, true).is_ok(), is_read);
        });
        assert_eq!(count, 2, "the tree and the object: {text}");
    }
}

#[test]
fn encrypted_patches_replacements_and_generated_files_are_wiped_wherever_they_were_copied() {
    let target = "target: {kind: ConfigMap}";
    for (what, kustomization, text, copies) in [
        (
            "the tree, the value and the object of a merge",
            format!("resources: [a.yaml]\npatches: [{{path: s.yaml, {target}}}]\n"),
            "data: {k: canary}\n",
            3,
        ),
        (
            "those of a JSON patch, whose operation borrows what it writes",
            format!("resources: [a.yaml]\npatches: [{{path: s.yaml, {target}}}]\n"),
            "- {op: replace, path: /data/k, value: canary}\n",
            3,
        ),
        (
            "the tree of a replacement, its value as it is read and as it is put, and the object",
            "resources: [a.yaml]\nreplacements: [{path: s.yaml}]\n".to_owned(),
            "sourceValue: canary\ntargets: [{select: {kind: ConfigMap}, fieldPaths: [data.k]}]\n",
            4,
        ),
        (
            "what a name's hash is made of, and the object",
            "configMapGenerator: [{name: m, files: [s.yaml]}]\n".to_owned(),
            "canary",
            2,
        ),
    ] {
        let all = files(&[
            ("p/a.yaml", MAP),
            ("p/kustomization.yaml", &kustomization),
            ("p/s.yaml", text),
        ]);
        let count = wiped("canary", || {
            let (resources, diagnostics) = build("p", &Sealed(all, "p/s.yaml"));
            assert!(diagnostics.is_empty(), "{what}: {}", diagnostics[0]);
            assert!(resources[0].value.to_string().contains("canary"), "{what}");
        });
        assert_eq!(count, copies, "{what}");
    }
}
