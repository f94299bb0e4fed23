//! A list request: what the caller asks of an endpoint, and which documents that is.
//!
//! Parameters Xero heeds but the sandbox does not are refused, so that no
//! client believes a filter was applied.

use std::collections::BTreeMap;

use super::endpoints::{Detail, Endpoint, Entry, Paging};
use super::ledger::clock::parse_seconds;
use super::ledger::journals::journal_number;
use super::ledger::money::Decimals;

pub const MOST_A_PAGE: usize = 1000;
const DEFAULT_A_PAGE: usize = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    page: Option<usize>,
    page_size: Option<usize>,
    offset: Option<i64>,
    since: Option<i64>,
    order: Option<String>,
    reveal: Vec<String>,
    four_decimals: bool,
}

/// The part of a list a query names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub entries: Vec<Entry>,
    /// What the reply says of its pages, where it says anything.
    pub pagination: Option<Pagination>,
    pub detail: Detail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagination {
    pub page: usize,
    pub page_size: usize,
    pub pages: usize,
    pub items: usize,
}

/// A parameter the sandbox cannot honour; Xero calls it a `QueryParseException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(String);

impl Query {
    /// Reads the parameters of a request and its `If-Modified-Since`.
    pub fn parse(parameters: &str, since: Option<&str>) -> Result<Query, BadQuery> {
        // Any other form of the header is passed over in silence, and everything is returned.
        let since = since.and_then(parse_seconds);
        let mut query = Query {
            since,
            ..Query::default()
        };
        let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(parameters.as_bytes()).collect();
        for (name, value) in &pairs {
            query.take(name, value)?;
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), BadQuery> {
        match name {
            "page" => self.page = Some(number(name, value, 1, usize::MAX)?),
            "pageSize" => self.page_size = Some(number(name, value, 1, MOST_A_PAGE)?),
            "offset" => self.offset = Some(number(name, value, 0, 1 << 40)? as i64),
            "unitdp" => self.four_decimals = number(name, value, 2, 4)? == 4,
            "order" => self.order = Some(known_order(value)?),
            "includeArchived" | "includeDeleted" => {
                if value.eq_ignore_ascii_case("true") {
                    self.reveal.push(name.to_string());
                }
            }
            _ => {
                return Err(BadQuery(format!(
                    "the sandbox does not know the parameter `{name}`"
                )));
            }
        }
        Ok(())
    }

    /// The documents of an endpoint that the query names.
    pub fn select(&self, endpoint: Endpoint, entries: Vec<Entry>) -> Selection {
        let mut entries: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| {
                !entry.hidden || self.reveal.iter().any(|name| name == endpoint.reveal())
            })
            .filter(|entry| {
                !endpoint.heeds_since() || self.since.is_none_or(|since| entry.changed >= since)
            })
            .collect();
        if endpoint.paging() == Paging::Offset {
            return self.after_offset(entries);
        }
        entries.sort_by_key(|entry| entry.changed);
        if self
            .order
            .as_deref()
            .is_some_and(|order| order.ends_with(" DESC"))
        {
            entries.reverse();
        }
        self.cut(endpoint, entries)
    }

    fn after_offset(&self, mut entries: Vec<Entry>) -> Selection {
        let offset = self.offset.unwrap_or_default();
        entries.retain(|entry| journal_number(entry.position) > offset);
        entries.truncate(DEFAULT_A_PAGE);
        self.selection(entries, None, true)
    }

    fn cut(&self, endpoint: Endpoint, entries: Vec<Entry>) -> Selection {
        // `order` makes ManualJournals forget its pages.
        let forgets = endpoint == Endpoint::ManualJournals && self.order.is_some();
        let (page, page_size) = match (endpoint.paging(), self.page) {
            (Paging::Pages, Some(page)) if !forgets => {
                (page, self.page_size.unwrap_or(DEFAULT_A_PAGE))
            }
            (Paging::Hundreds, Some(page)) => (page, DEFAULT_A_PAGE),
            (_, page) => return self.selection(entries, None, page.is_some()),
        };
        let items = entries.len();
        let pagination = Pagination {
            page,
            page_size,
            pages: items.div_ceil(page_size),
            items,
        };
        let first = (page - 1).saturating_mul(page_size).min(items);
        let last = (first + page_size).min(items);
        let told = (endpoint.paging() == Paging::Pages).then_some(pagination);
        self.selection(entries[first..last].to_vec(), told, true)
    }

    fn selection(
        &self,
        entries: Vec<Entry>,
        pagination: Option<Pagination>,
        lines: bool,
    ) -> Selection {
        Selection {
            entries,
            pagination,
            detail: Detail {
                decimals: self.decimals(),
                lines,
            },
        }
    }

    /// How a document asked for by its id is shown.
    pub fn whole_document(&self) -> Detail {
        Detail {
            decimals: self.decimals(),
            lines: true,
        }
    }

    fn decimals(&self) -> Decimals {
        if self.four_decimals {
            Decimals::Four
        } else {
            Decimals::Two
        }
    }
}

