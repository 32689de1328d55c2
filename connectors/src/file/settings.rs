//! Settings of a `file` source, checked.

use encoding_rs::Encoding;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::contract::BuildError;
use crate::mapping::{self, Mapping};
use crate::settings::{self, read};

/// The settings as written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path"]))]
struct Raw {
    /// A file, or a pattern of files (`"exports/*.jsonl.gz"`), read in order of their names.
    path: Option<String>,
    /// How records are written; by default as the extension before `.gz` or `.zst` says.
    #[schemars(with = "Format")]
    format: Option<Format>,
    /// Wait for new lines and new files, through rotations, instead of reading once.
    follow: bool,
    /// What separates the columns of CSV: one ASCII character; by default `","`, in a `.tsv` a tabulator.
    delimiter: Option<char>,
    /// Character set, as a WHATWG label such as `"windows-1254"`; by default UTF-8, or UTF-16 by its byte-order mark.
    encoding: Option<String>,
    /// Pattern (`strptime`) of odd dates; by default RFC 3339, RFC 2822, Twitter's and Unix times are recognised.
    time_format: Option<String>,
    /// Which field of a record fills which field of a message: `text = "tweet"`,
    /// `author.handle = "user.screen_name"`. In JSON a path is a key, keys with dots, or a JSON pointer.
    #[schemars(schema_with = "mapping::fields_schema")]
    fields: toml::Table,
    /// Constants: `channel = "twitter"`, `kind = "review"`.
    #[schemars(schema_with = "mapping::set_schema")]
    set: toml::Table,
}

/// The settings, described.
pub(super) fn schema() -> Schema {
    settings::schema::<Raw>()
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One JSON value a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}

/// What a source reads and how.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) follow: bool,
    pub(super) delimiter: u8,
    pub(super) encoding: Option<&'static Encoding>,
    pub(super) mapping: Mapping,
}

impl Settings {
    /// Checks the settings of a configured source.
    pub(super) fn new(table: toml::Table, source: &str) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let path = raw.path.clone().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| {
            BuildError::setting("path", "is missing: name a file or a pattern such as `exports/*.csv`")
        })?;
        glob::Pattern::new(&path)
            .map_err(|error| BuildError::setting("path", &format!("is not a pattern: {error}")))?;
        let format = raw.format.or_else(|| by_extension(&path)).ok_or_else(|| {
            BuildError::setting("format", &format!("cannot be told from `{path}`: set it to \"jsonl\" or \"csv\""))
        })?;
        Self::checked(raw, path, format, source)
    }

    /// Checks the settings for reading a payload, for which the path is nothing but a hint.
    pub(super) fn for_payload(table: toml::Table, source: &str, start: &[u8]) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let path = raw.path.clone().unwrap_or_default();
        let guess = if start.trim_ascii_start().starts_with(b"{") { Format::Jsonl } else { Format::Csv };
        let format = raw.format.or_else(|| by_extension(&path)).unwrap_or(guess);
        Self::checked(raw, path, format, source)
    }

    fn checked(raw: Raw, path: String, format: Format, source: &str) -> Result<Self, BuildError> {
        let delimiter = match raw.delimiter {
            Some(_) if format != Format::Csv => return Err(BuildError::setting("delimiter", "is for csv")),
            Some(delimiter) => u8::try_from(delimiter)
                .ok()
                .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n'))
                .ok_or_else(|| {
                    BuildError::setting("delimiter", "takes one ASCII character, for example \";\" or \"\\t\"")
                })?,
            None if uncompressed(&path).ends_with(".tsv") => b'\t',
            None => b',',
        };
        let encoding = raw.encoding.as_deref().map(|label| {
            Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                BuildError::setting(
                    "encoding",
                    &format!("`{label}` is unknown: use a WHATWG label such as windows-1254"),
                )
            })
        });
        let mapping = Mapping::new(&raw.fields, &raw.set, raw.time_format.as_deref(), super::CHANNEL.name, source)?;
        let mapping = if format == Format::Jsonl { mapping.for_json(&raw.set)? } else { mapping };
        Ok(Self { mapping, encoding: encoding.transpose()?, follow: raw.follow, path, format, delimiter })
    }
}

fn uncompressed(path: &str) -> &str {
    path.strip_suffix(".gz").or_else(|| path.strip_suffix(".zst")).unwrap_or(path)
}

fn by_extension(path: &str) -> Option<Format> {
    match uncompressed(path).rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "csv" | "tsv" => Some(Format::Csv),
        _ => None,
    }
}
