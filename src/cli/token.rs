//! `hearken token`: who may use the HTTP API.

use clap::{Args, Subcommand, ValueEnum};
use hearken::api::{Role, Token as ApiToken, TokenError};
use hearken::app::{AppError, OpenStore};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken token`.
#[derive(Args)]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and show it, once. From then on every request needs a token.
    Create(Create),
    /// List the tokens, without their secrets.
    List,
    /// Take a token back, for good.
    Revoke {
        /// Its id: the middle part of the token.
        id: String,
    },
}

#[derive(Args)]
struct Create {
    /// Whose it is, or what it is for: corrections carry this name.
    name: String,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = RoleName::Viewer)]
    role: RoleName,
    /// Brand that it may see; may be repeated. Without it, all brands.
    #[arg(long)]
    brand: Vec<String>,
    /// How long it is valid, in days. Without it, until it is revoked.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires: Option<u16>,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    /// Reads what was said in public, and every figure of it.
    Viewer,
    /// Also corrects sentiments.
    Analyst,
    /// Also reads what was said in private channels: e-mail and chat.
    Manager,
    /// Also reads how the daemon is doing: tasks, polls, dead letters.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Analyst => Self::Analyst,
            RoleName::Manager => Self::Manager,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A new token with the text that proves it.
#[derive(Serialize)]
struct Shown<'a> {
    token: &'a str,
    #[serde(flatten)]
    of: &'a ApiToken,
}

impl Token {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        if let Action::Create(create) = &self.action {
            create.check(&config)?;
        }
        let open = OpenStore::open(&config).await?;
        let done = self.action.run(&open, session.json).await;
        open.close().await;
        done
    }
}

impl Action {
    async fn run(self, open: &OpenStore, json: bool) -> Result<(), Failure> {
        let store = &open.store;
        // A token may be made before the daemon runs for the first time.
        store.migrate().await.map_err(AppError::from)?;
        match self {
            Self::Create(Create { name, role, brand, expires }) => {
                let expires = expires.map(|days| Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days)));
                let made = ApiToken::create(store, &name, role.into(), brand, expires).await;
                let (token, text) = made.map_err(failure)?;
                if json {
                    return output::json(&Shown { token: text.expose(), of: &token });
                }
                // The token alone, so that it can be piped.
                output::text(&format!("{}\n", text.expose()))
            }
            Self::List => {
                let tokens = ApiToken::list(store).await.map_err(AppError::from)?;
                if json {
                    return output::json(&tokens);
                }
                tokens.iter().try_for_each(|token| output::text(&line(token)))
            }
            Self::Revoke { id } => {
                let token = ApiToken::revoke(store, &id).await.map_err(failure)?;
                if json { output::json(&token) } else { output::text(&line(&token)) }
            }
        }
    }
}

impl Create {
    /// A brand that nobody listens for is a slip of the pen.
    fn check(&self, config: &hearken::config::Config) -> Result<(), Failure> {
        if self.name.trim().is_empty() || self.name.chars().count() > 100 || self.name.chars().any(char::is_control) {
            return Err(Failure::configuration("a token's name has 1 to 100 characters, and no control characters"));
        }
        let known: Vec<&str> = config.brands.iter().map(|brand| brand.name.as_str()).collect();
        match self.brand.iter().find(|brand| !known.contains(&brand.as_str())) {
            None => Ok(()),
            Some(brand) => Err(Failure::configuration(format!(
                "there is no brand `{brand}`; the configuration has `{}`",
                known.join("`, `")
            ))),
        }
    }
}

fn failure(error: TokenError) -> Failure {
    match error {
        TokenError::Store(error) => AppError::from(error).into(),
        TokenError::Random(_) => Failure::unavailable(error),
        TokenError::Taken(_) | TokenError::Unknown(_) => Failure::configuration(error),
    }
}

fn line(token: &ApiToken) -> String {
    let brands = if token.brands.is_empty() { "all brands".to_owned() } else { token.brands.join(", ") };
    let state = match token.expires_at {
        _ if token.revoked => "revoked".to_owned(),
        Some(end) if token.is_expired() => format!("expired {end:.0}"),
        Some(end) => format!("valid until {end:.0}"),
        None => "valid".to_owned(),
    };
    format!("{}  {:<8} {:<24} {brands}; {state}\n", token.id, token.role.name(), token.name)
}
