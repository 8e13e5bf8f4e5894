//! The back end nftables: rules as maps in a table of their own, over netlink, without the program
//! `nft`.

mod attr;
mod decode;
mod expr;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod layout;
mod lookup;
mod message;
mod read;
mod socket;
mod uapi;

use std::sync::Arc;

use self::attr::Attrs;
use self::message::{INET, IPV4, IPV6, Kind};
use self::read::Table;
use self::socket::{Connection, Outcome, Transaction};
use ipvs::owners::Owner;
use ipvs::{Family, FirewallMark};

use crate::failure::BackendError;
use crate::foreign::{Effect, ForeignRule};
use crate::mark::SetMark;
use crate::rule::{Hook, MarkRule};

/// How often a change is repeated because another program changed rules meanwhile.
const ATTEMPTS: usize = 20;

/// Rules in nftables, in the table of family `inet` that has the owner's name.
///
/// All rules of one kind are elements of one map from `daddr . l4proto . dport` to the mark. So the
/// cost of a packet depends on the number of kinds, not of rules. Kinds differ in address family,
/// interface and conditions (source, protocol, ports), and in having ranges or networks. Where
/// rules overlap, the later one decides: each such layer is a map of its own. Each mask that is not
/// full is a set of its own.
///
/// It uses netlink, not the program `nft`, which can show the table. The socket stays in the
/// network namespace in which it was opened.
///
/// ```no_run
/// use fwmark::{FirewallMark, MarkGroup, MarkRule, Nftables, Owner, Protocol};
///
/// let vip = "192.0.2.1".parse()?;
/// let mut shop = MarkGroup::new(FirewallMark::new(10)?);
/// shop = shop.with(vip, Protocol::Tcp, 80).with(vip, Protocol::Tcp, 443);
/// let rules: Vec<MarkRule> = shop.rules().collect();
///
/// let mut nftables = Nftables::open(Owner::default())?;
/// nftables.apply(&rules)?;
/// assert_eq!(nftables.list()?, rules);
/// assert!(!nftables.apply(&rules)?);
/// assert!(nftables.remove()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Nftables {
    owner: Owner,
    connection: Connection,
    /// The last reading, which is valid while the generation of the rules is the same.
    last: Option<(u32, Arc<Option<Table>>)>,
}

impl Nftables {
    /// Opens a socket, and checks that the kernel has what [`apply`](Nftables::apply) needs.
    /// Nothing is changed.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if the kernel has no nftables, or not its families `inet`,
    /// `ip` and `ip6`; [`BackendError::NotPermitted`] without `CAP_NET_ADMIN`.
    pub fn open(owner: Owner) -> Result<Self, BackendError> {
        let mut connection = Connection::open()?;
        validate(&mut connection, INET, &format!("{owner}-validation"))?;
        Ok(Nftables { owner, connection, last: None })
    }

    /// The owner of the rules.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Replaces the owner's rules by these, in this order, in one transaction: a packet meets the
    /// old rules or the new ones. Where rules overlap, the later one decides. Returns whether
    /// anything was changed.
    ///
    /// Without rules, the table is deleted.
    ///
    /// # Errors
    /// [`BackendError`]; the rules are then unchanged.
    pub fn apply(&mut self, rules: &[MarkRule]) -> Result<bool, BackendError> {
        let lookups = lookup::lookups(rules);
        self.replace(|owner, table, transaction| {
            let is_there = table.is_some_and(|table| has_only(table, rules));
            if is_there || (table.is_none() && rules.is_empty()) {
                return false;
            }
            if table.is_some() {
                delete(transaction, owner);
            }
            if !rules.is_empty() {
                layout::create(transaction, owner, &lookups);
            }
            true
        })
    }

    /// The owner's rules, in their order; none if there is no table.
    ///
    /// # Errors
    /// [`BackendError::Foreign`] if another program made a table of this name,
    /// [`BackendError::Altered`] if another program put a rule into it that is none of this crate.
    pub fn list(&mut self) -> Result<Vec<MarkRule>, BackendError> {
        let (_, table) = self.read()?;
        (*table).as_ref().map_or(Ok(Vec::new()), rules_of)
    }

    /// Deletes the table with all of the owner's rules. Returns whether there was one.
    ///
    /// # Errors
    /// [`BackendError`]; the rules are then unchanged.
    pub fn remove(&mut self) -> Result<bool, BackendError> {
        self.apply(&[])
    }

