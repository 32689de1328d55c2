//! The views of the five M's, one resource for each.
//!
//! What a caller may not see counts in no figure: neither other brands nor, below the role `manager`, what was said in
//! private channels.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::caller::Caller;
use super::page::List;
use super::params::{Checked, Params, Query, check_text};
use super::problem::Problem;
use super::query::{self, FilterQuery, LimitQuery, Nothing, Text};
use crate::views::Filter;
use crate::views::authors::{self, AuthorPage};
use crate::views::management::unanswered;
use crate::views::mapping::{self, Interaction, Rank, Segment, TopAuthor};
use crate::views::measurement::{self, BrandFigures, FORMULAS};
use crate::views::middleware::{self, CoverageGap, Poll, Refused, Source};
use crate::views::monitoring::{self, By, Latest, Step, Story, Totals, Trend, Volume};

type Answer<T> = Result<Json<T>, Problem>;

/// Count mentions
///
/// Mentions of others (inbound), their messages and authors, and from when to when they were published.
#[utoipa::path(get, path = "/totals", tag = query::MONITORING, params(FilterQuery),
    responses((status = 200, description = "The counts", body = Totals)))]
pub(super) async fn totals(
    State(api): State<Api>,
    caller: Caller,
    Checked(filter): Checked<FilterQuery>,
) -> Answer<Totals> {
    Ok(Json(monitoring::totals(&api.store, &caller.narrow(filter.into())?).await?))
}

/// How volume is divided.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VolumeQuery {
    /// Length of a bucket; `hour` unless said otherwise.
    #[param(value_type = Option<Step>, inline)]
    step: Step,
    /// What it is split by; `brand` unless said otherwise.
    #[param(value_type = Option<By>, inline)]
    by: By,
}

impl Query for VolumeQuery {
    fn read(params: &mut Params) -> Self {
        let steps = [("minute", Step::Minute), ("hour", Step::Hour), ("day", Step::Day)];
        let parts = [("brand", By::Brand), ("channel", By::Channel), ("language", By::Language)];
        Self {
            step: params.choice("step", &steps).unwrap_or(Step::Hour),
            by: params.choice("by", &parts).unwrap_or(By::Brand),
        }
    }
}

/// Volume and sentiment over time
///
/// By time of publication, oldest first. Buckets without mentions are left out.
#[utoipa::path(get, path = "/volume", tag = query::MONITORING, params(FilterQuery, VolumeQuery),
    responses((status = 200, description = "The buckets", body = List<Volume>)))]
pub(super) async fn volume(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, VolumeQuery)>,
) -> Answer<List<Volume>> {
    let (filter, VolumeQuery { step, by }) = query;
    let items = monitoring::volume(&api.store, &caller.narrow(filter.into())?, step, by).await?;
    Ok(Json(List { items }))
}

/// Since when something is new.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TrendQuery {
    /// What was published from here on (RFC 3339) is compared with what was published before.
    #[param(value_type = String, format = DateTime)]
    since: Option<Timestamp>,
}

impl Query for TrendQuery {
    fn read(params: &mut Params) -> Self {
        let is_given = !params.required("since").is_empty();
        Self { since: is_given.then(|| params.time("since")).flatten() }
    }
}

/// What is said more often than before
///
/// Terms, hashtags and emoji by score, highest first; the score is a log odds ratio over its standard error.
#[utoipa::path(get, path = "/trends", tag = query::MONITORING, params(FilterQuery, TrendQuery, LimitQuery),
    responses((status = 200, description = "The terms", body = List<Trend>)))]
pub(super) async fn trends(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, (TrendQuery, LimitQuery))>,
) -> Answer<List<Trend>> {
    let (filter, (trend, LimitQuery { limit })) = query;
    let since = trend.since.ok_or_else(|| Problem::bad_parameter("since", "it is missing"))?;
    let items = monitoring::trending(&api.store, &caller.narrow(filter.into())?, since, limit).await?;
    Ok(Json(List { items }))
}

/// What is told again and again
///
/// Stories: messages with nearly the same text. Those of which most messages pass the filter come first; what a story
/// holds is found by `/mentions?story=`.
#[utoipa::path(get, path = "/stories", tag = query::MONITORING, params(FilterQuery, LimitQuery),
    responses((status = 200, description = "The stories", body = List<Story>)))]
