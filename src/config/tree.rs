//! The raw configuration: TOML in which every value knows where it was written, with the
//! environment laid over it; and the reader that turns it into typed settings and collects every
//! problem on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use hearken_connectors::secret::Secret;
use toml::Value as Toml;
use toml::de::{DeTable, DeValue};

use super::Environment;
use super::diagnostic::{ConfigError, Diagnostic, Place, Show, place, suggest};
use super::units;

/// The text of a configuration, and the problems found in it so far.
pub(super) struct Document {
    name: String,
    text: String,
    problems: RefCell<Vec<(usize, Diagnostic)>>,
}

/// Where a value was written.
#[derive(Debug, Clone)]
enum Origin {
    /// Byte ranges of the key and the value in the text.
    Text { key: Range<usize>, value: Range<usize> },
    /// Name of the environment variable.
    Environment(String),
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    origin: Origin,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
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
                document.report_at(span, Show::Syntax, "", message, None);
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
                    self.report_at(span.clone(), Show::Value, "", "the number is too large".to_owned(), None);
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

    fn report_at(&self, span: Range<usize>, show: Show, key: &str, message: String, help: Option<String>) {
        let place = place(&self.name, &self.text, span.clone(), show);
        self.push(span.start, Diagnostic { key: key.to_owned(), message, help, place });
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

/// A setting as read: its value, its key path and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    pub(super) key: String,
    origin: Origin,
}

impl<T> Setting<T> {
    /// Complains about the value; `part` narrows it to these characters of a text.
    pub(super) fn report(
        &self,
        document: &Document,
        message: impl Into<String>,
        help: Option<String>,
        part: Option<Range<usize>>,
    ) {
        let message = message.into();
        match &self.origin {
            Origin::Text { value, .. } => {
                let span = part.and_then(|part| document.inside(value, part)).unwrap_or_else(|| value.clone());
                document.report_at(span, Show::Value, &self.key, message, help);
            }
            Origin::Environment(variable) => {
                let place = Place::Environment { variable: variable.clone() };
                document.push(usize::MAX, Diagnostic { key: self.key.clone(), message, help, place });
            }
        }
    }
}

impl Document {
    /// Byte range of some characters of a string value, where they stand in the file as they are
    /// (no escapes, one line).
    fn inside(&self, value: &Range<usize>, part: Range<usize>) -> Option<Range<usize>> {
        let written = self.text.get(value.clone())?;
        let inner = written.get(1..written.len().checked_sub(1)?)?;
        let is_plain = !inner.contains('\n') && (written.starts_with('\'') || !inner.contains('\\'));
        if !is_plain || written.starts_with("'''") || written.starts_with("\"\"\"") {
            return None;
        }
        let byte = |character: usize| {
            inner.char_indices().map(|(byte, _)| byte).chain([inner.len()]).nth(character).unwrap_or(inner.len())
        };
        let start = value.start + 1;
        Some(start + byte(part.start)..start + byte(part.end))
    }
}

/// Reads one table: every key that is asked for is valid here, everything else is reported by
/// [`finish`](Self::finish).
pub(super) struct Table<'a> {
    document: &'a Document,
    path: String,
    origin: Option<Origin>,
    entries: BTreeMap<String, Node>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(document: &'a Document, root: Node) -> Self {
        Self::new(document, String::new(), Some(root))
    }

    fn new(document: &'a Document, path: String, node: Option<Node>) -> Self {
        let mut table = Self {
            document,
            path,
            origin: node.as_ref().map(|node| node.origin.clone()),
            entries: BTreeMap::new(),
            asked: RefCell::default(),
        };
        match node {
            None => {}
            Some(Node { value: Value::Table(entries), .. }) => table.entries = entries,
            Some(node) => table.wrong_type(&table.path, &node, "a table"),
        }
        table
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn get(&self, name: &'static str) -> Option<&Node> {
        self.asked.borrow_mut().insert(name);
        self.entries.get(name)
    }

    /// Whether there is such a setting, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Whether there is such a setting and it is no empty list.
    pub(super) fn says(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|node| !matches!(&node.value, Value::List(list) if list.is_empty()))
    }

    /// Complains about the table as a whole: points at its header.
    pub(super) fn report(&self, message: impl Into<String>, help: Option<String>) {
        self.report_origin(self.origin.as_ref(), &self.path, message.into(), help);
    }

