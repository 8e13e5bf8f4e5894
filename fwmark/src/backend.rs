//! One interface to nftables and iptables.

use std::fmt;

use ipvs::owners::Owner;

use crate::failure::BackendError;
use crate::foreign::ForeignRule;
use crate::iptables::{self, Iptables, Programs, Variant};
use crate::nft::Nftables;
use crate::rule::MarkRule;

/// The part of the firewall that holds the rules: nftables or iptables.
///
/// It works in the network namespace in which it was opened, whichever thread uses it.
///
/// ```no_run
/// use fwmark::{Backend, Owner, parse};
///
/// let rule = parse(
///     "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10",
/// )?
/// .rule;
/// let mut backend = Backend::detect(Owner::default())?;
/// backend.apply(&[rule.clone()])?;
/// assert_eq!(backend.list()?, [rule]);
/// backend.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Backend {
    /// Over netlink, without any program.
    Nftables(Nftables),
    /// Through the programs of iptables.
    Iptables(Iptables),
}

impl Backend {
    /// The one that has rules of the owner; if none has, nftables if the kernel has it, else
    /// iptables.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if neither works; [`BackendError::NotPermitted`] without
    /// `CAP_NET_ADMIN`.
    pub fn detect(owner: Owner) -> Result<Self, BackendError> {
        let mut nftables = match Nftables::open(owner.clone()) {
            Ok(nftables) => nftables,
            Err(error) => {
                return Iptables::open(owner).map(Backend::Iptables).map_err(|other| neither(error, other));
            }
        };
        // A table that can't be read may be the owner's.
        let is_in_use = nftables.list().map_or(true, |rules| !rules.is_empty());
        if !is_in_use && Iptables::is_in_use(&owner) {
            return Iptables::open(owner).map(Backend::Iptables);
        }
        Ok(Backend::Nftables(nftables))
    }

    /// Replaces the owner's rules by these, in this order. Where rules overlap, the later one
    /// decides. Returns whether anything was changed.
    ///
    /// # Errors
    /// Those of [`Nftables::apply`] and [`Iptables::apply`].
    pub fn apply(&mut self, rules: &[MarkRule]) -> Result<bool, BackendError> {
        match self {
            Backend::Nftables(nftables) => nftables.apply(rules),
            Backend::Iptables(iptables) => iptables.apply(rules),
        }
    }

    /// The owner's rules, in their order.
    ///
    /// # Errors
    /// Those of [`Nftables::list`] and [`Iptables::list`].
    pub fn list(&mut self) -> Result<Vec<MarkRule>, BackendError> {
        match self {
            Backend::Nftables(nftables) => nftables.list(),
            Backend::Iptables(iptables) => iptables.list(),
        }
    }

    /// Removes all rules of the owner, with their table or chains. Returns whether there was
    /// anything.
    ///
    /// # Errors
    /// Those of [`Nftables::remove`] and [`Iptables::remove`].
    pub fn remove(&mut self) -> Result<bool, BackendError> {
        self.apply(&[])
    }

    /// The owner of the rules.
    pub fn owner(&self) -> &Owner {
        match self {
            Backend::Nftables(nftables) => nftables.owner(),
            Backend::Iptables(iptables) => iptables.owner(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Nftables(_) => f.write_str("nftables"),
            Backend::Iptables(iptables) => write!(f, "{}", iptables.variant()),
        }
    }
}

/// The error if neither back end works.
fn neither(nftables: BackendError, iptables: BackendError) -> BackendError {
    match (nftables, iptables) {
        (BackendError::Unavailable { why, .. }, BackendError::Unavailable { why: other, .. }) => {
            BackendError::Unavailable { what: "nftables and iptables", why: format!("{why}; {other}") }
        }
        (BackendError::Unavailable { .. }, error) | (error, _) => error,
    }
}

/// All rules of other programs that write marks, in nftables and both variants of iptables.
///
/// ```no_run
/// use fwmark::{Owner, Survey};
/// let survey = Survey::of_others(&Owner::default());
/// for foreign in &survey.rules {
///     println!("{foreign}");
/// }
/// for error in &survey.unread {
///     eprintln!("not checked: {error}");
/// }
/// ```
#[derive(Debug, Default)]
pub struct Survey {
    /// What was found.
    pub rules: Vec<ForeignRule>,
    /// Why some rules could not be read. A back end that the machine lacks is no error.
    pub unread: Vec<BackendError>,
}

impl Survey {
    /// Reads nftables and both variants of iptables, without the owner's rules.
    pub fn of_others(owner: &Owner) -> Self {
        let mut survey = Survey::default();
        let mut has_seen_targets = false;
        for variant in Variant::ALL {
            let foreign = Programs::of(variant).and_then(|programs| iptables::foreign_rules(&programs, owner));
            has_seen_targets |= variant == Variant::Nft && foreign.is_ok();
            survey.add(foreign);
        }
        // iptables-save shows the conditions of iptables' rules in nftables better.
        survey.add(Nftables::open(owner.clone()).and_then(|mut nftables| nftables.foreign_rules(!has_seen_targets)));
        survey
    }

    fn add(&mut self, foreign: Result<Vec<ForeignRule>, BackendError>) {
        match foreign {
            Ok(foreign) => self.rules.extend(foreign),
            Err(BackendError::Unavailable { .. }) => {}
            Err(error) => self.unread.push(error),
        }
    }
}
