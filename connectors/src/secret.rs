//! Secrets: given by reference only, never printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use sha2::{Digest, Sha256};

/// A secret setting, written in the configuration as `env:NAME` or `file:PATH`.
///
/// Resolved when the configuration is read, so that a missing secret is found before anything
/// starts. Neither `Debug` nor serialisation ever shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value that was made here (a generated password), not configured.
    pub fn generated(value: String) -> Self {
        Self(value)
    }

    /// Resolves a reference with the environment of the process; the error names the reference,
    /// never the value.
    pub fn resolve(reference: &str) -> Result<Self, String> {
        Self::resolve_in(reference, |name| std::env::var(name).ok())
    }

    /// Resolves a reference with the variables that `lookup` knows.
    pub fn resolve_in(reference: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let (value, place) = if let Some(name) = reference.strip_prefix("env:") {
            let place = format!("the environment variable `{name}`");
            (lookup(name).ok_or_else(|| format!("{place} is not set"))?, place)
        } else if let Some(path) = reference.strip_prefix("file:") {
            let place = format!("the secret file `{path}`");
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?;
            (text.trim_end().to_owned(), place)
        } else {
            return Err("a secret is given as `env:NAME` or `file:PATH`, never in the file itself".to_owned());
        };
        if value.is_empty() { Err(format!("{place} is empty")) } else { Ok(Self(value)) }
    }

    /// SHA-256 of `key` and the secret: recognises a secret again without keeping it. Different keys give different
    /// digests.
    pub fn digest(&self, key: &[u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update(key).chain_update(&self.0).finalize().into()
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(env|file):.+" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reference = String::deserialize(deserializer)?;
        Self::resolve(&reference).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    }

    #[test]
    fn references_are_resolved_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file\n").unwrap();
        let secret = Secret::resolve_in("env:TOKEN", lookup).unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let secret = Secret::resolve_in(&format!("file:{}", file.path().display()), lookup).unwrap();
        assert_eq!(secret.expose(), "from a file");
    }

    #[test]
    fn digests_tell_secrets_and_keys_apart() {
        let digest = |secret: &str, key: u8| Secret::generated(secret.to_owned()).digest(&[key; 32]);
        assert_eq!(digest("a", 1), digest("a", 1));
        assert_ne!(digest("a", 1), digest("b", 1));
        assert_ne!(digest("a", 1), digest("a", 2));
    }

    #[test]
    fn errors_name_the_reference_and_not_the_value() {
        let error = Secret::resolve_in("env:TOKENS", lookup).unwrap_err();
        assert_eq!(error, "the environment variable `TOKENS` is not set");
        assert!(Secret::resolve_in("file:/no/such/file", lookup).unwrap_err().contains("`/no/such/file`"));
        assert!(!Secret::resolve_in("hunter2", lookup).unwrap_err().contains("hunter2"));
        assert_eq!(
            Secret::resolve_in("env:EMPTY", |_| Some(String::new())).unwrap_err(),
            "the environment variable `EMPTY` is empty"
        );
    }
}
