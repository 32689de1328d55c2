-- What people ask of the store, ready for any ClickHouse client. Nothing here holds data.
--
-- Unless a view says otherwise it counts mentions, that is (brand, message) pairs, of what others said
-- (`direction = 'inbound'`): the brand's own words are no public opinion. A ratio without a denominator is NULL.

-- Monitoring -----------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW volume_by_minute {{on_cluster}} AS
SELECT
    brand, channel, language,
    toStartOfMinute(published_at) AS at,
    count() AS mentions,
    countIf(sentiment = 'positive') AS positive,
    countIf(sentiment = 'neutral') AS neutral,
    countIf(sentiment = 'negative') AS negative,
    countIf(sentiment = 'unsure') AS unsure
FROM mentions
WHERE direction = 'inbound'
GROUP BY brand, channel, language, at
COMMENT 'Volume and sentiment by minute of publication; the counts add up over all other columns';

CREATE OR REPLACE VIEW volume_by_hour {{on_cluster}} AS
SELECT
    brand, channel, language,
    toStartOfHour(published_at) AS at,
    count() AS mentions,
    countIf(sentiment = 'positive') AS positive,
    countIf(sentiment = 'neutral') AS neutral,
    countIf(sentiment = 'negative') AS negative,
    countIf(sentiment = 'unsure') AS unsure
FROM mentions
WHERE direction = 'inbound'
GROUP BY brand, channel, language, at
COMMENT 'Volume and sentiment by hour of publication; the counts add up over all other columns';

CREATE OR REPLACE VIEW volume_by_day {{on_cluster}} AS
SELECT
    brand, channel, language,
    toStartOfDay(published_at) AS at,
    count() AS mentions,
    countIf(sentiment = 'positive') AS positive,
    countIf(sentiment = 'neutral') AS neutral,
    countIf(sentiment = 'negative') AS negative,
    countIf(sentiment = 'unsure') AS unsure
FROM mentions
WHERE direction = 'inbound'
GROUP BY brand, channel, language, at
COMMENT 'Volume and sentiment by day (UTC) of publication; the counts add up over all other columns';

