//! The screen of `status --watch`: moves that run with bars, and those of the last day in a line each. Drawing is a function of what
//! was read, the time and the width.

use crate::model::kinds::VolumeMigration;
use crate::model::kinds::volume_migration::{Phase, VolumeMigrationStatus};
use crate::model::quantities::span;
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use std::fmt::Write;

/// Moves that ended longer ago are left to `status` and `audit`.
const FOLDED_SECS: i64 = 24 * 3600;

/// A narrower bar shows nothing.
const BAR_MIN: usize = 10;

/// A wider bar shows no more.
const BAR_CELLS: usize = 60;

/// Eighths of a cell, from the left.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    /// Columns of the terminal.
    pub(super) columns: usize,
    /// Whether there are colours.
    pub(super) colour: bool,
    /// The time.
    pub(super) now: Timestamp,
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A bar of so many cells.
fn bar(ratio: f64, cells: usize) -> String {
    let eighths = (ratio.clamp(0.0, 1.0) * cells as f64 * 8.0).floor() as usize;
    let (full, rest) = (eighths / 8, eighths % 8);
    let mut text = "█".repeat(full);
    if rest > 0 {
        text.push(EIGHTHS[rest]);
    }
    let drawn = full + usize::from(rest > 0);
    text.push_str(&"░".repeat(cells - drawn));
    text
}

fn time(at: Option<&str>) -> Option<Timestamp> {
    at?.parse().ok()
}

/// Seconds from one time to another; none when it lies before.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// A time of day, in UTC like all times that we write.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}

/// How far a copy is.
struct Progress {
    ratio: f64,
    words: Vec<String>,
}

fn progress(status: &VolumeMigrationStatus, now: Timestamp) -> Option<Progress> {
    let bytes = status.bytes_copied.zip(status.bytes_total);
    let Some((copied, total)) = bytes.filter(|(_, total)| *total > 0) else {
        let percent = status.progress_percent?;
        return Some(Progress {
            ratio: f64::from(percent) / 100.0,
            words: vec![format!("{percent:>3} %")],
        });
    };
    let ratio = copied.min(total) as f64 / total as f64;
    let mut words = vec![
        format!("{:>3.0} %", (ratio * 100.0).floor()),
        format!("{} of {}", size(copied), size(total)),
    ];
    let end = time(status.estimated_end.as_deref()).filter(|_| copied < total);
    // The end was estimated at the speed so far when progress was seen last, so the speed is in it.
    if let (Some(seen), Some(end)) = (time(status.progress_at.as_deref()), end)
        && seconds(seen, end) > 0
    {
        let speed = total.saturating_sub(copied) / seconds(seen, end);
        words.push(format!("{}/s", size(speed)));
    }
    if let Some(end) = end {
        words.push(match seconds(now, end) {
            0 => format!("was to end {}", clock(end)),
            left => format!("ends {}, in {}", clock(end), span(left)),
        });
    }
    Some(Progress { ratio, words })
}

