-- What the sources did, what they missed, what could not be processed.
--
-- As with mentions: the table holds whatever was inserted, the view shows each thing once.

CREATE TABLE IF NOT EXISTS coverage_gap_revisions {{on_cluster}}
(
    id         UUID                          COMMENT 'Stable id of source, reason and start',
    source     LowCardinality(String)        COMMENT 'Configured source that missed messages',
    channel    LowCardinality(String)        COMMENT 'Platform',
    reason     LowCardinality(String)        COMMENT 'rate_limit, cursor_expired, outage, page_ceiling, not_listening',
    from_at    DateTime64(3, 'UTC')          COMMENT 'Start, inclusive',
    until_at   DateTime64(3, 'UTC')          COMMENT 'End, exclusive; the latest one wins',
    estimate   Nullable(UInt64)              COMMENT 'Messages missed; NULL where unknown',
    detail     String                       COMMENT 'One sentence for the operator' CODEC(ZSTD(1))
)
ENGINE = {{replacing_merge_tree}}(until_at)
ORDER BY (source, id)
COMMENT 'Every report of a coverage gap; read the view coverage_gaps instead';

CREATE OR REPLACE VIEW coverage_gaps {{on_cluster}} AS
SELECT * FROM coverage_gap_revisions FINAL
COMMENT 'Intervals in which a source missed messages, or may have';

CREATE TABLE IF NOT EXISTS source_poll_revisions {{on_cluster}}
(
    source     LowCardinality(String)        COMMENT 'Configured source',
    channel    LowCardinality(String)        COMMENT 'Platform',
    polled_at  DateTime64(3, 'UTC')          COMMENT 'When it was polled',
    messages   UInt64                        COMMENT 'Messages heard',
    poison     UInt64                        COMMENT 'Records that could not be understood',
    error      String                       COMMENT 'Why the poll failed; empty where it went well' CODEC(ZSTD(1))
)
ENGINE = {{replacing_merge_tree}}
ORDER BY (source, polled_at)
COMMENT 'Every report of a poll; read the view source_polls instead';

CREATE OR REPLACE VIEW source_polls {{on_cluster}} AS
SELECT * FROM source_poll_revisions FINAL
COMMENT 'Polls of the sources';

CREATE TABLE IF NOT EXISTS dead_letter_revisions {{on_cluster}}
(
    id         UUID                          COMMENT 'Stable id of origin and payload',
    source     LowCardinality(String)        COMMENT 'Source or stage that refused the record',
    origin     String                       COMMENT 'Where the record came from' CODEC(ZSTD(1)),
    reason     String                       COMMENT 'Why it was refused' CODEC(ZSTD(1)),
    payload    String                       COMMENT 'The record itself' CODEC(ZSTD(3)),
    refused_at DateTime64(3, 'UTC')          COMMENT 'When it was refused'
)
ENGINE = {{replacing_merge_tree}}
ORDER BY (source, id)
COMMENT 'Every report of a refused record; read the view dead_letters instead';

CREATE OR REPLACE VIEW dead_letters {{on_cluster}} AS
SELECT * FROM dead_letter_revisions FINAL
COMMENT 'Records that could not be processed';
