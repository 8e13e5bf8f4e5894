//! The names of scheduler flags: in a listing's parentheses, behind `-b`, and in desired states.

use crate::name::Scheduler;
use crate::service::{SchedulerFlags, Service};

/// A name of a scheduler flag.
#[derive(Debug)]
pub struct FlagName {
    /// As it is written.
    pub name: &'static str,
    /// The scheduler that has the name; `None` if any may have it.
    pub scheduler: Option<Scheduler>,
    /// The flag.
    pub flag: SchedulerFlags,
}

const fn general(name: &'static str, flag: SchedulerFlags) -> FlagName {
    FlagName { name, scheduler: None, flag }
}

const fn own(name: &'static str, scheduler: Scheduler, flag: SchedulerFlags) -> FlagName {
    FlagName { name, scheduler: Some(scheduler), flag }
}

/// All names. A new one is a line here: everything else reads this table.
pub static FLAG_NAMES: [FlagName; 7] = [
    general("flag-1", SchedulerFlags::FLAG_1),
    general("flag-2", SchedulerFlags::FLAG_2),
    general("flag-3", SchedulerFlags::FLAG_3),
    own("sh-fallback", Scheduler::SH, SchedulerFlags::SH_FALLBACK),
    own("sh-port", Scheduler::SH, SchedulerFlags::SH_PORT),
    own("mh-fallback", Scheduler::MH, SchedulerFlags::MH_FALLBACK),
    own("mh-port", Scheduler::MH, SchedulerFlags::MH_PORT),
];

/// Does the service have a flag with a name?
pub fn any(service: &Service) -> bool {
    let known = SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2 | SchedulerFlags::FLAG_3;
    service.scheduler_flags.intersects(known)
}

/// Each flag that has a name, by the scheduler's own name for it or else the general one.
pub fn flag_names(scheduler: Scheduler) -> impl Iterator<Item = &'static FlagName> {
    let general = FLAG_NAMES.iter().filter(|known| known.scheduler.is_none());
    general.map(move |general| {
        let is_own = |known: &&FlagName| known.scheduler == Some(scheduler) && known.flag == general.flag;
        FLAG_NAMES.iter().find(is_own).unwrap_or(general)
    })
}

/// Appends their names for a listing, with commas between them. A scheduler that has names of its
/// own shows only those, as in ipvsadm.
pub fn listed(line: &mut Vec<u8>, service: &Service) {
    let has_own = FLAG_NAMES.iter().any(|known| known.scheduler == Some(service.scheduler));
    append(line, service, flag_names(service.scheduler).filter(|known| known.scheduler.is_some() == has_own));
}

/// Appends what `-b` takes to set them again.
pub(super) fn saved(line: &mut Vec<u8>, service: &Service) {
    append(line, service, flag_names(service.scheduler));
}

fn append(line: &mut Vec<u8>, service: &Service, names: impl Iterator<Item = &'static FlagName>) {
    for (at, known) in names.filter(|known| service.scheduler_flags.contains(known.flag)).enumerate() {
        if at > 0 {
            line.push(b',');
        }
        line.extend_from_slice(known.name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::text;

    fn service(scheduler: Scheduler, bits: u32) -> Service {
        Service::new("mark 1".parse().unwrap())
            .with_scheduler(scheduler)
            .with_scheduler_flags(SchedulerFlags::from_bits_retain(bits))
    }

    #[test]
    fn each_scheduler_has_its_words() {
        for (scheduler, bits, in_listing, in_save) in [
            (Scheduler::SH, 0x18, "sh-fallback,sh-port", "sh-fallback,sh-port"),
            (Scheduler::SH, 0x20, "", "flag-3"),
            (Scheduler::SH, 0x38, "sh-fallback,sh-port", "sh-fallback,sh-port,flag-3"),
            (Scheduler::MH, 0x10, "mh-port", "mh-port"),
            (Scheduler::MH, 0x30, "mh-port", "mh-port,flag-3"),
            (Scheduler::RR, 0x28, "flag-1,flag-3", "flag-1,flag-3"),
            (Scheduler::RR, 0xf0, "flag-2,flag-3", "flag-2,flag-3"),
        ] {
            assert!(any(&service(scheduler, bits)));
            assert_eq!(text(|line| listed(line, &service(scheduler, bits))), in_listing);
            assert_eq!(text(|line| saved(line, &service(scheduler, bits))), in_save);
        }
    }

    #[test]
    fn a_newer_kernels_flags_are_not_shown() {
        assert!(!any(&service(Scheduler::SH, 0xffff_ffc0)));
    }
}
