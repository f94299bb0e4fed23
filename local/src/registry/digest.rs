//! Digests: `sha256:` and 64 hexadecimal digits, the name of some exact bytes.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{0}` is no digest: `sha256:` and 64 hexadecimal digits are")]
pub struct NoDigest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(hex::encode(Sha256::digest(bytes)))
    }

    /// Reads the whole file.
    pub fn of_file(path: &Path) -> io::Result<Digest> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest(hex::encode(hasher.finalize()))),
                length => hasher.update(&buffer[..length]),
            }
        }
    }

    /// The digits without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Digest, NoDigest> {
        let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        text.strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.chars().all(digit))
            .map(|hex| Digest(hex.to_owned()))
            .ok_or_else(|| NoDigest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Digest, NoDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_the_bytes() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn other_text_is_no_digest() {
        for text in ["latest", "sha256:00", "sha512:00", "sha256:../../etc"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(
            format!("sha256:{}", "A".repeat(64))
                .parse::<Digest>()
                .is_err()
        );
    }
}
