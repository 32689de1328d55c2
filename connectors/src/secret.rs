//! Secrets: given by reference only, never printed.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};

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

    /// Resolves a reference; the error names the reference, never the value.
    pub fn resolve(reference: &str) -> Result<Self, String> {
        if let Some(name) = reference.strip_prefix("env:") {
            return std::env::var(name).map(Self).map_err(|_| format!("the environment variable `{name}` is not set"));
        }
        if let Some(path) = reference.strip_prefix("file:") {
            return std::fs::read_to_string(path)
                .map(|value| Self(value.trim_end().to_owned()))
                .map_err(|error| format!("cannot read the secret file `{path}`: {error}"));
        }
        Err("a secret is given as `env:NAME` or `file:PATH`, never in the file itself".to_owned())
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

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reference = String::deserialize(deserializer)?;
        Self::resolve(&reference).map_err(D::Error::custom)
    }
}
