//! Hearken: a self-hosted social-listening daemon.
//!
//! The way of a message, and where to read it:
//!
//! 1. [`hearken_connectors`] hears a message,
//! 2. [`ingest`] appends it to the [`eventlog`] and then stores the connector's cursor,
//! 3. [`pipeline`] matches it against the brand [`query`]s, gives it a [`score`], writes it as
//!    [`mention`]s to the [`store`], and then commits its offset,
//! 4. [`ledger`] brings what the sources did and missed into the store, [`authors`] what their authors are worth
//!    listening to,
//! 5. [`views`] answer the questions of the five M's from the store, for [`api`] and [`report`]; [`web`] serves both.
//! 6. [`analyst`] tries a brand's query on given texts, for the command line and [`api`].
//!
//! [`rescore`] brings stored history in line with a changed query or model. [`metrics`] count what happens. [`app`] wires these together; nothing else names concrete backends.

pub mod analyst;
pub mod api;
pub mod app;
pub mod authors;
pub mod config;
mod connections;
pub mod eventlog;
pub mod ingest;
pub mod ledger;
pub mod mention;
pub mod metrics;
pub mod pipeline;
pub mod query;
pub mod report;
pub mod rescore;
pub mod score;
pub mod store;
pub mod stories;
pub mod supervise;
pub mod telemetry;
pub mod views;
pub mod web;
