//! Rate limits: our own quota, and what the server says about its limits.
//!
//! Understood: `Retry-After` (RFC 9110: seconds or a date), `X-RateLimit-Remaining` and
//! `X-RateLimit-Reset` (seconds from now, seconds since the epoch, or ISO 8601), and the IETF draft
//! `RateLimit` / `RateLimit-Policy` in its list form (`"default";r=0;t=30`), its dictionary form
//! (`remaining=0, reset=30`) and its separate `RateLimit-Remaining` / `RateLimit-Reset` headers.
//!
//! Points in time are compared with the response's own `Date`, so that a wrong clock on either side
//! does no harm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use crate::contract::ConnectorError;

/// A pause up to this long is waited for inside a call; a longer one is returned as an error, so
/// that the source's state shows it.
const LONGEST_WAIT_IN_CALL: Duration = Duration::from_secs(60);

/// No server makes us wait longer than this at once, whatever it says.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a 429 that does not say how long.
const PAUSE_UNTOLD: Duration = Duration::from_secs(60);

/// All limiters of a client, by key.
#[derive(Default)]
pub(super) struct Registry {
    by_key: Mutex<HashMap<String, Limits>>,
}

impl Registry {
    pub(super) fn get(&self, key: &str, quota: Quota) -> Limits {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        by_key.entry(key.to_owned()).or_insert_with(|| Limits::new(key, quota)).clone()
    }
}

/// The rate limiter of one key; clones share its state.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    key: String,
    quota: DefaultDirectRateLimiter,
    /// Until when the server wants silence.
    paused_until: Mutex<Option<Instant>>,
}

impl Limits {
    fn new(key: &str, quota: Quota) -> Self {
        let quota = DefaultDirectRateLimiter::direct(quota);
        Self(Arc::new(Inner { key: key.to_owned(), quota, paused_until: Mutex::default() }))
    }

    /// Waits for this request's turn; an error when the server wants a long silence.
    pub(super) async fn wait(&self) -> Result<(), ConnectorError> {
        loop {
            let wait = match (self.pause(), self.0.quota.check()) {
                (Some(pause), _) if pause > LONGEST_WAIT_IN_CALL => {
                    let message =
                        format!("{}: the rate limit is used up for another {} s", self.0.key, pause.as_secs());
                    return Err(ConnectorError::rate_limited(message, pause));
                }
                (Some(pause), _) => pause,
                (None, Ok(())) => return Ok(()),
                (None, Err(not_until)) => not_until.wait_time_from(DefaultClock::default().now()),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes note of how long the server wants us to be silent, if it does: see [`wait_told`].
    pub(super) fn learn(&self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let until = Instant::now() + wait;
            let mut paused_until = self.0.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            *paused_until = (*paused_until).max(Some(until));
        }
    }

    fn pause(&self) -> Option<Duration> {
        let paused_until = *self.0.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        paused_until?.checked_duration_since(Instant::now()).filter(|pause| !pause.is_zero())
    }
}

/// How long the server wants us to be silent from now on, if it does.
pub(super) fn wait_told(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let now = text(headers, "date").and_then(http_date).unwrap_or_else(Timestamp::now);
    let retry_after = text(headers, "retry-after").and_then(|value| point_in_time(value, now));
    let exhausted = x_rate_limit(headers, now).max(ietf_rate_limit(headers));
    let untold = (status == 429).then_some(PAUSE_UNTOLD);
    // A Retry-After on a redirect or a 2xx is not about limits.
    let retry_after = retry_after.filter(|_| status >= 400);
    retry_after.max(exhausted).or(untold).map(|wait| wait.min(LONGEST_PAUSE))
}

/// `X-RateLimit-*`: the time to the reset when nothing remains.
fn x_rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    // Reddit counts in fractions.
    let remaining: f64 = text(headers, "x-ratelimit-remaining")?.parse().ok()?;
    if remaining >= 1.0 {
        return None;
    }
    point_in_time(text(headers, "x-ratelimit-reset")?, now)
}

/// The IETF's headers, all drafts: the longest time to a reset of a quota of which nothing remains.
fn ietf_rate_limit(headers: &HeaderMap) -> Option<Duration> {
    let mut longest = None;
    for value in headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok()) {
        for item in value.split(',') {
            let parameter = |name: &str| item.split(';').find_map(|part| number(part, name));
            if parameter("r") == Some(0) {
                let reset = parameter("t").or_else(|| window(headers, item.split(';').next()?.trim()));
                longest = longest.max(reset);
            }
        }
        let entry = |name: &str| value.split(',').find_map(|part| number(part, name));
        if entry("remaining") == Some(0) {
            longest = longest.max(entry("reset"));
        }
    }
    if text(headers, "ratelimit-remaining").and_then(|value| value.parse().ok()) == Some(0_u64) {
        longest = longest.max(text(headers, "ratelimit-reset").and_then(|value| value.parse().ok()));
    }
    longest.map(Duration::from_secs)
}

