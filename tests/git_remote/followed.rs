//! A controller follows remotes with what the Secrets of its source say, and shows a wrong credential once a turn.

use super::github_app::Served;
use super::proxy::{Kind, LOGIN, Way};
use super::tls::{Authority, serve_tls};
use super::{BASIC, place, ssh};
use crate::support::canary::Canary;
use crate::support::follow::Follow;
use serde_json::{Value, json};
use std::time::Duration;

const CLASS: &str = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: one}\nprovisioner: local.csi.openebs.io\n";

/// Longer than all the tests here: each turn is one that they asked for.
const NEVER: &str = "1h";

/// How long nothing more may happen after a turn.
const SILENCE: Duration = Duration::from_millis(1500);

/// The path of the person's repository below the folder that is served.
fn of_the_person(url: &str) -> String {
    url.replace("/repository.git", "/repository/.git")
}

fn applied(follow: &Follow) -> bool {
    let all = follow.running.kubernetes.list("StorageClass");
    all.iter().any(|class| class["metadata"]["name"] == "one")
}

/// Puts a Secret while no controller runs: one that still waits for it would take a turn with it before the test counts turns.
async fn secret(follow: &mut Follow, name: &str, data: Value) {
    follow.halt().await;
    follow.secret(name, data);
}

/// Gives the source its spec and starts the controller anew; waits for what it says of itself.
async fn turn(follow: &mut Follow, spec: Value, words: &[&str]) -> String {
    follow.halt().await;
    let mut all = json!({"interval": NEVER});
    for (key, value) in spec.as_object().expect("fields") {
        all[key] = value.clone();
    }
    follow.source(all);
    follow.run().await;
    follow.until("Ready", words).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_the_secret_opens_a_source_over_tls_and_a_wrong_one_is_shown_once_a_turn() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let ours = Authority::new();
    let (url, came) = serve_tls(follow.folder.path(), BASIC, &ours, None).await;
    let spec = json!({"url": of_the_person(&url), "secretRef": {"name": "git"}});
    let pairs = |password: &str| json!({"username": "ops", "password": password, "ca.crt": ours.pem});
    turn(&mut follow, spec.clone(), &["False/SecretNotFound", "/git"]).await;
    assert!(came.lock().unwrap().is_empty());

    let canary = Canary::new();
    secret(&mut follow, "git", pairs(&canary.secret)).await;
    let said = turn(
        &mut follow,
        spec.clone(),
        &["False/AuthenticationFailed", "spec.secretRef"],
    )
    .await;
    canary.assert_absent(&format!("{said}{}", follow.status()));
    tokio::time::sleep(SILENCE).await;
    assert_eq!(came.lock().unwrap().len(), 1, "one turn, one try");
    assert!(
        follow
            .condition("Stalled")
            .starts_with("True/AuthenticationFailed")
    );
    assert!(!applied(&follow));

    secret(&mut follow, "git", pairs("right")).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert!(applied(&follow));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_of_the_secret_opens_a_source_and_a_wrong_one_is_shown_once_a_turn() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let ours = Authority::new();
    let (url, came) = serve_tls(follow.folder.path(), "Bearer t0ken", &ours, None).await;
    let spec = json!({"url": of_the_person(&url), "secretRef": {"name": "git"}});
    let pairs = |token: &str| json!({"bearerToken": token, "ca.crt": ours.pem});
    let canary = Canary::new();
    secret(&mut follow, "git", pairs(&canary.word)).await;
    let words = ["False/AuthenticationFailed", "spec.secretRef"];
    let said = turn(&mut follow, spec.clone(), &words).await;
    canary.assert_absent(&format!("{said}{}", follow.status()));
    tokio::time::sleep(SILENCE).await;
    let shown = came.lock().unwrap().clone();
    assert_eq!(shown, [format!("Bearer {}", canary.word)], "one turn, one try");
    assert!(!applied(&follow));

    secret(&mut follow, "git", pairs("t0ken")).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert!(applied(&follow));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_of_the_secret_opens_a_source_that_demands_one() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let (ours, clients) = (Authority::new(), Authority::new());
    let (url, _) = serve_tls(follow.folder.path(), "", &ours, Some(&clients)).await;
    let spec = json!({"url": of_the_person(&url), "secretRef": {"name": "git"}});
    let pairs = |(certificate, key): &(String, String)| json!({"ca.crt": ours.pem, "tls.crt": certificate, "tls.key": key});
    secret(&mut follow, "git", json!({"ca.crt": ours.pem})).await;
    turn(&mut follow, spec.clone(), &["False/", "tls.crt and tls.key"]).await;
    let strange = Authority::new().issue(&["eve"]);
    secret(&mut follow, "git", pairs(&strange)).await;
    let said = turn(&mut follow, spec.clone(), &["False/", "tls.crt and tls.key"]).await;
    assert!(!said.contains("PRIVATE KEY") && !applied(&follow), "{said}");

    secret(&mut follow, "git", pairs(&clients.issue(&["couchestor"]))).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert!(applied(&follow));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_goes_by_the_proxy_of_its_secret() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let ours = Authority::new();
    let (url, came) = serve_tls(follow.folder.path(), BASIC, &ours, None).await;
    let way = Way::start(Kind::Http, &[place(&url)], Some(LOGIN)).await;
    // A name that only the proxy knows.
    let url = of_the_person(&url).replace("127.0.0.1", "git.invalid");
    let proxy = |password: &str| {
        let address = format!("http://{}", way.address);
        json!({"address": address, "username": LOGIN.0, "password": password})
    };
    let git = json!({"username": "ops", "password": "right", "ca.crt": ours.pem});
    secret(&mut follow, "git", git).await;
    let mut spec = json!({"url": url, "secretRef": {"name": "git"}});
    turn(&mut follow, spec.clone(), &["False/GitOperationFailed"]).await;
    assert!(way.asked().is_empty());

    spec["proxySecretRef"] = json!({"name": "way"});
    let canary = Canary::new();
    secret(&mut follow, "way", proxy(&canary.secret)).await;
    let words = ["False/AuthenticationFailed", "spec.proxySecretRef"];
    let said = turn(&mut follow, spec.clone(), &words).await;
    canary.assert_absent(&format!("{said}{}", follow.status()));
    tokio::time::sleep(SILENCE).await;
    assert_eq!(way.asked().len(), 1, "one turn, one try");
    assert!(came.lock().unwrap().is_empty());

    secret(&mut follow, "way", proxy(LOGIN.1)).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert!(!way.asked().is_empty() && applied(&follow));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_followed_over_ssh_with_the_identity_of_its_secret() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let server = ssh::Server::start();
    let url = server.url(&follow.folder.path().join("repository/.git"));
    let spec = json!({"url": url, "secretRef": {"name": "git"}});
    let pairs =
        |key: &str, host: &str| json!({"identity": server.read(key), "known_hosts": server.known(host)});
    let offered = || server.read("log").matches("Failed publickey").count();

    secret(&mut follow, "git", pairs("eve", "host_ed25519")).await;
    turn(&mut follow, spec.clone(), &["False/AuthenticationFailed"]).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(offered(), 1, "one turn, one try");

    // A host that is another one learns nothing of the key.
    secret(&mut follow, "git", pairs("anna", "eve")).await;
    turn(
        &mut follow,
        spec.clone(),
        &["False/HostKeyFailed", "is another one"],
    )
    .await;
    assert!(!server.read("log").contains("Accepted publickey") && !applied(&follow));

    let mut pairs = pairs("phrase", "host_ed25519");
    pairs["password"] = json!("open sesame");
    secret(&mut follow, "git", pairs).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert!(applied(&follow));
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_github_is_followed_with_the_tokens_of_its_app() {
    let mut follow = Follow::new().await;
    let tip = follow.commit("p/a.yaml", CLASS, &[]);
    let served = Served::of(follow.folder.path()).await;
    let mut spec = json!({"url": of_the_person(&served.url), "provider": "github"});
    turn(
        &mut follow,
        spec.clone(),
        &["False/InvalidSpec", "spec.provider", "spec.secretRef"],
    )
    .await;

    spec["secretRef"] = json!({"name": "app"});
    let app = json!({"githubAppID": "42", "githubAppInstallationID": "7", "githubAppPrivateKey": served.private,
        "githubAppBaseURL": served.base});
    let mut incomplete = app.clone();
    incomplete.as_object_mut().expect("fields").remove("githubAppID");
    secret(&mut follow, "app", incomplete).await;
    turn(
        &mut follow,
        spec.clone(),
        &["False/InvalidCredentials", "no key githubAppID"],
    )
    .await;
    assert_eq!(served.given(), 0);

    secret(&mut follow, "app", app).await;
    turn(&mut follow, spec, &["True", &tip]).await;
    assert_eq!(served.given(), 1);
    assert!(applied(&follow));
    follow.halt().await;
}
