//! Reading tables, chains, sets and rules from the kernel.

use std::collections::HashMap;

use ipvs::Family;

use super::attr::{self, Attrs, find, number, text};
use super::decode::{Outcome, Set, SetElement, outcomes};
use super::expr::{Expr, decode_all};
use super::layout::{HOOK_OUTPUT, read_comment};
use super::message::{ANY_FAMILY, INET, IPV4, IPV6, Kind};
use super::socket::Connection;
use super::uapi::{chain, data, element, elements, hook, rule, set, table};
use crate::failure::BackendError;
use crate::selector::Selector;

const FAMILY_NETDEV: u8 = 5;
/// The family and the name of a table.
pub(super) type TableId = (u8, String);

/// A table with what can write marks.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) comment: Option<String>,
    chains: HashMap<String, Option<Position>>,
    sets: HashMap<String, Set>,
    rules: Vec<Rule>,
}

/// Where a chain is on a packet's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    BeforeService,
    Output,
    Elsewhere,
}

#[derive(Debug)]
struct Rule {
    chain: String,
    handle: u64,
    expressions: Vec<Expr>,
}

/// What a rule does, and where it is.
#[derive(Debug)]
pub(super) struct Marking {
    pub(super) place: String,
    pub(super) outcome: Outcome,
    /// It is a rule of iptables.
    pub(super) is_target: bool,
}

/// The comments of all tables.
pub(super) fn tables(connection: &mut Connection) -> Result<Vec<(TableId, Option<String>)>, BackendError> {
    let mut tables = Vec::new();
    connection.dump(Kind::GetTable, ANY_FAMILY, &Attrs::new(), |family, attrs| {
        let comment = find(attrs, table::USERDATA).and_then(read_comment).map(str::to_owned);
        tables.extend(text(attrs, table::NAME).map(|name| ((family, name), comment)));
    })?;
    Ok(tables)
}

/// The owner's table, if there is one.
pub(super) fn table(connection: &mut Connection, name: &str) -> Result<Option<Table>, BackendError> {
    let found = tables(connection)?.into_iter().find(|((family, found), _)| *family == INET && found == name);
    found.map(|(id, comment)| fill(connection, id, comment)).transpose()
}

/// Reads all of a table.
pub(super) fn fill(connection: &mut Connection, id: TableId, comment: Option<String>) -> Result<Table, BackendError> {
    let family = id.0;
    let only = Attrs::new().text(rule::TABLE, &id.1);
    let mut table = Table::new(id, comment);
    connection.dump(Kind::GetChain, family, &Attrs::new(), |found, attrs| table.take_chain(found, attrs))?;
    connection.dump(Kind::GetRule, family, &only, |found, attrs| table.take_rule(found, attrs))?;
    let mut sets = Vec::new();
    connection.dump(Kind::GetSet, family, &only, |found, attrs| sets.extend(table.used_set(found, attrs)))?;
    for (name, key_length) in sets {
        let mut elements = Vec::new();
        let asked = Attrs::new().text(elements::TABLE, &table.id.1).text(elements::SET, &name);
        connection.dump(Kind::GetElements, family, &asked, |_, attrs| elements.extend(raw_elements(attrs)))?;
        table.put_set(name, key_length, elements);
    }
    Ok(table)
}

/// Takes the objects that the kernel reports, which include those of other tables.
impl Table {
    pub(super) fn new(id: TableId, comment: Option<String>) -> Self {
        Table { id, comment, chains: HashMap::new(), sets: HashMap::new(), rules: Vec::new() }
    }

    fn has(&self, family: u8, attrs: &[u8]) -> bool {
        family == self.id.0 && text(attrs, rule::TABLE).as_deref() == Some(&*self.id.1)
    }

    pub(super) fn take_chain(&mut self, family: u8, attrs: &[u8]) {
        if self.has(family, attrs) {
            self.chains.extend(text(attrs, chain::NAME).map(|name| (name, position(family, attrs))));
        }
    }

    pub(super) fn take_rule(&mut self, family: u8, attrs: &[u8]) {
        if self.has(family, attrs) {
            self.rules.extend(read_rule(attrs));
        }
    }

    /// The name of a set and the size of its keys, if a rule that writes marks uses it. The rules
    /// must be known by then.
    pub(super) fn used_set(&self, family: u8, attrs: &[u8]) -> Option<(String, u32)> {
        let (name, key_length) =
            text(attrs, set::NAME).zip(number(attrs, set::KEY_LENGTH)).filter(|_| self.has(family, attrs))?;
        let mut asked = self.rules.iter().filter(|rule| rule.writes_mark()).flat_map(Rule::sets);
        asked.any(|asked| *asked == name).then_some((name, key_length))
    }

    pub(super) fn put_set(&mut self, name: String, key_length: u32, elements: Vec<RawElement>) {
        self.sets.insert(name, Set { key_length, elements: pair(elements) });
    }
}

fn position(family: u8, chain: &[u8]) -> Option<Position> {
    let hook = number(find(chain, chain::HOOK)?, hook::NUMBER)?;
    Some(match (family, hook) {
        // Packets pass a netdev chain, or these two hooks, before IPVS.
        (FAMILY_NETDEV, 0) | (_, 0 | 1) => Position::BeforeService,
        (_, HOOK_OUTPUT) => Position::Output,
        _ => Position::Elsewhere,
    })
}

