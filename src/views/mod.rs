//! The 5 M's as typed questions to the store: one file per M.
//!
//! Every figure counts **mentions**, that is (brand, message) pairs, of what others said (inbound), unless it says
//! otherwise. The same questions over all of time are ClickHouse views for any other client; see
//! `src/store/migrations`.
//!
//! What a user types (a brand, a channel, a language) reaches ClickHouse as a query parameter and never as SQL.

use clickhouse::query::Query;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::store::Store;

pub mod authors;
pub mod corrections;
pub(crate) mod history;
pub mod management;
pub mod mapping;
pub mod measurement;
pub mod mentions;
pub mod middleware;
pub mod monitoring;
pub mod opinions;
pub(crate) mod voices;

/// Which mentions a question is about; what is empty or `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filter {
    /// Names of brands.
    pub brands: Vec<String>,
    /// Platforms.
    pub channels: Vec<String>,
    /// BCP 47 primary tags.
    pub languages: Vec<String>,
    /// Published at or after.
    pub from: Option<Timestamp>,
    /// Published before.
    pub until: Option<Timestamp>,
    /// Leaves out what was said in private channels (e-mail, chat).
    pub public_only: bool,
}

impl Filter {
    /// A question over `mentions`: `{mentions}` in the text stands for the inbound mentions that pass the filter.
    fn ask(&self, store: &Store, sql: &str) -> Query {
        // A query of its own, so that no alias of the question can shadow a column that is filtered on.
        let mentions = format!("(SELECT * FROM mentions WHERE direction = 'inbound'{}) AS mentions", self.conditions());
        self.bind(store.query(&sql.replace("{mentions}", &mentions)))
    }

    /// Of this filter only what says who may see what: brands, and whether private channels are left out.
    pub(crate) fn access(&self) -> Self {
        Self { brands: self.brands.clone(), public_only: self.public_only, ..Self::default() }
    }

    /// The filter as conditions, each with `AND` in front; they hold names of parameters, never their values.
    fn conditions(&self) -> String {
        let conditions = [
            (!self.brands.is_empty()).then_some(" AND brand IN {brands:Array(String)}"),
            (!self.channels.is_empty()).then_some(" AND channel IN {channels:Array(String)}"),
            (!self.languages.is_empty()).then_some(" AND language IN {languages:Array(String)}"),
            self.from.map(|_| " AND published_at >= fromUnixTimestamp64Milli({from:Int64})"),
            self.until.map(|_| " AND published_at < fromUnixTimestamp64Milli({until:Int64})"),
            self.public_only.then_some(" AND visibility = 'public'"),
        ];
        conditions.into_iter().flatten().collect()
    }

    fn bind(&self, mut query: Query) -> Query {
        for (name, values) in [("brands", &self.brands), ("channels", &self.channels), ("languages", &self.languages)] {
            if !values.is_empty() {
                query = query.param(name, values);
            }
        }
        for (name, at) in [("from", self.from), ("until", self.until)] {
            if let Some(at) = at {
                query = query.param(name, at.as_millisecond());
            }
        }
        query
    }
}

/// The nearest moment that the store can hold (1900 to 2299), in Unix milliseconds.
pub(crate) fn storable(millis: i64) -> i64 {
    millis.clamp(-2_208_988_800_000, 10_413_705_600_000)
}

/// Reads Unix milliseconds.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    timestamp(i64::deserialize(deserializer)?)
}

/// Reads Unix milliseconds that may be NULL.
fn optional_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Option::<i64>::deserialize(deserializer)?.map(timestamp).transpose()
}

/// Reads an id that is all zeros where there is none.
fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    Ok(Some(clickhouse::serde::uuid::deserialize(deserializer)?).filter(|id| !id.is_nil()))
}

fn timestamp<E: serde::de::Error>(millis: i64) -> Result<Timestamp, E> {
    Timestamp::from_millisecond(millis).map_err(E::custom)
}
