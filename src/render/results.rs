//! What became of the moves of a pull request, as its comment says it. No time stands in the text but how long a move took.

use super::markdown::{counted, plain, shown};
use crate::model::decision::span;
use crate::model::engine::gib;
use crate::model::kinds::volume_migration::Phase;
use crate::model::pull_request::CommitState;

/// Moves that are listed; the others are counted. What went wrong comes first.
const ROWS_MAX: usize = 100;

/// What is said where approvals are missing.
const APPROVALS: &str = "\nApprovals are looked up again every few minutes. GitHub takes them after the merge too. Gitea and GitLab do not: there \
    change the assignment in another pull request (a comment is enough) and have that one approved before it is merged, or revert this \
    one.\n";

/// Where a move stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not begun.
    Waits {
        /// Why, in a word or more.
        why: String,
        /// Whether it waits for people's approvals.
        approvals: bool,
    },
    /// It is under way.
    Runs,
    /// It has ended.
    Ended {
        /// How.
        phase: Phase,
        /// In words.
        message: String,
    },
}

impl Standing {
    /// Whether nothing more will come of it.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Whether a person should read of it.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Ended { phase, .. } if !matches!(phase, Phase::Completed | Phase::Preserved))
    }

    fn word(&self) -> String {
        match self {
            Self::Waits { why, .. } => format!("waits: {}", plain(why)),
            Self::Runs => "under way".to_owned(),
            Self::Ended { phase, .. } => match phase {
                Phase::Completed => "moved".to_owned(),
                Phase::Preserved => "copied; the old copies were kept".to_owned(),
                Phase::RolledBack => "**failed**; rolled back".to_owned(),
                Phase::NeedsPerson => "**needs a person**".to_owned(),
                Phase::Superseded => "superseded; nothing was moved".to_owned(),
                Phase::Cancelled => "cancelled".to_owned(),
                other => other.as_str().to_owned(),
            },
        }
    }
}

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The claim.
    pub claim: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// Where it stands.
    pub standing: Standing,
    /// How long it took.
    pub seconds: Option<u64>,
    /// Bytes that were copied.
    pub copied: Option<u64>,
    /// The VolumeMigration; empty while there is none.
    pub migration: String,
}

/// What a person can do about one that did not end well.
fn help(phase: Phase, migration: &str) -> String {
    let migration = shown(migration);
    match phase {
        Phase::RolledBack => format!(
            "The volume is as it was. `kubectl describe volumemigration {migration}` shows each step; when the cause is mended, a new \
             commit on the assignment tries again. Reverting the merge takes the wish back."
        ),
        Phase::NeedsPerson => format!(
            "The volume is safe, and couchestor touches it no more. `kubectl describe volumemigration {migration}` shows where it \
             stopped."
        ),
        Phase::Superseded => {
            "This approval is used up. The move is proposed again when the load asks for it; pin the assignment (`pinned: true`) to have \
             it moved whatever the load, or revert the merge."
                .to_owned()
        }
        Phase::Cancelled => "The approval was taken back before the move was done; the volume is as it was.".to_owned(),
        _ => String::new(),
    }
}

/// The comment.
pub fn text(rows: &[Row]) -> String {
    let mut text = format!("{}\n\n", heading(rows));
    text.push_str("| volume | from | to | result | took | copied |\n| --- | --- | --- | --- | --- | --- |\n");
    let mut listed: Vec<&Row> = rows.iter().collect();
    listed.sort_by_key(|row| !row.standing.is_bad());
    for row in listed.iter().take(ROWS_MAX) {
        let or_dash = |words: Option<String>| words.unwrap_or_else(|| "–".to_owned());
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            shown(&row.claim),
            or_dash(Some(shown(&row.from)).filter(|from| !from.is_empty())),
            shown(&row.to),
            row.standing.word(),
            or_dash(row.seconds.map(span)),
            or_dash(row.copied.map(gib)),
        ));
    }
    if rows.len() > ROWS_MAX {
        text.push_str(&format!("\n… and {} more.\n", rows.len() - ROWS_MAX));
    }
    if rows
        .iter()
        .any(|row| matches!(&row.standing, Standing::Waits { approvals: true, .. }))
    {
        text.push_str(APPROVALS);
    }
    for row in listed.iter().filter(|row| row.standing.is_bad()).take(ROWS_MAX) {
        if let Standing::Ended { phase, message } = &row.standing {
            text.push_str(&format!(
                "\n**`{}`**: {}\n{}\n",
                shown(&row.claim),
                plain(message),
                help(*phase, &row.migration)
            ));
        }
    }
    text
}

