//! What proposals would say by a template of somebody's own.

use super::super::{Failed, about, data, words};
use crate::model::decision::Decision;
use crate::model::desired::Desired;
use crate::model::ids::PolicyName;
use crate::model::pace::Pace;
use crate::render::proposal::{self, Site, Template};
use std::collections::BTreeSet;
use std::path::Path;

/// What proposals would say.
pub(super) fn proposals(
    path: &Path,
    desired: &Desired,
    decision: &Decision,
    pace: &Pace,
) -> Result<u8, Failed> {
    let bytes = std::fs::read(path).map_err(about(path))?;
    let template = Template::read(&path.display().to_string(), &bytes).map_err(Failed)?;
    let site = Site {
        prefix: "couchestor/",
        assignments: "assignments",
        trailer: crate::propose::TRAILER,
        forge: true,
        pace: Some(pace),
    };
    let policies: BTreeSet<&PolicyName> = decision.proposals.iter().map(|one| &one.policy).collect();
    for policy in &policies {
        let moves = decision.proposals.iter().filter(|one| one.policy == **policy);
        let left = decision.left_alone.iter();
        let left = left.filter(|left| left.policy.is_some_and(|one| one.name == **policy));
        let (moves, left): (Vec<_>, Vec<_>) = (moves.collect(), left.collect());
        let rendered = proposal::render(policy, &moves, &left, desired, site, &template);
        if let Some(complaint) = rendered.complaint {
            return Err(Failed(complaint));
        }
        if let Some(text) = rendered.text {
            data(&format!("# {}\n\n{}", text.title, text.body));
        }
    }
    if policies.is_empty() {
        words(&format!(
            "{}: it is understood; nothing is to be proposed now",
            path.display()
        ));
    }
    Ok(0)
}
