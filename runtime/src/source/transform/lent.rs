//! A record lent to a template: its fields become the template's values when they are asked for.

use std::sync::Arc;

use minijinja::Value as Shown;
use minijinja::value::{Enumerator, Object};

use crate::source::template::to_template;
use crate::value;

#[derive(Debug)]
struct Lent(Arc<value::Object>);

/// What `look` makes of the record as templates see it; the record is whole again afterwards.
pub fn lend<T>(record: &mut value::Object, look: impl FnOnce(Shown) -> T) -> T {
    let fields = Arc::new(std::mem::take(record));
    let result = look(Shown::from_object(Lent(fields.clone())));
    *record = Arc::try_unwrap(fields).unwrap_or_else(|kept| (*kept).clone());
    result
}

impl Object for Lent {
    fn get_value(self: &Arc<Self>, key: &Shown) -> Option<Shown> {
        self.0.get(key.as_str()?).map(to_template)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(Shown::from).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}
