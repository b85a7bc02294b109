//! Targets beyond the readers of single formats: host keys, whole objects of every kind, merges, folders, and the texts that we
//! write for people.

use super::{fuzz, mutate};
use crate::canaries::{Texts, told};
use crate::support::canary::Canary;
use crate::support::say;
use crate::support::seal::Sealer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::overlay::{self, InMemory};
use couchestor::formats::substitute::Variables;
use couchestor::formats::yaml;
use couchestor::io::git::known_hosts;
use couchestor::model::conditions;
use couchestor::model::decision::{LeftAlone, ProposedMove, Subject, Why};
use couchestor::model::desired::Desired;
use couchestor::model::ids::{ClaimRef, Revision};
use couchestor::model::kinds::tier_assignment::DecisionNote;
use couchestor::model::rendering::ProposalText;
use couchestor::render::proposal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn a_host_key_is_trusted_only_where_it_stands() {
    let key = STANDARD.encode("raw key");
    let lines = [
        format!("git.example.org,10.0.0.1 ssh-ed25519 {key} comment\n"),
        format!("# c\n@cert-authority *.example.org ssh-rsa {key}\n@revoked * ssh-rsa {key}\n"),
        format!("[git.example.org]:2222 ssh-ed25519 {key}\n*.org,!git.* ecdsa-sha2-nistp256 {key}\n"),
        format!("|1|c2FsdA==|bm8gZGlnZXN0IG9mIGFueQ== ssh-ed25519 {key}\n"),
        "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b ssh-ed25519 AAAA\n".to_owned(),
    ];
    let corpus: Vec<&str> = lines.iter().map(String::as_str).collect();
    fuzz("known hosts", &corpus, |text, random| {
        let port = [22, 2222][random.usize(..2)];
        let trusted = known_hosts::check(text, "git.example.org", port, b"raw key");
        drop(known_hosts::kinds(text, "git.example.org", port));
        if trusted.is_ok() {
            let lists = |line: &str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields.get(2) == Some(&key.as_str()) && !fields[0].starts_with(['#', '@'])
            };
            assert!(text.lines().any(lists), "{text:?}");
        }
        assert!(known_hosts::check(text, "git.example.org", port, b"another").is_err());
        let long = "a".repeat(60) + ".example.org";
        assert!(known_hosts::check(text, &long, port, b"another").is_err());
    });
}

/// A valid object of every kind that is written by people.
const OBJECTS: [&str; 7] = [
    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata:\n  name: hot\nspec:\n  rank: 100\n  poolSelector:\n    matchLabels: {storage-tier: hot}\n  poolReserve: 10Gi\n  storageClass:\n    name: fast\n    reclaimPolicy: Retain\n    mayastor: {replicas: 2, thin: true}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata:\n  name: local\nspec:\n  rank: 1\n  local:\n    hostpath: {basePath: /data}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata:\n  name: p\nspec:\n  highWatermarkIOPS: 5000\n  lowWatermarkIOPS: 500\n  samplingWindow: 1h\n  cooldownPeriod: 24h\n  nvmePoolSelector:\n    matchLabels: {storage-tier: nvme}\n  sataPoolSelector:\n    matchLabels: {storage-tier: sata}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: BackupLocation\nmetadata:\n  name: s3\n  namespace: velero\nspec:\n  bucket: backups\n  region: home\n  endpoint: https://s3.example.org\n  forcePathStyle: true\n  credentials: {name: s3}\n  validationFrequency: 1h\n",
    "apiVersion: storage.billyronks.io/v1\nkind: BackupPolicy\nmetadata:\n  name: daily\n  namespace: velero\nspec:\n  location: s3\n  includedNamespaces: [\"*\"]\n  schedules:\n  - name: night\n    schedule: \"CRON_TZ=Europe/Berlin 30 2 * * mon-fri\"\n    ttl: 720h\n  rpo: 80h\n---\napiVersion: storage.billyronks.io/v1\nkind: BackupLocation\nmetadata: {name: s3, namespace: velero}\nspec: {bucket: b, credentials: {name: c}}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: Rollout\nmetadata:\n  name: r\nspec:\n  storageClassName: fast\n  phases:\n  - name: one\n    workloads:\n    - namespace: db\n      selector:\n        matchLabels: {app: db}\n    soak: 1h\n",
    "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata:\n  name: data-0\n  namespace: db\nspec:\n  claim: data-0\n  volume: pvc-1\n  tier: hot\n  decision: {policy: p, from: cold, signal: iops, value: 6000.5, watermark: 5000, window: 1h}\n",
];

