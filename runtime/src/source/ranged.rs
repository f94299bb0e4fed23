//! A stream that reads a range of time and nothing else.
//!
//! The range takes the place of the cursor's own start and end; the look-back before a
//! mark has no meaning then. Pure: definitions in, definitions out.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::range::Range;
use crate::stream::SourceError;

use super::definitions::Definition;

const FORM: &str = "%Y-%m-%dT%H:%M:%S.%fZ";

/// The stream limited to a range; an error where it has no cursor over time.
pub fn limited(stream: &Definition, range: &Range) -> Result<Definition, SourceError> {
    let mut stream = incremental(stream);
    let name = stream.name().to_owned();
    let cursor = &mut stream.fields["incremental_sync"];
    if cursor["type"] != "DatetimeBasedCursor" {
        return Err(SourceError::Config {
            at: stream.at,
            problem: format!(
                "stream `{name}` has no cursor over time, so no range of it can be read"
            ),
        });
    }
    cursor["start_datetime"] = moment(range.from);
    cursor["end_datetime"] = moment(range.to);
    if let Some(cursor) = cursor.as_object_mut() {
        cursor.remove("lookback_window");
    }
    // A source may not know of an end, or know it less exactly.
    if cursor["is_data_feed"] != true {
        cursor["is_client_side_incremental"] = json!(true);
    }
    Ok(stream)
}

/// Whether a stream of a resolved manifest has a cursor over time.
pub fn has_time(stream: &Json) -> bool {
    [stream, &stream["incremental_stream"]]
        .iter()
        .any(|stream| stream["incremental_sync"]["type"] == "DatetimeBasedCursor")
}

/// Of a stream with two ways the one that reads by time.
fn incremental(stream: &Definition) -> Definition {
    match stream.fields.get("incremental_stream") {
        Some(incremental) if stream.fields["type"] == "StateDelegatingStream" => Definition {
            fields: incremental.clone(),
            at: format!("{}.incremental_stream", stream.at),
            made_by: stream.made_by.clone(),
        },
        _ => stream.clone(),
    }
}

fn moment(at: Timestamp) -> Json {
    json!({
        "type": "MinMaxDatetime",
        "datetime": at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "datetime_format": FORM,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited_json(fields: Json) -> Result<Json, String> {
        let stream = Definition {
            fields,
            at: "streams[0]".to_owned(),
            made_by: None,
        };
        let range = Range {
            from: "2025-06-01T00:00:00Z".parse().unwrap(),
            to: "2025-06-02T23:59:59.999999Z".parse().unwrap(),
        };
        let limited = limited(&stream, &range);
        limited
            .map(|stream| stream.fields["incremental_sync"].clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_range_takes_the_place_of_start_end_and_look_back() {
        let cursor = limited_json(json!({"name": "a", "incremental_sync": {
            "type": "DatetimeBasedCursor", "start_datetime": "2020-01-01", "lookback_window": "P4D", "step": "P1D"}}));
        assert_eq!(
            cursor.unwrap(),
            json!({"type": "DatetimeBasedCursor", "step": "P1D", "is_client_side_incremental": true,
                "start_datetime": {"type": "MinMaxDatetime", "datetime": "2025-06-01T00:00:00.000000Z", "datetime_format": FORM},
                "end_datetime": {"type": "MinMaxDatetime", "datetime": "2025-06-02T23:59:59.999999Z", "datetime_format": FORM}})
        );
    }

    #[test]
    fn a_stream_without_a_cursor_has_no_ranges() {
        insta::assert_snapshot!(limited_json(json!({"name": "users"})).unwrap_err(), @"streams[0]: stream `users` has no cursor over time, so no range of it can be read");
    }
}
