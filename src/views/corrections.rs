//! Corrections: what people say the sentiment is, beside what the model said.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Filter, millis, storable};
use crate::store::{Store, StoreError};

/// The last word of a person on the sentiment of a mention, with what a model learns from.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Correction {
    /// Id of the message.
    #[serde(deserialize_with = "clickhouse::serde::uuid::deserialize")]
    pub id: Uuid,
    /// Brand of the mention.
    pub brand: String,
    /// What the person said: `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: String,
    /// What the model says.
    pub sentiment_by_model: String,
    /// Model and version.
    pub sentiment_model: String,
    /// Language of the text.
    pub language: String,
    /// Headline or subject.
    pub title: String,
    /// What was said.
    pub text: String,
    /// Name of the token with which it was corrected.
    pub corrected_by: String,
    /// When.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub corrected_at: Timestamp,
}

/// What a model can learn from: language, label and text of each message whose sentiment somebody gave, the last word
/// counts. In order of the message ids, so that the same corrections give the same model.
pub async fn labelled(store: &Store) -> Result<Vec<(String, String, String)>, StoreError> {
    let sql = "SELECT toString(any(language)), toString(argMax(sentiment, assumeNotNull(mentions.corrected_at))) AS label, \
                   any(trimLeft(concat(title, '\\n', text))) \
               FROM mentions WHERE isNotNull(mentions.corrected_at) \
               GROUP BY message_id HAVING label != 'unsure' ORDER BY message_id";
    store.fetch("reading corrections", store.query(sql)).await
}

/// A place in the order of corrections: latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Unix milliseconds.
    pub corrected_at: i64,
    /// Id of the message.
    pub id: Uuid,
    /// Brand.
    pub brand: String,
}

impl Correction {
    /// Where it stands in the order of corrections.
    pub fn position(&self) -> Position {
        Position { corrected_at: self.corrected_at.as_millisecond(), id: self.id, brand: self.brand.clone() }
    }
}

/// Corrections of mentions that pass the filter (its time is that of publication), after a position (from the latest
/// on, where there is none), latest first.
pub async fn corrections(
    store: &Store,
    filter: &Filter,
    after: Option<&Position>,
    limit: usize,
) -> Result<Vec<Correction>, StoreError> {
    let after_it = match after {
        Some(_) => {
            " AND (mentions.corrected_at, mentions.message_id, mentions.brand) < \
             (fromUnixTimestamp64Milli({at:Int64}), toUUID({id:String}), {after:String})"
        }
        None => "",
    };
    let sql = format!(
        "SELECT message_id AS id, toString(brand) AS brand, toString(sentiment) AS sentiment, \
             toString(sentiment_by_model) AS sentiment_by_model, toString(sentiment_model) AS sentiment_model, \
             toString(language) AS language, title, text, assumeNotNull(mentions.corrected_by) AS corrected_by, \
             toUnixTimestamp64Milli(assumeNotNull(mentions.corrected_at)) AS corrected_at \
         FROM mentions \
         WHERE (brand, message_id) IN (SELECT brand, message_id FROM sentiment_correction_revisions){conditions}{after_it} \
         ORDER BY mentions.corrected_at DESC, mentions.message_id DESC, mentions.brand DESC LIMIT {limit}",
        conditions = filter.conditions(),
    );
    let mut query = filter.bind(store.query(&sql));
    if let Some(position) = after {
        query = query.param("at", storable(position.corrected_at));
        query = query.param("id", position.id.to_string()).param("after", &position.brand);
    }
    store.fetch("reading corrections", query).await
}
