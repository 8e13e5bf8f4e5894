//! Taking a destination out of service without cutting a connection: [`Drain`] decides what to do
//! next from what the kernel reports, and leaves sending and waiting to its caller.
//!
//! ```
//! use ipvs::drain::{Drain, DrainStep};
//! use ipvs::{Destination, DestinationState};
//! let (web, server) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
//! let mut drain = Drain::new(web, server);
//! let state = DestinationState::new(Destination::new(server)); // as `Client::destinations` has it
//! let DrainStep::Quiesce { command, .. } = drain.next(Some(&state)) else { panic!() };
//! assert_eq!(command.to_string(), "-e -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::SocketAddr;

use crate::command::Command;
use crate::destination::Weight;
use crate::service::ServiceKey;
use crate::table::DestinationState;

/// Takes one destination out of service without cutting a connection: sets weight 0, then waits
/// until no client uses it.
///
/// It makes no request itself: the caller passes what the kernel reports of the destination, and
/// gets what to do next. It neither sleeps nor reads a clock, so one thread can drain hundreds.
/// After a restart, a new `Drain` continues from what the kernel holds.
///
/// It waits for connections, active and inactive, and for persistence templates, by which clients
/// of a persistent service return even to a destination of weight 0. With the sysctl
/// `expire_quiescent_template` = 1 they don't: see [`without_templates`](Self::without_templates).
///
/// No step is final. Other programs may give the destination a weight after [`DrainStep::Drained`],
/// and clients may then connect. So ask once more directly before you delete it, and delete it only
/// if the step is `Drained` again. The kernel has no command that deletes a destination only while
/// it is unused: a connection that comes between this question and the deletion is cut.
///
/// ```
/// use ipvs::{Client, Destination, Service, Table, drain::{Drain, DrainStep}};
///
/// let mut director = Client::fake(Table::new());
/// let (web, server) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
/// director.add_service(&Service::new(web))?;
/// director.add_destination(&web, &Destination::new(server))?;
///
/// let mut drain = Drain::new(web, server);
/// loop {
///     let found = director.destinations(&web)?;
///     match drain.next(found.iter().find(|state| state.destination.address == server)) {
///         DrainStep::Quiesce { command, weight } => {
///             println!("its weight was {weight}");
///             director.execute(&command)?;
///         }
///         DrainStep::Wait(in_use) => println!("{in_use}"), // and sleep for a while
///         DrainStep::Drained => break director.delete_destination(&web, server)?,
///         DrainStep::Missing(_) | DrainStep::WeightChanged(_) => break,
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drain {
    key: ServiceKey,
    at: SocketAddr,
    keeps_weight: bool,
    waits_for_templates: bool,
    seen: Seen,
    in_use: InUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// It takes no new connections, or will not once its weight is 0 as was asked.
    Quiesced,
    /// Nor has it any. A packet that was scheduled to it just before may not be in the table yet.
    Unused,
    /// It was not in the last reading, which other writers may have made incomplete.
    Missing,
}

/// What to do next, as [`Drain::next`] says.
///
/// ```
/// fn is_over(step: &ipvs::drain::DrainStep) -> bool {
///     !matches!(step, ipvs::drain::DrainStep::Quiesce { .. } | ipvs::drain::DrainStep::Wait(_))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrainStep {
    /// Carry this out, and call again at once. Note the weight now if you want to restore it later.
    Quiesce {
        /// Sets the weight to 0, and leaves all else as it was found.
        command: Command,
        /// What it was.
        weight: Weight,
    },
    /// It is in use, or was just now, or is missing for the first time: call again after a while.
    Wait(InUse),
    /// No client uses it or can come back to it: it may be deleted.
    Drained,
    /// The service has no such destination, or there is no such service, twice in a row. What used
    /// it when it was last seen.
    Missing(InUse),
    /// Another program has given it a weight since. It takes connections again.
    WeightChanged(Weight),
}

/// Who still uses a destination.
///
/// ```
/// use ipvs::drain::InUse;
/// let mut in_use = InUse::default();
/// (in_use.active, in_use.inactive) = (12, 3);
/// assert_eq!(in_use.to_string(), "12 active, 3 inactive");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InUse {
    /// Established connections.
    pub active: u32,
    /// Connections that are being set up or closed; all of UDP.
    pub inactive: u32,
    /// Persistence templates: clients that would be sent there again.
    pub templates: u32,
}

