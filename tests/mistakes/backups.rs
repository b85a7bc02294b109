//! Backups that Velero would take from Git and fail on later, found when they are committed; one row for each rule.

use super::{Row, findings};
use std::path::Path;
use std::process::Command;

/// What a drill runs.
const JOB: &str = r#"{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"look","image":"i"}]}}}}"#;

const API: &str = "apiVersion: storage.billyronks.io/v1\n";

/// A tree without a finding: a location with its Secrets, classes of three engines, a policy with a rule for each, hooks and a drill.
fn tree() -> String {
    format!(
        "{API}kind: BackupLocation
metadata: {{name: s3, namespace: velero}}
spec:
  bucket: b
  credentials: {{name: s}}
---
{API}kind: BackupPolicy
metadata: {{name: p, namespace: velero}}
spec:
  location: s3
  includedNamespaces: [db, web]
  excludedNamespaces: [cache]
  volumes: snapshot-move
  volumeRules:
  - {{storageClasses: [folders, thick], method: fs-backup}}
  - {{claimLabels: {{app: cache}}, method: skip, reason: filled again}}
  hooks:
  - {{name: freeze, namespaces: [db], pre: {{command: [sync], timeout: 30s}}}}
  schedules:
  - {{name: day, schedule: 0 2 * * *, ttl: 72h}}
  - {{name: week, schedule: 0 3 * * 0, ttl: 720h}}
  rpo: 26h
  rto: 15m
  drill:
    schedule: '@weekly'
    namespaces: [db]
    sentinels: [{{namespace: db, claim: data, path: a/b}}]
    job: {{name: checks, key: job.yaml}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: velero}}, stringData: {{cloud: null}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: velero-repo-credentials, namespace: velero}}, stringData: {{repository-password: null}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: checks, namespace: velero}}, data: {{job.yaml: '{JOB}'}}}}
---
{API}kind: StorageTier
metadata: {{name: folders}}
spec: {{rank: 1, local: {{hostpath: {{}}}}, storageClass: {{name: folders}}}}
---
{API}kind: StorageTier
metadata: {{name: thick}}
spec: {{rank: 2, local: {{lvm: {{volumeGroup: vg}}}}, storageClass: {{name: thick}}}}
---
{API}kind: StorageTier
metadata: {{name: zfs}}
spec: {{rank: 3, local: {{zfs: {{pool: tank}}}}, storageClass: {{name: zfs, allowVolumeExpansion: true}}}}
"
    )
}

/// The tree with a text in the place of another, or, without a place for it, behind all the rest.
fn with(from: &str, to: &str) -> String {
    let tree = tree();
    match from.is_empty() {
        true => format!("{tree}---\n{to}\n"),
        false => {
            assert!(tree.contains(from), "{from}");
            tree.replacen(from, to, 1)
        }
    }
}

/// What is said of it, as rules in order of lines.
fn told(text: String) -> Vec<String> {
    let found = findings(&[("a.yaml", text)]).0;
    let rule = |one: &String| one.split(' ').skip(1).collect::<Vec<_>>().join(" ");
    found.iter().map(rule).collect()
}

/// Velero's Helm chart with a plugin.
fn release(value: &str, plugin: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: velero, namespace: velero}}\nspec: {{values: {{{value}, deployNodeAgent: true, configuration: {{features: EnableCSI}}, initContainers: [{{name: p, image: '{plugin}'}}]}}}}"
    )
    // What the row says of it stands first.
    .replace("{uploaderType: restic}, deployNodeAgent: true, configuration: {features: EnableCSI}", "{uploaderType: restic, features: EnableCSI}, deployNodeAgent: true")
    .replace("{uploaderType: kopia}, deployNodeAgent: true, configuration: {features: EnableCSI}", "{uploaderType: kopia, features: EnableCSI}, deployNodeAgent: true")
}

/// The tree with a Schedule of Velero's.
fn schedule(name: &str, spec: &str) -> String {
    with(
        "",
        &format!(
            "{{apiVersion: velero.io/v1, kind: Schedule, metadata: {{name: {name}, namespace: velero}}, spec: {{{spec}}}}}"
        ),
    )
}

/// A location of Velero's.
fn raw_location(name: &str, default: &str) -> String {
    format!(
        "---\n{{apiVersion: velero.io/v1, kind: BackupStorageLocation, metadata: {{name: {name}, namespace: velero}}, spec: {{provider: aws, default: {default}}}}}\n"
    )
}

