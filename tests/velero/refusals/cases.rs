//! The table: what is wrong, the policy that would render it, the rule that names it, and the same past us with Velero's words.

use super::Case;
use super::Force::{Backup, Cron, Location, Refused};
use super::Found::{Doubted, Refused as Refuses};

pub(super) const ALL: &[Case] = &[
    Case {
        wrong: "the location is not there",
        policy: "location: nowhere",
        found: Refuses("reference"),
        force: Backup(r#"{"storageLocation": "nowhere"}"#),
        says: &["nowhere was not found"],
    },
    Case {
        wrong: "the location may only be read",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: old, namespace: velero}
spec: {bucket: old, region: none, endpoint: https://s3.example.org, credentials: {name: velero-s3}, accessMode: ReadOnly}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec: {location: old, includedNamespaces: [default], schedules: [{name: s, schedule: 0 2 * * *}]}
",
        found: Refuses("location"),
        force: Backup(r#"{"storageLocation": "read-only"}"#),
        says: &["read-only is currently in read-only mode"],
    },
    Case {
        wrong: "a place for snapshots that is not there, as guides for OpenEBS write it",
        policy: "volumeSnapshotLocations: [openebs-csi]",
        found: Refuses("unknown-field"),
        force: Backup(r#"{"volumeSnapshotLocations": ["openebs-csi"]}"#),
        says: &["VolumeSnapshotLocation CRD for the location openebs-csi", "needs to be created"],
    },
    Case {
        wrong: "filters of two generations",
        policy: "includedResources: [pods]\nexcludedNamespaceScopedResources: [events]",
        found: Refuses("unknown-field"),
        force: Backup(r#"{"includedResources": ["pods"], "excludedNamespaceScopedResources": ["events"]}"#),
        says: &["old filter parameters", "cannot be used together"],
    },
    Case {
        wrong: "all namespaces, and one more",
        policy: "includedNamespaces: ['*', default]",
        found: Refuses("value"),
        force: Backup(r#"{"includedNamespaces": ["*", "default"]}"#),
        says: &["includes list must either contain '*' only"],
    },
    Case {
        wrong: "no namespace at all",
        policy: "excludedNamespaces: ['*']",
        found: Refuses("value"),
        force: Backup(r#"{"excludedNamespaces": ["*"]}"#),
        says: &["excludes list cannot contain '*'"],
    },
    Case {
        wrong: "a namespace that is in and out",
        policy: "includedNamespaces: [default, shop]\nexcludedNamespaces: [shop]",
        found: Refuses("value"),
        force: Backup(r#"{"includedNamespaces": ["default", "shop"], "excludedNamespaces": ["shop"]}"#),
        says: &["excludes list cannot contain an item in the includes list: shop"],
    },
    Case {
        wrong: "a namespace that cannot be one",
        policy: "includedNamespaces: [My_Shop]",
        found: Refuses("value"),
        force: Backup(r#"{"includedNamespaces": ["My_Shop"]}"#),
        says: &["invalid namespace \"My_Shop\""],
    },
    Case {
        wrong: "alternatives in braces",
        policy: "includedNamespaces: ['{shop,web}-*']",
        found: Refuses("value"),
        force: Backup(r#"{"includedNamespaces": ["{shop,web}-*"]}"#),
        says: &["unsupported characters"],
    },
    Case {
        wrong: "a pattern with two stars",
        policy: "excludedNamespaces: ['shop-**']",
        found: Refuses("value"),
        force: Backup(r#"{"excludedNamespaces": ["shop-**"]}"#),
        says: &["consecutive asterisks"],
    },
    Case {
        wrong: "a pattern with an open bracket",
        policy: "includedNamespaces: ['shop-[12']",
        found: Refuses("value"),
        force: Backup(r#"{"includedNamespaces": ["shop-[12"]}"#),
        says: &["unclosed bracket"],
    },
    Case {
        wrong: "one label selector beside several",
        policy: "labelSelector: {matchLabels: {a: b}}\norLabelSelectors: [{matchLabels: {c: d}}]",
        found: Refuses("unknown-field"),
        force: Backup(
            r#"{"labelSelector": {"matchLabels": {"a": "b"}}, "orLabelSelectors": [{"matchLabels": {"c": "d"}}]}"#,
        ),
        says: &["only one can be specified"],
    },
    Case {
        wrong: "a volume policy that is not there",
        policy: "volumePolicy: {name: nowhere}",
        found: Refuses("volume-policy"),
        force: Backup(r#"{"resourcePolicy": {"kind": "configmap", "name": "nowhere"}}"#),
        says: &["fail to get ResourcePolicies", "nowhere"],
    },
    Case {
        wrong: "a volume policy of two keys",
        policy: "
apiVersion: v1
kind: ConfigMap
metadata: {name: v, namespace: velero}
data: {a: 'version: v1', b: 'version: v1'}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec: {location: good, includedNamespaces: [default], volumePolicy: {name: v}, schedules: [{name: s, schedule: 0 2 * * *}]}
",
        found: Refuses("volume-policy"),
        force: Backup(r#"{"resourcePolicy": {"kind": "configmap", "name": "two-keys"}}"#),
        says: &["illegal resource policies", "two-keys"],
    },
    Case {
        wrong: "a volume policy of another version",
        policy: "
apiVersion: v1
kind: ConfigMap
metadata: {name: v, namespace: velero}
data: {a: 'version: v2'}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec: {location: good, includedNamespaces: [default], volumePolicy: {name: v}, schedules: [{name: s, schedule: 0 2 * * *}]}
",
        found: Refuses("volume-policy"),
        force: Backup(r#"{"resourcePolicy": {"kind": "configmap", "name": "wrong-version"}}"#),
        says: &["incompatible version number v2"],
    },
    Case {
        wrong: "a volume policy with a field that nobody knows",
        policy: "
apiVersion: v1
kind: ConfigMap
metadata: {name: v, namespace: velero}
data: {a: '{version: v1, volumePolicies: [{conditions: {storageclasses: [a]}, action: {type: skip}}]}'}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec: {location: good, includedNamespaces: [default], volumePolicy: {name: v}, schedules: [{name: s, schedule: 0 2 * * *}]}
",
        found: Refuses("volume-policy"),
        force: Backup(r#"{"resourcePolicy": {"kind": "configmap", "name": "unknown-field"}}"#),
        says: &["storageclasses not found"],
    },
    Case {
        wrong: "a volume policy with an action that nobody knows",
        policy: "
apiVersion: v1
kind: ConfigMap
metadata: {name: v, namespace: velero}
data: {a: '{version: v1, volumePolicies: [{conditions: {storageClass: [a]}, action: {type: ignore}}]}'}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec: {location: good, includedNamespaces: [default], volumePolicy: {name: v}, schedules: [{name: s, schedule: 0 2 * * *}]}
",
        found: Refuses("volume-policy"),
        force: Backup(r#"{"resourcePolicy": {"kind": "configmap", "name": "unknown-action"}}"#),
        says: &["invalid action type ignore"],
    },
    Case {
        wrong: "a cron expression with seconds",
        policy: "schedules: [{name: s, schedule: 0 0 2 * * *}]",
        found: Refuses("schedule"),
        force: Cron("0 0 2 * * *"),
        says: &["expected exactly 5 fields, found 6"],
    },
    Case {
        wrong: "an hour that no day has",
        policy: "schedules: [{name: s, schedule: 61 25 * * *}]",
        found: Refuses("schedule"),
        force: Cron("61 25 * * *"),
        says: &["above maximum"],
    },
    Case {
        wrong: "the last day of the month",
        policy: "schedules: [{name: s, schedule: 0 2 L * *}]",
        found: Refuses("schedule"),
        force: Cron("0 2 L * *"),
        says: &["extended day-of-month syntax requires"],
    },
    Case {
        wrong: "the second Monday",
        policy: "schedules: [{name: s, schedule: '0 2 * * 1#2'}]",
        found: Refuses("schedule"),
        force: Cron("0 2 * * 1#2"),
        says: &["#n/#L syntax requires"],
    },
    Case {
        wrong: "a minute that is drawn by lot",
        policy: "schedules: [{name: s, schedule: H 2 * * *}]",
        found: Refuses("schedule"),
        force: Cron("H 2 * * *"),
        says: &["h expressions require hash option"],
    },
    Case {
        wrong: "several times a second",
        policy: "schedules: [{name: s, schedule: '@every 500ms'}]",
        found: Refuses("schedule"),
        force: Cron("@every 500ms"),
        says: &["must be at least 1s"],
    },
    Case {
        wrong: "steps beyond the end",
        policy: "schedules: [{name: s, schedule: 0 2 1-31/40 * *}]",
        found: Refuses("schedule"),
        force: Cron("0 2 1-31/40 * *"),
        says: &["step (40) must be less than range size (31)"],
    },
    Case {
        wrong: "a step as long as the hour",
        policy: "schedules: [{name: s, schedule: '*/60 * * * *'}]",
        found: Refuses("schedule"),
        force: Cron("*/60 * * * *"),
        says: &["step (60) must be less than range size (60)"],
    },
    Case {
        wrong: "a time zone in small letters",
        policy: "schedules: [{name: s, schedule: CRON_TZ=europe/berlin 0 2 * * *}]",
        found: Refuses("schedule"),
        force: Cron("CRON_TZ=europe/berlin 0 2 * * *"),
        says: &["unknown time zone europe/berlin"],
    },
    Case {
        wrong: "a word in capitals",
        policy: "schedules: [{name: s, schedule: '@Daily'}]",
        found: Refuses("schedule"),
        force: Cron("@Daily"),
        says: &["unrecognized descriptor"],
    },
    Case {
        wrong: "at each start",
        policy: "schedules: [{name: s, schedule: '@reboot'}]",
        found: Refuses("schedule"),
        force: Cron("@reboot"),
        says: &["unrecognized descriptor", "@reboot"],
    },
    Case {
        wrong: "a time zone that is nowhere",
        policy: "schedules: [{name: s, schedule: CRON_TZ=Mars/Base 0 2 * * *}]",
        found: Refuses("schedule"),
        force: Cron("CRON_TZ=Mars/Base 0 2 * * *"),
        says: &["unknown time zone Mars/Base"],
    },
    Case {
        wrong: "a time zone and no time",
        policy: "schedules: [{name: s, schedule: CRON_TZ=UTC}]",
        found: Refuses("schedule"),
        force: Cron("CRON_TZ=UTC"),
        says: &["missing fields after timezone"],
    },
    Case {
        wrong: "path style without a region",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, endpoint: https://s3.example.org, forcePathStyle: true, credentials: {name: velero-s3}}
",
        found: Refuses("missing-field"),
        force: Location(r#"{"config": {"region": null}}"#),
        says: &["A region must be set"],
    },
    Case {
        wrong: "an address without a scheme",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: s3.example.org, forcePathStyle: true, credentials: {name: velero-s3}}
",
        found: Refuses("value"),
        force: Location(r#"{"config": {"s3Url": "s3.example.org"}}"#),
        says: &["Invalid s3 url s3.example.org"],
    },
    Case {
        wrong: "a checksum that nobody knows",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, checksumAlgorithm: CRC16, credentials: {name: velero-s3}}
",
        found: Refuses("value"),
        force: Location(r#"{"config": {"checksumAlgorithm": "CRC16"}}"#),
        says: &["invalid checksum algorithm: CRC16"],
    },
    Case {
        wrong: "a setting that the plugin does not know",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, colour: blue, credentials: {name: velero-s3}}
",
        found: Refuses("unknown-field"),
        force: Location(r#"{"config": {"colour": "blue"}}"#),
        says: &["has invalid keys [colour]"],
    },
    Case {
        wrong: "two kinds of encryption by the server",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, kmsKeyId: k, customerKeyEncryptionSecret: s/k, credentials: {name: velero-s3}}
",
        found: Refuses("value"),
        force: Location(r#"{"config": {"kmsKeyId": "k", "customerKeyEncryptionSecret": "s/k"}}"#),
        says: &["you can only use one of: kmsKeyId, customerKeyEncryptionFile, or customerKeyEncryptionSecret"],
    },
    Case {
        wrong: "certificates twice",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, caCert: c, caCertRef: {name: n, key: k}, credentials: {name: velero-s3}}
",
        found: Refuses("value"),
        force: Location(r#"{"objectStorage": {"caCert": "Yw==", "caCertRef": {"name": "n", "key": "k"}}}"#),
        says: &["cannot specify both caCert and caCertRef"],
    },
    // Something else than Git may make a Secret, so its absence is told and not refused.
    Case {
        wrong: "credentials that are not there",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, credentials: {name: nowhere}}
",
        found: Doubted("credentials"),
        force: Location(r#"{"credential": {"name": "nowhere"}}"#),
        says: &["nowhere\" not found"],
    },
    Case {
        wrong: "credentials under another key",
        policy: "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: other, namespace: velero}
spec: {bucket: b, region: none, endpoint: https://s3.example.org, credentials: {name: velero-s3, key: sky}}
",
        found: Refuses("credentials"),
        force: Location(r#"{"credential": {"key": "sky"}}"#),
        says: &["is missing data for key \"sky\""],
    },
    Case {
        wrong: "a hook without a command",
        policy: "hooks: [{name: h, pre: {command: []}}]",
        found: Refuses("value"),
        force: Refused(
            "Backup",
            r#"{"hooks": {"resources": [{"name": "h", "pre": [{"exec": {"command": []}}]}]}}"#,
        ),
        says: &["spec.hooks.resources[0].pre[0].exec.command", "should have at least 1 items"],
    },
];

/// What no policy says and no file shows: found out by Velero alone.
pub(super) const SEEN_BY_VELERO_ALONE: &[(&str, &str, &[&str])] = &[
    (
        "a bucket that is not there",
        r#"{"objectStorage": {"bucket": "nowhere"}}"#,
        &["NoSuchBucket"],
    ),
    (
        "a bucket with somebody else's objects at its root",
        r#"{"objectStorage": {"bucket": "elses"}}"#,
        &["invalid top-level directories", "photos"],
    ),
];

/// What this Velero takes since it reads cron expressions by another library, and those before it (to 1.18.2, by robfig/cron) refuse: refused
/// here, because nobody writes beside a schedule which Velero reads it.
pub(super) const TAKEN_SINCE: &[&str] = &["0 2 * * 7", "0 2 * * 0-7", "0 22-2 * * *"];

/// What both take.
pub(super) const TAKEN: &[&str] = &[
    "0 2 * * *",
    "5/15 * * * *",
    "0 2 * * MON-FRI",
    "0 2 ? * sun",
    "@daily",
    "@every 6h",
    "TZ=Europe/Berlin 0 2 * * *",
    "CRON_TZ=Asia/Kolkata 0 2 * * *",
];
