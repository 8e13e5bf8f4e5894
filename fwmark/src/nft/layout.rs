//! A lookup in the kernel: its chain, its map and the rule that uses it. `read.rs` reads it back.

use std::net::IpAddr;

use ipvs::Family;
use ipvs::owners::Owner;

use super::attr::Attrs;
use super::expr::{Comparison, Expr, Header, Meta};
use super::lookup::{Element, Lookup, Shape, ports};
use super::message::Kind;
use super::socket::Transaction;
use super::uapi::{chain, data, description, element, elements, field, hook, rule, set, table};
use crate::interface::InterfacePattern;
use crate::mark::SetMark;
use crate::network::Network;
use crate::rule::{Hook, MarkRule};

/// The priority of iptables' table `mangle`: before the kernel routes the packet.
const PRIORITY: i32 = -150;
/// Keeps the list of elements in one message well below 64 KiB, the longest attribute.
const ELEMENTS_A_MESSAGE: usize = 256;
/// Interface names, with the NUL.
const NAME_SIZE: usize = 16;

/// `NF_INET_PRE_ROUTING` and `NF_INET_LOCAL_OUT`.
pub(super) const HOOK_PREROUTING: u32 = 0;
pub(super) const HOOK_OUTPUT: u32 = 3;

const ANONYMOUS_COMMENT: u8 = 0;
const SET_IS_INTERVAL: u32 = 4;
const SET_IS_MAP: u32 = 8;
const SET_IS_CONCATENATION: u32 = 0x80;
/// Types of the program nft, which the kernel only keeps.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;
const TYPE_MARK: u32 = 19;

/// The chain's name.
pub(super) const fn chain_of(hook: &Hook) -> &'static str {
    match hook {
        Hook::Prerouting { .. } => "prerouting",
        Hook::Output => "output",
    }
}

/// The comment of a table that this crate made for this owner.
pub(super) fn tag(owner: &Owner) -> String {
    format!("{owner} by fwmark")
}

/// Adds the owner's table to a transaction, with all its contents.
pub(super) fn create(transaction: &mut Transaction, owner: &Owner, lookups: &[Lookup]) {
    let name = owner.as_str();
    let tagged = Attrs::new().text(table::NAME, name).bytes(table::USERDATA, &comment(&tag(owner)));
    transaction.step(Kind::NewTable, &tagged, format!("the table {name}"));
    for hook in [Hook::Prerouting { interface: None }, Hook::Output] {
        if lookups.iter().any(|lookup| chain_of(&lookup.shape.hook) == chain_of(&hook)) {
            create_chain(transaction, name, &hook);
        }
    }
    for (lookup, number) in lookups.iter().zip(1..) {
        create_lookup(transaction, name, lookup, number);
    }
}

/// Adds a chain.
pub(super) fn create_chain(transaction: &mut Transaction, table: &str, hook: &Hook) {
    // In a chain of type "route", the kernel routes the director's own packets again if their mark
    // changed.
    let (number, kind) = match hook {
        Hook::Prerouting { .. } => (HOOK_PREROUTING, "filter"),
        Hook::Output => (HOOK_OUTPUT, "route"),
    };
    let place = Attrs::new().number(hook::NUMBER, number).number(hook::PRIORITY, PRIORITY as u32);
    let attrs = Attrs::new().text(chain::TABLE, table).text(chain::NAME, chain_of(hook));
    let attrs = attrs.nest(chain::HOOK, place).text(chain::TYPE, kind);
    transaction.step(Kind::NewChain, &attrs, format!("the chain {} of type {kind}", chain_of(hook)));
}