pub(super) async fn stories(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, LimitQuery)>,
) -> Answer<List<Story>> {
    let (filter, LimitQuery { limit }) = query;
    let items = monitoring::stories(&api.store, &caller.narrow(filter.into())?, limit).await?;
    Ok(Json(List { items }))
}

/// Which authors are asked for, and in which order.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuthorQuery {
    /// What they are ranked by; `influence` unless said otherwise.
    #[param(value_type = Option<Rank>, inline)]
    rank: Rank,
    /// Only authors of this segment; may be repeated.
    #[param(required = false, inline, max_items = 20)]
    segment: Vec<Segment>,
}

impl Query for AuthorQuery {
    fn read(params: &mut Params) -> Self {
        let ranks = [
            ("messages", Rank::Messages),
            ("reach", Rank::Reach),
            ("influence", Rank::Influence),
            ("advocacy", Rank::Advocacy),
            ("detraction", Rank::Detraction),
        ];
        Self {
            rank: params.choice("rank", &ranks).unwrap_or(Rank::Influence),
            segment: params.choices("segment", &Segment::ALL.map(|segment| (segment.as_str(), segment))),
        }
    }
}

/// Who speaks
///
/// The authors who rank highest. Influence, advocacy and segments are of all of time, whatever time is asked for.
#[utoipa::path(get, path = "/authors", tag = query::MAPPING, params(FilterQuery, AuthorQuery, LimitQuery),
    responses((status = 200, description = "The authors", body = List<TopAuthor>)))]
pub(super) async fn authors(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, (AuthorQuery, LimitQuery))>,
) -> Answer<List<TopAuthor>> {
    let (filter, (AuthorQuery { rank, segment }, LimitQuery { limit })) = query;
    let items = mapping::top_authors(&api.store, &caller.narrow(filter.into())?, &segment, rank, limit).await?;
    Ok(Json(List { items }))
}

/// Mentions on the page of an author.
const LATEST: usize = 10;

/// Read one author
///
/// Influence term by term, with weights and what the terms are made of, for every token; what the author is to each
/// brand, and what they said last, of what the token may see. Scores are made of what was said in public.
#[utoipa::path(get, path = "/authors/{channel}/{author}", tag = query::MAPPING,
    params(("channel" = inline(Text), Path, description = "Platform"),
           ("author" = inline(Text), Path, description = "The platform's id of them, or their handle where it gives none")),
    responses((status = 200, description = "The author", body = AuthorPage),
              (status = 404, description = "Nobody of that name was heard in public", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn author(
    State(api): State<Api>,
    caller: Caller,
    Who { channel, author }: Who,
    _: Checked<Nothing>,
) -> Answer<AuthorPage> {
    let filter = caller.narrow(Filter::default())?;
    let page = authors::author(&api.store, &filter, &channel, &author, LATEST).await?;
    let unknown =
        || Problem::not_found("nobody of that name was heard in public on this channel, or is not scored yet");
    page.map(Json).ok_or_else(unknown)
}

/// The author in the path.
pub(super) struct Who {
    channel: String,
    author: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((channel, author)) = path.map_err(|_| Problem::bad_parameter("author", "it is not UTF-8"))?;
        for (name, text) in [("channel", &channel), ("author", &author)] {
            check_text(text).map_err(|detail| Problem::bad_parameter(name, detail))?;
        }
        Ok(Self { channel, author })
    }
}

/// Who speaks to whom
///
/// Replies, reposts and mentions from author to author, most frequent first.
#[utoipa::path(get, path = "/interactions", tag = query::MAPPING, params(FilterQuery, LimitQuery),
    responses((status = 200, description = "The interactions", body = List<Interaction>)))]
pub(super) async fn interactions(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, LimitQuery)>,
) -> Answer<List<Interaction>> {
    let (filter, LimitQuery { limit }) = query;
    let items = mapping::interactions(&api.store, &caller.narrow(filter.into())?, limit).await?;
    Ok(Json(List { items }))
}

/// What waits for an answer
///
/// Negative mentions that the brand has not answered, by the influence of their authors.
#[utoipa::path(get, path = "/unanswered", tag = query::MANAGEMENT, params(FilterQuery, LimitQuery),
    responses((status = 200, description = "The mentions", body = List<Latest>)))]
