//! The expressions of a rule.

use super::attr::{self, Attrs, find, number, text};
use super::uapi::{bitwise, compare, data, expr, immediate, lookup, meta, payload, range, target};

/// A register of four bytes, from 0. Longer values take the following ones, too.
pub(super) type Register = u32;

/// The number of registers.
pub(super) const REGISTERS: u32 = 16;

/// `NFT_LOOKUP_F_INV`
const LOOKUP_IS_INVERTED: u32 = 1;

/// The bytes of all registers: no value and no key is longer.
pub(super) const REGISTER_BYTES: u32 = REGISTERS * 4;

/// A property of a packet that is not in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Meta {
    Mark,
    InputName,
    Family,
    Protocol,
    Other(u32),
}

impl Meta {
    const KNOWN: [(Meta, u32); 4] = [(Meta::Mark, 3), (Meta::InputName, 6), (Meta::Family, 15), (Meta::Protocol, 16)];

    fn number(self) -> u32 {
        match self {
            Meta::Other(number) => number,
            known => Self::KNOWN.iter().find(|(meta, _)| *meta == known).map_or(0, |(_, number)| *number),
        }
    }

    fn of(number: u32) -> Self {
        Self::KNOWN.iter().find(|(_, known)| *known == number).map_or(Meta::Other(number), |(meta, _)| *meta)
    }
}

/// The header that bytes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Header {
    Network,
    Transport,
    Other(u32),
}

impl Header {
    fn number(self) -> u32 {
        match self {
            Header::Network => 1,
            Header::Transport => 2,
            Header::Other(number) => number,
        }
    }

    fn of(number: u32) -> Self {
        match number {
            1 => Header::Network,
            2 => Header::Transport,
            number => Header::Other(number),
        }
    }
}

/// The comparisons of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Other(u32),
}

impl Comparison {
    fn number(self) -> u32 {
        match self {
            Comparison::Equal => 0,
            Comparison::NotEqual => 1,
            Comparison::AtMost => 3,
            Comparison::AtLeast => 5,
            Comparison::Other(number) => number,
        }
    }

    fn of(number: u32) -> Self {
        match number {
            0 => Comparison::Equal,
            1 => Comparison::NotEqual,
            3 => Comparison::AtMost,
            5 => Comparison::AtLeast,
            number => Comparison::Other(number),
        }
    }
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// Reads a property of the packet.
    Meta { key: Meta, to: Register },
    /// Writes a property of the packet.
    SetMeta { key: Meta, from: Register },
    /// Reads bytes of a header.
    Payload { header: Header, offset: u32, length: u32, to: Register },
    /// Continues only if the comparison is true.
    Compare { from: Register, how: Comparison, value: Vec<u8> },
    /// Continues only within these bounds, or only outside of them.
    Range { from: Register, inside: bool, first: Vec<u8>, last: Vec<u8> },
    /// Continues only if the set has the key, or only if it has not; of a map, reads the value.
    Lookup { set: String, from: Register, to: Option<Register>, inverted: bool },
    /// Keeps the bits of the mask, and flips some.
    Bitwise { from: Register, to: Register, mask: Vec<u8>, flip: Vec<u8> },
    /// Writes a value.
    Immediate { to: Register, value: Vec<u8> },
    /// A target of iptables: its name and its parameters.
    Target { name: String, info: Vec<u8> },
    /// A counter or a verdict, which is no condition.
    Neutral,
    /// An unknown expression.
    Other(String),
}

