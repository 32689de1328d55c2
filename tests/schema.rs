//! The JSON Schema and the reference page say what the reader of the configuration does, no more and no less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hearken::config::{self, Config, Environment, Source};
use hearken_connectors::registry::{self, CHANNELS};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{BuildError, http};
use serde_json::{Value, json};

/// What the sections of a file need, in each of their kinds.
const NEEDED: [(&str, &str); 10] = [
    ("", ""),
    ("log", "kind = 'embedded'"),
    ("log", "kind = 'kafka'\nbrokers = 'kafka-1:9092'"),
    ("store", "kind = 'embedded'"),
    ("store", "kind = 'clickhouse'\nurl = 'http://clickhouse:8123'"),
    ("score", ""),
    ("authors", ""),
    ("authors.weights", ""),
    ("serve", ""),
    ("brand", "name = 'Acme'\nquery = 'acme'"),
];

fn read(text: &str) -> Result<Config, String> {
    let environment: Environment = [("HOME".to_owned(), "/home/ann".to_owned())].into_iter().collect();
    let config = Config::parse(text, "hearken.toml", &environment).map_err(|error| error.to_string())?;
    config.check_sources(build).map_err(|error| error.to_string())?;
    Ok(config)
}

fn build(source: &Source) -> Result<(), BuildError> {
    let http = http::Client::new(http::Settings::default()).unwrap();
    let context = registry::Context { source: &source.name, http: &http, cursor: None, hooks: &Hooks::default() };
    (registry::channel(&source.channel)?.build)(source.settings.clone(), context).map(drop)
}

/// A section as it is written, with these settings.
fn section(name: &str, settings: &str) -> String {
    match name {
        "" => format!("{settings}\n"),
        "brand" => format!("[[brand]]\n{settings}\n"),
        _ => format!("[{name}]\n{settings}\n"),
    }
}

/// The schema of a section.
fn described(schema: &Value, name: &str) -> Value {
    match name {
        "" => schema.clone(),
        "brand" => schema["properties"]["brand"]["items"].clone(),
        _ => name.split('.').fold(schema.clone(), |schema, name| schema["properties"][name].clone()),
    }
}

fn keys(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The keys of a table and of the tables within it, with dots.
fn dotted(schema: &Value, prefix: &str) -> BTreeSet<String> {
    let inner = |name: String| match dotted(&schema["properties"][&name], &format!("{prefix}{name}.")) {
        keys if keys.is_empty() => [format!("{prefix}{name}")].into(),
        keys => keys,
    };
    keys(schema).into_iter().flat_map(inner).collect()
}

/// The keys that a complaint about an unknown one lists.
fn listed(complaint: &str) -> BTreeSet<String> {
    let (_, list) = complaint.split_once("the keys are ").unwrap_or_else(|| panic!("no keys in: {complaint}"));
    list.lines().next().unwrap().replace('`', "").split(", ").map(str::to_owned).collect()
}

/// The first example of a source on this channel, with secrets that are there.
fn example(channel: &str, secret: &Path) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/examples/{channel}.toml"));
    let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let mut source = file["source"].as_table().unwrap().values().next().unwrap().as_table().unwrap().clone();
    for (_, value) in &mut source {
        if value.as_str().is_some_and(|text| text.starts_with("env:")) {
            *value = format!("file:{}", secret.display()).into();
        }
    }
    source
}

/// A file with nothing but this source.
fn with_source(source: toml::Table) -> String {
    let table = |name: &str, value: toml::Table| toml::Table::from_iter([(name.to_owned(), value.into())]);
    toml::to_string(&table("source", table("x", source))).unwrap()
}

fn secret(channel: &str) -> tempfile::NamedTempFile {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let value = if channel == "webhook" { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } else { "123456:ABC-DEF" };
    std::fs::write(secret.path(), value).unwrap();
    secret
}

