//! Names, lists and differences; that nothing is told of what was encrypted is claimed of the whole controller, in `tests/delivery`.

use super::*;

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn every_object_has_a_file_of_its_own() {
    let long = "a".repeat(253);
    let longer = format!("{}b", "a".repeat(252));
    let table = [
        (
            id("", "ConfigMap", "monitoring", "a"),
            "monitoring/configmap_a.yaml",
        ),
        (
            id("storage.k8s.io", "StorageClass", "", "mayastor"),
            "storageclass.storage.k8s.io_mayastor.yaml",
        ),
        // Dots and hyphens could stand in either part; what separates them stands in none.
        (id("", "A", "", "b.c"), "a_b.c.yaml"),
        (id("b", "A", "", "c"), "a.b_c.yaml"),
        (id("", "Pod", "a-b", "c"), "a-b/pod_c.yaml"),
        (id("", "Pod", "a", "b-c"), "a/pod_b-c.yaml"),
        (
            id("rbac.authorization.k8s.io", "ClusterRole", "", "system:a/../b_c"),
            "clusterrole.rbac.authorization.k8s.io_system=3aa=2f..=2fb=5fc.yaml",
        ),
        (id("", "Pod", "..", ".hidden"), "=2e./pod_=2ehidden.yaml"),
    ];
    for (id, expected) in &table {
        assert_eq!(name(id), *expected);
    }
    let [one, other] = [&long, &longer].map(|name_of| name(&id("", "Pod", "n", name_of)));
    assert_ne!(one, other);
    assert!(one.len() < 255 && other.len() < 255, "{one}");
}

#[test]
fn only_our_own_list_says_what_is_ours() {
    let files = BTreeSet::from(["a/configmap_b.yaml", "_sealed/p/x.yaml"]);
    let ours = String::from_utf8(kustomization("couchestor-system/homelab", &files)).unwrap();
    let read = |text: &str| listed(text, "couchestor-system/homelab");
    let all: BTreeSet<String> = files.iter().map(|&file| file.to_owned()).collect();
    assert_eq!(read(&ours), Some(all.clone()));
    // A line that a person added, and one that leads elsewhere.
    assert_eq!(
        read(&format!("{ours}  - theirs.yaml\n  - ../x/configmap_b.yaml\n")),
        Some(all)
    );
    assert_eq!(listed(&ours, "couchestor-system/other"), None);
    assert_eq!(listed(&ours, "couchestor-system/home"), None);
    assert_eq!(read("resources: [a/configmap_b.yaml]\n"), None);
    assert_eq!(read(""), None);
}

fn manifest_of(text: &str) -> Manifest {
    Manifest {
        content: text.as_bytes().to_vec(),
        what: "something".to_owned(),
    }
}

/// A content's own text is its name here.
fn naming(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

#[test]
fn what_is_written_leaves_nothing_to_be_written() {
    let class = "storageclass.storage.k8s.io_slow.yaml";
    let mut manifests = Manifests::default();
    for (path, text) in [("a/configmap_b.yaml", "b"), ("a/configmap_c.yaml", "c")] {
        manifests.files.insert(path.to_owned(), manifest_of(text));
    }
    let mut standing = Standing::default();
    for (path, text) in [
        ("a/configmap_b.yaml", "old"),
        ("a/configmap_gone.yaml", "x"),
        (class, "slow"),
        ("theirs_a.yaml", "t"),
    ] {
        standing.files.insert(path.to_owned(), text.to_owned());
        if path != "theirs_a.yaml" {
            standing.ours.insert(path.to_owned());
        }
    }
    let (whose, used) = (("f", "n/s"), BTreeSet::from(["slow".to_owned()]));
    for (used, stays) in [(&used, true), (&BTreeSet::new(), false)] {
        let found = changes(&manifests, &standing, used, whose, naming);
        assert_eq!(found.added.len(), 1);
        assert_eq!(found.changed.len(), 1);
        assert_eq!(
            (found.removed.len(), found.kept.len()),
            if stays { (1, 1) } else { (2, 0) }
        );
        let mut after = standing.clone();
        for write in &found.writes {
            let path = write.path.strip_prefix("f/").unwrap().to_owned();
            match &write.content {
                Some(content) => drop(after.files.insert(path, naming(content))),
                None => drop(after.files.remove(&path)),
            }
        }
        assert!(after.files.contains_key("theirs_a.yaml"));
        assert_eq!(after.files.contains_key(class), stays);
        after.ours = listed(&after.files[KUSTOMIZATION], "n/s").unwrap();
        let again = changes(&manifests, &after, used, whose, naming);
        assert!(again.is_nothing(), "{again:?}");
        assert_eq!(again.key, found.key);
    }
}
