//! Operations of JSON patches: what each does where its target is and where it is not, and what is told of one that fails.

use super::tree;
use super::verdicts::{Verdict, compare};
use crate::support::{say, servers};
use couchestor::formats::overlay::{InMemory, build};
use std::collections::BTreeSet;

const OBJECT: &str = "apiVersion: x.io/v1\nkind: Foo\nmetadata: {name: conf}\nspec: {l: [1, 2, 3], m: {a: b}, nul: null, s: text, f: 1.5, 'a/b': 1, 'a~b': 2}\n";

/// What is expected of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Refused,
    Intended(&'static str),
}

use Outcome::{Intended, Refused, Same};

/// Operations on [`OBJECT`].
const ROWS: [(&str, Outcome); 63] = [
    ("[{op: add, path: /metadata/annotations/x, value: q}]", Same),
    ("[{op: add, path: /metadata/annotations/x, value: 5}]", Same),
    ("[{op: add, path: /metadata/annotations/x, value: true}]", Same),
    (
        "[{op: replace, path: /metadata/annotations, value: {x: 5}}]",
        Same,
    ),
    ("[{op: replace, path: /metadata/annotations, value: null}]", Same),
    ("[{op: remove, path: /metadata/annotations}]", Same),
    (
        "[{op: remove, path: /metadata/annotations}, {op: add, path: /metadata/annotations/x, value: q}]",
        Refused,
    ),
    ("[{op: add, path: /metadata/labels/x, value: q}]", Refused),
    ("[{op: add, path: /metadata/labels, value: {x: q}}]", Same),
    ("[{op: replace, path: /metadata/labels, value: {x: q}}]", Same),
    ("[{op: replace, path: /spec/m/new, value: 9}]", Same),
    ("[{op: replace, path: /spec/gone/new, value: 9}]", Refused),
    ("[{op: replace, path: /spec/l/-1, value: 9}]", Same),
    ("[{op: replace, path: /spec/l/-4, value: 9}]", Refused),
    ("[{op: replace, path: /spec/l/3, value: 9}]", Refused),
    ("[{op: replace, path: /spec/l/-, value: 9}]", Refused),
    ("[{op: replace, path: /spec/l/01, value: 9}]", Same),
    ("[{op: replace, path: /spec/a~1b, value: 9}]", Same),
    ("[{op: replace, path: /kind, value: Bar}]", Same),
    ("[{op: add, path: /spec/l/-, value: 9}]", Same),
    ("[{op: add, path: /spec/l/0, value: {a: 1}}]", Same),
    ("[{op: add, path: /spec/l/3, value: 9}]", Same),
    ("[{op: add, path: /spec/l/4, value: 9}]", Refused),
    ("[{op: add, path: /spec/l/-1, value: 9}]", Same),
    ("[{op: add, path: /spec/l/-5, value: 9}]", Refused),
    ("[{op: add, path: /spec/l/x, value: 9}]", Refused),
    ("[{op: add, path: /spec/nul/x, value: 9}]", Refused),
    ("[{op: add, path: /spec/s/x, value: 9}]", Refused),
    ("[{op: add, path: /spec/m/, value: 9}]", Same),
    ("[{op: add, path: /spec/x, value: null}]", Same),
    ("[{op: add, path: /spec/x, value: yes}]", Same),
    ("[{op: add, path: '', value: {a: b}}]", Refused),
    ("[{op: remove, path: /spec/a~0b}]", Same),
    ("[{op: remove, path: /spec/l/-2}]", Same),
    ("[{op: remove, path: /spec/l/-}]", Refused),
    ("[{op: remove, path: /spec/gone}]", Refused),
    ("[{op: remove, path: ''}]", Refused),
    ("[{op: remove, path: /metadata}]", Refused),
    ("[{op: replace, path: /metadata, value: text}]", Refused),
    ("[{op: move, from: /spec/m, path: /spec/n}]", Same),
    ("[{op: move, from: /spec/l/0, path: /spec/l/1}]", Same),
    ("[{op: move, from: /spec/l/-1, path: /spec/last}]", Same),
    ("[{op: move, from: /spec/m, path: /spec/m/x}]", Refused),
    ("[{op: move, from: /spec/gone, path: /spec/x}]", Refused),
    ("[{op: copy, from: /spec/m, path: /spec/m/x}]", Same),
    ("[{op: copy, from: /spec/l/-1, path: /spec/l/-}]", Same),
    ("[{op: copy, from: /spec/l/7, path: /spec/x}]", Refused),
    (
        "[{op: copy, from: /spec/gone, path: /spec/x}]",
        Intended("a copy of nothing"),
    ),
    (
        "[{op: test, path: /spec/gone, value: null}, {op: add, path: /spec/x, value: 1}]",
        Same,
    ),
    ("[{op: test, path: /spec/nul, value: null}]", Same),
    ("[{op: test, path: /spec/gone, value: 1}]", Refused),
    ("[{op: test, path: /spec/l/0, value: 1.0}]", Same),
    ("[{op: test, path: /spec/f, value: 1.5}]", Same),
    ("[{op: test, path: /spec/m, value: {a: b}}]", Same),
    ("[{op: test, path: /spec/m, value: {a: c}}]", Refused),
    ("[{op: test, path: /spec/s, value: Text}]", Refused),
    (
        "[{op: add, path: /metadata/annotations/x, value: q}, {op: test, path: /metadata/annotations/x, value: q}]",
        Same,
    ),
    (
        "[{op: add, path: /metadata/annotations/x, value: q}, {op: test, path: /metadata/annotations, value: {x: q}}]",
        Intended("a test of all annotations"),
    ),
    (
        "[{op: test, path: /metadata/annotations, value: {x: q}}]",
        Refused,
    ),
    ("[{op: merge, path: /spec/x, value: 1}]", Refused),
    ("[{path: /spec/x, value: 1}]", Refused),
    (
        "[{op: add, path: spec/x, value: 1}]",
        Intended("a pointer without its slash"),
    ),
    (
        "[{op: add, path: /spec/x}]",
        Intended("an operation without its value"),
    ),
];