impl Canvas {
    fn paint(self, style: Style, text: &str) -> String {
        match self.colour {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    /// A line that fits.
    fn fitted(self, text: &str) -> String {
        if text.chars().count() <= self.columns {
            return text.to_owned();
        }
        let kept = text.chars().take(self.columns.saturating_sub(1));
        kept.chain(std::iter::once('…')).collect()
    }

    /// A text without colours whose lines all fit.
    pub(super) fn cut(self, text: &str) -> String {
        let lines = text.lines().map(|line| self.fitted(line) + "\n");
        lines.collect()
    }

    fn line(self, page: &mut String, style: Style, text: &str) {
        // Messages of others stand in these lines: nothing of them moves the cursor.
        let clean: String = text.chars().filter(|one| !one.is_control()).collect();
        let painted = self.paint(style, &self.fitted(&clean));
        let _ = writeln!(page, "{painted}");
    }

    fn running(self, page: &mut String, migration: &VolumeMigration) {
        let status = migration.status.clone().unwrap_or_default();
        let style = match status.phase {
            Phase::RollingBack => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            _ => Style::new().bold(),
        };
        let since = time(status.phase_since.as_deref());
        let since = since.map(|since| format!(" for {}", span(seconds(since, self.now))));
        let phase = format!("{}{}", status.phase.as_str(), since.unwrap_or_default());
        self.line(page, style, &format!("{}   {phase}", way(migration)));
        if let Some(progress) = progress(&status, self.now) {
            self.progress(page, &progress);
        }
        let plain = Style::new().dimmed();
        match &status.held {
            Some(held) => {
                let since = time(Some(&held.since));
                let since = since.map(|since| format!(" for {}", span(seconds(since, self.now))));
                let said = format!("  held{}: {}", since.unwrap_or_default(), held.why);
                self.line(page, Style::new().fg_color(Some(AnsiColor::Yellow.into())), &said);
            }
            None if !status.message.is_empty() => self.line(page, plain, &format!("  {}", status.message)),
            None => {}
        }
    }

    /// The bar with as many words beside it as fit, and the others below it.
    fn progress(self, page: &mut String, progress: &Progress) {
        let mut beside = progress.words.len();
        let width = |count: usize| -> usize {
            let words = progress.words[..count].iter();
            words.map(|word| word.chars().count() + 2).sum()
        };
        while beside > 1 && 2 + BAR_MIN + width(beside) > self.columns {
            beside -= 1;
        }
        let cells = self.columns.saturating_sub(2 + width(beside));
        let bar = bar(progress.ratio, cells.clamp(BAR_MIN, BAR_CELLS));
        let bar = self.paint(Style::new().fg_color(Some(AnsiColor::Cyan.into())), &bar);
        let _ = writeln!(page, "  {bar}  {}", progress.words[..beside].join("  "));
        let mut rest = String::new();
        for word in &progress.words[beside..] {
            if !rest.is_empty() && rest.chars().count() + 4 + word.chars().count() > self.columns {
                self.line(page, Style::new(), &rest);
                rest.clear();
            }
            rest.push_str("  ");
            rest.push_str(word);
        }
        if !rest.is_empty() {
            self.line(page, Style::new(), &rest);
        }
    }

    fn ended(self, page: &mut String, migration: &VolumeMigration, at: Timestamp) {
        let status = migration.status.clone().unwrap_or_default();
        let (mark, colour) = match status.phase {
            Phase::Completed | Phase::Preserved => ('✓', AnsiColor::Green),
            Phase::NeedsPerson => ('!', AnsiColor::Red),
            Phase::RolledBack => ('✗', AnsiColor::Yellow),
            _ => ('–', AnsiColor::White),
        };
        let took = time(status.started_at.as_deref())
            .map(|started| format!(", took {}", span(seconds(started, at))));
        let why = match status.phase {
            Phase::Completed | Phase::Preserved => String::new(),
            _ => format!(": {}", status.message),
        };
        let said = format!(
            "{mark} {}   {} {} ago{}{why}",
            way(migration),
            status.phase.as_str(),
            span(seconds(at, self.now)),
            took.unwrap_or_default()
        );
        self.line(page, Style::new().fg_color(Some(colour.into())), &said);
    }

    /// The moves: those that run with bars, then those of the last day and those that wait for a person, the newest first.
    pub(super) fn moves(self, migrations: &[VolumeMigration]) -> String {
        let phase =
            |one: &VolumeMigration| one.status.as_ref().map(|status| status.phase).unwrap_or_default();
        let mut page = String::new();
        let running: Vec<&VolumeMigration> = migrations.iter().filter(|one| !phase(one).is_final()).collect();
        for migration in &running {
            self.running(&mut page, migration);
            page.push('\n');
        }
        if running.is_empty() {
            self.line(&mut page, Style::new().dimmed(), "no move runs");
            page.push('\n');
        }
        let ended = migrations.iter().filter(|one| phase(one).is_final());
        let mut ended: Vec<(Timestamp, &VolumeMigration)> = ended
            .filter_map(|one| Some((time(one.status.as_ref()?.finished_at.as_deref())?, one)))
            .filter(|(at, one)| {
                let recent = self.now.as_second() - at.as_second() < FOLDED_SECS;
                recent || phase(one) == Phase::NeedsPerson
            })
            .collect();
        ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, migration) in ended {
            self.ended(&mut page, migration, at);
        }
        page
    }
}

fn way(migration: &VolumeMigration) -> String {
    let spec = &migration.spec;
    format!(
        "{}/{}   {} → {}",
        spec.claim.namespace, spec.claim.name, spec.from, spec.to
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn migration(status: Value) -> VolumeMigration {
        serde_json::from_value(json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration", "metadata": {"name": "m"},
            "spec": {
                "source": {"namespace": "s", "name": "s"}, "claim": {"namespace": "db", "name": "data-0"},
                "volume": "pvc-1", "volumeUuid": "u", "from": "cold", "to": "hot", "toPoolLabels": {}, "timeoutSeconds": 60,
                "approved": {"revision": "r", "commit": "c", "author": "a", "at": NOW, "path": "p"},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn copying() -> VolumeMigration {
        migration(json!({
            "phase": "WaitSync", "phaseSince": "2026-03-01T11:56:48Z", "bytesTotal": 40_u64 << 30, "bytesCopied": 10_u64 << 30,
            "progressAt": NOW, "estimatedEnd": "2026-03-01T12:09:36Z", "message": "n1 on nvme-3 is being filled",
        }))
    }

    fn drawn(columns: usize, colour: bool, migrations: &[VolumeMigration]) -> String {
        let now = NOW.parse().unwrap();
        Canvas { columns, colour, now }.moves(migrations)
    }

    #[test]
    fn a_move_shows_its_phase_bar_bytes_speed_and_end() {
        let page = drawn(100, false, &[copying()]);
        for part in [
            "db/data-0   cold → hot   WaitSync for 3 min 12 s",
            " 25 %  10.0 GiB of 40.0 GiB  53.3 MiB/s  ends 12:09, in 9 min 36 s",
            "is being filled",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "x".repeat(300);
        let failed = json!({"phase": "RolledBack", "finishedAt": "2026-03-01T11:00:00Z", "message": long});
        for columns in [40, 80, 132, 200] {
            let page = drawn(columns, false, &[copying(), migration(failed.clone())]);
            let wide = page.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(wide <= columns, "{wide} of {columns}:\n{page}");
            assert!(page.contains('█') && page.contains("in 9 min 36 s"), "{page}");
        }
    }

    #[test]
    fn a_table_is_cut_to_the_terminal_line_by_line() {
        let canvas = Canvas {
            columns: 5,
            colour: false,
            now: NOW.parse().unwrap(),
        };
        assert_eq!(canvas.cut("1234567\n→→→→→\n\nab\n"), "1234…\n→→→→→\n\nab\n");
    }

    #[test]
    fn a_bar_is_as_full_as_the_copy() {
        for (ratio, drawn) in [
            (0.0, "░░░░"),
            (0.25, "█░░░"),
            (0.40, "█▌░░"),
            (1.0, "████"),
            (7.0, "████"),
        ] {
            assert_eq!(bar(ratio, 4), drawn);
        }
    }

    #[test]
    fn what_ended_is_a_line_for_a_day_and_stays_while_a_person_must_look() {
        let ended = |phase: &str, at: &str| {
            migration(json!({"phase": phase, "finishedAt": at, "message": "because"}))
        };
        let page = drawn(
            80,
            false,
            &[
                ended("Completed", "2026-03-01T10:00:00Z"),
                ended("RolledBack", "2026-02-27T10:00:00Z"),
                ended("NeedsPerson", "2026-02-20T10:00:00Z"),
            ],
        );
        assert!(
            page.contains("✓ db/data-0   cold → hot   Completed 2 h ago"),
            "{page}"
        );
        assert!(!page.contains("RolledBack"), "{page}");
        assert!(page.contains("! db/data-0") && page.contains("because"), "{page}");
    }

    #[test]
    fn without_colours_there_is_no_escape_and_messages_move_no_cursor() {
        let hostile = migration(json!({"phase": "Analyze", "message": "a\u{1b}[2Jb"}));
        let page = drawn(80, false, &[hostile.clone(), copying()]);
        assert!(!page.contains('\u{1b}'), "{page:?}");
        let page = drawn(80, true, &[hostile]);
        assert!(
            page.contains("\u{1b}[") && !page.contains("\u{1b}[2J"),
            "{page:?}"
        );
    }
}
