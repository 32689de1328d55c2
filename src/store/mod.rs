//! The store: ClickHouse, through the `clickhouse` crate, on one code path for both profiles.
//!
//! # Delivery semantics
//!
//! - An insert returns `Ok` only after ClickHouse has acknowledged it; in the embedded profile, after an fsync.
//! - After an error, any part of the rows may be there. The caller inserts all of them again: every row is
//!   idempotent, so repeating, reordering and splitting batches changes no figure.
//! - The views (`mentions`, `coverage_gaps`, ...) show the current truth; nobody but the migrations needs the
//!   tables behind them.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::query::{Query, RowCursor};
use clickhouse::{Client, Compression, RowOwned, RowRead};
use futures::Stream;
use hearken_connectors::secret::Secret;

pub mod child;
mod error;
pub mod gateway;
mod migrate;
mod native;
pub mod rows;

pub use error::{Cause, StoreError};
use migrate::Profile;
use native::{Block, Columns};
use rows::{
    AuthorScoreRow, BrandAuthorRow, CorrectionRow, DeadLetterRow, GapRow, MentionRow, Opinion, PollRow, ScoreRunRow,
    StoryRow, TokenRow,
};

/// Rows of a block: enough to make columns worth while, few enough to stay in the processor's cache.
const BLOCK_ROWS: usize = 4096;
/// How long a chunk of an insert may wait to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long ClickHouse may take to acknowledge an insert.
const ACK_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a question of ours (a view, a migration, a ping) may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(300);
/// The same limit for ClickHouse itself, in seconds, so that it stops working when we stop waiting.
const MAX_EXECUTION_TIME: &str = "300";
/// Rows that an answer to a question of ours may have; more is an error rather than a full memory.
const MAX_RESULT_ROWS: &str = "1000000";
/// Memory from which on ClickHouse sorts and groups a streamed answer on disk.
const SPILL_BYTES: &str = "1073741824";

/// Where the store is, and how it is used.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// ClickHouse's HTTP interface, for example `http://127.0.0.1:8123`.
    pub url: String,
    /// ClickHouse user.
    pub user: String,
    /// Their password; `None` where there is none.
    pub password: Option<Secret>,
    /// Database; created if it is missing.
    pub database: String,
    /// An acknowledged row is on disk (fsync), so that it survives a loss of power: the embedded profile.
    pub durable: bool,
    /// Name of the ClickHouse cluster on which tables are created, replicated; `None` on a single server.
    pub cluster: Option<String>,
}

/// Mentions as they go over the wire: half the size of the rows, owned, ready to be sent again after an error.
#[derive(Debug, Clone, Default)]
pub struct EncodedMentions {
    blocks: Vec<[Bytes; 2]>,
}

impl EncodedMentions {
    /// Encodes rows.
    pub fn of(rows: &[MentionRow<'_>]) -> Self {
        Self { blocks: encode(rows) }
    }

    /// Their size.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().flatten().map(Bytes::len).sum()
    }

    /// Puts others behind these.
    pub fn append(&mut self, mut others: Self) {
        self.blocks.append(&mut others.blocks);
    }
}

/// Rows of an answer, as they come.
pub(crate) struct Rows<T> {
    doing: &'static str,
    cursor: RowCursor<T>,
}

impl<T: RowOwned + RowRead> Rows<T> {
    /// The next row; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, StoreError> {
        within(QUERY_TIMEOUT, self.doing, self.cursor.next()).await
    }
}

/// A store; cheap to clone, shared by all tasks.
#[derive(Clone)]
pub struct Store {
    client: Client,
    database: String,
    profile: Profile,
}

impl Store {
    /// Prepares the client; the first call opens a connection.
    pub fn connect(options: StoreOptions) -> Self {
        let mut client = Client::default()
            .with_url(options.url.as_str())
            .with_user(options.user)
            .with_database(options.database.as_str())
            .with_compression(compression(&options.url));
        if let Some(password) = &options.password {
            client = client.with_password(password.expose());
        }
        let profile = Profile { durable: options.durable, cluster: options.cluster };
        Self { client, database: options.database, profile }
    }

    /// Checks that ClickHouse answers, and accepts user and password; returns its version.
    pub async fn ping(&self) -> Result<String, StoreError> {
        let outside = self.outside_database();
        outside.fetch_one("asking for its version", outside.query("SELECT version()")).await
    }

