//! Names of buckets and objects, and checksums as Google writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::ApiError;

/// 3 to 63 characters (222 with dots), as the bucket naming rules say.
pub fn check_bucket(name: &str) -> Result<(), ApiError> {
    let fits = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_' | '.')
    };
    let edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    let most = if name.contains('.') { 222 } else { 63 };
    let well_formed = (3..=most).contains(&name.len())
        && name.chars().all(fits)
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && name.split('.').all(|part| (1..=63).contains(&part.len()))
        && !name.starts_with("goog")
        && !name.contains("google");
    if well_formed {
        return Ok(());
    }
    Err(ApiError::invalid(format!("Invalid bucket name: '{name}'")))
}

/// 1 to 1024 bytes of UTF-8 without line ends.
pub fn check_object(name: &str) -> Result<(), ApiError> {
    let refused = name.is_empty()
        || name.len() > 1024
        || name.contains(['\r', '\n'])
        || matches!(name, "." | "..")
        || name.starts_with(".well-known/acme-challenge/");
    if refused {
        return Err(ApiError::invalid(format!("Invalid object name: '{name}'")));
    }
    Ok(())
}

/// The location in upper case.
///
/// # Errors
/// A location of no form Google's have; whether the region exists is not known here.
pub fn location(text: &str) -> Result<String, ApiError> {
    let location = text.to_ascii_uppercase();
    if location_type(&location) != "region" {
        return Ok(location);
    }
    let well_formed = location.rsplit_once('-').is_some_and(|(area, place)| {
        let letters = place.trim_end_matches(|last: char| last.is_ascii_digit());
        area.chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '-')
            && !area.is_empty()
            && !letters.is_empty()
            && letters.len() < place.len()
            && letters.chars().all(|letter| letter.is_ascii_uppercase())
    });
    if well_formed {
        return Ok(location);
    }
    Err(ApiError::invalid(format!(
        "The specified location constraint is not valid: '{text}'."
    )))
}

pub fn location_type(location: &str) -> &'static str {
    match location {
        "US" | "EU" | "ASIA" => "multi-region",
        "NAM4" | "EUR4" | "EUR5" | "EUR7" | "EUR8" | "ASIA1" => "dual-region",
        _ => "region",
    }
}

pub fn base64_text(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A CRC32C as Google writes it: big-endian, base64.
pub fn crc32c_text(sum: u32) -> String {
    base64_text(sum.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_come_back_in_upper_case() {
        assert_eq!(
            location("australia-southeast1").unwrap(),
            "AUSTRALIA-SOUTHEAST1"
        );
        assert_eq!(location("eu").unwrap(), "EU");
        for wrong in ["sydney", "", "europe-west", "1"] {
            assert!(location(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bucket_names_follow_the_rules() {
        for name in ["acme-prod-xetl-acme", "a1b", "data.example.com"] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        let long = "a".repeat(64);
        for name in [
            "ab",
            "Acme",
            "-acme",
            "acme-",
            "goog-x",
            "my-google",
            "a..b",
            &long,
        ] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_crc32c_is_big_endian_base64() {
        assert_eq!(crc32c_text(crc32c::crc32c(b"hello world")), "yZRlqg==");
    }
}
