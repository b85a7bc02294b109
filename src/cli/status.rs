//! `status`: sources, proposals, migrations and backups.

use super::backups;
use super::screen::Canvas;
use super::table::table;
use super::{ClusterArguments, Failed, Output, data, value};
use crate::io::cluster::Cluster;
use crate::model::conditions;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::volume_migration::Phase;
use crate::model::kinds::{BackupPolicy, PolicySource, StoragePolicy, VolumeMigration, WorkloadMove};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Whether the controller lives.
mod controller;

/// Assignments that wait.
mod waiting;

/// Moves of workloads.
mod workloads;

/// Pause between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// How wide to draw when nobody says.
const COLUMNS: u16 = 80;

/// Drawing narrower than this would cut off the names of claims.
const COLUMNS_MIN: u16 = 40;

/// Options of `status`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    controller: controller::ControllerArguments,
    /// Look again every two seconds and draw moves that run, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Say also why volumes are left alone, as far as their policies' statuses tell.
    #[arg(long, conflicts_with = "watch")]
    volumes: bool,
    /// How wide to draw; without it what COLUMNS says, else 80.
    #[arg(long)]
    columns: Option<u16>,
    /// How wide the terminal is. It was not written for us: what is no width is as good as nothing.
    #[arg(long, env = "COLUMNS", hide = true)]
    terminal_columns: Option<String>,
    /// The kind of terminal; one that is dumb is not drawn upon.
    #[arg(long, env = "TERM", hide = true)]
    term: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Arguments {
    fn columns(&self) -> u16 {
        let told = || self.terminal_columns.as_deref()?.trim().parse().ok();
        self.columns.or_else(told).unwrap_or(COLUMNS).max(COLUMNS_MIN)
    }
}

/// `status`.
pub async fn status(arguments: Arguments) -> Result<u8, Failed> {
    super::no_sarif(arguments.output)?;
    let cluster = arguments.cluster.connect().await?;
    if arguments.watch {
        return watch(&cluster, &arguments).await;
    }
    let (sources, migrations) = read(&cluster).await?;
    let silence = arguments.controller.silence(&cluster).await;
    // An older release has fewer kinds.
    let backups: Vec<BackupPolicy> = cluster.list_if_installed().await?;
    let workloads: Vec<WorkloadMove> = cluster.list_if_installed().await?;
    let waiting = waiting::all(&cluster).await?;
    let policies: Vec<StoragePolicy> = match arguments.volumes {
        true => cluster.list().await?,
        false => Vec::new(),
    };
    match arguments.output {
        Output::Text => {
            if let Some(silence) = &silence {
                data(&format!("{silence}\n"));
            }
            data(&overview(&sources));
            let backed_up = backups::listed(&backups, crate::io::clock::now());
            let moved = workloads::listed(&workloads);
            let waiting = waiting::listed(&waiting);
            let parts = [
                listed(&migrations),
                waiting,
                moved,
                backed_up,
                left_alone(&policies),
            ];
            for more in parts.iter().flatten() {
                data("");
                data(more);
            }
        }
        output => {
            let mut report = json!({
                "sources": sources, "migrations": migrations, "waiting": waiting, "workloadMoves": workloads, "backupPolicies": backups,
            });
            if arguments.volumes {
                report["policies"] = json!(policies);
            }
            if let Some(silence) = &silence {
                report["noController"] = json!(silence.trim_end());
            }
            value(&report, output);
        }
    }
    let waits = backups::are_unready(&backups) || workloads::needs_person(&workloads) || silence.is_some();
    Ok(judged(&sources, &migrations) | u8::from(waits))
}

async fn read(cluster: &Cluster) -> Result<(Vec<PolicySource>, Vec<VolumeMigration>), Failed> {
    Ok((cluster.list().await?, cluster.list().await?))
}

/// 1 when something is not ready or waits for a person; `status` says it too when no controller leads.
fn judged(sources: &[PolicySource], migrations: &[VolumeMigration]) -> u8 {
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
    u8::from(!ready || person)
}

