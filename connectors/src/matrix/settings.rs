//! Settings of a `matrix` source, checked.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use url::Url;

use crate::contract::BuildError;
use crate::secret::Secret;
use crate::settings::{self, read};

/// One page.
const MAX_BACKFILL: usize = super::api::PAGE;
/// Each room has its place in the cursor.
const MAX_ROOMS: usize = 200;

/// The settings as written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend(
    "required" = ["server", "rooms"],
    "oneOf" = [{ "required": ["token"] }, { "required": ["user", "password"] }]
))]
struct Raw {
    /// Address of the user's homeserver, `"https://matrix.org"`.
    server: Option<String>,
    /// The rooms, as `"#alias:server"` or `"!id:server"`; one that the user is not in is joined at the start.
    #[schemars(length(min = 1, max = MAX_ROOMS))]
    rooms: Vec<String>,
    /// An access token of the user.
    token: Option<Secret>,
    /// Instead of `token`, with `password`: the user's name.
    user: Option<String>,
    /// The password of `user`.
    password: Option<Secret>,
    /// How many of a room's newest events the first poll takes; 0 for only what is said from now on.
    #[schemars(range(max = MAX_BACKFILL))]
    backfill: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self { server: None, rooms: Vec::new(), token: None, user: None, password: None, backfill: 40 }
    }
}

/// The settings, described.
pub(super) fn schema() -> Schema {
    settings::schema::<Raw>()
}

/// What a source listens to and how.
pub(super) struct Settings {
    pub(super) server: Url,
    /// Ids (`!…`) and aliases (`#…`).
    pub(super) rooms: Vec<String>,
    pub(super) login: Login,
    pub(super) backfill: usize,
}

/// How a user is proved.
#[derive(Clone)]
pub(super) enum Login {
    Token(Secret),
    Password { user: String, password: Secret },
}

impl Settings {
    /// Checks the settings for reading a payload, for which none is needed.
    pub(super) fn for_payload(table: toml::Table) -> Result<(), BuildError> {
        read::<Raw>(table).map(drop)
    }

    /// Checks the settings of a configured source.
    pub(super) fn new(table: toml::Table) -> Result<Self, BuildError> {
        let raw: Raw = read(table)?;
        let server = raw.server.as_deref().ok_or_else(|| {
            BuildError::setting(
                "server",
                "is missing: the address of the user's homeserver, for example `https://matrix.org`",
            )
        })?;
        if raw.rooms.is_empty() {
            return Err(BuildError::setting("rooms", "is empty; rooms are given as `#alias:server` or `!id:server`"));
        }
        if raw.rooms.len() > MAX_ROOMS {
            return Err(BuildError::setting("rooms", &format!("are too many: at most {MAX_ROOMS} in a source")));
        }
        for (index, room) in raw.rooms.iter().enumerate() {
            let path = format!("rooms[{index}]");
            // The ids of rooms have no server since version 12.
            let is_room = room.starts_with('!') || (room.starts_with('#') && room.contains(':'));
            if !is_room || room.len() < 3 || room.contains(char::is_whitespace) {
                return Err(BuildError::setting(
                    &path,
                    &format!("`{room}` is no room: write `#alias:server` or `!id:server`"),
                ));
            }
            if raw.rooms.iter().take(index).any(|earlier| earlier == room) {
                return Err(BuildError::setting(&path, &format!("`{room}` is there twice")));
            }
        }
        let login = match (raw.token, raw.user, raw.password) {
            (Some(token), None, None) => Login::Token(token),
            (None, Some(user), Some(password)) => Login::Password { user, password },
            (None, None, None) => {
                return Err(BuildError::setting(
                    "token",
                    "is missing: an access token, or `user` and `password` instead",
                ));
            }
            (None, ..) => {
                return Err(BuildError::setting("user", "and `password` go together: one of them is missing"));
            }
            (Some(_), ..) => {
                return Err(BuildError::setting("token", "is there, so `user` and `password` have no use"));
            }
        };
        let backfill = raw.backfill;
        if backfill > MAX_BACKFILL {
            return Err(BuildError::setting("backfill", &format!("{backfill} is too many; at most {MAX_BACKFILL}")));
        }
        Ok(Self { server: address(server)?, rooms: raw.rooms, login, backfill })
    }
}

fn address(text: &str) -> Result<Url, BuildError> {
    let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&address)
        .map_err(|error| BuildError::setting("server", &format!("`{text}` is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !matches!(url.path(), "" | "/") {
        return Err(BuildError::setting(
            "server",
            &format!("`{text}` is no server: give its address, as `https://matrix.org`"),
        ));
    }
    Ok(url)
}
