//! Management: what waits for an answer.

use super::Filter;
use super::monitoring::{LATEST, Latest};
use crate::store::{Store, StoreError};

/// Negative mentions that the brand has not answered (no outbound message in reply to them), by the influence of
/// their authors, then newest first. Articles are left out: nobody answers them where they stand.
pub async fn unanswered(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<Latest>, StoreError> {
    let sql = format!(
        "SELECT {LATEST} FROM {{mentions}} WHERE sentiment = 'negative' AND kind NOT IN ('article', 'repost') \
             AND (brand, message_id) NOT IN (SELECT brand, in_reply_to FROM mentions WHERE direction = 'outbound') \
         ORDER BY mentions.influence DESC, mentions.published_at DESC, message_id, mentions.brand LIMIT {limit}"
    );
    store.fetch("reading what waits for an answer", filter.ask(store, &sql)).await
}
