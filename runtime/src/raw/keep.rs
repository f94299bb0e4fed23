//! Keeps the replies of a slice while it is read: packed on a thread of its own, an object
//! at a time in memory.

use tokio::sync::mpsc;

use super::pages::{Head, Packed, Packer};
use super::{RawError, RawFile};
use crate::google::storage::{Bucket, Precondition};
use crate::tape::Told;

/// What the packing thread gives.
enum Given {
    Object(Packed),
    Again,
}

/// Writes what the tape is told to objects, each named by its number. An attempt before
/// this one may have left some of those names: they are replaced.
pub async fn keep(
    bucket: &Bucket,
    name: impl Fn(usize) -> String,
    head: Head,
    told: mpsc::Receiver<Told>,
) -> Result<Vec<RawFile>, RawError> {
    let (to_upload, mut given) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking(move || pack(head, told, &to_upload));
    let mut files: Vec<RawFile> = Vec::new();
    while let Some(given) = given.recv().await {
        match given {
            Given::Object(packed) => {
                files.push(put(bucket, name(files.len()), packed).await?);
            }
            Given::Again => files.clear(),
        }
    }
    match thread.await {
        Ok(packed) => packed?,
        Err(error) => return Err(RawError::Broken(error.to_string())),
    }
    Ok(files)
}

async fn put(bucket: &Bucket, name: String, packed: Packed) -> Result<RawFile, RawError> {
    let bytes = packed.bytes.len() as u64;
    let generation = bucket
        .put(&name, "application/zstd", packed.bytes, Precondition::None)
        .await?;
    Ok(RawFile {
        name,
        replies: packed.replies,
        bytes,
        generation,
    })
}

fn pack(
    head: Head,
    mut told: mpsc::Receiver<Told>,
    to_upload: &mpsc::Sender<Given>,
) -> std::io::Result<()> {
    // If nobody takes an object any more, the upload has failed and says so.
    let give = |given| to_upload.blocking_send(given).is_ok();
    let mut packer = Packer::new(head.clone());
    while let Some(told) = told.blocking_recv() {
        let taken = match told {
            Told::Entry(entry) => match packer.push(&entry)? {
                Some(object) => give(Given::Object(object)),
                None => true,
            },
            Told::Again => {
                packer = Packer::new(head.clone());
                give(Given::Again)
            }
        };
        if !taken {
            return Ok(());
        }
    }
    if let Some(object) = packer.finish()? {
        give(Given::Object(object));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::stream::Slice;
    use crate::tape::{About, Entry, Reply};

    fn reply() -> Told {
        let about = About {
            method: "GET".to_owned(),
            url: String::new(),
            status: 200,
            time: Timestamp::UNIX_EPOCH,
            headers: Vec::new(),
            continues: false,
        };
        let body = Bytes::from_static(b"{}");
        Told::Entry(Entry::Reply(Reply { about, body }))
    }

    #[test]
    fn what_came_before_a_slice_is_read_anew_does_not_count() {
        let (to, told) = mpsc::channel(8);
        for told in [reply(), reply(), Told::Again, reply()] {
            to.blocking_send(told).unwrap();
        }
        drop(to);
        let (to_upload, mut given) = mpsc::channel(8);
        pack(Head::of("s", "r", 0, &Slice::default()), told, &to_upload).unwrap();
        drop(to_upload);
        assert!(matches!(given.blocking_recv(), Some(Given::Again)));
        let Some(Given::Object(packed)) = given.blocking_recv() else {
            panic!("one object comes after it");
        };
        assert_eq!(packed.replies, 1);
        assert!(given.blocking_recv().is_none());
    }
}
