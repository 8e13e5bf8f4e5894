//! What a rule does, from its expressions: which packets it matches, and what it does to their
//! marks.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipvs::Family;

use super::expr::{Comparison, Expr, Header, Meta, REGISTER_BYTES, Register};
use crate::foreign::Effect;
use crate::interface::InterfacePattern;
use crate::ports::{PortRange, Ports};
use crate::selector::{Selector, Span};

/// More alternatives than this are not distinguished.
const ALTERNATIVES: usize = 200_000;

/// The elements of a set or a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    /// Bytes of a key.
    pub(super) key_length: u32,
    pub(super) elements: Vec<SetElement>,
}

/// Keys from a first to a last one, in each of their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetElement {
    pub(super) first: Vec<u8>,
    pub(super) last: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) comment: Option<String>,
}

/// Packets whose mark a rule writes in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) selector: Selector,
    pub(super) effect: Effect,
    /// The comment of the element that was found.
    pub(super) comment: Option<String>,
}

/// What a rule does to packets of `all`.
pub(super) fn outcomes(rule: &[Expr], all: Selector, sets: &HashMap<String, Set>) -> Vec<Outcome> {
    let first = Alternative { selector: all, found: None, comment: None };
    let mut run = Run {
        sets,
        registers: HashMap::new(),
        alternatives: vec![first],
        unknown_expression: None,
        outcomes: Vec::new(),
    };
    rule.iter().for_each(|expr| run.step(expr));
    run.outcomes
}

/// What a register holds.
#[derive(Clone, Debug)]
enum Content {
    Field(Field),
    /// Some bits of an address; the others are 0.
    Masked(Field, Vec<u8>),
    /// The mark, with bits kept and flipped.
    Mark {
        keep: u32,
        flip: u32,
    },
    Value(Vec<u8>),
    /// The value from the last map.
    Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Family,
    Interface,
    Source(Family),
    Destination(Family),
    Protocol,
    Port,
    /// Anything else, with its size in bytes.
    Other(u32),
}

impl Field {
    fn size(self) -> u32 {
        match self {
            Field::Family | Field::Protocol => 1,
            Field::Port => 2,
            Field::Interface => 16,
            Field::Source(Family::V4) | Field::Destination(Family::V4) => 4,
            Field::Source(Family::V6) | Field::Destination(Family::V6) => 16,
            Field::Other(size) => size,
        }
    }
}

#[derive(Clone, Debug)]
struct Alternative {
    selector: Selector,
    found: Option<Vec<u8>>,
    comment: Option<String>,
}

struct Run<'a> {
    sets: &'a HashMap<String, Set>,
    registers: HashMap<Register, Content>,
    alternatives: Vec<Alternative>,
    /// The last unknown expression: registers may hold anything since.
    unknown_expression: Option<&'a str>,
    outcomes: Vec<Outcome>,
}

