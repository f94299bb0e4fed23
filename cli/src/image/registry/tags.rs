//! Lists that come in pages: a repository's tags, and what else links to its next page.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, LINK};
use serde::Deserialize;
use url::Url;

use super::{Registry, RegistryError, accepted, header};

pub(super) struct Page {
    pub body: Bytes,
    pub next: Option<Url>,
}

/// More pages than this, and the registry goes in circles.
const MOST_PAGES: usize = 1000;

impl Registry {
    /// The repository's tags, in the registry's order; none where it has no such repository.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let mut url = self.url("tags/list");
        url.query_pairs_mut().append_pair("n", "1000");
        let mut tags = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = self.page("GET of the tags", url).await? else {
                break;
            };
            let found: Tags = serde_json::from_slice(&page.body)
                .map_err(|_| self.incomplete("GET of the tags", "them as JSON"))?;
            tags.extend(found.tags.unwrap_or_default());
            match page.next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(tags)
    }

    /// A page of a list; `None` where the registry keeps no such list.
    pub(super) async fn page(
        &self,
        step: &'static str,
        url: Url,
    ) -> Result<Option<Page>, RegistryError> {
        self.patiently(|| async {
            let get = self.http.get(url.clone()).header(ACCEPT, accepted());
            let reply = self.send(step, get).await?;
            let none = [
                StatusCode::NOT_FOUND,
                StatusCode::METHOD_NOT_ALLOWED,
                StatusCode::NOT_IMPLEMENTED,
            ];
            if none.contains(&reply.status()) {
                return Ok(None);
            }
            let reply = self.good(reply, step).await?;
            let next = header(&reply, LINK.as_str()).and_then(next);
            let next = next.and_then(|next| reply.url().join(next).ok());
            Ok(Some(Page {
                // Credentials go to the registry alone, so a link elsewhere is not followed.
                next: next.filter(|next| self.is_ours(next)),
                body: self.body(step, reply).await?,
            }))
        })
        .await
    }
}

/// The address of `<...>; rel="next"`.
fn next(link: &str) -> Option<&str> {
    let (address, relation) = link.split_once('>')?;
    let address = address.trim().strip_prefix('<')?;
    relation.contains("next").then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        assert_eq!(next("</v2/a?n=1>; rel=\"next\""), Some("/v2/a?n=1"));
        assert_eq!(next("</v2/a>; rel=\"first\""), None);
        assert_eq!(next(""), None);
    }
}
