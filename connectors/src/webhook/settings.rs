//! Settings of a `webhook` source, checked.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::signature::{Scheme, Verifier};
use crate::contract::BuildError;
use crate::mapping::{self, Mapping, steps};
use crate::secret::Secret;
use crate::settings::{self, read};

/// The settings as written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["secret"]))]
struct Raw {
    /// How posts are signed.
    signature: Scheme,
    /// What the sender signs with.
    #[schemars(with = "Secret")]
    secret: Option<Secret>,
    /// Path to the array of records within a body that wraps them (`"data.items"`); by default the body itself.
    records: Option<String>,
    /// Pattern (`strptime`) of odd dates; by default RFC 3339, RFC 2822, Twitter's and Unix times are recognised.
    time_format: Option<String>,
    /// Which field of a record fills which field of a message: `text = "comment.body"`; without it, a record is a
    /// Hearken message and taken as it is.
    #[schemars(schema_with = "mapping::fields_schema")]
    fields: toml::Table,
    /// Constants: `channel = "forum"`, `visibility = "private"`.
    #[schemars(schema_with = "mapping::set_schema")]
    set: toml::Table,
}

/// The settings, described.
pub(super) fn schema() -> Schema {
    settings::schema::<Raw>()
}

/// What a source takes and how.
pub(super) struct Settings {
    pub(super) verifier: Verifier,
    pub(super) reading: Reading,
}

/// How bodies are read.
pub(super) struct Reading {
    pub(super) source: String,
    /// The way to the array of records; empty where the body is the records.
    pub(super) records: Vec<String>,
    pub(super) mapping: Mapping,
}

impl Settings {
    /// Checks the settings of a configured source.
    pub(super) fn new(table: toml::Table, source: &str) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let missing = "is missing: what the sender signs with, as `env:NAME` or `file:PATH`";
        let secret = raw.secret.as_ref().ok_or_else(|| BuildError::setting("secret", missing))?;
        let verifier = Verifier::new(raw.signature, secret).map_err(|reason| BuildError::setting("secret", &reason))?;
        Ok(Self { verifier, reading: Reading::new(&raw, source)? })
    }
}

/// Checks the settings for reading a payload, for which no secret is needed.
pub(super) fn reading(table: toml::Table, source: &str) -> Result<Reading, BuildError> {
    Reading::new(&read(table)?, source)
}

impl Reading {
    fn new(raw: &Raw, source: &str) -> Result<Self, BuildError> {
        let records = raw.records.as_deref().map(steps).unwrap_or_default();
        if raw.records.is_some() && records.iter().any(String::is_empty) {
            return Err(BuildError::setting(
                "records",
                "takes the keys on the way to an array, with dots between: `data.items`",
            ));
        }
        let channel = super::CHANNEL.name;
        let mapping =
            Mapping::new(&raw.fields, &raw.set, raw.time_format.as_deref(), channel, source)?.for_json(&raw.set)?;
        Ok(Self { source: source.to_owned(), records, mapping })
    }
}
