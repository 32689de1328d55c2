//! ClickHouse's HTTP interface, with curl.

use std::process::Child;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, Lz4Encoder, ZlibEncoder, ZstdEncoder};
use tokio::io::AsyncWriteExt;

use crate::{Curl, Gateway, gateway, library, options, scratch, wait_until};

#[test]
fn ping_needs_no_password_and_says_nothing() {
    let Some(gateway) = gateway() else { return };
    for path in ["/ping", "/replicas_status"] {
        let reply = Curl::new(&gateway.url).path(path).send();
        assert_eq!((reply.status, reply.text().as_str()), (200, "Ok.\n"));
    }
    assert_eq!(Curl::new(&gateway.url).path("/dashboard").send().status, 404);
    assert_eq!(gateway.owner().argument("--request").argument("DELETE").send().status, 405);
}

#[test]
fn the_statement_is_in_the_url_the_body_or_both() {
    let Some(gateway) = gateway() else { return };
    assert_eq!(gateway.owner().parameter("query", "SELECT 1 + 1").send().text(), "2\n");
    assert_eq!(gateway.owner().body("SELECT 1 + 2").send().text(), "3\n");
    assert_eq!(gateway.owner().parameter("query", "SELECT 1 +").body("3 FORMAT TSV").send().text(), "4\n");
    assert_eq!(gateway.owner().send().text(), "Ok.\n");
    assert_eq!(gateway.owner().body("").send().code(), 62);
}

#[test]
fn the_format_comes_from_the_statement_the_parameter_or_the_header() {
    let Some(gateway) = gateway() else { return };
    let format = |curl: Curl, sql: &str| {
        let reply = curl.body(sql).send();
        (reply.header("x-clickhouse-format").unwrap_or_default().to_owned(), reply.text())
    };
    let pair = |format: &str, text: &str| (format.to_owned(), text.to_owned());
    assert_eq!(format(gateway.owner(), "SELECT 1, 'a'"), pair("tabseparated", "1\ta\n"));
    assert_eq!(format(gateway.owner().parameter("default_format", "CSV"), "SELECT 1, 'a'"), pair("csv", "1,\"a\"\n"));
    assert_eq!(format(gateway.owner().header("X-ClickHouse-Format: CSV"), "SELECT 1"), pair("csv", "1\n"));
    let json = gateway.owner().parameter("default_format", "CSV").body("SELECT 1 AS x FORMAT JSONEachRow").send();
    assert_eq!((json.header("x-clickhouse-format"), json.text().as_str()), (Some("jsoneachrow"), "{\"x\":1}\n"));
    let reply = gateway.owner().body("SELECT number FROM numbers(3) FORMAT JSON").send();
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(json["rows"], 3);
}

#[test]
fn headers_describe_the_answer() {
    let Some(gateway) = gateway() else { return };
    let reply = gateway.owner().parameter("query_id", "my-query").body("SELECT 1").send();
    assert_eq!(reply.header("x-clickhouse-query-id"), Some("my-query"));
    assert_eq!(reply.header("x-clickhouse-server-display-name"), Some("hearken"));
    assert!(reply.header("x-clickhouse-timezone").is_some());
    gateway.run("CREATE TABLE headers (a UInt8) ENGINE = MergeTree ORDER BY a");
    let reply = gateway.owner().body("INSERT INTO headers VALUES (1), (2), (3)").send();
    let summary: serde_json::Value = serde_json::from_str(reply.header("x-clickhouse-summary").unwrap()).unwrap();
    assert_eq!(summary["written_rows"], "3");
}

#[test]
fn settings_and_database_hold_for_one_request() {
    let Some(gateway) = gateway() else { return };
    let show = "SELECT getSetting('max_block_size'), currentDatabase()";
    let before = gateway.run(show);
    for _ in 0..3 {
        let changed = gateway.owner().parameter("max_block_size", "77").parameter("database", "system").body(show);
        assert_eq!(changed.send().text(), "77\tsystem\n");
        assert_eq!(gateway.run(show), before);
        gateway.run("SET max_block_size = 78");
        gateway.run("USE system");
        assert_eq!(gateway.run(show), before);
    }
}

