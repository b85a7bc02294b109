//! A PolicySource that the controller would refuse is refused before.

use super::findings;

const SOURCE: &str = "apiVersion: storage.billyronks.io/v1
kind: PolicySource
metadata: {name: s, namespace: c}
spec:
  url: https://git.example.org/ops.git
";

#[test]
fn a_source_that_the_controller_would_refuse_is_refused_before() {
    let github = "forge: {type: github}";
    let table = [
        ("interval: banana", "6:3 error duration"),
        ("timeout: 1w", "6:3 error duration"),
        ("interval: 0s", "6:3 error value"),
        ("timeout: 0s", "6:3 error value"),
        ("interval: 500ms", ""),
        ("path: a/../../x", "6:3 error value"),
        ("secretRef: {name: ''}", "6:15 error value"),
        ("branch: a..b", "6:3 error value"),
        ("audit: {branch: x y}", "6:11 error value"),
        ("proposals: {branchPrefix: 'bad:/'}", "6:15 error value"),
        ("ref: {commit: xyz, semver: banana}", "6:9 error value"),
        ("ref: {name: main}", "6:9 error value"),
        ("ref: {semver: banana}", "6:9 error value"),
        ("ref: {semver: '>=1.2.0 <2.0.0'}", ""),
        ("provider: github", "6:3 error value"),
        ("audit: {branch: main}", "6:11 error value"),
        ("audit: {branch: couchestor/moves/a}", "6:11 error value"),
        ("audit: {branch: couchestor/audit}", ""),
        // The branch of records is this one when none is named.
        ("branch: couchestor/audit", "4:1 error value"),
        (
            "proposals: {rejections: {expireAfter: 30d}}",
            "6:28 error duration",
        ),
        ("proposals: {branchPrefix: moves}", "6:15 error value"),
        ("proposals: {path: ../x}", "6:15 error value"),
        ("proposals: {path: /}", "6:15 error value"),
        ("delivery: {mode: apply}", ""),
        ("path: p\n  delivery: {mode: commit, path: clusters/homelab}", ""),
        // What is written must not be read again, whichever of the two holds the other.
        ("path: p\n  delivery: {mode: commit, path: p}", "7:28 error value"),
        (
            "path: p\n  delivery: {mode: commit, path: p/rendered}",
            "7:28 error value",
        ),
        (
            "path: p/q\n  delivery: {mode: commit, path: ./p/}",
            "7:28 error value",
        ),
        ("path: p\n  delivery: {mode: commit, path: pq}", ""),
        ("delivery: {mode: commit, path: rendered}", "6:28 error value"),
        ("delivery: {mode: commit, path: rendered, branch: deploy}", ""),
        (
            "path: p\n  delivery: {mode: commit, path: ../x}",
            "7:28 error value",
        ),
        ("path: p\n  delivery: {mode: commit}", "7:3 error value"),
        (
            "path: p\n  delivery: {mode: commit, path: x, branch: couchestor/audit}",
            "7:37 error value",
        ),
        (
            "path: p\n  delivery: {mode: commit, path: x, branch: couchestor/y}",
            "7:37 error value",
        ),
        ("proposals: {path: /ops/assignments/}", ""),
        ("proposals: {approvals: {count: 1}}", "6:15 error value"),
        (
            "proposals: {GITHUB, approvals: {count: 3, from: [ann, ben]}}",
            "6:50 error value",
        ),
        (
            "proposals: {GITHUB, approvals: {count: 2, from: [ann, Ann]}}",
            "6:50 error value",
        ),
        ("proposals: {GITHUB, approvals: {count: 2, from: [ann, ben]}}", ""),
        ("proposals: {GITHUB, approvals: {count: 3}}", ""),
        (
            "proposals: {forge: {url: 'https://git.example.org:8443/git/'}}",
            "",
        ),
        ("proposals: {forge: {url: 'http://[fd00::1]:3000'}}", ""),
        ("proposals: {forge: {url: git.example.org}}", "6:23 error value"),
        (
            "proposals: {forge: {url: 'ftp://git.example.org'}}",
            "6:23 error value",
        ),
        ("proposals: {forge: {url: 'https://'}}", "6:23 error value"),
        ("proposals: {forge: {url: 'https://:443/x'}}", "6:23 error value"),
        ("proposals: {forge: {url: 'https://a b'}}", "6:23 error value"),
        ("proposals: {forge: {url: 'https://a:99999'}}", "6:23 error value"),
        (
            "proposals: {forge: {url: 'https://me:token@a'}}",
            "6:23 error value",
        ),
        ("proposals: {forge: {url: 'https://a/?x=1'}}", "6:23 error value"),
        ("proposals: {labels: [storage, 'a, b']}", ""),
        ("proposals: {labels: [storage, '']}", "6:33 warning value"),
        ("proposals: {labels: [' a']}", "6:24 warning value"),
        ("proposals: {labels: [\"a\\nb\"]}", "6:24 warning value"),
        ("proposals: {labels: [LONG], GITHUB}", "6:24 warning value"),
        ("proposals: {labels: [LONG], forge: {type: gitea}}", ""),
        (
            "proposals: {labels: [a, 'b, c'], forge: {type: gitlab}}",
            "6:27 warning value",
        ),
        ("proposals: {template: ../t.md}", "6:15 warning value"),
        ("proposals: {template: /t.md}", "6:15 warning value"),
        // Whether it is there can be told where the source reads this very repository.
        ("path: elsewhere\n  proposals: {template: t.md}", ""),
        ("proposals: {template: t.md}", "6:15 warning missing-file"),
        (
            "path: sub\n  proposals: {template: t.md}",
            "7:15 warning missing-file",
        ),
        ("path: sub\n  proposals: {template: sub/t.md}", ""),
    ];
    for (field, expected) in table {
        let field = field.replace("GITHUB", github).replace("LONG", &"x".repeat(51));
        let text = format!("{SOURCE}  {field}\n");
        let (found, code) = findings(&[("a.yaml", text), ("sub/t.md", String::new())]);
        let expected: Vec<String> = [expected]
            .into_iter()
            .filter(|one| !one.is_empty())
            .map(|one| format!("a.yaml:{one}"))
            .collect();
        assert_eq!(found, expected, "{field}");
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{field}");
    }
}

#[test]
fn a_namespace_of_what_the_whole_cluster_shares_is_told_to_have_no_effect() {
    let tier = "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: t}\nspec: {rank: 1, poolSelector: {matchLabels: {a: b}}}\n";
    let named = tier.replace("{name: t}", "{name: t, namespace: db}");
    let kustomization = "namespace: db\nresources: [t.yaml]\n".to_owned();
    let warning = "t.yaml:3:21 warning cluster-wide";
    let table = [
        (vec![("t.yaml", tier.to_owned())], vec![]),
        (vec![("t.yaml", named.clone())], vec![warning]),
        // That of a kustomization is for the others.
        (
            vec![
                ("t.yaml", tier.to_owned()),
                ("kustomization.yaml", kustomization.clone()),
            ],
            vec![],
        ),
        (
            vec![("t.yaml", named), ("kustomization.yaml", kustomization)],
            vec![warning],
        ),
    ];
    for (files, expected) in table {
        assert_eq!(findings(&files).0, expected, "{files:?}");
    }
}
