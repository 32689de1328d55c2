//! `feed`: RSS 0.9x to 2.0, RDF, Atom 0.3 and 1.0, and JSON Feed.
//!
//! # What becomes of an item
//!
//! - Its identity is the feed's id for it (`guid`, `id`, `rdf:about`): as it stands where it is a web
//!   address, a `tag:` URI or a URN, so that an item in two feeds counts once; behind the feed's
//!   configured address otherwise. Without an id, or where a feed gives several items the same, it
//!   is the link, and without that a fingerprint of the content.
//! - It is an article; a comment if it says what it answers or links to a comment; a post if it has
//!   no headline. The conversation is its page.
//! - Categories become hashtags in posts, or where they start with `#`; an editor's sections do not.
//! - The author is whom the item names, else whom the feed names, else the feed itself.
//! - A date in the future is taken as now, and so is a missing one.
//!
//! # What is promised
//!
//! - A feed is read leniently: wrong encodings, undeclared entities, junk around the document, odd
//!   dates. An item that is damaged or cut off is poison, once; the others are kept.
//! - A changed item comes again with a higher version; changed reactions count as a change. An item
//!   that a feed no longer shows is not a deletion.
//! - A page of which nothing is known yet and all is newer than before is a gap (page ceiling).
//! - A feed that fails does not stop the others: its outage is a gap that grows until it is heard
//!   again. Only when every feed that was asked fails, the poll fails.
//! - A feed that has moved for good is asked at its new address as long as that works. One that is
//!   gone (410) is reported once and not asked again.
//! - Unchanged feeds cost one conditional request, a host is asked four times a second at most, and a server's
//!   `Retry-After` holds across restarts.

mod date;
mod decode;
mod item;
mod json;
pub mod parse;
mod position;
mod xml;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use url::Url;

use self::parse::{NotAFeed, Origin, Page, scope};
use self::position::{FeedPosition, Position};
use crate::contract::{Batch, BuildError, Connector, ConnectorError, Cursor, Gap, GapReason};
use crate::http::{self, Quota, redacted};
use crate::registry::{Channel, Context, Parsed};
use crate::settings;

/// The `feed` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: NAME,
    summary: "RSS, Atom and JSON feeds",
    settings: settings::schema::<RawSettings>,
    build,
    parse: parse_payload,
};

const NAME: &str = "feed";

const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// How many feeds are asked at the same time.
const CONCURRENCY: usize = 8;

/// A batch with this many messages is handed over before the remaining feeds are asked.
const ENOUGH_MESSAGES: usize = 1000;

/// Requests to a host, a second, and how many may come at once after a pause.
const RATE: NonZeroU32 = NonZeroU32::new(4).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(16).unwrap();

const ACCEPT: &str = "application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml, \
                      application/xml;q=0.9, text/xml;q=0.9, application/json;q=0.8, */*;q=0.1";

/// The settings as written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["urls"]))]
struct RawSettings {
    /// Addresses of the feeds.
    #[schemars(length(min = 1))]
    urls: Vec<String>,
    /// How often each feed is asked: a duration, at least `"1s"`.
    poll: String,
}

impl Default for RawSettings {
    fn default() -> Self {
        Self { urls: Vec::new(), poll: "5m".to_owned() }
    }
}

struct Settings {
    urls: Vec<Url>,
    poll: Duration,
}

impl Settings {
    fn read(table: toml::Table) -> Result<Self, BuildError> {
        let setting = |path: &str, reason: String| BuildError::Setting { path: path.to_owned(), reason };
        let raw: RawSettings = settings::read(table)?;
        let mut urls = Vec::new();
        for (index, url) in raw.urls.iter().enumerate() {
            let path = format!("urls[{index}]");
            let url = Url::parse(url).map_err(|error| setting(&path, format!("{error}; a full address is wanted")))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(setting(&path, format!("`{}` is neither http nor https", url.scheme())));
            }
            if urls.contains(&url) {
                return Err(setting(&path, format!("{} is there twice", redacted(&url))));
            }
            urls.push(url);
        }
        let poll = raw.poll.parse::<SignedDuration>().ok().and_then(|poll| Duration::try_from(poll).ok());
        let poll =
            poll.ok_or_else(|| setting("poll", format!("`{}` is no duration; write `5m` or `1h 30m`", raw.poll)))?;
        if poll < SHORTEST_POLL {
            return Err(setting("poll", format!("{poll:?} is too often; at least {SHORTEST_POLL:?}")));
        }
        Ok(Self { urls, poll })
    }
}

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let Settings { urls, poll } = Settings::read(settings)?;
    if urls.is_empty() {
        return Err(BuildError::Setting {
            path: "urls".to_owned(),
            reason: "at least one address is needed".to_owned(),
        });
    }
    let mut position = match &context.cursor {
        Some(cursor) => cursor.read::<Position>().map_err(|error| BuildError::Cursor(error.to_string()))?,
        None => Position::default(),
    };
    position.feeds.retain(|feed, _| urls.iter().any(|url| scope(url) == *feed));
    Ok(Box::new(FeedConnector {
        source: context.source.to_owned(),
        http: context.http.clone(),
        urls,
        poll,
        position,
        due: VecDeque::new(),
        next_round: Instant::now(),
    }))
}