#[test]
fn operations_do_what_they_do_in_kustomize() {
    if servers::left_out("operations_do_what_they_do_in_kustomize") {
        return;
    }
    let mut wrong = Vec::new();
    for (operations, expected) in ROWS {
        // As YAML: a text that begins with a bracket is JSON to kustomize.
        let file = format!("# operations\n{operations}\n");
        let files = tree(&[
            ("over/c.yaml", OBJECT),
            ("over/p.yaml", &file),
            (
                "over/kustomization.yaml",
                "resources: [c.yaml]\npatches: [{target: {kind: Foo}, path: p.yaml}]\n",
            ),
        ]);
        let expected = match expected {
            Same => Verdict::Same,
            Refused => Verdict::Refused,
            Intended(name) => Verdict::Intended(BTreeSet::from([name])),
        };
        match compare(operations, &files, "over") {
            Ok(found) if found == expected => {}
            Ok(found) => wrong.push(format!("{operations}: {found:?}, not {expected:?}")),
            Err(difference) => wrong.push(difference),
        }
    }
    say(&format!("operations: {} rows", ROWS.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n=======\n"));
}

/// An operation that fails, behind one that does not, and what is told of it.
const TOLD: [(&str, &str); 11] = [
    (
        "{op: add, path: /spec/gone/x, value: 1}",
        "`add` fails on Foo conf: /spec/gone is not there",
    ),
    (
        "{op: add, path: /spec/nul/x, value: 1}",
        "`add` fails on Foo conf: /spec/nul is not there",
    ),
    (
        "{op: add, path: /spec/s/x, value: 1}",
        "`add` fails on Foo conf: /spec/s is neither a map nor a list",
    ),
    (
        "{op: replace, path: /spec/l/5, value: 1}",
        "`replace` fails on Foo conf: /spec/l/5 is past the end of the list",
    ),
    (
        "{op: replace, path: /spec/l/x, value: 1}",
        "`replace` fails on Foo conf: /spec/l/x is in a list, whose places are numbers",
    ),
    (
        "{op: remove, path: /spec/gone}",
        "`remove` fails on Foo conf: /spec/gone is not there",
    ),
    (
        "{op: test, path: /spec/s, value: t}",
        "`test` fails on Foo conf: /spec/s has another value than `test` asks for",
    ),
    ("{op: add, path: /spec/x}", "need `value`"),
    ("{op: add, value: 1}", "an operation needs `path`"),
    ("{op: merge, path: /spec/x}", "`op` is none of"),
    ("{op: move, path: /spec/x}", "need `from`"),
];

#[test]
fn an_operation_that_fails_is_told_at_its_own_line_with_its_cause() {
    for (operation, words) in TOLD {
        let list = format!("- {{op: test, path: /spec/l/0, value: 1}}\n- {operation}\n");
        let indented = list.replace("- {", "    - {");
        let inline =
            format!("resources: [c.yaml]\npatches:\n- target: {{kind: Foo}}\n  patch: |-\n{indented}");
        let named = "resources: [c.yaml]\npatches: [{target: {kind: Foo}, path: p.yaml}]\n".to_owned();
        for (kustomization, place) in [(inline, "over/kustomization.yaml:6:"), (named, "over/p.yaml:2:")] {
            let mut files = InMemory::default();
            files.add("over/c.yaml", OBJECT);
            files.add("over/p.yaml", list.clone());
            files.add("over/kustomization.yaml", kustomization);
            let (_, diagnostics) = build("over", &files);
            let told: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            assert!(
                matches!(told.as_slice(), [one] if one.starts_with(place) && one.contains(words)),
                "{operation}: {told:?}"
            );
        }
    }
}
