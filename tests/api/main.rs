//! The HTTP API as its clients see it: over a socket, on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/clickhouse.rs"]
mod clickhouse;
#[path = "../support/mod.rs"]
mod support;

mod contract;
mod corrections;
mod figures;
mod limits;
mod live;
mod mentions;
mod opinions;
mod queries;
mod refusals;
mod rescores;
mod roles;
mod server;
mod tokens;