    fn report_origin(&self, origin: Option<&Origin>, key: &str, message: String, help: Option<String>) {
        match origin {
            Some(Origin::Text { key: span, .. }) => {
                self.document.report_at(span.clone(), Show::Key, key, message, help);
            }
            Some(Origin::Environment(variable)) => {
                let place = Place::Environment { variable: variable.clone() };
                self.document.push(usize::MAX, Diagnostic { key: key.to_owned(), message, help, place });
            }
            None => {
                let place = Place::Whole { name: self.document.name.clone() };
                self.document.push(usize::MAX, Diagnostic { key: key.to_owned(), message, help, place });
            }
        }
    }

    /// Complains about one setting by its key, without showing its value.
    pub(super) fn report_key(&self, name: &str, message: impl Into<String>, help: Option<String>) {
        let origin = self.entries.get(name).map(|node| &node.origin).or(self.origin.as_ref());
        self.report_origin(origin, &self.key(name), message.into(), help);
    }

    fn wrong_type(&self, key: &str, node: &Node, expected: &str) {
        let found = match &node.value {
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Scalar(Toml::String(_)) => "a text",
            Value::Scalar(Toml::Integer(_)) => "a number",
            Value::Scalar(Toml::Float(_)) => "a number with a fraction",
            Value::Scalar(Toml::Boolean(_)) => "true or false",
            Value::Scalar(_) => "a date",
        };
        let message = format!("expected {expected}, found {found}");
        match &node.origin {
            // A text in the wrong place may be a secret in the wrong place.
            Origin::Text { value, .. } if !matches!(node.value, Value::Scalar(Toml::String(_)) | Value::Table(_)) => {
                self.document.report_at(value.clone(), Show::Value, key, message, None);
            }
            origin => self.report_origin(Some(origin), key, message, None),
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Option<Setting<String>> {
        let node = self.get(name)?;
        self.text_of(node, self.key(name))
    }

    fn text_of(&self, node: &Node, key: String) -> Option<Setting<String>> {
        match &node.value {
            Value::Scalar(Toml::String(text)) => {
                Some(Setting { value: text.clone(), key, origin: node.origin.clone() })
            }
            _ => {
                self.wrong_type(&key, node, "a text");
                None
            }
        }
    }

    /// A text that has to be there.
    pub(super) fn required_text(&self, name: &'static str, help: &str) -> Option<Setting<String>> {
        if !self.entries.contains_key(name) {
            self.asked.borrow_mut().insert(name);
            self.report(format!("`{name}` is missing"), Some(help.to_owned()));
            return None;
        }
        self.text(name)
    }

    /// A list of texts; empty where there is none.
    pub(super) fn texts(&self, name: &'static str) -> Vec<Setting<String>> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let node = from_environment(node);
        let Value::List(list) = &node.value else {
            self.wrong_type(&self.key(name), &node, "a list of texts");
            return Vec::new();
        };
        let text = |(index, node)| self.text_of(node, format!("{}[{index}]", self.key(name)));
        list.iter().enumerate().filter_map(text).collect()
    }

    /// One of some names.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, valid: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = valid.iter().find(|(name, _)| *name == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = valid.iter().map(|(name, _)| *name).collect();
            let help = suggest(&text.value, &names, "values");
            text.report(self.document, format!("unknown {name}"), Some(help), None);
        }
        found
    }

    /// True or false.
    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        let node = from_environment(self.get(name)?);
        match node.value {
            Value::Scalar(Toml::Boolean(value)) => Some(value),
            _ => {
                self.wrong_type(&self.key(name), &node, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, name: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let node = from_environment(self.get(name)?);
        let key = self.key(name);
        let Value::Scalar(Toml::Integer(number)) = node.value else {
            self.wrong_type(&key, &node, "a whole number");
            return None;
        };
        let value = u32::try_from(number).ok().filter(|number| bounds.contains(number));
        if value.is_none() {
            let message = format!("expected a number from {} to {}, found {number}", bounds.start(), bounds.end());
            Setting { value: (), key, origin: node.origin }.report(self.document, message, None, None);
        }
        value
    }

    /// A duration such as `30d`.
    pub(super) fn duration(&self, name: &'static str) -> Option<Duration> {
        self.parsed(name, |text| units::duration(text).map_err(str::to_owned))
    }

    /// A number of bytes such as `2GiB`.
    pub(super) fn bytes(&self, name: &'static str) -> Option<u64> {
        self.parsed(name, |text| units::bytes(text).map_err(str::to_owned))
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                text.report(self.document, reason, None, None);
                None
            }
        }
    }

