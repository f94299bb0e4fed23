//! What BigQuery makes of a Parquet file's schema.
//!
//! Pure: from Parquet's own types, not from Arrow's, because an Arrow hint in
//! a file's metadata means nothing to BigQuery.

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::Type as Node;

use super::schema::{Field, Mode, Schema, Type};

#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub list_inference: bool,
    pub enum_as_string: bool,
    /// Types a decimal may become, in order of preference.
    pub decimals: Vec<Type>,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            list_inference: false,
            enum_as_string: false,
            decimals: vec![Type::Numeric],
        }
    }
}

/// The schema a load without one would give the table.
pub fn infer(root: &Node, reading: &Reading) -> Result<Schema, String> {
    let fields = root.get_fields().iter().map(|node| field(node, reading));
    Ok(Schema {
        fields: fields.collect::<Result<_, _>>()?,
    })
}

fn field(node: &Node, reading: &Reading) -> Result<Field, String> {
    let info = node.get_basic_info();
    let mode = match info.has_repetition().then(|| info.repetition()) {
        Some(Repetition::REQUIRED) => Mode::Required,
        Some(Repetition::REPEATED) => Mode::Repeated,
        _ => Mode::Nullable,
    };
    if node.is_primitive() {
        return Ok(Field::new(node.name(), leaf(node, reading), mode));
    }
    if is_map(node) {
        return Err(format!(
            "column '{}' is a MAP, which the local cloud does not load",
            node.name()
        ));
    }
    match list_item(node).filter(|_| reading.list_inference) {
        Some(element) => {
            let item = field(element, reading)?;
            if item.mode == Mode::Repeated {
                return Err(format!(
                    "column '{}' is an array of arrays, which BigQuery does not have",
                    node.name()
                ));
            }
            Ok(Field {
                name: node.name().to_owned(),
                mode: Mode::Repeated,
                ..item
            })
        }
        None => {
            let fields = node.get_fields().iter().map(|node| field(node, reading));
            Ok(Field::record(
                node.name(),
                mode,
                fields.collect::<Result<_, _>>()?,
            ))
        }
    }
}

fn is_map(node: &Node) -> bool {
    let info = node.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::Map))
        || matches!(
            info.converted_type(),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE
        )
}

/// The element of a group annotated LIST (three levels, or the old two).
fn list_item(node: &Node) -> Option<&Node> {
    let info = node.get_basic_info();
    let list = matches!(info.logical_type_ref(), Some(LogicalType::List))
        || info.converted_type() == ConvertedType::LIST;
    if !list {
        return None;
    }
    let repeated = node.get_fields().first()?;
    match repeated.is_group() && repeated.get_fields().len() == 1 {
        true => repeated.get_fields().first().map(AsRef::as_ref),
        false => Some(repeated),
    }
}

/// Whether a top-level column is a group annotated LIST.
pub fn is_list(root: &Node, name: &str) -> bool {
    let column = root
        .get_fields()
        .iter()
        .find(|node| node.name().eq_ignore_ascii_case(name));
    column.is_some_and(|node| node.is_group() && list_item(node).is_some())
}

fn leaf(node: &Node, reading: &Reading) -> Type {
    let info = node.get_basic_info();
    match info.logical_type_ref() {
        Some(LogicalType::String) => Type::String,
        Some(LogicalType::Enum) if reading.enum_as_string => Type::String,
        Some(LogicalType::Enum | LogicalType::Json | LogicalType::Bson | LogicalType::Uuid) => {
            Type::Bytes
        }
        Some(LogicalType::Decimal(kind)) => decimal(kind.precision, kind.scale, &reading.decimals),
        Some(LogicalType::Date) => Type::Date,
        Some(LogicalType::Time(_)) => Type::Time,
        Some(LogicalType::Timestamp(kind)) if kind.is_adjusted_to_u_t_c => Type::Timestamp,
        Some(LogicalType::Timestamp(_)) => Type::Datetime,
        Some(LogicalType::Integer(_)) => Type::Integer,
        Some(LogicalType::Float16) => Type::Float,
        _ => old_leaf(node, reading),
    }
}

/// Files from before logical types.
fn old_leaf(node: &Node, reading: &Reading) -> Type {
    match node.get_basic_info().converted_type() {
        ConvertedType::UTF8 => Type::String,
        ConvertedType::ENUM if reading.enum_as_string => Type::String,
        ConvertedType::DATE => Type::Date,
        ConvertedType::TIME_MICROS | ConvertedType::TIME_MILLIS => Type::Time,
        ConvertedType::TIMESTAMP_MICROS | ConvertedType::TIMESTAMP_MILLIS => Type::Timestamp,
        ConvertedType::DECIMAL => {
            decimal(node.get_precision(), node.get_scale(), &reading.decimals)
        }
        _ => match node.get_physical_type() {
            Physical::BOOLEAN => Type::Boolean,
            Physical::INT32 | Physical::INT64 => Type::Integer,
            Physical::INT96 => Type::Timestamp,
            Physical::FLOAT | Physical::DOUBLE => Type::Float,
            Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => Type::Bytes,
        },
    }
}

