-- What authors are worth listening to, and what they are to the brands.
--
-- Scores are computed as a whole, from the public, inbound mentions that there are. Every computation is a run; its
-- rows are written first, then the run itself, and the views show the rows of the latest run that is complete: late at
-- worst, never half. Rows of runs before it are dropped.

CREATE TABLE IF NOT EXISTS author_score_runs {{on_cluster}}
(
    run                UInt64                  COMMENT 'Rises with each computation',
    latest_at          DateTime64(3, 'UTC')    COMMENT 'The latest mention; everything is told as of then',
    stored_at          DateTime64(3, 'UTC')    COMMENT 'When the latest row that was read had been stored',
    authors            UInt64                  COMMENT 'Authors scored',
    contacts           UInt64                  COMMENT 'Pairs of authors of whom one spoke to the other',
    rules              String                  COMMENT 'Versions of the formulas, and the configuration that they used' CODEC(ZSTD(1)),
    weight_reach       Float32                 COMMENT 'Weight of the term',
    weight_resonance   Float32                 COMMENT 'Weight of the term',
    weight_authority   Float32                 COMMENT 'Weight of the term',
    weight_relevance   Float32                 COMMENT 'Weight of the term',
    weight_activity    Float32                 COMMENT 'Weight of the term',
    half_life_days     Float32                 COMMENT 'Age at which a mention says half as much for advocacy',
    computed_at        DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was complete'
)
ENGINE = {{replacing_merge_tree}}(computed_at)
ORDER BY run
COMMENT 'Computations of scores of authors that are complete';

CREATE TABLE IF NOT EXISTS author_score_rows {{on_cluster}}
(
    run                UInt64                  COMMENT 'Computation',
    channel            LowCardinality(String)  COMMENT 'Platform',
    author             String                  COMMENT 'Id on the platform, or handle where there is none' CODEC(ZSTD(1)),
    handle             String                  COMMENT 'Handle as last seen' CODEC(ZSTD(1)),
    name               String                  COMMENT 'Display name as last seen' CODEC(ZSTD(1)),
    url                String                  COMMENT 'Profile page as last seen' CODEC(ZSTD(1)),
    followers          Nullable(UInt64)        COMMENT 'Followers as last seen; NULL where no source says',
    bot                Bool                    COMMENT 'The account says that it is automated',
    messages           UInt64                  COMMENT 'Public messages',
    posts              UInt64                  COMMENT 'Those that are no reposts',
    reactions          UInt64                  COMMENT 'Weighted reactions to the posts: likes + 2 replies + 3 (reposts + quotes)',
    active_days        UInt64                  COMMENT 'Days with a message within the last 90',
    first_at           DateTime64(3, 'UTC')    COMMENT 'First message',
    last_at            DateTime64(3, 'UTC')    COMMENT 'Last message',
    voices             Float32                 COMMENT 'Votes of others that authority is made of',
    top_followers      Float32                 COMMENT 'Followers at the top of the channel',
    typical_followers  Float32                 COMMENT 'Followers of a typical author of the channel',
    typical_reactions  Float32                 COMMENT 'Reactions to a typical post of the channel',
    counts_reactions   Bool                    COMMENT 'The channel counts reactions: a bought audience shows',
    reach              Float32                 COMMENT 'Term of influence, 0 to 100',
    resonance          Float32                 COMMENT 'Term of influence, 0 to 100',
    authority          Float32                 COMMENT 'Term of influence, 0 to 100',
    activity           Float32                 COMMENT 'Term of influence, 0 to 100',
    influence          Float32                 COMMENT '0 to 100',
    version            LowCardinality(String)  COMMENT 'Version of the formula'
)
ENGINE = {{replacing_merge_tree}}
PARTITION BY run
ORDER BY (channel, author)
COMMENT 'Scores of authors by computation; read the view author_scores instead';

CREATE TABLE IF NOT EXISTS brand_author_rows {{on_cluster}}
(
    run                UInt64                  COMMENT 'Computation',
    brand              LowCardinality(String)  COMMENT 'Name of the brand',
    channel            LowCardinality(String)  COMMENT 'Platform',
    author             String                  COMMENT 'Id on the platform, or handle where there is none' CODEC(ZSTD(1)),
    mentions           UInt64                  COMMENT 'Public mentions of the brand; the four that follow add up to it',
    positive           UInt64                  COMMENT 'Of positive sentiment',
    neutral            UInt64                  COMMENT 'Of neutral sentiment',
    negative           UInt64                  COMMENT 'Of negative sentiment',
    unsure             UInt64                  COMMENT 'Of which the scorer is not sure',
    first_at           DateTime64(3, 'UTC')    COMMENT 'First mention',
    last_at            DateTime64(3, 'UTC')    COMMENT 'Last mention',
    relevance          Float32                 COMMENT 'Share of the author''s messages that speak of the brand, 0 to 100',
    influence          Float32                 COMMENT 'Influence with relevance as a term, 0 to 100',
    influence_version  LowCardinality(String)  COMMENT 'Version of its formula',
    advocacy           Float32                 COMMENT 'How reliably they speak well of the brand, -100 to 100',
    advocacy_mean      Float32                 COMMENT 'Weighted mean of the sides that they took, -1 to 1',
    advocacy_evidence  Float32                 COMMENT 'Sum of the weights',
    advocacy_version   LowCardinality(String)  COMMENT 'Version of its formula',
    segments           Array(String)           COMMENT 'influencer, advocate, detractor, newcomer, silent' CODEC(ZSTD(1)),
    segments_version   LowCardinality(String)  COMMENT 'Version of their rules'
)
ENGINE = {{replacing_merge_tree}}
PARTITION BY run
ORDER BY (brand, channel, author)
COMMENT 'What authors are to the brands, by computation; read the view brand_authors instead';

CREATE OR REPLACE VIEW author_scores {{on_cluster}} AS
SELECT scores.*, computed.*
FROM author_score_rows AS scores FINAL
CROSS JOIN
(
    SELECT latest_at, weight_reach, weight_resonance, weight_authority, weight_activity
    FROM author_score_runs ORDER BY run DESC, computed_at DESC LIMIT 1
) AS computed
WHERE scores.run = (SELECT max(run) FROM author_score_runs)
COMMENT 'Influence of authors, its terms and what they are made of';

CREATE OR REPLACE VIEW brand_authors {{on_cluster}} AS
SELECT scores.*, computed.*
FROM brand_author_rows AS scores FINAL
CROSS JOIN
(
    SELECT latest_at, weight_reach, weight_resonance, weight_authority, weight_relevance, weight_activity, half_life_days
    FROM author_score_runs ORDER BY run DESC, computed_at DESC LIMIT 1
) AS computed
WHERE scores.run = (SELECT max(run) FROM author_score_runs)
COMMENT 'Relevance, advocacy and segments of authors, by brand';
