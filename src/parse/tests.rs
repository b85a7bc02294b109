//! Claims about parsing: what is approved, by whom, and the way back. Mistakes are claimed in `tests/mistakes.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{ParseCache, is_label, parse};
use crate::model::desired::{Policy, SEALED};
use crate::model::ids::{ClaimRef, CommitId, Revision};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Pin;
use crate::model::secret::SecretText;
use crate::model::tree::{ClearFile, ClearTree, Provenance};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const TIERS: &str = "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: hot}\nspec:\n  rank: 2\n  poolSelector: {matchLabels: {tier: hot}}\n---\napiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: cold}\nspec:\n  rank: 1\n  poolSelector: {matchLabels: {tier: cold}}\n";
const ASSIGNMENT: &str = "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata: {name: data-0, namespace: db}\nspec: {claim: data-0, volume: pvc-u, tier: hot}\n";
const PATH: &str = "p/assignments/db/data-0.yaml";

fn provenance(commit: &str) -> Provenance {
    Provenance {
        commit: commit.into(),
        author: "Ada <ada@example.org>".into(),
        committed_at: Timestamp::UNIX_EPOCH,
        summary: String::new(),
    }
}

fn tree(assigned: bool) -> ClearTree {
    let file = |text: &str| ClearFile {
        blob: "b".into(),
        text: SecretText::new(text.as_bytes().to_vec()),
        secret: false,
        doubts: Vec::new(),
    };
    let mut files = BTreeMap::from([("p/tiers.yaml".to_owned(), file(TIERS))]);
    let (mut introduced, mut removed) = (BTreeMap::new(), BTreeMap::new());
    if assigned {
        files.insert(PATH.to_owned(), file(ASSIGNMENT));
        introduced.insert(PATH.to_owned(), provenance("merge"));
    } else {
        removed.insert(PATH.to_owned(), provenance("revert"));
    }
    ClearTree {
        revision: Revision {
            branch: "main".into(),
            commit: "tip".into(),
        },
        root: "p".into(),
        assignments: "p/assignments".into(),
        files,
        broken: Default::default(),
        doubts: Vec::new(),
        introduced,
        removed,
    }
}

#[test]
fn what_only_begins_like_our_group_is_somebody_elses() {
    let mut tree = tree(false);
    let text = TIERS.replace("storage.billyronks.io/v1", "storage.billyronks.io.example.com/v1");
    assert_ne!(text, TIERS);
    tree.files.insert("p/tiers.yaml".to_owned(), plain(text));
    let mut cache = ParseCache::default();
    let parsed = parse(&tree, &[], &Default::default(), &mut cache);
    let desired = parsed.desired.unwrap();
    assert!(desired.tiers.is_empty());
    assert_eq!(
        crate::render::render(&desired).len(),
        desired.resources.len(),
        "nothing is made of them"
    );
}

fn past(phase: Phase, approved_in: &str, from: &str, to: &str) -> MigrationBrief {
    MigrationBrief {
        name: "m".into(),
        claim: ClaimRef {
            namespace: "db".into(),
            name: "data-0".into(),
        },
        volume: "pvc-u".into(),
        from: from.into(),
        to: to.into(),
        policy: None,
        phase,
        approved_in: CommitId(approved_in.into()),
        latency_before: None,
        attempt: 1,
        retry: None,
        started: None,
        finished: Some(approved_in.into()),
        copied: None,
    }
}

/// The approved moves as `tier by commit`.
fn approved(tree: &ClearTree, past: &[MigrationBrief]) -> Vec<String> {
    let parsed = parse(tree, past, &Default::default(), &mut ParseCache::default());
    let desired = parsed
        .desired
        .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    desired
        .approved
        .iter()
        .map(|one| format!("{} by {}", one.what().to, one.approval().commit))
        .collect()
}

#[test]
fn an_assignment_approves_its_move_and_taking_it_out_approves_the_way_back_once() {
    assert_eq!(approved(&tree(true), &[]), ["hot by merge"]);
    assert!(
        approved(&tree(false), &[]).is_empty(),
        "nothing was moved, so there is no way back"
    );
    let failed = past(Phase::RolledBack, "merge", "cold", "hot");
    assert!(approved(&tree(false), &[failed]).is_empty());
    let moved = past(Phase::Completed, "merge", "cold", "hot");
    assert_eq!(
        approved(&tree(false), std::slice::from_ref(&moved)),
        ["cold by revert"]
    );
    let back = past(Phase::Completed, "revert", "hot", "cold");
    assert_eq!(
        approved(&tree(false), &[moved, back]),
        ["cold by revert"],
        "it stays where the revert put it"
    );
}

