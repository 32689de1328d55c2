//! Settings of a `mastodon` source, checked.

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::contract::BuildError;
use crate::secret::Secret;
use crate::settings::{self, nearest, read};

const SHORTEST: Duration = Duration::from_secs(1);
/// Statuses that are remembered, and their position in the cursor, stay within bounds.
const MAX_STATUSES: usize = 800;

/// The settings as written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["server", "timelines"]))]
struct Raw {
    /// Name or address of the server, `"mastodon.social"`.
    server: Option<String>,
    /// What is heard: `"public"`, `"public:local"`, `"public:remote"`, `"tag:NAME"`, `"mentions"`,
    /// `"account:@USER@SERVER"`.
    #[schemars(length(min = 1))]
    timelines: Vec<String>,
    /// An access token; `"mentions"` needs it, with the scope `read:notifications`, and some servers want one for
    /// everything.
    token: Option<Secret>,
    /// How often each timeline is read: a duration, at least `"1s"`.
    poll: String,
    /// How many of the newest statuses of each timeline the first poll takes; 0 for only what is said from now on.
    #[schemars(range(max = MAX_STATUSES))]
    backfill: usize,
    /// Which statuses are read again, for edits, deletions and reactions.
    #[schemars(with = "RawRecheck")]
    recheck: toml::Table,
}

impl Default for Raw {
    fn default() -> Self {
        // The first poll takes one page.
        let (poll, backfill) = ("1m".to_owned(), 40);
        Self { server: None, timelines: Vec::new(), token: None, poll, backfill, recheck: toml::Table::new() }
    }
}

/// `recheck`, read by itself for the sake of its errors.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawRecheck {
    /// How often: a duration, at least `"1s"`.
    every: String,
    /// How many of each timeline's newest statuses.
    #[schemars(range(max = MAX_STATUSES))]
    statuses: usize,
    /// How old they are at most, in hours.
    hours: u32,
}

impl Default for RawRecheck {
    fn default() -> Self {
        Self { every: "10m".to_owned(), statuses: 200, hours: 24 }
    }
}

/// The settings, described.
pub(super) fn schema() -> Schema {
    settings::schema::<Raw>()
}

/// What a source listens to and how.
pub(super) struct Settings {
    /// `None` only where a payload is read.
    pub(super) server: Option<Url>,
    pub(super) timelines: Vec<Timeline>,
    pub(super) token: Option<Secret>,
    pub(super) poll: Duration,
    /// How many of the newest statuses the first poll takes.
    pub(super) backfill: usize,
    pub(super) recheck: Recheck,
}

/// Which statuses are read again, for edits, deletions and reactions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recheck {
    pub(super) every: Duration,
    /// The newest so many.
    pub(super) statuses: usize,
    /// Published in the last so many hours.
    pub(super) hours: u32,
}

/// A timeline of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Timeline {
    /// All public statuses that the server knows.
    Public,
    /// Those of its own accounts.
    PublicLocal,
    /// Those of other servers' accounts.
    PublicRemote,
    /// Public statuses with a hashtag, given without `#`.
    Tag(String),
    /// Statuses that mention the token's account.
    Mentions,
    /// What one of the brand's own accounts says, given as `user` or `user@server`.
    Account(String),
}

impl Settings {
    /// Checks the settings of a configured source.
    pub(super) fn new(table: toml::Table) -> Result<Self, BuildError> {
        let settings = Self::for_payload(table)?;
        if settings.server.is_none() {
            return Err(BuildError::setting("server", "is missing: which server, for example `mastodon.social`?"));
        }
        if settings.timelines.is_empty() {
            return Err(BuildError::setting("timelines", &format!("is empty; what can be heard: {FORMS}")));
        }
        if settings.token.is_none() && settings.timelines.contains(&Timeline::Mentions) {
            return Err(BuildError::setting(
                "token",
                "is missing: `mentions` needs one, with the scope read:notifications",
            ));
        }
        Ok(settings)
    }

