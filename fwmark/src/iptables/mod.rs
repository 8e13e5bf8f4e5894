//! The back end iptables: rules in chains of their own, through iptables-restore.

mod chain;
mod program;
mod save;

use self::chain::{Numbered, State, TABLE};
pub(crate) use self::program::Programs;
pub use self::program::Variant;
pub use self::save::foreign_rules_of_save;
use ipvs::Family;
use ipvs::owners::Owner;

use crate::failure::BackendError;
use crate::foreign::ForeignRule;
use crate::nft;
use crate::rule::MarkRule;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Rules in iptables and ip6tables, in chains of their own.
///
/// The table `mangle` gets the chains `OWNER-in` and `OWNER-out`, if there are rules for them, and
/// at the end of `PREROUTING` and `OUTPUT` a rule that jumps there. Each of these rules has a
/// comment that starts with the owner's name. The kernel compares each packet with each rule: with
/// many rules, [`Nftables`](crate::Nftables) costs less.
///
/// It needs the programs `iptables-save`, `iptables-restore` (1.6.2 or newer) and, for rules with
/// IPv6 addresses, `ip6tables-save` and `ip6tables-restore`. They run in the network namespace in
/// which the back end was opened, whichever thread uses it; from another namespace, that takes
/// `CAP_SYS_ADMIN`.
///
/// ```no_run
/// use fwmark::{Iptables, Owner, parse};
///
/// let rule = parse(
///     "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10",
/// )?
/// .rule;
/// let iptables = Iptables::open(Owner::default())?;
/// iptables.apply(&[rule.clone()])?;
/// assert_eq!(iptables.list()?, [rule]);
/// iptables.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Iptables {
    owner: Owner,
    programs: Programs,
}

impl Iptables {
    /// Uses the programs named iptables, whichever variant they are.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if there are none, or the kernel has no table `mangle` for
    /// them; [`BackendError::NotPermitted`] without `CAP_NET_ADMIN`.
    pub fn open(owner: Owner) -> Result<Self, BackendError> {
        Self::of(owner, Programs::usual()?)
    }

    /// Uses the programs of this variant, whatever their names.
    ///
    /// # Errors
    /// Those of [`open`](Iptables::open).
    pub fn open_variant(owner: Owner, variant: Variant) -> Result<Self, BackendError> {
        Self::of(owner, Programs::of(variant)?)
    }

    /// Does the owner have rules here? Unlike [`open`](Iptables::open), it loads no kernel module.
    pub(crate) fn is_in_use(owner: &Owner) -> bool {
        let has_rules = |family| {
            let saved = Programs::usual()?.save(family, None)?;
            Ok::<_, BackendError>(State::read(owner, family, &saved).changes_to(owner, &[]).is_some())
        };
        FAMILIES.into_iter().any(|family| has_rules(family).unwrap_or(false))
    }

    fn of(owner: Owner, programs: Programs) -> Result<Self, BackendError> {
        if programs.variant == Variant::Nft {
            // Reading would succeed even if the kernel lacks the family.
            nft::validate_family(Family::V4)?;
        }
        let iptables = Iptables { owner, programs };
        iptables.read(Family::V4)?;
        Ok(iptables)
    }

    /// The owner of the rules.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The variant of the programs.
    pub fn variant(&self) -> Variant {
        self.programs.variant
    }

    /// Replaces the owner's rules by these, in this order. Where rules overlap, the later one
    /// decides. Returns whether anything was changed.
    ///
    /// Each family changes in one step, so that a packet meets the old rules or the new ones. If
    /// IPv6 is refused, IPv4 is changed back. Without rules, the chains are deleted.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn apply(&self, rules: &[MarkRule]) -> Result<bool, BackendError> {
        let numbered: Vec<Numbered> = (0..).zip(rules.iter().cloned()).collect();
        let (before, v4) = self.apply_family(Family::V4, &numbered)?;
        let v6 = match self.apply_family(Family::V6, &numbered) {
            // Without IPv6, the owner has no IPv6 rules.
            Err(BackendError::Unavailable { .. }) if rules.iter().all(|rule| rule.family() == Family::V4) => false,
            Err(error) => {
                if let Some(before) = before {
                    self.apply_family(Family::V4, &before)?;
                }
                return Err(error);
            }
            Ok((_, change)) => change,
        };
        Ok(v4 || v6)
    }

    /// Changes the rules of one family. Returns the rules before, too, if they could be read.
    fn apply_family(&self, family: Family, rules: &[Numbered]) -> Result<(Option<Vec<Numbered>>, bool), BackendError> {
        let state = self.read(family)?;
        let before = state.rules().ok();
        let wanted: Vec<Numbered> = rules.iter().filter(|(_, rule)| rule.family() == family).cloned().collect();
        let Some(changes) = state.changes_to(&self.owner, &wanted) else { return Ok((before, false)) };
        self.programs.restore(family, &changes)?;
        Ok((before, true))
    }

    /// The owner's rules, in their order.
    ///
    /// # Errors
    /// [`BackendError::Foreign`] if another program made a chain of this name,
    /// [`BackendError::Altered`] if another program put a rule into it that is none of this crate.
    pub fn list(&self) -> Result<Vec<MarkRule>, BackendError> {
        let mut all = Vec::new();
        for family in FAMILIES {
            match self.read(family) {
                Err(BackendError::Unavailable { .. }) if family == Family::V6 => {}
                state => all.extend(state?.rules()?),
            }
        }
        all.sort_by_key(|(number, _)| *number);
        Ok(all.into_iter().map(|(_, rule)| rule).collect())
    }

    /// Deletes all rules and chains of the owner. Returns whether there was anything.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn remove(&self) -> Result<bool, BackendError> {
        self.apply(&[])
    }

    /// The rules of other programs that write marks before IPVS sees the packets.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn others(&self) -> Result<Vec<ForeignRule>, BackendError> {
        foreign_rules(&self.programs, &self.owner)
    }

    fn read(&self, family: Family) -> Result<State, BackendError> {
        let state = State::read(&self.owner, family, &self.programs.save(family, Some(TABLE))?);
        state.refuse_foreign(&self.owner)?;
        Ok(state)
    }
}

/// The rules of these programs that write marks, without the owner's.
pub(crate) fn foreign_rules(programs: &Programs, owner: &Owner) -> Result<Vec<ForeignRule>, BackendError> {
    let mut all = Vec::new();
    for family in FAMILIES {
        match programs.save(family, None) {
            Err(BackendError::Unavailable { .. }) if family == Family::V6 => {}
            saved => all.extend(save::foreign_rules(&saved?, family, |rule| !chain::is_own(rule, owner))),
        }
    }
    Ok(all)
}
