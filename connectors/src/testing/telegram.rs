//! A bot of Telegram's Bot API, as its documentation describes it:
//! <https://core.telegram.org/bots/api#getupdates>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::server::{Answer, Request, Server};

/// The updates that a bot has not confirmed yet.
#[derive(Debug, Clone)]
pub struct BotQueue {
    /// By id, oldest first.
    updates: Vec<(i64, Timestamp, Value)>,
    /// The id of the next update.
    pub next: i64,
}

impl Default for BotQueue {
    fn default() -> Self {
        Self { updates: Vec::new(), next: 1000 }
    }
}

impl BotQueue {
    /// Adds an update, given without its id, which is returned.
    pub fn publish(&mut self, mut update: Value, now: Timestamp) -> i64 {
        let id = self.next;
        self.next += 1;
        update["update_id"] = json!(id);
        self.updates.push((id, now, update));
        id
    }

    /// Forgets what is older than a day, and what the offset confirms; gives the oldest of the rest.
    pub fn get(&mut self, offset: Option<i64>, limit: usize, now: Timestamp) -> Vec<Value> {
        let oldest = now - SignedDuration::from_hours(24);
        self.updates.retain(|(id, at, _)| *at >= oldest && offset.is_none_or(|offset| *id >= offset));
        self.updates.iter().take(limit).map(|(_, _, update)| update.clone()).collect()
    }

    /// How many updates wait.
    pub fn len(&self) -> usize {
        self.updates.len()
    }

    /// True when no update waits.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }
}

/// A Bot API server with one bot.
pub struct TelegramBot {
    /// The server.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    queue: BotQueue,
    /// Which call of `getUpdates` is the last one; it ends all earlier ones.
    poll: u64,
    webhook: String,
}

impl TelegramBot {
    /// The token of the bot.
    pub const TOKEN: &str = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11";

    /// Starts on a free port.
    pub async fn start() -> Self {
        let bot = Self { server: Server::start().await, state: Arc::default() };
        let path = |method: &str| format!("/bot{}/{method}", Self::TOKEN);
        let state = Arc::clone(&bot.state);
        bot.server.handle_later(&path("getUpdates"), move |request| get_updates(Arc::clone(&state), request.clone()));
        let me = json!({"id": 123_456, "is_bot": true, "first_name": "Acme", "username": "acme_bot",
            "can_join_groups": true, "can_read_all_group_messages": false});
        bot.server.answer(&path("getMe"), result(&me));
        let state = Arc::clone(&bot.state);
        bot.server.handle(&path("getWebhookInfo"), move |_| {
            let state = lock(&state);
            result(&json!({"url": state.webhook, "has_custom_certificate": false,
                "pending_update_count": state.queue.len()}))
        });
        bot
    }

    /// Adds an update, given without its id.
    pub fn publish(&self, update: Value) -> i64 {
        lock(&self.state).queue.publish(update, Timestamp::now())
    }

    /// How many updates wait.
    pub fn waiting(&self) -> usize {
        lock(&self.state).queue.len()
    }

    /// Sends updates to a webhook; none where the address is empty.
    pub fn set_webhook(&self, url: &str) {
        url.clone_into(&mut lock(&self.state).webhook);
    }

    /// A refusal as the API gives it.
    pub fn error(code: u16, description: &str) -> Answer {
        let error = json!({"ok": false, "error_code": code, "description": description});
        Answer::status(code).body(error.to_string()).header("content-type", "application/json")
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn result(value: &Value) -> Answer {
    let answer = json!({"ok": true, "result": value});
    Answer::ok(answer.to_string()).header("content-type", "application/json")
}

async fn get_updates(state: Arc<Mutex<State>>, request: Request) -> Answer {
    let url = url::Url::parse("http://telegram.example").and_then(|base| base.join(&request.path)).expect("a path");
    let number = |key: &str| {
        let value = url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
        value.map(|value| value.parse::<i64>().expect("a number"))
    };
    let limit = usize::try_from(number("limit").unwrap_or(100)).expect("a limit").clamp(1, 100);
    let timeout = Duration::from_secs(number("timeout").unwrap_or(0).unsigned_abs());
    let deadline = tokio::time::Instant::now() + timeout;
    let poll = {
        let mut state = lock(&state);
        if !state.webhook.is_empty() {
            let description = "Conflict: can't use getUpdates method while webhook is active; \
                               use deleteWebhook to delete the webhook first";
            return TelegramBot::error(409, description);
        }
        state.poll += 1;
        state.poll
    };
    loop {
        {
            let mut state = lock(&state);
            if state.poll != poll {
                let description = "Conflict: terminated by other getUpdates request; \
                                   make sure that only one bot instance is running";
                return TelegramBot::error(409, description);
            }
            let updates = state.queue.get(number("offset"), limit, Timestamp::now());
            if !updates.is_empty() || tokio::time::Instant::now() >= deadline {
                return result(&Value::Array(updates));
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
