//! What a template of proposals gets: finished, escaped words. Nothing that was encrypted is among them.

use super::Site;
use crate::model::decision::{LeftAlone, ProposedMove, measured, roughly};
use crate::model::desired::{Limit, Policy};
use crate::model::engine::gib;
use crate::model::ids::{ClaimRef, PolicyName, PoolName, TierName, VolumeName};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::pace::Pace;
use crate::model::quantities::observed;
use crate::render::markdown::{bare, plain};
use serde::Serialize;

/// Pools that are listed for a move; the roomiest come first.
const POOLS_MAX: usize = 5;

/// Volumes that are listed as left alone; more are counted.
const LEFT_MAX: usize = 50;

/// Cells of a bar.
const BAR_CELLS: usize = 8;

/// Moves that are listed: more do not fit into a pull request's text.
const MOVES_MAX: usize = 500;

/// The variables of a template; docs/pull-requests.md lists them, and they stay as they are.
#[derive(Clone, Serialize)]
pub(super) struct Page {
    policy: String,
    summary: String,
    forge: bool,
    pub(super) moves: Vec<Row>,
    moves_more: usize,
    total: Total,
    spread: String,
    pub(super) left_alone: Vec<Left>,
    left_more: usize,
}

#[derive(Clone, Serialize)]
struct Total {
    moves: usize,
    hotter: usize,
    colder: usize,
    left_alone: usize,
    to_copy: String,
    cost: String,
}

#[derive(Clone, Serialize)]
pub(super) struct Row {
    claim: String,
    namespace: String,
    name: String,
    volume: String,
    from: String,
    to: String,
    hotter: bool,
    reason: String,
    signal: String,
    observed: String,
    threshold: String,
    bar: String,
    encrypted: bool,
    to_copy: String,
    takes: String,
    cost: String,
    pools: String,
}

#[derive(Clone, Serialize)]
pub(super) struct Left {
    claim: String,
    tier: String,
    why: String,
}

impl Page {
    pub(super) fn new(
        (policy, rule): (&str, Option<&Policy>),
        summary: &str,
        moves: &[ProposedMove],
        left_alone: &[&LeftAlone],
        site: Site,
    ) -> Self {
        let costs: Vec<f64> = moves.iter().filter_map(|one| one.monthly_cost).collect();
        let copied = moves.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
        let hotter = moves.iter().filter(|one| one.hotter).count();
        let listed: Vec<Left> = left_alone.iter().take(LEFT_MAX).map(|one| left(one)).collect();
        let rows = moves.iter().take(MOVES_MAX).map(|one| row(one, site.pace));
        let rows: Vec<Row> = rows.collect();
        Self {
            policy: policy.to_owned(),
            summary: summary.to_owned(),
            forge: site.forge,
            moves_more: moves.len() - rows.len(),
            moves: rows,
            total: Total {
                moves: moves.len(),
                hotter,
                colder: moves.len() - hotter,
                left_alone: left_alone.len(),
                to_copy: gib(copied),
                cost: cost((costs.len() == moves.len()).then(|| costs.iter().sum())),
            },
            spread: rule
                .map(|rule| spread(rule, moves.len(), copied))
                .unwrap_or_default(),
            left_more: left_alone.len() - listed.len(),
            left_alone: listed,
        }
    }

