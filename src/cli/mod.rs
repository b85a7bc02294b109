//! What a user types: arguments, and one file per command. Data goes to stdout, words go to stderr.

use crate::io::cluster::Cluster;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The controller.
mod run;

/// The main job on this machine, start to finish.
mod demo;

/// One volume explained.
mod explanation;

/// Policy folders: validate and render.
mod folder;

/// Findings, shown.
mod report;

/// What people need beside the sops command.
mod secrets;

/// What would happen, and why everything else would not.
mod plan;

/// What policies would have done.
mod backtest;

/// Sources, proposals and migrations.
mod status;

/// The screen of `status --watch`.
mod screen;

/// Backups, shown.
mod backups;

/// What people say of moves.
mod migrations;

/// Restore drills.
mod drill;

/// Restores that people ask for.
mod restore;

/// Who decided what, out of Git alone.
mod audit;

/// CRDs and install manifests.
mod generate;

/// What watches couchestor.
mod monitoring;

/// JSON schemas for editors.
mod schema;

/// Simulated servers from a world file.
mod simulate;

/// Tables for people.
mod table;

/// Variables of post-build substitution.
mod variables;

/// GitOps controller for Kubernetes storage: tiers, backups and volume moves from a Git repository.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Start with `couchestor demo`: it shows the whole job on this machine in under a minute."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// For machines and kubectl.
    Yaml,
    /// For forges and editors; `validate` only.
    Sarif,
}

