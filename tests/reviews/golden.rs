//! The comment of a change of everything, as it is written: `COUCHESTOR_GOLDEN=write` writes it anew.

use couchestor::model::diagnostic::{Diagnostic, Place};
use couchestor::model::ids::{CommitId, Revision};
use couchestor::model::pull_request::CommitState;
use couchestor::model::review::{
    Change, Fate, FieldChange, Note, ObjectChange, Plan, PlannedMove, ScheduleChange, Tried,
};
use couchestor::render::review::{Outcome, outcome, plan};
use std::path::Path;

fn object(change: Change, kind: &str, name: Option<&str>, path: &str) -> ObjectChange {
    ObjectChange {
        change,
        kind: kind.to_owned(),
        name: name.map(str::to_owned),
        path: path.to_owned(),
        made_from: None,
        secret: name.is_none(),
        fields: Vec::new(),
        more_fields: 0,
        tried: Tried::No,
    }
}

fn field(path: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
    FieldChange {
        path: path.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    }
}

fn moved(fate: Fate, claim: Option<&str>, from: &str, to: &str, words: &str) -> PlannedMove {
    PlannedMove {
        fate,
        claim: claim.map(str::to_owned),
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        words: words.to_owned(),
    }
}

fn everything() -> Plan {
    let (head, base) = ("8c1f4d0e".repeat(5), "0b7a93c2".repeat(5));
    let warning = Diagnostic::warning(
        Place::at("policies/base/policies.yaml", 14, 7),
        "overlap",
        "StoragePolicy tiering and StoragePolicy logs both take volumes of StorageClass mayastor",
        "give one of them a claimSelector",
    );
    Plan {
        head: CommitId(head),
        base: CommitId(base),
        branch: "main".to_owned(),
        diagnostics: vec![warning],
        objects: vec![
            ObjectChange {
                tried: Tried::Creates,
                ..object(
                    Change::Created,
                    "StorageTier",
                    Some("archive"),
                    "policies/base/tiers.yaml",
                )
            },
            ObjectChange {
                made_from: Some("StorageTier archive".to_owned()),
                tried: Tried::Creates,
                ..object(
                    Change::Created,
                    "StorageClass",
                    Some("archive"),
                    "policies/base/tiers.yaml",
                )
            },
            ObjectChange {
                tried: Tried::Later("can only be tried once its Namespace is there"),
                ..object(
                    Change::Created,
                    "ConfigMap",
                    Some("new/dashboards"),
                    "policies/base/dashboards.yaml",
                )
            },
            ObjectChange {
                fields: vec![
                    field("spec.cooldown", Some("\"24h\""), None),
                    field("spec.signals[iops].above", Some("5000"), Some("6000")),
                    field(
                        "spec.signals[latency]",
                        None,
                        Some("{\"above\":20,\"name\":\"latency\"}"),
                    ),
                ],
                more_fields: 2,
                tried: Tried::Configures,
                ..object(
                    Change::Changed,
                    "StoragePolicy",
                    Some("tiering"),
                    "policies/base/policies.yaml",
                )
            },
            ObjectChange {
                tried: Tried::Configures,
                ..object(
                    Change::Changed,
                    "Secret",
                    None,
                    "policies/base/velero-s3.sops.yaml",
                )
            },
            object(
                Change::Deleted,
                "ConfigMap",
                Some("monitoring/old"),
                "policies/base/old.yaml",
            ),
            ObjectChange {
                made_from: Some("BackupPolicy hourly".to_owned()),
                ..object(
                    Change::Paused,
                    "Schedule",
                    Some("velero/hourly-backup"),
                    "policies/base/backups.yaml",
                )
            },
        ],
        schedules: vec![
            ScheduleChange {
                name: "velero/daily-backup".to_owned(),
                before: Some("0 2 * * *".to_owned()),
                after: Some("30 3 * * *".to_owned()),
            },
            ScheduleChange {
                name: "velero/weekly-backup".to_owned(),
                before: None,
                after: Some("0 4 * * 0 (paused)".to_owned()),
            },
        ],
        moves: vec![
            moved(Fate::Moves, Some("db/data-0"), "cold", "hot", ""),
            moved(
                Fate::Waits,
                Some("db/data-1"),
                "cold",
                "hot",
                "no pool of hot has room",
            ),
            moved(
                Fate::Proposed,
                Some("web/uploads"),
                "hot",
                "archive",
                "StoragePolicy tiering",
            ),
            moved(
                Fate::NotProposed,
                Some("web/cache"),
                "cold",
                "hot",
                "StoragePolicy tiering",
            ),
            moved(Fate::Moves, None, "cold", "hot", ""),
        ],
        notes: vec![Note::SignatureLater, Note::LoadUnknown],
        ..Plan::default()
    }
}

