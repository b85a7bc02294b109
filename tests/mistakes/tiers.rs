//! Tiers of local disks that their engines would make no volumes for, and tiers beside each other.

use super::{Row, TIER, findings};

fn local(engine: &str, class: &str) -> Vec<(&'static str, String)> {
    let head =
        "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: l}\nspec:\n  rank: 1\n";
    let class = match class {
        "" => String::new(),
        more => format!("  storageClass: {{name: l, {more}}}\n"),
    };
    vec![("a.yaml", format!("{head}  local: {engine}\n{class}"))]
}

#[test]
fn tiers_of_local_disks_ask_for_what_their_engines_make() {
    let folders = |path: &str| local(&format!("{{hostpath: {{basePath: {path}}}}}"), "");
    let zfs = |more: &str| local(&format!("{{zfs: {{pool: tank, {more}}}}}"), "");
    let class = |engine: &str, more: &str| local(engine, more);
    let (lvm, hostpath) = ("{lvm: {volumeGroup: vg}}", "{hostpath: {}}");
    let table: Vec<Row> = vec![
        ("a folder of its own", folders("/mnt/disks"), vec![]),
        ("the root", folders("/"), vec!["a.yaml:6:22 error value"]),
        (
            "the root by a longer name",
            folders("//./"),
            vec!["a.yaml:6:22 error value"],
        ),
        (
            "the root by way of a parent",
            folders("/mnt/.."),
            vec!["a.yaml:6:22 error value"],
        ),
        ("records of a size that ZFS has", zfs("recordSize: 16k"), vec![]),
        ("the smallest", zfs("recordSize: '512'"), vec![]),
        ("the largest", zfs("recordSize: 16M"), vec![]),
        (
            "one that is no power of two",
            zfs("recordSize: 17k"),
            vec!["a.yaml:6:29 error value"],
        ),
        (
            "one that is too large",
            zfs("recordSize: 32M"),
            vec!["a.yaml:6:29 error value"],
        ),
        (
            "one that is a quantity of Kubernetes",
            zfs("recordSize: 128Ki"),
            vec!["a.yaml:6:29 error value"],
        ),
        (
            "one of a volume, which has none",
            zfs("fsType: xfs, recordSize: 16k"),
            vec!["a.yaml:6:42 warning value"],
        ),
        ("a compression that ZFS has", zfs("compression: zstd-19"), vec![]),
        (
            "one that it has not",
            zfs("compression: brotli"),
            vec!["a.yaml:6:29 error value"],
        ),
        (
            "a level that it has not",
            zfs("compression: gzip-10"),
            vec!["a.yaml:6:29 error value"],
        ),
        (
            "volumes that are made before their pods",
            class(lvm, "volumeBindingMode: Immediate"),
            vec!["a.yaml:7:27 error value"],
        ),
        (
            "volumes that are made for their first pod",
            class(lvm, "volumeBindingMode: WaitForFirstConsumer"),
            vec![],
        ),
        ("LVM grows", class(lvm, "allowVolumeExpansion: true"), vec![]),
        (
            "folders do not",
            class(hostpath, "allowVolumeExpansion: true"),
            vec!["a.yaml:7:27 error value"],
        ),
        (
            "parameters of another engine",
            class(hostpath, "mayastor: {replicas: 2}"),
            vec!["a.yaml:7:27 error value"],
        ),
    ];
    for (what, files, expected) in table {
        let code = Some(i32::from(!expected.is_empty()));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(findings(&files), (expected, code), "{what}");
    }
}

#[test]
fn a_tier_that_is_as_another_is_told_by_what_they_share() {
    let beside = |from: &str, to: &str| {
        let other = TIER.replace("name: hot", "name: other").replace(from, to);
        vec![("a.yaml", TIER.to_owned()), ("b.yaml", other)]
    };
    let table: Vec<Row> = vec![
        (
            "the same rank",
            beside("tier: hot", "tier: other"),
            vec!["b.yaml:4:8 error tier-overlap"],
        ),
        (
            "the same pools",
            beside("rank: 2", "rank: 3"),
            vec!["b.yaml:4:17 error tier-overlap"],
        ),
        (
            "neither",
            beside(
                "rank: 2, poolSelector: {matchLabels: {tier: hot}}",
                "rank: 3, poolSelector: {matchLabels: {tier: x}}",
            ),
            vec![],
        ),
    ];
    for (what, files, expected) in table {
        let code = Some(i32::from(!expected.is_empty()));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(findings(&files), (expected, code), "{what}");
    }
}