-- The terms of each mention, each once: words, hashtags and emoji.
--
-- Letters are lower-cased (Turkish and Azeri with their two i's), Arabic yeh and kaf become the Persian ones,
-- tatweel and emoji variation selectors go. Links, handles and bare numbers are no terms. Scripts that are
-- written without spaces have no words to split at: of a run of Han or kana every 2, 3 and 4 characters are
-- terms, of Thai, Lao, Khmer or Burmese every 3 to 6; whoever ranks them keeps the longest of those that overlap.
--
-- Letters and digits are given as ranges: a pattern of Unicode classes takes 50 ms to compile, for every block read.
CREATE OR REPLACE VIEW mention_terms {{on_cluster}} AS
WITH
    'a-z\\x{AA}\\x{B5}\\x{BA}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{60B}\\x{610}-\\x{61A}\\x{620}-\\x{65F}\\x{66E}-\\x{6D3}\\x{6D5}-\\x{6EF}\\x{6FA}-\\x{963}\\x{971}-\\x{E3E}\\x{E40}-\\x{E4E}\\x{E80}-\\x{1049}\\x{1050}-\\x{1360}\\x{1369}-\\x{17D3}\\x{17DC}-\\x{1FFF}\\x{2C00}-\\x{2DFF}\\x{AC00}-\\x{D7FF}' AS letters,
    '0-9\\x{660}-\\x{669}\\x{6F0}-\\x{6F9}\\x{966}-\\x{96F}' AS digits
SELECT
    brand, message_id, channel, language, author, published_at,
    multiIf(startsWith(term, '#'), 'hashtag',
            (term >= '‼' AND term < 'Ⰰ') OR (term >= '🀀' AND term < '🬀'), 'emoji',
            'word') AS kind,
    term
FROM
(
    SELECT
        brand, message_id, channel, language, published_at,
        if(author_id = '', toString(message_id), author_id) AS author,
        translateUTF8(
            lowerUTF8(if(language IN ('tr', 'az'), translateUTF8(concat(title, ' ', text), 'Iİ', 'ıi'), concat(title, ' ', text))),
            'يكـ\xEF\xB8\x8F', 'یک') AS said,
        extractAll(said, concat(
            '(?:https?://|www\\.)\\S+',
            '|#[', letters, digits, '_]+',
            '|@[', letters, digits, '_][', letters, digits, '_.-]*',
            '|[\\x{1F1E6}-\\x{1F1FF}]{2}',
            '|[\\x{203C}-\\x{2BFF}\\x{1F000}-\\x{1FAFF}](?:[\\x{1F3FB}-\\x{1F3FF}]|\\x{200D}[\\x{2600}-\\x{2BFF}\\x{1F000}-\\x{1FAFF}])*',
            '|[\\x{3005}-\\x{3007}\\x{3041}-\\x{31FF}\\x{3400}-\\x{9FFF}\\x{F900}-\\x{FAFF}\\x{20000}-\\x{3FFFF}]+',
            '|[\\x{E00}-\\x{E7F}\\x{1000}-\\x{1049}]+',
            '|[', digits, ']*[', letters, '][', letters, digits, ']*(?:[\\x{200C}\'’-][', letters, digits, ']+)*')) AS tokens,
        arrayFilter(token -> (token >= '⺀' AND token < '가') OR (token > '힣' AND token < '\xEF\xB8\x80') OR token >= '𠀀', tokens) AS unspaced,
        arrayFilter(token -> (token >= 'ก' AND token < 'ༀ') OR (token >= 'က' AND token < 'Ⴀ') OR (token >= 'ក' AND token < '᠀'), tokens) AS southeast,
        arrayFilter(
            token -> NOT startsWith(token, '@') AND NOT startsWith(token, 'http') AND NOT startsWith(token, 'www.')
                AND (lengthUTF8(token) > 1 OR token >= '‼'),
            tokens) AS spaced
    FROM mentions
    WHERE direction = 'inbound'
)
ARRAY JOIN arrayDistinct(arrayConcat(
    arrayFilter(token -> NOT has(unspaced, token) AND NOT has(southeast, token), spaced),
    arrayFlatten(arrayMap(run -> arrayConcat(ngrams(run, 2), ngrams(run, 3), ngrams(run, 4)), unspaced)),
    arrayFlatten(arrayMap(run -> arrayConcat(ngrams(run, 3), ngrams(run, 4), ngrams(run, 5), ngrams(run, 6)), southeast))
)) AS term
COMMENT 'Words, hashtags and emoji of each mention, each once';

-- Mapping --------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW authors {{on_cluster}} AS
SELECT
    channel,
    if(author_id = '', author_handle, author_id) AS author,
    argMax(author_handle, (observed_at, message_id, brand)) AS handle,
    argMax(author_name, (observed_at, message_id, brand)) AS name,
    argMax(author_url, (observed_at, message_id, brand)) AS url,
    argMax(author_followers, (observed_at, message_id, brand)) AS followers,
    argMax(author_verified, (observed_at, message_id, brand)) AS verified,
    argMax(author_bot, (observed_at, message_id, brand)) AS bot,
    arraySort(groupUniqArray(brand)) AS brands,
    uniqExact(message_id) AS messages,
    count() AS mentions,
    countIf(sentiment = 'positive') AS positive,
    countIf(sentiment = 'neutral') AS neutral,
    countIf(sentiment = 'negative') AS negative,
    countIf(sentiment = 'unsure') AS unsure,
    sum(toInt64(round(sentiment_score * 1e6))) / 1e6 / count() AS mean_sentiment,
    max(influence) AS influence,
    min(published_at) AS first_at,
    max(published_at) AS last_at
FROM mentions
WHERE direction = 'inbound' AND author != ''
GROUP BY channel, author
COMMENT 'Everybody who spoke of a brand, as last seen; messages counts a message of two brands once, mentions twice';

-- Who spoke to whom. An author is named by handle, lower case, or by id where there is no handle. A message
-- counts once, however many brands it speaks of; answers to oneself are left out. The author of the message
-- that was answered or repeated is known only if that message is a mention too.
CREATE OR REPLACE VIEW interactions {{on_cluster}} AS
WITH
    messages AS
    (
        SELECT
            channel, message_id, in_reply_to, repost_of, mentioned, published_at,
            lowerUTF8(if(author_handle = '', author_id, author_handle)) AS author
        FROM mentions
        ORDER BY revision DESC, brand
        LIMIT 1 BY message_id
    ),
    edges AS
    (
        SELECT 'reply' AS kind, channel, message_id, in_reply_to AS target_id, author, '' AS handle, published_at
        FROM messages WHERE in_reply_to != toUUID('00000000-0000-0000-0000-000000000000')
        UNION ALL
        SELECT 'repost' AS kind, channel, message_id, repost_of AS target_id, author, '' AS handle, published_at
        FROM messages WHERE repost_of != toUUID('00000000-0000-0000-0000-000000000000')
        UNION ALL
        SELECT 'mention' AS kind, channel, message_id, toUUID('00000000-0000-0000-0000-000000000000') AS target_id,
               author, arrayJoin(arrayDistinct(mentioned)) AS handle, published_at
        FROM messages
    )
SELECT
    edges.channel AS channel,
    edges.kind AS kind,
    edges.author AS author,
    if(edges.kind = 'mention', edges.handle, targets.author) AS target,
    count() AS interactions,
    min(edges.published_at) AS first_at,
    max(edges.published_at) AS last_at
FROM edges
LEFT JOIN messages AS targets ON targets.message_id = edges.target_id
WHERE edges.author != '' AND target != '' AND target != edges.author
GROUP BY channel, kind, author, target
COMMENT 'Replies, reposts and mentions from author to author';

-- Measurement ----------------------------------------------------------------------------------------------

-- With p, u, n positive, neutral and negative mentions (those of unsure sentiment are left out):
--   net_sentiment          = (p - n) / (p + u + n)
--   net_sentiment_decided  = (p - n) / (p + n)
--   neutral_share          = u / (p + u + n)
--   unsure_share           = unsure / mentions
-- The 95 % intervals say how far chance alone may have moved the figure; they know nothing of errors of the
-- scorer. For net_sentiment: Agresti and Min (2005), half a mention added to each of the four cells of the
-- matched-pairs table, then d ± 1.96 √((p + n - d²) / N) on the shares. For net_sentiment_decided: Wilson's
-- interval of the positive share, stretched from 0..1 to -1..1.
CREATE OR REPLACE VIEW net_sentiment {{on_cluster}} AS
WITH
    p + u + n AS judged,
    (p - n) / (judged + 2) AS d,
    1.959964 * sqrt(greatest(0, (p + n + 1) / (judged + 2) - d * d) / (judged + 2)) AS spread,
    p + n AS decided,
    1.959964 * 1.959964 AS z2,
    2 * (p + z2 / 2) / (decided + z2) - 1 AS wilson_centre,
    2 * 1.959964 * sqrt(if(decided = 0, 0, p * n / decided) + z2 / 4) / (decided + z2) AS wilson_spread
SELECT
    brand, mentions, p AS positive, u AS neutral, n AS negative, unsure,
    if(judged = 0, NULL, (p - n) / judged) AS net_sentiment,
    if(judged = 0, NULL, greatest(-1, d - spread)) AS net_sentiment_low,
    if(judged = 0, NULL, least(1, d + spread)) AS net_sentiment_high,
    if(decided = 0, NULL, (p - n) / decided) AS net_sentiment_decided,
    if(decided = 0, NULL, wilson_centre - wilson_spread) AS net_sentiment_decided_low,
    if(decided = 0, NULL, wilson_centre + wilson_spread) AS net_sentiment_decided_high,
    if(judged = 0, NULL, u / judged) AS neutral_share,
    if(mentions = 0, NULL, unsure / mentions) AS unsure_share
FROM
(
    SELECT
        brand,
        count() AS mentions,
        toInt64(countIf(sentiment = 'positive')) AS p,
        toInt64(countIf(sentiment = 'neutral')) AS u,
        toInt64(countIf(sentiment = 'negative')) AS n,
        countIf(sentiment = 'unsure') AS unsure
    FROM mentions
    WHERE direction = 'inbound'
    GROUP BY brand
)
COMMENT 'Net sentiment of each brand on both bases, with 95 % intervals';

-- reach           = sum over the distinct authors of a brand of their followers as last seen; authors whose
--                   followers are unknown add nothing and are counted in authors_of_unknown_reach
-- share_of_voice  = mentions of the brand / mentions of all brands
-- share_of_reach  = reach of the brand / sum of the reach of all brands
CREATE OR REPLACE VIEW share_of_voice {{on_cluster}} AS
SELECT
    brand, mentions, authors, authors_of_unknown_reach, reach,
    mentions / sum(mentions) OVER () AS share_of_voice,
    if(sum(reach) OVER () = 0, NULL, reach / sum(reach) OVER ()) AS share_of_reach
FROM
(
    SELECT
        brand,
        sum(author_mentions) AS mentions,
        countIf(author != '') AS authors,
        countIf(author != '' AND followers IS NULL) AS authors_of_unknown_reach,
        sum(ifNull(followers, 0)) AS reach
    FROM
    (
        SELECT
            brand, channel,
            if(author_id = '', author_handle, author_id) AS author,
            count() AS author_mentions,
            if(author = '', NULL, argMax(author_followers, (observed_at, message_id))) AS followers
        FROM mentions
        WHERE direction = 'inbound'
        GROUP BY brand, channel, author
    )
    GROUP BY brand
)
COMMENT 'Share of voice of each brand among all brands, by mentions and by reach';

-- Middleware -----------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW source_freshness {{on_cluster}} AS
SELECT
    source,
    any(channel) AS channel,
    maxOrNull(polled_at) AS last_poll_at,
    maxOrNullIf(polled_at, error = '') AS last_good_poll_at,
    countIf(polled_at IS NOT NULL) AS polls,
    countIf(polled_at IS NOT NULL AND error != '') AS failed_polls,
    argMaxOrNull(error, polled_at) AS last_error,
    sum(heard) AS messages,
    sum(refused) AS poison,
    uniqExactIf(message_id, published_at IS NOT NULL) AS messages_matched,
    maxOrNull(published_at) AS last_published_at,
    maxOrNull(observed_at) AS last_observed_at,
    quantileExactOrNull(0.5)(dateDiff('millisecond', published_at, observed_at)) AS heard_after_ms,
    quantileExactOrNull(0.5)(dateDiff('millisecond', observed_at, stored_at)) AS stored_after_ms
FROM
(
    SELECT source, channel, toNullable(polled_at) AS polled_at, messages AS heard, poison AS refused, error,
           toUUID('00000000-0000-0000-0000-000000000000') AS message_id,
           NULL AS published_at, NULL AS observed_at, NULL AS stored_at
    FROM source_polls
    UNION ALL
    SELECT source, channel, NULL, 0, 0, '', message_id, published_at, observed_at, stored_at
    FROM mentions
)
GROUP BY source
COMMENT 'Each source: last poll, last message, and the median time from published to heard and from heard to stored';
