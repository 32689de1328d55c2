//! The configuration: what is accepted, what is refused, and what a person is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::time::Duration;

use hearken::config::{Account, Config, ConfigError, Environment, LogKind, Place, Source, Store};
use hearken::query::Matcher;
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{BuildError, http, registry};
use proptest::prelude::*;

const MINIMAL: &str = r#"
[[brand]]
name = "Acme"
names = ["Acme"]

[source.news]
channel = "feed"
urls = ["https://news.example/rss"]
"#;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let home = [("HOME", "/home/ann")];
    home.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_in(text, &[])
}

fn parse_in(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, "hearken.toml", &environment(variables))
}

/// What a person sees of a wrong configuration.
fn complaint(text: &str) -> String {
    parse(text).expect_err("the configuration is wrong").to_string()
}

#[test]
fn a_minimal_configuration_runs_on_the_embedded_profile() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.data_dir, Path::new("/home/ann/.local/share/hearken"));
    assert_eq!(config.log.kind, LogKind::Embedded);
    assert_eq!(config.log.retention, Duration::from_secs(30 * 24 * 3600));
    assert!(matches!(config.store, Store::Embedded { listen, .. } if listen.ip().is_loopback()));
    assert_eq!(config.brands[0].query.query, "\"Acme\"");
    assert_eq!(config.sources[0].channel, "feed");
    assert_eq!(config.sources[0].settings.keys().collect::<Vec<_>>(), ["urls"]);
}

#[test]
fn everything_that_can_be_set() {
    let text = r##"
        data_dir = "/var/lib/hearken"
        [log]
        kind = "kafka"
        partitions = 12
        retention = "2w"
        retention_bytes = "20GiB"
        brokers = "a:9092,b:9092"
        replication = 3
        tls = true
        ca_file = "/etc/hearken/kafka-ca.pem"
        mechanism = "SCRAM-SHA-512"
        username = "hearken"
        password = "env:KAFKA_PASSWORD"
        [store]
        kind = "clickhouse"
        url = "https://clickhouse.example:8443"
        user = "hearken"
        password = "env:CLICKHOUSE_PASSWORD"
        database = "social"
        [score]
        model = "/etc/hearken/own.model"
        [[brand]]
        name = "Acme"
        query = 'acme NEXT OR "acme next"'
        names = ["Acme Corp", "The \"Acme\""]
        handles = ["@acme", "acmehelp"]
        hashtags = ["#acme"]
        exclude = ["acme publishing"]
        competitors = ["Globex"]
        accounts = ["mastodon:@acme@example.social"]
        must_match = ["I love Acme Corp"]
        must_not_match = ["The acme of skill"]
        [[brand]]
        name = "Globex"
        handles = ["globex"]
        [source.town]
        channel = "mastodon"
        [source.town.auth]
        token = "env:TOWN_TOKEN"
    "##;
    let config = parse_in(text, &[("KAFKA_PASSWORD", "k-secret"), ("CLICKHOUSE_PASSWORD", "c-secret")]).unwrap();
    let LogKind::Kafka(kafka) = &config.log.kind else { panic!("{:?}", config.log) };
    assert_eq!((kafka.brokers.as_str(), kafka.replication, kafka.tls), ("a:9092,b:9092", 3, true));
    assert_eq!(kafka.ca_file.as_deref(), Some(Path::new("/etc/hearken/kafka-ca.pem")));
    let login = kafka.login.as_ref().unwrap();
    assert_eq!((login.mechanism, login.password.expose()), ("SCRAM-SHA-512", "k-secret"));
    assert_eq!((config.log.partitions, config.log.retention_bytes), (12, Some(20 << 30)));
    let Store::ClickHouse { password: Some(password), .. } = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(password.expose(), "c-secret");
    let acme = &config.brands[0];
    assert_eq!(
        acme.query.query,
        r#"((acme NEXT OR "acme next") OR "Acme Corp" OR "The \"Acme\"" OR @acme OR @acmehelp OR #acme) NOT "acme publishing""#
    );
    assert_eq!(acme.accounts, [Account { channel: "mastodon".to_owned(), handle: "acme@example.social".to_owned() }]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("k-secret") && !shown.contains("c-secret"), "{shown}");
    let queries: Vec<_> = config.brands.iter().map(|brand| brand.query.clone()).collect();
    assert!(Matcher::compile(&queries).is_ok());
}

