//! A plan → the comment on its pull request and its commit status. No time stands in the text: it is a function of the plan.

use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::ids::Revision;
use crate::model::pull_request::{CommitState, cut};
use crate::model::review::{Change, Fate, Note, ObjectChange, Plan, PlannedMove, Tried};
use crate::render::markdown::{code, counted, plain, shown};

/// Things that are listed of each sort, before it is found out whether all of it fits.
const LISTED_MAX: usize = 200;

/// Longer lists are folded.
const FOLD: usize = 12;

/// Digits of a commit that are shown.
const DIGITS: usize = 12;

/// Between these the plan stands in a comment that says what came of it.
const PLAN_BEGINS: &str = "<!-- the plan begins -->";
const PLAN_ENDS: &str = "<!-- the plan ends -->";

/// What a pull request is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The comment; `None` for nothing.
    pub comment: Option<String>,
    /// The status of its head.
    pub state: CommitState,
    /// The status in words.
    pub description: String,
}

/// What came of a pull request after its merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// All of it is applied.
    Applied(&'a Revision),
    /// It is not, for this reason; it is tried again.
    Failed(&'a Revision, &'a str),
}

/// Says a plan, in at most so many characters: what has no room is counted.
pub fn plan(plan: &Plan, most: usize) -> Said {
    let (state, description) = status(plan);
    let mut listed = LISTED_MAX;
    let comment = loop {
        let text = text(plan, listed);
        if text.chars().count() <= most || listed == 0 {
            break cut(&text, most);
        }
        listed /= 2;
    };
    Said {
        comment: Some(comment),
        state,
        description,
    }
}

/// Says that somebody holds a pull request.
pub fn held(login: &str) -> Said {
    let login = shown(login);
    Said {
        comment: Some(format!(
            "**Held by {}.** No plan is made and the status `couchestor/plan` fails until somebody who may says \
             `/couchestor plan` here. A forge that demands this status merges nothing meanwhile. If couchestor opened this, it leaves the \
             branch and the text as they are.\n",
            code(&login)
        )),
        state: CommitState::Failure,
        description: format!("held by {login}"),
    }
}

/// Says that a pull request touches nothing; in a comment only when there is one already.
pub fn untouched(commented: bool) -> Said {
    let comment = "This touches no policies any more: merging it changes nothing that couchestor does.\n";
    Said {
        comment: commented.then(|| comment.to_owned()),
        state: CommitState::Success,
        description: "touches no policies".to_owned(),
    }
}

/// Says what came of a merge, above the plan that stands in the comment so far, as far as there is room.
pub fn outcome(outcome: &Outcome, earlier: Option<&str>, most: usize) -> String {
    let result = match outcome {
        Outcome::Applied(revision) => {
            format!("**Merged and applied** in revision {}.\n", revision_of(revision))
        }
        Outcome::Failed(revision, reason) => format!(
            "**Merged, and not applied**: revision {} fails, what was applied before stays, and it is tried again. {}\n",
            revision_of(revision),
            plain(reason)
        ),
    };
    let plan = earlier.map(|earlier| {
        let begun = earlier.split_once(PLAN_BEGINS).map_or(earlier, |(_, rest)| rest);
        let plan = begun.rsplit_once(PLAN_ENDS).map_or(begun, |(plan, _)| plan);
        plan.trim().to_owned()
    });
    let whole = plan.filter(|plan| !plan.is_empty()).map(|plan| {
        format!(
            "{result}\n<details><summary>The plan</summary>\n\n{PLAN_BEGINS}\n{plan}\n{PLAN_ENDS}\n\n</details>\n"
        )
    });
    whole
        .filter(|whole| whole.chars().count() <= most)
        .unwrap_or(result)
}

fn revision_of(revision: &Revision) -> String {
    format!(
        "{} of {}",
        digits(revision.commit.as_str()),
        code(&shown(&revision.branch))
    )
}

fn digits(commit: &str) -> String {
    code(&shown(commit).chars().take(DIGITS).collect::<String>())
}

