//! One volume explained, as people read it.

use super::table::table;
use super::{Output, data, value};
use crate::decide::explain::{Explanation, SignalFacts};
use crate::model::decision::measured;

/// Prints an explanation.
pub(super) fn print(one: &Explanation, output: Output) {
    if output != Output::Text {
        return value(&serde_json::json!(one), output);
    }
    let nothing = || "none".to_owned();
    let rows = [
        ("Claim", one.claim.clone()),
        ("Volume", one.volume.clone()),
        ("Policy", one.policy.clone().unwrap_or_else(nothing)),
        (
            "Tier",
            one.tier
                .clone()
                .unwrap_or_else(|| "on no tier, or on several".to_owned()),
        ),
        ("Tiers", one.tiers.join(" → ")),
        ("Verdict", one.verdict.clone()),
    ];
    for (name, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
        data(&format!("{name:<8} {text}"));
    }
    if !one.signals.is_empty() {
        let over = one
            .window
            .as_ref()
            .map(|window| format!(" over {window}"))
            .unwrap_or_default();
        let samples = one.coverage_percent.map_or_else(
            || "no samples".to_owned(),
            |part| format!("samples cover {part} %"),
        );
        data(&format!("\nSignals{over} ({samples})"));
        data(&table(
            &["SIGNAL", "VALUE", "COLD BELOW", "HOT FROM", "SAYS"],
            &signals(&one.signals),
        ));
    }
    if !one.not_heat_when.is_empty() {
        data("\nNot heat when all of these hold");
        data(&table(
            &["SIGNAL", "VALUE", "BELOW", "FROM", "SAYS"],
            &signals(&one.not_heat_when),
        ));
    }
    if !one.facts.is_empty() {
        data("\nFacts");
        for fact in &one.facts {
            data(&format!("  {fact}"));
        }
    }
    if !one.pools.is_empty() {
        data("\nPools of the other tiers");
        let rows: Vec<Vec<String>> = one
            .pools
            .iter()
            .map(|pool| {
                let takes = match &pool.excluded {
                    None => "yes".to_owned(),
                    Some(excluded) => format!("no: {excluded}"),
                };
                vec![pool.tier.clone(), pool.pool.clone(), takes]
            })
            .collect();
        data(&table(&["TIER", "POOL", "TAKES A COPY"], &rows));
    }
}

fn signals(facts: &[SignalFacts]) -> Vec<Vec<String>> {
    let nothing = || "–".to_owned();
    let threshold = |facts: &SignalFacts, threshold: Option<f64>| {
        let name = facts.name.split(' ').next().unwrap_or_default();
        threshold.map_or_else(nothing, |threshold| measured(name, threshold))
    };
    let row = |facts: &SignalFacts| {
        let range = match (facts.least, facts.greatest) {
            (Some(least), Some(greatest)) => format!(" (from {least:.1} to {greatest:.1})"),
            _ => String::new(),
        };
        vec![
            facts.name.clone(),
            match facts.value {
                Some(_) => format!("{}{range}", facts.shown),
                None => nothing(),
            },
            threshold(facts, facts.below),
            threshold(facts, facts.above),
            facts.says.to_owned(),
        ]
    };
    facts.iter().map(row).collect()
}
