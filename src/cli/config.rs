//! `hearken config`: what can be configured, for editors and for people.

use clap::Subcommand;
use hearken::config;

use super::exit::Failure;
use super::output;

/// Commands of `hearken config`.
#[derive(Subcommand)]
pub(super) enum Config {
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print the reference page of the configuration, in Markdown.
    Reference,
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Schema => output::json(&config::schema()),
            Self::Reference => output::text(&config::reference()),
        }
    }
}
