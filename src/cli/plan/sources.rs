//! What a plan asks of the PolicySources in the cluster, of whose limits a folder on disk does not say which hold for it.

use crate::formats::duration;
use crate::model::conditions;
use crate::model::kinds::PolicySource;
use crate::model::kinds::policy_source::{DeliveryMode, ProposalState, ProposalStatus};
use jiff::Timestamp;

/// The source's name, if it demands approvals. A folder on disk does not say which commit approved what, so who approved it is not
/// known here.
pub(super) fn demands(source: &PolicySource) -> Option<String> {
    let metadata = &source.metadata;
    source.spec.proposals.as_ref()?.approvals.as_ref()?;
    Some(format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    ))
}

/// Why a source's moves stand still in the cluster, if they do.
pub(super) fn stands(source: &PolicySource) -> Option<String> {
    let (metadata, status) = (&source.metadata, source.status.as_ref()?);
    let stopped = conditions::find(&status.conditions, crate::wiring::MOVING);
    let stopped = stopped.filter(|one| one.status == "False")?;
    let name = metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "moves of PolicySource {name} stand still: {}",
        stopped.message
    ))
}

/// What the controller does not do for a source although this plan shows it: a folder on disk does not say whose limits hold for it.
pub(super) fn limited(source: &PolicySource) -> String {
    let metadata = &source.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let max_open = source.spec.proposals.clone().unwrap_or_default().max_open;
    format!(
        "PolicySource {}/{} has at most {max_open} proposals open at one time (proposals.maxOpen), and the controller starts at most as many \
         moves as its --max-concurrent-migrations says; this plan shows all of both",
        namespace.unwrap_or_default(),
        name.unwrap_or_default()
    )
}

/// What a source remembers of its proposals, without the refusals that it has forgotten by now.
pub(super) fn remembered(source: PolicySource, now: Timestamp) -> Vec<ProposalStatus> {
    let rejections = source.spec.proposals.and_then(|proposals| proposals.rejections);
    let expire = rejections.and_then(|one| duration::parse(&one.expire_after).ok());
    let mut records = source.status.map(|status| status.proposals).unwrap_or_default();
    for record in records
        .iter_mut()
        .filter(|record| record.is_forgotten(expire, now))
    {
        match record.state {
            ProposalState::Declined => record.moves.clear(),
            // What was taken out before the merge is a refusal too.
            ProposalState::Merged => record.moves.retain(|one| one.accepted),
            ProposalState::Open | ProposalState::Edited | ProposalState::Withdrawing => {}
        }
    }
    records
}

/// That a source applies nothing, if it delivers by pull request.
pub(super) fn delivers(source: &PolicySource) -> Option<String> {
    let metadata = &source.metadata;
    let delivery = source.spec.delivery.as_ref();
    let delivery = delivery.filter(|one| one.mode == DeliveryMode::Commit)?;
    let path = delivery.path.as_deref().unwrap_or_default();
    Some(format!(
        "PolicySource {}/{} applies no objects: it delivers them by pull request (delivery.mode: commit); `--deliver {path}`, from the \
         root of the repository, shows what that would change",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    ))
}
