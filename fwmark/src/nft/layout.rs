//! How a stage stands in the kernel: its chain, its map and the rule that asks it. Reading it back is in `read.rs`.

use std::net::IpAddr;

use ipvs::owners::Owner;

use super::attr::Attrs;
use super::expr::{Comparison, Expr, Header, Meta};
use super::message::Kind;
use super::socket::Transaction;
use super::stage::{Piece, Shape, Stage, ports};
use crate::mark::SetMark;
use crate::network::{Family, Network};
use crate::rule::{InterfaceName, MarkRule, Origin};

/// Marks must be there before the kernel routes the packet, and where the tutorials' table `mangle` is.
const PRIORITY: i32 = -150;
/// Attributes of elements, together in one message, stay well below the 64 KiB that a list may be long.
const ELEMENTS_A_MESSAGE: usize = 256;
/// Interface names, with the NUL.
const NAME_SIZE: usize = 16;

const ANONYMOUS_COMMENT: u8 = 0;
const SET_IS_INTERVAL: u32 = 4;
const SET_IS_MAP: u32 = 8;
const SET_IS_CONCATENATION: u32 = 0x80;
/// What the program nft calls an element of this number; the kernel only keeps it.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;
const TYPE_MARK: u32 = 19;

/// The chain's name.
pub(super) const fn chain_of(origin: &Origin) -> &'static str {
    match origin {
        Origin::Outside { .. } => "prerouting",
        Origin::Director => "output",
    }
}

/// What marks a thing in the kernel as made by this crate for this owner.
pub(super) fn tag(owner: &Owner) -> String {
    format!("{owner} by fwmark")
}

/// Adds the owner's table to a transaction, with all that belongs into it.
pub(super) fn create(transaction: &mut Transaction, owner: &Owner, stages: &[Stage]) {
    let table = owner.as_str();
    let tagged = Attrs::new().text(1, table).bytes(6, &comment(&tag(owner)));
    transaction.step(Kind::NewTable, &tagged, format!("the table {table}"));
    for origin in [Origin::Outside { interface: None }, Origin::Director] {
        if stages.iter().any(|stage| chain_of(&stage.shape.origin) == chain_of(&origin)) {
            create_chain(transaction, table, &origin);
        }
    }
    for (stage, number) in stages.iter().zip(1..) {
        create_stage(transaction, table, stage, number);
    }
}

/// Adds a chain.
pub(super) fn create_chain(transaction: &mut Transaction, table: &str, origin: &Origin) {
    // A chain of type "route" has the kernel choose the way of the director's own packets anew if the mark is another one.
    let (hook, kind) = match origin {
        Origin::Outside { .. } => (0, "filter"),
        Origin::Director => (3, "route"),
    };
    let hook = Attrs::new().number(1, hook).number(2, PRIORITY as u32);
    let attrs = Attrs::new().text(1, table).text(3, chain_of(origin)).nest(4, hook).text(7, kind);
    transaction.step(Kind::NewChain, &attrs, format!("the chain {} of type {kind}", chain_of(origin)));
}

fn create_stage(transaction: &mut Transaction, table: &str, stage: &Stage, number: u32) {
    let (shape, pieces) = (&stage.shape, &stage.pieces);
    let name = format!("marks-{number}");
    let what = format!("the {} {name}", if shape.masked.is_some() { "set" } else { "map" });
    transaction.step(Kind::NewSet, &set(table, &name, number, shape, pieces.len()), what.as_str());
    for (place, pieces) in pieces.chunks(ELEMENTS_A_MESSAGE).enumerate() {
        let elements = pieces.iter().map(|piece| element(shape, piece));
        let attrs = Attrs::new().text(1, table).text(2, &name).list(3, elements).number(4, number);
        let first = 1 + place * ELEMENTS_A_MESSAGE;
        transaction.step(Kind::NewElements, &attrs, format!("elements {first} and following of {what}"));
    }
    let expressions = expressions(shape, &name).iter().map(Expr::encode).collect::<Vec<_>>();
    let attrs = Attrs::new().text(1, table).text(2, chain_of(&shape.origin)).list(4, expressions);
    transaction.step(Kind::NewRule, &attrs, format!("the rule that asks {what}"));
}

/// A part of a key: how many bytes it has, and what the program nft calls it.
struct Field {
    size: u32,
    kind: u32,
}

impl Shape {
    fn fields(&self) -> Vec<Field> {
        let address = match self.family {
            Family::V4 => Field { size: 4, kind: TYPE_IPV4 },
            Family::V6 => Field { size: 16, kind: TYPE_IPV6 },
        };
        let source = self.has_source.then_some(Field { ..address });
        let protocol = self.has_protocol.then_some(Field { size: 1, kind: TYPE_PROTOCOL });
        let port = self.has_port.then_some(Field { size: 2, kind: TYPE_SERVICE });
        [Some(address), source, protocol, port].into_iter().flatten().collect()
    }
}

/// The attributes of a set or a map.
fn set(table: &str, name: &str, number: u32, shape: &Shape, size: usize) -> Attrs {
    let fields = shape.fields();
    // Each part of a key starts at a new place of four bytes.
    let key_length: u32 = fields.iter().map(|field| field.size.next_multiple_of(4)).sum();
    let key_type = fields.iter().fold(0, |all, field| all << 6 | field.kind);
    let flags = [
        (SET_IS_INTERVAL, shape.has_ranges),
        (SET_IS_MAP, shape.masked.is_none()),
        (SET_IS_CONCATENATION, fields.len() > 1),
    ];
    let flags = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag).sum();
    // A size makes the kernel choose its fastest kind of map.
    let description = if shape.has_ranges { Attrs::new() } else { Attrs::new().number(1, size as u32) };
    let description = match fields.len() {
        1 => description,
        _ => description.list(2, fields.iter().map(|field| Attrs::new().number(1, field.size))),
    };
    let attrs = Attrs::new().text(1, table).text(2, name).number(3, flags).number(4, key_type).number(5, key_length);
    let attrs = match shape.masked {
        None => attrs.number(6, TYPE_MARK).number(7, 4),
        Some(_) => attrs,
    };
    attrs.nest(9, description).number(10, number).bytes(13, &byte_orders(shape.masked.is_none()))
}