fn number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, BadQuery> {
    let parsed = value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| {
        BadQuery(format!(
            "`{name}` must be a number from {least} to {most}, not `{value}`"
        ))
    })
}

fn known_order(value: &str) -> Result<String, BadQuery> {
    match value {
        "UpdatedDateUTC" | "UpdatedDateUTC ASC" | "UpdatedDateUTC DESC" => Ok(value.to_string()),
        _ => Err(BadQuery(format!(
            "the sandbox sorts by UpdatedDateUTC only, not by `{value}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(count: usize) -> Vec<Entry> {
        (0..count)
            .map(|position| Entry {
                position,
                changed: 1_000 * (count - position) as i64,
                hidden: position == 3,
            })
            .collect()
    }

    fn select(endpoint: Endpoint, parameters: &str, since: Option<&str>) -> Selection {
        Query::parse(parameters, since)
            .unwrap()
            .select(endpoint, documents(250))
    }

    fn positions(selection: &Selection) -> Vec<usize> {
        selection
            .entries
            .iter()
            .map(|entry| entry.position)
            .collect()
    }

    #[test]
    fn a_page_holds_a_hundred_unless_told_otherwise() {
        let first = select(Endpoint::Invoices, "page=1", None);
        assert_eq!(first.entries.len(), 100);
        let pagination = Pagination {
            page: 1,
            page_size: 100,
            pages: 3,
            items: 249,
        };
        assert_eq!(first.pagination, Some(pagination));
        assert_eq!(select(Endpoint::Invoices, "page=3", None).entries.len(), 49);
        assert_eq!(select(Endpoint::Invoices, "page=4", None).entries.len(), 0);
        assert_eq!(
            select(Endpoint::Invoices, "page=1&pageSize=1000", None)
                .entries
                .len(),
            249
        );
    }

    #[test]
    fn pages_together_are_the_whole_oldest_change_first() {
        let whole = select(Endpoint::Invoices, "", None);
        let pages =
            ["page=1", "page=2", "page=3"].map(|page| select(Endpoint::Invoices, page, None));
        let joined: Vec<_> = pages.iter().flat_map(positions).collect();
        assert_eq!(positions(&whole), joined);
        assert!(whole.entries.is_sorted_by_key(|entry| entry.changed));
    }

    #[test]
    fn without_a_page_there_are_no_lines() {
        assert!(!select(Endpoint::Invoices, "", None).detail.lines);
        assert!(select(Endpoint::Invoices, "page=1", None).detail.lines);
    }

    #[test]
    fn quotes_keep_their_page_size_and_say_nothing_of_pages() {
        let quotes = select(Endpoint::Quotes, "page=1&pageSize=1000", None);
        assert_eq!((quotes.entries.len(), quotes.pagination), (100, None));
    }

    #[test]
    fn order_disables_the_pages_of_manual_journals() {
        let ordered = select(
            Endpoint::ManualJournals,
            "page=1&order=UpdatedDateUTC%20ASC",
            None,
        );
        assert_eq!((ordered.entries.len(), ordered.pagination), (249, None));
        assert_eq!(
            select(Endpoint::ManualJournals, "page=1", None)
                .entries
                .len(),
            100
        );
    }

    #[test]
    fn journals_go_on_after_the_last_number() {
        let entries: Vec<_> = (0..250)
            .map(|position| Entry {
                position,
                changed: 0,
                hidden: false,
            })
            .collect();
        let query = Query::parse(&format!("offset={}", journal_number(99)), None).unwrap();
        let selection = query.select(Endpoint::Journals, entries);
        assert_eq!(positions(&selection), (100..200).collect::<Vec<_>>());
    }

    #[test]
    fn since_counts_only_in_seconds_without_a_zone() {
        let since = |text| select(Endpoint::Invoices, "", Some(text)).entries.len();
        assert_eq!(since("1970-01-01T00:04:00"), 10);
        assert_eq!(since("1970-01-01T00:04:00Z"), 249);
        assert_eq!(since("1970-01-01T00:04:00.000"), 249);
    }

    #[test]
    fn since_means_nothing_where_xero_ignores_it() {
        assert_eq!(
            select(Endpoint::TaxRates, "", Some("2030-01-01T00:00:00"))
                .entries
                .len(),
            249
        );
    }

    #[test]
    fn archived_documents_show_when_asked_for() {
        assert_eq!(select(Endpoint::Contacts, "", None).entries.len(), 249);
        assert_eq!(
            select(Endpoint::Contacts, "includeArchived=true", None)
                .entries
                .len(),
            250
        );
    }

    #[test]
    fn what_the_sandbox_cannot_filter_by_it_refuses() {
        for parameters in [
            "where=Status%3D%3D%22PAID%22",
            "pageSize=5000",
            "page=0",
            "order=Total",
            "summaryOnly=true",
        ] {
            assert!(Query::parse(parameters, None).is_err(), "{parameters}");
        }
    }
}