fn parse_payload(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let settings = Settings::read(settings)?;
    let origin = Origin { source, url: settings.urls.first(), observed_at: Timestamp::now() };
    let page = parse::parse(payload, None, origin)
        .map_err(|error| BuildError::Setting { path: "payload".to_owned(), reason: error.to_string() })?;
    Ok(Parsed { messages: page.items.into_iter().map(|heard| heard.message).collect(), poison: page.poison })
}

struct FeedConnector {
    source: String,
    http: http::Client,
    urls: Vec<Url>,
    poll: Duration,
    position: Position,
    /// The feeds that are still to be asked in this round.
    due: VecDeque<Url>,
    next_round: Instant,
}

/// What asking a feed came to.
enum Answer {
    Page {
        page: Page,
        etag: Option<String>,
        last_modified: Option<String>,
        moved_to: Option<Url>,
    },
    NotModified,
    Gone,
    /// The feed's new address is no good: back to the configured one.
    NotThere(ConnectorError),
    Failed(ConnectorError),
}

impl FeedConnector {
    /// The feeds to ask in a round that starts now.
    fn due(&self) -> VecDeque<Url> {
        let now = Timestamp::now();
        let is_due = |url: &&Url| {
            let feed = self.position.feeds.get(&scope(url));
            feed.is_none_or(|feed| feed.gone_since.is_none() && feed.not_before.is_none_or(|time| time <= now))
        };
        self.urls.iter().filter(is_due).cloned().collect()
    }

    fn all_gone(&self) -> bool {
        self.urls.iter().all(|url| self.position.feeds.get(&scope(url)).is_some_and(|feed| feed.gone_since.is_some()))
    }

    async fn ask(&self, url: &Url, feed: Option<&FeedPosition>) -> Answer {
        let moved_to = feed.and_then(|feed| feed.moved_to.as_ref());
        match self.fetch(url, moved_to.unwrap_or(url), feed).await {
            Ok(Answer::Gone) if moved_to.is_some() => {
                Answer::NotThere(ConnectorError::remote(format!("{}: its new address is gone", redacted(url))))
            }
            Ok(answer) => answer,
            Err(error) if moved_to.is_some() && !error.rate_limited => Answer::NotThere(error),
            Err(error) => Answer::Failed(error),
        }
    }

    async fn fetch(&self, url: &Url, address: &Url, feed: Option<&FeedPosition>) -> Result<Answer, ConnectorError> {
        let host = address.host_str().unwrap_or_default();
        let limits = self.http.limits(&format!("feed {host}"), Quota::per_second(RATE).allow_burst(BURST));
        let validators = feed.map(|feed| (feed.etag.as_deref(), feed.last_modified.as_deref())).unwrap_or_default();
        let request = self.http.get(address, &limits).accept(ACCEPT).if_changed(validators.0, validators.1);
        let response = request.send().await?;
        match response.status {
            304 => return Ok(Answer::NotModified),
            410 => return Ok(Answer::Gone),
            _ => {}
        }
        let response = response.success()?;
        let origin = Origin { source: &self.source, url: Some(url), observed_at: Timestamp::now() };
        let page = parse::parse(&response.body, response.header("content-type"), origin)
            .map_err(|error: NotAFeed| ConnectorError::remote(format!("{}: {error}", redacted(address))))?;
        Ok(Answer::Page {
            page,
            etag: response.etag().map(str::to_owned),
            last_modified: response.last_modified().map(str::to_owned),
            moved_to: response.moved_permanently_to,
        })
    }

    /// Asks all feeds that are due, a few at a time, until there is enough for a batch.
    async fn round(&self) -> Round {
        let mut round = Round {
            position: self.position.clone(),
            due: self.due.clone(),
            batch: Batch::default(),
            heard: 0,
            errors: Vec::new(),
        };
        while !round.due.is_empty() && round.batch.messages.len() < ENOUGH_MESSAGES {
            let now_due: Vec<Url> = round.due.drain(..CONCURRENCY.min(round.due.len())).collect();
            let answers =
                join_all(now_due.iter().map(|url| self.ask(url, round.position.feeds.get(&scope(url))))).await;
            for (url, answer) in now_due.into_iter().zip(answers) {
                round.apply(url, answer, Timestamp::now());
            }
        }
        round
    }
}

/// A round's effects, kept apart from the connector until the round is over, so that it can be
/// dropped at any moment.
struct Round {
    position: Position,
    due: VecDeque<Url>,
    batch: Batch,
    heard: usize,
    errors: Vec<ConnectorError>,
}

