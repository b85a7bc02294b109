//! Claims about what a reviewer reads, and about templates. What a proposal looks like stands in tests/golden/proposal.md.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::template::{BUILT_IN, TEMPLATE_BYTES_MAX};
use super::{Rendered, Site, Template, render};
use crate::model::decision::{LeftAlone, ProposedMove, Subject, Why};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, Revision, TierName, VolumeName};
use crate::model::kinds::tier_assignment::{DecisionNote, SignalNote};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::pace::Pace;
use crate::model::rendering::ProposalText;
use crate::model::resources::Resources;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const SITE: Site = Site {
    prefix: "couchestor/",
    assignments: "p/assignments",
    trailer: "Couchestor-Proposal",
    forge: true,
    pace: None,
};

fn desired() -> Desired {
    Desired {
        revision: Revision {
            branch: "main".into(),
            commit: "0".into(),
        },
        resources: Resources::default(),
        tiers: BTreeMap::new(),
        policies: Default::default(),
        assignments: BTreeMap::new(),
        approved: Vec::new(),
        reverted: BTreeSet::new(),
        promotions: Default::default(),
    }
}

fn moved(claim: &str, hotter: bool, value: f64, watermark: Option<f64>) -> ProposedMove {
    let (from, to) = if hotter { ("cold", "hot") } else { ("hot", "cold") };
    let (namespace, name) = claim.split_once('/').unwrap();
    ProposedMove {
        claim: ClaimRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        volume: format!("pvc-{name}").into(),
        policy: "tiering".into(),
        from: from.into(),
        to: to.into(),
        hotter,
        note: DecisionNote {
            policy: "tiering".into(),
            from: from.into(),
            signal: "iops".into(),
            value,
            watermark,
            window: watermark.map(|_| "1h".into()),
            percentile: None,
            also: Vec::new(),
            sustained_for: None,
            after: None,
        },
        candidates: vec![
            format!("{to}-1").as_str().into(),
            format!("{to}-2").as_str().into(),
        ],
        bytes: 40 << 30,
        monthly_cost: None,
    }
}

fn missing(claim: &str, name: &str) -> (ClaimRef, VolumeName) {
    let (namespace, of) = claim.split_once('/').unwrap();
    let claim = ClaimRef {
        namespace: namespace.to_owned(),
        name: of.to_owned(),
    };
    (claim, name.into())
}

fn left<'a>(claim: &str, tier: Option<&'a TierName>, why: Why<'a>) -> LeftAlone<'a> {
    LeftAlone {
        subject: Subject::Missing(Box::new(missing(claim, "pvc"))),
        policy: None,
        tier,
        why,
    }
}

fn rendered(moves: &[ProposedMove], left: &[LeftAlone], site: Site, template: &Template) -> Rendered {
    let (moves, left): (Vec<_>, Vec<_>) = (moves.iter().collect(), left.iter().collect());
    render(&"tiering".into(), &moves, &left, &desired(), site, template)
}

/// By the built-in template.
fn text(moves: &[ProposedMove], left: &[LeftAlone]) -> ProposalText {
    let rendered = rendered(moves, left, SITE, &Template::built_in());
    assert_eq!((rendered.refused, rendered.complaint), (vec![], None));
    rendered.text.unwrap()
}

/// A promotion, a demotion with a price, and one whose policy is encrypted.
fn three() -> Vec<ProposedMove> {
    let mut three = vec![
        moved("db/postgres-0", true, 16_000.0, Some(5_000.0)),
        moved("logs/archive", false, 31.0, Some(200.0)),
        moved("vault/data", true, 7_100.0, None),
    ];
    three[1].bytes = 900 << 30;
    three[1].monthly_cost = Some(-81.0);
    three
}

/// A move of 1,000 MiB in ten seconds.
fn moved_before(number: u32) -> MigrationBrief {
    MigrationBrief {
        name: format!("m-{number}"),
        claim: ClaimRef {
            namespace: "db".to_owned(),
            name: "other".to_owned(),
        },
        volume: "pvc-other".into(),
        from: "cold".into(),
        to: "hot".into(),
        policy: None,
        phase: Phase::Completed,
        approved_in: "a".into(),
        latency_before: None,
        attempt: 1,
        retry: None,
        started: Some("2026-11-21T14:30:00Z".to_owned()),
        finished: Some("2026-11-21T14:30:10Z".to_owned()),
        copied: Some(1000 << 20),
    }
}

