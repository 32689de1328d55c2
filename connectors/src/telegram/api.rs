//! The requests: <https://core.telegram.org/bots/api#making-requests>.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::contract::{ConnectorError, Fault};
use crate::http::{Client, Limits, Quota, Response};
use crate::secret::Secret;

/// The most updates in an answer.
pub(super) const LIMIT: usize = 100;
/// Telegram's own limits concern sending; this one keeps a server that does not hold its answers
/// back from being asked without end.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// What is asked for; anything else is left out by Telegram.
const ALLOWED: &str = r#"["message","edited_message","channel_post","edited_channel_post","message_reaction_count"]"#;

/// A bot at a Bot API server.
pub(super) struct Api {
    http: Client,
    limits: Limits,
    /// Holds the token.
    base: Secret,
    host: String,
}

impl Api {
    pub(super) fn new(http: Client, server: &Url, token: Secret, bot: &str) -> Self {
        let host = server.authority().rsplit('@').next().unwrap_or_default().to_owned();
        let limits = http.limits(&format!("telegram {host} {bot}"), Quota::per_second(PER_SECOND));
        let base = Secret::generated(format!("{}/bot{}", server.as_str().trim_end_matches('/'), token.expose()));
        Self { http, limits, base, host }
    }

    /// Waits for updates from `offset` on, as long as a long poll lasts.
    pub(super) async fn updates(&self, offset: Option<i64>) -> Result<Vec<Value>, ConnectorError> {
        let timeout = self.http.long_poll().as_secs().max(1).to_string();
        let limit = LIMIT.to_string();
        let offset = offset.map(|offset| offset.to_string());
        let mut query = vec![("limit", limit.as_str()), ("timeout", &timeout), ("allowed_updates", ALLOWED)];
        query.extend(offset.as_deref().map(|offset| ("offset", offset)));
        match self.call("getUpdates", &query).await? {
            Value::Array(updates) => Ok(updates),
            _ => Err(self.unusable("the answer is no list of updates")),
        }
    }

    /// Who the bot is and what it can hear.
    pub(super) async fn check(&self) -> Result<String, ConnectorError> {
        let me = self.call("getMe", &[]).await?;
        let name = me.get("username").and_then(Value::as_str).ok_or_else(|| self.unusable("the bot has no name"))?;
        let webhook = self.call("getWebhookInfo", &[]).await?;
        if webhook.get("url").and_then(Value::as_str).is_some_and(|url| !url.is_empty()) {
            return Err(ConnectorError::configuration(self.webhook()));
        }
        let waiting = webhook.get("pending_update_count").and_then(Value::as_u64).unwrap_or(0);
        let hears_all = me.get("can_read_all_group_messages").and_then(Value::as_bool).unwrap_or(false);
        let groups = if hears_all {
            "in groups it hears everything"
        } else {
            "in groups it hears only commands and answers to it, unless it is an administrator: \
             its privacy mode is on"
        };
        Ok(format!("bot @{name}: {waiting} updates wait; {groups}"))
    }

    /// An answer that is not what the API documents.
    pub(super) fn unusable(&self, what: &str) -> ConnectorError {
        ConnectorError::remote(format!("{}: {what}", self.host))
    }

    fn webhook(&self) -> String {
        format!(
            "{}: the bot's updates go to a webhook: remove it with the method deleteWebhook, or use another bot",
            self.host
        )
    }

    async fn call(&self, method: &str, query: &[(&str, &str)]) -> Result<Value, ConnectorError> {
        let shown = format!("{} {method}", self.host);
        // The error of a wrong address would show it.
        let mut url = Url::parse(&format!("{}/{method}", self.base.expose()))
            .map_err(|_| ConnectorError::bug(format!("{shown}: the address cannot be written")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.get(&url, &self.limits).shown_as(&shown).wait_in_body(retry_after);
        let response = request.send().await?;
        let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
        if answer.as_ref().and_then(|answer| answer.get("ok")) == Some(&Value::Bool(false)) {
            return Err(self.refusal(&shown, answer.as_ref(), response));
        }
        response.success()?;
        answer
            .and_then(|mut answer| answer.get_mut("result").map(Value::take))
            .ok_or_else(|| ConnectorError::remote(format!("{shown}: the answer is not one of the Bot API")))
    }

    /// What a refusal by the API itself means.
    fn refusal(&self, shown: &str, answer: Option<&Value>, response: Response) -> ConnectorError {
        let description = answer.and_then(|answer| answer.get("description")).and_then(Value::as_str);
        match response.status {
            // A token of the wrong form is "not found".
            401 | 404 => ConnectorError::configuration(format!(
                "{shown}: the token was refused: take the bot's token from @BotFather and set `token`"
            )),
            409 => {
                let message = if description.is_some_and(|description| description.contains("webhook")) {
                    self.webhook()
                } else {
                    format!("{shown}: another program polls for this bot: stop it, or use another bot")
                };
                ConnectorError { fault: Fault::Configuration, ..ConnectorError::remote(message) }
            }
            status => response.success().err().unwrap_or_else(|| {
                ConnectorError::remote(format!("{shown}: answered {status} and refused at the same time"))
            }),
        }
    }
}

/// `parameters.retry_after` of a 429, in seconds.
fn retry_after(body: &[u8]) -> Option<Duration> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("parameters")?.get("retry_after")?.as_u64().map(Duration::from_secs)
}