impl InUse {
    /// What the kernel reports of this destination.
    pub fn of(state: &DestinationState) -> Self {
        InUse {
            active: state.active_connections,
            inactive: state.inactive_connections,
            templates: state.persistent_connections,
        }
    }

    /// No client uses it.
    ///
    /// ```
    /// use ipvs::{Destination, DestinationState, drain::InUse};
    /// let state = DestinationState::new(Destination::new("192.0.2.11:80".parse()?));
    /// assert!(InUse::of(&state).is_unused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unused(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for InUse {
    fn add_assign(&mut self, other: Self) {
        self.active = self.active.saturating_add(other.active);
        self.inactive = self.inactive.saturating_add(other.inactive);
        self.templates = self.templates.saturating_add(other.templates);
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} active, {} inactive", self.active, self.inactive)?;
        match self.templates {
            0 => Ok(()),
            1 => write!(f, ", 1 persistence template"),
            templates => write!(f, ", {templates} persistence templates"),
        }
    }
}

impl Drain {
    /// Drains the destination at this address, of this service.
    pub fn new(key: ServiceKey, at: SocketAddr) -> Self {
        let in_use = InUse::default();
        Drain { key, at, keeps_weight: false, waits_for_templates: true, seen: Seen::Nothing, in_use }
    }

