//! Media in words: what a message shows beside its text, or instead of one.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::text::is_media_type;

/// The fields of a message of which at most one is there.
#[derive(Debug, Deserialize)]
pub(super) struct Media {
    photo: Option<IgnoredAny>,
    video: Option<File>,
    /// Such a message has a `document`, too.
    animation: Option<IgnoredAny>,
    audio: Option<File>,
    document: Option<File>,
    voice: Option<IgnoredAny>,
    video_note: Option<IgnoredAny>,
    sticker: Option<Sticker>,
    location: Option<IgnoredAny>,
    /// Such a message has a `location`, too.
    venue: Option<Titled>,
    contact: Option<IgnoredAny>,
    story: Option<IgnoredAny>,
    paid_media: Option<IgnoredAny>,
    game: Option<Titled>,
    poll: Option<Poll>,
}

#[derive(Debug, Deserialize)]
struct File {
    file_name: Option<String>,
    mime_type: Option<String>,
    title: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sticker {
    emoji: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Titled {
    title: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Poll {
    question: String,
    #[serde(default)]
    options: Vec<PollOption>,
}

#[derive(Debug, Deserialize)]
struct PollOption {
    text: String,
}

impl Media {
    /// Pictures, video or sound, also as a file.
    pub(super) fn is_seen_or_heard(&self) -> bool {
        let files = [&self.video, &self.audio];
        let others = [&self.photo, &self.animation, &self.voice, &self.video_note, &self.story, &self.paid_media];
        let document_type = self.document.as_ref().and_then(|document| document.mime_type.as_deref());
        files.iter().any(|file| file.is_some())
            || others.iter().any(|media| media.is_some())
            || self.sticker.is_some()
            || document_type.is_some_and(is_media_type)
    }

    /// The media as a line of text, `[photo]`; a poll is its question and options. `None` where
    /// there are no media.
    pub(super) fn name(&self) -> Option<String> {
        if let Some(poll) = &self.poll {
            let options = poll.options.iter().map(|option| format!("\n- {}", option.text));
            return Some(poll.question.clone() + &options.collect::<String>());
        }
        let plain = [
            ("photo", &self.photo),
            ("animation", &self.animation),
            ("voice message", &self.voice),
            ("video message", &self.video_note),
            ("contact", &self.contact),
            ("story", &self.story),
            ("paid media", &self.paid_media),
        ];
        if let Some((kind, _)) = plain.iter().find(|(_, media)| media.is_some()) {
            return Some(format!("[{kind}]"));
        }
        let title = |titled: &Titled| titled.title.clone();
        let file = |file: &File| file.title.clone().or_else(|| file.file_name.clone());
        let named = [
            ("video", self.video.as_ref().map(file)),
            ("audio", self.audio.as_ref().map(file)),
            ("document", self.document.as_ref().map(file)),
            ("sticker", self.sticker.as_ref().map(|sticker| sticker.emoji.clone())),
            ("venue", self.venue.as_ref().map(title)),
            ("game", self.game.as_ref().map(title)),
            ("location", self.location.as_ref().map(|_| None)),
        ];
        named.into_iter().find_map(|(kind, media)| {
            let name = media?.map(|name| format!(" {name}")).unwrap_or_default();
            Some(format!("[{kind}{name}]"))
        })
    }
}
