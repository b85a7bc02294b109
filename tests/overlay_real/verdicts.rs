//! What two outcomes have in common, and the differences between them that are meant.

use super::{Tree, ours, theirs};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A difference that is meant.
pub(super) struct Intended {
    /// What it is called where it is counted.
    pub(super) name: &'static str,
    /// The words of our message, where we refuse what kustomize builds; "" where both build.
    pub(super) says: &'static str,
    /// The words of kustomize's error, where it refuses what we build; "" elsewhere.
    pub(super) theirs: &'static str,
    /// Why it is meant.
    pub(super) why: &'static str,
    /// How many of the generated trees may need it at most: what is excused must stay rare.
    pub(super) most: usize,
}

/// All of them; nothing else is forgiven.
pub(super) const INTENDED: [Intended; 19] = [
    Intended {
        name: "defined twice",
        says: "is defined twice",
        theirs: "",
        why: "kustomize tells objects of one kind apart by API version; the API server holds only one of them",
        most: 15,
    },
    Intended {
        name: "values inside of texts",
        says: "values inside of texts are not replaced",
        theirs: "",
        why: "JSON or YAML inside of a text is its reader's; changing it by a path breaks its formatting",
        most: 15,
    },
    Intended {
        name: "items without their key",
        says: "to know it by",
        theirs: "",
        why: "an item of a keyed list without its key cannot be merged; kustomize makes an object of it that the API refuses",
        most: 15,
    },
    Intended {
        name: DIRECTIVE,
        says: "",
        theirs: "",
        why: "kustomize leaves a directive where the list that it is for was not there, and loses what stands beside it",
        most: 15,
    },
    Intended {
        name: ORDER,
        says: "",
        theirs: "",
        why: "kustomize puts merged items of such lists into an order that depends on how many of them have which key, which nobody can \
              want and no API server sees",
        most: 40,
    },
    Intended {
        name: POSITION,
        says: "",
        theirs: "",
        why: "a replacement by position, in a list whose order is not to be relied on for that reason",
        most: 15,
    },
    Intended {
        name: QUOTES,
        says: "",
        theirs: "",
        why: "kustomize forgets the quotes of a text that a replacement puts somewhere, so that \"1\" becomes 1, which the API refuses in a text's place",
        most: 15,
    },
    Intended {
        name: ORIGIN,
        says: "",
        theirs: "",
        why: "where a JSON patch replaced all annotations kustomize says that the patch made the object; the file that it came from is the \
              better answer",
        most: 15,
    },
    Intended {
        name: PROTOCOL,
        says: "",
        theirs: "",
        why: "a port without a protocol is one of TCP to the API server; where only the patch or only the object says so, kustomize loses \
              an item of one of them",
        most: 15,
    },
    Intended {
        name: BOOLEANS,
        says: "",
        theirs: "",
        why: "`yes`, `on` and `y` are booleans to kubectl, which reads what is not in a kustomization; kustomize makes texts of them",
        most: 80,
    },
    Intended {
        name: DATES,
        says: "",
        theirs: "",
        why: "a date is a text to kubectl; kustomize adds a time that nobody wrote",
        most: 50,
    },
    Intended {
        name: "an operation without its value",
        says: "need `value`",
        theirs: "",
        why: "kustomize writes null, which is rarely meant and is written as `value: null` where it is",
        most: 15,
    },
    Intended {
        name: "a pointer without its slash",
        says: "begin with `/`",
        theirs: "",
        why: "kustomize forgets the first name of such a path and writes somewhere else",
        most: 15,
    },
    Intended {
        name: "a copy of nothing",
        says: "`copy` fails on",
        theirs: "",
        why: "kustomize writes null where what is to be copied is not there",
        most: 15,
    },
    Intended {
        name: "a patch that says nothing",
        says: "the patch is empty",
        theirs: "",
        why: "kustomize ignores a patch that holds nothing but comments; it is one that was forgotten",
        most: 15,
    },
    Intended {
        name: "a map in a text's place",
        says: "the source is a list or a map",
        theirs: "",
        why: "kustomize empties the field without a word",
        most: 15,
    },
    Intended {
        name: "a test of all annotations",
        says: "",
        theirs: "testing value /metadata/annotations failed",
        why: "kustomize finds annotations there that it keeps for itself while it works, which nobody can write down",
        most: 15,
    },
    Intended {
        name: "a targeted patch without a name",
        says: "",
        theirs: "unable to parse SM or JSON patch",
        why: "kustomize wants a kind and a name in it, which it then ignores: the target says which objects are meant",
        most: 15,
    },
    Intended {
        name: LATE,
        says: "",
        theirs: "/metadata/annotations",
        why: "`patches` finds a map of annotations in every object, since kustomize keeps its own there; patchesJson6902 finds one only where \
              something else was done to the object before, and nobody can see whether it was",
        most: 15,
    },
];

