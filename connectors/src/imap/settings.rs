//! Settings of an `imap` source, checked.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::contract::BuildError;
use crate::secret::Secret;
use crate::settings::{self, read};

const SHORTEST_POLL: Duration = Duration::from_secs(1);
/// A server may end a connection that was idle for 30 minutes; IDLE is to be renewed before 29
/// (RFC 2177, section 3), and it is at every poll.
const LONGEST_POLL: Duration = Duration::from_secs(28 * 60);
/// Mails are held in memory while they are read.
const LARGEST_MAX_SIZE: usize = 256_000_000;

/// The settings as written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["host", "user"], "oneOf" = [{ "required": ["password"] }, { "required": ["token"] }]))]
struct Raw {
    /// The server, `"imap.example.org"`.
    host: Option<String>,
    /// Port of the server; by default 993, without `security = "tls"` 143.
    port: Option<u16>,
    /// How the connection is protected.
    security: Security,
    /// Allow `security = "none"` on a server that is not this machine.
    allow_plaintext: bool,
    /// Certificates (PEM) of the authority to trust instead of the public ones.
    ca_file: Option<String>,
    /// Whose mailbox it is.
    user: Option<String>,
    /// The password.
    #[schemars(with = "Secret")]
    password: Option<String>,
    /// Instead of `password`: an OAuth 2.0 access token (XOAUTH2), read at every login, so that something else can
    /// renew it.
    #[schemars(with = "Secret")]
    token: Option<String>,
    /// Folders to hear; new mail in the first one is heard at once.
    #[schemars(length(min = 1))]
    folders: Vec<String>,
    /// Folders with sent mails: these are outbound.
    sent: Vec<String>,
    /// How often all folders are looked into: a duration from `"1s"` to `"28m"`.
    poll: String,
    /// How long to wait for an answer: a duration from `"1s"` to `"10m"`.
    timeout: String,
    /// How many of the newest mails of each folder the first look takes; 0 for only what comes from now on.
    backfill: u32,
    /// Of a mail above this size only the first MiB is read; at most `"256MB"`.
    max_size: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            security: Security::Tls,
            allow_plaintext: false,
            ca_file: None,
            user: None,
            password: None,
            token: None,
            folders: vec!["INBOX".to_owned()],
            sent: Vec::new(),
            poll: "1m".to_owned(),
            timeout: "60s".to_owned(),
            backfill: 100,
            max_size: "25MB".to_owned(),
        }
    }
}

/// The settings, described.
pub(super) fn schema() -> Schema {
    settings::schema::<Raw>()
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Security {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after the greeting; without it, nothing is said.
    Starttls,
    /// Not at all: only on this machine, or with `allow_plaintext`.
    None,
}

/// A mailbox and how it is listened to.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) user: String,
    pub(super) login: Login,
    /// Folders to hear, the one that is watched with IDLE first.
    pub(super) folders: Vec<Folder>,
    pub(super) poll: Duration,
    pub(super) timeout: Duration,
    /// How many of the newest mails of each folder the first look takes.
    pub(super) backfill: u32,
    /// Bytes from which on only the beginning of a mail is read.
    pub(super) max_size: usize,
}

/// How to log in. The references are resolved at every login, because tokens are renewed.
#[derive(Debug, Clone)]
pub(super) enum Login {
    Password(String),
    /// An OAuth 2.0 access token, for XOAUTH2.
    Token(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) name: String,
    /// Its mails are the brand's own.
    pub(super) is_sent: bool,
}

impl Settings {
    /// Checks the settings of a configured source.
    pub(super) fn new(table: toml::Table) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let host = raw.host.filter(|host| !host.is_empty());
        let host = host
            .ok_or_else(|| BuildError::setting("host", "is missing: which server, for example `imap.example.org`?"))?;
        let user = raw.user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| BuildError::setting("user", "is missing: whose mailbox is it?"))?;
        let security = raw.security;
        if security == Security::None && !is_loopback(&host) && !raw.allow_plaintext {
            let reason = "would send the password and every mail readable over the network: use \"tls\" or \"starttls\"; \
                          where the way is protected otherwise, set `allow_plaintext = true`";
            return Err(BuildError::setting("security", reason));
        }
        let login = match (raw.password, raw.token) {
            (Some(reference), None) => Login::Password(secret("password", reference)?),
            (None, Some(reference)) => Login::Token(secret("token", reference)?),
            (None, None) => {
                return Err(BuildError::setting(
                    "password",
                    "is missing: set it, or `token`, as `env:NAME` or `file:PATH`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(BuildError::setting("token", "and `password` are both set: only one can be used"));
            }
        };
        Ok(Self {
            host,
            port: raw.port.unwrap_or(if security == Security::Tls { 993 } else { 143 }),
            security,
            tls: Arc::new(tls(raw.ca_file.as_deref())?),
            user,
            login,
            folders: folders(raw.folders, raw.sent)?,
            poll: duration("poll", &raw.poll, SHORTEST_POLL..=LONGEST_POLL)?,
            timeout: duration("timeout", &raw.timeout, SHORTEST_POLL..=Duration::from_secs(600))?,
            backfill: raw.backfill,
            max_size: size("max_size", &raw.max_size)?,
        })
    }

    /// The mailbox's own address, where that can be known.
    pub(super) fn address(&self) -> Option<String> {
        self.user.contains('@').then(|| self.user.to_lowercase())
    }
}