#[test]
fn weights_of_influence_are_numbers_of_which_some_count() {
    let weights =
        |text: &str| parse(&format!("{MINIMAL}\n[authors.weights]\n{text}")).map(|config| config.authors.rules);
    let rules = weights("reach = 1\nauthority = 0.5").unwrap();
    assert_eq!((rules.weights.reach, rules.weights.authority, rules.weights.activity), (1.0, 0.5, 0.1));
    let refused = |text: &str| weights(text).unwrap_err().to_string();
    assert!(refused("reach = 1.5").contains("expected a number from 0 to 1, found 1.5"));
    assert!(refused("reach = nan").contains("expected a number from 0 to 1"));
    assert!(refused("reach = \"much\"").contains("expected a number, found a text"));
    let nothing = refused("reach = 0\nresonance = 0\nauthority = 0\nactivity = 0");
    assert!(nothing.contains("has to be above 0"), "{nothing}");
    let section = |text: &str| complaint(&format!("{MINIMAL}\n[authors]\n{text}"));
    assert!(section("every = \"0s\"").contains("expected a second or more"));
    assert!(section("half_life = \"1h\"").contains("expected a day or more"));
}

#[test]
fn the_data_goes_where_the_system_says() {
    let dir = |variables: &[(&str, &str)]| parse_in("", variables).unwrap().data_dir;
    assert_eq!(dir(&[("STATE_DIRECTORY", "/var/lib/hearken:/var/lib/other")]), Path::new("/var/lib/hearken"));
    assert_eq!(dir(&[("XDG_DATA_HOME", "/data")]), Path::new("/data/hearken"));
    assert_eq!(dir(&[("XDG_DATA_HOME", "relative")]), Path::new("/home/ann/.local/share/hearken"));
    assert_eq!(dir(&[("HEARKEN_DATA_DIR", "/mnt/data")]), Path::new("/mnt/data"));
    let nowhere = Config::parse("", "hearken.toml", &Environment::default()).unwrap_err();
    insta::assert_snapshot!(nowhere);
}

