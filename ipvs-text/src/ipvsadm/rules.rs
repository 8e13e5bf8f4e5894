//! Which options go with which command, and with which kind of tunnel: as data.

use super::usage::Usage;

macro_rules! slots {
    ($($slot:ident $name:literal)*) => {
        /// What an option fills. Options that exclude each other, such as `-t` and `-f`, share one.
        ///
        /// In ipvsadm's order: of several faults of a line, that of the first slot is reported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names of the options say it")]
        pub enum Slot { $($slot,)* }

        impl Slot {
            /// All, in their order.
            pub const ALL: &[Slot] = &[$(Slot::$slot),*];

            /// The name in messages.
            pub fn name(self) -> &'static str {
                match self { $(Slot::$slot => $name,)* }
            }
        }
    };
}

slots! {
    Numeric "numeric"
    Connection "connection"
    ServiceAddress "service-address"
    Scheduler "scheduler"
    Persistent "persistent"
    Netmask "netmask"
    RealServer "real-server"
    ForwardingMethod "forwarding-method"
    Weight "weight"
    UThreshold "u-threshold"
    LThreshold "l-threshold"
    McastInterface "mcast-interface"
    Timeout "timeout"
    Daemon "daemon"
    Stats "stats"
    Rate "rate"
    Thresholds "thresholds"
    PersistentConn "persistent-conn"
    NoSort "nosort"
    SyncId "syncid"
    Exact "exact"
    Ops "ops"
    Pe "pe"
    SchedFlags "sched-flags"
    McastGroup "mcast-group"
    McastPort "mcast-port"
    McastTtl "mcast-ttl"
    SyncMaxLen "sync-maxlen"
    TunInfo "tun-info"
    TunType "tun-type"
    TunPort "tun-port"
    TunNoCsum "tun-nocsum"
    TunCsum "tun-csum"
    TunRemCsum "tun-remcsum"
}

/// A set of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(u64);

impl Slots {
    /// No slot.
    pub const NONE: Self = Slots(0);

    /// The set of these.
    pub const fn of(slots: &[Slot]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < slots.len() {
            set |= 1 << slots[at] as u64;
            at += 1;
        }
        Slots(set)
    }

    /// Adds a slot; false if it was there already.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let before = self.0;
        self.0 |= Slots::of(&[slot]).0;
        self.0 != before
    }

    /// Is it there?
    pub const fn has(self, slot: Slot) -> bool {
        self.intersects(Slots::of(&[slot]))
    }

    /// Are some of the others there?
    pub const fn intersects(self, other: Slots) -> bool {
        self.0 & other.0 != 0
    }

    const fn and(self, other: Slots) -> Slots {
        Slots(self.0 & other.0)
    }

    const fn or(self, other: Slots) -> Slots {
        Slots(self.0 | other.0)
    }

    const fn without(self, other: Slots) -> Slots {
        Slots(self.0 & !other.0)
    }

    /// The first in the slots' order.
    fn first(self) -> Option<Slot> {
        Slot::ALL.get(self.0.trailing_zeros() as usize).copied()
    }

    /// All but the first.
    const fn rest(self) -> Slots {
        Slots(self.0 & self.0.wrapping_sub(1))
    }
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help texts of their rows say it")]
pub enum Verb {
    AddService,
    EditService,
    DeleteService,
    AddServer,
    EditServer,
    DeleteServer,
    List,
    StartDaemon,
    StopDaemon,
    Save,
    Zero,
    Flush,
    Set,
    Restore,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 14] = [
        Verb::AddService,
        Verb::EditService,
        Verb::DeleteService,
        Verb::AddServer,
        Verb::EditServer,
        Verb::DeleteServer,
        Verb::List,
        Verb::StartDaemon,
        Verb::StopDaemon,
        Verb::Save,
        Verb::Zero,
        Verb::Flush,
        Verb::Set,
        Verb::Restore,
    ];
}

/// What one command, or one kind of tunnel, asks for and allows.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in messages: `'add-service' command`.
    name: &'static str,
    required: Slots,
    allowed: Slots,
    /// Allowed too, but only one of them.
    one_of: Slots,
}

use Slot::*;

const SERVICE: &[Slot] = &[ServiceAddress];
const SERVER: &[Slot] = &[ServiceAddress, RealServer];
const SERVICE_OPTIONS: &[Slot] = &[Scheduler, Persistent, Netmask, Ops, Pe, SchedFlags];
const SERVER_OPTIONS: &[Slot] =
    &[ForwardingMethod, Weight, UThreshold, LThreshold, TunType, TunPort, TunNoCsum, TunCsum, TunRemCsum];
// `--syncid` has no effect on a listing, but ipvsadm takes it.
const LIST_OPTIONS: &[Slot] = &[Numeric, Stats, Rate, Thresholds, PersistentConn, NoSort, SyncId, Exact, TunInfo];
const LISTED: &[Slot] = &[Connection, ServiceAddress, Timeout, Daemon];
const DAEMON_OPTIONS: &[Slot] = &[McastInterface, SyncId, McastGroup, McastPort, McastTtl, SyncMaxLen];

