//! `matrix`: rooms of the Matrix network, heard as a user of any homeserver.
//!
//! # As whom
//!
//! Best is a user of Hearken's own. In Element, the access token stands under *All settings / Help &
//! About / Advanced*; it ends with the session it belongs to. With a password, Hearken logs in by
//! itself, as one device for each source.
//!
//! # What becomes of an event
//!
//! - `m.room.message` and stickers are chat messages. HTML becomes plain text, without the message
//!   that replies quote for old clients. Media are named below their caption: `[image NAME]`.
//! - An edit is a new version of the message, and so is an edit taken back. A redaction is a deletion.
//! - A thread is the conversation, also of the message that started it; outside of threads it is the room.
//! - A message that is edited, taken back, reacted to or made a thread is fetched again as it is then, also one from
//!   before the first poll. Reactions of all sorts count as likes, messages in its thread as replies.
//! - `m.notice`, with which programs speak, marks the author as a bot. What our own user says is
//!   outbound.
//! - Messages are public in rooms that everybody may join and whose history is for all members, or for
//!   the world; in all other rooms they are private.
//! - Other types of events are passed over. What is said in encrypted rooms cannot be read: `check`
//!   names them, and the first such event is a gap.
//!
//! # What is promised
//!
//! - Rooms are read on from a token of the server, so that a pause of any length is made up for. Of a
//!   room where more was said than fits into one answer, the rest is paged back, 5000 events at most;
//!   beyond that is a gap.
//! - A token that the server no longer knows is no loss: the rooms are paged back to the last known
//!   event.
//! - An edit or reaction that is taken back is understood where it is among the last 500 of the source.
//! - An event that cannot be understood is poison; the others are kept.

mod api;
mod event;
mod listen;
mod parse;
mod payload;
mod position;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;

use self::api::{Access, Api};
use self::position::Position;
use self::settings::Settings;
use crate::contract::{Batch, BuildError, Connector, ConnectorError, Cursor};
use crate::registry::{Channel, Context};

/// The `matrix` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: parse::CHANNEL,
    summary: "rooms of the Matrix network",
    settings: settings::schema,
    build,
    parse: payload::parse,
};

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let Settings { server, rooms, login, backfill } = Settings::new(settings)?;
    let position = Position::read(context.cursor.as_ref())?;
    let api = Api::new(context.http.clone(), server, login, context.source);
    Ok(Box::new(MatrixConnector { source: context.source.to_owned(), api, rooms, backfill, position, joined: None }))
}

struct MatrixConnector {
    source: String,
    api: Api,
    /// As in the settings.
    rooms: Vec<String>,
    backfill: usize,
    position: Position,
    joined: Option<Joined>,
}

/// What is known once all rooms are joined.
#[derive(Clone)]
struct Joined {
    /// Our own user.
    own: String,
    /// Id of the filter at the server.
    filter: String,
    /// By room id.
    access: BTreeMap<String, Access>,
}

impl MatrixConnector {
    async fn join(&mut self) -> Result<Joined, ConnectorError> {
        let own = self.api.user().await?;
        if let Some(joined) = &self.joined {
            return Ok(joined.clone());
        }
        let already = self.api.joined_rooms().await?;
        let mut access = BTreeMap::new();
        for room in &self.rooms {
            let id = self.api.room_id(room).await?;
            if !already.contains(&id) {
                self.api.join(room).await?;
            }
            let its_access = self.api.access(&id).await?;
            access.insert(id, its_access);
        }
        let ids: Vec<String> = access.keys().cloned().collect();
        let filter = self.api.filter(&ids).await?;
        let joined = Joined { own, filter, access };
        self.joined = Some(joined.clone());
        Ok(joined)
    }
}

#[async_trait]
impl Connector for MatrixConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        let user = self.api.user().await?;
        let joined = self.api.joined_rooms().await?;
        let (mut absent, mut encrypted) = (Vec::new(), Vec::new());
        for room in &self.rooms {
            let id = self.api.room_id(room).await?;
            if !joined.contains(&id) {
                absent.push(room.as_str());
            } else if self.api.is_encrypted(&id).await? {
                encrypted.push(room.as_str());
            }
        }
        let mut said = format!("{user}: in {} of {} rooms", self.rooms.len() - absent.len(), self.rooms.len());
        for (what, rooms) in [("will join", absent), ("encrypted, cannot be read:", encrypted)] {
            if !rooms.is_empty() {
                said = format!("{said}; {what} {}", rooms.join(", "));
            }
        }
        Ok(said)
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        let mut joined = self.join().await?;
        let mut position = self.position.clone();
        position.rooms.retain(|id, _| joined.access.contains_key(id));
        let mut turn = listen::Turn::new(&self.source, &self.api, &mut joined, &mut position, self.backfill);
        let is_out = turn.take().await?;
        let mut batch = turn.batch;
        batch.more = !position.is_settled();
        if position != self.position {
            let cursor = Cursor::of(&position);
            batch.cursor =
                Some(cursor.map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))?);
        }
        self.position = position;
        // A room that our user was put out of is joined again, or its loss said.
        self.joined = (!is_out).then_some(joined);
        Ok(batch)
    }
}
