-- A second scorer reads a text again. Its opinion is a later revision of the mention (scoring pass 1) and counts;
-- what the first one said is kept beside it.

ALTER TABLE mention_revisions {{on_cluster}} ADD COLUMN IF NOT EXISTS
    first_sentiment LowCardinality(String) COMMENT 'What the first scorer said, where another one has spoken since; else empty';

ALTER TABLE mention_revisions {{on_cluster}} ADD COLUMN IF NOT EXISTS
    first_score Float32 COMMENT 'Its score, -1 to 1; 0 where no other has spoken';

ALTER TABLE mention_revisions {{on_cluster}} ADD COLUMN IF NOT EXISTS
    first_confidence Float32 COMMENT 'Its confidence, 0 to 1; 0 where no other has spoken';

ALTER TABLE mention_revisions {{on_cluster}} ADD COLUMN IF NOT EXISTS
    first_model LowCardinality(String) COMMENT 'Its model and version; empty where no other has spoken';

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
