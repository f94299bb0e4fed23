//! The replies of one slice: kept while they come, or played again instead of asking.
//!
//! A source tells a tape of each page's reply, or takes its pages from it. Where replies
//! are kept, and in which form, is not known here (`raw`).

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::{Mutex, mpsc};

/// What is known of a reply beside its body; nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub method: String,
    pub url: String,
    pub status: u16,
    /// When it was read to its end.
    pub time: Timestamp,
    pub headers: Vec<(String, String)>,
    /// Whether the next reply is of the same page, which was asked for in pieces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

/// A page's reply as the source gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub about: About,
    pub body: Bytes,
}

/// What a tape holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The schema of the records, where the source was asked for it.
    Schema(Json),
    Reply(Reply),
}

/// What a tape that keeps is told.
#[derive(Debug)]
pub enum Told {
    Entry(Entry),
    /// The slice is read anew: what was told before does not count.
    Again,
}

/// The replies of one slice.
pub enum Tape {
    Keeping(mpsc::Sender<Told>),
    Playing(Mutex<Played>),
}

/// A tape on its way through the slice.
pub struct Played {
    entries: mpsc::Receiver<Entry>,
    /// Taken from the channel, and not by whom it is for.
    next: Option<Entry>,
}

impl Tape {
    /// A tape that keeps what it is told in `to`.
    pub fn keeping(to: mpsc::Sender<Told>) -> Tape {
        Tape::Keeping(to)
    }

    /// A tape of what was kept.
    pub fn playing(entries: mpsc::Receiver<Entry>) -> Tape {
        let next = None;
        Tape::Playing(Mutex::new(Played { entries, next }))
    }

    pub fn is_playing(&self) -> bool {
        matches!(self, Tape::Playing(_))
    }

    /// Keeps an entry; who no longer listens has failed and says so.
    pub async fn keep(&self, entry: Entry) {
        if let Tape::Keeping(to) = self {
            let _ = to.send(Told::Entry(entry)).await;
        }
    }

    pub async fn begin_again(&self) {
        if let Tape::Keeping(to) = self {
            let _ = to.send(Told::Again).await;
        }
    }

    /// The schema that was kept, if one comes before the next reply.
    pub async fn schema(&self) -> Option<Json> {
        let Tape::Playing(played) = self else {
            return None;
        };
        let mut played = played.lock().await;
        match played.take().await? {
            Entry::Schema(schema) => Some(schema),
            reply => {
                played.next = Some(reply);
                None
            }
        }
    }

    /// The next reply, until there are no more.
    pub async fn reply(&self) -> Option<Reply> {
        let Tape::Playing(played) = self else {
            return None;
        };
        let mut played = played.lock().await;
        loop {
            match played.take().await? {
                Entry::Reply(reply) => return Some(reply),
                Entry::Schema(_) => {}
            }
        }
    }
}

impl Played {
    async fn take(&mut self) -> Option<Entry> {
        match self.next.take() {
            Some(entry) => Some(entry),
            None => self.entries.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub fn reply(body: &'static str) -> Entry {
        Entry::Reply(Reply {
            about: About {
                method: "GET".to_owned(),
                url: "https://a.example/".to_owned(),
                status: 200,
                time: Timestamp::UNIX_EPOCH,
                headers: Vec::new(),
                continues: false,
            },
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    async fn played(entries: Vec<Entry>) -> Tape {
        let (sender, receiver) = mpsc::channel(8);
        for entry in entries {
            sender.send(entry).await.unwrap();
        }
        Tape::playing(receiver)
    }

    #[tokio::test]
    async fn a_schema_is_found_before_the_replies_and_passed_over_among_them() {
        let schema = Entry::Schema(json!({"a": 1}));
        let tape = played(vec![schema.clone(), reply("1"), schema, reply("2")]).await;
        assert_eq!(tape.schema().await, Some(json!({"a": 1})));
        assert_eq!(tape.schema().await, None);
        assert_eq!(tape.reply().await.unwrap().body, "1");
        assert_eq!(tape.reply().await.unwrap().body, "2");
        assert_eq!(tape.reply().await, None);
    }
}
