//! Signatures of JSON Web Tokens: an algorithm's name and a key to a signature's bytes.
//!
//! The only file that knows the crates for signing and for encrypted keys. Nothing
//! here repeats a key in an error.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as sign, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use secrecy::zeroize::Zeroizing;

/// A key as PEM holds it.
struct Pem {
    label: String,
    der: Zeroizing<Vec<u8>>,
}

/// Signs `message` with a key that is a text (`HS*`) or PEM (all others).
pub fn signature(
    algorithm: &str,
    key: &str,
    passphrase: Option<&str>,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    match algorithm {
        "HS256" => by_secret(hmac::HMAC_SHA256, key, message),
        "HS384" => by_secret(hmac::HMAC_SHA384, key, message),
        "HS512" => by_secret(hmac::HMAC_SHA512, key, message),
        "RS256" => by_rsa(&sign::RSA_PKCS1_SHA256, &open(key, passphrase)?, message),
        "RS384" => by_rsa(&sign::RSA_PKCS1_SHA384, &open(key, passphrase)?, message),
        "RS512" => by_rsa(&sign::RSA_PKCS1_SHA512, &open(key, passphrase)?, message),
        "PS256" => by_rsa(&sign::RSA_PSS_SHA256, &open(key, passphrase)?, message),
        "PS384" => by_rsa(&sign::RSA_PSS_SHA384, &open(key, passphrase)?, message),
        "PS512" => by_rsa(&sign::RSA_PSS_SHA512, &open(key, passphrase)?, message),
        "ES256" => by_curve(
            &sign::ECDSA_P256_SHA256_FIXED_SIGNING,
            &open(key, passphrase)?,
            message,
        ),
        "ES256K" => by_curve(
            &sign::ECDSA_P256K1_SHA256_FIXED_SIGNING,
            &open(key, passphrase)?,
            message,
        ),
        "ES384" => by_curve(
            &sign::ECDSA_P384_SHA384_FIXED_SIGNING,
            &open(key, passphrase)?,
            message,
        ),
        "ES512" => by_curve(
            &sign::ECDSA_P521_SHA512_FIXED_SIGNING,
            &open(key, passphrase)?,
            message,
        ),
        "EdDSA" => by_edwards(&open(key, passphrase)?, message),
        other => Err(format!("the algorithm `{other}` is not known")),
    }
}

fn by_secret(algorithm: hmac::Algorithm, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
    if key.is_empty() {
        return Err("the secret key is empty".to_owned());
    }
    if key.contains("-----BEGIN ") {
        return Err("the key is an asymmetric one, but the algorithm takes a secret".to_owned());
    }
    let key = hmac::Key::new(algorithm, key.as_bytes());
    Ok(hmac::sign(&key, message).as_ref().to_vec())
}

fn by_rsa(
    padding: &'static dyn sign::RsaEncoding,
    pem: &Pem,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let pair = match pem.label.as_str() {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&pem.der),
        _ => RsaKeyPair::from_pkcs8(&pem.der),
    };
    let pair = pair.map_err(|error| format!("the key is no RSA key to sign with: {error}"))?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| "the RSA key cannot sign".to_owned())?;
    Ok(signature)
}

fn by_curve(
    curve: &'static sign::EcdsaSigningAlgorithm,
    pem: &Pem,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let pair = match pem.label.as_str() {
        "EC PRIVATE KEY" => EcdsaKeyPair::from_private_key_der(curve, &pem.der),
        _ => EcdsaKeyPair::from_pkcs8(curve, &pem.der),
    };
    let pair =
        pair.map_err(|error| format!("the key is none of the algorithm's curve: {error}"))?;
    let signature = pair.sign(&SystemRandom::new(), message);
    let signature = signature.map_err(|_| "the key cannot sign".to_owned())?;
    Ok(signature.as_ref().to_vec())
}

fn by_edwards(pem: &Pem, message: &[u8]) -> Result<Vec<u8>, String> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem.der)
        .map_err(|error| format!("the key is no Ed25519 key: {error}"))?;
    Ok(pair.sign(message).as_ref().to_vec())
}

/// The key in the PEM text, decrypted where it is encrypted.
fn open(text: &str, passphrase: Option<&str>) -> Result<Pem, String> {
    let pem = decode(text).ok_or("the key is no PEM (`-----BEGIN PRIVATE KEY-----` ...)")?;
    match (pem.label.as_str(), passphrase) {
        ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => decrypt(&pem.der, passphrase),
        ("ENCRYPTED PRIVATE KEY", None) => {
            Err("the key is encrypted; set its `passphrase`".to_owned())
        }
        (_, Some(_)) => Err("a `passphrase` is set, but the key is not encrypted".to_owned()),
        _ => Ok(pem),
    }
}

