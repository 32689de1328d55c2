//! The OpenAPI document: kept, true, and held against a running daemon by Schemathesis.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clickhouse::id;
use crate::server::server;
use crate::support;

#[test]
fn the_document_changes_only_on_purpose() {
    let mut document = serde_json::to_value(hearken::api::document()).unwrap();
    document["info"]["version"] = "this release".into();
    insta::assert_json_snapshot!("openapi", document);
}

#[test]
fn everything_in_the_document_is_described() {
    let document = serde_json::to_value(hearken::api::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{path}: {} has no description", parameter["name"]);
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (member, described) in schema["properties"].as_object().into_iter().flatten() {
            let has_words = described["description"].is_string() || described.get("oneOf").is_some();
            assert!(has_words || described.get("$ref").is_some(), "{name}.{member} has no description");
        }
    }
}

#[tokio::test]
async fn the_document_names_the_parameters_that_are_read() {
    let Some(server) = server("api_contract").await else { return };
    let document = server.get("/api/v1/openapi.json", "").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let documented: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let url = format!(
                "{}?0=",
                path.replace("{id}", &id(1).to_string()).replace("{channel}", "feed").replace("{author}", "a1")
            );
            let answer = server.request(&method.to_uppercase(), &url, "").send().await.unwrap();
            let (status, problem) = crate::server::read(answer).await;
            assert_eq!(status.as_u16(), 400, "{method} {path}: {problem}");
            let unknown = problem["parameters"].as_array().unwrap().iter().find(|bad| bad["name"] == "0").unwrap();
            let read: BTreeSet<&str> = unknown["detail"].as_str().unwrap().split('`').skip(1).step_by(2).collect();
            assert_eq!(read, documented, "{method} {path}");
        }
    }
}

/// A process that is killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn schemathesis_finds_nothing_wrong_with_a_daemon_that_heard_the_demo() {
    if support::libchdb().is_none() {
        return;
    }
    let program = support::hearken_home().join("python/bin/schemathesis");
    let found = program.is_file().then_some(program);
    let Some(schemathesis) = support::require("Schemathesis", found, "run `script/bootstrap --test`") else { return };

    let dir = tempfile::tempdir().unwrap();
    let hearken = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearken"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let path = dir.path().to_str().unwrap();
    assert!(hearken(&["demo", "--offline", "--exit", "--dir", path]).status().unwrap().success());
    let config = dir.path().join("hearken.toml");
    let config = config.to_str().unwrap();
    let made = hearken(&["--config", config, "token", "create", "tester", "--role", "admin"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let token = String::from_utf8(made.stdout).unwrap();
    let address = format!("127.0.0.1:{}", support::free_port());
    let log = std::fs::File::create(dir.path().join("daemon.log")).unwrap();
    let mut daemon = hearken(&["--config", config, "run"]);
    let _daemon = Daemon(daemon.env("HEARKEN_SERVE__LISTEN", &address).stderr(log).spawn().unwrap());
    wait_until_ready(&address);

    let output = Command::new(schemathesis)
        .current_dir(dir.path())
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["run", &format!("http://{address}/api/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        // A stream that never ends; it has tests of its own.
        .args(["--exclude-path", "/api/v1/mentions/live"])
        .args(["--max-examples", "10", "--generation-deterministic"])
        .args(["--rate-limit", "20/s", "--request-timeout", "30", "--no-color"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn wait_until_ready(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        let answer = Command::new("curl").args(["--silent", "--fail", &format!("http://{address}/readyz")]).output();
        if answer.is_ok_and(|answer| serde_json::from_slice::<Value>(&answer.stdout).is_ok()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the daemon is not ready at {address}");
}

#[tokio::test]
async fn the_guides_examples_work() {
    let Some(server) = server("api_guide").await else { return };
    let row = |number| hearken::store::rows::MentionRow {
        brand: "Acme",
        ..crate::clickhouse::mention("Acme", number, "my Acme kettle broke")
    };
    server.store.insert_mentions(&[row(1), row(2)]).await.unwrap();
    hearken::authors::refresh(&server.store, &Default::default()).await.unwrap();
    let token = server.token(hearken::api::Role::Admin, &[]).await;
    let cursor = server.get("/api/v1/mentions?limit=1", &token).await["next"].as_str().unwrap().to_owned();
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().replace("\\\n", " "));
    let examples: Vec<String> = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut run = 0;
    for example in examples.iter().filter(|line| line.starts_with("curl")) {
        let is_live = example.contains("/live");
        let options = if is_live { "curl --silent --fail --max-time 2 " } else { "curl --silent --fail " };
        let line = example.replacen("curl ", options, 1);
        let environment = [
            ("HEARKEN", server.url("")),
            ("TOKEN", token.clone()),
            ("CURSOR", cursor.clone()),
            ("ID", id(1).to_string()),
        ];
        let shell = async { tokio::process::Command::new("sh").args(["-c", &line]).envs(environment).output().await };
        let output = shell.await.unwrap();
        // 28: curl's own time is up, which is how a feed is left.
        assert_eq!(output.status.code(), Some(if is_live { 28 } else { 0 }), "{example}");
        if !is_live {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(answer.is_object(), "{example}: {answer}");
        }
        run += 1;
    }
    assert!(run > 15, "the examples were not found");
}
