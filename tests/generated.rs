//! Committed files that the binary writes are what it writes now.

use std::path::Path;
use std::process::Command;

#[test]
fn manifests_crds_and_schema_are_current() {
    for (command, file) in [
        ("crds", "kubernetes/crds.yaml"),
        ("manifests", "kubernetes/couchestor.yaml"),
        ("manifests --monitoring", "kubernetes/monitoring.yaml"),
        ("schema", "kubernetes/couchestor.schema.json"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .args(command.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success());
        let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let written = String::from_utf8(output.stdout).unwrap();
        assert!(
            committed == written,
            "{file} is old: run `couchestor {command} > {file}`"
        );
    }
}