/// The plan in a few words, without a mark of Markdown.
fn summary(plan: &Plan) -> Vec<String> {
    let object = |change, verb: &str| match plan.count(change) {
        0 => None,
        count => Some(format!("{} {verb}", counted(count, "object"))),
    };
    let fates = |fate| plan.moves.iter().filter(|one| one.fate == fate).count();
    let moves = |fate, verb: &str| match fates(fate) {
        0 => None,
        count => Some(format!("{} {verb}", counted(count, "volume"))),
    };
    let schedules = (!plan.schedules.is_empty())
        .then(|| format!("{} changed", counted(plan.schedules.len(), "schedule")));
    [
        object(Change::Created, "created"),
        object(Change::Changed, "changed"),
        object(Change::Deleted, "deleted"),
        object(Change::Paused, "paused and kept"),
        schedules,
        moves(Fate::Moves, "to move"),
        moves(Fate::Waits, "to move later"),
        moves(Fate::Proposed, "to be proposed"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn status(plan: &Plan) -> (CommitState, String) {
    let branch = shown(&plan.branch);
    if !plan.conflicts.is_empty() {
        return (CommitState::Failure, format!("conflicts with {branch}"));
    }
    if plan.unreadable.is_some() {
        return (CommitState::Failure, "Git would not take this commit".to_owned());
    }
    let errors = errors(plan).len();
    let refused = plan
        .objects
        .iter()
        .filter(|one| matches!(one.tried, Tried::Refused(_)))
        .count();
    let mut wrong = Vec::new();
    if errors > 0 {
        wrong.push(counted(errors, "error"));
    }
    if refused > 0 {
        wrong.push(format!(
            "{} refused by the API server",
            counted(refused, "object")
        ));
    }
    if !wrong.is_empty() {
        return (CommitState::Failure, wrong.join(", "));
    }
    if plan.fork {
        let words = "validated only: a fork's, tried with no key and not on the cluster";
        return (CommitState::Success, words.to_owned());
    }
    match summary(plan) {
        none if none.is_empty() => (CommitState::Success, "changes nothing".to_owned()),
        some => (CommitState::Success, some.join(", ")),
    }
}

fn errors(plan: &Plan) -> Vec<&Diagnostic> {
    let errors = plan
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    errors.collect()
}

fn text(plan: &Plan, listed: usize) -> String {
    let mut text = String::new();
    let (head, base) = (digits(plan.head.as_str()), digits(plan.base.as_str()));
    let branch = code(&shown(&plan.branch));
    if let Some(why) = &plan.unreadable {
        return format!(
            "**This cannot be merged**: {} is a commit that Git itself refuses. {}\n",
            head,
            plain(why)
        );
    }
    if !plan.conflicts.is_empty() {
        text.push_str(&format!(
            "**This conflicts with {branch}** at {base}, so there is no plan. Rebase {head} onto {branch}, or merge {branch} into it; \
             a plan is made then.\n"
        ));
        let paths = plan.conflicts.iter().map(|path| code(path)).collect();
        list(&mut text, "Conflicts", paths, listed);
        return text;
    }
    match (plan.is_refused(), summary(plan)) {
        (true, _) => {
            let (_, words) = status(plan);
            text.push_str(&format!(
                "**Merging this would apply nothing**: {}. What is applied now would stay.\n",
                plain(&words)
            ));
        }
        (false, _) if plan.fork => text.push_str("**No errors found**, as far as a fork is looked into.\n"),
        (false, none) if none.is_empty() => {
            text.push_str("**Merging this changes nothing** that couchestor does.\n")
        }
        (false, some) => text.push_str(&format!("**Merging this:** {}.\n", some.join(", "))),
    }
    text.push_str(&format!(
        "\n{head} on {branch} at {base}; nothing was changed to find this out.\n"
    ));
    if plan.fork {
        text.push_str(
            "\nThis comes from another repository, and whoever wrote it may be anybody. So no key was used for it, the cluster was not \
             asked, and what it would change is not shown.\n",
        );
    }
    for note in &plan.notes {
        text.push_str(&format!("\n{}\n", words_of(*note)));
    }
    let diagnostics = plan.diagnostics.iter().map(diagnostic).collect();
    list(&mut text, "Findings", diagnostics, listed);
    objects(&mut text, plan, listed);
    let schedules = plan.schedules.iter().map(|one| {
        let cron = |text: &Option<String>| text.as_deref().map_or_else(|| "–".to_owned(), code);
        format!(
            "{}: {} → {}",
            code(&shown(&one.name)),
            cron(&one.before),
            cron(&one.after)
        )
    });
    list(&mut text, "Backup schedules", schedules.collect(), listed);
    volumes(&mut text, &plan.moves, listed);
    let sealed = plan.sealed.iter().map(|path| code(path)).collect();
    list(&mut text, "Encrypted, and not opened", sealed, listed);
    let files = plan.files.iter().map(|path| code(path)).collect();
    list(&mut text, "Files", files, listed);
    text
}

fn words_of(note: Note) -> &'static str {
    match note {
        Note::BaseNotApplied => {
            "The base branch's tip is not applied, so this is compared with what is: it holds also what others have merged since."
        }
        Note::SignatureLater => {
            "The source demands signatures. Nobody looked for one here: what counts is that of the commit on the base branch."
        }
        Note::LoadUnknown => {
            "Policies here measure what is not measured yet, so moves by them cannot be foretold: the load is asked for after the merge."
        }
        Note::TriedInPart => {
            "There are too many objects to try all of them; those that were not tried say so."
        }
        Note::NoPrune => "`spec.prune` is false: what is deleted here stays in the cluster.",
        Note::Delivered => {
            "couchestor applies none of these objects: another pull request will write them into the folder of `spec.delivery`."
        }
    }
}

/// A list under a heading; nothing for an empty one.
fn list(text: &mut String, heading: &str, items: Vec<String>, listed: usize) {
    if items.is_empty() {
        return;
    }
    let count = items.len();
    let folded = count > FOLD || listed == 0;
    open(text, heading, count, folded);
    for item in items.into_iter().take(listed) {
        text.push_str(&format!("- {item}\n"));
    }
    left_out(text, count, listed);
    close(text, folded);
}

fn open(text: &mut String, heading: &str, count: usize, folded: bool) {
    text.push_str(&match folded {
        true => format!("\n<details><summary><b>{heading}</b> ({count})</summary>\n\n"),
        false => format!("\n**{heading}**\n\n"),
    });
}

fn close(text: &mut String, folded: bool) {
    if folded {
        text.push_str("\n</details>\n");
    }
}

fn left_out(text: &mut String, count: usize, listed: usize) {
    if count > listed {
        text.push_str(&format!("\n… and {} more.\n", count - listed));
    }
}

fn diagnostic(one: &Diagnostic) -> String {
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = format!("{}:{}:{}", one.place.path, one.place.line, one.place.column);
    let help = match one.help.is_empty() {
        true => String::new(),
        false => format!("; {}", plain(&one.help)),
    };
    format!(
        "{} **{severity}** {}: {}{help}",
        code(&place),
        plain(&one.rule),
        plain(&one.message)
    )
}

fn objects(text: &mut String, plan: &Plan, listed: usize) {
    for (change, heading) in [
        (Change::Created, "Created"),
        (Change::Changed, "Changed"),
        (Change::Deleted, "Deleted"),
        (Change::Paused, "Paused, and kept in the cluster"),
    ] {
        let objects = plan.objects.iter().filter(|one| one.change == change);
        list(text, heading, objects.map(object).collect(), listed);
    }
}

fn object(one: &ObjectChange) -> String {
    let what = match &one.name {
        Some(name) => code(&format!("{} {name}", one.kind)),
        None => format!("an encrypted {}", code(&shown(&one.kind))),
    };
    let from = match &one.made_from {
        Some(from) => format!("of {} in {}", code(from), code(&one.path)),
        None => format!("in {}", code(&one.path)),
    };
    let tried = match &one.tried {
        Tried::No | Tried::Creates | Tried::Configures => String::new(),
        Tried::Unchanged => "; the cluster has it like this already".to_owned(),
        Tried::Later(why) => format!("; {why}"),
        Tried::Refused(words) => format!("; **refused by the API server**: {}", plain(words)),
    };
    let masked = match (one.secret, one.change) {
        (true, Change::Changed) => ": changed (secret)",
        _ => "",
    };
    let mut text = format!("{what} {from}{masked}{tried}");
    for field in &one.fields {
        let side = |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), code);
        text.push_str(&format!(
            "\n  - {}: {} → {}",
            code(&field.path),
            side(&field.before),
            side(&field.after)
        ));
    }
    if one.more_fields > 0 {
        text.push_str(&format!("\n  - … and {} more", counted(one.more_fields, "field")));
    }
    text
}

fn volumes(text: &mut String, moves: &[PlannedMove], listed: usize) {
    if moves.is_empty() {
        return;
    }
    let folded = moves.len() > FOLD || listed == 0;
    open(text, "Volumes", moves.len(), folded);
    if listed > 0 {
        text.push_str("| volume | from | to | what happens |\n| --- | --- | --- | --- |\n");
    }
    for one in moves.iter().take(listed) {
        let name = |name: &Option<String>| name.as_deref().map_or_else(|| "–".to_owned(), shown);
        let claim = one
            .claim
            .as_deref()
            .map_or_else(|| "encrypted".to_owned(), |claim| code(&shown(claim)));
        let fate = match one.fate {
            Fate::Moves => "moves, approved by this merge",
            Fate::Waits => "approved by this merge, and waits",
            Fate::Proposed => "a move would be proposed",
            Fate::NotProposed => "its move would be proposed no more",
        };
        let why = match one.words.is_empty() {
            true => String::new(),
            false => format!(": {}", plain(&one.words)),
        };
        text.push_str(&format!(
            "| {claim} | {} | {} | {fate}{why} |\n",
            name(&one.from),
            name(&one.to)
        ));
    }
    left_out(text, moves.len(), listed);
    close(text, folded);
}
