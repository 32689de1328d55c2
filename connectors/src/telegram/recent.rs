//! The last messages that were heard, for their reactions: the Bot API tells new counts without the
//! message, and has no way to ask for it. Not part of the cursor, which holds no message text.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::message::{Message, MessageId};

/// Messages that are remembered.
const CAPACITY: usize = 1000;

#[derive(Default)]
pub(super) struct Recent(VecDeque<Message>);

impl Recent {
    /// Remembers a message; the reactions to its earlier version are those of the new one.
    pub(super) fn heard(&mut self, mut message: Message) -> Message {
        if let Some(known) = self.find(message.id) {
            message.engagement = known.engagement;
            *known = message.clone();
            return message;
        }
        if self.0.len() >= CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(message.clone());
        message
    }

    /// The message with so many reactions; `None` where it is not remembered.
    pub(super) fn reacted(&mut self, id: MessageId, count: u64, observed_at: Timestamp) -> Option<Message> {
        let message = self.find(id)?;
        message.engagement.likes = Some(count);
        message.observed_at = observed_at;
        Some(message.clone())
    }

    fn find(&mut self, id: MessageId) -> Option<&mut Message> {
        self.0.iter_mut().rev().find(|message| message.id == id)
    }
}
