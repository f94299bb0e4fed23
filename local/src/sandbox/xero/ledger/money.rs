//! Amounts as whole numbers, so that totals add up to the cent.

use serde_json::{Value, json};

/// Cents.
pub type Cents = i64;
/// Ten thousandths: quantities, and unit amounts before they are rounded for the reader.
pub type Fine = i64;

/// An amount as a JSON number. A double's shortest text gives back every amount below 2^53 cents.
pub fn amount(cents: Cents) -> Value {
    json!(cents as f64 / 100.0)
}

/// A fine amount as a JSON number, rounded to two decimals unless four were asked for (`unitdp=4`).
pub fn fine(value: Fine, decimals: Decimals) -> Value {
    match decimals {
        Decimals::Four => json!(value as f64 / 10_000.0),
        Decimals::Two => amount(divide(value, 100)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimals {
    Two,
    Four,
}

/// Division rounded half away from zero.
pub fn divide(value: i64, by: i64) -> i64 {
    let half = by / 2;
    if value < 0 {
        (value - half) / by
    } else {
        (value + half) / by
    }
}

/// `1234.50`, exact.
pub fn text(cents: Cents) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_back_exactly() {
        for cents in [0, 1, 10, 29, 115, 100_000_007, 999_999_999_999] {
            let written = amount(cents).to_string();
            let exact: rust_decimal::Decimal = written.parse().unwrap();
            assert_eq!(exact, rust_decimal::Decimal::new(cents, 2));
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        assert_eq!(divide(150, 100), 2);
        assert_eq!(divide(149, 100), 1);
        assert_eq!(divide(-150, 100), -2);
        assert_eq!(text(-5), "-0.05");
    }
}
