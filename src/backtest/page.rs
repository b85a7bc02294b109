//! A replay as one page for a browser: no script, no link, nothing fetched; readable in light and dark.

use super::plot::{Line, Mark, Plot, escaped, nice};
use super::report::{Busy, Moved, Outcome, Report};
use super::shown;
use std::fmt::Write;

/// Moves that the page lists.
const LISTED: usize = 500;

/// Moves that are seen before the rest is unfolded.
const UNFOLDED: usize = 30;

/// Volumes to and fro that are named before the rest is unfolded.
const NAMED: usize = 5;

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fbfbfa;--ink:#1d2126;--soft:#5c6570;--rule:#d9dde2;--card:#fff;
--policies:#1f5fd1;--watermarks:#b45309;--nothing:#7a828c;--oracle:#1a7f5a;--level:#b3261e}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--ink:#e6e8ea;--soft:#9aa4ae;--rule:#333a41;--card:#1b1f23;
--policies:#7fb0ff;--watermarks:#f0a85c;--nothing:#8b949e;--oracle:#5fd3a4;--level:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 8px}h3{font-size:15px;margin:18px 0 4px;overflow-wrap:anywhere}
p{margin:4px 0;color:var(--soft)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:8px 14px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--rule);vertical-align:top}
tr:last-child td,tr:last-child th{border-bottom:0}
thead th{font-size:12px;letter-spacing:.03em;color:var(--soft);white-space:nowrap}
tbody th{font-weight:500}td{overflow-wrap:anywhere}.number{text-align:right;white-space:nowrap}.nowrap{white-space:nowrap}
svg{display:block;width:100%;height:auto}svg text{font-size:13px;fill:var(--soft)}
.grid{stroke:var(--rule);stroke-width:1}.line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.policies{stroke:var(--policies);stroke-width:2.4}.watermarks{stroke:var(--watermarks);stroke-dasharray:7 3}
.nothing{stroke:var(--nothing);stroke-dasharray:2 3}.oracle{stroke:var(--oracle);stroke-dasharray:10 3 2 3}
.level{stroke:var(--level);stroke-width:1;stroke-dasharray:4 4}svg .level-name{fill:var(--level);stroke:var(--card);
stroke-width:4px;paint-order:stroke}
.mark{stroke:var(--card);stroke-width:1}.up{fill:var(--level)}.down{fill:var(--policies)}
.legend{display:flex;flex-wrap:wrap;gap:4px 22px;margin:6px 0;font-size:13px;color:var(--soft)}
.legend svg{display:inline-block;width:34px;height:12px;vertical-align:middle;margin-right:6px}
details{margin:6px 0;color:var(--soft);overflow-wrap:anywhere}summary{cursor:pointer}details table{color:var(--ink)}
@media(max-width:700px){.wide{padding:8px 6px}.wide>svg{min-width:780px}}
ul{color:var(--soft);padding-left:20px}
";

/// The page.
pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>couchestor backtest</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>What the policies would have moved</h1>\n"
    );
    head(&mut page, report);
    comparison(&mut page, report);
    shares(&mut page, report);
    if let Some(ours) = report.ours() {
        moves(&mut page, ours);
    }
    busiest(&mut page, report);
    reasons(&mut page, report);
    page.push_str("<h2>What this takes for granted</h2>\n<ul>\n");
    for line in &report.assumptions {
        let _ = writeln!(page, "<li>{}</li>", escaped(line));
    }
    page.push_str("</ul>\n</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let _ = writeln!(
        page,
        "<p>{} volumes of {}, from {} to {} (UTC), evaluated {} times, every {}. A proposal waits {} for its approval. Load is known for \
         {:.1} % of these volumes' time.</p>",
        report.taken,
        report.volumes,
        shown::time(report.first),
        shown::time(report.last),
        report.evaluations,
        shown::seconds(report.step_seconds),
        shown::seconds(report.approval_delay_seconds),
        report.known * 100.0
    );
}