/// The mailbox's own address in the settings of a file that is only read: none of them is needed.
pub(super) fn own_address(table: toml::Table) -> Result<Option<String>, BuildError> {
    let raw: Raw = read(table)?;
    Ok(raw.user.filter(|user| user.contains('@')).map(|user| user.to_lowercase()))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Checks that a secret can be had, so that a missing one is found before anything starts.
fn secret(path: &str, reference: String) -> Result<String, BuildError> {
    Secret::resolve(&reference).map_err(|reason| BuildError::setting(path, &reason))?;
    Ok(reference)
}

fn folders(heard: Vec<String>, sent: Vec<String>) -> Result<Vec<Folder>, BuildError> {
    let named = |list: Vec<String>, key: &'static str, is_sent: bool| {
        let path = move |index: usize| format!("{key}[{index}]");
        list.into_iter().enumerate().map(move |(index, name)| (path(index), Folder { name, is_sent }))
    };
    let mut folders: Vec<Folder> = Vec::new();
    for (path, folder) in named(heard, "folders", false).chain(named(sent, "sent", true)) {
        if folder.name.is_empty() || folder.name.contains(char::is_control) {
            return Err(BuildError::setting(&path, "is not the name of a folder"));
        }
        if folders.iter().any(|other| other.name == folder.name) {
            return Err(BuildError::setting(&path, &format!("`{}` is there twice", folder.name)));
        }
        folders.push(folder);
    }
    if folders.is_empty() {
        Err(BuildError::setting("folders", "is empty: name at least one folder"))
    } else {
        Ok(folders)
    }
}

fn duration(path: &str, text: &str, allowed: RangeInclusive<Duration>) -> Result<Duration, BuildError> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let duration =
        duration.ok_or_else(|| BuildError::setting(path, &format!("`{text}` is no duration; write `30s` or `5m`")))?;
    if allowed.contains(&duration) {
        Ok(duration)
    } else {
        Err(BuildError::setting(
            path,
            &format!("{duration:?} is not between {:?} and {:?}", allowed.start(), allowed.end()),
        ))
    }
}

/// A number of bytes: `500KB`, `25MB`, `20MiB`.
fn size(path: &str, text: &str) -> Result<usize, BuildError> {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text.trim().get(digits.len()..).map(str::trim) {
        Some("" | "B") => 1,
        Some("KB" | "kB") => 1000,
        Some("MB") => 1_000_000,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        _ => 0,
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    let bytes =
        bytes.ok_or_else(|| BuildError::setting(path, &format!("`{text}` is no size; write `25MB` or `512KiB`")))?;
    if bytes > LARGEST_MAX_SIZE {
        return Err(BuildError::setting(
            path,
            &format!("`{text}` is too much: a mail is held in memory; at most 256MB"),
        ));
    }
    Ok(bytes)
}

/// TLS that trusts Mozilla's authorities, or only those in `ca_file`.
fn tls(ca_file: Option<&str>) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unusable =
                |reason: String| BuildError::setting("ca_file", &format!("`{path}` cannot be used: {reason}"));
            let certificates =
                CertificateDer::pem_file_iter(Path::new(path)).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("it holds no certificate in PEM form".to_owned()));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::setting("security", &error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn error(settings: &str) -> String {
        Settings::new(settings.parse().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn settings_are_checked() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret").unwrap();
        let login = format!("host = 'mail.example'\nuser = 'care'\npassword = 'file:{}'\n", secret.path().display());
        let wrong = [
            "",
            "host = 'mail.example'",
            "host = 'mail.example'\nuser = 'care'",
            "host = 'mail.example'\nuser = 'care'\npassword = 'hunter2'",
            "host = 'mail.example'\nuser = 'care'\nfolder = 'INBOX'",
        ];
        let mut shown: Vec<String> = wrong.into_iter().map(error).collect();
        for rest in [
            "security = 'none'",
            "security = 'ssl'",
            "token = 'env:HOME'",
            "folders = []",
            "folders = ['INBOX', 'A']\nsent = ['A']",
            "poll = '29m'",
            "poll = 'often'",
            "max_size = '25 apples'",
            "max_size = '1000000MB'",
            "ca_file = '/no/such/file'",
        ] {
            shown.push(error(&format!("{login}{rest}")));
        }
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn defaults_are_safe() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret").unwrap();
        let login = format!("user = 'Care@Acme.example'\npassword = 'file:{}'\n", secret.path().display());
        let settings = Settings::new(format!("host = 'mail.example'\n{login}").parse().unwrap()).unwrap();
        assert_eq!((settings.security, settings.port), (Security::Tls, 993));
        assert_eq!(settings.address().as_deref(), Some("care@acme.example"));
        assert!(!format!("{settings:?}").contains("s3cret"));
        for (host, rest) in
            [("127.0.0.1", ""), ("localhost", ""), ("::1", ""), ("mail.example", "allow_plaintext = true")]
        {
            let settings = format!("host = '{host}'\nsecurity = 'none'\n{login}{rest}");
            assert_eq!(Settings::new(settings.parse().unwrap()).unwrap().port, 143);
        }
        assert_eq!(size("max_size", "2 MiB").unwrap(), 2 << 20);
    }
}