#[test]
fn exceptions_have_clickhouses_code_and_status() {
    let Some(gateway) = gateway() else { return };
    let cases = [
        ("SELEC 1", 62, 400),
        ("SELECT * FROM nosuch.t", 81, 404),
        ("SELECT * FROM nosuch", 60, 404),
        ("SELECT nosuch", 47, 404),
        ("SELECT nosuch()", 46, 404),
        ("SELECT 1 FORMAT Nosuch", 73, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT toUInt8('x')", 6, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("INSERT INTO nosuch VALUES (1)", 60, 404),
        (
            "SELECT * FROM numbers(1000000000000) WHERE sleepEachRow(0.001) SETTINGS max_execution_time = 1, max_block_size = 10",
            159,
            408,
        ),
    ];
    for (sql, code, status) in cases {
        let reply = gateway.owner().body(sql).send();
        assert_eq!((reply.code(), reply.status), (code, status), "{sql}: {}", reply.text());
        assert!(reply.text().starts_with(&format!("Code: {code}. DB::Exception: ")), "{}", reply.text());
        assert!(reply.text().contains(" (version 26."), "{}", reply.text());
    }
    let unknown = gateway.owner().parameter("nosuch", "1").body("SELECT 1").send();
    assert_eq!((unknown.code(), unknown.status), (115, 404), "{}", unknown.text());
    let wrong = gateway.owner().parameter("max_threads", "many").body("SELECT 1").send();
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let database = gateway.owner().parameter("database", "no`such").body("SELECT 1").send();
    assert_eq!((database.code(), database.status), (81, 404), "{}", database.text());
}

#[test]
fn an_exception_in_the_middle_breaks_the_body_off_behind_a_tagged_frame() {
    let Some(gateway) = gateway() else { return };
    let sql = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)";
    for encoding in [None, Some("zstd"), Some("gzip")] {
        let request = gateway.owner().parameter("compress", "0").body(sql);
        let request = match encoding {
            Some(encoding) => request.header(&format!("Accept-Encoding: {encoding}")),
            None => request,
        };
        let reply = request.send();
        assert_eq!((reply.status, reply.exit), (200, 18), "{encoding:?}");
        if encoding.is_some() {
            continue;
        }
        let tag = reply.header("x-clickhouse-exception-tag").unwrap();
        let text = reply.text();
        let (rows, frame) = text.split_once("\r\n__exception__\r\n").unwrap();
        assert!(rows.starts_with("0\t0\n1\t0\n"));
        let message = frame.strip_prefix(&format!("{tag}\r\n")).unwrap();
        let (message, end) = message.split_at(message.find(".1)\n").unwrap() + 4);
        assert!(message.starts_with("Code: 395. DB::Exception: "), "{message}");
        assert_eq!(end, format!("{} {tag}\r\n__exception__\r\n", message.len()));
    }
    let whole = gateway.owner().parameter("wait_end_of_query", "1").body(sql).send();
    assert_eq!((whole.status, whole.code(), whole.exit), (500, 395, 0));
    assert!(whole.text().starts_with("Code: 395."));
    let held = gateway.owner().parameter("buffer_size", "16000000").body(sql).send();
    assert_eq!((held.status, held.code()), (500, 395));
}

#[test]
fn parameters_are_values_not_text() {
    let Some(gateway) = gateway() else { return };
    let sql = "SELECT {a:UInt8} + 1, {b:String}, {c:Array(String)}, {d:Identifier} FROM system.one";
    let url = gateway
        .owner()
        .parameter("param_a", "41")
        .parameter("param_b", "'; DROP TABLE x --")
        .parameter("param_c", "['x','y']")
        .parameter("param_d", "dummy");
    assert_eq!(url.body(sql).send().text(), "42\t\\'; DROP TABLE x --\t['x','y']\t0\n");
    let form = ["query=SELECT {a:UInt8}, {b:String}", "param_a=1", "param_b=two words"];
    let form = form.iter().fold(gateway.owner(), |curl, field| curl.argument("--form-string").argument(field));
    assert_eq!(form.send().text(), "1\ttwo words\n");
    gateway.run("CREATE TABLE parameters (a String) ENGINE = MergeTree ORDER BY a");
    let insert = gateway.owner().parameter("param_t", "parameters");
    let reply = insert.parameter("query", "INSERT INTO {t:Identifier} FORMAT TSV").body("x\n").send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(gateway.run("SELECT a FROM parameters"), "x");
    let missing = gateway.owner().body("SELECT {nosuch:UInt8}").send();
    assert_eq!(missing.code(), 456, "{}", missing.text());
}

