//! Hearken: a self-hosted social-listening daemon.
//!
//! The way of a message, and where to read it:
//!
//! 1. [`hearken_connectors`] hears a message,
//! 2. ingest appends it to the [`eventlog`] and then stores the connector's cursor,
//! 3. pipeline matches it against the brand [`query`]s, gives it a [`score`], writes it to the
//!    [`store`], and then commits its offset,
//! 4. views answer the questions of the five M's from the store.
//!
//! app wires these together; nothing else names concrete backends.

pub mod config;
pub mod eventlog;
pub mod query;
pub mod score;
pub mod store;
