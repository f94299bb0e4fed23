//! The column a stream goes on by: its values compared, moved back and written in SQL.
//!
//! A value is kept as BigQuery writes it, a moment in UTC with its microseconds.

use std::cmp::Ordering;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::range::Range;
use crate::scalar;
use crate::value::Borrowed;

use super::fields::{Field, Kind};

/// A cursor's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CursorKind {
    Timestamp,
    Datetime,
    Date,
    Int64,
    Numeric,
    BigNumeric,
    String,
}

/// Which rows to read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    pub from: Option<Bound>,
    pub to: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// In SQL.
    pub literal: String,
    /// Whether rows of exactly this value are read.
    pub inclusive: bool,
}

impl CursorKind {
    /// The type of a column, if its values have an order to go on by.
    pub fn of(field: &Field) -> Option<CursorKind> {
        if field.repeated {
            return None;
        }
        Some(match field.kind {
            Kind::Timestamp => CursorKind::Timestamp,
            Kind::Datetime => CursorKind::Datetime,
            Kind::Date => CursorKind::Date,
            Kind::Int64 => CursorKind::Int64,
            Kind::Numeric => CursorKind::Numeric,
            Kind::BigNumeric => CursorKind::BigNumeric,
            Kind::String => CursorKind::String,
            _ => return None,
        })
    }

    pub fn is_time(self) -> bool {
        matches!(
            self,
            CursorKind::Timestamp | CursorKind::Datetime | CursorKind::Date
        )
    }

    /// Which of two values is newer; what cannot be read is older than anything.
    pub fn order(self, a: &str, b: &str) -> Ordering {
        let number = |text: &str| scalar::big_numeric(&Borrowed::String(text.to_owned().into()));
        match self {
            CursorKind::Timestamp => scalar::timestamp(a).cmp(&scalar::timestamp(b)),
            CursorKind::Datetime => scalar::datetime(a).cmp(&scalar::datetime(b)),
            CursorKind::Date => scalar::date(a).cmp(&scalar::date(b)),
            CursorKind::Int64 => a.parse::<i64>().ok().cmp(&b.parse().ok()),
            CursorKind::Numeric | CursorKind::BigNumeric => number(a).cmp(&number(b)),
            // BigQuery orders texts by their UTF-8 too.
            CursorKind::String => a.cmp(b),
        }
    }

    /// A value in SQL; `None` where it is none of this type.
    pub fn literal(self, text: &str) -> Option<String> {
        let quoted = |word: &str| format!("{word} {}", quoted(text));
        let number = || scalar::big_numeric(&Borrowed::String(text.into()));
        Some(match self {
            CursorKind::Timestamp => {
                let micros = scalar::timestamp(text)?;
                let moment = Timestamp::from_microsecond(micros).ok()?;
                format!(
                    "TIMESTAMP '{}'",
                    moment.strftime("%Y-%m-%d %H:%M:%S%.f+00:00")
                )
            }
            CursorKind::Datetime => scalar::datetime(text).map(|_| quoted("DATETIME"))?,
            CursorKind::Date => scalar::date(text).map(|_| quoted("DATE"))?,
            CursorKind::Int64 => text.parse::<i64>().ok()?.to_string(),
            CursorKind::Numeric => number().map(|_| quoted("NUMERIC"))?,
            CursorKind::BigNumeric => number().map(|_| quoted("BIGNUMERIC"))?,
            CursorKind::String => self::quoted(text),
        })
    }

    /// The value a look-back before this one: a duration such as `P3D` for times, a number
    /// for whole numbers. `None` where there is no such thing.
    pub fn before(self, text: &str, lookback: &str) -> Option<String> {
        if self == CursorKind::Int64 {
            let back: i64 = lookback.parse().ok()?;
            return Some(text.parse::<i64>().ok()?.saturating_sub(back).to_string());
        }
        let span: Span = lookback.parse().ok()?;
        Some(match self {
            CursorKind::Timestamp => {
                let micros = scalar::timestamp(text)?;
                let moment = Timestamp::from_microsecond(micros).ok()?;
                let moment = moment.to_zoned(TimeZone::UTC).checked_sub(span).ok()?;
                moment.timestamp().to_string()
            }
            CursorKind::Datetime => {
                let moment: DateTime = text.parse().ok()?;
                moment.checked_sub(span).ok()?.to_string()
            }
            CursorKind::Date => {
                let day: Date = text.parse().ok()?;
                day.checked_sub(span).ok()?.to_string()
            }
            _ => return None,
        })
    }