    /// Checks the settings for reading a payload, for which none is needed.
    pub(super) fn for_payload(table: toml::Table) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let recheck: RawRecheck = read(raw.recheck).map_err(|error| match error {
            BuildError::Setting { path, reason } => BuildError::Setting { path: format!("recheck.{path}"), reason },
            error => error,
        })?;
        let mut timelines: Vec<Timeline> = Vec::new();
        for (index, name) in raw.timelines.iter().enumerate() {
            let path = format!("timelines[{index}]");
            let timeline = Timeline::parse(name).map_err(|reason| BuildError::setting(&path, &reason))?;
            if timelines.contains(&timeline) {
                return Err(BuildError::setting(&path, &format!("`{name}` is there twice")));
            }
            timelines.push(timeline);
        }
        let at_most = |path: &str, number: usize| {
            let limit = format!("{number} is too many; at most {MAX_STATUSES}");
            if number > MAX_STATUSES { Err(BuildError::setting(path, &limit)) } else { Ok(number) }
        };
        Ok(Self {
            server: raw.server.as_deref().map(server).transpose()?,
            timelines,
            token: raw.token,
            poll: duration("poll", &raw.poll)?,
            backfill: at_most("backfill", raw.backfill)?,
            recheck: Recheck {
                every: duration("recheck.every", &recheck.every)?,
                statuses: at_most("recheck.statuses", recheck.statuses)?,
                hours: recheck.hours,
            },
        })
    }

    /// The brand's own accounts, as given.
    pub(super) fn own_accounts(&self) -> impl Iterator<Item = &str> {
        self.timelines.iter().filter_map(|timeline| match timeline {
            Timeline::Account(account) => Some(account.as_str()),
            _ => None,
        })
    }
}

/// The forms of a timeline, for errors.
const FORMS: &str = "public, public:local, public:remote, tag:NAME, mentions, account:@USER@SERVER";

impl Timeline {
    fn parse(name: &str) -> Result<Self, String> {
        let plain = |prefix: &str, sigil: char| {
            let rest = name.strip_prefix(prefix)?.trim_start_matches(sigil);
            Some(rest.to_owned()).filter(|rest| !rest.is_empty() && !rest.contains(['/', '?', ' ']))
        };
        match name {
            "public" => Ok(Self::Public),
            "public:local" => Ok(Self::PublicLocal),
            "public:remote" => Ok(Self::PublicRemote),
            "mentions" => Ok(Self::Mentions),
            "tag:" | "account:" => Err(format!("`{name}` needs a name")),
            _ => plain("tag:", '#').map(Self::Tag).or_else(|| plain("account:", '@').map(Self::Account)).ok_or_else(
                || {
                    let known = ["public", "public:local", "public:remote", "tag:", "mentions", "account:"];
                    let hint =
                        nearest(name, &known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
                    format!("`{name}` is no timeline{hint}; there are {FORMS}")
                },
            ),
        }
    }

    /// The name in settings and in the cursor.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Public => "public".to_owned(),
            Self::PublicLocal => "public:local".to_owned(),
            Self::PublicRemote => "public:remote".to_owned(),
            Self::Tag(tag) => format!("tag:{tag}"),
            Self::Mentions => "mentions".to_owned(),
            Self::Account(account) => format!("account:@{account}"),
        }
    }
}

fn server(text: &str) -> Result<Url, BuildError> {
    let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&address)
        .map_err(|error| BuildError::setting("server", &format!("`{text}` is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !matches!(url.path(), "" | "/") {
        return Err(BuildError::setting(
            "server",
            &format!("`{text}` is no server: give its name, for example `mastodon.social`"),
        ));
    }
    Ok(url)
}

fn duration(path: &str, text: &str) -> Result<Duration, BuildError> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    match duration {
        Some(duration) if duration >= SHORTEST => Ok(duration),
        Some(duration) => Err(BuildError::setting(path, &format!("{duration:?} is too often; at least {SHORTEST:?}"))),
        None => Err(BuildError::setting(path, &format!("`{text}` is no duration; write `5m` or `1h 30m`"))),
    }
}