fn decrypt(der: &[u8], passphrase: &str) -> Result<Pem, String> {
    let key = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| format!("the encrypted key cannot be read: {error}"))?;
    let document = key
        .decrypt(passphrase)
        .map_err(|_| "the key cannot be decrypted with this `passphrase`".to_owned())?;
    Ok(Pem {
        label: "PRIVATE KEY".to_owned(),
        der: Zeroizing::new(document.as_bytes().to_vec()),
    })
}

fn decode(text: &str) -> Option<Pem> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: String = body.split_whitespace().collect();
    Some(Pem {
        label: label.to_owned(),
        der: Zeroizing::new(STANDARD.decode(body).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        EcdsaSigningAlgorithm, KeyPair, UnparsedPublicKey, VerificationAlgorithm,
    };
    use pkcs8::PrivateKeyInfoRef;
    use pkcs8::pkcs5::pbes2::Parameters;

    use super::*;

    #[test]
    fn a_secret_signs_as_known() {
        // RFC 4231, test case 2.
        let signature = signature("HS256", "Jefe", None, b"what do ya want for nothing?").unwrap();
        assert_eq!(
            hex::encode(signature),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn every_asymmetric_algorithm_signs_what_its_public_key_verifies() {
        let curves: [(_, &EcdsaSigningAlgorithm, &dyn VerificationAlgorithm); 4] = [
            (
                "ES256",
                &sign::ECDSA_P256_SHA256_FIXED_SIGNING,
                &sign::ECDSA_P256_SHA256_FIXED,
            ),
            (
                "ES256K",
                &sign::ECDSA_P256K1_SHA256_FIXED_SIGNING,
                &sign::ECDSA_P256K1_SHA256_FIXED,
            ),
            (
                "ES384",
                &sign::ECDSA_P384_SHA384_FIXED_SIGNING,
                &sign::ECDSA_P384_SHA384_FIXED,
            ),
            (
                "ES512",
                &sign::ECDSA_P521_SHA512_FIXED_SIGNING,
                &sign::ECDSA_P521_SHA512_FIXED,
            ),
        ];
        for (name, curve, verify) in curves {
            let document = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(curve, document.as_ref()).unwrap();
            let key = pem("PRIVATE KEY", document.as_ref());
            let signed = signature(name, &key, None, b"message").unwrap();
            let public = UnparsedPublicKey::new(verify, pair.public_key().as_ref());
            assert!(public.verify(b"message", &signed).is_ok(), "{name}");
        }
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = pem("PRIVATE KEY", der.as_ref());
        let paddings: [(_, &dyn VerificationAlgorithm); 2] = [
            ("RS256", &sign::RSA_PKCS1_2048_8192_SHA256),
            ("PS512", &sign::RSA_PSS_2048_8192_SHA512),
        ];
        for (name, verify) in paddings {
            let signed = signature(name, &key, None, b"message").unwrap();
            let public = UnparsedPublicKey::new(verify, pair.public_key().as_ref());
            assert!(public.verify(b"message", &signed).is_ok(), "{name}");
        }
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_ref()).unwrap();
        let key = pem("PRIVATE KEY", document.as_ref());
        let signed = signature("EdDSA", &key, None, b"message").unwrap();
        let public = UnparsedPublicKey::new(&sign::ED25519, pair.public_key().as_ref());
        assert!(public.verify(b"message", &signed).is_ok());
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let plain = PrivateKeyInfoRef::try_from(document.as_ref()).unwrap();
        let way = Parameters::generate_pbkdf2_sha256_aes256cbc(100, &[7; 16], [9; 16]).unwrap();
        let locked = plain.encrypt_with_params(way, "open sesame").unwrap();
        let key = pem("ENCRYPTED PRIVATE KEY", locked.as_bytes());
        let sign = |passphrase| signature("EdDSA", &key, passphrase, b"message");
        let unlocked = signature(
            "EdDSA",
            &pem("PRIVATE KEY", document.as_ref()),
            None,
            b"message",
        );
        assert_eq!(sign(Some("open sesame")), unlocked);
        assert!(sign(Some("wrong")).unwrap_err().contains("passphrase"));
        assert!(sign(None).unwrap_err().contains("encrypted"));
    }

    #[test]
    fn a_key_of_the_wrong_kind_is_named_without_its_text() {
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        let problem = |algorithm, key, passphrase| {
            signature(algorithm, key, passphrase, b"message").unwrap_err()
        };
        assert!(problem("HS256", pem, None).contains("asymmetric"));
        assert!(problem("RS256", "hunter22", None).contains("no PEM"));
        assert!(problem("RS256", pem, Some("x")).contains("not encrypted"));
        assert!(!problem("ES256", pem, None).contains("AAAA"));
    }
}
