//! An image as a client's file pins it, by its digest. Pure.

use std::fmt;
use std::str::FromStr;

use super::place::Place;

/// `sha256:...`, an image of the client's own repository, or `HOST/PATH@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` pins no image: write a digest, `sha256:` and 64 hex digits, or HOST/PATH@sha256:..."
)]
pub struct NoPin(String);

impl FromStr for Pin {
    type Err = NoPin;

    fn from_str(text: &str) -> Result<Pin, NoPin> {
        let pin = Pin(text.to_owned());
        let is_name = text == pin.digest() || Place::parse(text).is_ok();
        match is_name && is_digest(pin.digest()) {
            true => Ok(pin),
            false => Err(NoPin(text.to_owned())),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pin {
    fn digest(&self) -> &str {
        self.0
            .rsplit_once('@')
            .map_or(&*self.0, |(_, digest)| digest)
    }

    /// Whether a full name is that image: a digest alone is one wherever it is.
    pub fn is_of(&self, name: &str) -> bool {
        name == self.0
            || name
                .rsplit_once('@')
                .is_some_and(|(_, digest)| digest == self.0)
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    hex.len() == 64 && hex.bytes().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_digest_pins_nothing() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        for good in [digest.clone(), format!("r-docker.pkg.dev/p/r/i@{digest}")] {
            assert_eq!(good.parse::<Pin>().unwrap().to_string(), good);
        }
        let short = "sha256:zz";
        for bad in [
            "",
            "latest",
            short,
            "r-docker.pkg.dev/p/r/i:v1",
            "A b@sha256:",
            "sha512:ab",
        ] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_the_image_in_any_repository() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let (one, other) = (format!("r1/p/a/i@{digest}"), format!("r1/p/b/i@{digest}"));
        let pin = |text: &str| text.parse::<Pin>().unwrap();
        assert!(pin(&digest).is_of(&one) && pin(&digest).is_of(&other));
        assert!(pin(&one).is_of(&one) && !pin(&one).is_of(&other));
        assert!(!pin(&digest).is_of("r1/p/a/i:latest"));
    }
}
