//! Texts that are signed as Debian signs its releases (RFC 9580, section 7): RSA or Ed25519 with
//! SHA-256 or SHA-512, in signatures of version 4. Anything else is no signature.
//!
//! The cryptography is that of `ring`, which the lab has anyway. OpenPGP libraries bring a hundred
//! crates for what these pages of code do.

mod keys;
mod reader;
#[cfg(test)]
pub(super) mod signer;

use std::fmt;

use jiff::Timestamp;

use keys::{Fingerprint, Hash, hex};
pub(super) use keys::{Key, debian};
use reader::{Bytes, dearmor, packets};

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// The tag of a signature's packet.
const SIGNATURE_TAG: u8 = 2;
/// A signature of text, whose lines end in CR LF.
const OF_TEXT: u8 = 1;
/// Subpackets: when the signature was made, how long it is valid, and the key that made it.
const CREATED: u8 = 2;
const EXPIRES: u8 = 3;
const ISSUER: u8 = 16;
const ISSUER_FINGERPRINT: u8 = 33;
/// Set in the type of a subpacket that must be understood.
const CRITICAL: u8 = 0x80;

/// Why a text is not trusted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// It is not a signed text, or something stands before or behind it.
    NotSigned,
    /// None of the signatures is by a trusted key. These are the keys.
    UnknownKeys(Vec<String>),
    /// The text or the signature by this key was changed.
    BadSignature(String),
    /// This trusted key has expired.
    ExpiredKey(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSigned => f.write_str("it is not a text with a signature"),
            Self::UnknownKeys(keys) => {
                write!(
                    f,
                    "it is signed by {} only: tests/lab/keys/README.md says which keys are trusted",
                    keys.join(", ")
                )
            }
            Self::BadSignature(key) => write!(f, "it is not what the key {key} has signed"),
            Self::ExpiredKey(key) => {
                write!(f, "the key {key} has expired: tests/lab/keys/README.md says how to get its successor")
            }
        }
    }
}

/// The signed text, without what surrounds it, if one of these keys has signed it.
pub(super) fn verify(message: &str, keys: &[Key], now: Timestamp) -> Result<String, Distrust> {
    let (text, signatures) = split(message).ok_or(Distrust::NotSigned)?;
    // As it was hashed.
    let hashed = text.join("\r\n");
    let (mut unknown, mut refused) = (Vec::new(), None);
    for signature in &signatures {
        // One of a later version is none that can be judged.
        let Some(signature) = Signature::parse(signature) else { continue };
        let name = hex(&signature.issuer);
        let Some(key) = keys.iter().find(|key| key.fingerprint == signature.issuer) else {
            unknown.push(name);
            continue;
        };
        if key.expires <= now {
            refused = Some(Distrust::ExpiredKey(name));
        } else if signature.is_of(&hashed, key) {
            return Ok(text.join("\n") + "\n");
        } else {
            refused = Some(Distrust::BadSignature(name));
        }
    }
    Err(refused.unwrap_or(Distrust::UnknownKeys(unknown)))
}

/// The lines of the text, without blanks at their ends and the dashes that hide other dashes; and
/// the packets of the signatures.
fn split(message: &str) -> Option<(Vec<&str>, Vec<Vec<u8>>)> {
    let mut lines = message.lines();
    if lines.next()?.trim_end() != BEGIN {
        return None;
    }
    let lines: Vec<&str> = lines.collect();
    let position = |mark: &str| lines.iter().position(|line| line.trim_end() == mark);
    let (headers, signature, end) = (position("")?, position(SIGNATURE)?, position(END)?);
    let is_header = |line: &&str| line.starts_with("Hash: ");
    let is_framed = headers < signature && signature < end && lines[..headers].iter().all(is_header);
    if !is_framed || lines[end + 1..].iter().any(|line| !line.trim().is_empty()) {
        return None;
    }
    let text = lines[headers + 1..signature].iter().map(|line| {
        let line = line.trim_end_matches([' ', '\t', '\r']);
        match line.strip_prefix("- ") {
            Some(line) => Some(line),
            None => Some(line).filter(|line| !line.starts_with('-')),
        }
    });
    let data = dearmor(&lines[signature + 1..end])?;
    let signatures = packets(&data)?;
    let signatures = signatures.into_iter().filter(|(tag, _)| *tag == SIGNATURE_TAG);
    Some((text.collect::<Option<_>>()?, signatures.map(|(_, body)| body.to_vec()).collect()))
}

/// One signature.
#[derive(Debug)]
struct Signature<'a> {
    issuer: Fingerprint,
    hash: Option<Hash>,
    /// The part of it that is signed with the text.
    signed: &'a [u8],
    integers: Bytes<'a>,
    /// Whether it is of text, and has nothing that must be understood and is not.
    is_plain: bool,
}

impl<'a> Signature<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(packet);
        let (version, kind, _algorithm, hash) = (bytes.byte()?, bytes.byte()?, bytes.byte()?, bytes.byte()?);
        let length = bytes.number(2)?;
        let mut subpackets = Bytes(bytes.take(length)?);
        let signed = &packet[..packet.len() - bytes.0.len()];
        let (mut issuer, mut is_plain) = (None, version == 4 && kind == OF_TEXT);
        while !subpackets.0.is_empty() {
            let (kind, content) = subpackets.subpacket()?;
            match kind & !CRITICAL {
                // A version, then the fingerprint.
                ISSUER_FINGERPRINT => issuer = content.strip_prefix(&[4]).and_then(|name| name.try_into().ok()),
                CREATED | ISSUER => {}
                EXPIRES => is_plain = false,
                _ => is_plain &= kind & CRITICAL == 0,
            }
        }
        let unsigned = bytes.number(2)?;
        bytes.take(unsigned)?;
        // The hash's first bytes, which would spare work if they differ.
        bytes.take(2)?;
        Some(Self { issuer: issuer?, hash: Hash::of(hash), signed, integers: bytes, is_plain })
    }

    fn is_of(&self, text: &str, key: &Key) -> bool {
        let Some(hash) = self.hash.filter(|_| self.is_plain) else { return false };
        let Ok(length) = u32::try_from(self.signed.len()) else { return false };
        let message = [text.as_bytes(), self.signed, &[4, 0xff], &length.to_be_bytes()].concat();
        key.has_signed(&message, hash, self.integers).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
