//! Schedulers that refuse clients while a destination has weight 0. Measured with real packets:
//! `tests/kernel/tests/traffic/draining.rs`.

use ipvs::{Command, Scheduler, SchedulerFlags, Service, ServiceKey};

use super::Selected;
use crate::escape::ShellCommand;
use crate::session::Trouble;

/// The command that makes such a service give clients to another server; `None`: its scheduler does.
pub(crate) fn cure(service: &Service) -> Option<Cure> {
    match service.scheduler {
        // The same flag has a name for each: sh-fallback, mh-fallback.
        Scheduler::MH | Scheduler::SH if !service.scheduler_flags.contains(SchedulerFlags::FLAG_1) => {
            let flags = service.scheduler_flags | SchedulerFlags::FLAG_1;
            let edit = Command::EditService(service.with_scheduler_flags(flags)).to_string();
            Some(Cure::Fallback(ShellCommand::new(std::iter::once("ipvsadm").chain(edit.split(' ')))))
        }
        Scheduler::DH => Some(Cure::OtherScheduler),
        _ => None,
    }
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    /// This command.
    Fallback(ShellCommand),
    /// The scheduler has no fallback.
    OtherScheduler,
}

/// Refuses weight 0 where new clients would be refused by it.
pub(in crate::subcommands) fn check(selected: &[Selected], otherwise: &str) -> Result<(), Trouble> {
    let mut told: Vec<(ServiceKey, String)> = Vec::new();
    for Selected { service, state, .. } in selected {
        let key = service.service.key();
        if state.destination.weight == ipvs::Weight::ZERO || told.iter().any(|(named, _)| *named == key) {
            continue;
        }
        let scheduler = service.service.scheduler;
        let what_to_do = match cure(&service.service) {
            None => continue,
            Some(Cure::Fallback(command)) => format!("`{command}` lets another server answer them"),
            Some(Cure::OtherScheduler) => format!("{scheduler} has no fallback; give the service another scheduler"),
        };
        told.push((
            key,
            format!(
                "{key}: while a real server has weight 0, {scheduler} refuses the new clients that it has for \
             that server; {what_to_do}; --force {otherwise}; nothing was changed"
            ),
        ));
    }
    if told.is_empty() {
        Ok(())
    } else {
        Err(Trouble::Other(told.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\nipvs-cli: ")))
    }
}
