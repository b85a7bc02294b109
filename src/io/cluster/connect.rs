//! The way to a cluster: which files say where it is, and for how long it is waited for.

use super::{Cluster, ClusterError};
use crate::io::guard::Guard;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a command of a person's tries to get a connection: a server on another continent takes less than one.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a command of a person's waits for the next bytes of an answer. Both together are what somebody waits who mistyped an address.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

impl Cluster {
    /// Connects with a kubeconfig, or as a pod does, or with the user's own kubeconfig. Several files, with what `PATH` has between
    /// folders, are read as kubectl reads those of `KUBECONFIG`: one that is missing is passed over, and of two that say the same the
    /// first is right.
    ///
    /// # Errors
    /// [`ClusterError::Config`] when no usable configuration is found. Nothing is asked of the server yet.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Self, ClusterError> {
        Self::with(configuration(kubeconfig).await?, None)
    }

    /// The same for somebody who sits before the screen: a server that says nothing for some seconds is given up, and one that says
    /// "later" is not asked again and again.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_for_person(kubeconfig: Option<&Path>) -> Result<Self, ClusterError> {
        let mut config = configuration(kubeconfig).await?;
        config.connect_timeout = Some(CONNECT_PATIENCE);
        config.read_timeout = Some(ANSWER_PATIENCE);
        // Otherwise the time for which a connection was idle would count.
        config.reset_reader_on_write = true;
        // The client's own tries after a 503 take minutes.
        config.default_retry = false;
        Self::with(config, Some(ANSWER_PATIENCE))
    }

    /// Connects with the text of a kubeconfig.
    ///
    /// # Errors
    /// [`ClusterError::Config`] when the text is not a kubeconfig.
    pub async fn from_kubeconfig(text: &str) -> Result<Self, ClusterError> {
        let parsed = Kubeconfig::from_yaml(text).map_err(config_error)?;
        Self::with(chosen(parsed).await?, None)
    }

    fn with(config: Config, patience: Option<Duration>) -> Result<Self, ClusterError> {
        let url = &config.cluster_url;
        // Nothing of what stands before the host, which may be a password.
        let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let (scheme, host) = (
            url.scheme_str().unwrap_or("https"),
            url.host().unwrap_or_default(),
        );
        let server = format!("{scheme}://{host}{port}{}", url.path().trim_end_matches('/'));
        let client = Client::try_from(config).map_err(config_error)?;
        let reporter = kube::runtime::events::Reporter {
            controller: "couchestor".to_owned(),
            instance: None,
        };
        Ok(Self {
            events: kube::runtime::events::Recorder::new(client.clone(), reporter),
            client,
            server: server.into(),
            patience,
            requests: Arc::default(),
            discovery: Arc::default(),
            guard: Guard::default(),
        })
    }

    /// Where its API is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// That there was no answer, or none that could be read.
    pub(super) fn unreachable(&self, detail: String) -> ClusterError {
        ClusterError::Unreachable {
            server: self.server.to_string(),
            detail,
        }
    }

    /// What a client's error that is no answer means.
    pub(super) fn unanswered(&self, error: &kube::Error) -> ClusterError {
        self.unreachable(match self.patience.filter(|_| is_timeout(error)) {
            Some(patience) => format!(
                "nothing came for {} seconds ({})",
                patience.as_secs(),
                chain(error)
            ),
            None => chain(error),
        })
    }
}

async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ClusterError> {
    match kubeconfig {
        Some(path) => chosen(read(path)?).await,
        None => Config::infer().await.map_err(config_error),
    }
}

/// The cluster and user of the current context.
async fn chosen(parsed: Kubeconfig) -> Result<Config, ClusterError> {
    Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .map_err(config_error)
}

/// A kubeconfig out of one file or several.
fn read(paths: &Path) -> Result<Kubeconfig, ClusterError> {
    // A name may hold a colon.
    let mut files: Vec<PathBuf> = match paths.exists() {
        true => vec![paths.to_owned()],
        false => std::env::split_paths(paths).collect(),
    };
    files.retain(|file| !file.as_os_str().is_empty());
    if files.len() > 1 {
        files.retain(|file| file.exists());
        if files.is_empty() {
            return Err(config_error(format!(
                "none of the files {} exists",
                paths.display()
            )));
        }
    }
    files.iter().try_fold(Kubeconfig::default(), |merged, file| {
        let wrong = |error: KubeconfigError| {
            let (said, name) = (error.to_string(), file.display().to_string());
            config_error(match said.contains(&name) {
                true => said,
                false => format!("{name}: {said}"),
            })
        };
        merged
            .merge(Kubeconfig::read_from(file).map_err(wrong)?)
            .map_err(wrong)
    })
}

pub(super) fn config_error(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Config {
        detail: error.to_string(),
    }
}

/// Whether it was our own patience that ended.
fn is_timeout(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        let io = one.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = one.source();
    }
    false
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(name: &str, current: bool) -> String {
        let current = if current { name } else { "" };
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {current:?}\nclusters: [{{name: {name}, cluster: {{server: 'http://{name}.test:1'}}}}]\nusers: [{{name: {name}, user: {{}}}}]\ncontexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n"
        )
    }

    #[tokio::test]
    async fn several_kubeconfigs_are_read_as_kubectl_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let contexts = file("contexts", "apiVersion: v1\nkind: Config\ncurrent-context: b\n");
        let (a, b) = (
            file("a", &kubeconfig("a", true)),
            file("b", &kubeconfig("b", true)),
        );
        let colon = file("with:colon", &kubeconfig("c", true));
        let gone = folder.path().join("gone").display().to_string();
        for (paths, server) in [
            (a.clone(), "http://a.test:1"),
            (format!("{a}:{b}"), "http://a.test:1"),
            (format!("{b}:{a}"), "http://b.test:1"),
            (format!("{contexts}:{a}:{b}"), "http://b.test:1"),
            (format!(":{gone}::{b}:"), "http://b.test:1"),
            (colon, "http://c.test:1"),
        ] {
            let cluster = Cluster::connect(Some(Path::new(&paths))).await.unwrap();
            assert_eq!(cluster.server(), server, "{paths}");
        }
        for paths in [gone.clone(), format!("{gone}:{gone}2")] {
            let error = Cluster::connect(Some(Path::new(&paths))).await.err().unwrap();
            assert!(error.to_string().contains(&gone), "{error}");
        }
    }

    #[tokio::test]
    async fn a_password_in_the_address_of_a_server_is_not_told() {
        let text = kubeconfig("a", true).replace("http://a.test", "http://me:canary@a.test");
        let cluster = Cluster::from_kubeconfig(&text).await.unwrap();
        assert_eq!(cluster.server(), "http://a.test:1");
    }
}
