//! Links among the files of a folder.

use super::{MAP, folder, run, said};
use std::os::unix::fs::symlink;

#[test]
fn a_link_to_a_folder_is_told_of_once_where_its_files_would_have_been_read() {
    let folder = folder(&[
        ("away/b.yaml", MAP),
        ("p/a.yaml", MAP),
        ("p/own/kustomization.yaml", "resources: []\n"),
        ("q/kustomization.yaml", "resources: [a.yaml]\n"),
        ("q/a.yaml", MAP),
        ("r/kustomization.yaml", "resources: [a.yaml, linked]\n"),
        ("r/a.yaml", MAP),
    ]);
    let root = folder.path();
    for link in ["p/linked", "p/.hidden", "q/linked", "r/linked"] {
        symlink("../away", root.join(link)).unwrap();
    }
    symlink("../../away", root.join("p/own/linked")).unwrap();
    std::fs::create_dir_all(root.join("q/assignments/db")).unwrap();
    symlink("../../../away", root.join("q/assignments/db/linked")).unwrap();
    let warning = |path: &str| {
        format!(
            "warning[linked-folder]: {path} is a symbolic link to a folder, and nothing behind it is read"
        )
    };
    for (path, links) in [
        ("p", &["linked"][..]),
        // What a kustomization leaves out is left out whatever it is.
        ("q", &["assignments/db/linked"]),
        ("p/own", &[]),
    ] {
        let validated = said(&run(root, &["validate", path]));
        assert_eq!(
            validated.matches("linked-folder").count(),
            links.len(),
            "{validated}"
        );
        let planned = said(&run(root, &["plan", path, "--observation", "gone"]));
        for link in links {
            assert!(validated.contains(&warning(link)), "{validated}");
            assert_eq!(planned.matches(&warning(link)).count(), 1, "{planned}");
        }
    }
    // One that is named as a resource is no warning: what was asked for is not there.
    let named = said(&run(root, &["validate", "r"]));
    assert!(named.contains("error[not-a-file]"), "{named}");
    // A path that is a link itself is followed.
    symlink("away", root.join("here")).unwrap();
    let here = run(root, &["validate", "here"]);
    assert!(here.status.success(), "{}", said(&here));
}
