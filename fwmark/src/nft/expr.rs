//! The expressions that a rule is made of.

use super::attr::{Attrs, attrs, find, number, text};

const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;

/// A place of four bytes in the kernel's scratch pad, from 0. Longer values take those after it too.
pub(super) type Register = u32;

/// The scratch pad has 16 places.
pub(super) const REGISTERS: u32 = 16;

/// Bytes of it: no value and no key is longer.
pub(super) const SCRATCH_PAD: u32 = REGISTERS * 4;

/// Something of a packet that has no place in its bytes.
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

/// The comparisons of the kernel, in its order.
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
    /// Reads something of the packet.
    Meta { key: Meta, to: Register },
    /// Writes something of the packet.
    SetMeta { key: Meta, from: Register },
    /// Reads bytes of a header.
    Payload { header: Header, offset: u32, length: u32, to: Register },
    /// Goes on only if.
    Compare { from: Register, how: Comparison, value: Vec<u8> },
    /// Goes on only within these bounds, or only outside of them.
    Range { from: Register, inside: bool, first: Vec<u8>, last: Vec<u8> },
    /// Goes on only if the set has it, or has it not; of a map, reads what it has for it.
    Lookup { set: String, from: Register, to: Option<Register>, inverted: bool },
    /// Keeps the bits of the mask, and flips some.
    Bitwise { from: Register, to: Register, mask: Vec<u8>, flip: Vec<u8> },
    /// Writes a value.
    Immediate { to: Register, value: Vec<u8> },
    /// A target of iptables: its name, and what it is told.
    Target { name: String, info: Vec<u8> },
    /// Counts packets, or says what becomes of them: nothing that narrows a rule.
    Neutral,
    /// What is not known here.
    Other(String),
}

impl Expr {
    /// As an element of a rule's list.
    pub(super) fn encode(&self) -> Attrs {
        let (name, data) = match self {
            Expr::Meta { key, to } => ("meta", Attrs::new().number(2, key.number()).number(1, register(*to))),
            Expr::SetMeta { key, from } => ("meta", Attrs::new().number(2, key.number()).number(3, register(*from))),
            Expr::Payload { header, offset, length, to } => {
                let from = Attrs::new().number(1, register(*to)).number(2, header.number());
                ("payload", from.number(3, *offset).number(4, *length))
            }
            Expr::Compare { from, how, value } => {
                ("cmp", Attrs::new().number(1, register(*from)).number(2, how.number()).nest(3, data(value)))
            }
            Expr::Range { from, inside, first, last } => {
                let how = if *inside { Comparison::Equal } else { Comparison::NotEqual };
                let bounds = Attrs::new().number(1, register(*from)).number(2, how.number());
                ("range", bounds.nest(3, data(first)).nest(4, data(last)))
            }
            Expr::Lookup { set, from, to, inverted } => ("lookup", lookup(set, *from, *to, *inverted)),
            Expr::Bitwise { from, to, mask, flip } => {
                let places = Attrs::new().number(1, register(*from)).number(2, register(*to));
                ("bitwise", places.number(3, mask.len() as u32).nest(4, data(mask)).nest(5, data(flip)))
            }
            Expr::Immediate { to, value } => ("immediate", Attrs::new().number(1, register(*to)).nest(2, data(value))),
            Expr::Target { name, info } => ("target", Attrs::new().text(1, name).number(2, 0).bytes(3, info)),
            Expr::Neutral => ("counter", Attrs::new()),
            Expr::Other(name) => (name.as_str(), Attrs::new()),
        };
        Attrs::new().text(NAME, name).nest(DATA, data)
    }

    /// Reads an element of a rule's list.
    pub(super) fn decode(element: &[u8]) -> Self {
        let name = text(element, NAME).unwrap_or_default();
        let data = find(element, DATA).unwrap_or_default();
        let known = match name.as_str() {
            "meta" => decode_meta(data),
            "payload" => decode_payload(data),
            "cmp" => decode_compare(data),
            "range" => decode_range(data),
            "lookup" => decode_lookup(data),
            "bitwise" => decode_bitwise(data),
            "immediate" => decode_immediate(data),
            "target" => decode_target(data),
            "counter" | "log" | "notrack" => Some(Expr::Neutral),
            _ => None,
        };
        known.unwrap_or(Expr::Other(name))
    }
}