#[derive(Subcommand)]
enum Command {
    /// Show the main job on this machine, from a commit to a moved volume, against simulated servers.
    #[command(
        after_help = "Examples:\n  couchestor demo\n  couchestor demo --step\n  couchestor demo --keep /tmp/demo"
    )]
    Demo(demo::Arguments),
    /// Run the controller.
    #[command(
        after_help = "Examples:\n  couchestor run --prometheus-url http://prometheus.monitoring:9090\n  couchestor run --kubeconfig ~/.kube/config --dry-run"
    )]
    Run(Box<run::Arguments>),
    /// Name every mistake of a policy folder: file, line, column, rule, what to do.
    #[command(
        after_help = "Examples:\n  couchestor validate policies/homelab\n  couchestor validate policies/homelab -o json\n  couchestor validate policies/homelab -o sarif > findings.sarif\n  couchestor validate policies/homelab --source clusters/home/couchestor.yaml --substitute RANK=10\n\nExit codes: 0 nothing found, 1 mistakes or warnings."
    )]
    Validate(folder::FolderArguments),
    /// Print the objects that a policy folder would apply, in the order of applying.
    #[command(
        after_help = "Examples:\n  couchestor render policies/homelab\n  couchestor render policies/homelab --show-secrets --age-key ~/.config/sops/age/keys.txt"
    )]
    Render(folder::RenderArguments),
    /// Look after encrypted files: who opens them, what should be encrypted and is not, what changed in them.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Say what would change, be proposed and be moved, and why everything else would not.
    #[command(
        after_help = "Examples:\n  couchestor plan policies/homelab --kubeconfig ~/.kube/config --prometheus-url http://localhost:9090 --mayastor-url http://localhost:8081\n  couchestor plan policies/homelab --observation world.json\n\nExit codes: 0 nothing to do, 2 changes, 1 error."
    )]
    Plan(plan::Arguments),
    /// Replay recorded load through the policies: what they would have moved, beside doing nothing and other ways.
    #[command(
        after_help = "Examples:\n  couchestor backtest policies/homelab --kubeconfig ~/.kube/config --prometheus-url http://localhost:9090 --mayastor-url http://localhost:8081\n  couchestor plan policies/homelab --kubeconfig ~/.kube/config --record world.json\n  couchestor backtest policies/homelab --observation world.json --prometheus-url http://localhost:9090 --days 7 --html backtest.html\n  couchestor backtest policies/homelab --observation world.json --prometheus-url http://localhost:9090 --step 15m --approval-delay 0 -o json"
    )]
    Backtest(Box<backtest::Arguments>),
    /// Show sources, proposals and migrations.
    #[command(
        after_help = "Examples:\n  couchestor status\n  couchestor status --volumes\n  couchestor status --watch\n\nExit codes: 0 all ready, 1 something is not."
    )]
    Status(status::Arguments),
    /// See moves, hold them, take them back, have them tried again.
    #[command(
        after_help = "Examples:\n  couchestor migrations\n  couchestor migrations show db-data-0-1a2b3c4d\n  couchestor migrations pause db-data-0-1a2b3c4d --why 'the new disks come on Monday'\n  couchestor migrations resume db-data-0-1a2b3c4d\n  couchestor migrations cancel db-data-0-1a2b3c4d\n  couchestor migrations retry db-data-0-1a2b3c4d\n  couchestor migrations resume-all\n\nAll moves of a source stand still while a file FREEZE lies in its folder, or while the PolicySource carries the annotation\nstorage.billyronks.io/paused. Exit codes: 0 done, 1 not."
    )]
    Migrations(migrations::Arguments),
    /// Have a backup restored in a drill now, and see what drills have proved.
    #[command(
        subcommand,
        after_help = "Examples:\n  couchestor drill list\n  couchestor drill run daily\n  couchestor drill run daily --of database --wait\n\nExit codes: 0 done, 1 not, or with --wait: the drill failed."
    )]
    Drill(drill::Command),
    /// Bring a namespace or some of its claims back from a backup.
    #[command(
        subcommand,
        after_help = "Examples:\n  couchestor restore plan database --claim data --replace\n  couchestor restore run database --claim data --replace\n  couchestor restore abort 1a2b3c4d\n\nExit codes: 0 done, 1 refused or not done."
    )]
    Restore(restore::Command),
    /// Show who decided what, when, from which commit, with which outcome: out of Git alone.
    #[command(
        after_help = "Examples:\n  couchestor audit --repository https://git.example.org/home/ops.git\n  couchestor audit --repository /srv/git/ops.git -o json"
    )]
    Audit(audit::Arguments),
    /// Start simulated servers from a world file, and say how to reach them.
    #[command(
        after_help = "Examples:\n  couchestor simulate policies/world.yaml\n  couchestor simulate policies/world.yaml --kubeconfig second.kubeconfig"
    )]
    Simulate(simulate::Arguments),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Print the install manifests.
    #[command(
        after_help = "Examples:\n  couchestor manifests > couchestor.yaml\n  couchestor manifests --monitoring > monitoring.yaml"
    )]
    Manifests(generate::Arguments),
    /// Print the JSON schema of all kinds or of one, for editors.
    #[command(
        after_help = "Examples:\n  couchestor schema > couchestor.schema.json\n  couchestor schema StoragePolicy\n\nIn a file, before each document:\n  # yaml-language-server: $schema=../couchestor.schema.json"
    )]
    Schema(schema::Arguments),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How to reach a cluster.
#[derive(Args, Clone, Debug)]
pub struct ClusterArguments {
    /// The kubeconfig, or several with colons between them, as kubectl reads KUBECONFIG; without it the pod's service account, or the
    /// user's own kubeconfig.
    #[arg(long, env = "KUBECONFIG", value_parser = clap::builder::OsStringValueParser::new())]
    kubeconfig: Option<OsString>,
}

impl ClusterArguments {
    /// A variable that is set to nothing is not set.
    fn files(&self) -> Option<&Path> {
        let given = self.kubeconfig.as_deref().filter(|given| !given.is_empty());
        given.map(Path::new)
    }

    /// A cluster that somebody waits for: whether it answers is told within seconds.
    async fn connect(&self) -> Result<Cluster, Failed> {
        Ok(Cluster::connect_for_person(self.files()).await?)
    }

