//! Python's `clickhouse-connect`, which most analysts use.

use std::process::Command;

use crate::{gateway, support};

#[test]
fn clickhouse_connect_reads_and_writes() {
    let Some(gateway) = gateway() else { return };
    let python = support::hearken_home().join("python/bin/python");
    let has_client = Command::new(&python).args(["-c", "import clickhouse_connect"]).output();
    let found = has_client.ok().filter(|output| output.status.success()).map(|_| python);
    let how = "run `script/bootstrap --test`";
    let Some(python) = support::require("Python's clickhouse-connect", found, how) else { return };
    let (owner, reader) = (&gateway.owner, &gateway.reader);
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/clickhouse_connect_client.py"))
        .env("PORT", gateway.url.rsplit(':').next().unwrap())
        .env("OWNER", &owner.user)
        .env("OWNER_PASSWORD", owner.password.expose())
        .env("READER", &reader.user)
        .env("READER_PASSWORD", reader.password.expose())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), "done");
}
