//! The keys that are trusted: those of `keys/`, if their fingerprint is here, too.

use jiff::{Timestamp, civil::date, tz::Offset};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest},
    signature::{
        ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};

use super::reader::{Bytes, packets};

/// Debian's, by release. `keys/README.md` says how to add one.
const FILES: [&[u8]; 3] = [
    include_bytes!("../../../keys/debian-archive-bullseye-automatic.gpg"),
    include_bytes!("../../../keys/debian-archive-bookworm-automatic.gpg"),
    include_bytes!("../../../keys/debian-archive-trixie-automatic.gpg"),
];
/// The subkeys that sign the archive, with the day on which each expires.
const TRUSTED: [(&str, (i16, i8, i8)); 3] = [
    ("A7236886F3CCCAAD148A27F80E98404D386FA1D9", (2029, 1, 15)),
    ("4CB50190207B4758A3F73A796ED0E7B82643E131", (2031, 1, 19)),
    ("B8E5F13176D2A7A75220028078DBA3BC47EF2265", (2035, 3, 28)),
];

/// Tags of packets.
const PUBLIC_KEY: u8 = 6;
const PUBLIC_SUBKEY: u8 = 14;
/// Algorithms of keys.
const RSA: u8 = 1;
const EDDSA: u8 = 22;
/// The curve Ed25519, as a length and an object identifier.
const ED25519_CURVE: [u8; 10] = [9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// The SHA-1 of a key, by which OpenPGP names it.
pub(super) type Fingerprint = [u8; 20];

/// A public key.
#[derive(Debug)]
pub(in crate::packages) struct Key {
    pub(super) fingerprint: Fingerprint,
    pub(super) expires: Timestamp,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ed25519(Vec<u8>),
}

/// How a signed text was hashed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    /// By its number. Weaker ones are not accepted.
    pub(super) fn of(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Sha256),
            10 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// The trusted keys of Debian's archive.
pub(in crate::packages) fn debian() -> Vec<Key> {
    let trusted = TRUSTED.iter().map(|(name, (year, month, day))| {
        let expires = Offset::UTC.to_timestamp(date(*year, *month, *day).at(0, 0, 0, 0));
        (*name, expires.unwrap_or(Timestamp::UNIX_EPOCH))
    });
    let keys = FILES.iter().flat_map(|file| read(file));
    let keys = keys.filter_map(|key| {
        let (_, expires) = trusted.clone().find(|(name, _)| *name == hex(&key.fingerprint))?;
        Some(Key { expires, ..key })
    });
    keys.collect()
}

/// The keys of a file that this program can use. Whether they are to be trusted is another
/// question.
pub(in crate::packages) fn read(file: &[u8]) -> Vec<Key> {
    let keys = packets(file).into_iter().flatten().filter(|(tag, _)| [PUBLIC_KEY, PUBLIC_SUBKEY].contains(tag));
    keys.filter_map(|(_, body)| Key::parse(body)).collect()
}

impl Key {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let (version, _created) = (bytes.number(1)?, bytes.number(4)?);
        if version != 4 {
            return None;
        }
        let public = match bytes.byte()? {
            RSA => Public::Rsa { modulus: bytes.integer()?.to_vec(), exponent: bytes.integer()?.to_vec() },
            EDDSA if bytes.take(ED25519_CURVE.len())? == ED25519_CURVE => {
                // 0x40 says that the point is as Ed25519 writes it.
                Public::Ed25519(bytes.integer()?.strip_prefix(&[0x40])?.to_vec())
            }
            _ => return None,
        };
        let length = u16::try_from(body.len()).ok()?.to_be_bytes();
        let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&[0x99], &length[..], body].concat());
        Some(Self { fingerprint: fingerprint.as_ref().try_into().ok()?, expires: Timestamp::MAX, public })
    }

    /// Did this key sign the message? `integers` are what stands in the signature.
    pub(super) fn has_signed(&self, message: &[u8], hash: Hash, mut integers: Bytes<'_>) -> Option<bool> {
        Some(match &self.public {
            Public::Rsa { modulus, exponent } => {
                let parameters = match hash {
                    Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
                };
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, message, &padded(integers.integer()?, modulus.len())?).is_ok()
            }
            // OpenPGP has the hash signed.
            Public::Ed25519(point) => {
                let algorithm = match hash {
                    Hash::Sha256 => &SHA256,
                    Hash::Sha512 => &SHA512,
                };
                let (first, second) = (padded(integers.integer()?, 32)?, padded(integers.integer()?, 32)?);
                let message = digest(algorithm, message);
                UnparsedPublicKey::new(&ED25519, point).verify(message.as_ref(), &[first, second].concat()).is_ok()
            }
        })
    }
}

/// An integer with the zeros that OpenPGP leaves out.
fn padded(integer: &[u8], length: usize) -> Option<Vec<u8>> {
    let zeros = length.checked_sub(integer.len())?;
    Some([vec![0; zeros], integer.to_vec()].concat())
}

/// A fingerprint, as people compare it.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trusted_key_is_in_the_files_and_on_the_page() {
        let (found, page) = (debian(), include_str!("../../../keys/README.md"));
        assert_eq!(found.len(), TRUSTED.len());
        for (name, (year, month, day)) in TRUSTED {
            assert!(found.iter().any(|key| hex(&key.fingerprint) == name), "{name}");
            let groups: Vec<&str> = (0..10).map(|group| &name[group * 4..group * 4 + 4]).collect();
            let row = format!("`{}` | {year}-{month:02}-{day:02} |", groups.join(" "));
            assert!(page.contains(&row), "{row}");
        }
    }
}