fn read_rule(attrs: &[u8]) -> Option<Rule> {
    let handle = find(attrs, rule::HANDLE)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))?;
    let expressions = decode_all(find(attrs, rule::EXPRESSIONS).unwrap_or_default());
    Some(Rule { chain: text(attrs, rule::CHAIN)?, handle, expressions })
}

impl Rule {
    fn writes_mark(&self) -> bool {
        let writes = |expr: &Expr| {
            matches!(expr, Expr::SetMeta { key: super::expr::Meta::Mark, .. })
                || matches!(expr, Expr::Target { name, .. } if name.ends_with("MARK"))
        };
        self.expressions.iter().any(writes)
    }

    fn sets(&self) -> impl Iterator<Item = &String> {
        self.expressions.iter().filter_map(|expr| match expr {
            Expr::Lookup { set, .. } => Some(set),
            _ => None,
        })
    }
}

/// The elements of a message.
pub(super) fn raw_elements(attrs: &[u8]) -> impl Iterator<Item = RawElement> {
    attr::elements(find(attrs, elements::LIST).unwrap_or_default()).filter_map(RawElement::read)
}

/// An element as the kernel reports it.
#[derive(Debug)]
pub(super) struct RawElement {
    key: Vec<u8>,
    key_end: Option<Vec<u8>>,
    is_end: bool,
    value: Option<Vec<u8>>,
    comment: Option<String>,
}

impl RawElement {
    fn read(element: &[u8]) -> Option<Self> {
        const IS_INTERVAL_END: u32 = 1;
        let value = |kind: u16| Some(find(find(element, kind)?, data::VALUE)?.to_vec());
        Some(RawElement {
            key: value(element::KEY)?,
            key_end: value(element::KEY_END),
            is_end: number(element, element::FLAGS).is_some_and(|flags| flags & IS_INTERVAL_END != 0),
            value: value(element::DATA),
            comment: find(element, element::USERDATA).and_then(read_comment).map(str::to_owned),
        })
    }
}

/// A set of plain intervals has two elements for each: its first key, and the key after its last
/// one.
fn pair(mut raw: Vec<RawElement>) -> Vec<SetElement> {
    let is_paired = raw.iter().any(|element| element.is_end);
    if is_paired {
        // If one interval ends where the next begins, the end comes first.
        raw.sort_unstable_by(|one, other| (&one.key, !one.is_end).cmp(&(&other.key, !other.is_end)));
    }
    let mut rest = raw.into_iter().peekable();
    let mut paired = Vec::new();
    while let Some(RawElement { key, key_end, is_end, value, comment }) = rest.next() {
        if is_end {
            continue;
        }
        let last = match key_end {
            Some(last) => last,
            None if is_paired => {
                rest.next_if(|next| next.is_end).map_or_else(|| vec![u8::MAX; key.len()], |end| before(end.key))
            }
            None => key.clone(),
        };
        paired.push(SetElement { first: key, last, value, comment });
    }
    paired
}

/// The key before this one.
fn before(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    key
}

impl Table {
    /// Everything that the table's rules do to marks.
    pub(super) fn markings(&self) -> Vec<Marking> {
        let rules = self.rules.iter().filter(|rule| rule.writes_mark());
        rules.flat_map(|rule| self.markings_of(rule)).collect()
    }

    fn markings_of(&self, rule: &Rule) -> Vec<Marking> {
        let place = format!("{}, chain {}, handle {}", self.name(), rule.chain, rule.handle);
        let Some(packets) = self.packets_of(&rule.chain) else { return Vec::new() };
        let outcomes = outcomes(&rule.expressions, packets, &self.sets);
        let is_target = rule.expressions.iter().any(|expr| matches!(expr, Expr::Target { .. }));
        outcomes.into_iter().map(|outcome| Marking { place: place.clone(), outcome, is_target }).collect()
    }

    /// The packets that reach a chain; `None` if none of them can belong to a service.
    fn packets_of(&self, chain: &str) -> Option<Selector> {
        let family = match self.id.0 {
            IPV4 => Some(Family::V4),
            IPV6 => Some(Family::V6),
            _ => None,
        };
        let hooks: Vec<Position> = match self.chains.get(chain) {
            Some(Some(hook)) => vec![*hook],
            // Other chains jump here, perhaps with all packets that reach the table.
            _ => self.chains.values().flatten().copied().collect(),
        };
        let [outside, director] = [Position::BeforeService, Position::Output].map(|hook| hooks.contains(&hook));
        let is_base = matches!(self.chains.get(chain), Some(Some(_)));
        let all = Selector { is_narrower: !is_base, ..Selector::all(outside, director, family) };
        (outside || director).then_some(all)
    }

    /// As the program nft names it.
    pub(super) fn name(&self) -> String {
        format!("nftables table {} {}", family_name(self.id.0), self.id.1)
    }

    /// A rule that no table of this crate has.
    pub(super) fn unknown_rule(&self) -> Option<String> {
        let unknown = self.rules.iter().find(|rule| !rule.writes_mark());
        unknown.map(|rule| format!("the rule with handle {} in the chain {} sets no mark", rule.handle, rule.chain))
    }
}

/// As the program nft names it.
pub(super) fn family_name(family: u8) -> &'static str {
    match family {
        INET => "inet",
        IPV4 => "ip",
        IPV6 => "ip6",
        FAMILY_NETDEV => "netdev",
        7 => "bridge",
        3 => "arp",
        _ => "?",
    }
}