/// The window, in seconds, of a named policy: how long to wait when the time to the reset is not told.
fn window(headers: &HeaderMap, policy: &str) -> Option<u64> {
    text(headers, "ratelimit-policy")?
        .split(',')
        .find(|item| item.split(';').next().is_some_and(|name| name.trim() == policy))?
        .split(';')
        .find_map(|part| number(part, "w"))
}

/// The value of `name=value`.
fn number(part: &str, name: &str) -> Option<u64> {
    let (key, value) = part.split_once('=')?;
    (key.trim() == name).then(|| value.trim().parse().ok())?
}

/// The time from `now` to a moment given as seconds from now, seconds or milliseconds since the
/// epoch, an HTTP date, or ISO 8601.
fn point_in_time(value: &str, now: Timestamp) -> Option<Duration> {
    let Ok(number) = value.parse::<f64>() else {
        let moment = http_date(value).or_else(|| value.parse().ok())?;
        return Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default());
    };
    let seconds = match number {
        // No window lasts thirty years: it is a point in time.
        n if n >= 1e12 => n / 1000.0 - now.as_second() as f64,
        n if n >= 1e9 => n - now.as_second() as f64,
        n => n,
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn http_date(value: &str) -> Option<Timestamp> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new();
    PARSER.parse_timestamp(value).ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const DATE: (&str, &str) = ("date", "Fri, 21 Nov 2025 10:00:00 GMT");

    fn wait(status: u16, headers: &[(&str, &str)]) -> Option<u64> {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        wait_told(status, &map).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(wait(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(wait(503, &[DATE, ("retry-after", "Fri, 21 Nov 2025 10:00:30 GMT")]), Some(30));
        assert_eq!(wait(503, &[DATE, ("retry-after", "Fri, 21 Nov 2025 09:00:00 GMT")]), Some(0));
        assert_eq!(wait(429, &[("retry-after", "soon")]), Some(60));
        assert_eq!(wait(200, &[("retry-after", "7")]), None);
    }

    #[test]
    fn x_ratelimit_with_every_sort_of_reset() {
        let left = ("x-ratelimit-remaining", "12");
        let none = ("x-ratelimit-remaining", "0");
        let fraction = ("x-ratelimit-remaining", "0.4");
        assert_eq!(wait(200, &[DATE, left, ("x-ratelimit-reset", "2025-11-21T10:05:00Z")]), None);
        assert_eq!(wait(200, &[DATE, none, ("x-ratelimit-reset", "2025-11-21T10:05:00.123456Z")]), Some(300));
        assert_eq!(wait(200, &[DATE, none, ("x-ratelimit-reset", "1763719320")]), Some(120));
        assert_eq!(wait(200, &[DATE, none, ("x-ratelimit-reset", "1763719320000")]), Some(120));
        assert_eq!(wait(200, &[fraction, ("x-ratelimit-reset", "45")]), Some(45));
    }

    #[test]
    fn ietf_headers_of_all_drafts() {
        assert_eq!(wait(200, &[("ratelimit", r#""default";r=0;t=30"#)]), Some(30));
        assert_eq!(wait(200, &[("ratelimit", r#""default";r=5;t=30, "day";r=0;t=900"#)]), Some(900));
        assert_eq!(
            wait(200, &[("ratelimit", r#""a";r=0"#), ("ratelimit-policy", r#""b";q=1;w=5, "a";q=9;w=60"#)]),
            Some(60)
        );
        assert_eq!(wait(200, &[("ratelimit", "limit=100, remaining=0, reset=50")]), Some(50));
        assert_eq!(wait(200, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "20")]), Some(20));
        assert_eq!(wait(200, &[("ratelimit", "limit=100, remaining=3, reset=50")]), None);
    }

    #[test]
    fn an_absurd_wait_is_bounded() {
        assert_eq!(wait(429, &[("retry-after", "99999999")]), Some(86_400));
        assert_eq!(wait(429, &[("retry-after", "1e300")]), Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_is_waited_for_and_a_long_one_is_an_error() {
        let registry = Registry::default();
        let limits = registry.get("key", Quota::per_second(std::num::NonZeroU32::new(100).unwrap()));
        let retry_after = |seconds: u32| HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, seconds.into())]);

        limits.learn(wait_told(429, &retry_after(30)));
        let before = Instant::now();
        limits.wait().await.unwrap();
        assert!(before.elapsed() >= Duration::from_secs(30));

        registry.get("key", Quota::per_second(std::num::NonZeroU32::MIN)).learn(wait_told(429, &retry_after(300)));
        let error = limits.wait().await.unwrap_err();
        assert!(error.rate_limited);
        assert_eq!(error.retry_after.unwrap().as_secs(), 300);
    }
}