impl Expr {
    /// As an element of a rule's list.
    pub(super) fn encode(&self) -> Attrs {
        let (name, attrs) = match self {
            Expr::Meta { key, to } => {
                ("meta", Attrs::new().number(meta::KEY, key.number()).number(meta::TO, register(*to)))
            }
            Expr::SetMeta { key, from } => {
                ("meta", Attrs::new().number(meta::KEY, key.number()).number(meta::FROM, register(*from)))
            }
            Expr::Payload { header, offset, length, to } => {
                let attrs = Attrs::new().number(payload::TO, register(*to)).number(payload::HEADER, header.number());
                ("payload", attrs.number(payload::OFFSET, *offset).number(payload::LENGTH, *length))
            }
            Expr::Compare { from, how, value } => {
                let attrs = Attrs::new().number(compare::FROM, register(*from)).number(compare::HOW, how.number());
                ("cmp", attrs.nest(compare::VALUE, encode_data(value)))
            }
            Expr::Range { from, inside, first, last } => {
                let how = if *inside { Comparison::Equal } else { Comparison::NotEqual };
                let attrs = Attrs::new().number(range::FROM, register(*from)).number(range::HOW, how.number());
                ("range", attrs.nest(range::FIRST, encode_data(first)).nest(range::LAST, encode_data(last)))
            }
            Expr::Lookup { set, from, to, inverted } => ("lookup", encode_lookup(set, *from, *to, *inverted)),
            Expr::Bitwise { from, to, mask, flip } => {
                let attrs = Attrs::new().number(bitwise::FROM, register(*from)).number(bitwise::TO, register(*to));
                let attrs = attrs.number(bitwise::LENGTH, mask.len() as u32);
                ("bitwise", attrs.nest(bitwise::MASK, encode_data(mask)).nest(bitwise::FLIP, encode_data(flip)))
            }
            Expr::Immediate { to, value } => {
                let attrs = Attrs::new().number(immediate::TO, register(*to));
                ("immediate", attrs.nest(immediate::VALUE, encode_data(value)))
            }
            Expr::Target { name, info } => {
                let attrs = Attrs::new().text(target::NAME, name).number(target::REVISION, 0);
                ("target", attrs.bytes(target::INFO, info))
            }
            Expr::Neutral => ("counter", Attrs::new()),
            Expr::Other(name) => (name.as_str(), Attrs::new()),
        };
        Attrs::new().text(expr::NAME, name).nest(expr::DATA, attrs)
    }

    /// Reads an element of a rule's list.
    pub(super) fn decode(element: &[u8]) -> Self {
        let name = text(element, expr::NAME).unwrap_or_default();
        let attrs = find(element, expr::DATA).unwrap_or_default();
        let known = match name.as_str() {
            "meta" => decode_meta(attrs),
            "payload" => decode_payload(attrs),
            "cmp" => decode_compare(attrs),
            "range" => decode_range(attrs),
            "lookup" => decode_lookup(attrs),
            "bitwise" => decode_bitwise(attrs),
            "immediate" => decode_immediate(attrs),
            "target" => decode_target(attrs),
            "counter" | "log" | "notrack" => Some(Expr::Neutral),
            _ => None,
        };
        known.unwrap_or(Expr::Other(name))
    }
}

fn encode_lookup(set: &str, from: Register, to: Option<Register>, inverted: bool) -> Attrs {
    let attrs = Attrs::new().text(lookup::SET, set).number(lookup::FROM, register(from));
    let attrs = to.into_iter().fold(attrs, |attrs, to| attrs.number(lookup::TO, register(to)));
    if inverted { attrs.number(lookup::FLAGS, LOOKUP_IS_INVERTED) } else { attrs }
}

/// The kernel numbers registers of four bytes from 8 and those of sixteen from 1, and prefers the
/// latter.
fn register(place: Register) -> u32 {
    8 + place
}

fn place(attrs: &[u8], kind: u16) -> Option<Register> {
    match number(attrs, kind)? {
        long @ 1..=4 => Some((long - 1) * 4),
        short => short.checked_sub(8).filter(|place| *place < REGISTERS),
    }
}

fn encode_data(value: &[u8]) -> Attrs {
    Attrs::new().bytes(data::VALUE, value)
}

fn value(attrs: &[u8], kind: u16) -> Option<Vec<u8>> {
    Some(find(find(attrs, kind)?, data::VALUE)?.to_vec())
}

fn decode_meta(attrs: &[u8]) -> Option<Expr> {
    let key = Meta::of(number(attrs, meta::KEY)?);
    match place(attrs, meta::FROM) {
        Some(from) => Some(Expr::SetMeta { key, from }),
        None => Some(Expr::Meta { key, to: place(attrs, meta::TO)? }),
    }
}

fn decode_payload(attrs: &[u8]) -> Option<Expr> {
    // With a source, it writes into the packet.
    let to = place(attrs, payload::TO)?;
    let length = number(attrs, payload::LENGTH).filter(|length| *length <= REGISTER_BYTES)?;
    Some(Expr::Payload {
        header: Header::of(number(attrs, payload::HEADER)?),
        offset: number(attrs, payload::OFFSET)?,
        length,
        to,
    })
}