#[test]
fn every_kind_is_understood_or_refused_with_places_in_its_file() {
    let key = Sealer::new().key;
    let variables = Variables::default();
    let understood = std::cell::Cell::new(0);
    fuzz("kinds", &OBJECTS, |text, random| {
        // A value put in the place of another gets further than letters do.
        let text = match (random.bool(), yaml::load(text)) {
            (true, Ok(documents)) if !documents.is_empty() => {
                let mut value = documents[0].to_json().unwrap_or_default();
                let mut all = Vec::new();
                super::pointers(&value, "", &mut all);
                let pointer = &all[random.usize(..all.len())];
                if let Some(found) = value.pointer_mut(pointer) {
                    *found = odd(random);
                }
                yaml::emit::emit(&value)
            }
            _ => text.to_owned(),
        };
        let files = Texts::from([
            ("p/k.yaml".to_owned(), String::new()),
            ("p/a.yaml".to_owned(), text.clone()),
            ("p/assignments/db/data-0.yaml".to_owned(), text.clone()),
        ]);
        let diagnostics = told(&files, &key, &variables);
        let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
        understood.set(understood.get() + usize::from(diagnostics.is_empty()));
        for one in diagnostics {
            let place = &one.place;
            assert!(
                place.line as usize <= lines && place.column >= 1 && !one.rule.is_empty(),
                "{one} of {lines} in {text:?}"
            );
            assert!(
                !one.to_string().contains(|c: char| c.is_control()),
                "{one:?} in {text:?}"
            );
        }
    });
    say(&format!("kinds: {} were understood whole", understood.get()));
    // Otherwise it is refusals alone that are looked at.
    assert!(understood.get() >= 8, "{} were understood", understood.get());
}

fn odd(random: &mut fastrand::Rng) -> Value {
    let all = [
        "null",
        "true",
        "-1",
        "18446744073709551615",
        "1e308",
        "\"\"",
        "[]",
        "{}",
        "[[]]",
        "\"9999999999h\"",
        "\"99999999999999999999Gi\"",
        "\"* * * * *\"",
        "\"\\u0000\"",
        "{\"\": {\"\": null}}",
        "\"../../x\"",
        "[{\"name\": \"a\"}, {\"name\": \"a\"}]",
        "\"-\"",
        "\"@every 0s\"",
        "0.1",
    ];
    serde_json::from_str(all[random.usize(..all.len())]).unwrap()
}

const PATCHES: [&str; 5] = [
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    spec:\n      containers:\n      - {name: c, image: y, ports: [{containerPort: 80}], env: [{name: A, value: b}]}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, labels: {x: null}}\nspec: {replicas: 3, template: {spec: {volumes: [{name: v, emptyDir: {}}], tolerations: [{key: k}]}}}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, finalizers: [b, c]}\nspec: {template: {spec: {initContainers: [{name: d, args: [x]}], topologySpreadConstraints: [{topologyKey: z, whenUnsatisfiable: y, maxSkew: 1}]}}}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {$patch: replace, paused: true}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: c, $patch: delete}]}}}\n",
];

const BASE: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, labels: {x: y}, finalizers: [a, b]}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - {name: b, image: x}\n      - {name: c, image: x, env: [{name: A, value: a}, {name: B, value: b}], ports: [{containerPort: 80, name: http}]}\n      volumes: [{name: v, hostPath: {path: /x}}]\n";

