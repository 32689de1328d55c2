//! The raw configuration: TOML in which every value knows where it was written, with the
//! environment laid over it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Value as Toml;
use toml::de::{DeTable, DeValue};

use super::Environment;
use super::diagnostic::{ConfigError, Diagnostic, Place, Show, place};

/// The text of a configuration, and the problems found in it so far.
pub(super) struct Document {
    name: String,
    pub(super) text: String,
    problems: RefCell<Vec<(usize, Diagnostic)>>,
}

/// Where a value was written.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Byte ranges of the key and the value in the text.
    Text { key: Range<usize>, value: Range<usize> },
    /// Name of the environment variable.
    Environment(String),
    /// Nowhere: it is missing from the file as a whole.
    Whole,
}

/// A problem of one setting.
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Toml),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// The node at a key path; tables on the way to it are made.
fn slot<'n>(node: &'n mut Node, path: &[String], origin: &Origin) -> Option<&'n mut Node> {
    let Some((key, rest)) = path.split_first() else { return Some(node) };
    let Value::Table(table) = &mut node.value else { return None };
    let empty = || Node { origin: origin.clone(), value: Value::Table(BTreeMap::new()) };
    slot(table.entry(key.clone()).or_insert_with(empty), rest, origin)
}

impl Node {
    /// A value, or a list of values; not something with settings of its own.
    fn is_single(&self) -> bool {
        match &self.value {
            Value::Scalar(_) => true,
            Value::List(list) => list.iter().all(Self::is_single),
            Value::Table(table) => table.is_empty(),
        }
    }
}

impl Document {
    /// Reads TOML and lays the environment over it. Syntax errors end here: what could be saved
    /// of a broken file would only cause misleading complaints.
    pub(super) fn read(name: &str, text: &str, environment: &Environment) -> Result<(Self, Node), ConfigError> {
        let document = Self { name: name.to_owned(), text: text.to_owned(), problems: RefCell::new(Vec::new()) };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                let span = error.span().unwrap_or(0..0);
                let message = error.message().trim().replace('\n', ", ");
                document.report_at(span, Show::Syntax, message);
            }
            return Err(document.error());
        }
        let span = table.span();
        let mut root = document.node(span.clone(), span, DeValue::Table(table.into_inner()));
        document.overlay(&mut root, environment);
        Ok((document, root))
    }

    fn node(&self, key: Range<usize>, span: Range<usize>, value: DeValue<'_>) -> Node {
        let value = match value {
            DeValue::Table(table) => Value::Table(
                table
                    .into_iter()
                    .map(|(name, value)| {
                        let (key, span) = (name.span(), value.span());
                        (name.into_inner().into_owned(), self.node(key, span, value.into_inner()))
                    })
                    .collect(),
            ),
            DeValue::Array(array) => Value::List(
                array
                    .into_iter()
                    .map(|value| {
                        let span = value.span();
                        self.node(span.clone(), span, value.into_inner())
                    })
                    .collect(),
            ),
            DeValue::String(text) => Value::Scalar(Toml::String(text.into_owned())),
            DeValue::Boolean(value) => Value::Scalar(Toml::Boolean(value)),
            DeValue::Datetime(time) => Value::Scalar(Toml::Datetime(time)),
            DeValue::Float(float) => Value::Scalar(Toml::Float(float.as_str().parse().unwrap_or(f64::NAN))),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or_else(|_| {
                    self.report_at(span.clone(), Show::Value, "the number is too large".to_owned());
                    0
                });
                Value::Scalar(Toml::Integer(number))
            }
        };
        Node { origin: Origin::Text { key, value: span }, value }
    }

    /// Lays `HEARKEN_SECTION__KEY=value` over the file.
    fn overlay(&self, root: &mut Node, environment: &Environment) {
        for (variable, value) in environment.overrides() {
            let path: Vec<String> =
                variable.trim_start_matches("HEARKEN_").split("__").map(str::to_lowercase).collect();
            let origin = Origin::Environment(variable.to_owned());
            let slot = slot(root, &path, &origin);
            match slot.filter(|node| node.is_single()) {
                Some(node) => *node = Node { origin, value: Value::Scalar(Toml::String(value.to_owned())) },
                None => {
                    let place = Place::Environment { variable: variable.to_owned() };
                    let message = "this is no single setting that a variable could replace".to_owned();
                    self.push(usize::MAX, Diagnostic { key: path.join("."), message, help: None, place });
                }
            }
        }
    }

    fn push(&self, order: usize, diagnostic: Diagnostic) {
        self.problems.borrow_mut().push((order, diagnostic));
    }

    fn report_at(&self, span: Range<usize>, show: Show, message: String) {
        let place = place(&self.name, &self.text, span.clone(), show);
        self.push(span.start, Diagnostic { key: String::new(), message, help: None, place });
    }

    /// Notes a problem of the setting at this key path. With `Show::Value`, `part` narrows it to
    /// some bytes of the text.
    pub(super) fn report(&self, origin: &Origin, show: Show, part: Option<Range<usize>>, problem: Problem) {
        let (order, place) = match origin {
            Origin::Text { key, value } => {
                let span = part.unwrap_or_else(|| if show == Show::Key { key.clone() } else { value.clone() });
                (span.start, place(&self.name, &self.text, span, show))
            }
            Origin::Environment(variable) => (usize::MAX, Place::Environment { variable: variable.clone() }),
            Origin::Whole => (usize::MAX, Place::Whole { name: self.name.clone() }),
        };
        let Problem { key, message, help } = problem;
        self.push(order, Diagnostic { key, message, help, place });
    }

    /// The problems so far, in the order of the file.
    fn error(&self) -> ConfigError {
        let mut problems = self.problems.take();
        problems.sort_by_key(|(order, _)| *order);
        ConfigError { problems: problems.into_iter().map(|(_, problem)| problem).collect() }
    }

    /// Fails when there was any problem.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        if self.problems.borrow().is_empty() { Ok(()) } else { Err(self.error()) }
    }
}

