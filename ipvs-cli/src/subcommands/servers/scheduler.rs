//! Schedulers that refuse clients while a destination has weight 0. Measured with real packets:
//! `tests/kernel/tests/traffic/draining.rs`.

use ipvs::{Command, Scheduler, SchedulerFlags, Service, Weight};
use ipvs_text::escape::ShellCommand;

use super::Selected;

/// What makes the scheduler give clients to another server; `None` if it does so by itself.
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

/// For each service whose scheduler would refuse new clients: why, and what helps.
pub(super) fn reasons(selected: &[Selected]) -> Vec<String> {
    let mut services: Vec<&Service> = Vec::new();
    for Selected { service, state, .. } in selected {
        let is_known = services.iter().any(|known| known.key() == service.service.key());
        if state.destination.weight != Weight::ZERO && !is_known {
            services.push(&service.service);
        }
    }
    let reason = |service: &&Service| {
        let scheduler = service.scheduler;
        let what_to_do = match cure(service)? {
            Cure::Fallback(command) => format!("`{command}` lets another server answer them"),
            Cure::OtherScheduler => format!("{scheduler} has no fallback; give the service another scheduler"),
        };
        Some(format!(
            "{}: while a real server has weight 0, {scheduler} refuses the new clients that it has for that server; \
             {what_to_do}",
            service.key()
        ))
    };
    services.iter().filter_map(reason).collect()
}
