//! The dashboards for Grafana: every query answers, says what the views say, and names metrics that are documented.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A file of this repository.
fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&file(&format!("deploy/grafana/{name}.json"))).unwrap()
}

/// Title and target of every panel.
fn targets(dashboard: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            found.push((panel["title"].as_str().unwrap(), target));
        }
    }
    found
}

/// Everything that the demo hears, in a store of its own.
struct Demo {
    dir: tempfile::TempDir,
}

impl Demo {
    fn run() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_hearken"));
        demo.args(["demo", "--exit", "--offline", "--dir"]).arg(dir.path());
        let output = demo.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "hearken demo: {}", String::from_utf8_lossy(&output.stderr));
        Self { dir }
    }

    /// The lines of the answer, tab-separated.
    fn sql(&self, sql: &str) -> Vec<String> {
        let mut hearken = Command::new(env!("CARGO_BIN_EXE_hearken"));
        hearken.arg("--config").arg(self.dir.path().join("hearken.toml")).args(["sql", sql]);
        let output = hearken.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// What Grafana and its ClickHouse data source put into a query before it is sent: the macros, and variables in the
/// format `sqlstring`.
struct Grafana {
    from: i64,
    to: i64,
    variables: Vec<(String, Vec<String>)>,
}

impl Grafana {
    fn fill(&self, sql: &str) -> String {
        let (from, to) = (format!("toDateTime({})", self.from), format!("toDateTime({})", self.to));
        let mut sql = sql.to_owned();
        for (name, values) in &self.variables {
            let list: Vec<_> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
            sql = sql.replace(&format!("${{{name}:sqlstring}}"), &list.join(","));
        }
        sql = replace_calls(&sql, "$__timeFilter(", |column| format!("{column} >= {from} AND {column} <= {to}"));
        sql = replace_calls(&sql, "$__timeInterval(", |column| {
            format!("toStartOfInterval(toDateTime({column}), INTERVAL 3600 second)")
        });
        sql = sql.replace("$__fromTime", &from).replace("$__toTime", &to);
        assert!(!sql.contains('$'), "this test does not know what Grafana makes of {sql}");
        sql
    }
}

/// Replaces each `NAME(argument)`; `name` ends with the parenthesis.
fn replace_calls(sql: &str, name: &str, meaning: impl Fn(&str) -> String) -> String {
    let mut parts = sql.split(name);
    let mut replaced = parts.next().unwrap().to_owned();
    for part in parts {
        let (argument, rest) = part.split_once(')').unwrap();
        replaced += &meaning(argument);
        replaced += rest;
    }
    replaced
}

#[test]
fn every_query_of_the_brand_dashboard_answers_and_agrees_with_the_views() {
    let Some(()) = support::libchdb() else { return };
    let demo = Demo::run();
    let brand = dashboard("brand");
    let variables = brand["templating"]["list"].as_array().unwrap().iter();
    let variables = variables
        .filter(|variable| variable["type"] == "query")
        .map(|variable| (variable["name"].as_str().unwrap().to_owned(), demo.sql(variable["query"].as_str().unwrap())));
    let now = Timestamp::now();
    let month = SignedDuration::from_hours(24 * 40);
    let grafana =
        Grafana { from: (now - month).as_second(), to: (now + month).as_second(), variables: variables.collect() };
    for (title, target) in targets(&brand) {
        let answer = demo.sql(&grafana.fill(target["rawSql"].as_str().unwrap()));
        // The demo misses nothing.
        assert!(!answer.is_empty() || title == "Coverage gaps", "{title} is empty");
        let view = match title {
            "Net sentiment" => {
                "SELECT brand, mentions, net_sentiment, net_sentiment_low, net_sentiment_high, neutral_share, \
                 unsure_share FROM net_sentiment ORDER BY mentions DESC, brand"
            }
            "Share of voice" => "SELECT brand, share_of_voice FROM share_of_voice ORDER BY share_of_voice DESC, brand",
            _ => continue,
        };
        assert_eq!(answer, demo.sql(view), "{title} over all time is not what the view says");
    }
    for annotation in brand["annotations"]["list"].as_array().unwrap() {
        demo.sql(&grafana.fill(annotation["target"]["rawSql"].as_str().unwrap()));
    }
}

/// Names of metrics in a text, without the suffixes of a histogram's series.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("hearken_") || word.starts_with("process_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn the_daemon_dashboard_shows_the_documented_metrics() {
    let daemon = dashboard("daemon");
    let shown = targets(&daemon).into_iter().flat_map(|(_, target)| metrics(target["expr"].as_str().unwrap()));
    let operations = file("docs/operations.md");
    let rows = operations.lines().filter(|line| line.starts_with("| `hearken_") || line.starts_with("| `process_"));
    // The second tier is no part of the daemon.
    let rows = rows.filter(|row| !row.starts_with("| `hearken_bert_"));
    let documented = rows.flat_map(|row| metrics(row.split('|').nth(1).unwrap()));
    assert_eq!(shown.collect::<BTreeSet<_>>(), documented.collect::<BTreeSet<_>>());
}
