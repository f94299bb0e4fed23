use std::io::Write;

use serde_json::{Value as Json, json};

use super::*;

fn response(body: &[u8]) -> Response {
    let body = Bytes::copy_from_slice(body);
    Response::new(200, String::new(), Vec::new(), body)
}

fn decoded(decoder: Json, body: &[u8]) -> Result<Json, String> {
    let decoder = Decoder::open(Some(&Component::new(&decoder, "here"))).unwrap();
    let documents = decoder.documents(&response(body));
    let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
    Ok(Value::Array(documents).to_json())
}

fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn json_is_one_document_or_a_lists_elements() {
    let decode = |body: &str| decoded(json!({"type": "JsonDecoder"}), body.as_bytes()).unwrap();
    assert_eq!(decode(r#"{"a": 1}"#), json!([{"a": 1}]));
    assert_eq!(decode(r#"[{"a": 1}, 2, null]"#), json!([{"a": 1}, 2, null]));
    for empty in ["", "[]", "null", "<p>none</p>", "Not found", " "] {
        assert_eq!(decode(empty), json!([{}]), "{empty}");
    }
}

#[test]
fn json_that_breaks_off_is_an_error() {
    for body in ["{\"a\": [1", "[{\"a\": 1}, ", "\u{feff}{\"a\"", "{}{}"] {
        let decoder = json!({"type": "JsonDecoder"});
        assert!(decoded(decoder, body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn lines_of_json_pass_over_what_is_none() {
    let body = b"{\"a\": 1}\n\nnot json\r\n{\"a\": 2}\r\n[3]";
    assert_eq!(
        decoded(json!({"type": "JsonlDecoder"}), body).unwrap(),
        json!([{"a": 1}, {"a": 2}, [3]])
    );
    assert!(decoded(json!({"type": "JsonlDecoder"}), b"{\"a\": \"\xff\"}").is_err());
}

#[test]
fn items_are_taken_out_of_one_document() {
    let decoder =
        json!({"type": "JsonItemsDecoder", "items_path": "data.rows", "encoding": "latin-1"});
    assert_eq!(
        decoded(
            decoder,
            b"{\"data\": {\"rows\": [{\"a\": \"caf\xe9\"}, 2]}}"
        )
        .unwrap(),
        json!([{"a": "café"}, 2])
    );
}

#[test]
fn packed_files_are_unpacked_as_often_as_they_are_packed() {
    let decoder = |inner: Json| json!({"type": "GzipDecoder", "decoder": inner});
    let lines = json!({"type": "JsonlDecoder"});
    let mut body = gzipped(b"{\"a\": 1}\n");
    body.extend(gzipped(b"{\"a\": 2}"));
    let expected = json!([{"a": 1}, {"a": 2}]);
    assert_eq!(decoded(decoder(lines.clone()), &body).unwrap(), expected);
    let twice = decoder(decoder(lines.clone()));
    assert_eq!(decoded(twice.clone(), &gzipped(&body)).unwrap(), expected);
    assert_eq!(decoded(twice, b"{\"a\": 1}\n{\"a\": 2}").unwrap(), expected);
    body.truncate(body.len() - 9);
    assert!(decoded(decoder(lines), &body).is_err());
    assert!(decoded(decoder(json!({"type": "JsonDecoder"})), b"<html>").is_err());
}

#[test]
fn tables_have_their_delimiter_and_encoding() {
    let decoder = json!({"type": "CsvDecoder", "delimiter": "\\t", "encoding": "latin-1",
        "set_values_to_none": ["-"]});
    assert_eq!(
        decoded(decoder, b"a\tb\ncaf\xe9\t-\n").unwrap(),
        json!([{"a": "café", "b": null}])
    );
}

#[test]
fn every_file_of_an_archive_is_read() {
    let decoder = json!({"type": "ZipfileDecoder", "decoder": {"type": "CsvDecoder"}});
    let body = zipped(&[("b.csv", "x\n1\n"), ("a/a.csv", "x\n2\n3\n")]);
    assert_eq!(
        decoded(decoder.clone(), &body).unwrap(),
        json!([{"x": "1"}, {"x": "2"}, {"x": "3"}])
    );
    let problem = decoded(decoder, &body[..body.len() - 5]).unwrap_err();
    assert!(problem.contains("no zip file"), "{problem}");
}

#[test]
fn xml_is_read_in_the_encoding_it_names() {
    let xml = json!({"type": "XmlDecoder"});
    assert_eq!(
        decoded(
            xml.clone(),
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>caf\xe9</a>"
        )
        .unwrap(),
        json!([{"a": "café"}])
    );
    assert_eq!(
        decoded(xml.clone(), "<a>café</a>".as_bytes()).unwrap(),
        json!([{"a": "café"}])
    );
    assert_eq!(decoded(xml.clone(), b"Bad Gateway").unwrap(), json!([{}]));
    assert!(decoded(xml, b"<?xml version=\"1.0\"?><a><b>").is_err());
}

#[test]
fn lines_are_records_whatever_ends_them() {
    assert_eq!(
        decoded(json!({"type": "IterableDecoder"}), b"a\r\nb\n\nc\rd").unwrap(),
        json!([{"record": "a"}, {"record": "b"}, {"record": ""}, {"record": "c"}, {"record": "d"}])
    );
}

#[test]
fn unknown_decoders_are_named() {
    for (decoder, named) in [
        (
            json!({"type": "CustomDecoder", "class_name": "x.Y"}),
            "CustomDecoder `x.Y`",
        ),
        (
            json!({"type": "ZipfileDecoder", "decoder": {"type": "XmlDecoder"}}),
            "XmlDecoder",
        ),
        (
            json!({"type": "CsvDecoder", "delimiter": "ab"}),
            "`ab` is not one letter",
        ),
        (
            json!({"type": "CsvDecoder", "encoding": "klingon"}),
            "`klingon` is not known",
        ),
    ] {
        let error = Decoder::open(Some(&Component::new(&decoder, "here"))).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}
