//! What kustomize would fetch or run, and what else is refused by name: the words for each.

use super::situations::CONFIG;
use crate::support::say;

/// A kustomization, and words of what is said to it.
pub(super) const REFUSED: [(&str, &str); 30] = [
    (
        "resources: [\"https://example.org/x.yaml\"]\n",
        "remote bases are not read",
    ),
    (
        "resources: [\"github.com/org/repo/base?ref=v1\"]\n",
        "remote bases are not read",
    ),
    (
        "resources: [\"git@example.org:org/repo.git\"]\n",
        "remote bases are not read",
    ),
    (
        "components: [\"https://example.org/x\"]\n",
        "remote bases are not read",
    ),
    ("resources: [/etc/passwd]\n", "absolute paths are not read"),
    (
        "resources: [../../../etc/passwd]\n",
        "leads out of the repository",
    ),
    (
        "configMapGenerator: [{name: a, files: [../../x]}]\n",
        "leads out of the repository",
    ),
    ("patches: [{path: ../../x}]\n", "leads out of the repository"),
    ("helmCharts: [{name: x}]\n", "charts are not rendered"),
    ("helmGlobals: {chartHome: charts}\n", "`helmGlobals`"),
    ("helmGlobals: {chartHome: charts}\n", "charts are not rendered"),
    (
        "helmChartInflationGenerator: [{chartName: x}]\n",
        "`helmChartInflationGenerator`",
    ),
    (
        "helmChartInflationGenerator: [{chartName: x}]\n",
        "charts are not rendered",
    ),
    ("exec: {path: ./x.sh}\n", "`exec`"),
    ("exec: {path: ./x.sh}\n", "programs are not run"),
    ("containers: [{image: example.org/x}]\n", "`containers`"),
    ("containers: [{image: example.org/x}]\n", "programs are not run"),
    ("crds: [x.yaml]\n", "`crds`"),
    ("crds: [x.yaml]\n", "it only tells kustomize of name references"),
    ("generators: [x.yaml]\n", "plugins are not run"),
    ("transformers: [x.yaml]\n", "plugins are not run"),
    ("validators: [x.yaml]\n", "plugins are not run"),
    ("metadata: {name: x}\n", "nothing reads it"),
    (
        "buildMetadata: [transformerAnnotations]\n",
        "only `originAnnotations`",
    ),
    ("vars: [{name: X}]\n", "use replacements"),
    ("openapi: {path: x}\n", "other schemas are not read"),
    ("configurations: [x.yaml]\n", "configurations of transformers"),
    ("resorces: [c.yaml]\n", "did you mean `resources`?"),
    ("buildMetadata: [managedByLabel]\n", "only `originAnnotations`"),
    ("resources: [c.yaml]\n---\nresources: [c.yaml]\n", "a second one"),
];

#[test]
fn what_kustomize_would_fetch_or_run_is_refused_by_name() {
    say(&format!(
        "{} kustomizations refused by name, each with a hint",
        REFUSED.len()
    ));
    for (text, words) in REFUSED {
        let mut files = couchestor::formats::overlay::InMemory::default();
        files.add("over/kustomization.yaml", text);
        files.add("over/c.yaml", CONFIG);
        let (_, diagnostics) = couchestor::formats::overlay::build("over", &files);
        let told: Vec<String> = diagnostics
            .iter()
            .map(|one| format!("{one} {}", one.help))
            .collect();
        assert!(told.iter().any(|one| one.contains(words)), "{text}: {told:?}");
        // Whoever is refused is told what to do, each time.
        let silent = diagnostics.iter().find(|one| one.help.trim().is_empty());
        assert!(silent.is_none(), "{text}: no hint with {silent:?}");
        assert!(
            !couchestor::formats::overlay::needed_files("over", &files)
                .diagnostics
                .is_empty(),
            "{text} was not refused before any file was read"
        );
    }
}
