//! Gives the kept replies of a slice to a tape: an object and a reply at a time in memory.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pages::Entries;
use super::{RawError, RawFile};
use crate::google::storage::Bucket;
use crate::tape::Entry;

/// Sends what is in the files, until nobody listens; each must be what its run wrote.
pub async fn play(
    bucket: &Bucket,
    (run, slice): (&str, usize),
    files: &[RawFile],
    to: mpsc::Sender<Entry>,
) -> Result<(), RawError> {
    for file in files {
        let uri = || bucket.uri(&file.name);
        let damaged = |problem: String| RawError::Damaged {
            uri: uri(),
            problem,
        };
        let found = bucket.get(&file.name).await?;
        let found = found.ok_or_else(|| RawError::Gone { uri: uri() })?;
        if found.generation != file.generation {
            return Err(damaged("it was written again since".to_owned()));
        }
        let (run, to) = (run.to_owned(), to.clone());
        let sent = tokio::task::spawn_blocking(move || send(found.bytes, &run, slice, &to));
        let sent = sent
            .await
            .map_err(|error| RawError::Broken(error.to_string()))?
            .map_err(|error| damaged(error.to_string()))?;
        match sent {
            None => return Ok(()),
            Some(replies) if replies == file.replies => {}
            Some(replies) => {
                let expected = file.replies;
                return Err(damaged(format!("it has {replies} replies, not {expected}")));
            }
        }
    }
    Ok(())
}

/// How many replies were sent; `None` where nobody listens any more.
fn send(
    object: Bytes,
    run: &str,
    slice: usize,
    to: &mpsc::Sender<Entry>,
) -> std::io::Result<Option<u64>> {
    let mut replies = 0;
    for entry in Entries::open(object, run, slice)? {
        let entry = entry?;
        replies += u64::from(matches!(entry, Entry::Reply(_)));
        if to.blocking_send(entry).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(replies))
}