/// Tells the program nft that keys are in network byte order and marks are not.
fn byte_orders(is_map: bool) -> Vec<u8> {
    let order = |kind: u8, order: u32| [[kind, 4].as_slice(), &order.to_ne_bytes()].concat();
    let key = order(0, 2);
    if is_map { [key, order(1, 1)].concat() } else { key }
}

fn element(shape: &Shape, piece: &Piece) -> Attrs {
    let rule = &piece.rule;
    let [first, last] = [0, 1].map(|bound| Attrs::new().bytes(1, &key(shape, rule, bound == 1)));
    let attrs = Attrs::new().nest(1, first);
    let attrs = if shape.has_ranges { attrs.nest(10, last) } else { attrs };
    let attrs = match shape.masked {
        None => attrs.nest(2, Attrs::new().bytes(1, &rule.set().mark().get().to_ne_bytes())),
        Some(_) => attrs,
    };
    attrs.bytes(6, &comment(&format!("{}.{}", piece.number, piece.part)))
}

/// The lowest or the highest key of a piece.
fn key(shape: &Shape, rule: &MarkRule, is_last: bool) -> Vec<u8> {
    let mut key = Vec::new();
    let mut field = |bytes: &[u8]| {
        key.extend(bytes);
        key.resize(key.len().next_multiple_of(4), 0);
    };
    let address = |network: Network| if is_last { network.last() } else { network.address() };
    field(&octets(address(rule.destination())));
    if shape.has_source {
        field(&octets(address(rule.source())));
    }
    if let Some(protocol) = rule.traffic().protocol() {
        field(&[protocol.number()]);
    }
    if let Some(range) = ports(rule) {
        field(&if is_last { range.last() } else { range.first() }.to_be_bytes());
    }
    key
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The rule that asks the set or map.
fn expressions(shape: &Shape, set: &str) -> Vec<Expr> {
    let family = match shape.family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let mut all = vec![
        Expr::Meta { key: Meta::Family, to: 0 },
        Expr::Compare { from: 0, how: Comparison::Equal, value: vec![family] },
    ];
    if let Some(name) = shape.interface() {
        all.extend(ask_interface(name));
    }
    let mut place = 0;
    let mut load = |expr: fn(u32, Family) -> Expr, size: u32| {
        all.push(expr(place, shape.family));
        place += size.div_ceil(4);
    };
    let address = if shape.family == Family::V4 { 4 } else { 16 };
    load(destination_address, address);
    if shape.has_source {
        load(source_address, address);
    }
    if shape.has_protocol {
        load(|to, _| Expr::Meta { key: Meta::Protocol, to }, 1);
    }
    if shape.has_port {
        load(|to, _| Expr::Payload { header: Header::Transport, offset: 2, length: 2, to }, 2);
    }
    let set = set.to_owned();
    match shape.masked {
        None => {
            all.push(Expr::Lookup { set, from: 0, to: Some(0), inverted: false });
        }
        Some(mark) => {
            all.push(Expr::Lookup { set, from: 0, to: None, inverted: false });
            all.extend(replace_bits(mark));
        }
    }
    all.push(Expr::SetMeta { key: Meta::Mark, from: 0 });
    all
}

fn ask_interface(name: &InterfaceName) -> [Expr; 2] {
    let value = match name.prefix() {
        Some(prefix) => prefix.as_bytes().to_vec(),
        None => {
            let mut whole = name.as_str().as_bytes().to_vec();
            whole.resize(NAME_SIZE, 0);
            whole
        }
    };
    [Expr::Meta { key: Meta::InputName, to: 0 }, Expr::Compare { from: 0, how: Comparison::Equal, value }]
}

fn source_address(to: u32, family: Family) -> Expr {
    let (offset, length) = if family == Family::V4 { (12, 4) } else { (8, 16) };
    Expr::Payload { header: Header::Network, offset, length, to }
}

fn destination_address(to: u32, family: Family) -> Expr {
    let (offset, length) = if family == Family::V4 { (16, 4) } else { (24, 16) };
    Expr::Payload { header: Header::Network, offset, length, to }
}

fn replace_bits(set: SetMark) -> [Expr; 2] {
    let [mask, flip] = [!set.mask(), set.mark().get()].map(|bits| bits.to_ne_bytes().to_vec());
    [Expr::Meta { key: Meta::Mark, to: 0 }, Expr::Bitwise { from: 0, to: 0, mask, flip }]
}

/// A comment as the program nft keeps and shows it.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let length = text.len() as u8 + 1;
    [&[ANONYMOUS_COMMENT, length], text.as_bytes(), &[0]].concat()
}

/// Reads a comment.
pub(super) fn read_comment(user_data: &[u8]) -> Option<&str> {
    let mut rest = user_data;
    while let [kind, length, ..] = *rest {
        let value = rest.get(2..2 + usize::from(length))?;
        if kind == ANONYMOUS_COMMENT {
            return std::str::from_utf8(value.strip_suffix(&[0])?).ok();
        }
        rest = &rest[2 + value.len()..];
    }
    None
}