    /// Leaves the weight alone and only waits: another program keeps new connections away.
    ///
    /// ```
    /// use ipvs::drain::{Drain, DrainStep};
    /// use ipvs::{Destination, DestinationState};
    /// let (web, server) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
    /// let mut drain = Drain::new(web, server).keep_weight();
    /// let state = DestinationState::new(Destination::new(server)); // its weight is 1
    /// assert!(matches!(drain.next(Some(&state)), DrainStep::Wait(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn keep_weight(self) -> Self {
        Drain { keeps_weight: true, ..self }
    }

    /// Does not wait for persistence templates: for kernels whose sysctl
    /// `expire_quiescent_template` is 1, where no client comes back by one to a destination of
    /// weight 0.
    ///
    /// ```no_run
    /// use ipvs::drain::Drain;
    /// use ipvs::sysctl::{Sysctl, SysctlValue, Sysctls};
    /// let mut drain = Drain::new("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
    /// if Sysctls::new().get(Sysctl::ExpireQuiescentTemplate)? == SysctlValue::Number(1) {
    ///     drain = drain.without_templates();
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_templates(self) -> Self {
        Drain { waits_for_templates: false, ..self }
    }

    /// The service.
    pub fn service(&self) -> ServiceKey {
        self.key
    }

    /// The destination's address.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Given what the kernel reports of the destination now, what to do next. `None`: it has no
    /// such destination.
    pub fn next(&mut self, found: Option<&DestinationState>) -> DrainStep {
        let Some(state) = found else {
            let is_proven = self.seen == Seen::Missing;
            self.seen = Seen::Missing;
            return if is_proven { DrainStep::Missing(self.in_use) } else { DrainStep::Wait(self.in_use) };
        };
        self.in_use = InUse::of(state);
        if !self.waits_for_templates {
            self.in_use.templates = 0;
        }
        let weight = state.destination.weight;
        if weight != Weight::ZERO && !self.keeps_weight {
            let is_first = self.seen == Seen::Nothing;
            self.seen = Seen::Quiesced;
            if is_first {
                let command = Command::EditDestination(self.key, state.destination.with_weight(Weight::ZERO));
                return DrainStep::Quiesce { command, weight };
            }
            return DrainStep::WeightChanged(weight);
        }
        match (self.in_use.is_unused(), self.seen) {
            (true, Seen::Unused) => return DrainStep::Drained,
            (true, _) => self.seen = Seen::Unused,
            (false, _) => self.seen = Seen::Quiesced,
        }
        DrainStep::Wait(self.in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Destination;

    fn drain() -> Drain {
        Drain::new("tcp 192.0.2.1:80".parse().unwrap(), "192.0.2.11:80".parse().unwrap())
    }

    fn state(weight: u32, active: u32, inactive: u32, templates: u32) -> DestinationState {
        let mut destination = Destination::new("192.0.2.11:80".parse().unwrap());
        destination.weight = Weight::new(weight).unwrap();
        destination.upper_threshold = 9;
        DestinationState {
            active_connections: active,
            inactive_connections: inactive,
            persistent_connections: templates,
            ..DestinationState::new(destination)
        }
    }

    /// The steps, a letter each, for these states.
    fn steps(mut drain: Drain, states: &[Option<DestinationState>]) -> String {
        let step = |state: &Option<DestinationState>| match drain.next(state.as_ref()) {
            DrainStep::Quiesce { .. } => 'Q',
            DrainStep::Wait(_) => 'w',
            DrainStep::Drained => 'D',
            DrainStep::Missing(_) => 'M',
            DrainStep::WeightChanged(_) => 'C',
        };
        states.iter().map(step).collect()
    }

    #[test]
    fn only_the_weight_is_changed() {
        let DrainStep::Quiesce { command, weight } = drain().next(Some(&state(7, 1, 0, 0))) else { panic!() };
        assert_eq!(weight.get(), 7);
        assert_eq!(command, Command::EditDestination(drain().service(), state(0, 0, 0, 0).destination));
    }

    #[test]
    fn drained_means_unused_twice_in_a_row() {
        let course = [state(1, 2, 0, 0), state(0, 1, 1, 0), state(0, 0, 0, 0), state(0, 0, 1, 0), state(0, 0, 0, 0)];
        let course: Vec<_> = course.into_iter().chain([state(0, 0, 0, 0)]).map(Some).collect();
        assert_eq!(steps(drain(), &course), "QwwwwD");
    }

    #[test]
    fn one_made_anew_goes_on() {
        assert_eq!(steps(drain(), &[Some(state(0, 3, 0, 0)), Some(state(0, 0, 0, 0)), Some(state(0, 0, 0, 0))]), "wwD");
        assert_eq!(steps(drain(), &[Some(state(0, 0, 0, 0)), Some(state(0, 0, 0, 0))]), "wD");
    }

    #[test]
    fn templates_count_unless_they_lead_nowhere() {
        let course = [Some(state(0, 0, 0, 4)), Some(state(0, 0, 0, 4)), Some(state(0, 0, 0, 4))];
        assert_eq!(steps(drain(), &course), "www");
        assert_eq!(steps(drain().without_templates(), &course), "wDD");
    }

    #[test]
    fn missing_means_missing_twice_in_a_row() {
        assert_eq!(steps(drain(), &[None, None]), "wM");
        assert_eq!(steps(drain(), &[Some(state(0, 1, 0, 0)), None, Some(state(0, 1, 0, 0)), None, None]), "wwwwM");
        let mut drain = drain();
        drain.next(Some(&state(0, 5, 0, 0)));
        drain.next(None);
        assert_eq!(drain.next(None), DrainStep::Missing(InUse { active: 5, ..InUse::default() }));
    }

    #[test]
    fn a_weight_from_another_program_is_reported_at_any_time() {
        assert_eq!(steps(drain(), &[Some(state(3, 1, 0, 0)), Some(state(0, 1, 0, 0)), Some(state(3, 1, 0, 0))]), "QwC");
        let drained = [state(0, 0, 0, 0), state(0, 0, 0, 0)].map(Some);
        let later = |more: &[DestinationState]| {
            let course: Vec<_> = drained.iter().copied().chain(more.iter().copied().map(Some)).collect();
            steps(drain(), &course)
        };
        assert_eq!(later(&[state(0, 0, 0, 0)]), "wDD", "it stays drained as long as nothing changes");
        assert_eq!(later(&[state(3, 0, 0, 0)]), "wDC");
        assert_eq!(later(&[state(3, 1, 0, 0), state(0, 1, 0, 0), state(0, 0, 0, 0), state(0, 0, 0, 0)]), "wDCwwD");
        assert_eq!(later(&[state(0, 1, 0, 0), state(0, 0, 0, 0), state(0, 0, 0, 0)]), "wDwwD", "in use again");
        assert_eq!(steps(drain(), &[None, Some(state(3, 0, 0, 0))]), "wC", "it never takes a weight away twice");
    }

    #[test]
    fn the_weight_may_be_left_alone() {
        let course = [Some(state(3, 1, 0, 0)), Some(state(3, 0, 0, 0)), Some(state(3, 0, 0, 0))];
        assert_eq!(steps(drain().keep_weight(), &course), "wwD");
    }
}
