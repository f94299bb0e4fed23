//! That files in the bucket have the rows that were read into them.
//!
//! A load job counts what it loads. An external table loads nothing, so here the files'
//! own footers are read before it shows them.

use futures::{StreamExt, TryStreamExt};

use super::{StreamError, StreamRun};
use crate::fetch::FetchError;
use crate::parts::{self, Footer};
use crate::state::{PartFile, SliceManifest};

/// Mostly more than a footer.
const FIRST_LOOK: u64 = 64 << 10;
const AT_ONCE: usize = 8;

impl StreamRun<'_> {
    pub(super) async fn verify(&self, slices: &[&SliceManifest]) -> Result<(), StreamError> {
        let parts = slices.iter().flat_map(|slice| &slice.parts);
        futures::stream::iter(parts)
            .map(|part| self.verify_part(part))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn verify_part(&self, part: &PartFile) -> Result<(), StreamError> {
        let found = self.rows_of(part).await?;
        match found == Some(part.rows) {
            true => Ok(()),
            false => Err(StreamError::Altered {
                uri: self.loader().bucket.uri(&part.name),
                expected: part.rows,
                found: found.map_or("none".to_owned(), |rows| rows.to_string()),
            }),
        }
    }

    /// The rows of a file, `None` where it is not there or no such file.
    async fn rows_of(&self, part: &PartFile) -> Result<Option<u64>, FetchError> {
        let mut length = FIRST_LOOK;
        loop {
            let end = self.loader().bucket.end(&part.name, length).await?;
            let Some(end) = end else { return Ok(None) };
            match parts::footer(&end, part.bytes) {
                Ok(Footer::Rows(rows)) => return Ok(Some(rows)),
                Ok(Footer::Needs(more)) if more > length => length = more,
                Ok(Footer::Needs(_)) | Err(_) => return Ok(None),
            }
        }
    }
}