fn comparison(page: &mut String, report: &Report) {
    page.push_str("<h2>Beside other ways</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th>");
    for one in &report.strategies {
        let _ = write!(page, "<th class=\"number\">{}</th>", shown::title(one));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (name, cells) in shown::figures(report) {
        let _ = write!(page, "<tr><th>{name}</th>");
        for cell in cells {
            let _ = write!(page, "<td class=\"number\">{}</td>", escaped(&cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
    for one in &report.strategies {
        if let Some(flapping) = one.flapping.as_ref().filter(|flapping| !flapping.is_empty()) {
            let (first, rest) = flapping.split_at(flapping.len().min(NAMED));
            let _ = writeln!(
                page,
                "<p>{}: {} to and fro.</p>",
                shown::title(one),
                escaped(&first.join(", "))
            );
            if !rest.is_empty() {
                let _ = writeln!(
                    page,
                    "<details><summary>And {} more</summary>{}</details>",
                    rest.len(),
                    escaped(&rest.join(", "))
                );
            }
        }
    }
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn words(moved: &Moved) -> String {
    format!(
        "{}: {} → {}, {}",
        moved.claim,
        moved.from,
        moved.to,
        shown::time(moved.moved_at)
    )
}

fn marks<'a>(moves: impl Iterator<Item = &'a Moved>) -> Vec<Mark> {
    moves
        .map(|moved| Mark {
            at: moved.moved_at,
            up: moved.hotter,
            text: words(moved),
        })
        .collect()
}

fn shares(page: &mut String, report: &Report) {
    page.push_str("<h2>Part of the I/O that the hottest tier serves</h2>\n<div class=\"legend\">\n");
    for one in &report.strategies {
        let _ = writeln!(
            page,
            "<span><svg viewBox=\"0 0 34 12\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M0 6L34 6\"/></svg>{}</span>",
            one.name,
            shown::title(one).to_lowercase()
        );
    }
    page.push_str(
        "<span>▲ to a hotter tier, ▼ to a colder one, by the policies</span>\n</div>\n<div class=\"wide\">\n",
    );
    // The policies first, so that their line is on top and carries the marks.
    let lines = report.strategies.iter().map(|one| Line {
        class: one.name,
        name: shown::title(one),
        values: &one.shares,
    });
    let plot = Plot {
        label: "Part of all operations that the hottest tier serves over time, for each strategy".to_owned(),
        first: report.first + report.step_seconds,
        last: report.last,
        lines: lines.collect(),
        marks: marks(report.ours().into_iter().flat_map(|ours| &ours.moves)),
        levels: Vec::new(),
        top: 1.0,
        unit: percent,
    };
    page.push_str(&plot.svg());
    page.push_str("</div>\n");
}

fn moves(page: &mut String, ours: &Outcome) {
    page.push_str("<h2>Moves of the policies</h2>\n");
    if ours.moves.is_empty() {
        page.push_str("<p>None would have been carried out.</p>\n");
        return;
    }
    let listed = &ours.moves[..ours.moves.len().min(LISTED)];
    let (seen, folded) = listed.split_at(listed.len().min(UNFOLDED));
    rows(page, seen);
    if !folded.is_empty() {
        let _ = writeln!(page, "<details><summary>{} more</summary>", folded.len());
        rows(page, folded);
        page.push_str("</details>\n");
    }
    if ours.moves.len() > LISTED {
        let rest = shown::grouped(&(ours.moves.len() - LISTED).to_string());
        let _ = writeln!(
            page,
            "<p>And {rest} that this page leaves out; all are in -o json.</p>"
        );
    }
}

fn rows(page: &mut String, moves: &[Moved]) {
    page.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>MOVED</th><th>CLAIM</th><th>MOVE</th><th>MEASURED</th><th>THRESHOLD</th>\
         <th class=\"number\">BYTES</th></tr></thead>\n<tbody>\n",
    );
    for moved in moves {
        let cells = [
            shown::time(moved.moved_at),
            moved.claim.clone(),
            format!("{} → {}", moved.from, moved.to),
            shown::value(&moved.signal, moved.value),
            shown::threshold(&moved.signal, moved.threshold),
        ];
        page.push_str("<tr>");
        for (index, cell) in cells.iter().enumerate() {
            let class = if index == 1 { "" } else { " class=\"nowrap\"" };
            let _ = write!(page, "<td{class}>{}</td>", escaped(cell));
        }
        let _ = writeln!(
            page,
            "<td class=\"number\">{}</td></tr>",
            shown::gibs(moved.bytes)
        );
    }
    page.push_str("</tbody></table></div>\n");
}

fn whole(value: f64) -> String {
    match value {
        small if small < 10.0 && small.fract() > 0.0 => format!("{small:.2} /s"),
        value => format!("{} /s", shown::short(value)),
    }
}

fn busiest(page: &mut String, report: &Report) {
    if report.busiest.is_empty() {
        return;
    }
    page.push_str("<h2>The busiest volumes</h2>\n<p>Operations per second; ▲ and ▼ where the policies would have moved it.</p>\n");
    let all = report.operations.max(f64::MIN_POSITIVE);
    for one in &report.busiest {
        let _ = writeln!(
            page,
            "<h3>{}</h3>\n<p>{:.1} % of all operations</p>\n<div class=\"wide\">\n{}</div>",
            escaped(&one.claim),
            one.operations / all * 100.0,
            busy(one, report).svg()
        );
    }
}

fn busy<'a>(one: &'a Busy, report: &Report) -> Plot<'a> {
    let greatest = one.load.iter().flatten().copied();
    let levels = [(one.above, "hot from"), (one.below, "cold below")];
    let levels: Vec<(f64, &str)> = levels
        .into_iter()
        .filter_map(|(level, name)| Some((level?, name)))
        .collect();
    let top = greatest
        .chain(levels.iter().map(|(level, _)| *level))
        .fold(0.0, f64::max);
    let moves = report.ours().into_iter().flat_map(|ours| &ours.moves);
    Plot {
        label: format!("Operations per second of {} over time", one.claim),
        first: report.first + report.step_seconds,
        last: report.last,
        lines: vec![Line {
            class: "policies",
            name: &one.claim,
            values: &one.load,
        }],
        marks: marks(moves.filter(|moved| moved.claim == one.claim)),
        levels,
        top: nice(top * 1.05),
        unit: whole,
    }
}

fn reasons(page: &mut String, report: &Report) {
    let rows = shown::reasons(report);
    if rows.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Why volumes were left alone</h2>\n<p>Of all evaluations of all volumes.</p>\n<div class=\"wide\"><table>\n<tbody>\n",
    );
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| format!("<td>{}</td>", escaped(cell)))
            .collect();
        let _ = writeln!(page, "<tr>{}</tr>", cells.concat());
    }
    page.push_str("</tbody></table></div>\n");
}
