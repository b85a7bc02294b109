//! Watches: a stream of what changed since a version, with bookmarks, until time is up or a test cuts it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::selectors::Selector;
use super::server::Shared;
use super::status::{self, Refusal};
use super::store::{Change, Store};
use super::view::{self, Form};
use super::write::Target;

/// How long a watch lives if the client does not say: as the real server, between half an hour and an hour.
const LIFETIME: Duration = Duration::from_secs(1800);

/// How often a quiet watch says how far it is: as the real server.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// What a client asks of a watch.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// What to watch.
    pub(super) target: Target,
    /// What to leave out.
    pub(super) selector: Selector,
    /// Show changes after this version; `None` shows what is there first.
    pub(super) since: Option<u64>,
    /// Whether to send bookmarks.
    pub(super) bookmarks: bool,
    /// Whether to mark where what was there ends.
    pub(super) mark_initial: bool,
    /// When to end.
    pub(super) timeout: Option<Duration>,
    /// How to show objects.
    pub(super) form: Form,
}

struct Watch {
    wish: Wish,
    shared: Arc<Shared>,
    changes: Receiver<u64>,
    cuts: Receiver<u64>,
    seen: u64,
    waiting: VecDeque<Value>,
    end: Instant,
    bookmark: Instant,
    over: bool,
}

/// Opens a watch.
pub(super) fn open(shared: &Arc<Shared>, wish: Wish) -> Body {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let mut watch = Watch {
        changes: shared.changes.subscribe(),
        cuts,
        seen: 0,
        waiting: VecDeque::new(),
        end: Instant::now() + wish.timeout.unwrap_or(LIFETIME),
        bookmark: Instant::now() + BOOKMARKS,
        over: false,
        shared: Arc::clone(shared),
        wish,
    };
    watch.begin();
    Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    }))
}

impl Watch {
    fn begin(&mut self) {
        let shared = Arc::clone(&self.shared);
        let store = shared.store();
        if let Some(since) = self.wish.since {
            self.seen = since;
            if since < store.forgotten() {
                self.fail(&status::expired(since, store.forgotten()));
            }
            return;
        }
        self.seen = store.revision();
        let namespace = Some(self.wish.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        for object in store.list(&self.wish.target.kind, namespace) {
            if self.wish.selector.takes(&object) && self.is_named(&object) {
                self.say("ADDED", &object);
            }
        }
        if self.wish.mark_initial {
            let mut bookmark = self.bookmark();
            bookmark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            self.waiting.push_back(bookmark);
        }
    }

    fn is_named(&self, object: &Value) -> bool {
        self.wish.target.name.is_empty() || object["metadata"]["name"] == json!(self.wish.target.name)
    }

    fn say(&mut self, kind: &str, object: &Value) {
        let object = view::shown(object, &self.wish.target);
        let object = view::one(object, &self.wish.target, self.wish.form, (self.shared.clock)());
        self.waiting.push_back(json!({"type": kind, "object": object}));
    }

    fn bookmark(&self) -> Value {
        let target = &self.wish.target;
        json!({"type": "BOOKMARK", "object": {"kind": target.kind.kind,
            "apiVersion": target.kind.api_version(&target.version),
            "metadata": {"resourceVersion": self.seen.to_string(), "creationTimestamp": null}}})
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.waiting
            .push_back(json!({"type": "ERROR", "object": *refusal.body}));
        self.over = true;
    }

    /// Queues what happened since the last look.
    fn look(&mut self) {
        let shared = Arc::clone(&self.shared);
        let store = shared.store();
        if self.seen < store.forgotten() && self.seen < store.revision() {
            let lost = store
                .since(self.seen)
                .next()
                .is_none_or(|change| change.revision > self.seen + 1);
            if lost && store.forgotten() > self.seen {
                return self.fail(&status::expired(self.seen, store.forgotten()));
            }
        }
        let wanted = Store::key(
            &self.wish.target.kind,
            &self.wish.target.namespace,
            &self.wish.target.name,
        );
        for change in store.since(self.seen) {
            let here = change.key.group == wanted.group
                && change.key.plural == wanted.plural
                && (wanted.namespace.is_empty() || change.key.namespace == wanted.namespace)
                && (wanted.name.is_empty() || change.key.name == wanted.name);
            if here {
                self.tell(change);
            }
        }
        self.seen = store.revision();
    }

    fn tell(&mut self, change: &Change) {
        let before = change
            .old
            .as_ref()
            .is_some_and(|old| self.wish.selector.takes(old));
        let now = !change.gone && self.wish.selector.takes(&change.new);
        match (before, now) {
            (false, true) => self.say("ADDED", &change.new),
            (true, true) => self.say("MODIFIED", &change.new),
            (true, false) => self.say("DELETED", &change.new),
            (false, false) => {}
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(Bytes::from(format!("{event}\n")));
            }
            if self.over {
                return None;
            }
            self.changes.mark_unchanged();
            self.look();
            if !self.waiting.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                _ = self.cuts.changed() => return None,
                () = tokio::time::sleep_until(self.end) => {
                    self.over = true;
                    self.remind();
                }
                () = tokio::time::sleep_until(self.bookmark) => {
                    self.bookmark = Instant::now() + BOOKMARKS;
                    self.remind();
                }
            }
        }
    }

    fn remind(&mut self) {
        if self.wish.bookmarks {
            let bookmark = self.bookmark();
            self.waiting.push_back(bookmark);
        }
    }
}