/// A place for snapshots.
fn snapshots(name: &str, provider: &str) -> String {
    format!(
        "---\n{{apiVersion: velero.io/v1, kind: VolumeSnapshotLocation, metadata: {{name: {name}, namespace: velero}}, spec: {{provider: {provider}}}}}\n"
    )
}

#[test]
fn each_rule_of_backups_has_its_finding() {
    assert_eq!(told(tree()), Vec::<String>::new());
    const DAY: &str = "schedule: 0 2 * * *, ttl: 72h";
    let day = |schedule: &str, ttl: &str| with(DAY, &format!("schedule: '{schedule}', ttl: {ttl}"));
    let location = |field: &str| with("  bucket: b\n", &format!("  bucket: b\n  {field}\n"));
    let second = |spec: &str| {
        with(
            "",
            &format!(
                "{API}kind: BackupLocation\nmetadata: {{name: zz, namespace: velero}}\nspec: {{bucket: c, {spec}credentials: {{name: s}}}}"
            ),
        )
    };
    let class = |rest: &str| {
        with(
            "",
            &format!("apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: raw}}\n{rest}"),
        )
    };
    let s3 = |config: &str| {
        format!(
            "apiVersion: velero.io/v1\nkind: BackupStorageLocation\nmetadata: {{name: raw, namespace: velero}}\nspec: {{provider: aws, objectStorage: {{bucket: x}}, config: {{{config}}}}}"
        )
    };
    let database = |namespace: &str, spec: &str| {
        let left = "  volumeRules:\n  - {claimLabels: {cnpg.io/pvcRole: PG_DATA}, method: skip, reason: own}\n  - {claimLabels: {cnpg.io/pvcRole: PG_WAL}, method: skip, reason: own}\n";
        let cluster = format!(
            "---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {{name: d, namespace: {namespace}}}\nspec: {spec}\n"
        );
        with("  volumeRules:\n", left) + &cluster
    };
    let policy = |data: &str| {
        let rules = tree()
            .split_once("  volumeRules:\n")
            .unwrap()
            .1
            .split_once("  hooks:\n")
            .unwrap()
            .0
            .to_owned();
        let text = with(
            &format!("  volumes: snapshot-move\n  volumeRules:\n{rules}"),
            "  volumePolicy: {name: own}\n",
        );
        format!(
            "{text}---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: own, namespace: velero}}, data: {{{data}}}}}\n"
        )
    };
    let rows: Vec<(&str, String, &[&str])> = vec![
        // V1, V13: when.
        ("every minute", day("* 4 * * *", "72h"), &["error schedule"]),
        ("two runs that are too close", day("0,3 2 * * *", "72h"), &["error schedule"]),
        ("far more often than promised", day("10,30,50 * * * *", "72h"), &["error schedule"]),
        ("never", day("0 2 31 2 *", "72h"), &["error schedule"]),
        ("a step beyond its range", day("0 2 1-31/40 * *", "72h"), &["error schedule"]),
        ("days that two Veleros read differently", day("0 2 1-7 * 1", "72h"), &["error schedule"]),
        ("half a day is promised", with("rpo: 26h", "rpo: 12h"), &["error rpo"]),
        ("as long as the time between two", with("rpo: 26h", "rpo: 24h"), &["warning rpo"]),
        ("weekends are left out", day("0 2 * * 1-5", "720h"), &["error rpo"]),
        ("schedules that take turns", with(DAY, "schedule: 0 3 * * 1-6, ttl: 720h"), &[]),
        ("the one that keeps the promise pauses", day("0 2 * * *", "72h, paused: true"), &["error rpo"]),
        ("a night without 02:30", day("CRON_TZ=Europe/Berlin 30 2 * * *", "720h").replace("rpo: 26h", "rpo: 24h"), &["error rpo"]),
        ("the same minute", with("0 3 * * 0", "0 2 * * 0"), &["error schedule-overlap"]),
        ("the same minute in another zone", with("0 3 * * 0", "CRON_TZ=Europe/Berlin 0 3 * * 0"), &["error schedule-overlap"]),
        // V2: names.
        ("a Schedule of the same name", with("", "apiVersion: velero.io/v1\nkind: Schedule\nmetadata: {name: p-day, namespace: velero}\nspec: {}"), &["error name"]),
        // Velero's own objects.
        ("a Schedule of Velero's", schedule("day", "schedule: 0 5 * * *, template: {storageLocation: s3}"), &[]),
        ("one at no time", schedule("day", "schedule: 0 2 31 2 *"), &["error schedule"]),
        ("one that Velero cannot read", schedule("day", "schedule: every night"), &["error schedule"]),
        ("one that goes nowhere", schedule("day", "schedule: 0 5 * * *, template: {storageLocation: gone}"), &["error reference"]),
        ("one with a long name", schedule(&"x".repeat(49), "schedule: 0 5 * * *"), &["error value"]),
        ("one every minute", schedule("day", "schedule: '* * * * *'"), &["error schedule"]),
        ("one in the same minute as ours", schedule("day", "schedule: 0 2 * * 1"), &["error schedule-overlap"]),
        ("one that keeps for days", schedule("day", "schedule: 0 5 * * *, template: {ttl: 30d}"), &["error duration"]),
        ("one that keeps for too short a time", schedule("day", "schedule: 0 5 * * *, template: {ttl: 30h}"), &["error retention"]),
        ("one of all namespaces and one", schedule("day", "schedule: 0 5 * * *, template: {includedNamespaces: ['*', db]}"), &["error value"]),
        (
            "one of a namespace that it leaves out",
            schedule("day", "schedule: 0 5 * * *, template: {includedNamespaces: [db], excludedNamespaces: [db]}"),
            &["error value"],
        ),
        (
            "one with filters of two kinds",
            schedule("day", "schedule: 0 5 * * *, template: {includedResources: [pods], excludedClusterScopedResources: [nodes]}"),
            &["error value"],
        ),
        ("one with filters of one kind", schedule("day", "schedule: 0 5 * * *, template: {includedResources: [pods], excludedResources: []}"), &[]),
        (
            "one with selectors of two kinds",
            schedule("day", "schedule: 0 5 * * *, template: {labelSelector: {}, orLabelSelectors: [{}]}"),
            &["error value"],
        ),
        ("one with a place for snapshots that is not here", schedule("day", "schedule: 0 5 * * *, template: {volumeSnapshotLocations: [openebs-csi]}"), &["warning reference"]),
        (
            "one with a place for snapshots beside another",
            schedule("day", "schedule: 0 5 * * *, template: {volumeSnapshotLocations: [openebs-csi]}") + &snapshots("a", "aws"),
            &["error reference"],
        ),
        (
            "one with two places for snapshots to choose from",
            with("volumes: snapshot-move", "volumes: fs-backup") + "---\napiVersion: velero.io/v1\nkind: Schedule\nmetadata: {name: raw, namespace: velero}\nspec: {schedule: 0 5 * * *, template: {ttl: 72h}}\n" + &snapshots("a", "aws") + &snapshots("b", "aws"),
            &["error volume-method"],
        ),
        (
            "one with a volume policy that is not here",
            schedule("day", "schedule: 0 5 * * *, template: {resourcePolicy: {kind: configmap, name: gone}}"),
            &["error volume-policy"],
        ),
        ("one that skips", schedule("day", "schedule: 0 5 * * *, skipImmediately: true"), &["warning value"]),
        ("one that owns its backups", schedule("day", "schedule: 0 5 * * *, useOwnerReferencesInBackup: true"), &["warning value"]),
        (
            "one that goes to a location that is only read",
            (tree() + "---\napiVersion: velero.io/v1\nkind: Schedule\nmetadata: {name: raw, namespace: velero}\nspec: {schedule: 0 5 * * *, template: {storageLocation: raw}}\n") + &raw_location("raw", "false").replace("spec: {", "spec: {accessMode: ReadOnly, "),
            &["error location"],
        ),
        (
            "one that goes to a location of Velero's",
            schedule("day", "schedule: 0 5 * * *, template: {storageLocation: raw}") + &raw_location("raw", "false"),
            &[],
        ),
        (
            "a default of Velero's beside ours",
            with("  bucket: b\n", "  bucket: b\n  default: true\n") + &raw_location("raw", "true"),
            &["error default-location"],
        ),
        ("a location of Velero's with a key that nobody knows", with("", &s3("s3URL: x")), &["error value"]),
        ("one with a truth that is no text", with("", &s3("insecureSkipTLSVerify: true")), &["error value"]),
        ("one with a path", with("", &s3("s3Url: 'https://s3.example.org/a'")), &["error endpoint"]),
        ("one with path style and no region", with("", &s3("s3ForcePathStyle: 'true'")), &["error missing-field"]),
        ("one that is well", with("", &s3("s3ForcePathStyle: 'true', region: r, s3Url: 'https://s3.example.org/'")), &[]),
        (
            "one with two certificates",
            with("", &s3("region: r").replace("bucket: x", "bucket: x, caCert: a, caCertRef: {name: s, key: cloud}")),
            &["error value"],
        ),
        ("two defaults of Velero's", tree() + &raw_location("raw", "true") + &raw_location("zz", "true"), &["error default-location"]),
        ("one default of Velero's", tree() + &raw_location("raw", "true") + &raw_location("zz", "false"), &[]),
        ("two places for snapshots of a provider", tree() + &snapshots("a", "aws") + &snapshots("b", "aws"), &["error volume-method"]),
        ("places for snapshots of two", tree() + &snapshots("a", "aws") + &snapshots("b", "gcp"), &[]),
        (
            "two, and no snapshots",
            with("volumes: snapshot-move", "volumes: fs-backup") + &snapshots("a", "aws") + &snapshots("b", "aws"),
            &[],
        ),
        (
            "two policies with one Schedule",
            with(
                "",
                &format!("{API}kind: BackupPolicy\nmetadata: {{name: p-day, namespace: velero}}\nspec: {{location: s3, includedNamespaces: [db], schedules: [{{name: x, schedule: 0 7 * * *}}]}}"),
            )
            .replace("{name: day,", "{name: day-x,"),
            &["error name"],
        ),
        // V3: how long.
        ("kept for a day and a half", day("0 2 * * *", "36h"), &["error retention"]),
        ("a week is promised and kept for two days", with("ttl: 72h", "ttl: 48h").replace("rpo: 26h", "rpo: 800h"), &["error retention"]),
        ("evidence that outlives its backup", with("schedule: '@weekly'\n", "schedule: '@weekly'\n    evidenceAge: 721h\n"), &["error retention"]),
        // V4: where.
        ("a location that is not there", with("ttl: 72h", "ttl: 72h, location: gone"), &["error reference"]),
        ("a location that is only read", location("accessMode: ReadOnly"), &["error location"]),
        ("two defaults", second("default: true, ").replacen("  bucket: b\n", "  bucket: b\n  default: true\n", 1), &["error default-location"]),
        ("one default", second("default: true, "), &[]),
        ("two locations of one place", second("").replace("bucket: c,", "bucket: b,"), &["error value"]),
        ("one bucket of two servers", second("endpoint: 'https://s3.example.org', ").replace("bucket: c,", "bucket: b,"), &[]),
        ("one location inside of another", second("prefix: a/b, ").replace("bucket: c,", "bucket: b,"), &["error value"]),
        ("one inside of another that has a folder", second("prefix: a/b, ").replace("bucket: c,", "bucket: b,").replacen("  bucket: b\n", "  bucket: b\n  prefix: a\n", 1), &["error value"]),
        ("folders beside each other", second("prefix: ab, ").replace("bucket: c,", "bucket: b,").replacen("  bucket: b\n", "  bucket: b\n  prefix: a\n", 1), &[]),
        // V6: what.
        ("included and excluded", with("[cache]", "[web]"), &["error value"]),
        ("everything excluded", with("[cache]", "['*']"), &["error value"]),
        ("everything and one more", with("[db, web]", "['*', db]"), &["error value"]),
        ("a namespace that cannot be one", with("[cache]", "[My_Cache]"), &["error value"]),
        ("braces", with("[cache]", "['{a,b}-*']"), &["error value"]),
        ("two stars", with("[cache]", "['a**']"), &["error value"]),
        ("a set that does not end", with("[cache]", "['a-[1']"), &["error value"]),
        ("an empty set", with("[cache]", "['a-[]']"), &["error value"]),
        ("a set that does not begin", with("[cache]", "['a-1]']"), &["error value"]),
        ("a dot", with("[cache]", "[a.b]"), &["error value"]),
        ("patterns", with("[cache]", "['cache-*', '*-test', 'a-?', 'b-[12]-[a-c]']"), &[]),
        ("no label", with("  rpo: 26h", "  labelSelector: {matchLabels: {}}\n  rpo: 26h"), &["error value"]),
        // V7: a volume policy of one's own.
        ("a volume policy", policy("p: 'version: v1'"), &[]),
        ("two keys", policy("p: 'version: v1', q: ''"), &["error volume-policy"]),
        ("another version", policy("p: 'version: v2'"), &["error volume-policy"]),
        ("a field that Velero does not know", policy("p: '{version: v1, volumePolicys: []}'"), &["error volume-policy"]),
        ("one that is not there", policy("p: 'version: v1'").replace("name: own,", "name: other,"), &["error volume-policy"]),
        ("both", with("  volumes:", "  volumePolicy: {name: checks}\n  volumes:"), &["error value", "error volume-policy"]),
        // V8, V9: how.
        ("folders by snapshot", with("[folders, thick]", "[thick]"), &["error volume-method"]),
        ("thick volumes by snapshot", with("[folders, thick]", "[folders]"), &["error volume-method"]),
        ("thin volumes by snapshot", with("[folders, thick]", "[folders]").replace("volumeGroup: vg", "volumeGroup: vg, thin: true"), &[]),
        ("a rule by snapshot", with("thick], method: fs-backup", "thick], method: snapshot-move"), &["error volume-method", "error volume-method"]),
        ("skipped without a reason", with(", reason: filled again", ""), &["error missing-field"]),
        ("a rule that takes nothing", with("  - {storageClasses: [folders, thick], method: fs-backup}", "  - {method: fs-backup}"), &["error value"]),
        ("a class that is not made", with("[folders, thick]", "[folders, thick, thik]"), &["warning reference"]),
        (
            "a driver without a class of snapshots",
            with("", "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotClass\nmetadata: {name: x}\ndriver: other"),
            &["warning volume-method"],
        ),
        // V10: the server.
        ("no TLS", location("endpoint: 'http://s3.example.org'"), &["error endpoint"]),
        ("no TLS on purpose", location("endpoint: 'http://s3.example.org'\n  allowInsecure: true"), &[]),
        ("a path", location("endpoint: 'https://s3.example.org/b'"), &["error value"]),
        ("a query", location("publicUrl: 'https://s3.example.org?x'"), &["error endpoint"]),
        ("no region", location("forcePathStyle: true"), &["error missing-field"]),
        ("no checksum", location("checksumAlgorithm: MD5"), &["error value"]),
        ("checksums off", location("checksumAlgorithm: ''"), &[]),
        ("two ways to encrypt", location("kmsKeyId: k\n  customerKeyEncryptionSecret: s/k"), &["error credentials", "error value"]),
        ("a key of another way", location("kmsKeyId: k\n  serverSideEncryption: AES256"), &["error value"]),
        ("no certificate", location("caCert: abc"), &["error value"]),
        ("two authorities", location("caCert: '-----BEGIN CERTIFICATE-----'\n  caCertRef: {name: s, key: cloud}"), &["error value"]),
        ("a folder that begins with /", location("prefix: /a"), &["error value"]),
        ("a bucket with a folder", with("bucket: b", "bucket: b/c"), &["error value"]),
        // V11: secrets.
        ("no Secret", with("credentials: {name: s}", "credentials: {name: gone}"), &["warning credentials"]),
        ("no such key", with("credentials: {name: s}", "credentials: {name: s, key: clod}"), &["error credentials"]),
        ("a password that everybody knows", with("velero-repo-credentials", "other"), &["warning repository-password"]),
        (
            "the very password",
            with("repository-password: null", "repository-password: static-passw0rd"),
            &["error repository-password", "warning plain-secret"],
        ),
        ("no password", with("repository-password: null", "password: null"), &["error repository-password"]),
        // V14: classes.
        ("parameters of folders", class("provisioner: openebs.io/local\nvolumeBindingMode: WaitForFirstConsumer\nparameters: {a: b}"), &["error volume-method", "error storage-class"]),
        ("folders at once", class("provisioner: openebs.io/local"), &["error volume-method", "error storage-class"]),
        ("folders that grow", class("provisioner: openebs.io/local\nvolumeBindingMode: WaitForFirstConsumer\nallowVolumeExpansion: true"), &["error volume-method", "error storage-class"]),
        (
            "devices",
            class("provisioner: openebs.io/local\nvolumeBindingMode: WaitForFirstConsumer").replace(
                "metadata: {name: raw}",
                "metadata: {name: raw, annotations: {cas.openebs.io/config: \"- name: StorageType\\n  value: \\\"device\\\"\"}}",
            ),
            &["error volume-method", "error storage-class"],
        ),
        ("a location of ours and one of Velero's", with("", "") + &raw_location("s3", "false"), &["error name"]),
        (
            "a volume policy of ours and a ConfigMap",
            with("", "{apiVersion: v1, kind: ConfigMap, metadata: {name: p-volume-policy, namespace: velero}, data: {a: b}}"),
            &["error name"],
        ),
        ("a label that is none", with("  rpo: 26h\n", "  rpo: 26h\n  labels: {bad key!: x}\n"), &["error value"]),
        ("a value that no label has", with("  rpo: 26h\n", "  rpo: 26h\n  labels: {example.org/a: x y}\n"), &["error value"]),
        ("a label", with("  rpo: 26h\n", "  rpo: 26h\n  labels: {example.org/a: x_y.z, b: ''}\n"), &[]),
        ("a selector of no label", with("  rpo: 26h\n", "  rpo: 26h\n  labelSelector: {matchLabels: {a/b/c: x}}\n"), &["error value"]),
        ("a rule of no label", with("claimLabels: {app: cache}", "claimLabels: {-app: cache}"), &["error value"]),
        ("a hook of no label", with("namespaces: [db], pre", "namespaces: [db], selector: {matchLabels: {app: -x}}, pre"), &["error value"]),
        ("a bucket with signs", with("  bucket: b\n", "  bucket: 'b!'\n"), &["error value"]),
        ("a key that nobody made", location("customerKeyEncryptionSecret: key/k"), &["warning credentials"]),
        ("an empty password", with("repository-password: null", "repository-password: ''"), &["error repository-password", "warning plain-secret"]),
        ("two tiers with one class", with("{name: zfs, allow", "{name: thick, allow"), &["error storage-class"]),
        ("a tier and a class", class("provisioner: x.csi.example.org").replace("metadata: {name: raw}", "metadata: {name: zfs}"), &["error storage-class"]),
        ("two default classes", with("{name: folders}}", "{name: folders, default: true}}").replace("{name: thick}}", "{name: thick, default: true}}"), &["error default-class"]),
        ("a class that is the default, and a tier after it", with("{name: folders}}", "{name: folders, default: true}}").replacen("apiVersion", "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: other, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}\nprovisioner: x.csi.example.org\n---\napiVersion", 1), &["error default-class"]),
        ("two engines", with("lvm: {volumeGroup: vg}", "lvm: {volumeGroup: vg}, zfs: {pool: x}"), &["error tier-pools"]),
        ("folders that grow, by a tier", with("{name: folders}}", "{name: folders, allowVolumeExpansion: true}}"), &["error value"]),
        // V15: databases.
        ("five fields for seconds", with("", "apiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: x}\nspec: {schedule: 0 2 * * *}"), &["error database-backup"]),
        (
            "six fields of no time",
            with("", "apiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: x}\nspec: {schedule: 0 0 2 30 2 *}"),
            &["error database-backup"],
        ),
        (
            "six words",
            with("", "apiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: x}\nspec: {schedule: a b c d e f}"),
            &["error database-backup"],
        ),
        (
            "six fields with two kinds of days",
            with("", "apiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: x}\nspec: {schedule: '*/30 0 2 1-7 * 1'}"),
            &[],
        ),
        ("a database that nothing backs up", database("db", "{instances: 2}"), &["warning database-backup"]),
        ("a database that is backed up at no time", database("db", "{plugins: [{name: p}]}"), &["warning database-backup"]),
        (
            "a database with backups of its own",
            database("db", "{plugins: [{name: p}]}") + "---\napiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: db}\nspec: {schedule: 0 0 2 * * *, cluster: {name: d}}\n",
            &[],
        ),
        ("a database of no backup", database("mail", "{instances: 2}"), &[]),
        (
            "a running database, by a pattern",
            with("[db, web]", "['d*', web]").replace("namespaces: [db], pre", "pre") + "---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: d, namespace: db}\nspec: {instances: 2}\n",
            &["warning database-backup"],
        ),
        ("six fields", with("", "apiVersion: postgresql.cnpg.io/v1\nkind: ScheduledBackup\nmetadata: {name: d, namespace: x}\nspec: {schedule: 0 0 2 * * *}"), &[]),
        ("a running database", with("", "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: d, namespace: db}\nspec: {instances: 2}"), &["warning database-backup"]),
        ("backups of the old way", with("", "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: d, namespace: x}\nspec: {backup: {barmanObjectStore: {}}}"), &["warning database-backup"]),
        // V8: namespaces.
        ("a namespace that is nowhere", with("", "{apiVersion: v1, kind: Namespace, metadata: {name: db}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: cache}}"), &["warning namespace"]),
        ("namespaces that are there", with("", "{apiVersion: v1, kind: Namespace, metadata: {name: db}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: web}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: cache}}"), &[]),
        (
            "a namespace that no backup holds",
            with("", "{apiVersion: v1, kind: Namespace, metadata: {name: db, labels: {velero.io/exclude-from-backup: 'true'}}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: web}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: cache}}"),
            &["error value"],
        ),
        // V9: what uploads.
        ("no node agent", with("", &release("cleanUpCRDs: false", "velero-plugin-for-aws:v1.14.1").replace("deployNodeAgent: true, ", "")), &["warning velero"]),
        ("no snapshots", with("", &release("cleanUpCRDs: false", "velero-plugin-for-aws:v1.14.1").replace("features: EnableCSI", "features: Other")), &["warning velero"]),
        (
            "no node agent, of a chart without plugins",
            with("", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: v, namespace: velero}\nspec: {chartRef: {kind: OCIRepository, name: velero}, values: {configuration: {features: EnableCSI}}}"),
            &["warning velero"],
        ),
        (
            "a Deployment without snapshots",
            with("", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: velero, namespace: velero}\nspec: {template: {spec: {containers: [{name: velero, image: 'velero/velero:v1.18.3', args: [server]}], initContainers: [{name: p, image: 'velero/velero-plugin-for-aws:v1.14.1'}]}}}"),
            &["warning velero"],
        ),
        (
            "a Deployment with snapshots",
            with("", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: velero, namespace: velero}\nspec: {template: {spec: {containers: [{name: velero, image: 'velero/velero:v1.18.3', args: [server, --features=EnableCSI]}], initContainers: [{name: p, image: 'velero/velero-plugin-for-aws:v1.14.1'}]}}}"),
            &[],
        ),
        (
            "values from elsewhere",
            with("", &release("cleanUpCRDs: false", "velero-plugin-for-aws:v1.14.1").replace("deployNodeAgent: true, ", "").replace("spec: {", "spec: {valuesFrom: [{kind: ConfigMap, name: v}], ")),
            &[],
        ),
        // V12: Velero itself.
        ("a plugin of another version", with("", &release("image: {tag: v1.18.3}", "velero-plugin-for-aws:v1.12.0")), &["warning velero"]),
        ("the plugin of that version", with("", &release("image: {tag: v1.18.3}", "docker.io/velero/velero-plugin-for-aws:v1.14.1@sha256:0")), &[]),
        ("a plugin beside a version that nobody tells", with("", &release("cleanUpCRDs: false", "velero-plugin-for-aws:v1.12.0")), &[]),
        ("a plugin that is part of Velero now", with("", &release("image: {tag: v1.18.3}", "velero/velero-plugin-for-csi:v0.7.1")), &["error velero"]),
        ("restic", with("", &release("configuration: {uploaderType: restic}", "velero-plugin-for-aws:v1.14.1")), &["error velero"]),
        ("kopia", with("", &release("configuration: {uploaderType: kopia}", "velero-plugin-for-aws:v1.14.1")), &[]),
        ("a Deployment of both", with("", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: velero, namespace: velero}\nspec: {template: {spec: {containers: [{name: velero, image: 'velero/velero:v1.18.3', args: [server, --uploader-type=restic]}], initContainers: [{name: p, image: 'velero/velero-plugin-for-gcp:v1.13.0'}]}}}"), &["error velero", "warning velero", "warning velero"]),
        ("restic in a version that had it", with("", &release("image: {tag: v1.16.2}, configuration: {uploaderType: restic}", "velero-plugin-for-aws:v1.12.2")), &[]),
        // Hooks and drills.
        ("a hook that runs nothing", with("pre: {command: [sync], timeout: 30s}", "selector: {matchLabels: {a: b}}"), &["error missing-field"]),
        ("a hook elsewhere", with("namespaces: [db], pre", "namespaces: [mail], pre"), &["error value"]),
        ("a hook without a name", with("name: freeze", "name: ''"), &["error name"]),
        ("a hook that takes a day", with("timeout: 30s", "timeout: 1d"), &["error duration"]),
        ("a drill of what is not backed up", with("    namespaces: [db]\n    sent", "    namespaces: [mail, db]\n    sent"), &["error drill"]),
        ("a drill of a pattern", with("    namespaces: [db]\n    sent", "    namespaces: ['d*']\n    sent"), &["error drill", "error drill"]),
        ("a drill at no time", with("schedule: '@weekly'", "schedule: '@sometimes'"), &["error schedule"]),
        ("evidence that lapses before the next drill", with("schedule: '@weekly'", "schedule: '@monthly'"), &["error drill"]),
        ("a drill that is given up too early", with("schedule: '@weekly'", "schedule: '@weekly'\n    timeout: 10m"), &["error drill"]),
        ("a sentinel outside", with("path: a/b", "path: ../b"), &["error drill"]),
        ("a sentinel of the node", with("path: a/b", "path: /a/b"), &["error drill"]),
        ("a sentinel that is not restored", with("{namespace: db, claim", "{namespace: web, claim"), &["error drill"]),
        ("a job that is not there", with("name: checks, key", "name: check, key"), &["error drill"]),
        ("a job below another key", with("key: job.yaml", "key: job"), &["error drill"]),
        ("a job of another kind", with("\"Job\"", "\"Jobb\""), &["error drill"]),
        ("a job of an old version", with("batch/v1", "batch/v1beta1"), &["error drill"]),
        ("a job without containers", with("[{\"name\":\"look\",\"image\":\"i\"}]", "[]"), &["error drill"]),
        ("a job that would run for ever", with("\"Never\"", "\"Always\""), &["error drill"]),
        ("a job that is not written as one", with("\"containers\":[", "\"containers\":3,\"x\":["), &["error drill"]),
        (
            "labels of volumes that have no snapshots",
            with("{zfs: {pool: tank}}", "{lvm: {volumeGroup: vg2}}").replace("[folders, thick]", "[folders, thick, zfs]").replace("method: skip, reason: filled again", "method: snapshot-move"),
            &["warning volume-method"],
        ),
        ("a rule of which an earlier one takes every volume", with("  - {claimLabels: {app: cache}, method", "  - {storageClasses: [thick], claimLabels: {app: cache}, method"), &["error value"]),
        ("a rule of which an earlier one takes some volumes", with("  - {claimLabels: {app: cache}, method", "  - {storageClasses: [thick, zfs], claimLabels: {app: cache}, method"), &[]),
        ("an image that is none", with("    namespaces: [db]\n", "    namespaces: [db]\n    image: Docker.io/Busy Box\n"), &["error value"]),
        ("a promise that nothing measures", tree().split_once("  drill:\n").unwrap().0.to_owned() + "---\n" + tree().split_once("---\n{apiVersion: v1, kind: Secret").map(|(_, rest)| rest).map(|rest| format!("{{apiVersion: v1, kind: Secret{rest}")).unwrap().as_str(), &["warning drill"]),
    ];
    let mut wrong = Vec::new();
    for (what, text, expected) in rows {
        let found = told(text);
        if found != expected {
            wrong.push(format!("{what}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn findings_of_backups_stand_at_their_lines() {
    let table: Vec<Row> = vec![
        (
            "the ttl",
            vec![("a.yaml", with("ttl: 72h", "ttl: 30h"))],
            vec!["a.yaml:22:38 error retention"],
        ),
        (
            "the rule",
            vec![("a.yaml", with("[folders, thick]", "[folders]"))],
            vec!["a.yaml:15:3 error volume-method"],
        ),
        (
            "the second schedule",
            vec![("a.yaml", with("0 3 * * 0", "0 2 * * 0"))],
            vec!["a.yaml:23:18 error schedule-overlap"],
        ),
    ];
    for (what, files, expected) in table {
        assert_eq!(findings(&files).0, expected, "{what}");
    }
}

#[test]
fn the_words_say_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let text = with("ttl: 72h", "ttl: 30h").replace("velero-repo-credentials", "other");
    std::fs::write(Path::new(folder.path()).join("a.yaml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .arg("validate")
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    for words in [
        "up to 24h pass between two backups",
        "write at least 48h",
        "{apiVersion: v1, kind: Secret, metadata: {name: velero-repo-credentials, namespace: velero}, stringData: {repository-password: <40 random letters>}}",
    ] {
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words} is missing in\n{told}");
    }
}