impl<'a> Run<'a> {
    fn step(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Meta { key, to } => self.put(*to, content_of_meta(*key)),
            Expr::SetMeta { key: Meta::Mark, from } => self.write_mark(*from),
            Expr::Payload { header, offset, length, to } => self.load(*header, *offset, *length, *to),
            Expr::Compare { from, how, value } => self.compare(*from, *how, value),
            Expr::Range { from, inside: true, first, last } => self.limit(*from, first, last),
            Expr::Range { .. } => self.narrow(),
            Expr::Lookup { set, from, to, inverted: false } => self.look_up(set, *from, *to),
            Expr::Lookup { .. } => self.narrow(),
            Expr::Bitwise { from, to, mask, flip } => self.mask(*from, *to, mask, flip),
            Expr::Immediate { to, value } => self.put(*to, Content::Value(value.clone())),
            Expr::Target { name, info } => self.target(name, info),
            Expr::Other(name) => {
                self.unknown_expression = Some(name);
                self.registers.clear();
                self.narrow();
            }
            Expr::SetMeta { .. } | Expr::Neutral => {}
        }
    }

    fn put(&mut self, to: Register, content: Content) {
        self.registers.insert(to, content);
    }

    /// There is an unknown condition.
    fn narrow(&mut self) {
        self.alternatives.iter_mut().for_each(|alternative| alternative.selector.is_narrower = true);
    }

    fn load(&mut self, header: Header, offset: u32, length: u32, to: Register) {
        let family = self.alternatives.first().and_then(|alternative| alternative.selector.family);
        // A shorter value is a network whose prefix is whole bytes.
        let field = match (header, offset, family) {
            (Header::Network, 12, Some(Family::V4)) if length <= 4 => Field::Source(Family::V4),
            (Header::Network, 16, Some(Family::V4)) if length <= 4 => Field::Destination(Family::V4),
            (Header::Network, 8, Some(Family::V6)) if length <= 16 => Field::Source(Family::V6),
            (Header::Network, 24, Some(Family::V6)) if length <= 16 => Field::Destination(Family::V6),
            (Header::Transport, 2, _) if length == 2 => Field::Port,
            _ => Field::Other(length),
        };
        self.put(to, Content::Field(field));
    }

    fn compare(&mut self, from: Register, how: Comparison, value: &[u8]) {
        match (self.registers.get(&from).cloned(), how) {
            (Some(Content::Field(field)), Comparison::Equal) => self.limit_field(field, value, value),
            (Some(Content::Field(field)), Comparison::AtLeast) => {
                self.limit_field(field, value, &vec![u8::MAX; value.len()]);
            }
            (Some(Content::Field(field)), Comparison::AtMost) => self.limit_field(field, &vec![0; value.len()], value),
            (Some(Content::Masked(field, mask)), Comparison::Equal) => {
                let last: Vec<u8> = value.iter().zip(&mask).map(|(byte, mask)| byte | !mask).collect();
                // A mask with holes matches fewer than all addresses between.
                let is_prefix = mask.iter().map(|byte| byte.count_ones()).sum::<u32>() == leading_ones(&mask);
                self.limit_field(field, value, &last);
                if !is_prefix {
                    self.narrow();
                }
            }
            _ => self.narrow(),
        }
    }

    fn limit(&mut self, from: Register, first: &[u8], last: &[u8]) {
        match self.registers.get(&from) {
            Some(Content::Field(field)) => self.limit_field(*field, first, last),
            _ => self.narrow(),
        }
    }

    fn limit_field(&mut self, field: Field, first: &[u8], last: &[u8]) {
        self.alternatives.retain_mut(|alternative| limit(&mut alternative.selector, field, first, last));
    }

    fn look_up(&mut self, set: &str, from: Register, to: Option<Register>) {
        let sets = self.sets;
        let known = sets.get(set).and_then(|set| Some((set, self.fields(from, set.key_length)?)));
        let known = known.filter(|(set, _)| self.alternatives.len().saturating_mul(set.elements.len()) <= ALTERNATIVES);
        if let Some(to) = to {
            self.put(to, Content::Found);
        }
        let Some((set, fields)) = known else {
            self.alternatives.iter_mut().for_each(|alternative| alternative.found = None);
            return self.narrow();
        };
        let old = std::mem::take(&mut self.alternatives);
        for alternative in &old {
            self.alternatives.extend(set.elements.iter().filter_map(|element| alternative.found(element, &fields)));
        }
    }

    /// The fields of a key; each starts in a new register.
    fn fields(&self, from: Register, key_length: u32) -> Option<Vec<Field>> {
        if key_length > REGISTER_BYTES {
            return None;
        }
        let mut fields = Vec::new();
        let mut place = 0;
        while place * 4 < key_length {
            let field = match self.registers.get(&(from + place))? {
                Content::Field(field) => *field,
                Content::Mark { .. } => Field::Other(4),
                _ => return None,
            };
            place += field.size().div_ceil(4).max(1);
            fields.push(field);
        }
        Some(fields)
    }

    fn mask(&mut self, from: Register, to: Register, mask: &[u8], flip: &[u8]) {
        let word = |bytes: &[u8]| bytes.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk));
        let content = match (self.registers.get(&from), word(mask), word(flip)) {
            (Some(Content::Mark { keep: u32::MAX, flip: 0 }), Some(keep), Some(flip)) => Content::Mark { keep, flip },
            (Some(Content::Field(field)), ..) if flip.iter().all(|byte| *byte == 0) => {
                Content::Masked(*field, mask.to_vec())
            }
            _ => {
                self.registers.remove(&to);
                return;
            }
        };
        self.put(to, content);
    }

    fn write_mark(&mut self, from: Register) {
        let number = |bytes: &[u8]| bytes.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk));
        let content = self.registers.get(&from).cloned();
        for alternative in &self.alternatives {
            let value = match &content {
                Some(Content::Value(value)) => number(value),
                Some(Content::Found) => alternative.found.as_deref().and_then(number),
                _ => None,
            };
            let effect = match (&content, value) {
                (_, Some(value)) => Effect::Set { value, mask: u32::MAX },
                (Some(Content::Mark { keep, flip }), None) => Effect::of_bits(*keep, *flip),
                _ if self.unknown_expression == Some("ct") => Effect::FromConnection,
                _ => Effect::Unknown(self.unknown_expression.unwrap_or("a computed value").to_owned()),
            };
            let Alternative { selector, comment, .. } = alternative.clone();
            self.outcomes.push(Outcome { selector, effect, comment });
        }
    }

    /// A target of iptables, whose conditions are in unknown expressions.
    fn target(&mut self, name: &str, info: &[u8]) {
        let word = |at: usize| info.get(at..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk));
        let effect = match (name, word(0), word(4)) {
            // The kernel clears the bits of the mask, then flips those of the value.
            ("MARK", Some(flip), Some(mask)) => Effect::of_bits(!mask, flip),
            ("MARK" | "CONNMARK", ..) => Effect::Unknown(format!("iptables' target {name}")),
            _ => return,
        };
        let outcomes = self.alternatives.iter().map(|alternative| Outcome {
            selector: alternative.selector.clone(),
            effect: effect.clone(),
            comment: None,
        });
        self.outcomes.extend(outcomes);
    }
}