pub(super) async fn waiting(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, LimitQuery)>,
) -> Answer<List<Latest>> {
    let (filter, LimitQuery { limit }) = query;
    Ok(Json(List { items: unanswered(&api.store, &caller.narrow(filter.into())?, limit).await? }))
}

/// How the brands compare.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Comparison {
    /// The brands, most mentions first.
    brands: Vec<BrandFigures>,
    /// What the figures mean.
    formulas: Vec<Formula>,
}

/// What a figure means.
#[derive(Debug, Serialize, ToSchema)]
struct Formula {
    /// The figure.
    figure: &'static str,
    /// Its formula.
    formula: &'static str,
}

/// How the brands compare
///
/// Share of voice, reach, and net sentiment on both bases with 95 % intervals. All shares are of the brands shown.
#[utoipa::path(get, path = "/brands", tag = query::MEASUREMENT, params(FilterQuery),
    responses((status = 200, description = "The figures and their formulas", body = Comparison)))]
pub(super) async fn brands(
    State(api): State<Api>,
    caller: Caller,
    Checked(filter): Checked<FilterQuery>,
) -> Answer<Comparison> {
    let brands = measurement::brands(&api.store, &caller.narrow(filter.into())?).await?;
    let formulas = FORMULAS.iter().map(|(figure, formula)| Formula { figure, formula }).collect();
    Ok(Json(Comparison { brands, formulas }))
}

/// The sources and their health
///
/// Polls, records and delays of every source. Of mentions only those count that the token may see.
#[utoipa::path(get, path = "/sources", tag = query::MIDDLEWARE,
    responses((status = 200, description = "The sources by name", body = List<Source>)))]
pub(super) async fn sources(State(api): State<Api>, caller: Caller, _: Checked<Nothing>) -> Answer<List<Source>> {
    let items = middleware::sources(&api.store, &caller.narrow(Filter::default())?).await?;
    Ok(Json(List { items }))
}

/// Which gaps are asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GapQuery {
    /// Platform, such as `mastodon`; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    channel: Vec<String>,
    /// Gaps that end after this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Gaps that begin before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl Query for GapQuery {
    fn read(params: &mut Params) -> Self {
        let channel = params.texts("channel");
        let (from, until) = params.window();
        Self { channel, from, until }
    }
}

/// What was missed
///
/// Intervals in which a source missed messages, or may have, latest first. They belong to sources, not to brands.
#[utoipa::path(get, path = "/coverage-gaps", tag = query::MIDDLEWARE, params(GapQuery, LimitQuery),
    responses((status = 200, description = "The gaps", body = List<CoverageGap>)))]
pub(super) async fn gaps(
    State(api): State<Api>,
    _: Caller,
    Checked(query): Checked<(GapQuery, LimitQuery)>,
) -> Answer<List<CoverageGap>> {
    let (query, LimitQuery { limit }) = query;
    let GapQuery { channel, from, until } = query;
    let filter = Filter { channels: channel, from, until, ..Filter::default() };
    Ok(Json(List { items: middleware::gaps(&api.store, &filter, limit).await? }))
}

/// Of which sources.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SourceQuery {
    /// Name of a source; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    source: Vec<String>,
}

impl Query for SourceQuery {
    fn read(params: &mut Params) -> Self {
        Self { source: params.texts("source") }
    }
}

/// What the sources did
///
/// The latest polls, newest first. Needs the role `admin` for all brands.
#[utoipa::path(get, path = "/polls", tag = query::MIDDLEWARE, params(SourceQuery, LimitQuery),
    responses((status = 200, description = "The polls", body = List<Poll>)))]
pub(super) async fn polls(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(SourceQuery, LimitQuery)>,
) -> Answer<List<Poll>> {
    let (SourceQuery { source }, LimitQuery { limit }) = query;
    caller.operates()?;
    Ok(Json(List { items: middleware::polls(&api.store, &source, limit).await? }))
}

/// What could not be understood
///
/// Dead letters counted by source and reason, most frequent first. Needs the role `admin` for all brands.
#[utoipa::path(get, path = "/dead-letters", tag = query::MIDDLEWARE, params(LimitQuery),
    responses((status = 200, description = "The counts", body = List<Refused>)))]
pub(super) async fn dead_letters(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<LimitQuery>,
) -> Answer<List<Refused>> {
    let LimitQuery { limit } = query;
    caller.operates()?;
    Ok(Json(List { items: middleware::refused(&api.store, limit).await? }))
}
