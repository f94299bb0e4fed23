//! BigQuery's scalar functions that the engine lacks or means otherwise.
//!
//! Each is registered as `bq_<name>`, and as `safe_bq_<name>`, which is NULL
//! where the other fails.

mod arrays;
mod dates;
mod json;
mod moments;
mod numbers;
mod texts;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// One function: its name, its type and its work.
pub struct Spec {
    pub name: &'static str,
    pub result: fn(&[DataType]) -> Result<DataType>,
    pub call: fn(&Call) -> Result<ArrayRef>,
}

fn all() -> impl Iterator<Item = &'static Spec> {
    [arrays::ALL, dates::ALL, json::ALL, numbers::ALL, texts::ALL]
        .into_iter()
        .flatten()
}

/// Whether a function of BigQuery is one of ours.
pub fn is_own(name: &str) -> bool {
    all().any(|spec| spec.name == name)
}

/// Everything to register with the engine.
pub fn udfs() -> Vec<Arc<ScalarUDF>> {
    all()
        .flat_map(|spec| [false, true].map(|safe| Own::new(spec, safe)))
        .map(|own| Arc::new(ScalarUDF::from(own)))
        .collect()
}

/// The one of ours with this name.
pub fn udf(name: &str) -> Option<Arc<ScalarUDF>> {
    let spec = all().find(|spec| spec.name == name)?;
    Some(Arc::new(ScalarUDF::from(Own::new(spec, false))))
}

/// A call's arguments, a row for a row.
pub struct Call {
    pub args: Vec<ArrayRef>,
    pub rows: usize,
    pub safe: bool,
}

impl Call {
    pub fn texts(&self, at: usize) -> Result<StringArray> {
        let array = cast(&self.args[at], &DataType::Utf8)?;
        Ok(StringArray::from(array.to_data()))
    }

    pub fn integers(&self, at: usize) -> Result<Int64Array> {
        Ok(Int64Array::from(
            cast(&self.args[at], &DataType::Int64)?.to_data(),
        ))
    }

    pub fn floats(&self, at: usize) -> Result<Float64Array> {
        Ok(Float64Array::from(
            cast(&self.args[at], &DataType::Float64)?.to_data(),
        ))
    }

    /// A literal argument: the value of the first row.
    pub fn text(&self, at: usize) -> Result<String> {
        let texts = self.texts(at)?;
        Ok(if texts.is_empty() || texts.is_null(0) {
            String::new()
        } else {
            texts.value(0).to_owned()
        })
    }

    pub fn any_null(&self, row: usize) -> bool {
        // A bare NULL has no mask of its own.
        self.args
            .iter()
            .any(|arg| arg.data_type().is_null() || arg.is_null(row))
    }

    /// One value a row; NULL where an argument is, and where a SAFE call fails.
    pub fn each<T, C: FromIterator<Option<T>>>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<C> {
        (0..self.rows)
            .map(|row| {
                if self.any_null(row) {
                    return Ok(None);
                }
                match value(row) {
                    Err(_) if self.safe => Ok(None),
                    other => other,
                }
            })
            .collect()
    }
}

pub fn failed<T>(what: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(what.into()))
}

/// A function with too few arguments.
pub fn arity(types: &[DataType], least: usize, most: usize, result: DataType) -> Result<DataType> {
    match (least..=most).contains(&types.len()) {
        true => Ok(result),
        false => Err(DataFusionError::Plan(format!(
            "Number of arguments does not match: {} given",
            types.len()
        ))),
    }
}

#[derive(Debug)]
struct Own {
    name: String,
    spec: &'static Spec,
    safe: bool,
    signature: Signature,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Own {
    fn new(spec: &'static Spec, safe: bool) -> Own {
        let prefix = if safe { "safe_bq_" } else { "bq_" };
        Own {
            name: format!("{prefix}{}", spec.name),
            spec,
            safe,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Own) -> bool {
        self.name == other.name
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.spec.result)(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let call = Call {
            args: arrays,
            rows,
            safe: self.safe,
        };
        let result = (self.spec.call)(&call)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(
                datafusion::common::ScalarValue::try_from_array(&result, 0)?,
            )),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}