#[test]
fn the_environment_replaces_settings() {
    let variables = [
        ("HEARKEN_LOG__PARTITIONS", "8"),
        ("HEARKEN_STORE__KIND", "clickhouse"),
        ("HEARKEN_STORE__URL", "http://clickhouse:8123"),
        ("HEARKEN_STORE__USER", "12345"),
        ("HEARKEN_SOURCE__NEWS__URLS", r#"["https://a.example", "https://b.example"]"#),
        ("HEARKEN_SOURCE__NEWS__POLL", "5m"),
        ("HEARKEN_TEST_DATA", "not a setting"),
    ];
    let config = parse_in(MINIMAL, &variables).unwrap();
    assert_eq!(config.log.partitions, 8);
    let Store::ClickHouse { url, user, .. } = &config.store else { panic!("{:?}", config.store) };
    assert_eq!((url.as_str(), user.as_str()), ("http://clickhouse:8123", "12345"));
    assert_eq!(config.sources[0].settings["urls"].as_array().unwrap().len(), 2);
    assert_eq!(config.sources[0].settings["poll"].as_str(), Some("5m"));
}

#[test]
fn a_wrong_variable_is_named() {
    let variables = [
        ("HEARKEN_LOG__PARTITIONS", "many"),
        ("HEARKEN_LOG__RETENTION", "for ever"),
        ("HEARKEN_STORE__URLL", "http://clickhouse:8123"),
        ("HEARKEN_BRAND__NAME", "Acme"),
        ("HEARKEN_STORE", "is no setting and left alone"),
        ("HEARKEN_SCORE__MODEL__PATH", "x"),
    ];
    insta::assert_snapshot!(parse_in(MINIMAL, &variables).unwrap_err());
}

#[test]
fn every_problem_is_told_at_once() {
    insta::assert_snapshot!(complaint(
        r#"
data_dirr = "/var/lib/hearken"

[log]
kind = "embeded"
partitions = "four"
retention = "30 parsecs"
retention_bytes = 5

[store]
url = "http://clickhouse:8123"
listen = "0.0.0.0:8123"
database = "my-database"

[[brand]]
name = "Acme"
query = 'acme OR ("acme corp"'
competitors = ["Globx", "Acme"]
accounts = ["acme"]

[[brand]]
name = "Globex"
exclude = ["jobs"]

[[brand]]
name = "GLOBEX"
names = ["Globex", "&", 5]
handles = ["glob ex"]

[[brand]]
names = ["nameless"]

[source.news]
urls = ["https://news.example/rss"]

[source."two words"]
channel = "feed"
"#
    ));
}

#[test]
fn the_cluster_profile_says_what_it_needs() {
    insta::assert_snapshot!(complaint(
        r#"
[log]
kind = "kafka"
replication = 0
tls = "yes"
username = "hearken"

[store]
kind = "clickhouse"
url = "clickhouse:8123"
password = "env:CLICKHOUSE_PASSWORD"
library = "/usr/lib/libchdb.so"
"#
    ));
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(complaint("[log]\nkind = embedded\n\n[store\nkind = \"embedded\"\n"));
    insta::assert_snapshot!(complaint("[log]\npartitions = 4\npartitions = 5\n"));
}

#[test]
fn a_query_error_points_into_the_query() {
    insta::assert_snapshot!(complaint("[[brand]]\nname = \"Acme\"\nquery = \"acme and \\\"corp\\\"\"\n"));
    insta::assert_snapshot!(complaint("[[brand]]\nname = \"Acmé\"\nquery = 'acmé AND () corp'\n"));
    insta::assert_snapshot!(complaint("[[brand]]\nname = \"Acme\"\nquery = \"\"\"\nacme\n  AND (corp\n\"\"\"\n"));
}

#[test]
fn secrets_are_never_shown() {
    for text in [
        "[store]\nkind = \"clickhouse\"\nurl = \"http://a\"\npassword = \"hunter2\"\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"http://a\"\npassword = [\"hunter2\"]\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"http://me:hunter2@a\"\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"http://a\"\npasword = \"hunter2\"\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"http://a\"\npassword = hunter2\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"http://a\"\npassword = \"hunter2\n",
        "store = { kind = \"clickhous\", url = \"http://a\", password = \"hunter2\" }\n",
        "store = \"hunter2\"\n",
    ] {
        let complaint = complaint(text);
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
    let variables = [("HEARKEN_STORE__KIND", "clickhouse"), ("HEARKEN_STORE__PASSWORD", "hunter2")];
    let complaint = parse_in("[store]\nurl = \"http://a\"", &variables).unwrap_err().to_string();
    assert!(complaint.contains("HEARKEN_STORE__PASSWORD") && !complaint.contains("hunter2"), "{complaint}");
    assert!(!format!("{:?}", environment(&variables)).contains("hunter2"));
}

#[test]
fn a_connectors_complaint_is_put_where_the_setting_is() {
    let text = "[source.export]\nchannel = \"file\"\npath = \"export.csv\"\n[source.export.fields]\ntext = \"body\"\n";
    let config = parse(text).unwrap();
    let complain = |path: &str| {
        let error = BuildError::Setting { path: path.to_owned(), reason: "that is wrong".to_owned() };
        config.sources[0].problem(&error)
    };
    let line = |path: &str| match complain(path).place {
        Place::Text { line, .. } => line,
        place => panic!("{place:?}"),
    };
    assert_eq!(line("path"), 3);
    assert_eq!(line("fields.text"), 5);
    assert_eq!(line("fields.author"), 4, "a setting that is not there is missed in its table");
    assert_eq!(line("glob"), 1);
    assert_eq!(line(""), 1);
    assert_eq!(complain("fields.text").key, "source.export.fields.text");

    let unknown = BuildError::UnknownChannel {
        name: "file".to_owned(),
        suggestion: Some("feed".to_owned()),
        known: vec!["feed".to_owned(), "mastodon".to_owned()],
    };
    insta::assert_snapshot!(config.check_sources(|_| Err(unknown.clone())).unwrap_err());
    assert_eq!(config.check_sources(|_| Ok(())), Ok(()));
}

#[test]
fn examples_of_a_brand_are_checked() {
    let text = r#"
[[brand]]
name = "Acme"
query = "acme NOT publishing"
must_match = ["I love Acme", "I love Acne"]
must_not_match = ["Acme Publishing", "the acme of skill"]
"#;
    let config = parse(text).unwrap();
    let matcher = Matcher::compile(&config.queries()).unwrap();
    insta::assert_snapshot!(config.check_examples(&matcher).unwrap_err());
}

#[test]
fn a_file_that_cannot_be_read() {
    let error = Config::load(Path::new("/no/such/hearken.toml"), &environment(&[])).unwrap_err();
    assert!(error.to_string().contains("/no/such/hearken.toml"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hearken.toml");
    std::fs::write(&path, b"data_dir = \"\xff\"").unwrap();
    assert!(Config::load(&path, &environment(&[])).is_err());
    std::fs::write(&path, MINIMAL).unwrap();
    assert_eq!(Config::load(&path, &environment(&[])).unwrap().brands.len(), 1);
}

#[test]
fn shipped_configurations_are_right() {
    let files = support::shipped_configurations();
    assert!(files.iter().any(|path| path.ends_with("config/hearken.toml")), "{files:?}");
    // Sources take their secrets from the environment of the process, which a test must not change.
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "123456:ABC-DEF").unwrap();
    let token = format!("file:{}", token.path().display());
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let secret = format!("file:{}", secret.path().display());
    for path in files {
        let mut variables = vec![("KAFKA_PASSWORD", "x"), ("CLICKHOUSE_PASSWORD", "x")];
        let text = std::fs::read_to_string(&path).unwrap();
        for (section, variable, value) in [
            ("[source.care]", "HEARKEN_SOURCE__CARE__PASSWORD", &token),
            ("[source.forum]\nchannel = \"webhook\"", "HEARKEN_SOURCE__FORUM__SECRET", &secret),
            ("[source.matrix]", "HEARKEN_SOURCE__MATRIX__TOKEN", &token),
            ("[source.telegram]", "HEARKEN_SOURCE__TELEGRAM__TOKEN", &token),
        ] {
            variables.extend(text.contains(section).then_some((variable, value.as_str())));
        }
        let config = Config::load(&path, &environment(&variables)).unwrap_or_else(|error| panic!("{error}"));
        let matcher = Matcher::compile(&config.queries()).unwrap();
        config.check_examples(&matcher).unwrap_or_else(|error| panic!("{error}"));
        config.check_sources(build).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn build(source: &Source) -> Result<(), BuildError> {
    let http = http::Client::new(http::Settings::default()).unwrap();
    let context = registry::Context { source: &source.name, http: &http, hooks: &Hooks::default(), cursor: None };
    (registry::channel(&source.channel)?.build)(source.settings.clone(), context).map(drop)
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.problems.is_empty() && !error.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_configuration_never_panics(
        at in 0.0..1.0, cut in 0_usize..40, insert in "[\\[\\]\"'=.#{}\n a-z0-9ß🙂\\\\]{0,8}", file in 0_usize..2
    ) {
        let path = ["config/hearken.toml", "config/cluster.toml"][file];
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let mut chars: Vec<char> = text.chars().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let start = (chars.len() as f64 * at) as usize;
        let end = (start + cut).min(chars.len());
        chars.splice(start..end, insert.chars());
        let text: String = chars.into_iter().collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn arbitrary_values_never_panic(
        section in "log|store|score|brand|source|source\\.x|data_dir",
        key in "kind|partitions|retention|url|password|names|query|channel|name",
        value in r#"-?[0-9]{1,30}|"[^"\\\n]{0,12}"|\[[0-9, ]{0,6}\]|\{\}|true|1979-05-27|nan|0x[a-f]{1,20}"#,
        variable in any::<String>(),
    ) {
        let variables = [(format!("HEARKEN_{}__{}", section, key).to_uppercase(), variable)];
        let environment: Environment = variables.into_iter().collect();
        for text in [format!("[{section}]\n{key} = {value}"), format!("[[{section}]]\n{key} = {value}"), format!("{section} = {value}")] {
            if let Err(error) = Config::parse(&text, "x", &environment) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
