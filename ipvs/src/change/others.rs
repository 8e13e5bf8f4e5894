//! What another writer made, which an owner's change leaves alone.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::ChangeRef;
use super::plan::Plan;
use crate::command::Command;
use crate::destination::Destination;
use crate::service::ServiceKey;
use crate::session::{Pace, Paced};
use crate::table::{DestinationState, Table, TableEntry};

/// Services that the change itself has made.
pub(super) type Keys = HashSet<ServiceKey, RandomState>;

impl ChangeRef<'_> {
    /// Would the planner leave an entry that another writer has made as it is? Destinations that
    /// are still to be added count as there.
    pub(super) async fn is_as_desired<P: Pace>(
        &self,
        added: &Command,
        present: &TableEntry,
        paced: &mut Paced<'_, P>,
    ) -> bool {
        match added {
            Command::AddService(service) => match self.desired.service(&service.key()) {
                Some(wanted) => self.planner.only_adds_to(present, wanted, paced).await,
                None => false,
            },
            Command::AddDestination(_, wanted) => present
                .destination(&wanted.address)
                .is_some_and(|state| self.planner.leaves(&state.destination, wanted)),
            _ => false,
        }
    }

    /// The additions of those desired services that another writer has made since.
    pub(super) async fn made_by_others<P: Pace>(
        &self,
        present: &Table,
        made: &Keys,
        paced: &mut Paced<'_, P>,
    ) -> Vec<Command> {
        let mut others = Vec::new();
        for entry in self.desired.services() {
            paced.step(1).await;
            let key = entry.service().key();
            let is_new = self.is_new(&key, made) && present.service(&key).is_some();
            if is_new && self.planner.concerns_service(&key) {
                others.push(Command::AddService(*entry.service()));
            }
        }
        others
    }

    /// Is one of these commands about an entry that another writer made?
    pub(super) async fn is_about_others<P: Pace>(
        &self,
        plan: &Plan,
        present: &Table,
        made: &Keys,
        paced: &mut Paced<'_, P>,
    ) -> bool {
        for command in plan.commands() {
            paced.step(1).await;
            let Some(entry) = command.service_key().and_then(|key| present.service(&key)) else { continue };
            if self.is_others(entry, made) || self.takes_from_others(std::slice::from_ref(command), entry, paced).await
            {
                return true;
            }
        }
        false
    }

    /// Would these commands only take destinations from other writers, who made them in an owner's
    /// service?
    pub(super) async fn is_left_to_others<P: Pace>(
        &self,
        commands: &[Command],
        present: Option<&TableEntry>,
        made: &Keys,
        paced: &mut Paced<'_, P>,
    ) -> bool {
        let is_owners = |present: &&TableEntry| self.planner.leaves_others() && !self.is_others(present, made);
        let Some(present) = present.filter(is_owners) else { return false };
        for command in commands {
            if !self.takes_from_others(std::slice::from_ref(command), present, paced).await {
                return false;
            }
        }
        true
    }

    /// What this service was before, and what it is desired to be.
    fn known(&self, key: &ServiceKey) -> impl Iterator<Item = &TableEntry> {
        [self.before, self.desired].into_iter().filter_map(|table| table.service(key))
    }

    /// If this service is there now, has another writer made it since?
    fn is_new(&self, key: &ServiceKey, made: &Keys) -> bool {
        self.before.service(key).is_none() && !made.contains(key)
    }

    /// Is a service new, or configured neither as it was before nor as it is desired, so that
    /// another writer made it?
    pub(super) fn is_others(&self, present: &TableEntry, made: &Keys) -> bool {
        let key = present.service().key();
        self.is_new(&key, made) || self.known(&key).all(|entry| entry.service() != present.service())
    }

    /// Does one of these commands edit or delete a destination of this service that is neither as
    /// it was before nor as it is desired, so that another writer made it?
    pub(super) async fn takes_from_others<P: Pace>(
        &self,
        commands: &[Command],
        present: &TableEntry,
        paced: &mut Paced<'_, P>,
    ) -> bool {
        let key = present.service().key();
        let is_others = |state: &DestinationState| {
            let known = self.known(&key).filter_map(|entry| entry.destination(&state.destination.address));
            !self.planner.is_one_of(&state.destination, known.map(|state| &state.destination))
        };
        for command in commands {
            paced.step(1).await;
            match command {
                Command::DeleteService(_) => {
                    for state in present.destinations() {
                        paced.step(1).await;
                        if is_others(state) {
                            return true;
                        }
                    }
                }
                Command::EditDestination(_, Destination { address: at, .. }) | Command::DeleteDestination(_, at)
                    if present.destination(at).is_some_and(is_others) =>
                {
                    return true;
                }
                _ => {}
            }
        }
        false
    }
}