const DIRECTIVE: &str = "a directive that is left";
const ORDER: &str = "order of items with two keys";
const POSITION: &str = "replaced by position in such a list";
const QUOTES: &str = "quotes that a replacement loses";
const ORIGIN: &str = "origin that a patch took";
const PROTOCOL: &str = "a protocol that one side says";
const BOOLEANS: &str = "words that are booleans";
const DATES: &str = "dates";
const LATE: &str = "annotations in patchesJson6902";

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same objects in the same order.
    Same,
    /// Both refuse it.
    Refused,
    /// Differences that are meant, by name.
    Intended(BTreeSet<&'static str>),
}

/// What the replacements of a tree may have touched.
#[derive(Default)]
pub(super) struct Replaced {
    /// The kinds of objects that they put something into.
    kinds: BTreeSet<String>,
    /// Those of them in whose ports they do so by position.
    by_position: BTreeSet<String>,
    /// Numbers of ports that stand somewhere with a protocol and somewhere without.
    half_said: BTreeSet<String>,
}

/// The number of a port.
fn number(port: &Value) -> String {
    let number = port.get("port").or(port.get("containerPort"));
    number.map(Value::to_string).unwrap_or_default()
}

/// The numbers of all ports in a value, and in texts that are YAML, by whether their protocol is said.
fn numbers(value: &Value, said: &mut BTreeSet<String>, unsaid: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for port in map.get("ports").and_then(Value::as_array).into_iter().flatten() {
                let all = match port.get("protocol") {
                    Some(_) => &mut *said,
                    None => &mut *unsaid,
                };
                all.insert(number(port));
            }
            map.values().for_each(|one| numbers(one, said, unsaid));
        }
        Value::Array(items) => items.iter().for_each(|one| numbers(one, said, unsaid)),
        Value::String(text) if text.contains("ports:") => {
            for document in couchestor::formats::yaml::load(text).unwrap_or_default() {
                numbers(&document.to_json().unwrap_or_default(), said, unsaid);
            }
        }
        _ => {}
    }
}

/// Whether YAML 1.1 reads a word as this boolean, and YAML 1.2 as a text.
fn is_word_for(text: &str, boolean: bool) -> bool {
    let words = if boolean {
        ["y", "yes", "on"]
    } else {
        ["n", "no", "off"]
    };
    words.contains(&text.to_lowercase().as_str())
}

impl Replaced {
    fn of(tree: &Tree) -> Self {
        let mut found = Self::default();
        let (mut said, mut unsaid) = (BTreeSet::new(), BTreeSet::new());
        for text in tree.values() {
            for document in couchestor::formats::yaml::load(text).unwrap_or_default() {
                let Ok(value) = document.to_json() else { continue };
                numbers(&value, &mut said, &mut unsaid);
                let entries = value["replacements"].as_array().cloned().unwrap_or_default();
                // A file of replacements is a list of them, or one.
                let alone = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for target in entries
                    .iter()
                    .chain(&alone)
                    .flat_map(|one| one["targets"].as_array())
                    .flatten()
                {
                    let kind = target["select"]["kind"].as_str().unwrap_or_default().to_owned();
                    if target["fieldPaths"].to_string().contains("ports.0") {
                        found.by_position.insert(kind.clone());
                    }
                    found.kinds.insert(kind);
                }
            }
        }
        found.half_said = said.intersection(&unsaid).cloned().collect();
        found
    }

