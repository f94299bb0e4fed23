//! The columns of one object under construction: which field goes to which.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::cells::Cells;
use super::rescue::{Context, Step};
use crate::schema::Column;
use crate::value::Fields;

/// Columns that are filled side by side, a row each time.
pub struct Slots {
    slots: Vec<Slot>,
    positions: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    /// Where the first, the second and so on field of the last object went.
    order: Vec<usize>,
}

/// A column under construction, with the rows it has.
struct Slot {
    field: Box<str>,
    cells: Cells,
    filled: usize,
}

impl Slots {
    pub fn of(columns: &[Column]) -> Slots {
        let slot = |column: &Column| Slot {
            field: column.field.as_str().into(),
            cells: Cells::of(column),
            filled: 0,
        };
        let positions = columns.iter().enumerate();
        Slots {
            slots: columns.iter().map(slot).collect(),
            positions: positions
                .map(|(at, column)| (column.field.as_str().into(), at))
                .collect(),
            order: (0..columns.len()).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Appends one object, the `row`th of these columns.
    pub fn append<'a>(&mut self, row: usize, fields: &'a Fields<'_>, context: &mut Context<'a>) {
        for (nth, (field, value)) in fields.iter().enumerate() {
            context.path.push(Step::Field(field));
            match self.position(nth, field) {
                Some(at) => {
                    let slot = &mut self.slots[at];
                    slot.cells.append_or_rescue(value, context);
                    slot.filled = row + 1;
                }
                // An unknown field that says nothing is nothing to keep.
                None if value.is_null() => {}
                None => context.rescue(value),
            }
            context.path.pop();
        }
        self.fill_missing(row);
    }

    /// Records mostly come with their fields in the order of the one before.
    fn position(&mut self, nth: usize, field: &str) -> Option<usize> {
        let guess = self.order.get_mut(nth);
        match guess {
            Some(guess) if *self.slots[*guess].field == *field => Some(*guess),
            guess => {
                let at = *self.positions.get(field)?;
                if let Some(guess) = guess {
                    *guess = at;
                }
                Some(at)
            }
        }
    }

    /// Null for the columns that the `row`th object did not have.
    pub fn fill_missing(&mut self, row: usize) {
        for slot in self.slots.iter_mut().filter(|slot| slot.filled == row) {
            slot.cells.append_null();
            slot.filled = row + 1;
        }
    }

    /// The columns so far; they are empty again.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let finish = |slot: &mut Slot| {
            slot.filled = 0;
            slot.cells.finish()
        };
        self.slots.iter_mut().map(finish).collect()
    }
}