    /// Whether a look-back can be taken at all.
    pub fn takes(self, lookback: &str) -> bool {
        match self {
            CursorKind::Int64 => lookback.parse::<i64>().is_ok_and(|back| back >= 0),
            _ => {
                self.is_time()
                    && lookback
                        .parse::<Span>()
                        .is_ok_and(|span| !span.is_negative())
            }
        }
    }

    /// A range of time as bounds; `None` for a cursor that is no time.
    pub fn range(self, range: &Range) -> Option<Bounds> {
        let text = |moment: Timestamp| {
            let civil = moment.to_zoned(TimeZone::UTC).datetime();
            match self {
                CursorKind::Timestamp => Some(moment.to_string()),
                CursorKind::Datetime => Some(civil.to_string()),
                CursorKind::Date => Some(civil.date().to_string()),
                _ => None,
            }
        };
        let bound = |moment| {
            Some(Bound {
                literal: self.literal(&text(moment)?)?,
                inclusive: true,
            })
        };
        Some(Bounds {
            from: Some(bound(range.from)?),
            to: Some(bound(range.to)?),
        })
    }
}

/// A text as a literal of GoogleSQL.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_written_as_a_literal_of_its_type() {
        let literal = |kind: CursorKind, text| kind.literal(text).unwrap();
        let all = [
            literal(CursorKind::Timestamp, "2024-01-02T03:04:05.000006Z"),
            literal(CursorKind::Datetime, "2024-01-02T03:04:05"),
            literal(CursorKind::Date, "2024-01-02"),
            literal(CursorKind::Int64, "-5"),
            literal(CursorKind::Numeric, "1.5"),
            literal(CursorKind::String, "it's\\"),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        TIMESTAMP '2024-01-02 03:04:05.000006+00:00'
        DATETIME '2024-01-02T03:04:05'
        DATE '2024-01-02'
        -5
        NUMERIC '1.5'
        'it\'s\\'
        ");
    }

    #[test]
    fn what_is_no_value_of_the_type_is_no_literal() {
        assert_eq!(CursorKind::Int64.literal("1 OR TRUE"), None);
        assert_eq!(CursorKind::Date.literal("' OR TRUE"), None);
        assert_eq!(CursorKind::Numeric.literal("1)"), None);
    }

    #[test]
    fn a_look_back_is_taken_in_the_cursors_own_terms() {
        let before = |kind: CursorKind, text, back| kind.before(text, back).unwrap();
        assert_eq!(
            before(CursorKind::Timestamp, "2024-03-01T00:00:00Z", "P1D"),
            "2024-02-29T00:00:00Z"
        );
        assert_eq!(before(CursorKind::Date, "2024-03-31", "P1M"), "2024-02-29");
        assert_eq!(before(CursorKind::Int64, "10", "3"), "7");
        assert!(!CursorKind::String.takes("P1D") && !CursorKind::Int64.takes("-1"));
        assert!(CursorKind::Datetime.takes("PT6H"));
    }

    #[test]
    fn a_range_of_days_has_both_its_ends() {
        let range = Range {
            from: "2025-06-01T00:00:00Z".parse().unwrap(),
            to: "2025-06-02T23:59:59.999999Z".parse().unwrap(),
        };
        let bounds = CursorKind::Date.range(&range).unwrap();
        assert_eq!(bounds.to.unwrap().literal, "DATE '2025-06-02'");
        assert_eq!(CursorKind::Int64.range(&range), None);
    }

    proptest! {
        #[test]
        fn moments_have_the_order_of_their_microseconds(a in -1_000_000_000_000_000i64..1_000_000_000_000_000, b in any::<i32>()) {
            let text = |micros| Timestamp::from_microsecond(micros).unwrap().to_string();
            let b = a + i64::from(b);
            prop_assert_eq!(CursorKind::Timestamp.order(&text(a), &text(b)), a.cmp(&b));
        }

        #[test]
        fn no_text_leaves_its_quotes(text in ".*") {
            let quoted = quoted(&text);
            let inner = &quoted[1..quoted.len() - 1];
            let mut escaped = false;
            for c in inner.chars() {
                prop_assert!(escaped || c != '\'');
                prop_assert!(!c.is_control());
                escaped = !escaped && c == '\\';
            }
            prop_assert!(!escaped);
        }
    }
}
