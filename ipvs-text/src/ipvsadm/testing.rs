//! What the tests of this language share.

use std::net::Ipv4Addr;

use ipvs::Protocol;

use super::value::Resolve;
use super::{Invocation, Parser, Posix, Usage, Words};

/// A system that knows one host and two ports.
#[derive(Debug)]
pub(super) struct FewNames;

impl Resolve for FewNames {
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
        (name == b"localhost").then_some(Ipv4Addr::LOCALHOST)
    }

    fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16> {
        match (name, protocol) {
            (b"http", Protocol::TCP) => Some(80),
            (b"domain", Protocol::UDP) => Some(53),
            _ => None,
        }
    }
}

/// Words separated by spaces; `''` is an empty word, `_` in a word is a space.
pub(super) fn words(line: &str) -> Words {
    line.split_ascii_whitespace()
        .map(|word| if word == "''" { String::new() } else { word.replace('_', " ") })
        .collect()
}

pub(super) fn parse(line: &str) -> Result<Invocation, Usage> {
    Parser::new(&mut FewNames, Posix(false)).parse(&words(line))
}

/// The message about the line, and the warnings.
pub(super) fn warned(line: &str) -> (Result<Invocation, Usage>, Vec<String>) {
    let mut names = FewNames;
    let mut parser = Parser::new(&mut names, Posix(false));
    let result = parser.parse(&words(line));
    let texts = parser.warnings.iter().map(|warning| {
        let mut text = Vec::new();
        warning.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    });
    (result, texts.collect())
}