#[test]
fn a_patch_without_directives_does_the_second_time_nothing() {
    let merged = std::cell::Cell::new(0);
    fuzz("merge", &PATCHES, |text, _| {
        let build = |times: usize| {
            let mut files = InMemory::default();
            files.add("p/a.yaml", BASE);
            files.add("p/patch.yaml", text);
            let entries = "- {path: patch.yaml, target: {kind: Deployment}}\n".repeat(times);
            files.add(
                "p/kustomization.yaml",
                format!("resources: [a.yaml]\npatches:\n{entries}"),
            );
            overlay::build("p", &files)
        };
        let (once, wrong) = build(1);
        let (twice, wrong_again) = build(2);
        if wrong.is_empty() && !text.contains('$') {
            merged.set(merged.get() + 1);
            let values = |all: &[couchestor::model::desired::Resource]| -> Vec<Value> {
                all.iter().map(|one| Value::clone(&one.value)).collect()
            };
            assert_eq!(wrong_again, [], "{text:?}");
            assert_eq!(values(&once), values(&twice), "{text:?}");
        }
    });
    say(&format!(
        "merge: {} patches without directives fitted",
        merged.get()
    ));
    assert!(merged.get() > 50);
}

/// Clear texts of files that are encrypted: one as it should be, and objects with a canary where the command has something to say.
const MISTAKES: [&str; 6] = [
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: db}\nstringData: {a: CANARY, b: \"NUMBER\"}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: CANARY}\nspec: {rank: CANARY, poolReserve: CANARY, storageClass: {name: CANARY}}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: p}\nspec: {highWatermarkIOPS: NUMBER, lowWatermarkIOPS: CANARY, samplingWindow: CANARY}\n",
    "apiVersion: storage.billyronks.io/v1\nkind: BackupPolicy\nmetadata: {name: daily, namespace: CANARY}\nspec: {location: CANARY, schedules: [{name: CANARY, schedule: CANARY, ttl: CANARY}], rpo: CANARY}\n",
    "apiVersion: CANARY\nkind: CANARY\nmetadata: {name: CANARY}\n",
    "{data: CANARY}\n",
];

#[test]
fn folders_are_read_by_the_command_whatever_is_in_them() {
    // Each input is a process; each holds several files, one of them encrypted, and every second process can open it.
    let (sealer, canary) = (Sealer::new(), Canary::new());
    let mistakes: Vec<String> = MISTAKES
        .iter()
        .map(|text| {
            let text = text.replace("CANARY", &canary.word);
            text.replace("NUMBER", &canary.number.to_string())
        })
        .collect();
    let seed = crate::support::seed("folders");
    let mut random = fastrand::Rng::with_seed(seed);
    let kept = super::kept("folders");
    let mut corpus: Vec<&str> = OBJECTS.to_vec();
    corpus.extend(kept.iter().map(String::as_str));
    corpus.extend(super::KUSTOMIZATIONS);
    corpus.extend(super::SOPS);
    let names = [
        "kustomization.yaml",
        "a.yaml",
        "b.yml",
        "sub/kustomization.yaml",
        "sub/c.yaml",
        "v.env",
        "assignments/db/data-0.yaml",
        ".sops.yaml",
        "é\u{1b}[2J.yaml",
        "x y.yaml",
        "Kustomization",
    ];
    let rounds = 60;
    let mut codes = BTreeMap::new();
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        // At times there is nothing wrong, if it can be opened.
        let alone = round % 10 == 9;
        for name in names {
            if random.u8(..3) == 0 || alone {
                continue;
            }
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, mutate(&corpus, &mut random)).unwrap();
        }
        // Where a kustomization asks for it, or beside what it asks for.
        let name = ["a.yaml", "sealed.yaml"][random.usize(..2)];
        let mistake = random.usize(..mistakes.len());
        let sealed = sealer.yaml(&mistakes[if alone { 0 } else { mistake }]);
        std::fs::write(folder.path().join(name), sealed).unwrap();
        let opens = round / 4 % 2 == 0;
        let command = [
            &["validate"][..],
            &["validate", "-o", "sarif"],
            &["render"],
            &["secrets", "check"],
        ];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .args(command[round % command.len()])
            .arg(folder.path())
            .env("HOME", folder.path())
            .env_remove("SOPS_AGE_KEY")
            .envs(opens.then_some(("SOPS_AGE_KEY", &sealer.key)))
            // As on a terminal, where nothing takes escapes out.
            .env("CLICOLOR_FORCE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            matches!(output.status.code(), Some(0..=2)),
            "{seed} {round}: {:?} {text}",
            output.status
        );
        assert!(!text.contains("panicked"), "{seed} {round}: {text}");
        let raw = |one: char| one.is_control() && !matches!(one, '\n' | '\t');
        assert!(!text.contains(raw), "{seed} {round}: {text:?}");
        canary.assert_absent(&text);
        *codes.entry(output.status.code()).or_insert(0) += 1;
    }
    say(&format!("folders: {rounds} folders, exit codes {codes:?}"));
    // Whether something is wrong in a folder, and no other trouble.
    let came = |code: i32| codes.get(&Some(code)).copied().unwrap_or(0);
    assert!(
        came(0) >= 2 && came(1) >= 40 && came(0) + came(1) == rounds,
        "{codes:?}"
    );
}

