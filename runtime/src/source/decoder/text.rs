//! Bytes of an encoding as text, a piece at a time.
//!
//! The only file that knows the encoding library. Encodings have the names
//! Python gives them.

use std::io::{ErrorKind, Read};

use encoding_rs::{DecoderResult, Encoding};

const PIECE: usize = 64 * 1024;

/// Text read from bytes; what is no text of the encoding is an error.
pub struct Text {
    source: Box<dyn Read + Send>,
    letters: Letters,
    bytes: Vec<u8>,
    done: bool,
}

enum Letters {
    /// Each byte is the letter of its number, up to the last allowed one.
    Bytes {
        last: u8,
    },
    Library(Box<encoding_rs::Decoder>),
}

/// What an encoding's name means; kept so that a manifest's name is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// Without the mark at its beginning.
    Utf8Sig,
    /// By the mark at its beginning.
    Utf16,
    Other(&'static Encoding),
}

impl Charset {
    pub fn named(name: &str) -> Result<Charset, String> {
        let plain: String = name
            .to_ascii_lowercase()
            .replace(['_', ' '], "-")
            .trim()
            .to_owned();
        Ok(match plain.as_str() {
            "" | "utf-8" | "utf8" | "u8" => Charset::Utf8,
            "utf-8-sig" => Charset::Utf8Sig,
            "utf-16" | "utf16" => Charset::Utf16,
            "ascii" | "us-ascii" | "646" => Charset::Ascii,
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "8859" | "l1" => Charset::Latin1,
            "cp1252" | "windows-1252" => Charset::Other(encoding_rs::WINDOWS_1252),
            other => {
                let found = Encoding::for_label(other.as_bytes())
                    .or_else(|| Encoding::for_label(other.replace("cp", "windows-").as_bytes()));
                Charset::Other(found.ok_or_else(|| format!("the encoding `{name}` is not known"))?)
            }
        })
    }

    fn letters(self) -> Letters {
        let decoder = match self {
            Charset::Ascii => return Letters::Bytes { last: 0x7f },
            Charset::Latin1 => return Letters::Bytes { last: 0xff },
            Charset::Utf8 => encoding_rs::UTF_8.new_decoder_without_bom_handling(),
            Charset::Utf8Sig => encoding_rs::UTF_8.new_decoder_with_bom_removal(),
            Charset::Utf16 => encoding_rs::UTF_16LE.new_decoder(),
            Charset::Other(encoding) => encoding.new_decoder_without_bom_handling(),
        };
        Letters::Library(Box::new(decoder))
    }
}

impl Text {
    pub fn new(source: Box<dyn Read + Send>, charset: Charset) -> Text {
        Text {
            source,
            letters: charset.letters(),
            bytes: vec![0; PIECE],
            done: false,
        }
    }

    /// Adds a piece of text to `out`; `false` at the end.
    pub fn read(&mut self, out: &mut String) -> Result<bool, String> {
        if self.done {
            return Ok(false);
        }
        let length = loop {
            match self.source.read(&mut self.bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| error.to_string())?,
            }
        };
        self.done = length == 0;
        let piece = &self.bytes[..length];
        match &mut self.letters {
            Letters::Bytes { last } => by_number(piece, *last, out)?,
            Letters::Library(decoder) => by_library(decoder, piece, self.done, out)?,
        }
        Ok(!self.done)
    }

    /// All of it, if it is no longer than `most` bytes.
    pub fn read_all(mut self, most: usize) -> Result<String, String> {
        let mut all = String::new();
        while self.read(&mut all)? {
            if all.len() > most {
                return Err(format!("it is longer than {most} bytes"));
            }
        }
        Ok(all)
    }
}

fn by_number(piece: &[u8], last: u8, out: &mut String) -> Result<(), String> {
    match piece.iter().find(|byte| **byte > last) {
        Some(byte) => Err(format!("the byte {byte:#04x} is no letter of the encoding")),
        None => {
            out.extend(piece.iter().map(|byte| char::from(*byte)));
            Ok(())
        }
    }
}

fn by_library(
    decoder: &mut encoding_rs::Decoder,
    mut piece: &[u8],
    last: bool,
    out: &mut String,
) -> Result<(), String> {
    loop {
        let room = decoder.max_utf8_buffer_length_without_replacement(piece.len());
        out.reserve(room.unwrap_or(PIECE));
        let (result, read) = decoder.decode_to_string_without_replacement(piece, out, last);
        piece = &piece[read..];
        match result {
            DecoderResult::InputEmpty => return Ok(()),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                let name = decoder.encoding().name();
                return Err(format!("it holds bytes that are no {name} text"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &'static [u8], name: &str) -> Result<String, String> {
        let charset = Charset::named(name)?;
        Text::new(Box::new(bytes), charset).read_all(1_000_000)
    }

    #[test]
    fn encodings_have_pythons_names() {
        assert_eq!(text(b"caf\xc3\xa9", "UTF8").unwrap(), "café");
        assert_eq!(text(b"\xef\xbb\xbfa", "utf-8").unwrap(), "\u{feff}a");
        assert_eq!(text(b"\xef\xbb\xbfa", "utf-8-sig").unwrap(), "a");
        assert_eq!(text(b"caf\xe9\x80", "latin-1").unwrap(), "café\u{80}");
        assert_eq!(text(b"\x80", "cp1252").unwrap(), "€");
        assert_eq!(text(b"\xe6", "cp1251").unwrap(), "ж");
        assert_eq!(text(b"\xff\xfea\x00", "utf_16").unwrap(), "a");
        assert_eq!(text(b"\xfe\xff\x00a", "utf-16").unwrap(), "a");
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        assert!(text(b"\xff", "utf-8").is_err());
        assert!(text(b"a\xc3", "utf-8").is_err());
        assert!(text(b"\x80", "ascii").is_err());
        assert!(text(b"a", "klingon").is_err());
    }
}