/// What the validator says of each text: whether it fits the schema.
fn fit(texts: &[String]) -> Option<Vec<bool>> {
    const VALIDATE: &str = "import json, sys, jsonschema_rs\n\
        asked = json.load(sys.stdin)\n\
        jsonschema_rs.meta.validate(asked['schema'])\n\
        validator = jsonschema_rs.validator_for(asked['schema'])\n\
        print(json.dumps([validator.is_valid(file) for file in asked['files']]))";
    let python = support::hearken_home().join("python/bin/python");
    let found = Command::new(&python).args(["-c", "import jsonschema_rs"]).output().ok();
    let found = found.filter(|output| output.status.success()).map(|_| python);
    let python = support::require("a validator of JSON Schema", found, "run `script/bootstrap --test`")?;

    let files: Vec<Value> =
        texts.iter().map(|text| serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()).collect();
    let asked = json!({ "schema": config::schema(), "files": files });
    let mut command = Command::new(python);
    command.args(["-c", VALIDATE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let fit: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(fit.len(), texts.len());
    Some(fit)
}

#[test]
fn the_generated_files_are_those_of_this_version() {
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    for (path, made) in [("config/hearken.schema.json", schema), ("docs/reference.md", config::reference())] {
        let kept = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(kept == made, "{path} is not what the types say: run script/generate");
    }
}

#[test]
fn the_reader_knows_the_keys_of_the_schema_and_no_others() {
    let schema = config::schema();
    let sections: BTreeSet<&str> = NEEDED.iter().map(|(name, _)| *name).collect();
    for table in keys(&schema).iter().filter(|name| !["data_dir", "source"].contains(&name.as_str())) {
        assert!(sections.contains(table.as_str()), "NEEDED lacks [{table}]");
    }
    for (name, needed) in NEEDED {
        let section = section(name, &format!("{needed}\nzzqq = 1"));
        assert_eq!(listed(&read(&section).unwrap_err()), keys(&described(&schema, name)), "{section}");
    }
    for channel in CHANNELS {
        let schema = (channel.settings)().to_value();
        let unknown = |settings: &str| (channel.parse)(settings.parse().unwrap(), "x", b"").unwrap_err().to_string();
        assert_eq!(listed(&unknown("zzqq = 1")), keys(&schema), "{}", channel.name);
        for name in keys(&schema) {
            let table = &schema["properties"][&name];
            if !keys(table).is_empty() {
                let complaint = unknown(&format!("{name}.zzqq = 1"));
                assert_eq!(listed(&complaint), dotted(table, ""), "{} {name}", channel.name);
            }
        }
    }
}

/// Those of the connectors are read into the very types that the schema is made of.
#[test]
fn the_readers_defaults_are_those_of_the_schema() {
    let schema = config::schema();
    let mut compared = 0;
    for (name, needed) in NEEDED {
        let schema = described(&schema, name);
        let mut written: toml::Table = needed.parse().unwrap();
        let kind = written.get("kind").and_then(toml::Value::as_str).map(str::to_owned);
        let is_void = |key: &str| {
            let rules = schema["allOf"].as_array().into_iter().flatten();
            let elsewhere = |rule: &Value| rule["if"]["properties"]["kind"]["const"].as_str() != kind.as_deref();
            rules.into_iter().any(|rule| elsewhere(rule) && rule["else"]["properties"].get(key).is_some())
        };
        for key in keys(&schema).iter().filter(|key| !is_void(key)) {
            let default = schema["properties"][key].get("default");
            if let Some(default) = default.filter(|_| !written.contains_key(key)) {
                written.insert(key.clone(), toml::Value::try_from(default).unwrap());
                compared += 1;
            }
        }
        if let Some(default) = schema["properties"]["kind"].get("default") {
            assert_eq!(default, "embedded");
            assert_eq!(read(&section(name, "")).unwrap(), read(&section(name, "kind = 'embedded'")).unwrap());
        }
        let explicit = section(name, &toml::to_string(&written).unwrap());
        assert_eq!(read(&section(name, needed)).unwrap(), read(&explicit).unwrap(), "{explicit}");
    }
    assert!(compared >= 12, "only {compared} defaults");
}

#[test]
fn what_is_shipped_and_documented_fits_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for path in support::shipped_configurations() {
        let text = std::fs::read_to_string(&path).unwrap();
        if let Some(schema) = text.lines().next().unwrap().strip_prefix("#:schema ") {
            let found = path.parent().unwrap().join(schema).canonicalize().unwrap();
            assert_eq!(found, root.join("config/hearken.schema.json").canonicalize().unwrap());
        }
        texts.push((path.display().to_string(), text));
    }
    for page in ["README.md", "docs/queries.md", "docs/sources/imap.md"] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
        for block in blocks {
            // One page shows what differs from mailbox to mailbox, without the lines that are always the same.
            let start = if block.starts_with("host = ") { "[source.care]\nchannel = \"imap\"\n" } else { "" };
            texts.push((page.to_owned(), format!("{start}{block}")));
        }
    }
    assert!(texts.len() > 12, "{texts:?}");
    let (names, texts): (Vec<String>, Vec<String>) = texts.into_iter().unzip();
    let Some(fit) = fit(&texts) else { return };
    let unfit: Vec<&String> = names.iter().zip(fit).filter_map(|(name, fits)| (!fits).then_some(name)).collect();
    assert!(unfit.is_empty(), "{unfit:?}");
}