fn nothing_desired() -> Desired {
    Desired {
        revision: Revision {
            branch: "main".into(),
            commit: "0".into(),
        },
        resources: couchestor::model::resources::Resources::default(),
        tiers: BTreeMap::new(),
        policies: Default::default(),
        assignments: BTreeMap::new(),
        approved: Vec::new(),
        reverted: BTreeSet::new(),
        promotions: Default::default(),
    }
}

/// A template of somebody who puts every variable among words, and every name as code and in capitals as well.
const BARE: &str = "\
# {{ summary }}

{{ policy }} {{ forge }} {{ spread }} {{ moves_more }} {{ left_more }} {{ total.moves }} {{ total.hotter }} {{ total.colder }}
{{ total.left_alone }} {{ total.to_copy }} {{ total.cost }}
{% for move in moves %}
- {{ move.claim }} {{ move.namespace }} {{ move.name }} {{ move.volume }} {{ move.from }} {{ move.to }} {{ move.hotter }}
- {{ move.reason }} {{ move.signal }} {{ move.observed }} {{ move.threshold }} {{ move.bar }} {{ move.encrypted }}
- {{ move.to_copy }} {{ move.takes }} {{ move.cost }} {{ move.pools }}
- `{{ move.claim }}` `{{ move.name }}` {{ move.name | upper }} {{ move.volume | lower }}
{% endfor %}
{% for left in left_alone %}
- {{ left.claim }} {{ left.tier }} {{ left.why }}
{% endfor %}
";

/// The proposal by the built-in template, and its title and body by that one.
fn proposal_of(name: impl Fn() -> String) -> (ProposalText, [String; 2]) {
    let proposed = ProposedMove {
        claim: ClaimRef {
            namespace: name(),
            name: name(),
        },
        volume: name().into(),
        policy: name().into(),
        from: name().into(),
        to: name().into(),
        hotter: true,
        monthly_cost: None,
        note: DecisionNote {
            policy: name(),
            from: name(),
            signal: name(),
            value: 6000.0,
            watermark: Some(5000.0),
            window: Some(name()),
            percentile: None,
            also: Vec::new(),
            sustained_for: None,
            after: None,
        },
        candidates: vec![name().into(), name().into()],
        bytes: 1 << 33,
    };
    let site = proposal::Site {
        prefix: "couchestor/",
        assignments: "assignments",
        trailer: "Couchestor-Proposal",
        forge: true,
        pace: None,
    };
    let missing = ClaimRef {
        namespace: name(),
        name: name(),
    };
    let (tier, signal) = (name().into(), name());
    let left = LeftAlone {
        subject: Subject::Missing(Box::new((missing, name().into()))),
        policy: None,
        tier: Some(&tier),
        why: Why::NoData { signal: &signal },
    };
    let desired = nothing_desired();
    let by = |template: proposal::Template, left: &[&LeftAlone]| {
        let rendered = proposal::render(&proposed.policy, &[&proposed], left, &desired, site, &template);
        assert_eq!((rendered.refused, rendered.complaint), (vec![], None));
        rendered.text.unwrap()
    };
    let bare = by(
        proposal::Template::read("bare", BARE.as_bytes()).unwrap(),
        &[&left],
    );
    (by(proposal::Template::built_in(), &[]), [bare.title, bare.body])
}

