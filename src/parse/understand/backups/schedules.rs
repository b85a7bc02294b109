//! Schedules: when they are due, how long backups are kept, and whether that keeps what the policy promises.

use super::super::super::word;
use super::super::{Reader, hint};
use crate::formats::cron::{self, Cron, Gaps};
use crate::formats::duration;
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::GROUP;
use crate::model::kinds::backup::{BackupPolicySpec, BackupSchedule};
use crate::model::secret::MASK;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A Velero Schedule's name is a label value, and Velero adds 15 characters for a backup's name.
pub(super) const SCHEDULE_NAME_MAX: usize = 48;

/// Gaps and meetings are looked for from the first second of 2027 on: a file is right or wrong whatever the day is.
const FROM: i64 = 1_798_761_600;

/// Backups that are made more often than that are a slip: each lists every object and opens every repository, and Velero makes one at a time.
const SHORTEST: Duration = Duration::from_secs(5 * 60);

/// How many backups may be made within the time of which one may be lost: half-hourly ones for a day. With more of them one of the two
/// figures is a slip of its unit.
const BACKUPS_PER_RPO: u32 = 48;

/// Pairs of schedules of one Velero that are compared, and looks at their runs; twenty policies with ten schedules each have fewer.
pub(super) const PAIRS: usize = 20_000;
const LOOKS: usize = 50_000;

/// One Velero Schedule, which will be rendered or stands in the tree itself.
pub(in crate::parse::understand) struct Planned<'a> {
    pub(super) resource: &'a Resource,
    pub(super) pointer: String,
    pub(super) name: String,
    pub(super) cron: Cron,
}

/// A schedule that does not pause.
struct Open {
    cron: Cron,
    /// The longest time between two backups.
    gap: Option<Duration>,
    ttl: Option<Duration>,
}

/// The longest time between two backups of a policy; none where its schedules pause, or cannot be read.
pub(super) fn time_between(spec: &BackupPolicySpec) -> Option<Duration> {
    let open = spec.schedules.iter().filter(|one| !one.paused);
    let crons: Result<Vec<Cron>, _> = open.map(|one| cron::parse(&one.schedule)).collect();
    let crons = crons.ok()?;
    cron::longest_gap(&crons.iter().collect::<Vec<&Cron>>(), from())
}

