//! `restore`: a namespace or some of its claims back from a backup, as a person needs it at two in the morning.

use super::{ClusterArguments, Failed, Output};
use crate::model::restores::Asked;

/// What would be done.
mod plan;

/// What is done.
mod run;

/// What is asked for, by `plan` and `run` alike.
#[derive(clap::Args, Debug)]
pub struct AskedFor {
    /// The namespace.
    namespace: String,
    /// A claim of it; may be given several times. Without it all that the backup holds of the namespace.
    #[arg(long = "claim", value_name = "NAME")]
    claims: Vec<String>,
    /// The Backup; without it the newest one that holds all of it.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Choose among the backups of this BackupPolicy only.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Give claims that exist a new volume with the data of the backup; the old volume is kept.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    cluster: ClusterArguments,
}

impl AskedFor {
    fn asked(&self) -> Asked {
        Asked {
            namespace: self.namespace.clone(),
            claims: self.claims.iter().cloned().collect(),
            backup: self.backup.clone(),
            policy: self.policy.clone(),
            replace: self.replace,
        }
    }
}

/// `restore` and what follows it.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Say what a restore would do, and why it would be refused; nothing is changed.
    #[command(
        after_help = "Examples:\n  couchestor restore plan database\n  couchestor restore plan database --claim data --replace\n  couchestor restore plan database --backup daily-backup-20261129020000 -o json\n\nExit codes: 0 it can be done, 1 it is refused."
    )]
    Plan {
        #[command(flatten)]
        asked: AskedFor,
        /// How to print.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Restore. Run again after whatever broke it off, it goes on where it was.
    #[command(
        after_help = "Examples:\n  couchestor restore run database\n  couchestor restore run database --claim data --replace --yes\n\nExit codes: 0 restored, 1 refused, failed or not ended in time; what stands is told."
    )]
    Run {
        #[command(flatten)]
        asked: AskedFor,
        /// Do not ask; needed where there is no terminal.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
    /// Take a restore back that has not ended: old volumes back under their claims, workloads up, Flux resumed.
    #[command(
        after_help = "Example:\n  couchestor restore abort 1a2b3c4d\n\nExit codes: 0 taken back, 1 not; what stands is told."
    )]
    Abort {
        /// The restore, by the id that `restore run` has told.
        id: String,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
}

/// How `run` and `abort` go about it.
#[derive(clap::Args, Debug)]
pub struct How {
    /// How long to wait for its end, a Go duration; the restore does not end with it, and goes on when it is run again.
    #[arg(long, default_value = "2h", value_name = "DURATION")]
    timeout: String,
    /// The image that stands in for workloads in the scratch namespace; it needs `sh` and `sleep`.
    #[arg(long, default_value = "docker.io/library/busybox:1.37")]
    image: String,
    /// How long `abort` leaves a `run` beside it to see that it is taken back.
    #[arg(long, default_value = "5s", hide = true)]
    settle: String,
}

/// `restore`.
pub async fn restore(command: Command) -> Result<u8, Failed> {
    match command {
        Command::Plan { asked, output } => {
            super::no_sarif(output)?;
            plan::print(&asked, output).await
        }
        Command::Run { asked, yes, how } => run::run(&asked, yes, &how).await,
        Command::Abort { id, how, cluster } => run::abort(&id, &how, &cluster.connect().await?).await,
    }
}
