//! The form of an object with pages: one zstd stream of lines of JSON and bodies.
//!
//! First a line about the slice; then for each reply a line about it, which says how many
//! bytes its body has, the body, and a line break. `zstd -dc` shows it.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use zstd::stream::{read, write};

use crate::stream::Slice;
use crate::tape::{About, Entry, Reply};

/// An object is ended when it has this many bytes.
const ENOUGH: usize = 8 << 20;
/// zstd's own default: more takes longer and saves little.
const LEVEL: i32 = 3;

/// Whose pages an object has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Form of the object; 1.
    pub version: u32,
    pub stream: String,
    pub run: String,
    pub slice: usize,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub partition: Map<String, Json>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub interval: Map<String, Json>,
}

impl Head {
    pub fn of(stream: &str, run: &str, number: usize, slice: &Slice) -> Head {
        Head {
            version: 1,
            stream: stream.to_owned(),
            run: run.to_owned(),
            slice: number,
            partition: slice.partition.clone(),
            interval: slice.interval.clone(),
        }
    }
}

/// A line of an object after the first.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Reply {
        #[serde(flatten)]
        about: About,
        bytes: u64,
    },
    Schema {
        schema: Json,
    },
}

/// An object, ready to be written.
#[derive(Debug)]
pub struct Packed {
    pub bytes: Bytes,
    pub replies: u64,
}

/// Packs replies into objects.
pub struct Packer {
    head: Head,
    object: Option<write::Encoder<'static, Vec<u8>>>,
    replies: u64,
}

impl Packer {
    pub fn new(head: Head) -> Packer {
        Packer {
            head,
            object: None,
            replies: 0,
        }
    }

    /// Adds an entry, and gives the object if it is full now.
    pub fn push(&mut self, entry: &Entry) -> io::Result<Option<Packed>> {
        let object = match &mut self.object {
            Some(object) => object,
            None => {
                let object = write::Encoder::new(Vec::new(), LEVEL)?;
                let object = self.object.insert(object);
                line(object, &self.head)?;
                object
            }
        };
        match entry {
            Entry::Schema(schema) => line(
                object,
                &Line::Schema {
                    schema: schema.clone(),
                },
            )?,
            Entry::Reply(reply) => {
                line(
                    object,
                    &Line::Reply {
                        about: reply.about.clone(),
                        bytes: reply.body.len() as u64,
                    },
                )?;
                object.write_all(&reply.body)?;
                object.write_all(b"\n")?;
                self.replies += 1;
            }
        }
        match object.get_ref().len() < ENOUGH {
            true => Ok(None),
            false => self.finish(),
        }
    }

    /// The object with what came since the last one.
    pub fn finish(&mut self) -> io::Result<Option<Packed>> {
        let Some(object) = self.object.take() else {
            return Ok(None);
        };
        Ok(Some(Packed {
            bytes: object.finish()?.into(),
            replies: std::mem::take(&mut self.replies),
        }))
    }
}

fn line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

/// What is in an object, one after the other.
pub struct Entries {
    from: BufReader<read::Decoder<'static, BufReader<Cursor<Bytes>>>>,
}

impl Entries {
    /// Opens an object of `head`'s slice.
    pub fn open(object: Bytes, run: &str, slice: usize) -> io::Result<Entries> {
        let from = read::Decoder::new(Cursor::new(object))?;
        let mut entries = Entries {
            from: BufReader::new(from),
        };
        let head: Head = entries.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if head.version != 1 {
            return Err(wrong(format!("its form is {}", head.version)));
        }
        if (head.run.as_str(), head.slice) != (run, slice) {
            return Err(wrong("it has pages of another slice"));
        }
        Ok(entries)
    }

    fn line<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        if self.from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }

    fn entry(&mut self) -> io::Result<Option<Entry>> {
        let (about, length) = match self.line()? {
            None => return Ok(None),
            Some(Line::Schema { schema }) => return Ok(Some(Entry::Schema(schema))),
            Some(Line::Reply { about, bytes }) => (about, bytes),
        };
        let mut body = Vec::new();
        // Grows as it is read: a length of damaged bytes is not believed.
        let came = self.from.by_ref().take(length).read_to_end(&mut body)?;
        let mut end = [0];
        self.from.read_exact(&mut end)?;
        match came as u64 == length && end == *b"\n" {
            true => Ok(Some(Entry::Reply(Reply {
                about,
                body: body.into(),
            }))),
            false => Err(wrong("a body does not end where it should")),
        }
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        self.entry().transpose()
    }
}

fn wrong(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn head() -> Head {
        Head::of("invoices", "r1", 3, &Slice::default())
    }

    fn reply(body: Vec<u8>) -> Entry {
        Entry::Reply(Reply {
            about: About {
                method: "GET".to_owned(),
                url: "https://a.example/?key=****".to_owned(),
                status: 200,
                time: "2026-01-02T03:04:05Z".parse().unwrap(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                continues: false,
            },
            body: body.into(),
        })
    }

    fn packed(entries: &[Entry]) -> Vec<Packed> {
        let mut packer = Packer::new(head());
        let full = entries.iter().map(|entry| packer.push(entry).unwrap());
        let mut objects: Vec<Packed> = full.collect::<Vec<_>>().into_iter().flatten().collect();
        objects.extend(packer.finish().unwrap());
        objects
    }

    fn opened(object: &Packed) -> Vec<Entry> {
        let entries = Entries::open(object.bytes.clone(), "r1", 3).unwrap();
        entries.collect::<io::Result<_>>().unwrap()
    }

    #[test]
    fn an_object_is_lines_and_bodies() {
        let objects = packed(&[reply(b"{\"a\":\n1}".to_vec())]);
        let text = zstd::decode_all(&objects[0].bytes[..]).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
        {"version":1,"stream":"invoices","run":"r1","slice":3}
        {"method":"GET","url":"https://a.example/?key=****","status":200,"time":"2026-01-02T03:04:05Z","headers":[["content-type","application/json"]],"bytes":8}
        {"a":
        1}
        "#);
    }

    #[test]
    fn pages_that_fill_an_object_begin_another() {
        // Noise, which does not pack.
        let mut seed = 1u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 33) as u8
        };
        let body: Vec<u8> = (0..5 << 20).map(|_| noise()).collect();
        let entries = [reply(body.clone()), reply(body.clone()), reply(body)];
        let objects = packed(&entries);
        let replies: Vec<u64> = objects.iter().map(|object| object.replies).collect();
        assert_eq!(replies, [2, 1]);
        let all: Vec<Entry> = objects.iter().flat_map(opened).collect();
        assert!(all == entries);
    }

    #[test]
    fn what_is_cut_or_of_another_slice_is_no_page() {
        let object = &packed(&[reply(vec![7; 1000])])[0].bytes;
        let cut = object.slice(..object.len() - 5);
        let read = Entries::open(cut, "r1", 3).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        assert!(read.is_err());
        assert!(Entries::open(object.clone(), "r1", 4).is_err());
        assert!(Entries::open(Bytes::from_static(b"x"), "r1", 3).is_err());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let mut entries = vec![Entry::Schema(json!({"type": "object"}))];
            entries.extend(bodies.into_iter().map(reply));
            let objects = packed(&entries);
            let all: Vec<Entry> = objects.iter().flat_map(opened).collect();
            prop_assert_eq!(all, entries);
        }
    }
}
