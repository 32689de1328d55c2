//! Typed reading of the raw configuration, which collects every problem on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use hearken_connectors::secret::Secret;
use toml::Value as Toml;

use super::Environment;
use super::diagnostic::{Place, Show, suggest};
use super::tree::{Document, Node, Origin, Problem, Value, from_environment, plain};
use super::units;

/// A text as read: its value, its key path and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) key: String,
    origin: Origin,
}

impl Text {
    /// Where the value is written.
    pub(super) fn place(&self, document: &Document) -> Place {
        document.place_of(&self.origin, Show::Value)
    }

    /// Complains about the value.
    pub(super) fn report(&self, document: &Document, message: impl Into<String>, help: Option<String>) {
        let problem = Problem { key: self.key.clone(), message: message.into(), help };
        document.report(&self.origin, Show::Value, None, problem);
    }

    /// Complains about some characters of the value.
    pub(super) fn report_part(&self, document: &Document, part: Range<usize>, message: String, help: Option<String>) {
        let problem = Problem { key: self.key.clone(), message, help };
        document.report(&self.origin, Show::Value, self.in_file(document, part), problem);
    }

    /// Where some characters of the value stand in the file: only where it is written there as it
    /// is, without escapes.
    fn in_file(&self, document: &Document, part: Range<usize>) -> Option<Range<usize>> {
        let Origin::Text { value, .. } = &self.origin else { return None };
        let written = document.text.get(value.clone())?;
        let start = value.start + written.find(&self.value).filter(|_| !self.value.is_empty())?;
        let byte =
            |character: usize| self.value.char_indices().nth(character).map_or(self.value.len(), |(byte, _)| byte);
        Some(start + byte(part.start)..start + byte(part.end))
    }
}

