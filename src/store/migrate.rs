//! Migrations: numbered SQL files, applied once, in order.
//!
//! # Rules of a migration file
//!
//! - A semicolon at the end of a line ends a statement, and nothing else does.
//! - Every statement can be run again (`IF NOT EXISTS`, `OR REPLACE`, ...). ClickHouse has no transactions
//!   around DDL: a migration that was cut off, or that two daemons run at once, is simply run again from
//!   its beginning. It is recorded after its last statement.
//! - A file that has been released is never changed: its checksum is recorded. What comes later is a new file.
//! - `{{on_cluster}}` stands after the name of whatever is created, `{{replacing_merge_tree}}` for the engine.

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::{Store, StoreError};

/// A numbered file of SQL statements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    /// 1, 2, 3, ... without holes.
    pub(super) number: u32,
    /// Name of the file.
    pub(super) file: &'static str,
    /// Its text.
    pub(super) sql: &'static str,
}

macro_rules! migrations {
    ($($number:literal $file:literal),+ $(,)?) => {
        [$(Migration { number: $number, file: $file, sql: include_str!(concat!("migrations/", $file)) }),+]
    };
}

/// All migrations of this release.
pub(super) const MIGRATIONS: &[Migration] = &migrations![
    1 "0001_mentions.sql",
    2 "0002_ledger.sql",
    3 "0003_views.sql",
    4 "0004_corrections.sql",
    5 "0005_tokens.sql",
    6 "0006_intents_and_stories.sql",
    7 "0007_authors.sql",
    8 "0008_second_opinions.sql",
    9 "0009_country_and_media.sql",
];

/// Tables that hold what was acknowledged.
const TABLES: [&str; 10] = [
    "mention_revisions",
    "coverage_gap_revisions",
    "source_poll_revisions",
    "dead_letter_revisions",
    "sentiment_correction_revisions",
    "api_token_revisions",
    "story_revisions",
    "author_score_runs",
    "author_score_rows",
    "brand_author_rows",
];

const CREATE_LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations {{on_cluster}} (\
    number UInt32, name String, checksum UUID, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)\
    ) ENGINE = {{replacing_merge_tree}} ORDER BY number COMMENT 'Migrations applied to this database'";

/// A migration, as recorded once it is applied.
#[derive(Debug, Row, Deserialize)]
struct Applied {
    number: u32,
    name: String,
    #[serde(with = "clickhouse::serde::uuid")]
    checksum: Uuid,
}

impl Migration {
    /// Identifies the text (UUID v5, so SHA-1 inside: against accidents, not against attackers).
    fn checksum(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, self.sql.as_bytes())
    }
}

/// Brings the schema up to date; does nothing where it is.
pub(super) async fn migrate(store: &Store, migrations: &[Migration]) -> Result<(), StoreError> {
    const DOING: &str = "bringing the schema up to date";
    create_database(store).await?;
    store.execute(DOING, &store.profile.render(CREATE_LEDGER)).await?;
    for migration in pending(&applied(store, DOING).await?, migrations)? {
        tracing::info!(migration = migration.file, "applying a migration to the store");
        for statement in statements(migration.sql) {
            store.execute(DOING, &store.profile.render(statement)).await?;
        }
        let record = "INSERT INTO schema_migrations (number, name, checksum) SELECT ?, ?, toUUID(?)";
        let record = store.query(record).bind(migration.number).bind(migration.file);
        store.run(DOING, record.bind(migration.checksum().to_string())).await?;
    }
    if store.profile.durable {
        for table in TABLES {
            let sql = format!("ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1");
            store.execute(DOING, &sql).await?;
        }
    }
    Ok(())
}

/// Fails where the schema is not up to date.
pub(super) async fn check(store: &Store, migrations: &[Migration]) -> Result<(), StoreError> {
    let applied = applied(store, "looking at the schema").await?;
    match pending(&applied, migrations)?.first() {
        None => Ok(()),
        Some(next) => Err(StoreError::Schema(format!("migration `{}` is not applied to the store yet", next.file))),
    }
}

async fn applied(store: &Store, doing: &'static str) -> Result<Vec<Applied>, StoreError> {
    let sql = "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number";
    store.fetch(doing, store.query(sql)).await
}

/// Creates the database unless it is there: a user who may not create databases needs an existing one only.
async fn create_database(store: &Store) -> Result<(), StoreError> {
    const DOING: &str = "creating the database";
    let outside = store.outside_database();
    let there: u8 = outside
        .fetch_one(
            DOING,
            outside.query("SELECT count() > 0 FROM system.databases WHERE name = ?").bind(&store.database),
        )
        .await?;
    if there == 1 {
        return Ok(());
    }
    let sql = format!("CREATE DATABASE IF NOT EXISTS {} {{{{on_cluster}}}}", quoted(&store.database));
    outside.execute(DOING, &store.profile.render(&sql)).await
}

