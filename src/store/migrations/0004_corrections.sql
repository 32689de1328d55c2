-- What people say the sentiment is, where the model was wrong.
--
-- A correction belongs to a mention, so it stays with it over edits, replays and rescoring. The model's opinion is
-- kept beside it: both together measure the model, and teach the next one.

CREATE TABLE IF NOT EXISTS sentiment_correction_revisions {{on_cluster}}
(
    brand         LowCardinality(String)   COMMENT 'Name of the brand',
    message_id    UUID                     COMMENT 'The mention is (brand, message_id)',
    sentiment     LowCardinality(String)   COMMENT 'negative, neutral, positive, unsure',
    corrected_by  String                   COMMENT 'Name of the token that was used' CODEC(ZSTD(1)),
    corrected_at  DateTime64(3, 'UTC')     COMMENT 'When; the latest correction wins'
)
ENGINE = {{replacing_merge_tree}}(corrected_at)
ORDER BY (brand, message_id)
COMMENT 'Every correction of a sentiment; read the view sentiment_corrections instead';

CREATE OR REPLACE VIEW sentiment_corrections {{on_cluster}} AS
SELECT * FROM sentiment_correction_revisions FINAL
COMMENT 'What people say the sentiment of a mention is; the last word on each';

-- As before, and `sentiment` is what a person said where a person said something. The score stays the model's.
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

-- What was stored lately is found without reading what was stored long ago.
ALTER TABLE mention_revisions {{on_cluster}} ADD INDEX IF NOT EXISTS stored_at stored_at TYPE minmax GRANULARITY 1;
