//! Names and sentences, among them those that break careless programs.

use super::draw::Draw;

const FIRST: &[&str] = &[
    "Ana", "Bodhi", "Chloé", "Dmitri", "Eleni", "Fetu", "Gráinne", "Hēmi", "Ingrid", "Jun", "Kiri",
    "Łukasz", "Mele", "Noor", "Oisín", "Priya", "Qing", "Rangi", "Siobhán", "Tāne", "Ümit",
    "Wiremu", "Yuki", "Zoë",
];

const LAST: &[&str] = &[
    "Anderson",
    "Bąk",
    "Chen",
    "D'Angelo",
    "Edwards",
    "Fa'asavalu",
    "Garcia",
    "Hughes",
    "Ito",
    "Jones",
    "Kaur",
    "Ngata",
    "O'Brien",
    "Parata",
    "Quinn",
    "Ruiz",
    "Smith",
    "Tūhoe",
    "Usman",
    "van der Berg",
    "Walker",
    "Yılmaz",
    "Zhang",
];

const TRADE: &[&str] = &[
    "Bakery",
    "Bikes",
    "Builders",
    "Café",
    "Consulting",
    "Dental",
    "Electrical",
    "Farm",
    "Florist",
    "Foods",
    "Freight",
    "Garage",
    "Growers",
    "Hardware",
    "Interiors",
    "Legal",
    "Logistics",
    "Marine",
    "Media",
    "Motors",
    "Nursery",
    "Optics",
    "Orchard",
    "Pharmacy",
    "Plumbing",
    "Print",
    "Roofing",
    "Studios",
    "Supplies",
    "Textiles",
    "Timber",
    "Tours",
    "Travel",
    "Vets",
    "Vineyard",
    "Works",
];

const PLACE: &[&str] = &[
    "Akaroa",
    "Ashburton",
    "Blenheim",
    "Cambridge",
    "Devonport",
    "Foxton",
    "Gisborne",
    "Hāwera",
    "Kaikōura",
    "Levin",
    "Masterton",
    "Napier",
    "Ōtaki",
    "Paihia",
    "Raglan",
    "Taupō",
    "Tīmaru",
    "Wānaka",
    "Whāngārei",
    "Whitby",
];

const FORM: &[&str] = &[
    "Limited",
    "Ltd",
    "& Sons",
    "Group",
    "Trust",
    "Partners",
    "Co-operative",
    "",
];

const WORK: &[&str] = &[
    "Monthly retainer",
    "Call-out and first hour",
    "Timber, treated, 90 x 45",
    "Freight inwards",
    "Design review",
    "Annual licence",
    "Replacement filter",
    "Safety inspection",
    "Coffee beans, 5 kg",
    "Site clearing",
    "Training day",
    "Travel, per km",
    "Hosting",
    "Paint, exterior, 10 l",
    "Bookkeeping",
    "Labour, qualified",
    "Labour, apprentice",
    "Printing, A4, two sides",
];

/// Text that is legal in Xero and has undone some loader or other.
const ODD: &[&str] = &[
    "Two lines:\nthe second\tafter a tab",
    "\"Quoted\", with commas; and 'single' ones",
    "Back\\slash and C:\\temp\\new",
    "Kia ora 👋🏽 family 👩‍👩‍👧‍👦 done ✅",
    "العربية من اليمين إلى اليسار",
    "日本語の請求書、テスト",
    "Zero\u{200b}width and a non-breaking\u{a0}space",
    "e\u{301} is not é until normalised",
    "<b>not bold</b> &amp; not an entity",
    "NULL",
    "-0012.50",
    "=SUM(A1:A9)",
    "See /Date(1539993600000+0000)/ in the export",
    " leading and trailing ",
];

pub fn first_name(draw: &mut Draw) -> &'static str {
    draw.pick(FIRST)
}

pub fn last_name(draw: &mut Draw) -> &'static str {
    draw.pick(LAST)
}

pub fn place(draw: &mut Draw) -> &'static str {
    draw.pick(PLACE)
}

/// A contact's name. Xero wants them unique, so it ends in its number where that is needed.
pub fn company(draw: &mut Draw, number: usize) -> String {
    let name = format!(
        "{} {} {}",
        draw.pick(PLACE),
        draw.pick(TRADE),
        draw.pick(FORM)
    );
    format!("{} {}", name.trim_end(), number + 1)
}

/// What a line is for; about one in forty is odd.
pub fn description(draw: &mut Draw) -> &'static str {
    if draw.below(40) == 0 {
        draw.pick(ODD)
    } else {
        draw.pick(WORK)
    }
}

/// A reference: often there, sometimes empty, seldom odd.
pub fn reference(draw: &mut Draw, number: usize) -> String {
    match draw.below(30) {
        0..=17 => format!("REF-{:05}", number * 7 % 100_000),
        18 => draw.pick(ODD).to_string(),
        19..=21 => format!("PO {}", draw.below(9_000) + 1_000),
        _ => String::new(),
    }
}

pub fn email(first: &str, last: &str, number: usize) -> String {
    let plain = |word: &str| -> String {
        word.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase()
    };
    format!("{}.{}{number}@example.com", plain(first), plain(last))
}
