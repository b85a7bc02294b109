//! Moves that failed or made volumes slower → proposals that set their assignments back.

use super::Source;
use crate::decide::InFlight;
use crate::decide::rollback::{Cause, returns};
use crate::model::desired::Desired;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::observation::Observation;
use crate::model::rendering::ProposalText;
use crate::propose;
use crate::render::proposal::Site;
use crate::render::rollback::{self, Back, What};
use jiff::Timestamp;

/// What is to be proposed beside the policies' own moves; these do not count as moves, and in dry run there are none.
pub(super) fn texts(
    source: &Source<'_>,
    desired: &Desired,
    observation: &Observation,
    in_flight: &InFlight,
    migrations: &[VolumeMigration],
    now: Timestamp,
) -> Vec<ProposalText> {
    if source.limits.dry_run {
        return Vec::new();
    }
    let site = Site {
        prefix: &source.prefix,
        assignments: &source.assignments,
        trailer: propose::TRAILER,
        forge: source.forge.is_some(),
        pace: None,
    };
    let message = |name: &str| {
        let found = migrations
            .iter()
            .find(|one| one.metadata.name.as_deref() == Some(name));
        let status = found.and_then(|one| one.status.as_ref());
        status.map_or("", |status| status.message.as_str())
    };
    let mut texts = Vec::new();
    for (identity, all) in returns(desired, observation, in_flight, now) {
        let all: Vec<Back> = all
            .iter()
            .map(|one| Back {
                back: &one.back,
                migration: &one.migration,
                what: match one.cause {
                    Cause::Failed(phase) => What::Failed {
                        phase,
                        message: message(&one.migration),
                    },
                    Cause::Slower { before, after } => What::Slower { before, after },
                },
            })
            .collect();
        let (text, refused) = rollback::render(&identity, &all, desired, site);
        texts.extend(text);
        for (claim, error) in refused {
            tracing::warn!(%claim, error, "not taken back");
        }
    }
    texts
}
