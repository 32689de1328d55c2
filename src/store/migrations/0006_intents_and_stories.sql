-- What authors want, and which messages say nearly the same. The view mentions is made anew by 0008.

ALTER TABLE mention_revisions {{on_cluster}}
    ADD COLUMN IF NOT EXISTS intents Array(LowCardinality(String))
        COMMENT 'What the author wants: complaint, question, praise, purchase, spam' AFTER sentiment_model,
    ADD COLUMN IF NOT EXISTS intent_version LowCardinality(String)
        COMMENT 'Version of the rules of intents; empty where nobody looked' AFTER intents,
    ADD COLUMN IF NOT EXISTS fingerprint Array(UInt16)
        COMMENT 'MinHash of the text; empty where too little is said' CODEC(ZSTD(1)) AFTER intent_version;

CREATE TABLE IF NOT EXISTS story_revisions {{on_cluster}}
(
    message_id   UUID                    COMMENT 'The message',
    story        UUID                    COMMENT 'Its story, named after the earliest message of it; all zeros: it has none any more',
    found_at     DateTime64(3, 'UTC')    COMMENT 'When this was found; the latest wins'
)
ENGINE = {{replacing_merge_tree}}(found_at)
ORDER BY message_id
COMMENT 'Every finding of what story a message belongs to; read the view story_messages instead';

CREATE OR REPLACE VIEW story_messages {{on_cluster}} AS
SELECT message_id, story
FROM story_revisions FINAL
WHERE story != toUUID('00000000-0000-0000-0000-000000000000')
COMMENT 'The story of each message that was told more than once in nearly the same words';

CREATE OR REPLACE VIEW stories {{on_cluster}} AS
SELECT
    brand, story,
    argMin(if(title = '', text, title), (published_at, message_id)) AS told_first,
    count() AS mentions,
    uniqExact(channel, if(author_id = '', author_handle, author_id)) AS authors,
    arraySort(groupUniqArray(channel)) AS channels,
    countIf(sentiment = 'positive') AS positive,
    countIf(sentiment = 'negative') AS negative,
    min(published_at) AS first_at,
    max(published_at) AS last_at
FROM mentions
INNER JOIN story_messages ON mentions.message_id = story_messages.message_id
WHERE direction = 'inbound'
GROUP BY brand, story
COMMENT 'Reposts, syndicated texts and light edits as one: what was told more than once';
