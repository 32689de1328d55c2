//! The store: ClickHouse, through the `clickhouse` crate, on one code path for both profiles.

pub mod child;
pub mod gateway;
pub mod rows;
