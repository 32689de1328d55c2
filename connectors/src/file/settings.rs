//! Settings of a `file` source, checked.

use encoding_rs::Encoding;
use serde::Deserialize;

use crate::contract::BuildError;
use crate::mapping::Mapping;
use crate::settings::read;

/// The settings as written; see the [module](super) for what they mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    path: Option<String>,
    format: Option<Format>,
    #[serde(default)]
    follow: bool,
    delimiter: Option<char>,
    encoding: Option<String>,
    time_format: Option<String>,
    #[serde(default)]
    fields: toml::Table,
    #[serde(default)]
    set: toml::Table,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
        let path = path.ok_or_else(|| wrong("path", "is missing: name a file or a pattern such as `exports/*.csv`"))?;
        glob::Pattern::new(&path).map_err(|error| wrong("path", &format!("is not a pattern: {error}")))?;
        let format = raw
            .format
            .or_else(|| by_extension(&path))
            .ok_or_else(|| wrong("format", &format!("cannot be told from `{path}`: set it to \"jsonl\" or \"csv\"")))?;
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
            Some(_) if format != Format::Csv => return Err(wrong("delimiter", "is for csv")),
            Some(delimiter) => u8::try_from(delimiter)
                .ok()
                .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n'))
                .ok_or_else(|| wrong("delimiter", "takes one ASCII character, for example \";\" or \"\\t\""))?,
            None if uncompressed(&path).ends_with(".tsv") => b'\t',
            None => b',',
        };
        let encoding = raw.encoding.as_deref().map(|label| {
            Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                wrong("encoding", &format!("`{label}` is unknown: use a WHATWG label such as windows-1254"))
            })
        });
        let mapping = match format {
            Format::Jsonl => Mapping::of_json,
            Format::Csv => Mapping::new,
        };
        let mapping = mapping(&raw.fields, &raw.set, raw.time_format.as_deref(), super::CHANNEL.name, source)?;
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

fn wrong(path: &str, reason: &str) -> BuildError {
    BuildError::Setting { path: path.to_owned(), reason: reason.to_owned() }
}
