//! Division that fails on zero, rounding, and casts to whole numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, kernels::numeric};
use datafusion::arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::Result;

use super::{Call, Spec, arity, failed};

pub const ALL: &[Spec] = &[
    Spec {
        name: "divide",
        result: quotient,
        call: divide,
    },
    Spec {
        name: "safe_divide",
        result: quotient,
        call: safe_divide,
    },
    Spec {
        name: "ieee_divide",
        result: |types| arity(types, 2, 2, DataType::Float64),
        call: ieee_divide,
    },
    Spec {
        name: "div",
        result: |types| arity(types, 2, 2, DataType::Int64),
        call: whole_divide,
    },
    Spec {
        name: "round",
        result: same,
        call: |call| rounded(call, f64::round, Rounding::Half),
    },
    Spec {
        name: "trunc",
        result: same,
        call: |call| rounded(call, f64::trunc, Rounding::Down),
    },
    Spec {
        name: "sign",
        result: same,
        call: sign,
    },
    Spec {
        name: "to_int64",
        result: |types| arity(types, 1, 1, DataType::Int64),
        call: to_int64,
    },
    Spec {
        name: "is_nan",
        result: |types| arity(types, 1, 1, DataType::Boolean),
        call: |call| {
            let values = call.floats(0)?;
            Ok(Arc::new(
                values
                    .iter()
                    .map(|value| value.map(f64::is_nan))
                    .collect::<datafusion::arrow::array::BooleanArray>(),
            ))
        },
    },
];

const NUMERIC: DataType = DataType::Decimal128(38, 9);

/// NUMERIC stays exact unless a FLOAT64 takes part; whole numbers give FLOAT64.
fn quotient(types: &[DataType]) -> Result<DataType> {
    let decimal = types
        .iter()
        .any(|kind| matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..)));
    let exact = decimal && types.iter().all(|kind| !kind.is_floating());
    arity(types, 2, 2, if exact { NUMERIC } else { DataType::Float64 })
}

fn divide(call: &Call) -> Result<ArrayRef> {
    let types: Vec<DataType> = call
        .args
        .iter()
        .map(|arg| arg.data_type().clone())
        .collect();
    match quotient(&types)? {
        DataType::Float64 => float_divide(call, call.safe),
        _ => decimal_divide(call, call.safe),
    }
}

fn safe_divide(call: &Call) -> Result<ArrayRef> {
    let call = Call {
        args: call.args.clone(),
        rows: call.rows,
        safe: true,
    };
    divide(&call)
}

fn float_divide(call: &Call, safe: bool) -> Result<ArrayRef> {
    let (a, b) = (call.floats(0)?, call.floats(1)?);
    let result: Float64Array = call.each(|row| match (a.value(row), b.value(row)) {
        (_, 0.0) if safe => Ok(None),
        (a, 0.0) => failed(format!("division by zero: {a} / 0")),
        (a, b) => Ok(Some(a / b)),
    })?;
    Ok(Arc::new(result))
}

fn decimal_divide(call: &Call, safe: bool) -> Result<ArrayRef> {
    let (a, b) = (
        cast(&call.args[0], &NUMERIC)?,
        cast(&call.args[1], &NUMERIC)?,
    );
    let zeros = b
        .as_primitive::<Decimal128Type>()
        .iter()
        .map(|value| value == Some(0));
    let zeros: Vec<bool> = zeros.collect();
    if !safe
        && zeros
            .iter()
            .enumerate()
            .any(|(row, zero)| *zero && !call.any_null(row))
    {
        return failed("division by zero");
    }
    let divisor: datafusion::arrow::array::Decimal128Array = b
        .as_primitive::<Decimal128Type>()
        .iter()
        .map(|value| value.filter(|value| *value != 0))
        .collect();
    let divisor: ArrayRef = Arc::new(divisor.with_precision_and_scale(38, 9)?);
    Ok(cast(&numeric::div(&a, &divisor)?, &NUMERIC)?)
}

fn ieee_divide(call: &Call) -> Result<ArrayRef> {
    let (a, b) = (call.floats(0)?, call.floats(1)?);
    let result: Float64Array = call.each(|row| Ok(Some(a.value(row) / b.value(row))))?;
    Ok(Arc::new(result))
}

