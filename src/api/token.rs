//! Tokens: who may use the API, and for what.
//!
//! A token is `hkn_<id>_<secret>`: 8 and 32 random bytes in hexadecimal. The id finds it, the secret proves it. The
//! secret is shown once, when the token is made; the store keeps its Argon2id hash
//! ([ADR 0011](../../../docs/adr/0011-tokens-in-the-store.md)).

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use clickhouse::Row;
use hearken_connectors::secret::Secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::rows::TokenRow;
use crate::store::{Store, StoreError};

const PREFIX: &str = "hkn";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads what was said in public, and every figure of it.
    Viewer,
    /// Also corrects sentiments.
    Analyst,
    /// Also reads what was said in private channels: e-mail and chat.
    Manager,
    /// Also reads how the daemon is doing: tasks, polls, dead letters.
    Admin,
}

impl Role {
    /// Every role by name.
    pub const ALL: [(&'static str, Self); 4] =
        [("viewer", Self::Viewer), ("analyst", Self::Analyst), ("manager", Self::Manager), ("admin", Self::Admin)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, role)| (known == name).then_some(role))
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Public part, by which it is found.
    pub id: String,
    /// Whose it is, or what it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Brands that it may see; empty is all.
    pub brands: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// It is no longer accepted.
    pub revoked: bool,
    /// Argon2id of the secret, as a PHC string.
    #[serde(skip)]
    pub(super) hash: String,
}

/// What a request shows: the two parts of a token.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) secret: Secret,
}

impl Shown {
    /// Takes a token apart; `None` where it has not the form of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, bytes: usize| text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_hexdigit());
        let whole = prefix == PREFIX && parts.next().is_none() && is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES);
        whole.then(|| Self { id: id.to_owned(), secret: Secret::generated(secret.to_owned()) })
    }
}

/// Why a token could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system gives no random numbers.
    #[error("cannot make a token: {0}")]
    Random(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody has that name: a correction says who made it by name.
    #[error("there is a token named `{0}` already, or was once; names tell people apart, choose another one")]
    Taken(String),
    /// Nobody knows it.
    #[error("there is no token with the id `{0}`; `hearken token list` shows them")]
    Unknown(String),
}

impl Token {
    /// Makes a token and stores it; returns it with the text that proves it, which nobody can show again.
    pub async fn create(
        store: &Store,
        name: &str,
        role: Role,
        brands: Vec<String>,
        expires_at: Option<Timestamp>,
    ) -> Result<(Self, Secret), TokenError> {
        if Self::list(store).await?.iter().any(|token| token.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        let id = random_hex::<ID_BYTES>()?;
        let secret = random_hex::<SECRET_BYTES>()?;
        let hash = Argon2::default().hash_password(secret.as_bytes());
        let hash = hash.map_err(|error| TokenError::Random(error.to_string()))?.to_string();
        let text = Secret::generated(format!("{PREFIX}_{id}_{secret}"));
        let created_at = Timestamp::now();
        let token = Self { id, name: name.to_owned(), role, brands, created_at, expires_at, revoked: false, hash };
        token.write(store).await?;
        Ok((token, text))
    }

    /// Every token ever made, by time of making.
    pub async fn list(store: &Store) -> Result<Vec<Self>, StoreError> {
        let sql = "SELECT id, name, hash, toString(role) AS role, brands, \
                       toUnixTimestamp64Milli(created_at) AS created_at, \
                       toUnixTimestamp64Milli(expires_at) AS expires_at, revoked \
                   FROM api_tokens ORDER BY api_tokens.created_at, id";
        let read: Vec<Read> = store.fetch("reading tokens", store.query(sql)).await?;
        Ok(read.into_iter().map(Self::from).collect())
    }

    /// Takes a token back, for good.
    pub async fn revoke(store: &Store, id: &str) -> Result<Self, TokenError> {
        let known = Self::list(store).await?.into_iter().find(|token| token.id == id);
        let token = known.ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
        let token = Self { revoked: true, ..token };
        token.write(store).await?;
        Ok(token)
    }

    /// True where it has ended.
    pub fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= Timestamp::now())
    }

    /// Whether the secret is this token's. Takes a good part of a tenth of a second and 19 MiB, by design.
    pub(super) fn proves(&self, secret: &Secret) -> bool {
        Argon2::default().verify_password(secret.expose().as_bytes(), self.hash.as_str()).is_ok()
    }

    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let row = TokenRow {
            id: &self.id,
            name: &self.name,
            hash: &self.hash,
            role: self.role.name(),
            brands: &self.brands,
            created_at: self.created_at.as_millisecond(),
            expires_at: self.expires_at.map(Timestamp::as_millisecond),
            revoked: self.revoked,
        };
        store.insert_tokens(&[row]).await
    }
}

/// A token as the store has it.
#[derive(Row, Deserialize)]
struct Read {
    id: String,
    name: String,
    hash: String,
    role: String,
    brands: Vec<String>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked: u8,
}

impl From<Read> for Token {
    fn from(read: Read) -> Self {
        // What cannot be understood may do the least, or nothing: a later release may know more roles.
        let role = Role::named(&read.role);
        let time = |millis| Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            revoked: read.revoked != 0 || role.is_none(),
            role: role.unwrap_or(Role::Viewer),
            id: read.id,
            name: read.name,
            brands: read.brands,
            created_at: time(read.created_at),
            expires_at: read.expires_at.map(time),
            hash: read.hash,
        }
    }
}

fn random_hex<const BYTES: usize>() -> Result<String, TokenError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_has_three_parts_of_fixed_length() {
        let (id, secret) = ("0123456789abcdef", "ab".repeat(32));
        let shown = Shown::parse(&format!("hkn_{id}_{secret}")).unwrap();
        assert_eq!((shown.id.as_str(), shown.secret.expose()), (id, secret.as_str()));
        for wrong in ["", "hkn", "hkn__", "hkn_é_ü", &format!("xyz_{id}_{secret}"), &format!("hkn_{id}_{secret}_x")] {
            assert!(Shown::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Analyst && Role::Analyst < Role::Manager && Role::Manager < Role::Admin);
        for (name, role) in Role::ALL {
            assert_eq!((role.name(), Role::named(name)), (name, Some(role)));
        }
        assert_eq!(Role::named("root"), None);
    }
}