    /// The rules of other programs that write marks before IPVS sees the packets.
    ///
    /// Of rules that iptables keeps in nftables, the conditions are unknown here; iptables-save
    /// shows them.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn others(&mut self) -> Result<Vec<ForeignRule>, BackendError> {
        self.foreign_rules(true)
    }

    /// The same, with or without the rules of iptables.
    pub(crate) fn foreign_rules(&mut self, with_targets: bool) -> Result<Vec<ForeignRule>, BackendError> {
        let owner = self.owner.clone();
        let (_, tables) = self.connection.snapshot(|connection| {
            let all = read::tables(connection)?.into_iter();
            let others = all.filter(|((family, name), _)| (*family, name.as_str()) != (INET, owner.as_str()));
            others.map(|(id, comment)| read::fill(connection, id, comment)).collect::<Result<Vec<_>, _>>()
        })?;
        let markings = tables.iter().flat_map(Table::markings).filter(|marking| with_targets || !marking.is_target);
        Ok(markings
            .map(|read::Marking { place, outcome, .. }| ForeignRule {
                place,
                selector: outcome.selector,
                effect: outcome.effect,
            })
            .collect())
    }

    fn read(&mut self) -> Result<(u32, Arc<Option<Table>>), BackendError> {
        if let Some((generation, table)) = self.last.take() {
            if self.connection.generation()? == generation {
                self.last = Some((generation, Arc::clone(&table)));
                return Ok((generation, table));
            }
        }
        let name = self.owner.as_str().to_owned();
        let (generation, table) = self.connection.snapshot(|connection| read::table(connection, &name))?;
        match table {
            Some(table) if table.comment.as_deref() != Some(&*layout::tag(&self.owner)) => {
                Err(BackendError::Foreign { what: "table of family inet", name })
            }
            table => {
                let table = Arc::new(table);
                self.last = Some((generation, Arc::clone(&table)));
                Ok((generation, table))
            }
        }
    }

    /// Sends the transaction that `plan` makes for the table; `plan` returns false if there is
    /// nothing to do.
    fn replace(
        &mut self,
        plan: impl Fn(&Owner, Option<&Table>, &mut Transaction) -> bool,
    ) -> Result<bool, BackendError> {
        for _ in 0..ATTEMPTS {
            let (generation, table) = self.read()?;
            let mut transaction = Transaction::new(INET, generation);
            if !plan(&self.owner, (*table).as_ref(), &mut transaction) {
                return Ok(false);
            }
            if self.connection.commit(transaction)? == Outcome::Done {
                return Ok(true);
            }
        }
        Err(BackendError::Busy)
    }
}

/// Does the kernel have what iptables needs in nftables?
pub(crate) fn validate_family(family: Family) -> Result<(), BackendError> {
    let family = if family == Family::V4 { IPV4 } else { IPV6 };
    validate(&mut Connection::open()?, family, "fwmark-validation")
}

/// Has the kernel check a table with both chains.
fn validate(connection: &mut Connection, family: u8, table: &str) -> Result<(), BackendError> {
    for _ in 0..ATTEMPTS {
        let (generation, ()) = connection.snapshot(|_| Ok(()))?;
        let mut transaction = Transaction::new(family, generation);
        let what = format!("a table of family {}", read::family_name(family));
        transaction.step(Kind::NewTable, &Attrs::new().text(uapi::table::NAME, table), what);
        for hook in [Hook::Prerouting { interface: None }, Hook::Output] {
            layout::create_chain(&mut transaction, table, &hook);
        }
        match connection.validate(&transaction) {
            Ok(Outcome::Done) => return Ok(()),
            Ok(Outcome::Outdated) => {}
            Err(BackendError::Refused { what, error }) => {
                return Err(unavailable(format!("the kernel refuses {what}: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    Err(BackendError::Busy)
}

fn unavailable(why: impl Into<String>) -> BackendError {
    BackendError::Unavailable { what: "nftables", why: why.into() }
}

fn delete(transaction: &mut Transaction, owner: &Owner) {
    let table = owner.as_str();
    transaction.step(
        Kind::DelTable,
        &Attrs::new().text(uapi::table::NAME, table),
        format!("the removal of the table {table}"),
    );
}

fn has_only(table: &Table, rules: &[MarkRule]) -> bool {
    rules_of(table).is_ok_and(|found| found == rules)
}

/// The rules in the owner's table.
fn rules_of(table: &Table) -> Result<Vec<MarkRule>, BackendError> {
    let altered = |what: String| BackendError::Altered { place: table.name(), what };
    if let Some(unknown_rule) = table.unknown_rule() {
        return Err(altered(unknown_rule));
    }
    let elements: Result<Vec<_>, _> =
        table.markings().iter().map(|marking| element_of(marking).map_err(altered)).collect();
    Ok(lookup::join(elements?))
}

fn element_of(marking: &read::Marking) -> Result<lookup::Element, String> {
    let read::Marking { place, outcome, .. } = marking;
    let unknown = || format!("{place}: {} ({})", outcome.effect, outcome.selector);
    let set = match &outcome.effect {
        Effect::Set { value, mask } => FirewallMark::new(*value).and_then(|mark| SetMark::masked(mark, *mask)).ok(),
        _ => None,
    };
    let rule = set.and_then(|set| outcome.selector.to_rule(set)).ok_or_else(unknown)?;
    // An element that another program added comes last.
    let numbers = outcome.comment.as_deref().and_then(|comment| comment.split_once('.'));
    let number = |text: &str| text.parse::<u32>().ok();
    let (number, part) = numbers.and_then(|(rule, part)| number(rule).zip(number(part))).unwrap_or((u32::MAX, 0));
    Ok(lookup::Element { number, part, rule })
}