#[test]
fn get_does_not_write() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE unwritten (a UInt8) ENGINE = MergeTree ORDER BY a");
    for sql in ["INSERT INTO unwritten VALUES (1)", "DROP TABLE unwritten", "INSERT INTO unwritten SELECT 1"] {
        assert_eq!(gateway.owner().parameter("query", sql).send().code(), 164, "{sql}");
        let lifted = gateway.owner().parameter("query", sql).parameter("readonly", "0").send();
        assert_eq!(lifted.code(), 164, "{sql}");
    }
    assert_eq!(gateway.run("SELECT count() FROM unwritten"), "0");
}

#[test]
fn every_way_of_giving_the_password_is_taken_and_no_wrong_one() {
    let Some(gateway) = gateway() else { return };
    let (user, password) = (&gateway.owner.user, gateway.owner.password.expose());
    let curl = || Curl::new(&gateway.url).body("SELECT 1");
    let headers = curl().header(&format!("X-ClickHouse-User: {user}")).header(&format!("X-ClickHouse-Key: {password}"));
    assert_eq!(headers.send().status, 200);
    assert_eq!(curl().parameter("user", user).parameter("password", password).send().status, 200);
    for (user, password) in [("default", ""), (user, ""), (user, "wrong"), ("nosuch", password), ("", "")] {
        let reply = curl().parameter("user", user).parameter("password", password).send();
        assert_eq!((reply.status, reply.code()), (403, 516), "{user}");
        assert!(!reply.text().contains(gateway.owner.password.expose()));
    }
    assert_eq!(curl().send().code(), 516);
}

#[test]
fn data_follows_the_statement_in_url_or_body() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE inserts (a UInt32, s String) ENGINE = MergeTree ORDER BY a");
    let insert = |query: &str, body: &str| {
        let reply = gateway.owner().parameter("query", query).body(body).send();
        assert_eq!(reply.status, 200, "{query} {body}: {}", reply.text());
    };
    insert("INSERT INTO inserts FORMAT TSV", "1\ta\n2\tb\n");
    insert("INSERT INTO inserts (s, a) VALUES", "('c', 3), ('d', 2 + 2)");
    insert("INSERT INTO inserts VALUES (5, 'e')", "");
    insert("", "INSERT INTO inserts FORMAT JSONEachRow {\"a\": 6, \"s\": \"f\"}");
    insert("", "INSERT INTO inserts SETTINGS max_threads = 1 FORMAT CSV\n7,g\n8,\"h;i\"\n");
    insert("INSERT INTO inserts SELECT number + 9, 'j' FROM", "numbers(2)");
    insert("INSERT INTO inserts FORMAT TSV", "");
    let rows = gateway.run("SELECT groupArray((a, s)) FROM (SELECT * FROM inserts ORDER BY a)");
    assert_eq!(rows, "[(1,'a'),(2,'b'),(3,'c'),(4,'d'),(5,'e'),(6,'f'),(7,'g'),(8,'h;i'),(9,'j'),(10,'j')]");
    let wrong = gateway.owner().parameter("query", "INSERT INTO inserts FORMAT TSV").body("x\ty\n").send();
    assert_eq!((wrong.status, wrong.code()), (400, 27), "{}", wrong.text());
    // Statement and binary data in one body, as some clients send it.
    let native = gateway.owner().body("SELECT * FROM inserts FORMAT Native").send().body;
    let body = [b"INSERT INTO inserts FORMAT Native\n".as_slice(), &native].concat();
    assert_eq!(gateway.owner().header("Transfer-Encoding: chunked").body(body).send().status, 200);
    assert_eq!(gateway.run("SELECT count() FROM inserts"), "20");
}