    /// A secret, given by reference.
    pub(super) fn secret(&self, name: &'static str, environment: &Environment) -> Option<Secret> {
        let text = self.text(name)?;
        let secret = Secret::resolve_in(&text.value, |variable| environment.get(variable).map(str::to_owned));
        secret.map_err(|reason| self.report_key(name, reason, None)).ok()
    }

    /// A table; where there is none, an empty one.
    pub(super) fn table(&self, name: &'static str) -> Table<'a> {
        Table::new(self.document, self.key(name), self.get(name).cloned())
    }

    /// A list of tables.
    pub(super) fn tables(&self, name: &'static str) -> Vec<Table<'a>> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let key = self.key(name);
        let Value::List(list) = &node.value else {
            self.wrong_type(&key, node, &format!("a list of tables, each written as `[[{key}]]`"));
            return Vec::new();
        };
        let table =
            |(index, node): (usize, &Node)| Table::new(self.document, format!("{key}[{index}]"), Some(node.clone()));
        list.iter().enumerate().map(table).collect()
    }

    /// All entries as tables, for a table whose keys are names of the user's own.
    pub(super) fn named_tables(&self) -> Vec<(String, Table<'a>)> {
        let table = |(name, node): (&String, &Node)| {
            (name.clone(), Table::new(self.document, self.key(name), Some(node.clone())))
        };
        self.entries.iter().map(table).collect()
    }

    /// Everything but the keys asked for so far, as plain TOML, for somebody else to validate.
    pub(super) fn rest(&self) -> (toml::Table, Locations) {
        let mut rest = self.entries.clone();
        rest.retain(|name, _| !self.asked.borrow().contains(name.as_str()));
        let settings = rest.iter().map(|(name, node)| (name.clone(), plain(node))).collect();
        let mut places = BTreeMap::new();
        if let Some(origin) = &self.origin {
            places.insert(String::new(), self.document.place_of(origin));
        }
        for (name, node) in &rest {
            self.document.locate(name, node, &mut places);
        }
        (settings, Locations { path: self.path.clone(), places })
    }

    /// Reports settings that belong to another choice than the one made.
    pub(super) fn only_with(&self, names: &[&'static str], choice: &str) {
        for name in names {
            if self.get(name).is_some() {
                self.report_key(name, format!("`{name}` has a meaning only with {choice}"), None);
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        let valid: Vec<&str> = asked.iter().copied().collect();
        for name in self.entries.keys().filter(|name| !asked.contains(name.as_str())) {
            let help = suggest(name, &valid, "keys");
            self.report_key(name, format!("unknown key `{name}`"), Some(help));
        }
    }
}

/// Where the settings of a source are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Locations {
    path: String,
    places: BTreeMap<String, Place>,
}

impl Locations {
    /// The place of the setting at this key path below the table, or of the nearest table above.
    pub(super) fn find(&self, path: &str) -> (String, Place) {
        let mut known = path;
        loop {
            if let Some(place) = self.places.get(known) {
                let key = if path.is_empty() { self.path.clone() } else { format!("{}.{path}", self.path) };
                return (key, place.clone());
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = known.get(..end).unwrap_or_default(),
                None if known.is_empty() => return (self.path.clone(), Place::Whole { name: String::new() }),
                None => known = "",
            }
        }
    }
}

impl Document {
    fn place_of(&self, origin: &Origin) -> Place {
        match origin {
            Origin::Text { key, .. } => place(&self.name, &self.text, key.clone(), Show::Key),
            Origin::Environment(variable) => Place::Environment { variable: variable.clone() },
        }
    }

    fn locate(&self, path: &str, node: &Node, places: &mut BTreeMap<String, Place>) {
        places.insert(path.to_owned(), self.place_of(&node.origin));
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
fn from_environment(node: &Node) -> Node {
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

fn plain(node: &Node) -> Toml {
    match &from_environment(node).value {
        Value::Scalar(scalar) => scalar.clone(),
        Value::List(list) => Toml::Array(list.iter().map(plain).collect()),
        Value::Table(table) => Toml::Table(table.iter().map(|(name, node)| (name.clone(), plain(node))).collect()),
    }
}