/// Reads one table: every key that is asked for is valid here, everything else is reported by
/// [`finish`](Self::finish).
pub(super) struct Table<'a> {
    document: &'a Document,
    path: String,
    origin: Origin,
    entries: BTreeMap<String, Node>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(document: &'a Document, root: Node) -> Self {
        Self::new(document, String::new(), Some(Node { origin: Origin::Whole, ..root }), &Origin::Whole)
    }

    fn new(document: &'a Document, path: String, node: Option<Node>, parent: &Origin) -> Self {
        let mut table = Self {
            document,
            path,
            origin: node.as_ref().map_or(parent, |node| &node.origin).clone(),
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
        let problem = Problem { key: self.path.clone(), message: message.into(), help };
        self.document.report(&self.origin, Show::Key, None, problem);
    }

    /// Complains about one setting by its key, without showing its value.
    pub(super) fn report_key(&self, name: &str, message: impl Into<String>, help: Option<String>) {
        let origin = self.entries.get(name).map_or(&self.origin, |node| &node.origin);
        let problem = Problem { key: self.key(name), message: message.into(), help };
        self.document.report(origin, Show::Key, None, problem);
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
        // A text in the wrong place may be a secret in the wrong place, also within a list.
        let is_harmless = matches!(&node.value, Value::Scalar(scalar) if !scalar.is_str());
        let show = if is_harmless { Show::Value } else { Show::Key };
        let message = format!("expected {expected}, found {found}");
        self.document.report(&node.origin, show, None, Problem { key: key.to_owned(), message, help: None });
    }

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Option<Text> {
        self.text_of(self.get(name)?, self.key(name), "a text")
    }

    fn text_of(&self, node: &Node, key: String, expected: &str) -> Option<Text> {
        match &node.value {
            Value::Scalar(Toml::String(text)) => Some(Text { value: text.clone(), key, origin: node.origin.clone() }),
            _ => {
                self.wrong_type(&key, node, expected);
                None
            }
        }
    }

    /// A text that has to be there.
    pub(super) fn required_text(&self, name: &'static str, help: &str) -> Option<Text> {
        if !self.entries.contains_key(name) {
            self.asked.borrow_mut().insert(name);
            self.report(format!("`{name}` is missing"), Some(help.to_owned()));
            return None;
        }
        self.text(name)
    }

    /// A list of texts; empty where there is none.
    pub(super) fn texts(&self, name: &'static str) -> Vec<Text> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let node = from_environment(node);
        let Value::List(list) = &node.value else {
            self.wrong_type(&self.key(name), &node, "a list of texts");
            return Vec::new();
        };
        let text = |(index, node)| self.text_of(node, format!("{}[{index}]", self.key(name)), "a text");
        list.iter().enumerate().filter_map(text).collect()
    }

    /// One of some names.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, valid: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = valid.iter().find(|(name, _)| *name == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = valid.iter().map(|(name, _)| *name).collect();
            let help = suggest(&text.value, &names, "values");
            text.report(self.document, format!("unknown {name}"), Some(help));
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
            self.document.report(&node.origin, Show::Value, None, Problem { key, message, help: None });
        }
        value
    }

    /// A number within bounds, with a fraction or without.
    pub(super) fn number(&self, name: &'static str, bounds: RangeInclusive<f64>) -> Option<f64> {
        let node = from_environment(self.get(name)?);
        let key = self.key(name);
        let number = match node.value {
            Value::Scalar(Toml::Integer(number)) => number as f64,
            Value::Scalar(Toml::Float(number)) => number,
            _ => {
                self.wrong_type(&key, &node, "a number");
                return None;
            }
        };
        if bounds.contains(&number) {
            return Some(number);
        }
        let message = format!("expected a number from {} to {}, found {number}", bounds.start(), bounds.end());
        self.document.report(&node.origin, Show::Value, None, Problem { key, message, help: None });
        None
    }

    /// A duration such as `30d`.
    pub(super) fn duration(&self, name: &'static str) -> Option<Duration> {
        self.parsed_as(name, "a duration such as `30d`", |text| units::duration(text).map_err(str::to_owned))
    }

    /// A number of bytes such as `2GiB`.
    pub(super) fn bytes(&self, name: &'static str) -> Option<u64> {
        self.parsed_as(name, "a size such as `20GiB`", |text| units::bytes(text).map_err(str::to_owned))
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.parsed_as(name, "a text", parse)
    }

    fn parsed_as<T>(&self, name: &'static str, expected: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text_of(self.get(name)?, self.key(name), expected)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                text.report(self.document, reason, None);
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
        Table::new(self.document, self.key(name), self.get(name).cloned(), &self.origin)
    }

    /// A list of tables.
    pub(super) fn tables(&self, name: &'static str) -> Vec<Table<'a>> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let key = self.key(name);
        let Value::List(list) = &node.value else {
            self.wrong_type(&key, node, &format!("a list of tables, each written as `[[{key}]]`"));
            return Vec::new();
        };
        let table = |(index, node): (usize, &Node)| {
            Table::new(self.document, format!("{key}[{index}]"), Some(node.clone()), &self.origin)
        };
        list.iter().enumerate().map(table).collect()
    }

    /// All entries as tables, for a table whose keys are names of the user's own.
    pub(super) fn named_tables(&self) -> Vec<(String, Table<'a>)> {
        let table = |(name, node): (&String, &Node)| {
            (name.clone(), Table::new(self.document, self.key(name), Some(node.clone()), &self.origin))
        };
        self.entries.iter().map(table).collect()
    }

    /// Everything but the keys asked for so far, as plain TOML, for somebody else to validate.
    pub(super) fn rest(&self) -> (toml::Table, Locations) {
        let mut rest = self.entries.clone();
        rest.retain(|name, _| !self.asked.borrow().contains(name.as_str()));
        let settings = rest.iter().map(|(name, node)| (name.clone(), plain(node))).collect();
        let mut places = BTreeMap::new();
        places.insert(String::new(), self.document.place_of(&self.origin, Show::Key));
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