    fn holds(kinds: &BTreeSet<String>, object: &Value) -> bool {
        // A target without a kind is for all.
        kinds.contains("") || object["kind"].as_str().is_some_and(|kind| kinds.contains(kind))
    }
}

/// Compares two values, and notes what has to be forgiven for them to be the same.
struct Comparison<'a> {
    /// Numbers of ports whose protocol is said in one place only.
    half_said: &'a BTreeSet<String>,
    /// Whether a replacement may have put something into this object.
    replaced: bool,
    /// Whether into its ports by position.
    by_position: bool,
    forgiven: BTreeSet<&'static str>,
}

impl Comparison<'_> {
    /// Lists whose items have two keys.
    const KEYED_TWICE: [&'static str; 2] = ["ports", "topologySpreadConstraints"];

    fn same(&mut self, ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                a.keys().all(|key| b.contains_key(key))
                    && b.iter()
                        .all(|(key, theirs)| self.same_entry(key, a.get(key), theirs))
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (Value::String(text), Value::Number(_) | Value::Bool(_))
                if self.replaced && theirs.to_string().eq(text) =>
            {
                self.forgive(QUOTES)
            }
            (Value::Bool(boolean), Value::String(text)) if is_word_for(text, *boolean) => {
                self.forgive(BOOLEANS)
            }
            (Value::String(date), Value::String(time))
                if time.strip_suffix("T00:00:00Z") == Some(date.as_str()) =>
            {
                self.forgive(DATES)
            }
            (a, b) => a == b,
        }
    }

    fn forgive(&mut self, name: &'static str) -> bool {
        self.forgiven.insert(name);
        true
    }

    fn same_entry(&mut self, key: &str, ours: Option<&Value>, theirs: &Value) -> bool {
        let directive = |value: &Value| {
            let items = value.as_array().into_iter().flatten();
            items.into_iter().any(|item| item.get("$patch").is_some())
        };
        if directive(theirs) && ours.is_none_or(|ours| ours.is_array() && !directive(ours)) {
            return self.forgive(DIRECTIVE);
        }
        let Some(ours) = ours else { return false };
        if key == "config.kubernetes.io/origin" && ours != theirs {
            let says = |value: &Value, words: &str| value.as_str().is_some_and(|text| text.contains(words));
            // Of either field that JSON patches stand in.
            let by_patch = ["PatchTransformer", "PatchJson6902Transformer"];
            return by_patch.iter().any(|words| says(theirs, words))
                && says(ours, "path: ")
                && self.forgive(ORIGIN);
        }
        let before = self.forgiven.clone();
        if self.same(ours, theirs) {
            return true;
        }
        self.forgiven.clone_from(&before);
        let (Value::Array(a), Value::Array(b)) = (ours, theirs) else {
            return false;
        };
        if !Self::KEYED_TWICE.contains(&key) {
            return false;
        }
        let half = key == "ports" && !self.half_said.is_empty();
        let fully = |ports: &[Value]| -> Vec<Value> {
            let said = ports
                .iter()
                .filter(|port| !self.half_said.contains(&number(port)));
            said.cloned().collect()
        };
        let (full_a, full_b) = (fully(a), fully(b));
        let as_many = a.len() == b.len() || half && full_a.len() == full_b.len();
        if self.by_position && key == "ports" && as_many {
            return self.forgive(POSITION);
        }
        if self.same_in_some_order(a, b) {
            return self.forgive(ORDER);
        }
        self.forgiven = before;
        half && self.same_in_some_order(&full_a, &full_b) && self.forgive(PROTOCOL)
    }

    fn same_in_some_order(&mut self, ours: &[Value], theirs: &[Value]) -> bool {
        let sorted = |items: &[Value]| {
            let mut items = items.to_vec();
            items.sort_by_key(ToString::to_string);
            items
        };
        let (a, b) = (sorted(ours), sorted(theirs));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.same(a, b))
    }
}

