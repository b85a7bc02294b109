//! What `secrets textconv` shows of files that nobody has encrypted.

use super::{folder, run};
use crate::support::seal::Sealer;

#[test]
fn masks_of_values_in_the_clear_can_be_tried_out_by_nobody_without_the_key() {
    let secret = |value: &str, same: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: b}}\nstringData: {{pin: \"{value}\", again: \"{same}\"}}\n"
        )
    };
    let (one, other) = (Sealer::new(), Sealer::new());
    let folder = folder(&[
        ("a.yaml", &secret("zq-a", "zq-a")),
        ("b.yaml", &secret("zq-b", "zq-a")),
        ("one", &one.key),
        ("other", &other.key),
    ]);
    let masks = |file: &str, key: &[&str]| {
        let output = run(folder.path(), &[&["secrets", "textconv", file], key].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("zq"), "{text}");
        let mask = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let found: Vec<String> = lines
                .map(|rest| rest.replace('•', "").trim().to_owned())
                .collect();
            assert_eq!(found.len(), 1, "{text}");
            found[0].clone()
        };
        (mask("stringData.pin:"), mask("stringData.again:"), text.clone())
    };
    // Without a key all are the same, and it says so.
    let (a, b) = (masks("a.yaml", &[]), masks("b.yaml", &[]));
    for mask in [&a.0, &a.1, &b.0, &b.1] {
        assert_eq!(mask, "");
    }
    assert!(
        a.2.starts_with("# secret values in the clear are told apart with a key"),
        "{}",
        a.2
    );
    // With one, equal ones are equal in every process, and others are not.
    let key = ["--age-key", "one"];
    let (a, b) = (masks("a.yaml", &key), masks("b.yaml", &key));
    assert_eq!((a.0.len(), &a.0, &a.1), (8, &a.1, &b.1));
    assert_ne!(a.0, b.0);
    assert!(!a.2.contains('#'), "{}", a.2);
    // The mask says nothing to who has another key.
    assert_ne!(masks("a.yaml", &["--age-key", "other"]).0, a.0);
}