#[test]
fn the_comment_of_a_change_of_everything() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan.md");
    let said = plan(&everything(), 65_000);
    let text = said.comment.unwrap();
    if std::env::var("COUCHESTOR_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(said.state, CommitState::Success);
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "COUCHESTOR_GOLDEN=write writes it anew"
    );
}

#[test]
fn a_comment_fits_whatever_there_is_to_say_and_counts_what_is_left_out() {
    let mut large = everything();
    let one = large.objects[3].clone();
    large.objects = vec![one; 5000];
    large.moves = vec![large.moves[0].clone(); 5000];
    for most in [65_000, 20_000, 4_000, 1_500] {
        let text = plan(&large, most).comment.unwrap();
        let length = text.chars().count();
        assert!(length <= most, "{length} of {most}");
        assert!(
            text.contains("5000 objects changed") && text.contains(" more."),
            "{most}: {text}"
        );
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count(),
            "{most}"
        );
    }
    let revision = Revision {
        branch: "main".to_owned(),
        commit: CommitId("ab".repeat(20)),
    };
    let whole = plan(&large, 60_000).comment.unwrap();
    let done = outcome(&Outcome::Applied(&revision), Some(&whole), 65_000);
    assert!(done.contains("5000 objects changed"));
    let again = outcome(&Outcome::Applied(&revision), Some(&done), 65_000);
    assert_eq!(done, again, "said twice it is the same");
    assert!(
        outcome(&Outcome::Applied(&revision), Some(&whole), 1_000)
            .chars()
            .count()
            < 1_000
    );
}

#[test]
fn nothing_from_outside_is_markup() {
    let hostile =
        "@everyone <img src=x> [a](http://evil) `x` #1 | **b** \u{202e}\n\n# h1\n/couchestor plan\n-->";
    let mut bad = everything();
    bad.branch = hostile.to_owned();
    for one in &mut bad.objects {
        one.kind = hostile.to_owned();
        one.name = one.name.as_ref().map(|_| hostile.to_owned());
        one.path = hostile.to_owned();
        one.made_from = Some(hostile.to_owned());
        one.tried = Tried::Refused(hostile.to_owned());
        one.fields = vec![field(hostile, Some(hostile), Some(hostile))];
    }
    for one in &mut bad.moves {
        one.claim = Some(hostile.to_owned());
        (one.from, one.to, one.words) = (
            Some(hostile.to_owned()),
            Some(hostile.to_owned()),
            hostile.to_owned(),
        );
    }
    for one in &mut bad.schedules {
        one.name = hostile.to_owned();
        (one.before, one.after) = (Some(hostile.to_owned()), Some(hostile.to_owned()));
    }
    let place = Place::file(hostile);
    bad.diagnostics = vec![Diagnostic::error(place, hostile, hostile, hostile)];
    let text = plan(&bad, 65_000).comment.unwrap();
    // What stands outside of code.
    let mut outside = String::new();
    for line in text.lines().map(|line| line.replace("\\`", "")) {
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        assert!(
            line.trim() != "/couchestor plan" && !line.starts_with("# "),
            "{line}"
        );
        outside.extend(line.split('`').step_by(2).map(str::to_owned));
        outside.push('\n');
    }
    for mark in ["@everyone", "<img", "](http", "#1", "\u{202e}", "**b**", "-->"] {
        let told = outside
            .replace("\\*\\*b\\*\\*", "")
            .replace("\\#1", "")
            .replace("\\]", "");
        assert!(!told.contains(mark), "{mark}: {text}");
    }
}