#[test]
fn an_assignment_in_the_wrong_file_is_refused() {
    let mut tree = tree(true);
    let file = tree.files.remove(PATH).unwrap();
    tree.files.insert("p/assignments/db/other.yaml".to_owned(), file);
    let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
    assert!(parsed.desired.is_none());
    assert_eq!(
        parsed.diagnostics[0].rule, "assignment-path",
        "{:?}",
        parsed.diagnostics
    );
}

#[test]
fn what_is_published_of_an_encrypted_policy_rests_on_its_file_and_not_on_its_values() {
    let fingerprint = |above: u32, blob: &str, secret: bool| {
        let text = format!(
            "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {{name: p}}\n\
             spec: {{tiers: [cold, hot], signals: [{{name: iops, above: {above}, below: 1}}]}}\n"
        );
        let mut tree = tree(false);
        let file = ClearFile {
            blob: blob.into(),
            text: SecretText::new(text.into_bytes()),
            secret,
            doubts: Vec::new(),
        };
        tree.files.insert("p/policy.yaml".to_owned(), file);
        let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
        let desired = parsed
            .desired
            .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        desired.policies[&"p".into()].fingerprint.clone()
    };
    let sealed = fingerprint(5000, "x", true);
    assert!(sealed.starts_with(SEALED), "{sealed}");
    assert_eq!(fingerprint(6000, "x", true), sealed, "whatever it says");
    assert_ne!(
        fingerprint(5000, "y", true),
        sealed,
        "a change makes another file"
    );
    let plain = fingerprint(5000, "x", false);
    assert_eq!(fingerprint(5000, "y", false), plain);
    assert_ne!(fingerprint(6000, "x", false), plain);
    assert!(!sealed.contains(&plain));
}

#[test]
fn no_copy_is_kept_of_an_encrypted_assignment() {
    for secret in [false, true] {
        let mut tree = tree(true);
        if let Some(file) = tree.files.get_mut(PATH) {
            file.secret = secret;
        }
        let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
        let desired = parsed
            .desired
            .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let assignment = desired.assignments.values().next().unwrap();
        assert_eq!(assignment.secret, secret);
        assert_eq!(assignment.text, if secret { "" } else { ASSIGNMENT });
    }
}

/// A file that was not encrypted.
fn plain(text: String) -> ClearFile {
    ClearFile {
        blob: "b".into(),
        text: SecretText::new(text.into_bytes()),
        secret: false,
        doubts: Vec::new(),
    }
}

/// A policy whose spec says this beside its tiers.
fn policy(says: &str) -> Policy {
    let text = format!(
        "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {{name: p}}\nspec:\n  tiers: [hot, cold]\n  {says}\n"
    );
    let mut tree = tree(false);
    let file = plain(text);
    tree.files.insert("p/policy.yaml".to_owned(), file);
    let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
    let desired = parsed
        .desired
        .unwrap_or_else(|| panic!("{says}: {:?}", parsed.diagnostics));
    desired.policies[&"p".into()].clone()
}

#[test]
fn what_a_policy_says_is_what_is_understood() {
    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }
    type Says = fn(&Policy) -> bool;
    let table: [(&str, Says); 14] = [
        ("enabled: true", |p| {
            let tiers: Vec<&str> = p.tiers.iter().map(|tier| tier.as_str()).collect();
            tiers == ["cold", "hot"] && (p.hysteresis, p.signals[0].percentile) == (0.1, None)
        }),
        (
            "signals: [{name: iops, percentile: 95, above: 9, below: 1}]",
            |p| {
                let one = &p.signals[0];
                (one.percentile, one.above, one.below) == (Some(0.95), Some(9.0), Some(1.0))
            },
        ),
        ("signals: [{name: mine, query: up, above: 2}]", |p| {
            let one = &p.signals[0];
            (&*one.name, one.above, one.below) == ("mine", Some(2.0), None)
        }),
        (
            "notHeatWhen: [{name: readRatio, percentile: 50, above: 0.9}]",
            |p| (p.not_heat_when[0].percentile, p.not_heat_when[0].above) == (Some(0.5), Some(0.9)),
        ),
        // From Saturday and Sunday evening over midnight.
        (
            "moveWindows: [{days: [Sat-Sun], from: '22:00', to: '04:00'}]",
            |p| {
                let [window] = &*p.move_windows else { return false };
                window.contains(at("2026-11-21T23:00:00Z"))
                    && window.contains(at("2026-11-23T03:59:59Z"))
                    && !window.contains(at("2026-11-23T04:00:00Z"))
                    && !window.contains(at("2026-11-20T23:00:00Z"))
                    && p.excluded_windows.is_empty()
            },
        ),
        (
            "excludedWindows: [{from: '01:00', to: '03:00', timeZone: Europe/Berlin}]",
            |p| {
                let [window] = &*p.excluded_windows else {
                    return false;
                };
                window.contains(at("2026-11-21T00:30:00Z"))
                    && !window.contains(at("2026-11-21T02:30:00Z"))
                    && p.move_windows.is_empty()
            },
        ),
        (
            "fullness: {demoteAbovePercent: 70, promoteBelowPercent: 85}",
            |p| (p.fullness.demote_above, p.fullness.promote_below) == (Some(0.7), Some(0.85)),
        ),
        (
            "budgets: {movesPerHour: 3, bytesPerHour: 500Gi, movesPerNode: 2, movesPerPool: 1}",
            |p| {
                let budgets = &p.budgets;
                budgets.moves_per_hour == Some(3)
                    && budgets.bytes_per_hour == Some(500 << 30)
                    && budgets.moves_per_node == Some(2)
                    && budgets.moves_per_pool == Some(1)
            },
        ),
        ("maxConcurrentMigrations: 7", |p| p.max_concurrent == 7),
        ("hysteresisPercent: 20", |p| p.hysteresis == 0.2),
        ("minVolumeAge: 48h", |p| {
            p.min_age == Duration::from_secs(48 * 3600)
        }),
        ("cooldownPeriod: 12h", |p| {
            p.cooldown == Duration::from_secs(12 * 3600)
        }),
        ("sustainedFor: 30m", |p| p.sustained == Duration::from_secs(1800)),
        ("minCoveragePercent: 60", |p| p.min_coverage == 0.6),
    ];
    for (says, holds) in table {
        let policy = policy(says);
        assert!(holds(&policy), "{says}: {policy:?}");
    }
}