fn decode_compare(attrs: &[u8]) -> Option<Expr> {
    Some(Expr::Compare {
        from: place(attrs, compare::FROM)?,
        how: Comparison::of(number(attrs, compare::HOW)?),
        value: value(attrs, compare::VALUE)?,
    })
}

fn decode_range(attrs: &[u8]) -> Option<Expr> {
    let inside = Comparison::of(number(attrs, range::HOW)?) == Comparison::Equal;
    Some(Expr::Range {
        from: place(attrs, range::FROM)?,
        inside,
        first: value(attrs, range::FIRST)?,
        last: value(attrs, range::LAST)?,
    })
}

fn decode_lookup(attrs: &[u8]) -> Option<Expr> {
    let inverted = number(attrs, lookup::FLAGS).is_some_and(|flags| flags & LOOKUP_IS_INVERTED != 0);
    // A verdict map writes no data.
    let to = find(attrs, lookup::TO).map(|_| place(attrs, lookup::TO));
    match to {
        Some(None) => None,
        to => Some(Expr::Lookup {
            set: text(attrs, lookup::SET)?,
            from: place(attrs, lookup::FROM)?,
            to: to.flatten(),
            inverted,
        }),
    }
}

fn decode_bitwise(attrs: &[u8]) -> Option<Expr> {
    // Operation 0 is masking; old kernels have no other.
    let is_mask = number(attrs, bitwise::OPERATION).unwrap_or(0) == 0;
    let (mask, flip) = (value(attrs, bitwise::MASK)?, value(attrs, bitwise::FLIP)?);
    is_mask.then_some(Expr::Bitwise { from: place(attrs, bitwise::FROM)?, to: place(attrs, bitwise::TO)?, mask, flip })
}

fn decode_immediate(attrs: &[u8]) -> Option<Expr> {
    match place(attrs, immediate::TO) {
        Some(to) => Some(Expr::Immediate { to, value: value(attrs, immediate::VALUE)? }),
        None => Some(Expr::Neutral), // register 0 takes a verdict
    }
}

fn decode_target(attrs: &[u8]) -> Option<Expr> {
    Some(Expr::Target {
        name: text(attrs, target::NAME)?,
        info: find(attrs, target::INFO).unwrap_or_default().to_vec(),
    })
}

/// All expressions of a rule.
pub(super) fn decode_all(list: &[u8]) -> Vec<Expr> {
    attr::attrs(list).map(|(_, element)| Expr::decode(element)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attr::elements;
    use super::*;

    /// Found by fuzzing: lengths are added to registers.
    #[test]
    fn longer_values_than_the_registers_are_unknown() {
        for (length, is_known) in [(64, true), (65, false), (u32::MAX, false)] {
            let read = Expr::Payload { header: Header::Network, offset: 0, length, to: 0 };
            let expected = if is_known { read.clone() } else { Expr::Other("payload".into()) };
            assert_eq!(Expr::decode(read.encode().as_slice()), expected);
        }
    }

    #[test]
    fn encoded_expressions_are_decoded() {
        let all = [
            Expr::Meta { key: Meta::Family, to: 3 },
            Expr::Meta { key: Meta::Other(99), to: 0 },
            Expr::SetMeta { key: Meta::Mark, from: 15 },
            Expr::Payload { header: Header::Network, offset: 16, length: 4, to: 4 },
            Expr::Compare { from: 0, how: Comparison::NotEqual, value: vec![2] },
            Expr::Range { from: 0, inside: false, first: vec![0, 1], last: vec![0, 9] },
            Expr::Lookup { set: "a".into(), from: 1, to: None, inverted: true },
            Expr::Lookup { set: "a".into(), from: 1, to: Some(2), inverted: false },
            Expr::Bitwise { from: 1, to: 2, mask: vec![255; 4], flip: vec![0; 4] },
            Expr::Immediate { to: 0, value: vec![1, 2, 3, 4] },
            Expr::Target { name: "MARK".into(), info: vec![1; 8] },
            Expr::Neutral,
            Expr::Other("dynset".into()),
        ];
        let list = Attrs::new().list(1, all.iter().map(Expr::encode));
        let list = find(list.as_slice(), 1).unwrap();
        assert_eq!(elements(list).map(Expr::decode).collect::<Vec<_>>(), all);
    }
}
