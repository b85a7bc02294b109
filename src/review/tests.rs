//! What differs between two revisions, in tables.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::command::{self, Command};
use super::fields::differing;
use super::{compare, records};
use crate::model::desired::Origin;
use crate::model::ids::ObjectId;
use crate::model::kinds::review::ReviewStatus;
use crate::model::places::Places;
use crate::model::pull_request::Comment;
use crate::model::rendering::{RenderedObject, Stage};
use crate::model::review::Change;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

fn shown(before: Value, after: Value) -> Vec<String> {
    let (fields, more) = differing(&before, &after);
    let side = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let mut lines: Vec<String> = fields
        .into_iter()
        .map(|one| format!("{}: {} > {}", one.path, side(one.before), side(one.after)))
        .collect();
    if more > 0 {
        lines.push(format!("{more} more"));
    }
    lines
}

#[test]
fn fields_differ_by_paths_that_people_read() {
    let table = [
        (json!({"a": 1}), json!({"a": 1}), vec![]),
        (json!({"a": {"b": 2}}), json!({"a": {"b": 3}}), vec!["a.b: 2 > 3"]),
        (
            json!({"a": {"b/c.d": "x"}}),
            json!({"a": {}}),
            vec![r#"a["b/c.d"]: "x" > none"#],
        ),
        (
            json!({}),
            json!({"a": {"z": 1, "b": 2}}),
            vec![r#"a: none > {"b":2,"z":1}"#],
        ),
        // By name, wherever it stands in its list.
        (
            json!({"s": [{"name": "x", "n": 1}, {"name": "y", "n": 1}]}),
            json!({"s": [{"name": "y", "n": 2}, {"name": "x", "n": 1}]}),
            vec!["s[y].n: 1 > 2"],
        ),
        (
            json!({"s": [{"name": "x"}]}),
            json!({"s": [{"name": "y"}]}),
            vec![r#"s[x]: {"name":"x"} > none"#, r#"s[y]: none > {"name":"y"}"#],
        ),
        // By place, when two have one name.
        (
            json!({"s": [{"name": "x", "n": 1}, {"name": "x", "n": 2}]}),
            json!({"s": [{"name": "x", "n": 1}, {"name": "x", "n": 3}]}),
            vec!["s[1].n: 2 > 3"],
        ),
        (
            json!({"s": [1, 2, 3]}),
            json!({"s": [1, 4]}),
            vec!["s[1]: 2 > 4", "s[2]: 3 > none"],
        ),
        (json!({"a": null}), json!({}), vec!["a: null > none"]),
    ];
    for (before, after, wanted) in table {
        assert_eq!(shown(before.clone(), after.clone()), wanted, "{before} > {after}");
    }
}

#[test]
fn fields_are_bounded_and_counted() {
    let many = |value: u32| -> Value {
        Value::Object((0..100).map(|at| (format!("k{at:03}"), json!(value))).collect())
    };
    let lines = shown(many(1), many(2));
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (41, "60 more"));
    let long = shown(json!({"a": "x".repeat(10_000)}), json!({"a": 1}));
    assert!(long[0].chars().count() < 200 && long[0].contains('…'), "{long:?}");
}

fn comment(id: u64, author: &str, body: &str) -> Comment {
    Comment {
        id,
        author: author.to_owned(),
        body: body.to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn a_command_is_a_line_of_its_own() {
    let table = [
        ("/couchestor plan", Some(Command::Plan)),
        ("wait\r\n  /couchestor hold \r\nplease", Some(Command::Hold)),
        ("please /couchestor plan", None),
        ("> /couchestor plan", None),
        ("`/couchestor plan`", None),
        ("/couchestor plan now", None),
        ("/couchestor apply", None),
        ("```\n/couchestor hold\n```", None),
        ("so:\n~~~~ text\n~~~\n/couchestor hold\n~~~~", None),
        ("- ```sh\n  /couchestor hold\n  ```", None),
        ("```\nwithout an end\n\n/couchestor hold", None),
        ("    /couchestor hold", None),
        ("\t/couchestor hold", None),
        // A quotation goes on without its mark, up to the next empty line.
        ("> ann said\n/couchestor hold", None),
        ("> ann said\n\n/couchestor hold", Some(Command::Hold)),
        ("- > ann said\n/couchestor hold", None),
        ("`\n/couchestor hold\n`", None),
        ("<!--\n/couchestor hold\n-->", None),
        (
            "<pre>\n/couchestor hold\n</pre>\n/couchestor plan",
            Some(Command::Plan),
        ),
        (
            "```\n/couchestor hold\n```\n/couchestor plan",
            Some(Command::Plan),
        ),
        ("`x` and ```y```\n/couchestor hold", Some(Command::Hold)),
        ("", None),
    ];
    for (body, wanted) in table {
        assert_eq!(command::read(body), wanted, "{body:?}");
    }
}

#[test]
fn commands_are_obeyed_once_and_only_from_who_may() {
    let said = [
        comment(5, "ann", "/couchestor hold"),
        comment(6, "eve", "/couchestor plan"),
        comment(7, "Ann", "/couchestor plan"),
        comment(8, "ann", "thanks"),
    ];
    let ann = ["ann".to_owned()];
    let given = |after: u64, from: &[String]| command::newest(&said, after, from);
    assert_eq!(given(0, &[]), (8, None), "nobody may");
    assert_eq!(
        given(0, &ann),
        (8, Some((Command::Plan, "Ann".to_owned()))),
        "the newest counts"
    );
    assert_eq!(given(7, &ann), (8, None), "once");
    assert_eq!(given(8, &ann), (8, None));
    let eve = ["eve".to_owned()];
    assert_eq!(given(5, &eve), (8, Some((Command::Plan, "eve".to_owned()))));
}

#[test]
fn the_newest_pull_requests_are_remembered() {
    let mut all: Vec<ReviewStatus> = (0..150)
        .rev()
        .map(|number| ReviewStatus {
            number,
            ..ReviewStatus::default()
        })
        .collect();
    records::bound(&mut all);
    assert_eq!((all.len(), all[0].number, all[99].number), (100, 50, 149));
    let changed = ReviewStatus {
        number: 60,
        head: "h".to_owned(),
        ..ReviewStatus::default()
    };
    records::put(&mut all, changed);
    assert_eq!((all.len(), all[10].head.as_str()), (100, "h"));
}

#[test]
fn where_the_forge_refused_to_be_written_to_nothing_is_said_for_a_quarter_of_an_hour() {
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let mut record = ReviewStatus::default();
    assert!(!records::rests(&record, at(0)));
    record.not_before = records::later(at(0));
    for (second, rests) in [(0, true), (899, true), (900, false), (5_000, false)] {
        assert_eq!(records::rests(&record, at(second)), rests, "{second}");
    }
}

#[test]
fn a_schedule_that_leaves_is_paused_unless_it_said_that_it_may_go() {
    let schedule = |name: &str, annotations: Value| RenderedObject {
        stage: Stage::Rest,
        id: ObjectId {
            group: "velero.io".to_owned(),
            kind: "Schedule".to_owned(),
            namespace: "velero".to_owned(),
            name: name.to_owned(),
        },
        api_version: "velero.io/v1".to_owned(),
        secret: false,
        origin: Origin {
            path: "f.yaml".into(),
            document: 0,
            line: 1,
            places: Arc::new(Places::default()),
            changed: Vec::new(),
            secret: false,
        },
        made_from: None,
        value: Arc::new(json!({"metadata": {"annotations": annotations}})),
    };
    let before = [
        schedule("stays", json!({})),
        schedule("leaves", json!({})),
        schedule("may-go", json!({"storage.billyronks.io/prune": "enabled"})),
    ];
    let changes = compare(&before, &before[..1], true, &|_, _| true);
    let told: Vec<_> = changes
        .iter()
        .map(|one| (one.name.as_deref(), one.change))
        .collect();
    let paused = (Some("velero/leaves"), Change::Paused);
    assert_eq!(told, [paused, (Some("velero/may-go"), Change::Deleted)]);
}
