//! What was: stale reads tell of it.

use super::faults::Stale;
use super::show::View;
use super::state::{SimNode, SimPool, SimVolume, State};
use std::collections::BTreeMap;
use std::time::Duration;

/// Past states that are kept for stale reads: a read older than that is older than any proxy's cache.
const PAST_MAX: usize = 512;

/// What a stale read tells of.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) at: Duration,
    /// Whether a change followed, and not only time.
    pub(super) change: bool,
    pub(super) nodes: BTreeMap<String, SimNode>,
    pub(super) offline: BTreeMap<String, Duration>,
    pub(super) pools: BTreeMap<String, SimPool>,
    pub(super) volumes: BTreeMap<String, SimVolume>,
}

impl State {
    /// What can be read now.
    pub fn view(&self) -> View<'_> {
        View {
            nodes: &self.nodes,
            offline: &self.offline,
            pools: &self.pools,
            volumes: &self.volumes,
            capabilities: self.capabilities,
        }
    }

    /// What a stale read tells of. Without a memory that goes so far back it tells of the oldest that is known.
    pub fn view_of(&self, stale: Stale) -> View<'_> {
        let past = match stale {
            Stale::Changes(0) => None,
            Stale::Changes(back) => {
                let mut changes = self.past.iter().rev().filter(|past| past.change);
                changes.nth(back - 1).or(self.past.front())
            }
            Stale::Time(ago) => {
                let then = self.at.saturating_sub(ago);
                self.past
                    .iter()
                    .rev()
                    .find(|past| past.at <= then)
                    .or(self.past.front())
            }
        };
        match past {
            None => self.view(),
            Some(past) => View {
                nodes: &past.nodes,
                offline: &past.offline,
                pools: &past.pools,
                volumes: &past.volumes,
                ..self.view()
            },
        }
    }

    /// From now on the past is kept, for stale reads. It costs a copy of everything at each change, so it isn't the rule.
    pub fn remember_past(&mut self) {
        if !self.remembers {
            self.remembers = true;
            self.keep_past(false);
        }
    }

    /// Keeps the present, before a change or before time goes on.
    pub(super) fn keep_past(&mut self, change: bool) {
        if !self.remembers {
            return;
        }
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(Past {
            at: self.at,
            change,
            nodes: self.nodes.clone(),
            offline: self.offline.clone(),
            pools: self.pools.clone(),
            volumes: self.volumes.clone(),
        });
    }

    /// The last change was refused: nothing changed.
    pub(super) fn forget_last(&mut self) {
        if self.remembers {
            self.past.pop_back();
        }
    }
}
