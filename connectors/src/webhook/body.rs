//! From the body of a post to messages and poison.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::hooks::{Receipt, Rejected};
use super::settings::Reading;
use crate::contract::Poison;
use crate::mapping::json_reason;
use crate::registry::Parsed;

/// Records of one body.
const MOST_RECORDS: usize = 4_000;
/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

/// What a post holds.
pub(super) struct Heard {
    pub(super) parsed: Parsed,
    /// What its sender is told once that is safe; a reason where the body holds no records at all.
    pub(super) receipt: Result<Receipt, String>,
}

/// Reads the body of `delivery`: one JSON value, or one a line. Pure.
pub(super) fn read(reading: &Reading, body: &[u8], lines: bool, delivery: &str, observed_at: Timestamp) -> Heard {
    let records = match records(reading, body, lines) {
        Ok(records) => records,
        Err(reason) => {
            let poison = vec![poison(delivery.to_owned(), &reason, body)];
            return Heard { parsed: Parsed { messages: Vec::new(), poison }, receipt: Err(reason) };
        }
    };
    let (mut parsed, mut receipt) = (Parsed::default(), Receipt::default());
    for (index, Record { text, broken }) in records.into_iter().enumerate() {
        let id = format!("{}/{delivery}/{index}", reading.source);
        let message = match broken {
            Some(reason) => Err(reason),
            None => reading.mapping.json(&text, Some(id), observed_at),
        };
        match message {
            Ok(message) => {
                parsed.messages.push(message);
                receipt.accepted += 1;
            }
            Err(reason) => {
                parsed.poison.push(poison(format!("{delivery}:{index}"), &reason, text.as_bytes()));
                receipt.rejected.push(Rejected { index, reason });
            }
        }
    }
    Heard { parsed, receipt: Ok(receipt) }
}

/// What a delivery is called whose sender gave it no id: a hash of its body, so that it has the same name when it is
/// sent again.
pub(super) fn name_of(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// True where a payload without a content type has one JSON value a line: its first line is a whole one, and not the
/// only one.
pub(super) fn looks_like_lines(payload: &[u8]) -> bool {
    let mut lines = payload.trim_ascii().splitn(2, |byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    lines.next().is_some() && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok()
}

/// One record of a body.
struct Record {
    text: String,
    /// Why it cannot be one.
    broken: Option<String>,
}

impl From<Value> for Record {
    fn from(value: Value) -> Self {
        Self { text: value.to_string(), broken: None }
    }
}

/// The records of a body, or why there are none.
fn records(reading: &Reading, body: &[u8], lines: bool) -> Result<Vec<Record>, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
    let mut records = Vec::new();
    if lines {
        for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
            match value(line).and_then(|value| unwrapped(reading, value)) {
                Ok(values) => records.extend(values.into_iter().map(Record::from)),
                Err(reason) => records.push(Record { text: line.to_owned(), broken: Some(reason) }),
            }
        }
    } else {
        let values =
            value(text).and_then(|value| unwrapped(reading, value)).map_err(|reason| format!("the body {reason}"))?;
        records.extend(values.into_iter().map(Record::from));
    }
    if records.len() > MOST_RECORDS {
        return Err(format!("the body holds {} records; send at most {MOST_RECORDS} at once", records.len()));
    }
    Ok(records)
}

fn value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| json_reason(&error, "JSON"))
}

/// The records that a JSON value holds: itself, its elements, or those of the array within.
fn unwrapped(reading: &Reading, mut value: Value) -> Result<Vec<Value>, String> {
    for step in &reading.records {
        value = value.get_mut(step.as_str()).map(Value::take).unwrap_or_default();
    }
    match value {
        Value::Array(records) => Ok(records),
        record if reading.records.is_empty() => Ok(vec![record]),
        _ => Err(format!("has no array at `{}` (records)", reading.records.join("."))),
    }
}

fn poison(origin: String, reason: &str, payload: &[u8]) -> Poison {
    let payload = payload.get(..POISON_PAYLOAD).unwrap_or(payload).to_vec();
    Poison { origin, reason: reason.to_owned(), payload }
}