/// The rule of each command.
pub const fn of_command(verb: Verb) -> &'static Rule {
    match verb {
        Verb::AddService => const { &rule("'add-service' command", SERVICE, SERVICE_OPTIONS, &[]) },
        Verb::EditService => const { &rule("'edit-service' command", SERVICE, SERVICE_OPTIONS, &[]) },
        Verb::DeleteService => const { &rule("'delete-service' command", SERVICE, &[], &[]) },
        Verb::AddServer => const { &rule("'add-server' command", SERVER, SERVER_OPTIONS, &[]) },
        Verb::EditServer => const { &rule("'edit-server' command", SERVER, SERVER_OPTIONS, &[]) },
        Verb::DeleteServer => const { &rule("'delete-server' command", SERVER, &[], &[]) },
        Verb::List => const { &rule("'list' command", &[], LIST_OPTIONS, LISTED) },
        Verb::StartDaemon => const { &rule("'start-daemon' command", &[], DAEMON_OPTIONS, &[]) },
        Verb::StopDaemon => const { &rule("'stop-daemon' command", &[], &[SyncId], &[]) },
        Verb::Save => const { &rule("'save' command", &[], &[Numeric], &[]) },
        Verb::Zero => const { &rule("'zero' command", &[], SERVICE, &[]) },
        Verb::Flush => const { &rule("'flush' command", &[], &[], &[]) },
        Verb::Set => const { &rule("'set' command", &[], &[], &[]) },
        Verb::Restore => const { &rule("'restore' command", &[], &[], &[]) },
    }
}

/// That the command needs what is missing.
pub fn needed(verb: Verb, slot: Slot) -> Usage {
    Usage::Needed { option: slot.name(), by: of_command(verb).name }
}

/// The options of the kind `ipip`.
pub const IPIP: Rule = rule("'ipip' tunnel type", &[], &[], &[]);
/// The options of the kind `gue`.
pub const GUE: Rule = rule("'gue' tunnel type", &[TunPort], &[], &[TunNoCsum, TunCsum, TunRemCsum]);
/// The options of the kind `gre`.
pub const GRE: Rule = rule("'gre' tunnel type", &[], &[], &[TunNoCsum, TunCsum]);

/// What only tunnels have, besides their kind.
pub const TUNNEL_DETAILS: Slots = Slots::of(&[TunPort, TunNoCsum, TunCsum, TunRemCsum]);
/// What only tunnels have.
pub const TUNNEL: Slots = TUNNEL_DETAILS.or(Slots::of(&[TunType]));

const fn rule(name: &'static str, required: &[Slot], allowed: &[Slot], one_of: &[Slot]) -> Rule {
    Rule { name, required: Slots::of(required), allowed: Slots::of(allowed), one_of: Slots::of(one_of) }
}

impl Rule {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Is this option needed or allowed?
    pub const fn takes(&self, slot: Slot) -> bool {
        self.required.or(self.allowed).or(self.one_of).has(slot)
    }

    /// Checks what was given against the rule.
    ///
    /// # Errors
    /// The fault of the first slot that is missing, not allowed, or one too many.
    #[inline]
    pub fn check(&self, given: Slots) -> Result<(), Usage> {
        let missing = self.required.without(given);
        let illegal = given.without(self.required).without(self.allowed).without(self.one_of);
        let alternatives = given.and(self.one_of);
        let Some(slot) = missing.or(illegal).or(alternatives.rest()).first() else {
            return Ok(());
        };
        Err(if missing.has(slot) {
            Usage::Needed { option: slot.name(), by: self.name }
        } else if illegal.has(slot) {
            Usage::NotAllowed { option: slot.name(), by: self.name }
        } else {
            let other = alternatives.first().map_or("", Slot::name);
            Usage::Conflict { option: slot.name(), other, by: self.name }
        })
    }

    /// Checks the options of a tunnel against the rule of its kind.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_tunnel(&self, given: Slots) -> Result<(), Usage> {
        self.check(given.and(TUNNEL_DETAILS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(rule: &Rule, given: &[Slot]) -> String {
        rule.check(Slots::of(given)).map_or_else(|usage| usage.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn the_fault_of_the_first_slot_is_reported() {
        let list = of_command(Verb::List);
        assert_eq!(message(list, &[Timeout, Daemon, Scheduler]), "Illegal 'scheduler' option with the 'list' command");
        assert_eq!(
            message(list, &[Scheduler, ServiceAddress, Connection]),
            "The option 'service-address' conflicts with the 'connection' option in the 'list' command"
        );
        let add = of_command(Verb::AddServer);
        assert_eq!(message(add, &[Numeric]), "Illegal 'numeric' option with the 'add-server' command");
        assert_eq!(
            message(add, &[Scheduler, RealServer]),
            "You need to supply the 'service-address' option for the 'add-server' command"
        );
        assert_eq!(message(add, &[RealServer, ServiceAddress, TunRemCsum]), "fine");
    }

    #[test]
    fn tunnels_have_rules_of_the_same_shape() {
        assert_eq!(
            message(&GUE, &[TunCsum, TunNoCsum]),
            "You need to supply the 'tun-port' option for the 'gue' tunnel type"
        );
        assert_eq!(
            message(&GUE, &[TunPort, TunCsum, TunNoCsum]),
            "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gue' tunnel type"
        );
        assert_eq!(message(&GRE, &[TunRemCsum, TunCsum]), "Illegal 'tun-remcsum' option with the 'gre' tunnel type");
        assert_eq!(message(&IPIP, &[TunPort]), "Illegal 'tun-port' option with the 'ipip' tunnel type");
    }

    #[test]
    fn every_slot_belongs_to_a_command() {
        let rules = Verb::ALL.map(of_command);
        for &slot in Slot::ALL {
            let used = rules.iter().any(|rule| rule.takes(slot));
            assert!(used, "no command takes {}", slot.name());
        }
    }

    #[test]
    fn a_set_contains_what_was_inserted() {
        let mut set = Slots::NONE;
        assert!(set.insert(TunRemCsum));
        assert!(!set.insert(TunRemCsum));
        assert!(set.insert(Numeric));
        assert_eq!((set.first(), set.rest().first()), (Some(Numeric), Some(TunRemCsum)));
        assert_eq!(Slots::NONE.first(), None);
    }
}