fn create_lookup(transaction: &mut Transaction, table: &str, lookup: &Lookup, number: u32) {
    let (shape, elements) = (&lookup.shape, &lookup.elements);
    let name = format!("marks-{number}");
    let what = format!("the {} {name}", if shape.masked.is_some() { "set" } else { "map" });
    transaction.step(Kind::NewSet, &describe_set(table, &name, number, shape, elements.len()), what.as_str());
    for (place, chunk) in elements.chunks(ELEMENTS_A_MESSAGE).enumerate() {
        let list = chunk.iter().map(|element| encode(shape, element));
        let attrs = Attrs::new().text(elements::TABLE, table).text(elements::SET, &name);
        let attrs = attrs.list(elements::LIST, list).number(elements::SET_ID, number);
        let first = 1 + place * ELEMENTS_A_MESSAGE;
        transaction.step(Kind::NewElements, &attrs, format!("elements {first} and following of {what}"));
    }
    let expressions = expressions(shape, &name).iter().map(Expr::encode).collect::<Vec<_>>();
    let attrs = Attrs::new().text(rule::TABLE, table).text(rule::CHAIN, chain_of(&shape.hook));
    let attrs = attrs.list(rule::EXPRESSIONS, expressions);
    transaction.step(Kind::NewRule, &attrs, format!("the rule that uses {what}"));
}

/// A part of a key: its bytes, and its type for the program nft.
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
fn describe_set(table: &str, name: &str, number: u32, shape: &Shape, size: usize) -> Attrs {
    let fields = shape.fields();
    // Each part of a key starts at a multiple of four bytes.
    let key_length: u32 = fields.iter().map(|field| field.size.next_multiple_of(4)).sum();
    let key_type = fields.iter().fold(0, |all, field| all << 6 | field.kind);
    let flags = [
        (SET_IS_INTERVAL, shape.has_ranges),
        (SET_IS_MAP, shape.masked.is_none()),
        (SET_IS_CONCATENATION, fields.len() > 1),
    ];
    let flags = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag).sum();
    // With a size, the kernel chooses its fastest kind of map.
    let size = if shape.has_ranges { Attrs::new() } else { Attrs::new().number(description::SIZE, size as u32) };
    let size_and_fields = match fields.len() {
        1 => size,
        _ => size.list(description::FIELDS, fields.iter().map(|field| Attrs::new().number(field::LENGTH, field.size))),
    };
    let attrs = Attrs::new().text(set::TABLE, table).text(set::NAME, name).number(set::FLAGS, flags);
    let attrs = attrs.number(set::KEY_TYPE, key_type).number(set::KEY_LENGTH, key_length);
    let attrs = match shape.masked {
        None => attrs.number(set::DATA_TYPE, TYPE_MARK).number(set::DATA_LENGTH, 4),
        Some(_) => attrs,
    };
    let attrs = attrs.nest(set::DESCRIPTION, size_and_fields).number(set::ID, number);
    attrs.bytes(set::USERDATA, &byte_orders(shape.masked.is_none()))
}

/// For the program nft: keys are in network byte order, marks are not.
fn byte_orders(is_map: bool) -> Vec<u8> {
    let order = |kind: u8, order: u32| [[kind, 4].as_slice(), &order.to_ne_bytes()].concat();
    let key = order(0, 2);
    if is_map { [key, order(1, 1)].concat() } else { key }
}

fn encode(shape: &Shape, element: &Element) -> Attrs {
    let Element { number, part, rule } = element;
    let [first, last] = [0, 1].map(|bound| Attrs::new().bytes(data::VALUE, &key(shape, rule, bound == 1)));
    let attrs = Attrs::new().nest(element::KEY, first);
    let attrs = if shape.has_ranges { attrs.nest(element::KEY_END, last) } else { attrs };
    let attrs = match shape.masked {
        None => attrs.nest(element::DATA, Attrs::new().bytes(data::VALUE, &rule.set().mark().get().to_ne_bytes())),
        Some(_) => attrs,
    };
    attrs.bytes(element::USERDATA, &comment(&format!("{}.{}", number, part)))
}

/// The lowest or the highest key of an element.
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

/// The rule that looks a packet up in the set or map.
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
        all.extend(compare_interface(name));
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

fn compare_interface(name: &InterfacePattern) -> [Expr; 2] {
    let value = match name.prefix() {
        Some(prefix) => prefix.to_vec(),
        None => {
            let mut whole = name.as_name().as_bytes().to_vec();
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