fn heading(rows: &[Row]) -> String {
    let count = |holds: &dyn Fn(&Standing) -> bool| rows.iter().filter(|row| holds(&row.standing)).count();
    let bad = count(&Standing::is_bad);
    let parts = [
        (count(&|one| one.is_settled() && !one.is_bad()), "done"),
        (count(&|one| *one == Standing::Runs), "under way"),
        (count(&|one| matches!(one, Standing::Waits { .. })), "waiting"),
        (bad, "not carried out"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!(
        "couchestor: {} of this merge: {}.",
        counted(rows.len(), "move"),
        parts.join(", ")
    )
}

/// What the commit status says. Its words change with the state only: GitLab takes no others.
pub fn verdict(rows: &[Row]) -> (CommitState, &'static str) {
    let ended = |wanted: &[Phase]| {
        let is = |row: &Row| matches!(&row.standing, Standing::Ended { phase, .. } if wanted.contains(phase));
        rows.iter().any(is)
    };
    if ended(&[Phase::RolledBack, Phase::NeedsPerson]) {
        return (CommitState::Failure, "a move failed; the pull request says why");
    }
    if rows.iter().any(|row| !row.standing.is_settled()) {
        return (CommitState::Pending, "moves wait or are under way");
    }
    match ended(&[Phase::Superseded, Phase::Cancelled]) {
        true => (
            CommitState::Error,
            "a move was not carried out; the pull request says why",
        ),
        false => (CommitState::Success, "all moves are done"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn row(claim: &str, standing: Standing) -> Row {
        Row {
            claim: claim.to_owned(),
            from: "cold".into(),
            to: "hot".into(),
            standing,
            seconds: Some(75),
            copied: Some(10 << 30),
            migration: "db-data-0-abcd".into(),
        }
    }

    fn ended(phase: Phase) -> Standing {
        Standing::Ended {
            phase,
            message: "pool | full @all".into(),
        }
    }

    #[test]
    fn the_state_is_that_of_the_worst_move() {
        use CommitState::{Error, Failure, Pending, Success};
        let waits = || Standing::Waits {
            why: "x".into(),
            approvals: false,
        };
        for (standings, wanted) in [
            (vec![ended(Phase::Completed), ended(Phase::Preserved)], Success),
            (vec![ended(Phase::Completed), Standing::Runs], Pending),
            (vec![ended(Phase::Superseded), waits()], Pending),
            (vec![ended(Phase::Superseded), ended(Phase::Completed)], Error),
            (vec![ended(Phase::Cancelled)], Error),
            (vec![ended(Phase::RolledBack), Standing::Runs], Failure),
            (vec![ended(Phase::Superseded), ended(Phase::NeedsPerson)], Failure),
        ] {
            let rows: Vec<Row> = standings.into_iter().map(|one| row("db/a", one)).collect();
            assert_eq!(verdict(&rows).0, wanted, "{rows:?}");
        }
    }

    #[test]
    fn failures_come_first_with_the_reason_and_what_to_do() {
        let rows = [
            row("db/a", ended(Phase::Completed)),
            row("db/<b>", ended(Phase::RolledBack)),
        ];
        let text = text(&rows);
        for words in [
            "2 moves of this merge: 1 done, 1 not carried out.",
            "| `db/a` | cold | hot | moved | 1 min 15 s | 10 GiB |",
            "**`db/?b?`**: pool \\| full (at)all",
            "kubectl describe volumemigration db-data-0-abcd",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(
            text.find("db/?b?").unwrap() < text.find("db/a").unwrap(),
            "{text}"
        );
    }

    #[test]
    fn a_thousand_moves_make_a_text_that_a_forge_takes() {
        let rows: Vec<Row> = (0..1000)
            .map(|at| row(&format!("db/{at}"), ended(Phase::RolledBack)))
            .collect();
        assert!(text(&rows).chars().count() < 65_000);
    }
}