impl Round {
    fn apply(&mut self, url: Url, answer: Answer, now: Timestamp) {
        let feed = self.position.feeds.entry(scope(&url)).or_default();
        match answer {
            Answer::Page { page, etag, last_modified, moved_to } => {
                self.heard += 1;
                let news = feed.take(page, now);
                // Without validators the next request brings the page again, with the rest.
                (feed.etag, feed.last_modified) = if news.more { (None, None) } else { (etag, last_modified) };
                feed.moved_to = moved_to.or(feed.moved_to.take());
                self.batch.messages.extend(news.messages);
                self.batch.poison.extend(news.poison);
                self.batch
                    .gaps
                    .extend(news.gap.map(|gap| Gap { detail: format!("{}: {}", redacted(&url), gap.detail), ..gap }));
                if news.more {
                    self.due.push_front(url);
                }
            }
            Answer::NotModified => {
                self.heard += 1;
                feed.heard_until = Some(now);
                feed.not_before = None;
            }
            Answer::Gone => {
                feed.gone_since = Some(now);
                let detail =
                    format!("{}: gone for good (410); it is not asked again, remove it from `urls`", redacted(&url));
                let from = feed.heard_until.unwrap_or(now);
                self.batch.gaps.push(Gap {
                    from,
                    until: now,
                    reason: GapReason::Outage,
                    estimate: None,
                    detail: detail.clone(),
                });
                self.errors.push(ConnectorError::configuration(detail));
            }
            Answer::NotThere(error) => {
                (feed.moved_to, feed.etag, feed.last_modified) = (None, None, None);
                self.failed(&url, error, now);
            }
            Answer::Failed(error) => self.failed(&url, error, now),
        }
    }

    fn failed(&mut self, url: &Url, error: ConnectorError, now: Timestamp) {
        let feed = self.position.feeds.entry(scope(url)).or_default();
        let from = *feed.heard_until.get_or_insert(now);
        let wait = error.retry_after.filter(|wait| !wait.is_zero());
        feed.not_before = wait.and_then(|wait| now.checked_add(wait).ok());
        let reason = if error.rate_limited { GapReason::RateLimit } else { GapReason::Outage };
        self.batch.gaps.push(Gap { from, until: now, reason, estimate: None, detail: error.message.clone() });
        self.errors.push(error);
    }

    /// The batch, or an error when every feed failed.
    fn finish(mut self) -> Result<Batch, ConnectorError> {
        let failed = self.errors.len();
        if self.heard == 0
            && let Some(error) = self.errors.into_iter().min_by_key(|error| error.retry_after.unwrap_or(Duration::MAX))
        {
            let message = if failed == 1 {
                error.message
            } else {
                format!("all {failed} feeds failed, for example {}", error.message)
            };
            return Err(ConnectorError { message, ..error });
        }
        let cursor = Cursor::of(&self.position)
            .map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))?;
        self.batch.cursor = Some(cursor);
        self.batch.more = !self.due.is_empty();
        Ok(self.batch)
    }
}

#[async_trait]
impl Connector for FeedConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        let answers = join_all(self.urls.iter().map(|url| self.fetch(url, url, None))).await;
        let mut formats: Vec<(String, usize)> = Vec::new();
        let mut problems = Vec::new();
        let mut first_error = None;
        for (url, answer) in self.urls.iter().zip(answers) {
            match answer {
                Ok(Answer::Page { page, moved_to, .. }) => {
                    if let Some(to) = moved_to {
                        problems.push(format!("{} has moved for good to {}", redacted(url), redacted(&to)));
                    }
                    match formats.iter_mut().find(|(format, _)| *format == page.format) {
                        Some((_, count)) => *count += 1,
                        None => formats.push((page.format, 1)),
                    }
                }
                Ok(_) => problems.push(format!("{} is gone for good (410), remove it from `urls`", redacted(url))),
                Err(error) => {
                    problems.push(error.message.clone());
                    first_error.get_or_insert(error);
                }
            }
        }
        if formats.is_empty() {
            let message = problems.join("; ");
            return Err(first_error.map_or_else(
                || ConnectorError::configuration(message.clone()),
                |error| ConnectorError { message: message.clone(), ..error },
            ));
        }
        let total = self.urls.len();
        let reachable =
            formats.iter().map(|(format, count)| format!("{count} as {format}")).collect::<Vec<_>>().join(", ");
        let summary = format!("{total} {}, reachable: {reachable}", if total == 1 { "feed" } else { "feeds" });
        Ok([vec![summary], problems].concat().join("; "))
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        while self.due.is_empty() {
            if self.all_gone() {
                return Err(ConnectorError::configuration("all feeds are gone for good (410); change `urls`"));
            }
            sleep_until(self.next_round).await;
            self.next_round = Instant::now() + self.poll;
            self.due = self.due();
        }
        let round = self.round().await;
        self.position.clone_from(&round.position);
        self.due.clone_from(&round.due);
        round.finish()
    }
}