#[test]
fn a_large_insert_and_a_large_result_are_streamed() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE large (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
    let rows = "SELECT number AS a, hex(sipHash128(number)) AS s FROM numbers(2000000)";
    let body = gateway.owner().body(format!("{rows} FORMAT RowBinary")).send().body;
    assert_eq!(body.len(), 2_000_000 * (8 + 1 + 32));
    let reply = gateway.owner().parameter("query", "INSERT INTO large FORMAT RowBinary").body(body).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let digest = |table: &str| gateway.run(&format!("SELECT count(), sum(cityHash64(a, s)) FROM {table}"));
    assert_eq!(digest("large"), digest(&format!("({rows})")));
}

#[test]
fn a_result_in_pieces_is_one_document_in_every_format() {
    let Some(gateway) = gateway() else { return };
    let formats = [
        "TSV",
        "TabSeparatedRaw",
        "TSVWithNames",
        "TSVWithNamesAndTypes",
        "CSV",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "JSON",
        "JSONCompact",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSONCompactEachRowWithNamesAndTypes",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "TSKV",
        "Values",
        "XML",
        "MsgPack",
    ];
    let sql = "SELECT number AS `a\nb`, toString(number) || '\"\n' AS s FROM numbers(200000)";
    for format in formats {
        let ask = |whole: &str| {
            let reply = gateway.owner().parameter("default_format", format).parameter("wait_end_of_query", whole);
            let reply = reply.body(sql).send();
            assert_eq!((reply.status, reply.exit), (200, 0), "{format}");
            reply.body
        };
        let without_times = |body: Vec<u8>| {
            let text = String::from_utf8_lossy(&body).into_owned();
            text.lines().filter(|line| !line.contains("elapsed") && !line.contains("_read")).collect::<String>()
        };
        assert!(without_times(ask("0")) == without_times(ask("1")), "{format}");
    }
    // Native holds blocks, which may be cut differently.
    let count = "SELECT count(), sum(cityHash64(*)) FROM";
    let native = gateway.owner().parameter("default_format", "Native").body(sql).send().body;
    gateway.run("CREATE TABLE pieces (n UInt64, s String) ENGINE = MergeTree ORDER BY n");
    let insert = gateway
        .owner()
        .parameter("query", "INSERT INTO pieces SETTINGS input_format_native_allow_types_conversion = 1 FORMAT Native");
    let renamed = gateway.owner().body(sql.replace("`a\nb`", "n") + " FORMAT Native").send().body;
    assert!(native.len() > renamed.len());
    assert_eq!(insert.body(renamed).send().status, 200);
    assert_eq!(gateway.run(&format!("{count} pieces")), gateway.run(&format!("{count} ({sql})")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_may_be_encoded_both_ways() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE encoded (a String) ENGINE = MergeTree ORDER BY a");
    let text = b"INSERT INTO encoded FORMAT TSV\nx\ny\n";
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(text).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    let bodies = [
        ("gzip", encoded!(GzipEncoder)),
        ("deflate", encoded!(ZlibEncoder)),
        ("br", encoded!(BrotliEncoder)),
        ("zstd", encoded!(ZstdEncoder)),
        ("lz4", encoded!(Lz4Encoder)),
    ];
    for (encoding, body) in &bodies {
        let reply = gateway.owner().header(&format!("Content-Encoding: {encoding}")).body(body.clone()).send();
        assert_eq!(reply.status, 200, "{encoding}: {}", reply.text());
        let cut = gateway.owner().header(&format!("Content-Encoding: {encoding}")).body(&body[..body.len() / 2]).send();
        assert_ne!(cut.status, 200, "{encoding}");
    }
    assert_eq!(gateway.run("SELECT count() FROM encoded"), "10");
    let unknown = gateway.owner().header("Content-Encoding: snappy").body("x").send();
    assert_eq!(unknown.code(), 48, "{}", unknown.text());
    let sql = "SELECT number FROM numbers(100000)";
    let plain = gateway.run(sql);
    for encoding in ["gzip", "deflate"] {
        let accept = format!("Accept-Encoding: {encoding}");
        let reply = gateway.owner().argument("--compressed").header(&accept).body(sql).send();
        assert_eq!(reply.header("content-encoding"), Some(encoding));
        assert_eq!(reply.text().trim_end(), plain, "{encoding}");
    }
    let off =
        gateway.owner().header("Accept-Encoding: gzip").parameter("enable_http_compression", "0").body(sql).send();
    assert_eq!((off.header("content-encoding"), off.text().trim_end()), (None, plain.as_str()));
}

#[test]
fn clickhouses_own_blocks_are_read_and_written() {
    let Some(gateway) = gateway() else { return };
    gateway.run("CREATE TABLE blocks (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
    let rows = "SELECT number AS a, repeat('x', number % 100) AS s FROM numbers(300000)";
    let blocks = gateway.owner().parameter("compress", "1").body(format!("{rows} FORMAT Native")).send().body;
    let plain = gateway.owner().body(format!("{rows} FORMAT Native")).send().body;
    assert!(blocks.len() < plain.len() / 2, "{} of {}", blocks.len(), plain.len());
    let insert = gateway.owner().parameter("decompress", "1").parameter("query", "INSERT INTO blocks FORMAT Native");
    let reply = insert.body(blocks).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let digest = |table: &str| gateway.run(&format!("SELECT count(), sum(cityHash64(a, s)) FROM {table}"));
    assert_eq!(digest("blocks"), digest(&format!("({rows})")));
}

#[test]
fn a_statement_over_the_limit_is_refused() {
    let Some(gateway) = gateway() else { return };
    let sql = format!("SELECT '{}'", "x".repeat(2 << 20));
    let reply = gateway.owner().body(sql).send();
    assert_eq!((reply.status, reply.code()), (413, 229), "{}", reply.text());
    // The data of an insert does not count.
    gateway.run("CREATE TABLE long_text (a String) ENGINE = MergeTree ORDER BY a");
    let values = format!("INSERT INTO long_text VALUES ('{}')", "x".repeat(2 << 20));
    let reply = gateway.owner().body(values).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// How many statements with `marker` run.
fn running(gateway: &Gateway, marker: &str) -> usize {
    let sql =
        format!("SELECT count() FROM system.processes WHERE query LIKE '%{marker}%' AND query NOT LIKE '%processes%'");
    gateway.run(&sql).parse().unwrap()
}

fn end(mut requests: Vec<Child>) {
    for request in &mut requests {
        request.kill().unwrap();
        request.wait().unwrap();
    }
}

#[test]
fn several_statements_run_at_once_and_a_client_that_goes_away_stops_its_own() {
    let Some(gateway) = gateway() else { return };
    // One has sent rows when it is stopped, one has not sent anything, one has no rows to send until its end.
    let slow = |marker: &str| {
        [
            format!("SELECT '{marker}', sleepEachRow(0.01) FROM numbers(100000) SETTINGS max_block_size = 10"),
            format!("SELECT '{marker}', sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1"),
            format!("SELECT '{marker}', sum(cityHash64(number)) FROM numbers(1000000000000)"),
        ]
    };
    for wait in ["0", "1"] {
        let marker = format!("marker-{wait}");
        let requests = slow(&marker).map(|sql| gateway.owner().parameter("wait_end_of_query", wait).body(sql).start());
        wait_until("three statements at once", || running(gateway, &marker) == 3);
        end(requests.into());
        wait_until("the statements to stop", || running(gateway, &marker) == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_a_slot_is_refused_and_the_others_go_on() {
    let Some(library) = library() else { return };
    let data = scratch("slots");
    let child = hearken::store::child::ClickHouseChild::open(options(&data, &library)).await.unwrap();
    let gateway = Gateway::of(&child);
    let slow = "SELECT 'slot', sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1";
    let mut requests: Vec<Child> = (0..15).map(|_| gateway.owner().body(slow).start()).collect();
    wait_until("fifteen statements", || running(&gateway, "slot") == 15);
    requests.push(gateway.owner().body(slow).start());
    // The sixteenth takes the last slot; this one finds none.
    let refused = loop {
        let reply = gateway.owner().body("SELECT 1").send();
        if reply.status != 200 {
            break reply;
        }
    };
    assert_eq!((refused.status, refused.code()), (500, 202), "{}", refused.text());
    end(requests);
    wait_until("a free slot", || gateway.owner().body("SELECT 1").send().status == 200);
    child.stop().await;
}