impl Document {
    /// The place of a setting: its key or its value.
    pub(super) fn place_of(&self, origin: &Origin, show: Show) -> Place {
        match origin {
            Origin::Text { key, value } => {
                let span = if show == Show::Key { key } else { value };
                place(&self.name, &self.text, span.clone(), show)
            }
            Origin::Environment(variable) => Place::Environment { variable: variable.clone() },
            Origin::Whole => Place::Whole { name: self.name.clone() },
        }
    }

    /// Notes the places of a node and of everything below it.
    pub(super) fn locate(&self, path: &str, node: &Node, places: &mut BTreeMap<String, Place>) {
        places.insert(path.to_owned(), self.place_of(&node.origin, Show::Key));
        match &node.value {
            Value::Scalar(_) => {}
            Value::Table(table) => {
                table.iter().for_each(|(name, node)| self.locate(&format!("{path}.{name}"), node, places));
            }
            Value::List(list) => {
                list.iter().enumerate().for_each(|(i, node)| self.locate(&format!("{path}[{i}]"), node, places));
            }
        }
    }
}

/// A variable's value is read as TOML (`true`, `4`, `["a", "b"]`) where no text is wanted.
pub(super) fn from_environment(node: &Node) -> Node {
    let (Origin::Environment(_), Value::Scalar(Toml::String(text))) = (&node.origin, &node.value) else {
        return node.clone();
    };
    match text.parse::<Toml>() {
        Ok(value) => Node { origin: node.origin.clone(), value: raise(value, &node.origin) },
        Err(_) => node.clone(),
    }
}

fn raise(value: Toml, origin: &Origin) -> Value {
    let node = |value| Node { origin: origin.clone(), value: raise(value, origin) };
    match value {
        Toml::Array(list) => Value::List(list.into_iter().map(node).collect()),
        Toml::Table(table) => Value::Table(table.into_iter().map(|(name, value)| (name, node(value))).collect()),
        scalar => Value::Scalar(scalar),
    }
}

/// The plain TOML of a node.
pub(super) fn plain(node: &Node) -> Toml {
    match &from_environment(node).value {
        Value::Scalar(scalar) => scalar.clone(),
        Value::List(list) => Toml::Array(list.iter().map(plain).collect()),
        Value::Table(table) => Toml::Table(table.iter().map(|(name, node)| (name.clone(), plain(node))).collect()),
    }
}
