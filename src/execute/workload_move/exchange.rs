//! The exchange of volumes under claims. A claim is deleted only when both of its volumes stay without it and nobody could have written to
//! the old one since it was copied; and a volume is given to a claim only while no other claim has it.

use super::{Next, RETAIN, View, objects};
use crate::model::kinds::workload_move::{ClaimJournal, MovePhase, MovedClaim};
use crate::model::restores::run::{ClaimSeen, VolumeNow};
use crate::model::workload_moves::Act;

impl View<'_> {
    /// Jobs go, so that nothing uses the claims, and volumes are kept from being deleted.
    pub(super) fn keeping(&self) -> Next {
        if let Some(why) = self.disturbed() {
            return self.once_more(why);
        }
        if let Some(next) = self.without_jobs() {
            return next;
        }
        for (place, claim) in self.spec.claims.iter().enumerate() {
            match self.both_kept(place, claim) {
                Err(why) => return self.fail(why),
                Ok(Some(act)) => return Next::Do(act),
                Ok(None) => {}
            }
        }
        self.enter(MovePhase::Exchange)
    }

    /// What is to be done so that both volumes of a claim stay without it.
    fn both_kept(&self, place: usize, claim: &MovedClaim) -> Result<Option<Act>, String> {
        let new = self.journal(place).new_volume;
        let new =
            new.ok_or_else(|| format!("it is not known which volume claim {} is to get", claim.name))?;
        for volume in [&claim.volume, &new] {
            let act = self.kept(&claim.name, volume)?;
            if act.is_some() {
                return Ok(act);
            }
        }
        Ok(None)
    }

    /// What was written down of a claim.
    pub(super) fn journal(&self, place: usize) -> ClaimJournal {
        self.status.claims.get(place).cloned().unwrap_or_default()
    }

    /// Whether a volume is for this claim or the one beside it, or for none: any other is somebody's.
    pub(super) fn is_for(&self, claim: &str, volume: &VolumeNow) -> bool {
        let (namespace, name) = (volume.claim.0.as_str(), volume.claim.1.as_str());
        let ours = namespace == self.spec.namespace;
        (namespace.is_empty() && name.is_empty())
            || ours && (name == claim || name == objects::copy_claim(claim, &self.id))
    }

    fn kept(&self, claim: &str, volume: &str) -> Result<Option<Act>, String> {
        match self.seen.volumes.get(volume) {
            // One that is being deleted goes with its claim, whatever its policy says.
            None | Some(VolumeNow { going: true, .. }) => Err(format!(
                "volume {volume} of claim {claim} is gone or being deleted"
            )),
            Some(one) if !self.is_for(claim, one) => {
                let (namespace, name) = &one.claim;
                Err(format!(
                    "volume {volume} is for claim {namespace}/{name} now; somebody uses it"
                ))
            }
            Some(one) if one.policy != RETAIN => Ok(Some(Act::Retain(volume.to_owned()))),
            Some(_) => Ok(None),
        }
    }

    pub(super) fn exchanging(&self) -> Next {
        let halfway = self.spec.claims.iter().any(|claim| {
            let now = self.seen.claims.get(&claim.name);
            now.is_none_or(|now| now.going)
        });
        // What is not exchanged yet may have been written to since it was copied. That is written down at once, for whoever used it may
        // be gone with the next look; and it is copied again as soon as every claim is there.
        if self.unexchanged()
            && let Some(why) = self.disturbed()
            && !(halfway && self.status.disturbed)
        {
            return self.once_more(why);
        }
        if let Some(act) = self.up_again() {
            return Next::Do(act);
        }
        if let Some(users) = self.users() {
            return Next::Wait(format!("waiting for pods that use the claims to end: {users}"));
        }
        for (place, claim) in self.spec.claims.iter().enumerate() {
            if let Some(next) = self.exchange(place, claim) {
                return next;
            }
        }
        self.enter(MovePhase::ScaleUp)
    }

    /// Whether any claim still has its old volume, is on its way out with it, or left it and can have it back.
    fn unexchanged(&self) -> bool {
        let all = self.spec.claims.iter().enumerate();
        let mut gone = all.filter(|(_, claim)| !self.seen.claims.contains_key(&claim.name));
        self.left().next().is_some() || gone.any(|(place, claim)| self.can_return(place, claim))
    }

    /// Whether a claim that is gone can have its old volume back: the claim beside it still has the new one.
    fn can_return(&self, place: usize, claim: &MovedClaim) -> bool {
        let copy = objects::copy_claim(&claim.name, &self.id);
        let beside = self.seen.claims.get(&copy).filter(|one| !one.going);
        beside.is_some_and(|one| self.journal(place).new_volume.as_ref() == Some(&one.volume))
    }

    /// What binds one claim to its new volume; nothing when it is, and nothing now when it has to be copied again first.
    fn exchange(&self, place: usize, claim: &MovedClaim) -> Option<Next> {
        let name = &claim.name;
        let Some(wanted) = self.journal(place).new_volume else {
            return Some(self.fail(format!("it is not known which volume claim {name} is to get")));
        };
        match self.seen.claims.get(name) {
            Some(one) if one.going => Some(Next::Wait(format!("waiting for claim {name} to be gone"))),
            Some(one) if one.volume == wanted => (one.phase != "Bound")
                .then(|| Next::Wait(format!("waiting for claim {name} to be bound to volume {wanted}"))),
            Some(one) if one.volume == claim.volume => {
                (!self.status.disturbed).then(|| self.leave(place, claim))
            }
            Some(one) => Some(self.foreign(name, one)),
            // Somebody used it while it was on its way out: what was written then is on the old volume only.
            None if self.status.disturbed && self.can_return(place, claim) => {
                Some(self.bound_to(place, name, claim.volume.clone()))
            }
            None => Some(self.take(place, name, wanted)),
        }
    }

    fn foreign(&self, name: &str, now: &ClaimSeen) -> Next {
        let has = match now.volume.as_str() {
            "" => "no volume".to_owned(),
            volume => format!("volume {volume}"),
        };
        Next::Stop(format!(
            "claim {name} has {has}, which this move does not know: somebody made it anew. Delete it while nothing uses it, and this goes on"
        ))
    }

    fn leave(&self, place: usize, claim: &MovedClaim) -> Next {
        match self.both_kept(place, claim) {
            Err(why) => self.fail(why),
            Ok(Some(act)) => Next::Do(act),
            Ok(None) => Next::Do(Act::DeleteClaim(place, claim.volume.clone())),
        }
    }

    /// What is to be done before a volume can lose its claim; nothing where it stays without one.
    fn keep_first(&self, name: &str, volume: &str) -> Option<Next> {
        match self.kept(name, volume) {
            Err(why) => Some(Next::Stop(why)),
            Ok(act) => act.map(Next::Do),
        }
    }

    /// The new volume is taken from the claim beside it.
    fn take(&self, place: usize, name: &str, wanted: String) -> Next {
        if let Some(next) = self.keep_first(name, &wanted) {
            return next;
        }
        let copy = objects::copy_claim(name, &self.id);
        match self.seen.claims.get(&copy).filter(|one| one.volume == wanted) {
            Some(one) if one.going => return Next::Wait(format!("waiting for claim {copy} to be gone")),
            Some(_) => return Next::Do(Act::DeleteCopyClaim(place, wanted)),
            None => {}
        }
        self.bound_to(place, name, wanted)
    }

    /// A claim is made when its volume is for it and for no other.
    fn bound_to(&self, place: usize, name: &str, wanted: String) -> Next {
        if let Some(next) = self.keep_first(name, &wanted) {
            return next;
        }
        let ours = |volume: &VolumeNow| {
            volume.claim == (self.spec.namespace.clone(), name.to_owned()) && volume.claim_uid.is_empty()
        };
        Next::Do(match self.seen.volumes.get(&wanted).is_some_and(ours) {
            false => Act::Reserve(place, wanted),
            true => Act::MakeClaim(place, wanted),
        })
    }
}