/// Like the file: what it says is what is said, until somebody means it otherwise.
#[test]
fn a_proposal_reads_as_written_down() {
    let (hot, cold) = (TierName::from("hot"), TierName::from("cold"));
    let left = [
        left("web/uploads", Some(&hot), Why::OnRightTier { tier: "hot" }),
        left(
            "web/cache",
            Some(&cold),
            Why::BetweenWatermarks {
                signal: "iops",
                value: 900.0,
            },
        ),
        left(
            "ci/scratch",
            Some(&cold),
            Why::CoolingDown { seconds_left: 7_200 },
        ),
        left("ci/old", None, Why::NotFound),
    ];
    // To hot twice, at 100 MiB a second; nothing has ever gone to cold, so the same holds there.
    let past: Vec<MigrationBrief> = (0..2).map(moved_before).collect();
    let pace = Pace::of(&past);
    let site = Site {
        pace: Some(&pace),
        ..SITE
    };
    let text = rendered(&three(), &left, site, &Template::built_in())
        .text
        .unwrap();
    let found = format!("# {}\n\n{}", text.title, text.body);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/proposal.md");
    assert_eq!(found, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn a_template_of_ones_own_says_title_and_body() {
    let own = "# [storage] {{ policy }}: {{ total.moves }}\r\n\r\n\
        {% for move in moves %}\n- {{ move.name | upper }} in {{ move.namespace }}: {{ move.from }} → {{ move.to }}\
        {% if not loop.last %};{% endif %}\n\n{% endfor %}\n{# nobody reads this, {{ nor }} {% this %} #}\nAsk {{ \"}} ~ the, team\" }}.\n";
    let template = Template::read("t.md", own.as_bytes()).unwrap();
    let rendered = rendered(&three()[..2], &[], SITE, &template);
    assert_eq!(rendered.complaint, None);
    let text = rendered.text.unwrap();
    assert_eq!(text.title, "[storage] tiering: 2");
    assert_eq!(
        text.body,
        "- POSTGRES-0 in db: cold → hot;\n- ARCHIVE in logs: hot → cold\nAsk }} ~ the, team.\n"
    );
    // What the repository keeps as its message does not come from there.
    assert!(text.commit_message.starts_with("Move 2 volumes by tiering: "));
}

#[test]
fn the_built_in_template_is_one_that_people_could_have_written() {
    Template::read("built-in", BUILT_IN.as_bytes()).unwrap();
}

#[test]
fn what_is_wrong_with_a_template_is_told_by_line_and_the_built_in_one_is_used() {
    let long = format!("# {{{{ summary }}}}\n{}", "x".repeat(TEMPLATE_BYTES_MAX));
    let repeated = format!(
        "# t\n{}",
        "{% for m in moves %}".repeat(60) + &"{% endfor %}".repeat(60)
    );
    let spun = format!(
        "# t\n{}x{}",
        "{% for c in moves %}".repeat(30),
        "{% endfor %}".repeat(30)
    );
    let table: [(&str, &str); 22] = [
        ("# t\n\n{{ nothing }}", "t.md:3: undefined value"),
        ("# t\n{{ moves[0].nothing }}", "t.md:2: undefined value"),
        (
            "# t\n{% if total.nothing %}{% endif %}",
            "t.md:2: undefined value",
        ),
        ("# t\n{% if x %}", "t.md:2:"),
        ("# t\n{{ summary", "t.md:2: a tag has no end"),
        ("# t\n\n{# never", "t.md:3: a comment has no end"),
        ("no title\n", "t.md:1: the first line that it makes is no title"),
        ("", "t.md:1: the first line that it makes is no title"),
        ("#   \n", "t.md:1: the first line that it makes is no title"),
        ("# t\n{{ policy | tojson }}", "t.md:2: unknown filter"),
        ("# t\n{{ range(3) }}", "t.md:2: unknown function"),
        (
            "# t\n{% include 'x' %}",
            "t.md:2: there is no statement `include`",
        ),
        (
            "# t\n{% macro x() %}{% endmacro %}",
            "t.md:2: there is no statement `macro`",
        ),
        (
            "# t\n{% raw %}{{ \"{% endraw %}",
            "t.md:2: there is no statement `raw`",
        ),
        // What would grow a text until memory ends.
        (
            "# t\n{% set x %}{{ x }}{{ x }}{% endset %}",
            "t.md:2: there is no statement `set`",
        ),
        (
            "# t\n{% with x = policy ~ policy %}{% endwith %}",
            "t.md:2: `~` has no meaning here",
        ),
        (
            "# t\n{% with x = policy + policy %}{% endwith %}",
            "t.md:2: `+` has no meaning here",
        ),
        (
            "# t\n{{ policy * 1000000000 }}",
            "t.md:2: `*` has no meaning here",
        ),
        (
            "# t\n{% for x in [moves, moves] %}{% endfor %}",
            "t.md:2: `,` has no meaning here",
        ),
        (
            "# t\n{% for x in moves recursive %}{{ loop(moves) }}{% endfor %}",
            "t.md:2: loops do not call themselves",
        ),
        (&long, "t.md:1: it has 65"),
        (&repeated, "t.md:2:"),
    ];
    for (own, expected) in table {
        let wrong = Template::read("t.md", own.as_bytes()).unwrap_err();
        assert!(wrong.starts_with(expected), "{own:.60}: {wrong}");
        assert!(wrong.contains("; "), "{wrong} says nothing to do");
    }
    let wrong = Template::read("t.md", spun.as_bytes()).unwrap_err();
    assert!(wrong.contains("out of fuel") || wrong.contains("fuel"), "{wrong}");
    let wrong = Template::read("t.md", b"# t\n\xff").unwrap_err();
    assert_eq!(wrong, "t.md:2: it is no UTF-8; save it as UTF-8");
}

#[test]
fn a_template_that_fails_on_the_moves_of_today_loses_nothing() {
    // The made-up moves on which a template is tried when it is read are of other policies.
    let own =
        "# {{ summary }}\n{% if policy == 'tiering' and total.moves == 2 %}{{ moves[7].claim }}{% endif %}";
    let template = Template::read("t.md", own.as_bytes()).unwrap();
    let moves = &three()[..2];
    let rendered = rendered(moves, &[], SITE, &template);
    let complaint = rendered.complaint.unwrap();
    assert!(complaint.starts_with("t.md:2: undefined value"), "{complaint}");
    assert_eq!(rendered.text.unwrap(), text(moves, &[]));
}

#[test]
fn how_each_signal_was_measured_is_told() {
    let mut one = moved("db/postgres-0", true, 9_000.0, Some(5_000.0));
    one.note.percentile = Some(95.0);
    one.note.sustained_for = Some("30m".into());
    one.note.also = vec![SignalNote {
        signal: "latency".into(),
        value: 3.125,
        watermark: 2.0,
        percentile: Some(99.0),
    }];
    let text = text(&[one], &[]);
    for told in [
        "Its p95 was 9000 IOPS over 1h, at or above the high watermark of 5000, and p99 of latency 3.12 ms, at or above 2, for at least 30m (StoragePolicy `tiering`).",
        "| 9000 IOPS (p95) over 1h, latency 3.12 ms (p99)<br>",
        "| ≥ 5000 IOPS, ≥ latency 2.00 ms |",
    ] {
        assert!(text.body.contains(told), "{told} is not in\n{}", text.body);
    }
    let file = String::from_utf8(text.files[0].content.clone().unwrap()).unwrap();
    assert!(
        file.contains("percentile: 95") && file.contains("sustainedFor: 30m"),
        "{file}"
    );
}

#[test]
fn no_template_gets_what_was_encrypted() {
    let all = "# t\n{{ policy }}{{ summary }}{{ forge }}{{ moves }}{{ total }}{{ left_alone }}{{ moves_more }}{{ left_more }}";
    let template = Template::read("t.md", all.as_bytes()).unwrap();
    let mut open = three()[0].clone();
    open.note.watermark = Some(4242.25);
    open.note.window = Some("77m".to_owned());
    let body = |one: &ProposedMove| {
        let rendered = rendered(std::slice::from_ref(one), &[], SITE, &template);
        rendered.text.unwrap().body
    };
    // What is seen of a policy that everybody can read would be seen here too.
    assert!(
        body(&open).contains("4242") && body(&open).contains("77m"),
        "{}",
        body(&open)
    );
    let (watermark, window) = (open.note.watermark.take(), open.note.window.take());
    assert!(watermark.is_some() && window.is_some());
    let first = body(&open);
    assert!(first.contains("encrypted"), "{first}");
    for secret in ["4242", "77m", "▇", "×"] {
        assert!(!first.contains(secret), "{secret} in {first}");
    }
}

#[test]
fn bars_show_what_was_observed_against_the_threshold_and_nothing_of_an_encrypted_one() {
    let drawn = |hotter, value, watermark| {
        let body = text(&[moved("db/data", hotter, value, watermark)], &[]).body;
        let row = body.lines().find(|line| line.starts_with("| `db/data`")).unwrap();
        let observed = row.split('|').nth(3).unwrap().trim();
        observed.split_once("<br>").map_or("–", |(_, bar)| bar).to_owned()
    };
    for (hotter, value, watermark, expected) in [
        (true, 16_000.0, Some(5_000.0), "▇▇▇▇▇▇▁▁ 3.2×"),
        (true, 5_000.0, Some(5_000.0), "▇▇▁▁▁▁▁▁ 1.0×"),
        (true, 20_000.0, Some(5_000.0), "▇▇▇▇▇▇▇▇ 4.0×"),
        (true, 1e9, Some(5_000.0), "▇▇▇▇▇▇▇▇ > 100×"),
        (false, 31.0, Some(200.0), "▇▁▁▁▁▁▁▁ 0.15×"),
        (false, 150.0, Some(200.0), "▇▇▇▇▇▇▁▁ 0.75×"),
        (false, 0.0, Some(200.0), "▁▁▁▁▁▁▁▁ 0.00×"),
        (true, 16_000.0, None, "–"),
        (true, 16_000.0, Some(0.0), "–"),
        (true, f64::NAN, Some(5_000.0), "–"),
        (true, f64::INFINITY, Some(5_000.0), "–"),
    ] {
        assert_eq!(
            drawn(hotter, value, watermark),
            expected,
            "{value} against {watermark:?}"
        );
    }
}

#[test]
fn the_longest_proposal_fits_into_a_pull_request_and_says_what_it_leaves_out() {
    let long = |index: usize| format!("{}/{index:04}{}", "n".repeat(63), "c".repeat(180));
    let crowd = |count, name: &dyn Fn(usize) -> String| -> Vec<ProposedMove> {
        let moves = (0..count).map(|index| moved(&name(index), index % 2 == 0, 16_000.0, Some(5_000.0)));
        moves
            .map(|mut one| {
                one.candidates = (0..9)
                    .map(|pool| format!("{pool}{}", "p".repeat(200)).as_str().into())
                    .collect();
                one
            })
            .collect()
    };
    let short = |index: usize| format!("db/{index}");
    let left_alone: Vec<_> = (0..5_000)
        .map(|index| left(&long(index), None, Why::NotFound))
        .collect();
    for (moves, left, cut_moves, cut_left) in [
        (crowd(200, &long), &left_alone[..], true, true),
        (crowd(5_000, &short), &left_alone[..], true, true),
        (crowd(30, &long), &[][..], false, false),
        (crowd(30, &long), &left_alone[..], false, true),
        (crowd(1, &long), &left_alone[..], false, true),
    ] {
        let text = text(&moves, left);
        let body = &text.body;
        assert!(
            body.chars().count() < 65_536 && body.len() <= 60_000,
            "{} bytes",
            body.len()
        );
        assert_eq!(text.files.len(), moves.len());
        let rows = |begin: &str| body.lines().filter(|line| line.starts_with(begin)).count();
        let (all, listed) = body.split_once("<details>").unwrap_or((body, ""));
        let moves_listed = all.lines().filter(|line| line.starts_with("| `")).count();
        let left_listed = listed.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows("| `"), moves_listed + left_listed);
        let more = |count: usize, what: &str| format!("\n\n… and {count} more{what}");
        let more_moves = more(
            moves.len() - moves_listed,
            " moves, each a file of this branch.\n",
        );
        assert_eq!(
            all.contains(&more_moves),
            cut_moves,
            "{moves_listed} moves listed"
        );
        assert_eq!(listed.contains(&more(left.len() - left_listed, ".\n")), cut_left);
        // Nothing is cut in the middle.
        assert!(
            body.lines()
                .filter(|line| line.starts_with('|'))
                .all(|line| line.ends_with('|'))
        );
        assert_eq!(
            body.matches("<details>").count(),
            1 + usize::from(!left.is_empty())
        );
        assert!(body.ends_with("\n</details>\n"));
        assert!(body.contains("**Undo:**"));
        if cut_moves {
            assert!(
                body.len() > 55_000,
                "there was room for more: {} bytes",
                body.len()
            );
        }
    }
}
