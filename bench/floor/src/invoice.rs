//! The records as the source sends them. Texts are borrowed from the reply where they can be.

use std::borrow::Cow;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page<'b> {
    #[serde(borrow)]
    pub invoices: Vec<Invoice<'b>>,
}

/// `Option<Cow<str>>` alone would copy each text.
#[derive(Deserialize)]
pub struct Text<'b>(#[serde(borrow)] pub Cow<'b, str>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Invoice<'b> {
    #[serde(borrow)]
    pub r#type: Option<Text<'b>>,
    #[serde(rename = "InvoiceID")]
    pub invoice_id: Option<Text<'b>>,
    pub invoice_number: Option<Text<'b>>,
    pub reference: Option<Text<'b>>,
    pub contact: Option<Contact<'b>>,
    pub date_string: Option<Text<'b>>,
    pub due_date_string: Option<Text<'b>>,
    pub status: Option<Text<'b>>,
    pub line_amount_types: Option<Text<'b>>,
    pub line_items: Option<Vec<Line<'b>>>,
    pub sub_total: Option<f64>,
    pub total_tax: Option<f64>,
    pub total: Option<f64>,
    pub amount_due: Option<f64>,
    pub amount_paid: Option<f64>,
    pub amount_credited: Option<f64>,
    pub currency_code: Option<Text<'b>>,
    pub currency_rate: Option<f64>,
    pub has_attachments: Option<bool>,
    pub is_discounted: Option<bool>,
    pub sent_to_contact: Option<bool>,
    #[serde(rename = "BrandingThemeID")]
    pub branding_theme_id: Option<Text<'b>>,
    #[serde(rename = "UpdatedDateUTC")]
    pub updated_date_utc: Option<Text<'b>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Contact<'b> {
    #[serde(rename = "ContactID", borrow)]
    pub contact_id: Option<Text<'b>>,
    pub name: Option<Text<'b>>,
    pub email_address: Option<Text<'b>>,
    pub has_validation_errors: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Line<'b> {
    #[serde(rename = "LineItemID", borrow)]
    pub line_item_id: Option<Text<'b>>,
    pub description: Option<Text<'b>>,
    pub quantity: Option<f64>,
    pub unit_amount: Option<f64>,
    pub line_amount: Option<f64>,
    pub account_code: Option<Text<'b>>,
    pub tax_type: Option<Text<'b>>,
    pub tax_amount: Option<f64>,
}
