//! What the read-only user can and cannot do.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{gateway, scratch};

#[test]
fn the_reader_reads_tables_and_their_descriptions() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE readable (a UInt64, file String) ENGINE = MergeTree ORDER BY a");
    gateway.run("INSERT INTO readable VALUES (1, 'x')");
    for sql in [
        "SELECT a FROM readable WHERE 'a file' != ''",
        "WITH 1 AS one SELECT one + a - 1 FROM readable",
        "SELECT count() FROM numbers(1)",
        "SELECT uniq(a) FROM merge('default', 'readable') -- file",
    ] {
        let reply = gateway.reader().body(sql).send();
        assert_eq!((reply.status, reply.text().as_str()), (200, "1\n"), "{sql}");
    }
    for sql in [
        "SHOW TABLES",
        "SHOW DATABASES",
        "DESCRIBE readable",
        "SHOW CREATE TABLE readable",
        "EXISTS readable",
        "EXPLAIN SELECT a FROM readable",
        "SELECT name, type FROM system.columns WHERE table = 'readable'",
        "SELECT a FROM readable SETTINGS max_threads = 1 FORMAT JSON",
    ] {
        let reply = gateway.reader().parameter("max_execution_time", "60").body(sql).send();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        assert!(!reply.body.is_empty(), "{sql}");
    }
}

#[test]
fn the_reader_does_not_write_and_does_not_lift_that() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a");
    gateway.run("INSERT INTO kept VALUES (1)");
    let written = scratch("outfile").join("written");
    let outfile = format!("SELECT 1 INTO OUTFILE '{}'", written.display());
    let insert_file = format!("INSERT INTO FUNCTION file('{}', 'TSV', 'a UInt8') SELECT 1", written.display());
    let statements = [
        "INSERT INTO kept VALUES (2)",
        "INSERT INTO kept SELECT 2",
        "INSERT INTO kept SETTINGS readonly = 0 SELECT 2",
        "WITH x AS (SELECT 2 AS a) INSERT INTO kept SELECT a FROM x",
        "DROP TABLE kept",
        "TRUNCATE TABLE kept",
        "ALTER TABLE kept DELETE WHERE 1",
        "DELETE FROM kept WHERE 1",
        "OPTIMIZE TABLE kept",
        "CREATE TABLE made (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE made (a UInt8)",
        "CREATE VIEW made AS SELECT 1",
        "CREATE FUNCTION made AS () -> 1",
        "RENAME TABLE kept TO lost",
        "SET readonly = 0",
        "SET ROLE owner",
        "SET ROLE ALL",
        "USE system",
        "GRANT owner TO default",
        "CREATE USER made",
        "KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES",
        "BACKUP TABLE kept TO File('x')",
        "EXECUTE AS default SELECT 1",
        "SELECT 1; DROP TABLE kept",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 PARALLEL WITH DROP TABLE kept",
        "EXPLAIN AST SELECT 1; DROP TABLE kept",
        &outfile,
        &insert_file,
    ];
    for sql in statements {
        let reply = gateway.reader().body(sql).send();
        assert!(reply.status >= 400, "{sql}: {}", reply.text());
        let expected = [62, 164, 344, 497];
        assert!(expected.contains(&reply.code()), "{sql}: {}", reply.text());
    }
    let lifted = gateway.reader().parameter("readonly", "0").body("SELECT 1").send();
    assert_eq!(lifted.code(), 164, "{}", lifted.text());
    let role = gateway.reader().parameter("role", "owner").body("SELECT 1").send();
    assert_eq!((role.status, role.code()), (403, 512));
    assert_eq!(gateway.run("SELECT count(), sum(a) FROM kept"), "1\t1");
    assert_eq!(gateway.run("SELECT count() FROM system.tables WHERE name = 'made'"), "0");
    assert!(!written.exists());
}

