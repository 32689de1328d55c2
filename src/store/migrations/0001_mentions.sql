-- What was said about the brands.
--
-- `mention_revisions` holds every revision of every mention. Rows of one (brand, message_id) collapse to
-- the one with the highest `revision`, whenever and however often they were inserted. Neither the sorting
-- key nor a partition key may hold anything that can differ between two revisions (`published_at` can), or
-- they would never meet.
--
-- `mentions` is what everybody reads: the current truth, each mention once, deleted ones left out.

CREATE TABLE IF NOT EXISTS mention_revisions {{on_cluster}}
(
    brand                 LowCardinality(String)      COMMENT 'Name of the brand',
    message_id            UUID                        COMMENT 'UUID v5 of channel and native id; the same message has it under every brand',
    revision              UInt128                     COMMENT 'Version, then time of observation, then scoring pass; the highest wins',
    deleted               Bool                        COMMENT 'The message is gone, or no longer speaks of this brand',
    channel               LowCardinality(String)      COMMENT 'Platform',
    source                LowCardinality(String)      COMMENT 'Configured source that heard it',
    native_id             String                      COMMENT 'The id that the platform gave it' CODEC(ZSTD(1)),
    kind                  LowCardinality(String)      COMMENT 'post, reply, repost, quote, comment, review, article, email, chat',
    direction             LowCardinality(String)      COMMENT 'inbound; outbound are the words of the brand itself',
    visibility            LowCardinality(String)      COMMENT 'public or private',
    noise                 LowCardinality(String)      COMMENT 'none; automatic or bulk is what nobody said to the brand in person',
    author_id             String                      COMMENT 'The id of the author on the platform; empty where nobody is named' CODEC(ZSTD(1)),
    author_handle         String                      COMMENT 'Handle without @' CODEC(ZSTD(1)),
    author_name           String                      COMMENT 'Display name' CODEC(ZSTD(1)),
    author_url            String                      COMMENT 'Profile page' CODEC(ZSTD(1)),
    author_followers      Nullable(UInt64)            COMMENT 'Followers; NULL where the source does not say',
    author_verified       Bool                        COMMENT 'The platform vouches for the author',
    author_bot            Bool                        COMMENT 'The account says that it is automated',
    title                 String                      COMMENT 'Headline or subject' CODEC(ZSTD(1)),
    text                  String                      COMMENT 'What was said' CODEC(ZSTD(1)),
    url                   String                      COMMENT 'Where to read it' CODEC(ZSTD(1)),
    links                 Array(String)               COMMENT 'Links in the text' CODEC(ZSTD(1)),
    hashtags              Array(String)               COMMENT 'Hashtags without #, lower case' CODEC(ZSTD(1)),
    mentioned             Array(String)               COMMENT 'Handles mentioned, without @, lower case' CODEC(ZSTD(1)),
    attachments           Array(String)               COMMENT 'Names of the attachments' CODEC(ZSTD(1)),
    in_reply_to           UUID                        COMMENT 'Message answered; all zeros where there is none',
    repost_of             UUID                        COMMENT 'Message repeated or quoted; all zeros where there is none',
    conversation          String                      COMMENT 'Thread, in the terms of the platform' CODEC(ZSTD(1)),
    likes                 UInt64                      COMMENT 'Likes; 0 where not counted',
    reposts               UInt64                      COMMENT 'Reposts; 0 where not counted',
    replies               UInt64                      COMMENT 'Replies; 0 where not counted',
    quotes                UInt64                      COMMENT 'Quotes; 0 where not counted',
    views                 Nullable(UInt64)            COMMENT 'Views; NULL where not counted',
    rating                Nullable(Float32)           COMMENT 'Stars, 1 to 5; NULL where there are none',
    matched               Array(LowCardinality(String)) COMMENT 'Why matched: the clauses of the query',
    language              LowCardinality(String)      COMMENT 'Detected language, BCP 47 primary tag; und where it cannot be told',
    language_confidence   Float32                     COMMENT '0 to 1',
    sentiment             LowCardinality(String)      COMMENT 'negative, neutral, positive, unsure',
    sentiment_score       Float32                     COMMENT 'P(positive) - P(negative), -1 to 1',
    sentiment_confidence  Float32                     COMMENT 'Calibrated probability of the label, 0 to 1',
    sentiment_model       LowCardinality(String)      COMMENT 'Model and version that spoke',
    influence             Float32                     COMMENT 'Influence of the author, 0 to 100',
    influence_reach       Float32                     COMMENT 'Term of influence: followers on a log scale, 0 to 100',
    influence_resonance   Float32                     COMMENT 'Term of influence: engagement, 0 to 100',
    influence_version     LowCardinality(String)      COMMENT 'Version of the formula of influence',
    published_at          DateTime64(3, 'UTC')        COMMENT 'When it was published',
    observed_at           DateTime64(3, 'UTC')        COMMENT 'When it was heard',
    scored_at             DateTime64(3, 'UTC')        COMMENT 'When it was scored',
    stored_at             DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When this row was written; a replay writes it anew'
)
ENGINE = {{replacing_merge_tree}}(revision)
ORDER BY (brand, message_id)
-- One file for all columns of a part as large as a batch: an fsync of two files instead of a hundred.
SETTINGS min_bytes_for_wide_part = 67108864
COMMENT 'Every revision of every mention; read the view mentions instead';

CREATE OR REPLACE VIEW mentions {{on_cluster}} AS
SELECT * EXCEPT (deleted)
FROM mention_revisions FINAL
WHERE NOT deleted
COMMENT 'Every message that speaks of a brand, once for each brand that it speaks of: the current truth';