/// Looks again and again. On a terminal each look is drawn over the one before, on the alternate screen, so that what stood above
/// stays; elsewhere looks follow each other with an empty line between them.
async fn watch(cluster: &Cluster, arguments: &Arguments) -> Result<u8, Failed> {
    let out = std::io::stdout();
    let colour = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
    // A terminal without colours may still move its cursor; a dumb one cannot.
    let text = arguments.output == Output::Text;
    let terminal = text && out.is_terminal() && arguments.term.as_deref() != Some("dumb");
    let mut stage = terminal.then(Stage::enter);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut first = true;
    loop {
        let (sources, migrations) = read(cluster).await?;
        let silence = arguments.controller.silence(cluster).await;
        let above = || format!("{}{}", silence.as_deref().unwrap_or_default(), overview(&sources));
        let canvas = Canvas {
            columns: usize::from(arguments.columns()),
            colour: colour && text,
            now: crate::io::clock::now(),
        };
        match (&mut stage, arguments.output) {
            (_, Output::Json | Output::Yaml | Output::Sarif) => {
                let mut both = json!({"sources": sources, "migrations": migrations});
                if let Some(silence) = &silence {
                    both["noController"] = json!(silence.trim_end());
                }
                value(&both, arguments.output);
            }
            (Some(stage), _) => {
                let above = canvas.cut(&above());
                stage.draw(&format!("{above}\n{}", canvas.moves(&migrations)));
            }
            (None, _) => {
                if !first {
                    data("");
                }
                let both = format!("{}\n{}", above(), canvas.moves(&migrations));
                data(both.trim_end());
            }
        }
        first = false;
        if super::nobody_reads() {
            return Ok(judged(&sources, &migrations));
        }
        tokio::select! {
            _ = terminate.recv() => return Ok(judged(&sources, &migrations)),
            _ = interrupt.recv() => return Ok(judged(&sources, &migrations)),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// A terminal's alternate screen, on which nothing scrolls. When it is left, what was drawn last stays on the usual one.
#[derive(Default)]
struct Stage {
    last: String,
}

impl Stage {
    /// To the alternate screen; no cursor; what is too long for a line is cut off.
    const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
    const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

    fn enter() -> Self {
        send(Self::ENTER);
        Self::default()
    }

    /// Draws over what is there in one write: a screen that is cleared first flickers. A line is cleared before it is drawn, for behind
    /// one that fills the terminal the cursor stands on its last character.
    fn draw(&mut self, page: &str) {
        let lines: Vec<String> = page.lines().map(|line| format!("\u{1b}[K{line}")).collect();
        send(&format!("\u{1b}[H{}\r\n\u{1b}[J", lines.join("\r\n")));
        page.clone_into(&mut self.last);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        send(&format!("{}{}", Self::LEAVE, self.last));
    }
}

/// Writes to the terminal as it is: what moves the cursor is no colour.
fn send(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone takes nothing, and nobody looks.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Sources and proposals.
fn overview(sources: &[PolicySource]) -> String {
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
    let mut page = table(&["SOURCE", "READY", "APPLIED", "MESSAGE"], &rows);
    for source in sources {
        let list = source
            .status
            .as_ref()
            .map(|status| &*status.conditions)
            .unwrap_or_default();
        let stopped = conditions::find(list, crate::wiring::MOVING).filter(|one| one.status == "False");
        if let Some(stopped) = stopped {
            let name = source.metadata.name.as_deref().unwrap_or_default();
            page.push_str(&format!(
                "\nMoves of {name} stand still ({}): {}\n",
                stopped.reason, stopped.message
            ));
        }
    }
    let deliveries = deliveries(sources);
    if !deliveries.is_empty() {
        page.push('\n');
        page.push_str(&table(
            &["DELIVERY", "WHAT", "STATE", "WHERE", "SINCE"],
            &deliveries,
        ));
    }
    if !proposals.is_empty() {
        page.push('\n');
        page.push_str(&table(
            &["PROPOSAL", "MOVE", "STATE", "WHERE", "SINCE"],
            &proposals,
        ));
    }
    page
}

/// Manifests that are proposed to be delivered, and what became of the last ones.
fn deliveries(sources: &[PolicySource]) -> Vec<Vec<String>> {
    let of = |source: &PolicySource| {
        let name = source.metadata.name.clone().unwrap_or_default();
        let delivery = source.status.as_ref().and_then(|status| status.delivery.clone());
        let proposals = delivery.map(|delivery| delivery.proposals).unwrap_or_default();
        let row = move |one: ProposalStatus| {
            let place = one.url.unwrap_or(one.branch);
            vec![
                name.clone(),
                one.title,
                format!("{:?}", one.state),
                place,
                one.since,
            ]
        };
        proposals.into_iter().map(row).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of).collect()
}

/// Migrations.
fn listed(migrations: &[VolumeMigration]) -> Option<String> {
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
    let head = ["MIGRATION", "CLAIM", "MOVE", "PHASE", "SYNCED", "MESSAGE"];
    (!rows.is_empty()).then(|| table(&head, &rows))
}

/// Volumes that are left alone, by policy and claim; how many more there are is told.
fn left_alone(policies: &[StoragePolicy]) -> Option<String> {
    let mut rows = Vec::new();
    for policy in policies {
        let name = policy.metadata.name.clone().unwrap_or_default();
        let Some(status) = &policy.status else { continue };
        for (claim, reason) in &status.left_alone_claims {
            rows.push(vec![name.clone(), claim.clone(), reason.clone()]);
        }
        let all = status
            .left_alone
            .values()
            .map(|count| *count as usize)
            .sum::<usize>();
        if let more @ 1.. = all.saturating_sub(status.left_alone_claims.len()) {
            rows.push(vec![name, format!("{more} more"), "-".to_owned()]);
        }
    }
    (!rows.is_empty()).then(|| table(&["POLICY", "LEFT ALONE", "REASON"], &rows))
}
