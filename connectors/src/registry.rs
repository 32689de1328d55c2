//! The explicit list of channels: the one place that names every connector.

use schemars::Schema;

use crate::contract::Poison;
use crate::contract::{BuildError, Connector, Cursor};
use crate::http;
use crate::message::Message;
use crate::webhook::Hooks;

/// Everything that a connector is built from, beside its own settings.
pub struct Context<'a> {
    /// Name of the source in the configuration; goes into [`Message::source`].
    pub source: &'a str,
    /// The shared polite client: one rate limiter per credential, over all sources.
    pub http: &'a http::Client,
    /// Where the web address hands in posts.
    pub hooks: &'a Hooks,
    /// The last stored position; `None` on the first start.
    pub cursor: Option<Cursor>,
}

/// What came out of a native payload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// The messages that were understood.
    pub messages: Vec<Message>,
    /// The records that were not.
    pub poison: Vec<Poison>,
}

/// One channel: how to build its connector and how to read its native payload.
pub struct Channel {
    /// The name used in configuration, for example `feed`.
    pub name: &'static str,
    /// One line for `hearken check` and the reference page.
    pub summary: &'static str,
    /// The source's settings (without the key `channel`), described.
    pub settings: fn() -> Schema,
    /// Builds a connector from the source's settings (without the key `channel`).
    pub build: fn(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError>,
    /// Reads a native payload as the connector would: `hearken parse`. Settings may be empty.
    pub parse: fn(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError>,
}

/// All channels, in alphabetical order.
pub static CHANNELS: &[Channel] = &[
    crate::feed::CHANNEL,
    crate::file::CHANNEL,
    crate::imap::CHANNEL,
    crate::mastodon::CHANNEL,
    crate::matrix::CHANNEL,
    crate::telegram::CHANNEL,
    crate::webhook::CHANNEL,
];

/// The channel of this name, or an error that lists the valid ones and the nearest.
pub fn channel(name: &str) -> Result<&'static Channel, BuildError> {
    CHANNELS.iter().find(|channel| channel.name == name).ok_or_else(|| BuildError::UnknownChannel {
        name: name.to_owned(),
        suggestion: CHANNELS
            .iter()
            .map(|channel| channel.name)
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
            .filter(|nearest| strsim::jaro_winkler(nearest, name) > 0.7)
            .map(str::to_owned),
        known: CHANNELS.iter().map(|channel| channel.name.to_owned()).collect(),
    })
}