/// The first target that holds every such decimal, else the widest of them.
fn decimal(precision: i32, scale: i32, targets: &[Type]) -> Type {
    let fits = |target: &&Type| match target {
        Type::Numeric => scale <= 9 && precision - scale <= 29,
        Type::Bignumeric => scale <= 38 && precision - scale <= 38,
        _ => true,
    };
    let widest = |target: &&Type| match target {
        Type::Numeric => 0,
        Type::Bignumeric => 1,
        _ => 2,
    };
    targets
        .iter()
        .find(fits)
        .or_else(|| targets.iter().max_by_key(widest))
        .copied()
        .unwrap_or(Type::Numeric)
}

/// Why values of file column `have` cannot go into `want`, if they cannot.
pub fn mismatch(have: &Field, want: &Field) -> Option<String> {
    let fits = match (have.kind, want.kind) {
        (a, b) if a == b => true,
        (Type::String | Type::Bytes, Type::String | Type::Bytes | Type::Geography) => true,
        (Type::Numeric, Type::Bignumeric | Type::String) | (Type::Bignumeric, Type::String) => true,
        (Type::Timestamp, Type::Datetime) | (Type::Datetime, Type::Timestamp) => true,
        _ => false,
    };
    if !fits {
        return Some(format!(
            "Parquet column '{}' has type {} which does not match the target cpp_type {}.",
            want.name,
            physical_name(have.kind),
            target_name(want.kind)
        ));
    }
    if (have.mode == Mode::Repeated) != (want.mode == Mode::Repeated) {
        return Some(format!(
            "Parquet column '{}' is {} but the target is {}.",
            want.name,
            have.mode.name(),
            want.mode.name()
        ));
    }
    want.fields.iter().find_map(|want| {
        let have = have.fields.iter().find(|have| have.is(&want.name))?;
        mismatch(have, want)
    })
}

fn physical_name(kind: Type) -> &'static str {
    match kind {
        Type::Integer | Type::Timestamp | Type::Datetime | Type::Time => "INT64",
        Type::Date => "INT32",
        Type::Float => "DOUBLE",
        Type::Boolean => "BOOLEAN",
        Type::Numeric | Type::Bignumeric => "FIXED_LEN_BYTE_ARRAY",
        Type::Record => "RECORD",
        _ => "BYTE_ARRAY",
    }
}

fn target_name(kind: Type) -> &'static str {
    match kind {
        Type::Integer => "INT64",
        Type::Float => "DOUBLE",
        Type::Boolean => "BOOL",
        Type::Bytes => "STRING_PIECE",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::schema::parser::parse_message_type;

    fn inferred(message: &str, list_inference: bool) -> Vec<Field> {
        let reading = Reading {
            list_inference,
            decimals: vec![Type::Numeric, Type::Bignumeric, Type::String],
            ..Reading::default()
        };
        infer(&parse_message_type(message).unwrap(), &reading)
            .unwrap()
            .fields
    }

    const LISTS: &str = "message m { optional group tags (LIST) { repeated group list { optional binary element (STRING); } } }";

    #[test]
    fn a_list_is_repeated_only_with_inference() {
        assert_eq!(
            inferred(LISTS, true),
            [Field::new("tags", Type::String, Mode::Repeated)]
        );
        let element = Field::new("element", Type::String, Mode::Nullable);
        let list = Field::record("list", Mode::Repeated, vec![element]);
        assert_eq!(
            inferred(LISTS, false),
            [Field::record("tags", Mode::Nullable, vec![list])]
        );
        assert!(is_list(&parse_message_type(LISTS).unwrap(), "tags"));
    }

    #[test]
    fn json_lands_as_bytes() {
        assert_eq!(
            inferred("message m { optional binary doc (JSON); }", true)[0].kind,
            Type::Bytes
        );
    }

    #[test]
    fn decimals_take_the_first_target_that_fits() {
        let kind = |p: i32, s: i32| {
            inferred(
                &format!("message m {{ optional fixed_len_byte_array(16) d (DECIMAL({p},{s})); }}"),
                true,
            )[0]
            .kind
        };
        assert_eq!(
            (kind(38, 9), kind(38, 18)),
            (Type::Numeric, Type::Bignumeric)
        );
        assert_eq!(decimal(38, 18, &[Type::Numeric]), Type::Numeric);
    }

    #[test]
    fn an_integer_column_does_not_fill_a_float_one() {
        let have = Field::new("n", Type::Integer, Mode::Nullable);
        let want = Field::new("n", Type::Float, Mode::Nullable);
        assert_eq!(
            mismatch(&have, &want).unwrap(),
            "Parquet column 'n' has type INT64 which does not match the target cpp_type DOUBLE."
        );
    }
}