/// The migrations that are still to be applied, or why this release must not touch the store.
fn pending<'a>(applied: &[Applied], migrations: &'a [Migration]) -> Result<Vec<&'a Migration>, StoreError> {
    for record in applied {
        let Some(known) = migrations.iter().find(|migration| migration.number == record.number) else {
            return Err(StoreError::Schema(format!(
                "the store is newer than this release: it holds migration `{}`, which this release does not know; \
                 use the release that applied it, or a later one",
                record.name
            )));
        };
        if known.checksum() != record.checksum {
            return Err(StoreError::Schema(format!(
                "migration `{}` has changed since it was applied to the store (as `{}`); restore the file, and put \
                 the change into a new migration",
                known.file, record.name
            )));
        }
    }
    Ok(migrations.iter().filter(|migration| applied.iter().all(|record| record.number != migration.number)).collect())
}

/// The statements of a file.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

/// What differs between an embedded store and a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub(super) durable: bool,
    pub(super) cluster: Option<String>,
}

impl Profile {
    pub(super) fn render(&self, statement: &str) -> String {
        let (on_cluster, engine) = match &self.cluster {
            Some(cluster) => (format!("ON CLUSTER {}", quoted(cluster)), "ReplicatedReplacingMergeTree"),
            None => (String::new(), "ReplacingMergeTree"),
        };
        statement.replace("{{on_cluster}}", &on_cluster).replace("{{replacing_merge_tree}}", engine)
    }
}

/// An identifier, quoted for ClickHouse.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIRST: Migration = Migration { number: 1, file: "0001_a.sql", sql: "CREATE TABLE a;\n" };
    const SECOND: Migration = Migration { number: 2, file: "0002_b.sql", sql: "CREATE TABLE b;\n" };

    fn applied(migration: Migration) -> Applied {
        Applied { number: migration.number, name: migration.file.to_owned(), checksum: migration.checksum() }
    }

    #[test]
    fn files_are_numbered_without_holes_and_named_after_their_number() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, index + 1);
            assert!(migration.file.starts_with(&format!("{:04}_", migration.number)), "{}", migration.file);
            assert!(migration.sql.ends_with(";\n"), "{}", migration.file);
        }
    }

    #[test]
    fn every_statement_can_be_run_again() {
        for migration in MIGRATIONS {
            for statement in statements(migration.sql) {
                let code: String = statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
                let repeatable =
                    code.contains("IF NOT EXISTS") || code.contains("OR REPLACE") || code.contains("IF EXISTS");
                assert!(repeatable, "{}: {statement}", migration.file);
                assert!(code.contains("{{on_cluster}}"), "{}: {statement}", migration.file);
            }
        }
    }

    #[test]
    fn only_what_is_missing_is_applied_in_order() {
        let files = |applied: &[Applied]| -> Vec<&str> {
            pending(applied, &[FIRST, SECOND]).unwrap().iter().map(|migration| migration.file).collect()
        };
        assert_eq!(files(&[]), ["0001_a.sql", "0002_b.sql"]);
        assert_eq!(files(&[applied(FIRST)]), ["0002_b.sql"]);
        assert!(files(&[applied(FIRST), applied(SECOND)]).is_empty());
    }

    #[test]
    fn a_changed_file_and_a_newer_store_are_refused_by_name() {
        let changed = Migration { sql: "CREATE TABLE other;\n", ..FIRST };
        let error = pending(&[applied(FIRST)], &[changed]).unwrap_err().to_string();
        assert!(error.starts_with("migration `0001_a.sql` has changed"), "{error}");
        let error = pending(&[applied(FIRST), applied(SECOND)], &[FIRST]).unwrap_err().to_string();
        assert!(error.starts_with("the store is newer than this release: it holds migration `0002_b.sql`"), "{error}");
    }

    #[test]
    fn a_cluster_gets_replicated_tables_under_its_quoted_name() {
        let profile = Profile { durable: false, cluster: Some("a`; DROP".to_owned()) };
        assert_eq!(
            profile.render("CREATE TABLE t {{on_cluster}} (a UInt8) ENGINE = {{replacing_merge_tree}}(a)"),
            "CREATE TABLE t ON CLUSTER `a\\`; DROP` (a UInt8) ENGINE = ReplicatedReplacingMergeTree(a)"
        );
    }
}
