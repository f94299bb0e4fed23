//! Pagination that begins anew: when a source asks for it, or after so many records.

use serde_json::Value as Json;

use crate::source::component::Component;
use crate::stream::SourceError;

/// What the manifest says of it.
#[derive(Debug, Clone, Default)]
pub struct Resets {
    /// Records after which it begins anew.
    limit: Option<u64>,
    /// With the rest of the slice, as far as its cursor saw.
    pub by_cursor: bool,
}

/// The resets of one slice.
#[derive(Debug, Default)]
pub struct Resetting {
    records: u64,
    same_slice: u32,
}

impl Resets {
    pub fn open(component: Option<&Component<'_>>) -> Result<Resets, SourceError> {
        let Some(component) = component else {
            return Ok(Resets::default());
        };
        let by_cursor = match component.text("action") {
            Some("RESET") => false,
            Some("SPLIT_USING_CURSOR") => true,
            _ => return Err(component.error("`action` must be RESET or SPLIT_USING_CURSOR")),
        };
        let limit = component.child("limits");
        let limit =
            limit.and_then(|limits| limits.field("number_of_records").and_then(Json::as_u64));
        Ok(Resets { limit, by_cursor })
    }

    pub fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether the records read since the last beginning are enough.
    pub fn is_due(&self, resetting: &mut Resetting, records: usize) -> bool {
        resetting.records += records as u64;
        self.limit.is_some_and(|limit| resetting.records >= limit)
    }

    /// Begins anew, with `moved` where the slice is another now; the same slice only once more,
    /// and with a cursor not even that.
    pub fn begin(
        &self,
        resetting: &mut Resetting,
        moved: bool,
        cursor: bool,
    ) -> Result<(), String> {
        resetting.records = 0;
        if moved {
            resetting.same_slice = 0;
            return Ok(());
        }
        resetting.same_slice += 1;
        match resetting.same_slice >= if cursor { 1 } else { 2 } {
            true => Err("paging began anew and came no further".to_owned()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_slice_is_read_anew_once() {
        let json = json!({"type": "PaginationReset", "action": "RESET", "limits": {"number_of_records": 3}});
        let resets = Resets::open(Some(&Component::new(&json, "here"))).unwrap();
        let mut resetting = Resetting::default();
        assert!(!resets.is_due(&mut resetting, 2));
        assert!(resets.is_due(&mut resetting, 2));
        assert!(resets.begin(&mut resetting, false, false).is_ok());
        assert!(!resets.is_due(&mut resetting, 2));
        assert!(resets.begin(&mut resetting, false, false).is_err());
        assert!(
            resets
                .begin(&mut Resetting::default(), false, true)
                .is_err()
        );
    }
}