/// Whether two objects are the same, and what was forgiven.
pub(super) fn same_object(
    ours: &Value,
    theirs: &Value,
    replaced: &Replaced,
) -> Option<BTreeSet<&'static str>> {
    let mut comparison = Comparison {
        half_said: &replaced.half_said,
        replaced: Replaced::holds(&replaced.kinds, ours),
        by_position: Replaced::holds(&replaced.by_position, ours),
        forgiven: BTreeSet::new(),
    };
    comparison.same(ours, theirs).then_some(comparison.forgiven)
}

/// What two outcomes have in common, if they may differ as they do.
fn verdict(
    tree: &Tree,
    ours: &Result<Vec<Value>, String>,
    theirs: &Result<Vec<Value>, String>,
) -> Option<Verdict> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            if ours.len() != theirs.len() {
                return None;
            }
            let replaced = Replaced::of(tree);
            let pairs = ours.iter().zip(theirs);
            let forgiven: Option<Vec<_>> = pairs.map(|(a, b)| same_object(a, b, &replaced)).collect();
            let all: BTreeSet<_> = forgiven?.into_iter().flatten().collect();
            Some(match all.is_empty() {
                true => Verdict::Same,
                false => Verdict::Intended(all),
            })
        }
        (Err(_), Err(_)) => Some(Verdict::Refused),
        (Err(message), Ok(_)) => {
            let fits =
                |one: &&Intended| !one.says.is_empty() && message.lines().all(|line| line.contains(one.says));
            let found = INTENDED.iter().find(fits)?;
            Some(Verdict::Intended(BTreeSet::from([found.name])))
        }
        (Ok(_), Err(message)) => {
            let late = tree.values().any(|text| text.contains("patchesJson6902:"));
            let fits = |one: &&Intended| {
                !one.theirs.is_empty() && message.contains(one.theirs) && (late || one.name != LATE)
            };
            let found = INTENDED.iter().find(fits)?;
            Some(Verdict::Intended(BTreeSet::from([found.name])))
        }
    }
}

/// Compares one tree; a difference is told with everything that it takes to look into it.
pub(super) fn compare(what: &str, tree: &Tree, root: &str) -> Result<Verdict, String> {
    let (our, their) = (ours(tree, root), theirs(tree, root));
    if let Some(verdict) = verdict(tree, &our, &their) {
        return Ok(verdict);
    }
    let show = |result: &Result<Vec<Value>, String>| match result {
        Ok(values) => values
            .iter()
            .map(|value| serde_json::to_string_pretty(value).expect("JSON"))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => format!("refused: {error}"),
    };
    let files: Vec<String> = tree
        .iter()
        .map(|(path, text)| format!("--- {path}\n{text}"))
        .collect();
    let replaced = Replaced::of(tree);
    let pair = match (&our, &their) {
        (Ok(our), Ok(their)) => our
            .iter()
            .zip(their)
            .find(|(a, b)| same_object(a, b, &replaced).is_none())
            .map(|(a, b)| format!("first difference:\nours {a}\ntheirs {b}\n"))
            .unwrap_or_else(|| format!("{} objects against {}\n", our.len(), their.len())),
        _ => String::new(),
    };
    Err(format!(
        "{what}\n{}\n=== ours\n{}\n=== theirs\n{}\n{pair}",
        files.join("\n"),
        show(&our),
        show(&their)
    ))
}

/// How often each verdict came, in words.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) same: usize,
    pub(super) refused: usize,
    /// Trees of which something is forgiven.
    pub(super) intended: usize,
    /// By the name of what is forgiven.
    pub(super) by_name: BTreeMap<&'static str, usize>,
}

impl Counts {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Same => self.same += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Intended(names) => {
                self.intended += 1;
                for name in names {
                    *self.by_name.entry(name).or_default() += 1;
                }
            }
        }
    }

    pub(super) fn words(&self) -> String {
        let mut words = format!(
            "{} the same, {} refused by both, {} that differ as intended",
            self.same, self.refused, self.intended
        );
        for one in INTENDED.iter().filter(|one| self.by_name.contains_key(one.name)) {
            words += &format!("\n  {}: {} ({})", one.name, self.by_name[one.name], one.why);
        }
        words
    }
}