fn lookup(set: &str, from: Register, to: Option<Register>, inverted: bool) -> Attrs {
    let attrs = Attrs::new().text(1, set).number(2, register(from));
    let attrs = to.into_iter().fold(attrs, |attrs, to| attrs.number(3, register(to)));
    if inverted { attrs.number(5, 1) } else { attrs }
}

/// The kernel numbers the places of four bytes from 8, and those of sixteen from 1; it speaks of the latter where it can.
fn register(place: Register) -> u32 {
    8 + place
}

fn place(data: &[u8], kind: u16) -> Option<Register> {
    match number(data, kind)? {
        long @ 1..=4 => Some((long - 1) * 4),
        short => short.checked_sub(8).filter(|place| *place < REGISTERS),
    }
}

fn data(value: &[u8]) -> Attrs {
    Attrs::new().bytes(VALUE, value)
}

fn value(attrs: &[u8], kind: u16) -> Option<Vec<u8>> {
    Some(find(find(attrs, kind)?, VALUE)?.to_vec())
}

fn decode_meta(data: &[u8]) -> Option<Expr> {
    let key = Meta::of(number(data, 2)?);
    match place(data, 3) {
        Some(from) => Some(Expr::SetMeta { key, from }),
        None => Some(Expr::Meta { key, to: place(data, 1)? }),
    }
}

fn decode_payload(data: &[u8]) -> Option<Expr> {
    // One with a source writes into the packet.
    let to = place(data, 1)?;
    let length = number(data, 4).filter(|length| *length <= SCRATCH_PAD)?;
    Some(Expr::Payload { header: Header::of(number(data, 2)?), offset: number(data, 3)?, length, to })
}

fn decode_compare(data: &[u8]) -> Option<Expr> {
    Some(Expr::Compare { from: place(data, 1)?, how: Comparison::of(number(data, 2)?), value: value(data, 3)? })
}

fn decode_range(data: &[u8]) -> Option<Expr> {
    let inside = Comparison::of(number(data, 2)?) == Comparison::Equal;
    Some(Expr::Range { from: place(data, 1)?, inside, first: value(data, 3)?, last: value(data, 4)? })
}

fn decode_lookup(data: &[u8]) -> Option<Expr> {
    let inverted = number(data, 5).is_some_and(|flags| flags & 1 != 0);
    // Where a verdict map writes is no place for data.
    let to = find(data, 3).map(|_| place(data, 3));
    match to {
        Some(None) => None,
        to => Some(Expr::Lookup { set: text(data, 1)?, from: place(data, 2)?, to: to.flatten(), inverted }),
    }
}

fn decode_bitwise(data: &[u8]) -> Option<Expr> {
    // Operation 0 is this one, and was the only one once.
    let is_mask = number(data, 6).unwrap_or(0) == 0;
    let (mask, flip) = (value(data, 4)?, value(data, 5)?);
    is_mask.then_some(Expr::Bitwise { from: place(data, 1)?, to: place(data, 2)?, mask, flip })
}

fn decode_immediate(data: &[u8]) -> Option<Expr> {
    match place(data, 1) {
        Some(to) => Some(Expr::Immediate { to, value: value(data, 2)? }),
        None => Some(Expr::Neutral), // register 0 takes a verdict
    }
}

fn decode_target(data: &[u8]) -> Option<Expr> {
    Some(Expr::Target { name: text(data, 1)?, info: find(data, 3).unwrap_or_default().to_vec() })
}

/// All of a rule.
pub(super) fn decode_all(list: &[u8]) -> Vec<Expr> {
    attrs(list).map(|(_, element)| Expr::decode(element)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attr::elements;
    use super::*;

    /// Found by fuzzing: lengths are added to places.
    #[test]
    fn what_is_longer_than_the_scratch_pad_is_not_known() {
        for (length, is_known) in [(64, true), (65, false), (u32::MAX, false)] {
            let read = Expr::Payload { header: Header::Network, offset: 0, length, to: 0 };
            let expected = if is_known { read.clone() } else { Expr::Other("payload".into()) };
            assert_eq!(Expr::decode(read.encode().as_slice()), expected);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
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
