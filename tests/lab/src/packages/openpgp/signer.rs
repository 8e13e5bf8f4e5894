//! A key that tests sign with, in the forms that Debian's have.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};

use super::keys::{Key, read};

#[derive(Debug)]
pub(in crate::packages) struct Signer {
    pair: Ed25519KeyPair,
    packet: Vec<u8>,
}

/// An integer of OpenPGP, that may have zeros in front.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let bits = bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize);
    [&u16::try_from(bits).unwrap().to_be_bytes()[..], bytes].concat()
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xc0 | tag, u8::try_from(body.len()).unwrap()], body].concat()
}

impl Signer {
    pub(in crate::packages) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let point = [&[0x40], pair.public_key().as_ref()].concat();
        let curve = [9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
        let body = [&[4, 0, 0, 0, 1, 22][..], &curve, &integer(&point)].concat();
        Self { pair, packet: packet(6, &body) }
    }

    /// The public key.
    pub(in crate::packages) fn key(&self) -> Key {
        read(&self.packet).pop().unwrap()
    }

    pub(in crate::packages) fn expired(&self) -> Key {
        let mut key = self.key();
        key.expires = Timestamp::UNIX_EPOCH;
        key
    }

    /// A signed text.
    pub(in crate::packages) fn sign(&self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().map(|line| line.trim_end()).collect();
        let issuer = [&[22, 33, 4][..], &self.key().fingerprint].concat();
        let signed = [&[4, 1, 22, 8, 0, 23][..], &issuer].concat();
        let trailer = [&[4, 0xff][..], &u32::try_from(signed.len()).unwrap().to_be_bytes()].concat();
        let hash = digest(&SHA256, &[lines.join("\r\n").as_bytes(), &signed, &trailer].concat());
        let signature = self.pair.sign(hash.as_ref());
        let (first, second) = signature.as_ref().split_at(32);
        let body = [&signed[..], &[0, 0], &hash.as_ref()[..2], &integer(first), &integer(second)].concat();
        let escape = |line: &&str| if line.starts_with('-') { format!("- {line}\n") } else { format!("{line}\n") };
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
            lines.iter().map(escape).collect::<String>(),
            STANDARD.encode(packet(2, &body))
        )
    }
}
