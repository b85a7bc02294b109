//! The product's own controller, as the demo starts and stops it.

use super::super::{Failed, about};
use crate::sim::world::Running;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the controller may take to stop: it ends the turn that it is in.
const STOP_MAX: Duration = Duration::from_secs(20);

/// The controller as a process.
pub(super) struct Controller {
    child: tokio::process::Child,
    log: PathBuf,
}

impl Controller {
    /// Starts it; its log goes into the folder.
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo starts the product's own controller as its users do"
    )]
    pub(super) fn start(folder: &Path, kubeconfig: &Path, running: &Running) -> Result<Self, Failed> {
        let log = folder.join("controller.log");
        let command = std::process::Command::new(std::env::current_exe()?);
        let child = tokio::process::Command::from(command)
            .arg("run")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                "--mayastor-url",
                &running.mayastor.url(),
                "--prometheus-url",
                &running.prometheus.url(),
            ])
            .arg("--cache-dir")
            .arg(folder.join("cache"))
            .args(["--allow-file-urls", "--sync-poll-interval-seconds", "0.5"])
            .args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"])
            .stderr(std::fs::File::create(&log).map_err(about(&log))?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Asks it to stop, as Kubernetes asks a pod's process, and waits: it leaves the turn that it is in. Says how it ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo starts the product's own controller as its users do, and ends it so"
    )]
    pub(super) async fn stop(&mut self) -> String {
        let asked = match self.child.id() {
            Some(id) => {
                let kill = std::process::Command::new("kill");
                let mut kill = tokio::process::Command::from(kill);
                let kill = kill.arg("-TERM").arg(id.to_string()).kill_on_drop(true);
                kill.status().await.is_ok_and(|status| status.success())
            }
            None => false,
        };
        let began = Instant::now();
        let ended = match asked {
            true => tokio::time::timeout(STOP_MAX, self.child.wait()).await,
            // There is no such command here, or no such process any more.
            false => {
                let _ = self.child.start_kill();
                Ok(self.child.wait().await)
            }
        };
        match ended {
            Ok(Ok(status)) if status.success() => {
                format!(
                    "the controller was asked to stop, and stopped after {:.1} s",
                    began.elapsed().as_secs_f64()
                )
            }
            Ok(Ok(status)) => format!("the controller ended with {status}"),
            Ok(Err(error)) => format!("the controller is lost: {error}"),
            Err(_) => {
                // Nothing is lost by it: that is what journals are for.
                let _ = self.child.kill().await;
                format!(
                    "the controller did not stop within {} s, and was killed",
                    STOP_MAX.as_secs()
                )
            }
        }
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