    /// Pages on which a template is tried before there is anything to propose: every choice that it can make between the few and the
    /// many, the known and the encrypted.
    pub(super) fn samples() -> [Self; 2] {
        let one = |name: &str, hotter: bool, watermark: Option<f64>| ProposedMove {
            claim: ClaimRef {
                namespace: "db".to_owned(),
                name: name.to_owned(),
            },
            volume: VolumeName(format!("pvc-{name}")),
            policy: PolicyName("tiering".to_owned()),
            from: TierName(if hotter { "cold" } else { "hot" }.to_owned()),
            to: TierName(if hotter { "hot" } else { "cold" }.to_owned()),
            hotter,
            note: DecisionNote {
                policy: "tiering".to_owned(),
                from: "cold".to_owned(),
                signal: "iops".to_owned(),
                value: 6000.0,
                watermark,
                window: watermark.map(|_| "1h".to_owned()),
                percentile: None,
                also: Vec::new(),
                sustained_for: None,
                after: None,
            },
            candidates: vec![PoolName("nvme-1".to_owned())],
            bytes: 10 << 30,
            monthly_cost: watermark.map(|_| 2.5),
        };
        let few = [one("data-0", false, None)];
        let many = [one("data-0", true, Some(5000.0)), one("data-1", false, None)];
        let site = |forge| Site {
            prefix: "",
            assignments: "",
            trailer: "",
            forge,
            pace: None,
        };
        let summary = "Move 2 volumes by tiering";
        let mut crowded = Self::new(("tiering", None), summary, &many, &[], site(true));
        crowded.spread = "at most 1 in an hour".to_owned();
        crowded.left_alone = vec![Left {
            claim: "db/data-2".to_owned(),
            tier: "hot".to_owned(),
            why: "it is warm".to_owned(),
        }];
        (crowded.moves_more, crowded.left_more) = (1, 1);
        (crowded.total.moves, crowded.total.left_alone) = (3, 2);
        let bare = Self::new(
            ("tiering", None),
            "Move db/data-0 from hot to cold",
            &few,
            &[],
            site(false),
        );
        [bare, crowded]
    }

    /// The page with its lists cut to these lengths; what is left out is counted.
    pub(super) fn cut(&self, moves: usize, left_alone: usize) -> Self {
        let mut page = self.clone();
        page.moves.truncate(moves);
        page.left_alone.truncate(left_alone);
        page.moves_more = page.total.moves - page.moves.len();
        page.left_more = page.total.left_alone - page.left_alone.len();
        page
    }
}

/// How the policy's budgets spread its moves when all of them are merged at once; empty when they do not, and of a policy that was
/// encrypted.
fn spread(policy: &Policy, moves: usize, bytes: u64) -> String {
    if policy.secret {
        return String::new();
    }
    let binds = |limit: &Limit| match limit {
        Limit::Moves(most) => (*most as usize) < moves,
        Limit::Bytes(most) => *most < bytes,
    };
    let limits = policy.budgets.limits(policy.max_concurrent);
    let parts = limits.into_iter().filter(|(limit, _)| binds(limit));
    let parts: Vec<String> = parts.map(|(_, words)| words).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("at most {}", parts.join(", ")),
    }
}

pub(super) fn owner(one: &ProposedMove) -> String {
    bare(&one.claim.to_string())
}

fn cost(cost: Option<f64>) -> String {
    cost.map_or_else(|| "–".to_owned(), |cost| format!("{cost:+.2}"))
}

