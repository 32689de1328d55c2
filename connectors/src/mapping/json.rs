//! Picking the mapped values out of a JSON line, in one walk and without building a tree of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::record::Value;
use super::{Field, Record};

/// One step of the mapped paths: the fields that end here and the steps below.
#[derive(Debug, Default)]
pub(super) struct Node {
    fields: Vec<Field>,
    below: Vec<(String, Node)>,
}

impl Node {
    /// The tree of some paths. A path is a key, keys with dots (`user.screen_name`), or a JSON
    /// pointer (RFC 6901: `/user/screen_name`, for keys that hold a dot). Arrays on the way are
    /// walked through, so that `entities.hashtags.text` gives all of them; a number takes one
    /// element only.
    pub(super) fn of(paths: &[(Field, String)]) -> Self {
        let mut root = Self::default();
        for (field, path) in paths {
            let mut node = &mut root;
            for step in steps(path) {
                node = node.child(step);
            }
            node.fields.push(*field);
        }
        root
    }

    fn child(&mut self, step: String) -> &mut Self {
        let index = self.below.iter().position(|(key, _)| *key == step).unwrap_or_else(|| {
            self.below.push((step, Self::default()));
            self.below.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "the index was found or pushed just above")]
        &mut self.below[index].1
    }

    fn find(&self, key: &str) -> Option<&Self> {
        self.below.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Walks one JSON object and puts its mapped values into `record`.
    pub(super) fn read<'de>(&self, line: &'de str, record: &mut Record<'de>) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_str(line);
        json.deserialize_map(Walk { node: self, record, listed: false })?;
        json.end()
    }
}

/// The steps of a path, of keys with dots or a JSON pointer.
pub(crate) fn steps(path: &str) -> Vec<String> {
    match path.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
        None => path.split('.').map(str::to_owned).collect(),
    }
}

/// The walk at one node.
struct Walk<'w, 'de> {
    node: &'w Node,
    record: &'w mut Record<'de>,
    /// Inside an array: values add up instead of replacing each other.
    listed: bool,
}

impl<'de> Walk<'_, 'de> {
    fn keep(self, value: Value<'de>) {
        for field in &self.node.fields {
            if self.listed {
                self.record.push(*field, value.clone());
            } else {
                self.record.put(*field, value.clone());
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.keep(Value::Bool(flag));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.keep(Value::Int(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        // As text, a number beyond 63 bits keeps all its digits: it may be an id.
        self.keep(i64::try_from(number).map_or_else(|_| Value::Text(number.to_string().into()), Value::Int));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.keep(Value::Float(number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, record, listed } = self;
        while let Some(below) = map.next_key_seed(Key(node))? {
            match below {
                Some(node) => map.next_value_seed(Walk { node, record, listed })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Walk { node, record, listed }.keep(Value::Object);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { node, record, .. } = self;
        let mut index = 0_usize;
        loop {
            let one = if node.below.is_empty() { None } else { node.find(&index.to_string()) };
            let walk = Walk { node: one.unwrap_or(node), record, listed: one.is_none() };
            if seq.next_element_seed(walk)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Reads a key and answers with the node below it, if that is mapped.
struct Key<'w>(&'w Node);

impl<'w, 'de> DeserializeSeed<'de> for Key<'w> {
    type Value = Option<&'w Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for Key<'w> {
    type Value = Option<&'w Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(key))
    }
}