/// What a forge makes a link of by itself, if it stands in a text: web addresses, people and issues.
fn linked(text: &str) -> Option<&'static str> {
    let small = text.to_lowercase();
    let signs = ["www.", "http://", "https://", "@", "<"];
    let numbered = |sign: &&str| {
        small.match_indices(*sign).any(|(at, sign)| {
            let (before, after) = (&small[..at], &small[at + sign.len()..]);
            // An entity is no issue, and neither is the end of a word.
            after.starts_with(|one: char| one.is_ascii_digit())
                && !before.ends_with(|one: char| one == '&' || one.is_alphanumeric() && sign != "#")
        })
    };
    let mut found = signs.into_iter().filter(|sign| small.contains(*sign));
    found
        .next()
        .or_else(|| ["#", "gh-", "gl-"].into_iter().find(numbered))
}

/// A text with every name in it taken out: what is left is what we wrote ourselves.
fn skeleton(text: &str, name: &str) -> String {
    let upper = name.to_uppercase();
    text.replace(name, "N").replace(&upper, "N")
}

#[test]
fn no_name_mentions_links_or_breaks_what_a_reviewer_reads() {
    let (plain, _) = proposal_of(|| "name".to_owned());
    fuzz(
        "proposals",
        &[
            "data-0",
            "@everyone",
            "[x](https://e.org)",
            "<img src=x>",
            "a|b\n| c |",
            "`code`",
            "#12",
            "www.e.org",
            "WWW.evil.example",
            "http://e.org/x",
            "org/repo#1",
            "gh-12",
            "ann@e.org",
            "\u{202e}x",
        ],
        |text, _| {
            let (made, bare) = proposal_of(|| text.to_owned());
            for text in bare {
                assert_eq!(linked(&text), None, "{text:?}");
            }
            for (what, ours) in [
                (&made.title, &plain.title),
                (&made.body, &plain.body),
                (&made.commit_message, &plain.commit_message),
            ] {
                let odd =
                    |one: char| one != '\n' && (one.is_control() || matches!(one, '\u{202a}'..='\u{202e}'));
                assert!(!what.contains(odd), "{what:?}");
                // What folds and breaks lines is ours.
                let tags = ["<br>", "<details>", "</details>", "<summary>", "</summary>"];
                let foreign = tags.iter().fold(what.clone(), |text, tag| text.replace(tag, ""));
                for sign in ["@", "<", "](", "://", "!["] {
                    assert!(!foreign.contains(sign), "{sign} in {what:?}");
                }
                assert_eq!(what.lines().count(), ours.lines().count(), "{what:?}");
                for sign in ['|', '`'] {
                    assert_eq!(what.matches(sign).count(), ours.matches(sign).count(), "{what:?}");
                }
            }
            // The names are the only thing that differs.
            let shown = made
                .title
                .strip_prefix("Move ")
                .and_then(|rest| rest.split(" from ").next())
                .unwrap();
            let name = shown.get(shown.len() / 2 + 1..).unwrap_or_default();
            // What has a slash itself cannot be told from the one between two names.
            if !name.is_empty()
                && !name.contains('/')
                && text.len() < 100
                && !plain.body.contains(name)
                && !name.contains('N')
            {
                assert_eq!(
                    skeleton(&made.body, name),
                    skeleton(&plain.body, "name"),
                    "{text:?}"
                );
            }
            // The file that it writes is read again as what was meant.
            let file = made.files[0].content.as_deref().unwrap();
            let read = yaml::load(std::str::from_utf8(file).unwrap()).unwrap()[0]
                .to_json()
                .unwrap();
            assert_eq!(read["spec"]["tier"], text, "{text:?}");
        },
    );
}

#[test]
fn messages_of_conditions_and_events_fit() {
    fuzz(
        "messages",
        &["applied main@sha1:0", "a\u{1b}[31mb\r\nc", "é\u{feff}\u{0}"],
        |text, random| {
            let long = text.repeat(random.usize(1..400));
            let mut list = Vec::new();
            let now = "2026-01-02T03:04:05Z".parse().unwrap();
            conditions::set(&mut list, "Ready", false, "Reason", &long, Some(1), now);
            let message = &list[0].message;
            assert!(message.len() <= conditions::MESSAGE_BYTES_MAX);
            assert!(
                !message.contains(|one: char| one.is_control() && one != '\n'),
                "{message:?}"
            );
            if long.len() <= conditions::MESSAGE_BYTES_MAX && !long.contains(char::is_control) {
                assert_eq!(*message, long);
            }
            let max = random.usize(3..2000);
            assert!(conditions::fitted(&long, max).len() <= max);
        },
    );
}