pub(super) fn from() -> Timestamp {
    Timestamp::from_second(FROM).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl<'a> Reader<'a> {
    /// Checks the schedules of a policy, each and all together.
    pub(super) fn schedules(&mut self, resource: &'a Resource, spec: &BackupPolicySpec) {
        let mut named = BTreeSet::new();
        let mut open: Vec<Open> = Vec::new();
        let mut unread = false;
        for (index, schedule) in spec.schedules.iter().enumerate() {
            let pointer = format!("/spec/schedules/{index}");
            self.schedule_name(resource, schedule, &pointer, named.insert(schedule.name.as_str()));
            self.duration(resource, &format!("{pointer}/ttl"), &schedule.ttl);
            if let Some(location) = &schedule.location {
                self.goes_to(resource, &format!("{pointer}/location"), location);
            }
            let Some(cron) = self.cron(resource, &format!("{pointer}/schedule"), &schedule.schedule) else {
                unread = true;
                continue;
            };
            let ttl = duration::parse(&schedule.ttl).ok();
            let gaps = cron.gaps(from());
            if let Some(gaps) = gaps {
                self.often(resource, &pointer, gaps, spec);
                self.kept(resource, &pointer, gaps.longest, ttl);
            }
            self.planned.push(Planned {
                resource,
                pointer: format!("{pointer}/schedule"),
                name: format!("{}-{}", resource.name(), schedule.name),
                cron: cron.clone(),
            });
            if !schedule.paused {
                let gap = gaps.map(|gaps| gaps.longest);
                open.push(Open { cron, gap, ttl });
            }
        }
        if !unread {
            self.promises(resource, spec, &open);
        }
    }

    /// An expression of robfig/cron, or the finding that it is none.
    pub(super) fn cron(&mut self, resource: &Resource, pointer: &str, text: &str) -> Option<Cron> {
        match cron::parse(text) {
            Ok(cron) => Some(cron),
            Err(help) => {
                let help = hint(
                    resource,
                    help,
                    "write five fields (minute, hour, day of month, month, day of week), or such as @daily",
                );
                let message = "`schedule` is not one that Velero reads";
                self.wrong(resource, pointer, "schedule", message, help);
                None
            }
        }
    }

    fn schedule_name(&mut self, resource: &Resource, schedule: &BackupSchedule, pointer: &str, first: bool) {
        let pointer = format!("{pointer}/name");
        // It becomes the end of a Velero Schedule's name.
        let wrong = match (word(&schedule.name), first) {
            (false, _) => Some((
                "`name` is no name that Kubernetes takes",
                "write lower case letters, digits and -",
            )),
            (true, false) => Some((
                "two schedules have this name",
                "name each differently: one Velero Schedule is made of each",
            )),
            (true, true) => None,
        };
        if let Some((message, help)) = wrong {
            self.wrong(resource, &pointer, "name", message, help);
        }
        if resource.name().len() + 1 + schedule.name.len() > SCHEDULE_NAME_MAX {
            self.wrong(
                resource,
                &pointer,
                "value",
                "the names of policy and schedule are too long together",
                format!("keep them below {SCHEDULE_NAME_MAX} characters: Velero puts them into labels"),
            );
        }
    }

    /// Whether the location that backups go to is there and takes them.
    pub(super) fn goes_to(&mut self, resource: &Resource, pointer: &str, name: &str) {
        let told = resource.origin.told(name);
        match self.around.locations.get(&(resource.namespace(), name)) {
            None if self
                .around
                .is_misspelt("BackupLocation", resource.namespace(), name) => {}
            None => {
                let namespace = resource.origin.told(resource.namespace());
                let message = format!("there is no BackupLocation {told} in namespace {namespace}");
                let help = "correct the name, or add the location";
                self.wrong(resource, pointer, "reference", message, help);
            }
            Some(location) if text_at(&location.value, &["spec", "accessMode"]) == "ReadOnly" => self.wrong(
                resource,
                pointer,
                "location",
                format!("BackupLocation {told} is ReadOnly: every backup would fail its validation"),
                "name a location that may be written, or set its `accessMode: ReadWrite`",
            ),
            Some(_) => {}
        }
    }

    fn often(&mut self, resource: &Resource, pointer: &str, gaps: Gaps, spec: &BackupPolicySpec) {
        let rpo = spec.rpo.as_deref().and_then(|text| duration::parse(text).ok());
        let pointer = format!("{pointer}/schedule");
        if !self.too_often(resource, &pointer, gaps)
            && rpo.is_some_and(|rpo| gaps.longest.saturating_mul(BACKUPS_PER_RPO) < rpo)
        {
            self.wrong(
                resource,
                &pointer,
                "schedule",
                format!("this makes more than {BACKUPS_PER_RPO} backups within the `rpo` that one of them would keep"),
                "back up less often, or promise the shorter `rpo` that this keeps",
            );
        }
    }

    /// Whether backups come sooner after each other than Velero makes them.
    pub(super) fn too_often(&mut self, resource: &Resource, pointer: &str, gaps: Gaps) -> bool {
        let often = gaps.shortest < SHORTEST;
        if often {
            self.wrong(
                resource,
                pointer,
                "schedule",
                "backups would be made less than five minutes after each other",
                "leave at least five minutes between two: Velero makes one at a time, and each of them lists every object; databases lose less \
                 by archiving their own logs",
            );
        }
        often
    }

    /// A backup is kept until at least two newer ones should be there: one may fail.
    pub(super) fn kept(
        &mut self,
        resource: &Resource,
        pointer: &str,
        longest: Duration,
        ttl: Option<Duration>,
    ) {
        let least = longest.saturating_mul(2);
        if ttl.is_some_and(|ttl| ttl < least) {
            let gap = duration::format(longest);
            let general = "keep backups for at least twice the longest time between two";
            let help = format!(
                "write at least {}: a backup is needed until the next but one is there",
                duration::format(least)
            );
            let message = format!(
                "up to {} pass between two backups, and one is not kept for twice as long",
                resource.origin.told(&gap)
            );
            self.wrong(
                resource,
                &format!("{pointer}/ttl"),
                "retention",
                message,
                hint(resource, help, general),
            );
        }
    }

    /// What the schedules that do not pause keep of the policy's promises.
    fn promises(&mut self, resource: &Resource, spec: &BackupPolicySpec, open: &[Open]) {
        let read = |text: Option<&String>| text.and_then(|text| duration::parse(text).ok());
        let evidence = spec.drill.as_ref().map(|drill| &drill.evidence_age);
        let (rpo, evidence) = (read(spec.rpo.as_ref()), read(evidence));
        if open.is_empty() {
            if rpo.is_some() {
                let help = "let one go on, or take `rpo` out";
                self.doubt(
                    resource,
                    "/spec/rpo",
                    "rpo",
                    "every schedule pauses: nothing keeps this promise",
                    help,
                );
            }
            return;
        }
        // Schedules that take turns may keep together what none keeps by itself.
        let alone = open.iter().filter_map(|one| one.gap).min();
        let together = || {
            let crons: Vec<&Cron> = open.iter().map(|one| &one.cron).collect();
            let gap = cron::longest_gap(&crons, from());
            gap.into_iter().chain(alone).min()
        };
        if let Some(rpo) = rpo
            && alone.is_none_or(|gap| gap >= rpo)
            && let Some(gap) = together().filter(|gap| *gap >= rpo)
        {
            let is_kept = gap == rpo;
            let gap = duration::format(gap);
            let help = format!("back up more often, or promise {gap} and the time that a backup takes");
            let general = "back up more often, or promise the longest time between two backups";
            let help = hint(resource, help, general);
            if is_kept {
                let message = "`rpo` is as long as the time between two backups: each breaks the promise for as long as it takes";
                self.doubt(resource, "/spec/rpo", "rpo", message, help);
            } else {
                let message = format!(
                    "up to {} pass between two backups, which is longer than `rpo`",
                    resource.origin.told(&gap)
                );
                self.wrong(resource, "/spec/rpo", "rpo", message, help);
            }
        }
        self.outlived(resource, open, rpo, evidence);
    }

    /// Backups must be kept for as long as they are promised for.
    fn outlived(
        &mut self,
        resource: &Resource,
        open: &[Open],
        rpo: Option<Duration>,
        evidence: Option<Duration>,
    ) {
        let longest = open.iter().map(|one| one.ttl).max().flatten();
        for (pointer, promise, word) in [
            ("/spec/rpo", rpo, "`rpo`"),
            ("/spec/drill/evidenceAge", evidence, "`evidenceAge`"),
        ] {
            if let (Some(promise), Some(longest)) = (promise, longest)
                && longest < promise
            {
                self.wrong(
                    resource,
                    pointer,
                    "retention",
                    format!("no backup is kept for as long as {word} says"),
                    "give a schedule a longer `ttl`, or write a shorter time here",
                );
            }
        }
    }

    /// Schedules of one Velero against each other: names, and runs in the same minute.
    pub(in crate::parse::understand) fn schedules_together(&mut self) {
        let planned = std::mem::take(&mut self.planned);
        self.lost.clear();
        let mut names: BTreeMap<(&str, &str), &Resource> = BTreeMap::new();
        for one in planned.iter().filter(|one| one.resource.group() == GROUP) {
            let key = (one.resource.namespace(), one.name.as_str());
            let first = *names.entry(key).or_insert(one.resource);
            // Of two in one policy it was told already.
            let other = first.name() != one.resource.name();
            if other || self.around.velero_schedules.contains(&key) {
                let parent = one.pointer.trim_end_matches("/schedule");
                self.wrong(
                    one.resource,
                    &format!("{parent}/name"),
                    "name",
                    format!(
                        "there is a second Velero Schedule {} in this namespace",
                        one.resource.origin.told(&one.name)
                    ),
                    "name policy or schedule differently: the Schedule is called <policy>-<schedule>",
                );
            }
        }
        let pairs = planned.iter().enumerate().flat_map(|(index, later)| {
            let earlier = planned.iter().take(index);
            earlier.map(move |earlier| (earlier, later))
        });
        let mut told: BTreeSet<(*const Resource, &str)> = BTreeSet::new();
        let mut looks = LOOKS;
        let same = |(a, b): &(&Planned, &Planned)| a.resource.namespace() == b.resource.namespace();
        for (earlier, later) in pairs.filter(same).take(PAIRS) {
            let Some(at) = cron::meeting(&earlier.cron, &later.cron, from(), &mut looks) else {
                continue;
            };
            // Of one schedule it is told once.
            if !told.insert((std::ptr::from_ref(later.resource), later.pointer.as_str())) {
                continue;
            }
            let sealed = earlier.resource.origin.secret || later.resource.origin.secret;
            let (other, when) = match sealed {
                true => (MASK.to_owned(), MASK.to_owned()),
                false => (
                    earlier.name.clone(),
                    at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
                ),
            };
            self.wrong(
                later.resource,
                &later.pointer,
                "schedule-overlap",
                format!(
                    "this runs in the same minute as {other}, first at {when}; the other is at {}",
                    earlier.resource.origin.place(&earlier.pointer)
                ),
                "shift one of them: Velero makes one backup at a time, and the second would be late and hold the same",
            );
        }
    }
}
