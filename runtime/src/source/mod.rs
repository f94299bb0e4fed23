//! Sources described in Airbyte's declarative language, run natively.

mod isoparse;
mod json;
mod literal;
mod moment;
mod python;
mod strptime;
mod template;