#[test]
fn what_is_wrong_is_refused_by_schema_and_reader_alike() {
    let schema = config::schema();
    let mut wrong: Vec<String> = Vec::new();
    for (name, needed) in NEEDED {
        let right = section(name, needed);
        assert!(read(&right).is_ok(), "{right}");
        wrong.push(format!("{right}zzqq = 1\n"));
        // No setting takes a list of lists.
        for key in keys(&described(&schema, name)) {
            let mut settings: toml::Table = needed.parse().unwrap();
            settings.insert(key, toml::Value::Array(vec![toml::Value::Array(vec![1.into()])]));
            wrong.push(section(name, &toml::to_string(&settings).unwrap()));
        }
    }
    for channel in CHANNELS {
        let secret = secret(channel.name);
        let right = example(channel.name, secret.path());
        assert!(read(&with_source(right.clone())).is_ok(), "{}", channel.name);
        let settings = (channel.settings)().to_value();
        for key in keys(&settings) {
            let mut with_list = right.clone();
            with_list.insert(key.clone(), toml::Value::Array(vec![toml::Value::Array(vec![1.into()])]));
            wrong.push(with_source(with_list));
        }
        for key in settings["required"].as_array().into_iter().flatten() {
            let mut without = right.clone();
            without.remove(key.as_str().unwrap());
            wrong.push(with_source(without));
        }
        let mut with_unknown = right;
        with_unknown.insert("zzqq".to_owned(), 1.into());
        wrong.push(with_source(with_unknown));
    }
    wrong.extend(
        [
            "[log]\nkind = 'kafka'",
            "[log]\nkind = 'redis'",
            "[log]\nbrokers = 'kafka-1:9092'",
            "[log]\npartitions = 0",
            "[log]\nkind = 'kafka'\nbrokers = 'a:9092'\nusername = 'hearken'",
            "[log]\nkind = 'kafka'\nbrokers = 'a:9092'\nusername = 'hearken'\npassword = 'hunter2'",
            "[store]\nkind = 'clickhouse'",
            "[store]\nkind = 'clickhouse'\nurl = 'http://a:8123'\npassword = 'hunter2'",
            "[store]\nkind = 'clickhouse'\nurl = 'http://a:8123'\nlibrary = '/usr/lib/libchdb.so'",
            "[store]\nuser = 'default'",
            "[store]\ndatabase = 'my-database'",
            "[[brand]]\nname = 'Acme'",
            "[[brand]]\nquery = 'acme'",
            "[source.x]\nurls = ['https://news.example/rss']",
            "[source.x]\nchannel = 'smoke'",
            "[source.'two words']\nchannel = 'feed'\nurls = ['https://news.example/rss']",
            "[source.x]\nchannel = 'file'\npath = 'a.csv'\nset.id = '5'",
            "[source.x]\nchannel = 'imap'\nhost = 'mail.example'\nuser = 'care'\npassword = 'hunter2'",
            "[source.x]\nchannel = 'imap'\nhost = 'mail.example'\nuser = 'care'",
            "[source.x]\nchannel = 'mastodon'\nserver = 'a.example'\ntimelines = ['public']\ntoken = 'hunter2'",
            "[source.x]\nchannel = 'matrix'\nserver = 'a.example'\nrooms = ['#a:a.example']\nuser = 'ann'",
            "[source.x]\nchannel = 'telegram'\ntoken = '123456:ABC-DEF'",
        ]
        .map(str::to_owned),
    );
    for text in &wrong {
        assert!(read(text).is_err(), "the reader takes\n{text}");
    }
    let Some(fit) = fit(&wrong) else { return };
    let taken: Vec<&String> = wrong.iter().zip(fit).filter_map(|(text, fits)| fits.then_some(text)).collect();
    assert!(taken.is_empty(), "the schema takes\n{}", taken.into_iter().cloned().collect::<Vec<_>>().join("\n"));
}
