//! `status`: sources, proposals and migrations.

use super::table::table;
use super::{ClusterArguments, Failed, Output, data, value};
use crate::io::cluster::Cluster;
use crate::model::conditions;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::Phase;
use crate::model::kinds::{PolicySource, VolumeMigration};
use serde_json::json;
use std::time::Duration;

/// Pause between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// Options of `status`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Look again every two seconds, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// `status`.
pub async fn status(arguments: Arguments) -> Result<u8, Failed> {
    let cluster = Cluster::connect(arguments.cluster.kubeconfig.as_deref()).await?;
    loop {
        let sources: Vec<PolicySource> = cluster.list().await?;
        let migrations: Vec<VolumeMigration> = cluster.list().await?;
        match arguments.output {
            Output::Text => print(&sources, &migrations),
            output => value(&json!({"sources": sources, "migrations": migrations}), output),
        }
        if !arguments.watch {
            let ready = sources.iter().all(|source| {
                source
                    .status
                    .as_ref()
                    .is_some_and(|status| conditions::is_true(&status.conditions, "Ready"))
            });
            let person = migrations.iter().any(|one| {
                one.status
                    .as_ref()
                    .is_some_and(|status| status.phase == Phase::NeedsPerson)
            });
            return Ok(u8::from(!ready || person));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn print(sources: &[PolicySource], migrations: &[VolumeMigration]) {
    let mut rows = Vec::new();
    let mut proposals = Vec::new();
    for source in sources {
        let name = format!(
            "{}/{}",
            source.metadata.namespace.as_deref().unwrap_or_default(),
            source.metadata.name.as_deref().unwrap_or_default()
        );
        let status = source.status.clone().unwrap_or_default();
        let ready = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        rows.push(vec![
            name,
            ready.map_or("Unknown".to_owned(), |condition| condition.status.clone()),
            status
                .last_applied_revision
                .unwrap_or_else(|| "-".to_owned())
                .chars()
                .take(20)
                .collect(),
            match status.conditions.iter().find(|one| one.type_ == "Measured") {
                // What is applied says nothing of moves, which nobody can decide on now.
                Some(blind) if blind.status == "False" => {
                    let said = ready.map_or("", |condition| condition.message.as_str());
                    format!("{said}; {}: {}", blind.reason, blind.message)
                }
                _ => ready.map_or("no turn yet".to_owned(), |condition| condition.message.clone()),
            },
        ]);
        for one in status.proposals {
            for step in &one.moves {
                proposals.push(vec![
                    format!("{}/{}", step.namespace, step.claim),
                    format!("{} → {}", step.from, step.to),
                    match (one.state, step.accepted) {
                        (ProposalState::Merged, false) => "Declined".to_owned(),
                        (state, _) => format!("{state:?}"),
                    },
                    one.url.clone().unwrap_or_else(|| one.branch.clone()),
                    one.since.clone(),
                ]);
            }
        }
    }
    data(&table(&["SOURCE", "READY", "APPLIED", "MESSAGE"], &rows));
    if !proposals.is_empty() {
        data("");
        data(&table(
            &["PROPOSAL", "MOVE", "STATE", "WHERE", "SINCE"],
            &proposals,
        ));
    }
    let rows: Vec<_> = migrations
        .iter()
        .map(|one| {
            let (spec, status) = (&one.spec, one.status.clone().unwrap_or_default());
            vec![
                one.metadata.name.clone().unwrap_or_default(),
                format!("{}/{}", spec.claim.namespace, spec.claim.name),
                format!("{} → {}", spec.from, spec.to),
                status.phase.as_str().to_owned(),
                status
                    .progress_percent
                    .map_or("-".to_owned(), |percent| format!("{percent} %")),
                status.message,
            ]
        })
        .collect();
    if !rows.is_empty() {
        data("");
        data(&table(
            &["MIGRATION", "CLAIM", "MOVE", "PHASE", "SYNCED", "MESSAGE"],
            &rows,
        ));
    }
}
