//! Parameters that many resources share.

use jiff::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::params::{Params, Query};
use crate::views::Filter;

pub(super) use super::params::Nothing;

/// Tags of the OpenAPI document: the five M's, and the daemon itself.
pub(super) const MONITORING: &str = "Monitoring";
pub(super) const MAPPING: &str = "Mapping";
pub(super) const MANAGEMENT: &str = "Management";
pub(super) const MEASUREMENT: &str = "Measurement";
pub(super) const MIDDLEWARE: &str = "Middleware";
pub(super) const DAEMON: &str = "Daemon";

/// A text as a parameter.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 200, pattern = r"^[^\x00\uFFFD]+$")]
#[allow(dead_code, reason = "it is read out of the OpenAPI document")]
pub(super) struct Text(String);

/// Which mentions a question is about.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FilterQuery {
    /// Name of a brand; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    brand: Vec<String>,
    /// Platform, such as `mastodon`; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    channel: Vec<String>,
    /// Language as BCP 47 primary tag, such as `en`; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    language: Vec<String>,
    /// Published at this time (RFC 3339) or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Published before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl Query for FilterQuery {
    fn read(params: &mut Params) -> Self {
        let (brand, channel, language) = (params.texts("brand"), params.texts("channel"), params.texts("language"));
        let (from, until) = params.window();
        Self { brand, channel, language, from, until }
    }
}

impl From<FilterQuery> for Filter {
    fn from(query: FilterQuery) -> Self {
        let FilterQuery { brand, channel, language, from, until } = query;
        Self { brands: brand, channels: channel, languages: language, from, until, public_only: false }
    }
}

/// How much is wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitQuery {
    /// How many at most; 50 unless said otherwise.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub(super) limit: usize,
}

impl Query for LimitQuery {
    fn read(params: &mut Params) -> Self {
        Self { limit: params.limit(50, 1000) }
    }
}

impl<A: Query, B: Query> Query for (A, B) {
    fn read(params: &mut Params) -> Self {
        (A::read(params), B::read(params))
    }
}
