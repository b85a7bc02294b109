//! Tables for people: aligned, and without ornament.

use std::io::Write;
use tabwriter::TabWriter;

/// Aligns rows under a head.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut writer = TabWriter::new(Vec::new()).padding(3);
    // Writing into a Vec does not fail.
    let _ = writeln!(writer, "{}", head.join("\t"));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n'], " ")).collect();
        let _ = writeln!(writer, "{}", cells.join("\t"));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
        + "\n"
}
