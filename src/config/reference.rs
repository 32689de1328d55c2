//! The reference page of the configuration: the JSON Schema as Markdown.

use std::fmt::Write;

use hearken_connectors::registry::CHANNELS;
use serde_json::{Map, Value, json};

use super::schema::schema;

const INTRODUCTION: &str = r#"# Reference of the configuration

<!-- Made by script/generate from the types that the configuration is read into: do not edit. -->

Every setting of the [configuration](configuration.md), which explains how durations, sizes, secrets and
relative paths are written. The same as a JSON Schema is
[config/hearken.schema.json](../config/hearken.schema.json): an editor that knows TOML (taplo, Even Better
TOML) completes and checks with it when a file starts with `#:schema PATH`.

Each setting outside of `[[brand]]` can be replaced by an environment variable: `HEARKEN_DATA_DIR`, and
`HEARKEN_SECTION__KEY` with two underscores for each dot, such as `HEARKEN_SERVE__LISTEN` for `serve.listen`.
"#;

/// The reference page, in Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut page = INTRODUCTION.to_owned();
    let (tables, settings): (Vec<_>, Vec<_>) = properties(&schema).partition(|(_, setting)| is_table(setting));
    let settings: Map<String, Value> =
        settings.into_iter().map(|(name, setting)| (name.clone(), setting.clone())).collect();
    section(&mut page, "## At the top", "", &json!({ "properties": settings }));
    for (name, table) in tables {
        match (table.get("items"), name.as_str()) {
            (Some(item), _) => section(&mut page, &format!("## `[[{name}]]`"), description(table), item),
            (None, "source") => sources(&mut page, table),
            (None, _) => section(&mut page, &format!("## `[{name}]`"), description(table), table),
        }
    }
    page
}

fn sources(page: &mut String, table: &Value) {
    let _ = write!(page, "\n## `[source.NAME]`\n\n{}\n", flat(description(table)));
    for channel in CHANNELS {
        let title = format!("### `channel = \"{}\"`", channel.name);
        section(page, &title, &format!("Listens to {}.", channel.summary), &(channel.settings)().to_value());
    }
}

fn section(page: &mut String, title: &str, description: &str, schema: &Value) {
    let _ = write!(page, "\n{title}\n\n");
    if !description.is_empty() {
        let _ = write!(page, "{}\n\n", flat(description));
    }
    page.push_str("| setting | value | default | |\n|---|---|---|---|\n");
    let mut rows = rows(schema, "");
    // First what decides on the rest, then what is needed.
    rows.sort_by_key(|row| (row.name != "kind", row.default != REQUIRED));
    for Row { name, value, default, meaning } in rows {
        let _ = writeln!(page, "| `{name}` | {value} | {default} | {meaning} |");
    }
}

const REQUIRED: &str = "required";

/// A line of a table: one setting.
struct Row {
    name: String,
    value: String,
    default: String,
    meaning: String,
}

/// A row for each setting, and for each within a table whose settings are described; names begin with `prefix`.
fn rows(schema: &Value, prefix: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (key, setting) in properties(schema) {
        let name = format!("{prefix}{key}");
        if properties(setting).any(|(_, inner)| inner.get("description").is_some()) {
            rows.extend(self::rows(setting, &format!("{name}.")));
            continue;
        }
        let (only, is_needed) = condition(schema, key);
        let default = match setting.get("default") {
            _ if is_needed || lists(schema, "/required", key) => REQUIRED.to_owned(),
            Some(default) if !default.is_object() => format!("`{default}`"),
            _ => String::new(),
        };
        let mut meaning = flat(description(setting));
        for (value, what) in choices(setting).filter(|(_, what)| !what.is_empty()) {
            let _ = write!(meaning, " {value}: {}", flat(what));
        }
        let keys = names(setting, "");
        if !keys.is_empty() {
            let _ = write!(meaning, " The keys are {}.", keys.join(", "));
        }
        rows.push(Row { name, value: value(setting), default, meaning: format!("{only}{meaning}") });
    }
    rows
}

/// With which `kind` a setting has a meaning, as words, and whether it is required then.
fn condition(schema: &Value, key: &str) -> (String, bool) {
    let rules = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let rule = rules.into_iter().find(|rule| rule.pointer(&format!("/else/properties/{key}")).is_some());
    let Some(rule) = rule else { return (String::new(), false) };
    let kind = rule.pointer("/if/properties/kind/const").unwrap_or(&Value::Null);
    (format!("Only with `kind = {kind}`. "), lists(rule, "/then/required", key))
}

/// What may be written.
fn value(setting: &Value) -> String {
    let choices: Vec<String> = choices(setting).map(|(value, _)| value).collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    let number = |key: &str| setting.get(key).and_then(Value::as_u64);
    match setting.get("type").and_then(Value::as_str) {
        Some("integer") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("number") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}, also with a fraction"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("array") => "list of texts".to_owned(),
        Some("object") => "table".to_owned(),
        _ if is_secret(setting) => "[secret](configuration.md#secrets)".to_owned(),
        _ => "text".to_owned(),
    }
}

fn is_secret(setting: &Value) -> bool {
    setting.get("pattern").is_some_and(|pattern| pattern == "^(env|file):.+")
}

/// The values of a setting that takes one of some names, each with its description.
fn choices(setting: &Value) -> impl Iterator<Item = (String, &str)> {
    let list = |key| setting.get(key).and_then(Value::as_array).into_iter().flatten();
    let described = list("oneOf").filter_map(|one| Some((one.get("const")?, description(one))));
    described.chain(list("enum").map(|name| (name, ""))).map(|(name, what)| (format!("`{name}`"), what))
}

/// The names of the settings within a table, with those of tables within it.
fn names(table: &Value, prefix: &str) -> Vec<String> {
    let name = |(key, setting): (&String, &Value)| match names(setting, &format!("{prefix}{key}.")) {
        inner if inner.is_empty() => vec![format!("`{prefix}{key}`")],
        inner => inner,
    };
    properties(table).flat_map(name).collect()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn is_table(setting: &Value) -> bool {
    let is_object = |schema: &Value| schema.get("type").is_some_and(|name| name == "object");
    is_object(setting) || setting.get("items").is_some_and(is_object)
}

fn lists(schema: &Value, pointer: &str, key: &str) -> bool {
    schema.pointer(pointer).and_then(Value::as_array).is_some_and(|names| names.iter().any(|name| name == key))
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// On one line.
fn flat(text: &str) -> String {
    text.replace('\n', " ")
}
