//! Backups against the real Velero: what is rendered is taken and works, and what `validate` refuses would have failed there.

use crate::support::objects::{list, text, until};
use crate::support::s3::S3;
use crate::support::{servers, velero};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What Velero makes of objects that `validate` refuses.
mod refusals;

/// Volumes, with the node agent played.
mod volumes;

/// Drills of the whole controller.
mod drill;

/// Restores that people ask for.
mod returned;

/// A policy folder on disk.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// The example's policies, and an overlay that sends its backups to a server here.
    pub(crate) fn of_the_example(url: &str) -> Self {
        fn copy(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let to = to.join(path.file_name().expect("an entry has a name"));
                match path.is_dir() {
                    true => copy(&path, &to),
                    false => drop(std::fs::copy(&path, &to).unwrap()),
                }
            }
        }
        let folder = Self(tempfile::tempdir().unwrap());
        copy(&root().join("policies"), &folder.0.path().join("policies"));
        // The root of a repository: an overlay may name what lies beside it.
        let made = Command::new("git")
            .args(["init", "-q"])
            .current_dir(folder.0.path())
            .status();
        assert!(made.expect("git is there").success());
        folder.write(
            "policies/here/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\npatches: [{path: location.yaml}]\n",
        );
        let location = format!(
            "apiVersion: storage.billyronks.io/v1\nkind: BackupLocation\nmetadata: {{name: s3, namespace: velero}}\n\
             spec: {{endpoint: \"{url}\", allowInsecure: true, validationFrequency: 1s}}\n"
        );
        folder.write("policies/here/location.yaml", &location);
        folder
    }

    /// A folder with one file.
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("policies/here/all.yaml", text);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn couchestor(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .current_dir(self.0.path())
            .args(arguments)
            .env("SOPS_AGE_KEY_FILE", root().join("policies/demo.agekey"))
            .output()
            .unwrap()
    }

    /// What the command renders of it.
    pub(crate) fn rendered(&self) -> Vec<Value> {
        let output = self.couchestor(&["render", "policies/here", "--show-secrets", "-o", "json"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The credentials that the example's Secret holds.
pub(crate) fn keys(rendered: &[Value]) -> (String, String) {
    let secret = rendered
        .iter()
        .find(|one| one["metadata"]["name"] == "velero-s3")
        .expect("the example has it");
    let cloud = text(secret, "/stringData/cloud");
    let of = |key: &str| {
        let line = cloud.lines().find_map(|line| line.trim().strip_prefix(key));
        let value = line.and_then(|rest| rest.trim().strip_prefix('=')).map(str::trim);
        value
            .unwrap_or_else(|| panic!("the example's Secret says no {key}"))
            .to_owned()
    };
    (of("aws_access_key_id"), of("aws_secret_access_key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_backups_work_and_a_backup_ends_up_in_the_bucket() {
    if servers::left_out("the_examples_backups_work_and_a_backup_ends_up_in_the_bucket") {
        return;
    }
    let _one = velero::EXAMPLE.lock().await;
    let (velero, _kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    let (access, secret) = keys(&Folder::of_the_example("http://127.0.0.1:1").rendered());
    let mut s3 = S3::start(&access, &secret, "openebs-backups");
    let mut rendered = Folder::of_the_example(&s3.url()).rendered();
    // The password is there before Velero is, and never changed: repositories of other tests could not be opened any more.
    rendered.retain(|one| one["metadata"]["name"] != "velero-repo-credentials");
    let all = json!({"apiVersion": "v1", "kind": "List", "items": rendered});
    for namespace in ["database", "monitoring", "network"] {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        velero::cluster().kubectl(&["apply", "-f", "-"], &namespace);
    }
    let apply = || {
        velero::cluster().kubectl(
            &["apply", "--server-side", "--field-manager=couchestor", "-f", "-"],
            &all.to_string(),
        )
    };
    apply();

    velero.located(&client, "s3", "Available").await;
    let schedule = velero.path("schedules", "daily-backup");
    let enabled = |one: &Value| one["status"]["phase"] == "Enabled";
    until(&client, &schedule, "the example's schedule is Enabled", enabled).await;

    // What is backed up.
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: database}\ndata: {colour: blue}\n";
    velero::cluster().kubectl(&["apply", "-f", "-"], config);
    velero.command(&["backup", "create", "example-1", "--from-schedule", "daily-backup"]);
    let backup = velero.ended(&client, "backups", "example-1").await;
    assert_eq!(text(&backup, "/status/phase"), "Completed", "{backup:#?}");
    assert_eq!(
        text(&backup, "/metadata/labels/storage.billyronks.io~1backup-policy"),
        "daily"
    );
    let kept = s3.keys("openebs-backups", "backups/example-1/");
    for part in [
        "example-1.tar.gz",
        "velero-backup.json",
        "example-1-logs.gz",
        "example-1-volumeinfo.json.gz",
    ] {
        assert!(
            kept.contains(&format!("backups/example-1/{part}")),
            "{part} is not among {kept:?}"
        );
    }

    // It comes back, into another namespace.
    velero::cluster().kubectl(
        &["delete", "configmap", "settings", "--namespace", "database"],
        "",
    );
    let restore = json!({"backupName": "example-1", "includedNamespaces": ["database"], "namespaceMapping": {"database": "example-restored"}});
    velero
        .make(&client, "Restore", "example-1", restore)
        .await
        .unwrap();
    let restore = velero.ended(&client, "restores", "example-1").await;
    assert_eq!(text(&restore, "/status/phase"), "Completed", "{restore:#?}");
    let restored = until(
        &client,
        "/api/v1/namespaces/example-restored/configmaps/settings",
        "the copy",
        |_| true,
    )
    .await;
    assert_eq!(restored["data"]["colour"], "blue");

    // The server goes: Velero says so, and a backup fails at once and says why. It comes back, and all is well.
    s3.go();
    let location = velero.located(&client, "s3", "Unavailable").await;
    assert!(
        text(&location, "/status/message").contains("connection refused"),
        "{location:#?}"
    );
    velero.command(&["backup", "create", "example-2", "--from-schedule", "daily-backup"]);
    let backup = velero.ended(&client, "backups", "example-2").await;
    assert_eq!(text(&backup, "/status/phase"), "FailedValidation");
    assert!(
        backup["status"]["validationErrors"]
            .to_string()
            .contains("Unavailable status"),
        "{backup:#?}"
    );
    s3.come_back();
    velero.located(&client, "s3", "Available").await;
    velero.command(&["backup", "create", "example-3", "--from-schedule", "daily-backup"]);
    let backup = velero.ended(&client, "backups", "example-3").await;
    assert_eq!(text(&backup, "/status/phase"), "Completed", "{backup:#?}");

    // Velero writes into these objects, and nothing that we rendered is among what it writes.
    let before = velero_specs(&client, velero).await;
    apply();
    assert_eq!(velero_specs(&client, velero).await, before);
    for object in rendered
        .iter()
        .filter(|object| text(object, "/apiVersion") == "velero.io/v1")
    {
        let kind = format!("{}s", text(object, "/kind").to_lowercase());
        let seen = until(
            &client,
            &velero.path(&kind, text(object, "/metadata/name")),
            "what we applied",
            |_| true,
        )
        .await;
        assert!(
            holds(&seen["spec"], &object["spec"]),
            "{:#?}\nof\n{:#?}",
            seen["spec"],
            object["spec"]
        );
    }
}

/// Locations and schedules as they are, by name.
async fn velero_specs(client: &kube::Client, velero: &velero::Velero) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (kind, name) in [("backupstoragelocations", "s3"), ("schedules", "daily-backup")] {
        let mine = list(client, velero.path(kind, "").trim_end_matches('/')).await;
        let mine = mine.into_iter().filter(|one| text(one, "/metadata/name") == name);
        all.extend(mine.map(|one| (kind.to_owned(), one["spec"].clone())));
    }
    all
}

/// Whether all that `asked` says is so in `seen`; durations are written in more than one way.
fn holds(seen: &Value, asked: &Value) -> bool {
    match (seen, asked) {
        (Value::Object(seen), Value::Object(asked)) => asked
            .iter()
            .all(|(key, asked)| seen.get(key).is_some_and(|seen| holds(seen, asked))),
        (Value::String(seen), Value::String(asked)) => {
            seen == asked || seen.trim_end_matches("0m0s") == asked
        }
        _ => seen == asked,
    }
}
