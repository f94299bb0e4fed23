//! Line items: what invoices, notes, orders and bank transactions are made of.

use serde_json::{Map, Value, json};

use super::draw::{Draw, part_id};
use super::money::{Cents, Decimals, Fine, amount, divide, fine};
use super::settings::{self, Side};
use super::words;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub description: &'static str,
    pub quantity: Fine,
    pub unit: Fine,
    /// Percent, 0 on most lines.
    pub discount: i64,
    pub account: &'static str,
    pub tax_type: &'static str,
    pub net: Cents,
    pub tax: Cents,
    /// Position of the item sold, where it is one.
    pub item: Option<usize>,
    /// Position of the tracking option, where the line is tracked.
    pub tracking: Option<usize>,
}

/// The lines of the `index`th document of a kind.
pub fn lines(seed: u64, kind: &str, index: usize, side: Side) -> Vec<Line> {
    let mut draw = Draw::new(seed, kind, &[1, index as u64]);
    let count = 1 + draw.index(5).min(draw.index(6));
    (0..count).map(|_| line(&mut draw, side)).collect()
}

fn line(draw: &mut Draw, side: Side) -> Line {
    let quantity = draw.pick(&[
        10_000, 10_000, 10_000, 20_000, 25_000, 40_000, 75_000, 12_500, 1_200_000,
    ]);
    let unit = match draw.below(10) {
        0 => draw.between(100, 99_999),
        1 => draw.between(10_000_000, 90_000_000),
        _ => draw.between(5_000, 9_000_000) / 100 * 100,
    };
    let discount = if draw.percent(5) {
        draw.pick(&[5, 10, 15])
    } else {
        0
    };
    let (tax_type, percent) = settings::tax_of(draw, side);
    let net = divide(quantity * unit * (100 - discount), 100_000_000);
    Line {
        description: words::description(draw),
        quantity,
        unit,
        discount,
        account: settings::account_code(draw, side),
        tax_type,
        net,
        tax: divide(net * percent, 100),
        item: draw.percent(20).then(|| draw.index(40)),
        tracking: draw
            .percent(30)
            .then(|| draw.index(settings::TRACKING_OPTIONS)),
    }
}

pub fn net(lines: &[Line]) -> Cents {
    lines.iter().map(|line| line.net).sum()
}

pub fn tax(lines: &[Line]) -> Cents {
    lines.iter().map(|line| line.tax).sum()
}

pub fn total(lines: &[Line]) -> Cents {
    net(lines) + tax(lines)
}

/// What the document's lines are, as Xero writes them.
pub struct Shown<'a> {
    pub seed: u64,
    pub kind: &'a str,
    pub index: usize,
    pub decimals: Decimals,
}

impl Shown<'_> {
    pub fn array(&self, lines: &[Line]) -> Value {
        lines
            .iter()
            .enumerate()
            .map(|(part, line)| self.object(part, line))
            .collect()
    }

    fn object(&self, part: usize, line: &Line) -> Value {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| {
            shown.insert(name.to_string(), value);
        };
        if let Some(item) = line.item {
            put("ItemCode", json!(settings::item_code(item)));
        }
        put("Description", json!(line.description));
        put("UnitAmount", fine(line.unit, self.decimals));
        put("TaxType", json!(line.tax_type));
        put("TaxAmount", amount(line.tax));
        put("LineAmount", amount(line.net));
        put("AccountCode", json!(line.account));
        put(
            "Tracking",
            settings::line_tracking(self.seed, line.tracking),
        );
        put("Quantity", fine(line.quantity, Decimals::Four));
        if line.discount > 0 {
            put("DiscountRate", json!(line.discount as f64));
        }
        put(
            "LineItemID",
            json!(part_id(self.seed, self.kind, self.index, part)),
        );
        put(
            "AccountID",
            json!(settings::account_id(self.seed, line.account)),
        );
        if let Some(item) = line.item {
            put("Item", settings::item_reference(self.seed, item));
        }
        Value::Object(shown)
    }
}
