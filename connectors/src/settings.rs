//! Reading a source's settings, with errors that name the key and the nearest valid one, and describing them.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::contract::BuildError;

/// Reads a settings table into a struct. A key that the struct does not have is answered with the
/// valid ones and the nearest match, a value of the wrong type with its key.
pub fn read<T: DeserializeOwned>(table: toml::Table) -> Result<T, BuildError> {
    let known = field_names::<T>();
    if let Some(unknown) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(unknown_key(unknown, "", known));
    }
    // One key at a time would lose the struct's defaults, so the key comes out of the error.
    table.try_into().map_err(|error: toml::de::Error| {
        let shown = error.to_string();
        let path =
            shown.rsplit_once("in `").and_then(|(_, rest)| rest.split_once('`')).map_or("settings", |(key, _)| key);
        BuildError::Setting { path: path.to_owned(), reason: error.message().to_owned() }
    })
}

/// The error for a key that does not exist below `parent` (empty at the top).
pub fn unknown_key(key: &str, parent: &str, known: &[&str]) -> BuildError {
    let path = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
    let hint = nearest(key, known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    BuildError::Setting { path, reason: format!("unknown key{hint}; the keys are {}", known.join(", ")) }
}

/// The name that looks most like `given`, if any looks like it at all.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, given), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map(|(_, name)| name)
}

/// The JSON Schema (draft 7, which editors understand) of settings as they are written in TOML, in one piece.
pub fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema =
        settings.with_transform(RecursiveTransform(without_null)).into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema
}

/// TOML has no `null`: what is optional is left out.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = types.as_slice() {
            let name = name.clone();
            schema.insert("type".to_owned(), name);
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

/// The keys of a struct, as its derived `Deserialize` asks for them.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The probe always fails, after it has been told the names.
    let _ = T::deserialize(Names(&mut names));
    names
}

struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(Self::Error::custom("only the names were wanted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        path: String,
        #[allow(dead_code)]
        #[serde(default)]
        follow: bool,
    }

    fn error(text: &str) -> String {
        read::<Sample>(text.parse().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        assert_eq!(error("pth = 'a'"), "pth: unknown key (did you mean `path`?); the keys are path, follow");
        assert_eq!(error("zzz = 'a'"), "zzz: unknown key; the keys are path, follow");
    }

    #[test]
    fn a_wrong_type_names_its_key() {
        assert_eq!(error("path = 'a'\nfollow = 'yes'"), "follow: invalid type: string \"yes\", expected a boolean");
        assert_eq!(error("follow = true"), "settings: missing field `path`");
    }
}
