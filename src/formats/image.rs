//! Names of container images, as container runtimes read them.

use regex::Regex;
use std::sync::LazyLock;

/// Longest name; registries take names of 255 characters, with a tag of 128 and a digest behind it.
const NAME_BYTES_MAX: usize = 600;

/// The grammar of `distribution/reference`: a registry, a path in lower case, a tag, a digest; only the path must be there.
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
    let part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let registry = format!(r"(?:{label}(?:\.{label})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?");
    let text = format!("^(?:{registry}/)?{part}(?:/{part})*(?::{tag})?(?:@{digest})?$");
    Regex::new(&text).ok()
});

/// Whether a kubelet would ask a registry for an image of this name, instead of ending with `InvalidImageName`.
pub fn is_image(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && NAME.as_ref().is_none_or(|pattern| pattern.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::is_image;

    #[test]
    fn an_image_has_a_path_in_lower_case_and_perhaps_a_registry_a_tag_and_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (name, expected) in [
            ("busybox", true),
            ("docker.io/library/busybox:1.37", true),
            ("localhost:5000/a/b__c-d.e:Latest", true),
            ("[::1]:5000/a", true),
            ("ghcr.io/Org/app", false),
            ("GHCR.io/org/app", true),
            ("", false),
            (" busybox", false),
            ("busy box", false),
            ("busybox:", false),
            ("busybox:-x", false),
            ("https://ghcr.io/org/app", false),
            ("a//b", false),
            ("a:1:2", false),
        ] {
            assert_eq!(is_image(name), expected, "{name}");
        }
        assert!(is_image(&format!("ghcr.io/org/app:v1@{digest}")));
        assert!(!is_image("ghcr.io/org/app@sha256:0a"));
        assert!(!is_image(&"a".repeat(601)));
    }
}
