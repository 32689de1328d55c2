-- Where a message was published, as far as its source says so, and whether one sees or hears something in it.

ALTER TABLE mention_revisions {{on_cluster}}
    ADD COLUMN IF NOT EXISTS has_media Bool
        COMMENT 'Pictures, video or sound came with it' AFTER attachments,
    ADD COLUMN IF NOT EXISTS country LowCardinality(String)
        COMMENT 'Where it was published or its author is, ISO 3166-1 alpha-2; empty where the source does not say' AFTER matched;

-- As before: a view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW mentions {{on_cluster}} AS
SELECT
    revisions.* EXCEPT (deleted, sentiment),
    if(corrections.sentiment = '', revisions.sentiment, corrections.sentiment) AS sentiment,
    revisions.sentiment AS sentiment_by_model,
    if(corrections.sentiment = '', NULL, corrections.corrected_by) AS corrected_by,
    if(corrections.sentiment = '', NULL, corrections.corrected_at) AS corrected_at
FROM mention_revisions AS revisions FINAL
LEFT ANY JOIN sentiment_corrections AS corrections
    ON revisions.brand = corrections.brand AND revisions.message_id = corrections.message_id
WHERE NOT revisions.deleted
COMMENT 'Every message that speaks of a brand, once for each brand that it speaks of: the current truth';
