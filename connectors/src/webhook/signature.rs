//! Who sent a post, and when: the two ways of signing that most senders know.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret::Secret;

/// How far the clocks of sender and receiver may be apart, in seconds, both ways. The specification leaves it to the
/// receiver; its libraries take this.
const TOLERANCE: u64 = 5 * 60;
/// Bytes of the shortest key that Standard Webhooks allow.
const SHORTEST_KEY: usize = 24;
/// Bytes of the longest id of a delivery.
const LONGEST_ID: usize = 256;
/// Base64 with or without padding: senders write both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How posts are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheme {
    /// [Standard Webhooks 1.0.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
    /// HMAC-SHA256 over id, time and body.
    #[default]
    Standard,
    /// GitHub's [`X-Hub-Signature-256`](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries):
    /// HMAC-SHA256 over the body alone.
    Github,
}

/// The post is not proved to come from who has the secret, and now. Says no more: what exactly is wrong would help
/// whoever forges.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// Tells genuine posts from others.
pub(super) struct Verifier {
    scheme: Scheme,
    /// Holds the key, and nothing yet that is signed.
    keyed: Hmac<Sha256>,
}

impl Verifier {
    /// Fails with what is wrong with the secret; does not show it.
    pub(super) fn new(scheme: Scheme, secret: &Secret) -> Result<Self, String> {
        let key = match scheme {
            Scheme::Standard => standard_key(secret.expose())?,
            Scheme::Github => secret.expose().as_bytes().to_vec(),
        };
        let keyed = Hmac::new_from_slice(&key).map_err(|error| error.to_string())?;
        Ok(Self { scheme, keyed })
    }

    /// The name of the scheme.
    pub(super) fn scheme(&self) -> &'static str {
        match self.scheme {
            Scheme::Standard => "standard",
            Scheme::Github => "github",
        }
    }

    /// The id of the delivery, which is the same when it is sent again; `None` where the sender gives none.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Option<String>, Forged> {
        match self.scheme {
            Scheme::Standard => self.standard(headers, body, now).map(Some),
            Scheme::Github => self.github(headers, body),
        }
    }

    fn standard(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<String, Forged> {
        let id = id(headers, "webhook-id").ok_or(Forged)?;
        let sent = header(headers, "webhook-timestamp").ok_or(Forged)?;
        let seconds: i64 = sent.parse().map_err(|_| Forged)?;
        if now.as_second().abs_diff(seconds) > TOLERANCE {
            return Err(Forged);
        }
        let signed = [id.as_bytes(), b".", sent.as_bytes(), b".", body];
        let expected = signed.iter().fold(self.keyed.clone(), |mac, part| mac.chain_update(part));
        // Several while the sender changes its secret; those of other versions are not for us.
        let signatures = header(headers, "webhook-signature").ok_or(Forged)?.split(' ');
        let ours = signatures.filter_map(|signature| signature.strip_prefix("v1,"));
        let is_genuine = ours.filter_map(|base64| BASE64.decode(base64).ok()).any(|one| is_it(&expected, &one));
        if is_genuine { Ok(id.to_owned()) } else { Err(Forged) }
    }

    fn github(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, Forged> {
        let signature = header(headers, "x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="));
        let signature = signature.and_then(from_hex).ok_or(Forged)?;
        if !is_it(&self.keyed.clone().chain_update(body), &signature) {
            return Err(Forged);
        }
        let given = ["x-github-delivery", "idempotency-key"].into_iter().find_map(|name| id(headers, name));
        Ok(given.map(str::to_owned))
    }
}

/// Compares in constant time.
fn is_it(expected: &Hmac<Sha256>, given: &[u8]) -> bool {
    expected.clone().verify_slice(given).is_ok()
}

fn standard_key(secret: &str) -> Result<Vec<u8>, String> {
    let base64 = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = BASE64.decode(base64).map_err(|_| "is not `whsec_` and Base64".to_owned())?;
    if key.len() < SHORTEST_KEY {
        return Err(format!("is too short: make one with `echo whsec_$(openssl rand -base64 {SHORTEST_KEY})`"));
    }
    Ok(key)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn id<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    header(headers, name).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None }).collect()
}
