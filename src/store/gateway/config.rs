//! What the engine is told at its start: limits for a small host, durable inserts, and the two roles.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use uuid::Uuid;

/// Puts a connection into the reader's role. Every connection begins with both roles.
pub(super) const SET_READER: &str = "SET ROLE reader";

/// Files of a data directory.
pub(super) struct Config {
    /// The engine's own directory.
    pub(super) database: PathBuf,
    /// Its server configuration.
    pub(super) engine: PathBuf,
}

/// Writes the configuration into `data`, and, in a new directory, the database `default`.
///
/// libchdb would make `default` an overlay that shows every file of the host as a table; with an ordinary
/// database in its place there is no such overlay.
pub(super) fn write(data: &Path) -> io::Result<Config> {
    let directory = data.join("config");
    fs::create_dir_all(&directory)?;
    let users = directory.join("users.xml");
    fs::write(&users, USERS)?;
    let engine = directory.join("engine.xml");
    fs::write(&engine, engine_config(&users)?)?;
    let database = data.join("db");
    let metadata = database.join("metadata");
    let default = metadata.join("default.sql");
    if !default.exists() {
        fs::create_dir_all(&metadata)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
        fs::write(&default, default_database(uuid))?;
    }
    Ok(Config { database, engine })
}

fn default_database(uuid: Uuid) -> String {
    format!("ATTACH DATABASE default UUID '{uuid}'\nENGINE = Atomic\n")
}

fn engine_config(users: &Path) -> io::Result<String> {
    let users = users.to_str().ok_or_else(|| io::Error::other("the data directory's path is not text"))?;
    let users = users.replace('&', "&amp;").replace('<', "&lt;");
    let cores = thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
    Ok(format!(
        "<clickhouse>
    <users_config>{users}</users_config>
    <default_database></default_database>
    <database>default</database>

    <!-- The listeners and scorers live on the same host. -->
    <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
    <mark_cache_size>{mark_cache}</mark_cache_size>
    <primary_index_cache_size>{mark_cache}</primary_index_cache_size>
    <background_pool_size>{cores}</background_pool_size>
    <background_schedule_pool_size>{cores}</background_schedule_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
    <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>

    <merge_tree>
        <!-- An acknowledged insert is on disk. -->
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
        <!-- Two files a part below this size instead of several a column: that many fewer to sync. -->
        <min_bytes_for_wide_part>{wide_part}</min_bytes_for_wide_part>
        <!-- Fit for the pool above. -->
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
",
        mark_cache = 256 << 20,
        wide_part = 128 << 20,
    ))
}

/// The one user of libchdb, and its two roles. A SELECT grant reaches tables only: files, other hosts and
/// programs need READ grants on their sources, which the reader has not. The constraints hold settings that
/// name files or hold SQL of their own, or change the language that the gateway checks.
const USERS: &str = "<clickhouse>
    <roles>
        <owner>
            <grants>
                <query>GRANT ALL ON *.* WITH GRANT OPTION</query>
            </grants>
        </owner>
        <reader>
            <grants>
                <query>GRANT SELECT ON *.*</query>
                <query>GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS, SHOW DICTIONARIES ON *.*</query>
            </grants>
        </reader>
    </roles>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT owner</query>
                <query>GRANT reader</query>
            </grants>
        </default>
    </users>
    <quotas><default/></quotas>
    <profiles>
        <default>
            <implicit_select>0</implicit_select>
            <allow_introspection_functions>0</allow_introspection_functions>
            <!-- Rows are collapsed by merges and queries anyway; doing it at each insert doubles the insert's cost. -->
            <optimize_on_insert>0</optimize_on_insert>
            <constraints>
                <additional_result_filter><const/></additional_result_filter>
                <additional_table_filters><const/></additional_table_filters>
                <dialect><const/></dialect>
                <format_avro_schema_registry_url><const/></format_avro_schema_registry_url>
                <format_schema><const/></format_schema>
                <format_template_resultset><const/></format_template_resultset>
                <format_template_row><const/></format_template_row>
                <input_format_record_errors_file_path><const/></input_format_record_errors_file_path>
                <output_format_schema><const/></output_format_schema>
                <parallel_replicas_custom_key><const/></parallel_replicas_custom_key>
                <polyglot_dialect><const/></polyglot_dialect>
            </constraints>
        </default>
    </profiles>
</clickhouse>
";