#[test]
fn an_assignment_pins_for_as_long_as_it_says() {
    for (says, expected) in [
        ("", None),
        (", pinned: false", None),
        (", pinned: true", Some(Pin::Always)),
        (
            ", pinned: true, until: 2026-11-21T14:30:00Z",
            Some(Pin::Until(1_795_271_400)),
        ),
    ] {
        let mut tree = tree(true);
        let text = ASSIGNMENT.replace("tier: hot}", &format!("tier: hot{says}}}"));
        tree.files.get_mut(PATH).unwrap().text = SecretText::new(text.into_bytes());
        let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
        let desired = parsed
            .desired
            .unwrap_or_else(|| panic!("{says}: {:?}", parsed.diagnostics));
        let assignment = desired.assignments.values().next().unwrap();
        assert_eq!(assignment.pin, expected, "{says}");
    }
}

#[test]
fn a_fast_forward_of_our_own_commit_names_no_approver() {
    let mut tree = tree(true);
    let ours = "couchestor <couchestor@storage.billyronks.io>".to_owned();
    tree.introduced.get_mut(PATH).unwrap().author = ours;
    let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
    let desired = parsed
        .desired
        .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    assert_eq!(
        desired.approved[0].approval().author,
        "unknown (merged by a fast-forward)"
    );
}

/// Where StorageClasses are made elsewhere it is so of all policies: twenty are named, and the others counted.
#[test]
fn policies_whose_class_is_made_elsewhere_are_named_up_to_twenty() {
    for (count, last) in [
        (20, None),
        (21, Some("this policy watches a StorageClass")),
        (23, Some("this policy and 2 more watch StorageClasses")),
    ] {
        let of = |number: usize| {
            format!(
                "---\napiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {{name: p{number}}}\n\
                 spec: {{storageClassName: c{number}, tiers: [cold, hot]}}\n"
            )
        };
        let class =
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: ours}\nprovisioner: x\n";
        let text = (0..count).fold(class.to_owned(), |text, number| text + &of(number));
        let mut tree = tree(false);
        let file = plain(text);
        tree.files.insert("p/policies.yaml".to_owned(), file);
        let parsed = parse(&tree, &[], &Default::default(), &mut ParseCache::default());
        let told: Vec<String> = parsed
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .filter(|one| one.contains("StorageClass"))
            .collect();
        assert_eq!(told.len(), 20 + usize::from(last.is_some()), "{told:#?}");
        if let Some(words) = last {
            assert!(told.iter().any(|one| one.contains(words)), "{told:#?}");
        }
    }
}

#[test]
fn a_label_is_what_the_api_server_takes() {
    let long = |count: usize| "a".repeat(count);
    let domain = |count: usize| format!("{}/a", vec!["a"; count.div_ceil(2)].join("."));
    for (key, value, expected) in [
        ("app", "x", true),
        ("App_1.a-b", "", true),
        ("app.kubernetes.io/name", "X.y_z-1", true),
        ("a/b/c", "x", false),
        ("/a", "x", false),
        ("A.example/a", "x", false),
        ("", "x", false),
        ("-a", "x", false),
        ("a", "x y", false),
        ("a", "x-", false),
        (&long(63), &long(63), true),
        (&long(64), "x", false),
        ("a", &long(64), false),
        (&domain(253), "x", true),
        (&domain(255), "x", false),
    ] {
        assert_eq!(is_label(key, value), expected, "{key}={value}");
    }
}