    /// A cluster that is waited for.
    async fn patient(&self) -> Result<Cluster, Failed> {
        Ok(Cluster::connect(self.files()).await?)
    }
}

/// How to reach what is measured and moved.
#[derive(Args, Clone, Debug)]
pub struct EngineArguments {
    /// Prometheus; without it no volume is hot or cold.
    #[arg(long, env = "PROMETHEUS_URL")]
    pub prometheus_url: Option<String>,
    /// Mayastor's REST API.
    #[arg(
        long,
        env = "MAYASTOR_URL",
        default_value = "http://openebs-api-rest.openebs:8081"
    )]
    pub mayastor_url: String,
}

/// What ends a command early. The text says what to do.
#[derive(Debug)]
pub struct Failed(pub String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What went wrong with a file, with its name: the system's own words name none.
pub(crate) fn about(path: &Path) -> impl Fn(std::io::Error) -> Failed {
    move |error| Failed(format!("{}: {error}", path.display()))
}

/// Runs a command and gives its exit code.
pub fn main(cli: Cli) -> ExitCode {
    // The first provider that is installed serves every TLS client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match cli.command {
        Command::Crds => generate::crds(),
        Command::Manifests(arguments) => generate::manifests(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "couchestor", &mut script);
            data(&String::from_utf8_lossy(&script));
            Ok(0)
        }
        Command::Validate(arguments) => folder::validate(&arguments),
        Command::Render(arguments) => folder::render(&arguments),
        Command::Secrets(command) => secrets::secrets(&command),
        Command::Demo(arguments) => block_on(demo::demo(arguments)),
        Command::Run(arguments) => block_on(run::run(*arguments)),
        Command::Plan(arguments) => block_on(plan::plan(arguments)),
        Command::Backtest(arguments) => block_on(backtest::backtest(*arguments)),
        Command::Status(arguments) => block_on(status::status(arguments)),
        Command::Migrations(arguments) => block_on(migrations::migrations(arguments)),
        Command::Drill(command) => block_on(drill::drill(command)),
        Command::Restore(command) => block_on(restore::restore(command)),
        Command::Audit(arguments) => block_on(audit::audit(arguments)),
        Command::Simulate(arguments) => block_on(simulate::simulate(arguments)),
    };
    if let Some(error) = LOST.get() {
        words(&format!("couchestor: the output could not be written: {error}"));
        return ExitCode::from(1);
    }
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Failed(message)) => {
            words(&format!("couchestor: {message}"));
            ExitCode::from(1)
        }
    }
}

fn block_on(work: impl Future<Output = Result<u8, Failed>>) -> Result<u8, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // A Git call whose server hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

/// Writes data to stdout. A closed pipe ends the output, not the command; anything else that goes wrong makes it fail.
pub(crate) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => CLOSED.store(true, Ordering::Relaxed),
        Err(error) => drop(LOST.set(error.to_string())),
        Ok(()) => {}
    }
}

/// Whether nobody reads stdout any more: what would print for ever ends.
pub(crate) fn nobody_reads() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Why output was lost, such as a full disk: then the command has failed, whatever it found.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes words to stderr.
pub(crate) fn words(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Writes a value as JSON or YAML.
pub(crate) fn value(value: &serde_json::Value, output: Output) {
    match output {
        Output::Yaml => data(&crate::formats::yaml::emit::emit(value)),
        Output::Json | Output::Text | Output::Sarif => {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            data(&crate::formats::yaml::emit::marked(text));
        }
    }
}

/// A number with its noun: `1 error`, `2 errors`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}

/// Refuses SARIF where there are no findings about lines to write.
pub(crate) fn no_sarif(output: Output) -> Result<(), Failed> {
    match output {
        Output::Sarif => Err(Failed("only `validate` writes SARIF; use -o json".to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        for (number, words) in [(0, "0 errors"), (1, "1 error"), (2, "2 errors")] {
            assert_eq!(counted(number, "error"), words);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