    /// Creates the database if it is missing, and brings the schema up to date. Safe to repeat, safe beside
    /// another daemon that does the same.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(self, migrate::MIGRATIONS).await
    }

    /// Checks that ClickHouse answers, and that [`migrate`](Self::migrate) has been done: before, no question can be
    /// answered.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        migrate::check(self, migrate::MIGRATIONS).await
    }

    /// Writes revisions of mentions; returns after the acknowledgement.
    pub async fn insert_mentions(&self, rows: &[MentionRow<'_>]) -> Result<(), StoreError> {
        self.insert_encoded(&EncodedMentions::of(rows)).await
    }

    /// Writes encoded mentions in one insert; returns after the acknowledgement.
    pub async fn insert_encoded(&self, mentions: &EncodedMentions) -> Result<(), StoreError> {
        self.insert_blocks::<MentionRow<'_>>("writing mentions", &mentions.blocks).await
    }

    /// Writes second opinions; returns after the acknowledgement.
    ///
    /// Of every mention of the message that stands as the first scorer left it, at the version that was read,
    /// a revision is written that differs in nothing but the opinion. What was edited, deleted or judged since is left
    /// as it is.
    pub async fn insert_opinions(&self, opinions: &[Opinion]) -> Result<(), StoreError> {
        // Copied by position: the columns of `*` come in the order of the table. A SEMI LEFT JOIN finds one opinion for
        // each row; an INNER ANY JOIN would find one row for each opinion.
        const COPY: &str = "INSERT INTO mention_revisions \
            SELECT revisions.* REPLACE ( \
                toUInt128(bitOr(revisions.revision, toUInt128(1))) AS revision, \
                opinions.opinion.3 AS sentiment, opinions.opinion.4 AS sentiment_score, \
                opinions.opinion.5 AS sentiment_confidence, opinions.opinion.6 AS sentiment_model, \
                revisions.sentiment AS first_sentiment, revisions.sentiment_score AS first_score, \
                revisions.sentiment_confidence AS first_confidence, revisions.sentiment_model AS first_model, \
                now64(3) AS scored_at, now64(3) AS stored_at) \
            FROM mention_revisions AS revisions FINAL \
            SEMI LEFT JOIN ( \
                SELECT toUUID(opinion.1) AS id, opinion.2 AS version, opinion \
                FROM (SELECT arrayJoin(arrayZip( \
                    {ids:Array(String)}, {versions:Array(UInt64)}, {sentiments:Array(String)}, \
                    {scores:Array(Float32)}, {confidences:Array(Float32)}, {models:Array(String)})) AS opinion) \
            ) AS opinions \
                ON opinions.id = revisions.message_id \
                AND opinions.version = toUInt64(bitShiftRight(revisions.revision, 64)) \
            WHERE revisions.message_id IN (SELECT toUUID(arrayJoin({ids:Array(String)}))) \
                AND NOT revisions.deleted AND bitAnd(revisions.revision, 1) = 0";
        if opinions.is_empty() {
            return Ok(());
        }
        let query = self.query(COPY).param("ids", each(opinions, |opinion| opinion.message_id.to_string()));
        let query = query.param("versions", each(opinions, |opinion| opinion.version));
        let query = query.param("sentiments", each(opinions, |opinion| opinion.sentiment));
        let query = query.param("scores", each(opinions, |opinion| opinion.score));
        let query = query.param("confidences", each(opinions, |opinion| opinion.confidence));
        let query = query.param("models", each(opinions, |opinion| opinion.model.as_str()));
        self.run("writing second opinions", query).await
    }

    /// Writes coverage gaps; returns after the acknowledgement.
    pub async fn insert_gaps(&self, rows: &[GapRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing coverage gaps", rows).await
    }

    /// Writes polls of sources; returns after the acknowledgement.
    pub async fn insert_polls(&self, rows: &[PollRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing polls of sources", rows).await
    }

    /// Writes dead letters; returns after the acknowledgement.
    pub async fn insert_dead_letters(&self, rows: &[DeadLetterRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing dead letters", rows).await
    }

    /// Writes stories of messages; returns after the acknowledgement.
    pub async fn insert_stories(&self, rows: &[StoryRow]) -> Result<(), StoreError> {
        self.insert("writing stories", rows).await
    }

    /// Writes corrections of sentiments; returns after the acknowledgement.
    pub async fn insert_corrections(&self, rows: &[CorrectionRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing corrections", rows).await
    }

    /// Writes tokens of the HTTP API; returns after the acknowledgement.
    pub async fn insert_tokens(&self, rows: &[TokenRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing tokens", rows).await
    }

    /// Writes influence of authors; returns after the acknowledgement.
    pub async fn insert_author_scores(&self, rows: &[AuthorScoreRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing scores of authors", rows).await
    }

    /// Writes what authors are to brands; returns after the acknowledgement.
    pub async fn insert_brand_authors(&self, rows: &[BrandAuthorRow<'_>]) -> Result<(), StoreError> {
        self.insert("writing scores of authors", rows).await
    }

    /// Shows the scores of this run from now on, and drops those of all runs before it but the one that was shown, which
    /// somebody may be reading.
    pub async fn complete_score_run(&self, run: &ScoreRunRow<'_>, shown: u64) -> Result<(), StoreError> {
        const DOING: &str = "dropping old scores of authors";
        self.insert("completing scores of authors", std::slice::from_ref(run)).await?;
        for table in [AuthorScoreRow::TABLE, BrandAuthorRow::TABLE] {
            let old = format!("SELECT DISTINCT run FROM {table} WHERE run < ? AND run != ?");
            let old: Vec<u64> = self.fetch(DOING, self.query(&old).bind(run.run).bind(shown)).await?;
            for old in old {
                let drop = format!("ALTER TABLE {table} {{{{on_cluster}}}} DROP PARTITION {old}");
                self.execute(DOING, &self.profile.render(&drop)).await?;
            }
        }
        Ok(())
    }

    /// Runs a statement of the user's own and streams what comes back, in any format of ClickHouse
    /// (`TabSeparated`, `JSONEachRow`, `PrettyCompact`, ...). Takes as long as the user waits.
    pub fn sql(
        &self,
        sql: &str,
        format: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + use<>, StoreError> {
        const DOING: &str = "the query";
        let cursor = self.client.query_raw(sql).fetch_bytes(format).map_err(|error| StoreError::new(DOING, &error))?;
        Ok(futures::stream::try_unfold(cursor, |mut cursor| async move {
            let chunk = cursor.next().await.map_err(|error| StoreError::new(DOING, &error))?;
            Ok(chunk.map(|chunk| (chunk, cursor)))
        }))
    }

    /// A question of ours. Values go in as `{name:Type}` parameters, never into the text.
    pub(crate) fn query(&self, sql: &str) -> Query {
        self.client
            .query(sql)
            .with_setting("max_execution_time", MAX_EXECUTION_TIME)
            .with_setting("max_result_rows", MAX_RESULT_ROWS)
            // Conditions on the sorting key are the same for all revisions of a row: checked before they collapse.
            .with_setting("optimize_move_to_prewhere_if_final", "1")
    }

    /// The rows of a question of ours one by one, however many there are. ClickHouse sorts and groups on disk what does
    /// not fit into memory.
    pub(crate) fn stream<T: RowOwned + RowRead>(
        &self,
        doing: &'static str,
        query: Query,
    ) -> Result<Rows<T>, StoreError> {
        let query = query
            .with_setting("max_result_rows", "0")
            .with_setting("max_bytes_before_external_group_by", SPILL_BYTES)
            .with_setting("max_bytes_before_external_sort", SPILL_BYTES);
        let cursor = query.fetch().map_err(|error| StoreError::new(doing, &error))?;
        Ok(Rows { doing, cursor })
    }

    /// All rows of a question.
    pub(crate) async fn fetch<T: RowOwned + RowRead>(
        &self,
        doing: &'static str,
        query: Query,
    ) -> Result<Vec<T>, StoreError> {
        within(QUERY_TIMEOUT, doing, query.fetch_all()).await
    }

    /// The only row of a question.
    pub(crate) async fn fetch_one<T: RowOwned + RowRead>(
        &self,
        doing: &'static str,
        query: Query,
    ) -> Result<T, StoreError> {
        within(QUERY_TIMEOUT, doing, query.fetch_one()).await
    }

    async fn run(&self, doing: &'static str, query: Query) -> Result<(), StoreError> {
        within(QUERY_TIMEOUT, doing, query.execute()).await
    }

    async fn execute(&self, doing: &'static str, sql: &str) -> Result<(), StoreError> {
        self.run(doing, self.client.query_raw(sql)).await
    }

    async fn insert<T: Columns>(&self, doing: &'static str, rows: &[T]) -> Result<(), StoreError> {
        self.insert_blocks::<T>(doing, &encode(rows)).await
    }

    /// One insert, which becomes one part of the table, however many blocks it has.
    async fn insert_blocks<T: Columns>(&self, doing: &'static str, blocks: &[[Bytes; 2]]) -> Result<(), StoreError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let columns = Block::<T>::of(&[]).columns().join(", ");
        let sql = format!("INSERT INTO {} ({columns}) FORMAT Native", T::TABLE);
        let write = async {
            // An acknowledgement has to mean "stored", whatever the server's own default is; and collapsing rows
            // within a batch costs ClickHouse a third of the insert, for what reading does anyway.
            let insert = self.client.insert_formatted_with(sql);
            let insert = insert.with_setting("async_insert", "0").with_setting("optimize_on_insert", "0");
            let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(ACK_TIMEOUT));
            for bytes in blocks.iter().flatten() {
                insert.send(bytes.clone()).await?;
            }
            insert.end().await
        };
        write.await.map_err(|error| StoreError::new(doing, &error))
    }

    /// The same server, with no database chosen.
    fn outside_database(&self) -> Self {
        Self { client: self.client.clone().with_database("system"), ..self.clone() }
    }
}

/// One column of these opinions.
fn each<'o, T>(opinions: &'o [Opinion], of: impl Fn(&'o Opinion) -> T) -> Vec<T> {
    opinions.iter().map(of).collect()
}

fn encode<T: Columns>(rows: &[T]) -> Vec<[Bytes; 2]> {
    rows.chunks(BLOCK_ROWS).map(|chunk| Block::of(chunk).into_bytes()).collect()
}

async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, StoreError> {
    let outcome = tokio::time::timeout(limit, work).await.unwrap_or(Err(clickhouse::error::Error::TimedOut));
    outcome.map_err(|error| StoreError::new(doing, &error))
}

/// Compression costs more than it saves where nothing crosses a wire.
fn compression(url: &str) -> Compression {
    let host = url.split("://").nth(1).unwrap_or(url);
    if ["127.", "localhost", "[::1]"].iter().any(|loopback| host.starts_with(loopback)) {
        Compression::None
    } else {
        Compression::Lz4
    }
}
