//! Connectors: everything that Hearken can listen to.
//!
//! A connector turns one source (a feed, a timeline, a mailbox, a file) into [`Message`]s.
//! This crate knows no Kafka, no ClickHouse and no HTTP server: it hears, and nothing else.
//!
//! Read [`contract`] first: it holds the delivery semantics that every connector keeps.
//! To add a connector: one folder here, one line in [`registry`], one example in `config/`.

pub mod contract;
pub mod feed;
pub mod file;
pub mod http;
pub mod imap;
mod mapping;
pub mod mastodon;
pub mod matrix;
pub mod message;
pub mod registry;
pub mod secret;
pub mod settings;
pub mod telegram;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod webhook;

pub use contract::{Batch, BuildError, Connector, ConnectorError, Cursor, Fault, Gap, GapReason, Poison};
pub use message::{Author, Country, Direction, Engagement, Kind, Message, MessageId, Noise, Visibility};