#[test]
fn the_reader_reaches_no_file() {
    let Some(gateway) = gateway() else { return };
    let secret = scratch("secret").join("secret.txt");
    fs::write(&secret, "hunter2\n").unwrap();
    let path = secret.display();
    gateway.run("CREATE OR REPLACE FUNCTION harmless AS (x) -> x + 1");
    let attempts = [
        format!("SELECT file('{path}')"),
        format!("SELECT `file`('{path}')"),
        format!("SELECT \"fi\\x6ce\"('{path}')"),
        format!("SELECT FILE('{path}')"),
        format!("SELECT file/**/('{path}')"),
        format!("SELECT arrayMap(file, ['{path}'])"),
        format!("SELECT arrayMap({{f:Identifier}}, ['{path}'])"),
        format!("SELECT * APPLY file FROM (SELECT '{path}' AS x)"),
        format!("SELECT * APPLY(file) FROM (SELECT '{path}' AS x)"),
        format!("SELECT * APPLY(x -> file(x)) FROM (SELECT '{path}' AS x)"),
        format!("WITH file AS f SELECT f('{path}')"),
        format!("WITH x -> file(x) AS f SELECT f('{path}')"),
        format!("SELECT 'hunter2' IN file('{path}')"),
        format!("SELECT * FROM file('{path}', 'LineAsString')"),
        format!("SELECT * FROM file('{path}', 'LineAsString', 'x String')"),
        format!("DESCRIBE file('{path}', 'CSV')"),
        format!("DESCRIBE TABLE file('{path}', 'CSV')"),
        format!("SELECT * FROM `{path}`"),
        format!("SELECT * FROM default.`{path}`"),
        format!("SELECT * FROM default.`../../../../../../../../..{path}`"),
        format!("SELECT * FROM view(SELECT * FROM file('{path}', 'LineAsString'))"),
        format!("SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{path}')))"),
        format!("SELECT * FROM eval('SELECT file(''{path}'')')"),
        format!("SELECT * FROM filesystem('{path}')"),
        format!("SELECT * FROM sqlite('{path}', 'x')"),
        format!("SELECT * FROM icebergLocal('{path}')"),
        format!("SELECT * FROM deltaLakeLocal('{path}')"),
        format!("SELECT * FROM fileCluster('default', '{path}', 'LineAsString')"),
        format!("SELECT * FROM executable('{path}', 'LineAsString', 'x String')"),
        format!("SELECT * FROM format(Template, 'x') SETTINGS format_template_row = '{path}'"),
        format!("SELECT 1 AS data FORMAT Template SETTINGS format_template_resultset = '{path}'"),
        format!("SELECT 1 FORMAT Template SETTINGS format_template_row = '{path}'"),
        format!("SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{path}:x'"),
        format!("SELECT 1 FORMAT CapnProto SETTINGS format_schema = '{path}:x'"),
        format!("SELECT 1 SETTINGS additional_result_filter = 'throwIf(1, file(''{path}''))'"),
        format!(
            "SELECT 1 FROM system.one SETTINGS additional_table_filters = {{'system.one': 'throwIf(1, file(''{path}''))'}}"
        ),
        format!("file('{path}')"),
        format!("SELECT catboostEvaluate('{path}', 1)"),
        format!("SELECT * FROM mergeTreeIndex('default', '{path}')"),
        format!("SELECT * FROM dictionary('{path}')"),
        format!("print file('{path}')"),
        format!("SELECT $$ ' $$, file('{path}'), $$ ' $$"),
        format!("SELECT 'a\\'', file('{path}'), '\\''"),
        format!("SELECT 'a''', file('{path}'), ''''"),
        format!("SELECT 1 # '\n, file('{path}') -- '"),
        format!("SELECT 1 /* ' */, file('{path}') /* ' */"),
        format!("SELECT 1 \u{2018}x\u{2019}, file('{path}')"),
        format!("SELECT \u{a0}file\u{a0}('{path}')"),
    ];
    for sql in &attempts {
        let reply = gateway.reader().parameter("param_f", "file").body(sql.as_str()).send();
        assert!(reply.status >= 400, "{sql}: {}", reply.text());
        assert!(!reply.text().contains("hunter2"), "{sql}: {}", reply.text());
    }
    for (setting, value) in
        [("dialect", "kusto"), ("format_schema", "x"), ("polyglot_dialect", "mysql"), ("output_format_schema", "x")]
    {
        let reply = gateway.reader().parameter(setting, value).body("SELECT 1").send();
        assert_eq!(reply.code(), 452, "{setting}: {}", reply.text());
    }
}

#[test]
fn the_reader_reaches_no_other_host() {
    let Some(gateway) = gateway() else { return };
    // Whoever connects here was let out.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection);
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let attempts = [
        format!("SELECT * FROM url('http://{address}/', 'LineAsString')"),
        format!("SELECT * FROM url('http://{address}/', 'LineAsString', 'x String')"),
        format!("DESCRIBE url('http://{address}/', 'CSV')"),
        format!("SELECT 1 IN url('http://{address}/', 'TSV', 'x UInt8')"),
        format!("SELECT * FROM urlCluster('default', 'http://{address}/', 'LineAsString')"),
        format!("SELECT * FROM remote('{address}', system.one)"),
        format!("SELECT * FROM remote('{address}', view(SELECT 1))"),
        format!("SELECT * FROM remoteSecure('{address}', system.one)"),
        "SELECT * FROM cluster('default', system.one)".to_owned(),
        format!("SELECT * FROM s3('http://{address}/bucket/key', 'TSV', 'x String')"),
        format!("SELECT * FROM gcs('http://{address}/bucket/key', 'TSV', 'x String')"),
        format!("SELECT * FROM deltaLake('http://{address}/bucket/key')"),
        format!("SELECT * FROM iceberg('http://{address}/bucket/key')"),
        format!("SELECT * FROM hudi('http://{address}/bucket/key')"),
        format!("SELECT * FROM azureBlobStorage('http://{address}/account', 'container', 'blob', 'TSV', 'x String')"),
        format!("SELECT * FROM hdfs('hdfs://{address}/x', 'TSV', 'x String')"),
        format!("SELECT * FROM mysql('{address}', 'a', 'b', 'c', 'd')"),
        format!("SELECT * FROM postgresql('{address}', 'a', 'b', 'c', 'd')"),
        format!("SELECT * FROM mongodb('mongodb://{address}/a', 'b', 'x String')"),
        format!("SELECT * FROM redis('{address}', 'key', 'key String')"),
        format!("SELECT * FROM jdbc('jdbc://{address}/a', 'b', 'c')"),
        "SELECT * FROM odbc('DSN=x', 'b', 'c')".to_owned(),
        format!("SELECT * FROM ytsaurus('http://{address}', '//x', 'token', 'x String')"),
        format!(
            "SELECT * FROM format(AvroConfluent, 'x') SETTINGS format_avro_schema_registry_url = 'http://{address}'"
        ),
        format!("SELECT 1 FORMAT AvroConfluent SETTINGS format_avro_schema_registry_url = 'http://{address}'"),
        "SELECT reverseDNSQuery('127.0.0.1')".to_owned(),
        "SELECT aiGenerate('x', 'y')".to_owned(),
    ];
    for sql in &attempts {
        let reply = gateway.reader().body(sql.as_str()).send();
        assert!(reply.status >= 400, "{sql}: {}", reply.text());
        assert_eq!(connections.load(Ordering::SeqCst), 0, "{sql}");
    }
    // The owner can, so the listener works.
    gateway.owner().body(attempts[0].as_str()).parameter("http_max_tries", "1").send();
    assert!(connections.load(Ordering::SeqCst) > 0);
}