impl Alternative {
    /// Only the packets that match an element.
    fn found(&self, element: &SetElement, fields: &[Field]) -> Option<Alternative> {
        let mut selector = self.selector.clone();
        let (mut first, mut last) = (&element.first[..], &element.last[..]);
        for field in fields {
            let size = field.size() as usize;
            let padded = size.next_multiple_of(4).min(first.len()).min(last.len());
            let size = size.min(padded);
            if !limit(&mut selector, *field, &first[..size], &last[..size]) {
                return None;
            }
            (first, last) = (&first[padded..], &last[padded..]);
        }
        Some(Alternative { selector, found: element.value.clone(), comment: element.comment.clone() })
    }
}

fn content_of_meta(key: Meta) -> Content {
    match key {
        Meta::Mark => Content::Mark { keep: u32::MAX, flip: 0 },
        Meta::InputName => Content::Field(Field::Interface),
        Meta::Family => Content::Field(Field::Family),
        Meta::Protocol => Content::Field(Field::Protocol),
        Meta::Other(_) => Content::Field(Field::Other(4)),
    }
}

fn leading_ones(mask: &[u8]) -> u32 {
    let whole = mask.iter().take_while(|byte| **byte == u8::MAX).count();
    whole as u32 * 8 + mask.get(whole).map_or(0, |byte| byte.leading_ones())
}

/// Narrows the packets. False if none are left.
fn limit(selector: &mut Selector, field: Field, first: &[u8], last: &[u8]) -> bool {
    match field {
        Field::Family => match first {
            [2] => return agree(&mut selector.family, Family::V4),
            [10] => return agree(&mut selector.family, Family::V6),
            _ => selector.is_narrower = true,
        },
        Field::Interface => match interface(first, last) {
            Some(name) if selector.interface.is_none() => selector.interface = Some(name),
            _ => selector.is_narrower = true,
        },
        Field::Source(family) => match span(family, first, last) {
            Some(span) => return agree_span(&mut selector.source, span),
            None => selector.is_narrower = true,
        },
        Field::Destination(family) => match span(family, first, last) {
            Some(span) => return agree_span(&mut selector.destination, span),
            None => selector.is_narrower = true,
        },
        Field::Protocol => match (first, last) {
            ([0], [u8::MAX]) => {}
            ([one], [other]) if one == other => return agree(&mut selector.protocol, *one),
            _ => selector.is_narrower = true,
        },
        Field::Port => match ports(first, last) {
            Some(range) => return agree_ports(&mut selector.ports, range),
            None => selector.is_narrower = true,
        },
        Field::Other(_) => selector.is_narrower = true,
    }
    true
}

/// Keeps a value, unless it contradicts the present one.
fn agree<T: PartialEq + Copy>(slot: &mut Option<T>, value: T) -> bool {
    *slot.get_or_insert(value) == value
}

/// Keeps the addresses that both have, if there are some.
fn agree_span(slot: &mut Option<Span>, span: Span) -> bool {
    let before = slot.unwrap_or(span);
    let both = Span { first: before.first.max(span.first), last: before.last.min(span.last) };
    *slot = Some(both);
    both.first <= both.last
}

/// Keeps the ports that both have, if there are some.
fn agree_ports(slot: &mut Option<Ports>, range: PortRange) -> bool {
    let before = slot.as_ref().map_or(&[range][..], Ports::ranges).to_vec();
    let both =
        before.iter().map(|other| PortRange::new(other.first().max(range.first()), other.last().min(range.last())));
    let both = Ports::new(both.flatten());
    let is_some = both.is_ok();
    *slot = both.ok();
    is_some
}

/// A name of less than 16 bytes is the start of several names.
fn interface(first: &[u8], last: &[u8]) -> Option<InterfacePattern> {
    let end = first.iter().position(|byte| *byte == 0).unwrap_or(first.len());
    let name = std::str::from_utf8(&first[..end]).ok()?;
    let name = if first.len() < 16 { format!("{name}+") } else { name.to_owned() };
    name.parse().ok().filter(|_| first == last)
}

fn span(family: Family, first: &[u8], last: &[u8]) -> Option<Span> {
    let address = |bytes: &[u8], fill: u8| -> IpAddr {
        let mut octets = [fill; 16];
        octets[..bytes.len().min(16)].copy_from_slice(&bytes[..bytes.len().min(16)]);
        match family {
            Family::V4 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
            Family::V6 => Ipv6Addr::from(octets).into(),
        }
    };
    let span = Span { first: address(first, 0), last: address(last, u8::MAX) };
    (span.first <= span.last).then_some(span)
}

fn ports(first: &[u8], last: &[u8]) -> Option<PortRange> {
    let port = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.try_into().ok()?));
    PortRange::new(port(first)?, port(last)?).ok()
}
