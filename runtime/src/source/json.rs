//! JSON text to values, each string copied once and each number kept as written.
//!
//! The only file that knows the JSON parser.

use jiter::{Jiter, JiterResult, Peek};

use crate::value::{Object, Value};

/// Decodes one JSON document.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Jiter::new(bytes);
    let document = reader.peek().and_then(|peek| value(&mut reader, peek));
    document
        .and_then(|document| reader.finish().map(|()| document))
        .map_err(|error| {
            format!(
                "{} at {}",
                error.error_type,
                reader.error_position(error.index)
            )
        })
}

fn value(reader: &mut Jiter<'_>, peek: Peek) -> JiterResult<Value> {
    Ok(match peek {
        Peek::Null => {
            reader.known_null()?;
            Value::Null
        }
        Peek::True | Peek::False => Value::Bool(reader.known_bool(peek)?),
        Peek::String => Value::String(reader.known_str()?.to_owned()),
        Peek::Array => Value::Array(array(reader)?),
        Peek::Object => Value::Object(object(reader)?),
        _ => number(reader.known_number_bytes(peek)?),
    })
}

fn number(digits: &[u8]) -> Value {
    // The parser has checked that these bytes are a JSON number, so they are ASCII.
    Value::number(&String::from_utf8_lossy(digits))
}

fn array(reader: &mut Jiter<'_>) -> JiterResult<Vec<Value>> {
    let mut values = Vec::new();
    let mut next = reader.known_array()?;
    while let Some(peek) = next {
        values.push(value(reader, peek)?);
        next = reader.array_step()?;
    }
    Ok(values)
}

fn object(reader: &mut Jiter<'_>) -> JiterResult<Object> {
    let mut fields = Object::new();
    let mut key = reader.known_object()?.map(str::to_owned);
    while let Some(name) = key {
        let peek = reader.peek()?;
        fields.insert(name, value(reader, peek)?);
        key = reader.next_key()?.map(str::to_owned);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"a":0.10,"b":-3,"c":[1e-10,null,true],"d":"caf\u00e9"}"#;
        let document = decode(text.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            r#"{"a":0.10,"b":-3,"c":[1e-10,null,true],"d":"café"}"#
        );
    }

    #[test]
    fn a_cut_document_says_where_it_ends() {
        let problem = decode(b"{\"a\": [1, 2").unwrap_err();
        assert!(problem.contains("line 1 column"), "{problem}");
    }
}