fn whole_divide(call: &Call) -> Result<ArrayRef> {
    let (a, b) = (call.integers(0)?, call.integers(1)?);
    let result: Int64Array = call.each(|row| match a.value(row).checked_div(b.value(row)) {
        Some(value) => Ok(Some(value)),
        None => failed(format!("division by zero: {} / 0", a.value(row))),
    })?;
    Ok(Arc::new(result))
}

fn same(types: &[DataType]) -> Result<DataType> {
    let kind = match types.first() {
        Some(DataType::Decimal128(..)) => NUMERIC,
        _ => DataType::Float64,
    };
    arity(types, 1, 2, kind)
}

#[derive(Clone, Copy)]
enum Rounding {
    /// Half away from zero.
    Half,
    Down,
}

fn rounded(call: &Call, float: fn(f64) -> f64, rounding: Rounding) -> Result<ArrayRef> {
    let digits = if call.args.len() > 1 {
        Some(call.integers(1)?)
    } else {
        None
    };
    let digits = |row: usize| {
        digits
            .as_ref()
            .map_or(0, |digits| digits.value(row).clamp(-38, 38)) as i32
    };
    if matches!(call.args[0].data_type(), DataType::Decimal128(..)) {
        let values = cast(&call.args[0], &NUMERIC)?;
        let values = values.as_primitive::<Decimal128Type>();
        let result: datafusion::arrow::array::Decimal128Array = call.each(|row| {
            Ok(Some(round_decimal(
                values.value(row),
                digits(row),
                rounding,
            )))
        })?;
        return Ok(Arc::new(result.with_precision_and_scale(38, 9)?));
    }
    let values = call.floats(0)?;
    let result: Float64Array = call.each(|row| {
        let scale = 10f64.powi(digits(row));
        Ok(Some(float(values.value(row) * scale) / scale))
    })?;
    Ok(Arc::new(result))
}

/// A NUMERIC (in billionths) to so many digits behind the point.
fn round_decimal(value: i128, digits: i32, rounding: Rounding) -> i128 {
    let drop = u32::try_from(9 - digits).unwrap_or(0).min(38);
    let step = 10i128.pow(drop);
    let rest = value % step;
    let down = value - rest;
    match rounding {
        Rounding::Half if rest.abs() * 2 >= step && step > 1 => down + step * rest.signum(),
        _ => down,
    }
}

fn sign(call: &Call) -> Result<ArrayRef> {
    let values = call.floats(0)?;
    let result: Float64Array = call.each(|row| {
        let value = values.value(row);
        Ok(Some(if value == 0.0 { 0.0 } else { value.signum() }))
    })?;
    let kinds = [call.args[0].data_type().clone()];
    Ok(cast(&(Arc::new(result) as ArrayRef), &same(&kinds)?)?)
}

/// Rounds half away from zero, where the engine would cut.
fn to_int64(call: &Call) -> Result<ArrayRef> {
    let from = &call.args[0];
    match from.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = call.floats(0)?;
            let result: Int64Array = call.each(|row| {
                let value = values.value(row).round();
                match (-9.2e18..9.2e18).contains(&value) {
                    true => Ok(Some(value as i64)),
                    false => failed(format!("Could not convert {value} to INT64")),
                }
            })?;
            Ok(Arc::new(result))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let values = call.texts(0)?;
            let result: Int64Array = call.each(|row| whole(values.value(row)).map(Some))?;
            Ok(Arc::new(result))
        }
        _ => Ok(cast_with_options(
            from,
            &DataType::Int64,
            &CastOptions {
                safe: call.safe,
                ..CastOptions::default()
            },
        )?),
    }
}

fn whole(text: &str) -> Result<i64> {
    let trimmed = text.trim();
    let hex = trimmed
        .strip_prefix("0x")
        .map(|digits| i64::from_str_radix(digits, 16));
    match hex.unwrap_or_else(|| trimmed.parse()) {
        Ok(value) => Ok(value),
        Err(_) => failed(format!("Bad int64 value: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_rounds_half_away_from_zero() {
        let half = |value| round_decimal(value, 2, Rounding::Half);
        assert_eq!(half(1_005_000_000), 1_010_000_000);
        assert_eq!(half(-1_005_000_000), -1_010_000_000);
        assert_eq!(
            round_decimal(1_009_000_000, 2, Rounding::Down),
            1_000_000_000
        );
        assert_eq!(
            round_decimal(15_000_000_000, -1, Rounding::Half),
            20_000_000_000
        );
    }
}