fn row(one: &ProposedMove, pace: Option<&Pace>) -> Row {
    let note = &one.note;
    let threshold = note.watermark.map_or_else(
        || "encrypted".to_owned(),
        |watermark| {
            let side = if one.hotter { "≥" } else { "<" };
            let first = (note.signal.as_str(), watermark);
            let also = note.also.iter().map(|one| (one.signal.as_str(), one.watermark));
            let all = std::iter::once(first).chain(also);
            let all: Vec<String> = all
                .map(|(signal, watermark)| format!("{side} {}", measured(&bare(signal), watermark)))
                .collect();
            all.join(", ")
        },
    );
    let pools = one.candidates.iter().take(POOLS_MAX);
    let pools: Vec<String> = pools.map(|pool| format!("`{}`", bare(pool.as_str()))).collect();
    let more = match one.candidates.len().saturating_sub(POOLS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Row {
        claim: owner(one),
        namespace: bare(&one.claim.namespace),
        name: bare(&one.claim.name),
        volume: bare(one.volume.as_str()),
        from: bare(one.from.as_str()),
        to: bare(one.to.as_str()),
        hotter: one.hotter,
        reason: reason(one),
        signal: bare(&note.signal),
        observed: observed(note, bare),
        threshold,
        bar: bar(one),
        encrypted: note.watermark.is_none(),
        to_copy: gib(one.bytes),
        takes: takes(pace, one),
        cost: cost(one.monthly_cost),
        pools: match pools.is_empty() {
            true => "–".to_owned(),
            false => format!("{}{more}", pools.join(", ")),
        },
    }
}

/// How long it takes, by the moves before it.
fn takes(pace: Option<&Pace>, one: &ProposedMove) -> String {
    let seconds = pace.and_then(|pace| pace.seconds(&one.to, one.bytes));
    seconds.map_or_else(|| "–".to_owned(), roughly)
}

/// What was observed as a part or a multiple of the threshold, drawn and in figures. The bar is full at the threshold for what is below
/// it, and at four times the threshold for what is above. Of an encrypted threshold nothing is drawn, since that would tell it.
fn bar(one: &ProposedMove) -> String {
    let Some(watermark) = one.note.watermark.filter(|watermark| *watermark > 0.0) else {
        return "–".to_owned();
    };
    let ratio = one.note.value / watermark;
    if !ratio.is_finite() || ratio < 0.0 {
        return "–".to_owned();
    }
    let full = if one.hotter { 4.0 } else { 1.0 };
    let filled = (1..=BAR_CELLS).filter(|cell| ratio / full * BAR_CELLS as f64 >= *cell as f64 - 0.5);
    let filled = filled.count();
    let drawn = "▇".repeat(filled) + &"▁".repeat(BAR_CELLS - filled);
    match ratio {
        ratio if ratio < 1.0 => format!("{drawn} {ratio:.2}×"),
        ratio if ratio < 100.0 => format!("{drawn} {ratio:.1}×"),
        _ => format!("{drawn} > 100×"),
    }
}

fn left(one: &LeftAlone) -> Left {
    let (namespace, claim) = one.claim();
    Left {
        claim: bare(&format!("{namespace}/{claim}")),
        tier: one.tier.map_or("–".to_owned(), |tier| bare(tier.as_str())),
        why: plain(&one.words()),
    }
}

/// What one move rests on.
pub(super) fn reason(one: &ProposedMove) -> String {
    let note = &one.note;
    let value = measured(&bare(&note.signal), note.value);
    let policy = bare(one.policy.as_str());
    let side = if one.hotter {
        "at or above the high"
    } else {
        "below the low"
    };
    let (Some(watermark), Some(window)) = (note.watermark, &note.window) else {
        // What was encrypted stays unsaid.
        return format!(
            "It was measured at {value}, {side} (encrypted) watermark of StoragePolicy `{policy}`."
        );
    };
    let mut told = match note.percentile {
        Some(percent) => format!("Its p{percent} was {value}"),
        None => format!("It averaged {value}"),
    };
    told.push_str(&format!(
        " over {}, {side} watermark of {watermark}",
        bare(window)
    ));
    for also in &note.also {
        let side = if one.hotter { "at or above" } else { "below" };
        let of = also
            .percentile
            .map_or_else(String::new, |percent| format!("p{percent} of "));
        told.push_str(&format!(
            ", and {of}{}, {side} {}",
            measured(&bare(&also.signal), also.value),
            also.watermark
        ));
    }
    if let Some(sustained) = &note.sustained_for {
        told.push_str(&format!(", for at least {}", bare(sustained)));
    }
    format!("{told} (StoragePolicy `{policy}`).")
}

#[cfg(test)]
mod tests {
    use super::spread;
    use crate::decide::tests::world::world;
    use crate::model::desired::Budgets;

    #[test]
    fn limits_are_told_that_spread_the_moves_out_and_no_others() {
        let mut world = world();
        let policy = world.policy();
        policy.max_concurrent = 2;
        policy.budgets = Budgets {
            moves_per_hour: Some(3),
            bytes_per_hour: Some(500 << 30),
            moves_per_node: Some(4),
            moves_per_pool: None,
        };
        for (moves, gib, expected) in [
            (2, 500, ""),
            (3, 500, "at most 2 at one time"),
            (3, 501, "at most 2 at one time, 500 GiB in an hour"),
            (5, 1, "at most 2 at one time, 3 in an hour, 4 on a node"),
        ] {
            assert_eq!(
                spread(policy, moves, gib << 30),
                expected,
                "{moves} moves of {gib} GiB"
            );
        }
        policy.secret = true;
        assert_eq!(
            spread(policy, 5, 1 << 30),
            "",
            "an encrypted policy tells nothing"
        );
    }
}
