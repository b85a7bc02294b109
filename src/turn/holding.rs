//! What people say of moves, where it meets them: which of a source's migrations stand still, which are cancelled, and what is remembered.

use super::{Source, World, brief};
use crate::decide::control;
use crate::execute::engine::Orders;
use crate::io::git::GitError;
use crate::model::kinds::moves::{MovesStatus, because, said};
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::kinds::{CANCEL, PAUSED};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::{Control, Stop};
use crate::model::observation::Observation;
use crate::model::tree::{Checkout, EntryKind};
use jiff::Timestamp;

/// The file below `spec.path` that freezes all moves of its source.
pub(crate) const FREEZE: &str = "FREEZE";

/// Bytes of that file that are read: its first line says why, and nobody reads a longer one in a condition.
const WORDS_MAX: usize = 300;

/// Why a commit freezes all moves of its source, if it does. The file may be anything: one that cannot be read freezes them too.
pub(super) fn frozen(source: &Source<'_>, checkout: &Checkout) -> Result<Option<String>, GitError> {
    let path = match source.root.as_str() {
        "" => FREEZE.to_owned(),
        root => format!("{root}/{FREEZE}"),
    };
    let inside = format!("{path}/");
    let Some(entry) = checkout.entries.get(&path) else {
        let mut below = checkout.entries.range(inside.clone()..);
        let folder = below.next().is_some_and(|(path, _)| path.starts_with(&inside));
        return Ok(folder.then(|| format!("{path} is a folder")));
    };
    if entry.kind != EntryKind::File {
        return Ok(Some(format!("{path} is no plain file")));
    }
    let read = source
        .repository
        .blobs()?
        .read(&entry.blob, crate::decrypt::FILE_BYTES_MAX);
    let unread = |why: String| format!("{path} cannot be read: {why}");
    Ok(Some(read.map_or_else(unread, |bytes| first_line(&bytes))))
}

/// The first line of a freeze file, as it may stand in a condition.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line: String = line
        .unwrap_or_default()
        .chars()
        .filter(|one| !one.is_control())
        .collect();
    match line.as_str() {
        "" => because("true"),
        line => crate::model::conditions::fitted(line, WORDS_MAX),
    }
}

/// What is remembered of moves from the begin of a turn on; as long as no commit was read since the start, what the status says of a
/// freeze holds.
pub(super) fn begin(
    source: &Source<'_>,
    before: Option<&MovesStatus>,
    frozen: Option<&Option<String>>,
    now: Timestamp,
) -> MovesStatus {
    let known = || before.and_then(|before| before.frozen.clone());
    let frozen = frozen.map_or_else(known, Clone::clone);
    control::remembered(before, &source.moves, frozen, now)
}

/// Why no approved move of the source starts.
pub(super) fn stop(source: &Source<'_>, moves: &MovesStatus, own: &[VolumeMigration]) -> Option<Stop> {
    let own: Vec<MigrationBrief> = own.iter().map(brief).collect();
    control::stop(moves, &source.moves, &own)
}

/// What deciding goes by; the nodes that were just seen are remembered.
pub(super) fn control(
    source: &Source<'_>,
    moves: &mut MovesStatus,
    stop: Option<Stop>,
    observation: &Observation,
    now: Timestamp,
) -> Control {
    // While the engine cannot be read, nobody knows of any node more than before.
    if let Ok(fleet) = &observation.engine {
        moves.nodes = control::nodes(&moves.nodes, fleet, source.moves.quarantine, now);
    }
    Control {
        stop,
        resting: control::resting(&moves.nodes, source.moves.quarantine),
        per_node_pair: source.moves.per_node_pair,
    }
}

/// Adds to the orders of unfinished migrations what people say by annotations, and what holds running moves too: a stop, or that the
/// controller is to change nothing.
pub(super) fn say(orders: &mut Orders, stop: Option<&Stop>, dry_run: bool, unfinished: &[VolumeMigration]) {
    let dry = dry_run.then(|| "the controller runs with --dry-run, which holds all moves".to_owned());
    for migration in unfinished {
        let (meta, name) = (&migration.metadata, migration.metadata.name.clone());
        let (annotations, name) = (meta.annotations.as_ref(), name.unwrap_or_default());
        if meta.deletion_timestamp.is_some() {
            let why = "the VolumeMigration is being deleted".to_owned();
            orders.cancels.insert(name.clone(), why);
        }
        if let Some(value) = said(annotations, CANCEL) {
            let why = format!("by the annotation {CANCEL}: {}", because(value));
            orders.cancels.insert(name.clone(), why);
        }
        let paused = said(annotations, PAUSED);
        let own = paused.map(|value| format!("paused by the annotation {PAUSED}: {}", because(value)));
        let all = || stop.filter(|stop| stop.holds_running()).map(ToString::to_string);
        if let Some(why) = own.or_else(all).or_else(|| dry.clone()) {
            orders.holds.insert(name, why);
        }
    }
}

/// Notes on migrations that were tried again that their order was acted upon. Nothing hangs on it: only the latest attempt of an
/// approval is ever tried again.
pub(super) async fn handled(world: &World, migrations: &mut [VolumeMigration], started: &[VolumeMigration]) {
    for migration in migrations {
        let Some(retry) = brief(migration).retry else {
            continue;
        };
        let (spec, attempt) = (&migration.spec, migration.spec.attempt.unwrap_or(1));
        let next = started.iter().any(|one| {
            one.spec.attempt == Some(attempt.saturating_add(1))
                && (&one.spec.volume, &one.spec.to, &one.spec.approved.commit)
                    == (&spec.volume, &spec.to, &spec.approved.commit)
        });
        let Some(status) = migration.status.as_mut().filter(|_| next) else {
            continue;
        };
        status.last_handled_retry = Some(retry);
        match world.cluster.replace_status(migration).await {
            Ok(written) => *migration = written,
            Err(error) => tracing::debug!(%error, "not noted that the retry was acted upon"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn the_first_line_that_says_anything_is_why() {
        for (bytes, expected) in [
            (&b""[..], "no reason is given"),
            (b"\n  \n", "no reason is given"),
            (b"moving house\nuntil Monday\n", "moving house"),
            (b"\r\n  disks \x1b[2Jare hot  \r\n", "disks [2Jare hot"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(first_line(bytes), expected, "{bytes:?}");
        }
        assert!(first_line("long ".repeat(500).as_bytes()).len() <= 300);
    }
}
