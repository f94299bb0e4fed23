//! `ast.literal_eval`: text to a value where it is a Python literal.

use crate::value::{Object, Value};

/// The value `text` is a literal of; `None` where it is none.
pub fn evaluate(text: &str) -> Option<Value> {
    let mut reader = Reader {
        rest: text.trim_start_matches([' ', '\t']),
        depth: 0,
    };
    let value = reader.tuple_or_value()?;
    reader.space();
    let rest = reader.rest.trim_start();
    // A comment may end a line; what follows it on the next must be nothing.
    let rest = match rest.strip_prefix('#') {
        Some(comment) => comment
            .split_once('\n')
            .map_or("", |(_, after)| after.trim()),
        None => rest,
    };
    rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

/// Deeper than this is no one's template.
const DEEPEST: usize = 200;

impl<'t> Reader<'t> {
    fn space(&mut self) {
        self.rest = match self.depth {
            0 => self.rest.trim_start_matches([' ', '\t']),
            _ => self.rest.trim_start(),
        };
    }

    fn take(&mut self, mark: char) -> bool {
        self.space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A value, or values with commas between, which are a tuple without brackets.
    fn tuple_or_value(&mut self) -> Option<Value> {
        let first = self.value()?;
        if !self.take(',') {
            return Some(first);
        }
        let mut values = vec![first];
        while !self.rest.trim_start().is_empty() && !self.rest.starts_with(')') {
            values.push(self.value()?);
            if !self.take(',') {
                break;
            }
        }
        Some(Value::Array(values))
    }

    fn value(&mut self) -> Option<Value> {
        self.space();
        match self.rest.chars().next()? {
            '[' => self.bracketed(']').map(Value::Array),
            '(' => self.parenthesised(),
            '{' => self.braced(),
            '\'' | '"' => self.strings(),
            '-' | '+' | '.' | '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    fn bracketed(&mut self, end: char) -> Option<Vec<Value>> {
        self.rest = &self.rest[1..];
        self.inside(|reader| {
            let mut values = Vec::new();
            while !reader.take(end) {
                values.push(reader.value()?);
                if !reader.take(',') {
                    return reader.take(end).then_some(values);
                }
            }
            Some(values)
        })
    }

    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let result = (self.depth < DEEPEST).then(|| read(self)).flatten();
        self.depth -= 1;
        result
    }

    fn parenthesised(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        self.inside(|reader| {
            if reader.take(')') {
                return Some(Value::Array(Vec::new()));
            }
            let value = reader.tuple_or_value()?;
            reader.take(')').then_some(value)
        })
    }

    /// A dictionary, or a set, which becomes a list.
    fn braced(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        self.inside(|reader| {
            let (mut fields, mut values) = (Object::default(), Vec::new());
            while !reader.take('}') {
                let key = reader.value()?;
                if reader.take(':') {
                    fields.insert(super::python::text(&key), reader.value()?);
                } else {
                    values.push(key);
                }
                if !reader.take(',') && !reader.rest.trim_start().starts_with('}') {
                    return None;
                }
            }
            match (fields.is_empty(), values.is_empty()) {
                (_, true) => Some(Value::Object(fields)),
                (true, false) => Some(Value::Array(values)),
                (false, false) => None,
            }
        })
    }

    /// String literals side by side are one string.
    fn strings(&mut self) -> Option<Value> {
        let mut text = String::new();
        loop {
            self.space();
            match self.rest.chars().next() {
                Some(mark @ ('\'' | '"')) => self.string(mark, false, &mut text)?,
                _ => return Some(Value::String(text)),
            }
        }
    }

    fn string(&mut self, mark: char, raw: bool, text: &mut String) -> Option<()> {
        let triple: String = std::iter::repeat_n(mark, 3).collect();
        let end = if self.rest.starts_with(&triple) {
            triple
        } else {
            mark.to_string()
        };
        self.rest = &self.rest[end.len()..];
        loop {
            if let Some(rest) = self.rest.strip_prefix(end.as_str()) {
                self.rest = rest;
                return Some(());
            }
            let letter = self.rest.chars().next()?;
            self.rest = &self.rest[letter.len_utf8()..];
            match letter {
                '\n' if end.len() == 1 => return None,
                '\\' if !raw => self.escape(text)?,
                letter => text.push(letter),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let code = self.rest.chars().next()?;
        self.rest = &self.rest[code.len_utf8()..];
        match code {
            '\n' => {}
            '\\' | '\'' | '"' => text.push(code),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'f' => text.push('\x0c'),
            'v' => text.push('\x0b'),
            'x' => text.push(self.hex(2)?),
            'u' => text.push(self.unicode()?),
            'U' => text.push(self.hex(8)?),
            '0'..='7' => text.push(self.octal(code)?),
            'N' => return None,
            other => {
                text.push('\\');
                text.push(other);
            }
        }
        Some(())
    }

    fn hex(&mut self, length: usize) -> Option<char> {
        char::from_u32(self.hex_number(length)?)
    }

    fn hex_number(&mut self, length: usize) -> Option<u32> {
        let number = u32::from_str_radix(self.rest.get(..length)?, 16).ok()?;
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// A pair of surrogates, as JSON text in a literal has them, is one letter.
    fn unicode(&mut self) -> Option<char> {
        let high = self.hex_number(4)?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        let low = self.hex_number(4)?.checked_sub(0xdc00)?;
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)
    }

    fn octal(&mut self, first: char) -> Option<char> {
        let more = self
            .rest
            .bytes()
            .take(2)
            .take_while(|byte| (b'0'..=b'7').contains(byte))
            .count();
        let digits = format!("{first}{}", &self.rest[..more]);
        self.rest = &self.rest[more..];
        char::from_u32(u32::from_str_radix(&digits, 8).ok()?)
    }

    fn number(&mut self) -> Option<Value> {
        // A literal has one sign at most: `--1` is none.
        let sign = match self.rest.chars().next() {
            Some('-') => "-",
            _ => "",
        };
        let signed = self.rest.starts_with(['-', '+']);
        if signed {
            self.rest = &self.rest[1..];
            self.space();
        }
        let length = number_length(self.rest);
        let (digits, rest) = self.rest.split_at(length);
        if signed && digits.is_empty() {
            return None;
        }
        self.rest = rest;
        number(sign, digits)
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "None" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "r" | "R" | "u" | "U" if rest.starts_with(['\'', '"']) => {
                let mut text = String::new();
                let mark = rest.chars().next()?;
                self.string(mark, word.eq_ignore_ascii_case("r"), &mut text)?;
                Some(Value::String(text))
            }
            "set" => {
                self.rest = self.rest.strip_prefix("()")?;
                Some(Value::Array(Vec::new()))
            }
            _ => None,
        }
    }
}

fn number_length(text: &str) -> usize {
    let mut previous = ' ';
    text.find(|letter: char| {
        let inside = letter.is_ascii_alphanumeric()
            || letter == '.'
            || letter == '_'
            || (matches!(letter, '+' | '-') && matches!(previous, 'e' | 'E'));
        previous = letter;
        !inside
    })
    .unwrap_or(text.len())
}

fn number(sign: &str, digits: &str) -> Option<Value> {
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let digits = digits.replace('_', "");
    if let Some(radix) = radix(&digits) {
        let number = i64::from_str_radix(&digits[2..], radix).ok()?;
        return Some(Value::number(&format!("{sign}{number}")));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let zero = digits.bytes().all(|byte| byte == b'0');
        return match (zero, digits.starts_with('0')) {
            (true, _) => Some(Value::Int(0)),
            (false, true) => None,
            (false, false) => Some(Value::number(&format!("{sign}{digits}"))),
        };
    }
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let float: f64 = plain.then(|| digits.parse().ok()).flatten()?;
    if !float.is_finite() {
        return None;
    }
    Some(Value::Number(
        format!("{sign}{}", super::python::float(float)).into(),
    ))
}

fn radix(digits: &str) -> Option<u32> {
    match digits.get(..2)?.to_ascii_lowercase().as_str() {
        "0x" => Some(16),
        "0o" => Some(8),
        "0b" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<String> {
        evaluate(text).map(|value| super::super::python::repr(&value))
    }

    #[test]
    fn literals_become_values() {
        for (text, value) in [
            ("5", "5"),
            ("'5'", "'5'"),
            (" 1_000", "1000"),
            ("1e5", "100000.0"),
            ("-.5", "-0.5"),
            ("0x10", "16"),
            ("None", "None"),
            ("[1, 'a', {'k': (1, 2)}]", "[1, 'a', {'k': [1, 2]}]"),
            ("1,2", "[1, 2]"),
            ("'a' \"b\"", "'ab'"),
            ("\"\"\"{\"a\": 1}\"\"\"", "'{\"a\": 1}'"),
            ("{1, 2}", "[1, 2]"),
            ("{}", "{}"),
            ("(1,)", "[1]"),
            ("(1)", "1"),
        ] {
            assert_eq!(written(text).as_deref(), Some(value), "{text}");
        }
    }

    #[test]
    fn other_text_stays_text() {
        for text in [
            "",
            "abc",
            "true",
            "null",
            "2024-01-01",
            "2024-10-10",
            "007",
            "1.2.3",
            "12abc",
            "[1, 2",
            "{'a': }",
            "a,b",
            "'open",
            "1 2",
            "--",
            "12:30",
            "1+1",
            "nan",
        ] {
            assert_eq!(written(text), None, "{text}");
        }
    }
}
