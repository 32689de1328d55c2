//! `telegram`: the groups, channels and private chats of a Telegram bot, by the Bot API.
//!
//! # What a bot hears
//!
//! A bot is made by writing `/newbot` to [@BotFather](https://t.me/BotFather), who answers with the
//! token. The bot hears
//!
//! - private chats with it, from the first message on;
//! - groups that it was added to: with its privacy mode off (`/setprivacy` at @BotFather, then add it
//!   to the group again) or as an administrator everything, otherwise only commands and answers to it;
//! - channels of which it is an administrator;
//! - reactions, where it is an administrator.
//!
//! It never hears other bots, secret chats, deletions, or what was said before it came.
//!
//! # What becomes of an update
//!
//! - A post of a channel is a `post`, everything else a `chat` message; a comment under a channel's
//!   post is a `comment`. A forwarded message is a `repost`, an answer to a message of another chat a
//!   `quote`; both are linked to the original where it is known.
//! - The text is the text or the caption; media are named below it: `[photo]`, `[document NAME]`.
//!   The options of a poll stand there, too. Links, hashtags and mentions are Telegram's own.
//! - Chats that have a public name are public, all others private.
//! - An edit is a new version. Reactions of all sorts count as likes, for the last thousand messages
//!   that were heard since the start.
//! - A name for whom a chat speaks (an anonymous administrator, a channel) is the author.
//! - Service messages (somebody joined, a message was pinned) are left out.
//!
//! # What is promised
//!
//! - Telegram forgets an update when it is asked for the next ones, which happens only after the
//!   batch is acknowledged; after a crash, the same updates come again.
//! - Telegram keeps updates for 24 hours. A longer absence is a gap.
//! - An update that cannot be understood is poison; the others are kept.
//! - Only one program can poll for a bot. A second one, or a webhook, is an error that says so, and
//!   another try.
//! - The token, which is part of the address, is in no error and no log.

mod api;
mod entities;
mod media;
mod parse;
mod position;
mod recent;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use self::api::{Api, LIMIT};
use self::parse::{Heard, Item, Reading, item};
use self::position::Position;
use self::recent::Recent;
use crate::contract::{Batch, BuildError, Connector, ConnectorError, Cursor, Gap, GapReason};
use crate::message::Message;
use crate::registry::{Channel, Context, Parsed};
use crate::secret::Secret;

/// The `telegram` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: parse::CHANNEL,
    summary: "groups, channels and private chats of a Telegram bot",
    settings: crate::settings::schema::<Settings>,
    build,
    parse: parse_payload,
};

/// The settings as written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["token"]))]
struct Settings {
    /// The bot's token, from [@BotFather](https://t.me/BotFather).
    token: Option<Secret>,
    /// Address of the Bot API server.
    server: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, server: "https://api.telegram.org".to_owned() }
    }
}

impl Settings {
    fn server(&self) -> Result<Url, BuildError> {
        let text = &self.server;
        let url = Url::parse(text)
            .map_err(|error| BuildError::setting("server", &format!("`{text}` is no address: {error}")))?;
        let is_server = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        if is_server {
            Ok(url)
        } else {
            Err(BuildError::setting("server", &format!("`{text}` is no address of an HTTP server")))
        }
    }

    /// The bot's user id, with which its token begins; `None` where the token has another form.
    fn bot(&self) -> Option<String> {
        let (bot, secret) = self.token.as_ref()?.expose().split_once(':')?;
        let is_secret = !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (!bot.is_empty() && bot.bytes().all(|b| b.is_ascii_digit()) && is_secret).then(|| bot.to_owned())
    }
}

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let settings: Settings = crate::settings::read(settings)?;
    let server = settings.server()?;
    let position = Position::read(context.cursor.as_ref())?;
    let form = "is no token of a bot, which looks like `123456:ABC-DEF`";
    let bot = settings.bot();
    let missing =
        || BuildError::setting("token", "is missing: @BotFather gives one, write it as `env:NAME` or `file:PATH`");
    let token = settings.token.ok_or_else(missing)?;
    let bot = bot.ok_or_else(|| BuildError::setting("token", form))?;
    let api = Api::new(context.http.clone(), &server, token, &bot);
    Ok(Box::new(TelegramConnector { source: context.source.to_owned(), bot, api, position, recent: Recent::default() }))
}

/// Reads an answer of `getUpdates`, a list of updates, or a single one.
fn parse_payload(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let settings: Settings = crate::settings::read(settings)?;
    let answer: Value = serde_json::from_slice(payload)
        .map_err(|error| BuildError::setting("payload", &format!("is no JSON: wrong at line {}", error.line())))?;
    let updates = match answer {
        Value::Array(updates) => updates,
        Value::Object(mut answer) => match answer.remove("result") {
            Some(Value::Array(updates)) => updates,
            Some(_) => return Err(BuildError::setting("payload", "is no list of updates")),
            None => vec![Value::Object(answer)],
        },
        _ => return Err(BuildError::setting("payload", "is no update of the Bot API")),
    };
    let bot = settings.bot();
    let reading = Reading { source, bot: bot.as_deref().unwrap_or_default(), observed_at: Timestamp::now() };
    let mut parsed = Parsed::default();
    let mut recent = Recent::default();
    for update in &updates {
        let item = item(update).ok_or_else(|| BuildError::setting("payload", "an update has no `update_id`"))?;
        match understand(item, &reading, &mut recent) {
            Ok(message) => parsed.messages.extend(message),
            Err(poison) => parsed.poison.push(poison),
        }
    }
    Ok(parsed)
}

/// The message that an update leads to, if it does.
fn understand(
    item: Item,
    reading: &Reading<'_>,
    recent: &mut Recent,
) -> Result<Option<Message>, crate::contract::Poison> {
    Ok(match item.heard? {
        Heard::Post(post) => post.message(reading).map(|message| recent.heard(message)),
        Heard::Reactions(reactions) => {
            recent.reacted(reactions.target(reading), reactions.count(), reading.observed_at)
        }
        Heard::Other => None,
    })
}

struct TelegramConnector {
    source: String,
    bot: String,
    api: Api,
    position: Position,
    recent: Recent,
}

#[async_trait]
impl Connector for TelegramConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        self.api.check().await
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        let updates = self.api.updates(self.position.offset(Timestamp::now())).await?;
        let now = Timestamp::now();
        let mut batch = Batch { more: updates.len() >= LIMIT, ..Batch::default() };
        batch.gaps.extend(self.position.expired(now).map(expired));
        let reading = Reading { source: &self.source, bot: &self.bot, observed_at: now };
        let mut ids = Vec::new();
        for item in updates.iter().filter_map(item) {
            ids.push(item.id);
            match understand(item, &reading, &mut self.recent) {
                Ok(message) => batch.messages.extend(message),
                Err(poison) => batch.poison.push(poison),
            }
        }
        if ids.is_empty() && !updates.is_empty() {
            return Err(self.api.unusable("updates have no `update_id`"));
        }
        if self.position.advance(&ids, !batch.more, now) {
            let cursor = Cursor::of(&self.position);
            batch.cursor =
                Some(cursor.map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))?);
        }
        Ok(batch)
    }
}

/// The gap of an absence, which ends where Telegram's memory begins.
fn expired((from, until): (Timestamp, Timestamp)) -> Gap {
    Gap {
        from,
        until,
        reason: GapReason::CursorExpired,
        estimate: None,
        detail: "Telegram keeps updates for 24 hours, and was not asked for longer than that".to_owned(),
    }
}
