//! A timeline of a Mastodon server, paged as its API documents it:
//! <https://docs.joinmastodon.org/methods/timelines/> and
//! <https://docs.joinmastodon.org/api/guidelines/#pagination>.

use serde_json::{Value, json};

/// The statuses of a timeline.
#[derive(Debug, Clone)]
pub struct MastodonTimeline {
    /// By id, oldest first.
    statuses: Vec<(u64, Value)>,
    /// The most statuses on a page, whatever `limit` asks for.
    pub max_page: usize,
    /// Servers that do not know `min_id` take it for `since_id`.
    pub knows_min_id: bool,
}

impl Default for MastodonTimeline {
    fn default() -> Self {
        Self { statuses: Vec::new(), max_page: 40, knows_min_id: true }
    }
}

impl MastodonTimeline {
    /// Publishes a status with this id, which need not be the newest one.
    pub fn publish(&mut self, id: u64, text: &str) {
        let status = json!({
            "id": id.to_string(),
            "uri": format!("https://social.example/users/ann/statuses/{id}"),
            "url": format!("https://social.example/@ann/{id}"),
            "created_at": jiff::Timestamp::now().to_string(),
            "edited_at": null,
            "account": { "id": "7", "acct": "ann", "username": "ann", "url": "https://social.example/@ann" },
            "content": format!("<p>{text}</p>"),
            "visibility": "public",
            "favourites_count": 0,
        });
        self.put(id, status);
    }

    /// Puts an element with this id in its place, whatever it is.
    pub fn put(&mut self, id: u64, element: Value) {
        let place = self.statuses.partition_point(|(other, _)| *other < id);
        self.statuses.insert(place, (id, element));
    }

    /// The status with this id.
    pub fn get(&self, id: u64) -> Option<&Value> {
        self.statuses.iter().find(|(other, _)| *other == id).map(|(_, status)| status)
    }

    /// The ids, oldest first.
    pub fn ids(&self) -> Vec<u64> {
        self.statuses.iter().map(|(id, _)| *id).collect()
    }

    /// Changes the text of a status, at this time.
    pub fn edit(&mut self, id: u64, text: &str, edited_at: jiff::Timestamp) {
        self.change(id, "content", json!(format!("<p>{text}</p>")));
        self.change(id, "edited_at", json!(edited_at.to_string()));
    }

    /// Sets how many like a status.
    pub fn like(&mut self, id: u64, favourites: u64) {
        self.change(id, "favourites_count", json!(favourites));
    }

    fn change(&mut self, id: u64, key: &str, value: Value) {
        if let Some((_, status)) = self.statuses.iter_mut().find(|(other, _)| *other == id) {
            status[key] = value;
        }
    }

    /// Deletes a status.
    pub fn delete(&mut self, id: u64) {
        self.statuses.retain(|(other, _)| *other != id);
    }

    /// A page, newest first: the statuses right after `min_id`, otherwise the newest ones before
    /// `max_id`.
    pub fn page(&self, min_id: Option<&str>, max_id: Option<&str>, limit: usize) -> Vec<Value> {
        let number = |id: Option<&str>| id.map(|id| id.parse::<u64>().expect("ids of this server are numbers"));
        let (min_id, max_id) = (number(min_id), number(max_id));
        let inside = self
            .statuses
            .iter()
            .filter(|(id, _)| min_id.is_none_or(|min_id| *id > min_id) && max_id.is_none_or(|max_id| *id < max_id));
        let mut page: Vec<Value> = inside.map(|(_, status)| status.clone()).collect();
        let limit = limit.min(self.max_page);
        if min_id.is_some() && self.knows_min_id {
            page.truncate(limit);
        } else {
            page.drain(..page.len().saturating_sub(limit));
        }
        page.reverse();
        page
    }

    /// The page that a request asks for in its query.
    pub fn asked(&self, path_and_query: &str) -> Vec<Value> {
        let url = url::Url::parse("http://social.example").and_then(|base| base.join(path_and_query)).expect("a path");
        let asked = |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
        let limit = asked("limit").map_or(20, |limit| limit.parse().expect("a number"));
        self.page(asked("min_id").as_deref(), asked("max_id").as_deref(), limit)
    }
}
