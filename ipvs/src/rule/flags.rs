//! Scheduler flags, in a listing's parentheses and behind `-b`.
//!
//! `sh` and `mh` have no name for the third flag: a listing shows nothing for it, but saved it must be, by its general name.

use crate::name::Scheduler;
use crate::service::{SchedulerFlags, Service};

/// Are there any that ipvsadm knows?
pub fn any(service: &Service) -> bool {
    let known = SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2 | SchedulerFlags::FLAG_3;
    service.scheduler_flags.intersects(known)
}

/// Appends their names for a listing, with commas between them: nothing for a flag that the scheduler has no name for.
pub fn listed(line: &mut Vec<u8>, service: &Service) {
    names(line, service, vocabulary(service.scheduler));
}

/// Appends what `-b` takes to set them again.
pub(super) fn saved(line: &mut Vec<u8>, service: &Service) {
    names(line, service, flag_names(service.scheduler));
}

/// The names of the first, second and third flag, as `-b` and desired states take them.
pub fn flag_names(scheduler: Scheduler) -> [&'static str; 3] {
    let [first, second, _] = vocabulary(scheduler);
    [first, second, THIRD]
}

fn names(line: &mut Vec<u8>, service: &Service, names: [&str; 3]) {
    let flags = [SchedulerFlags::FLAG_1, SchedulerFlags::FLAG_2, SchedulerFlags::FLAG_3];
    let is_set = |(flag, name): &(SchedulerFlags, &str)| service.scheduler_flags.contains(*flag) && !name.is_empty();
    let set = flags.into_iter().zip(names).filter(is_set);
    for (at, (_, name)) in set.enumerate() {
        if at > 0 {
            line.push(b',');
        }
        line.extend_from_slice(name.as_bytes());
    }
}

const THIRD: &str = "flag-3";

/// The names of the first, second and third flag in a listing; empty if there is none.
fn vocabulary(scheduler: Scheduler) -> [&'static str; 3] {
    match scheduler {
        Scheduler::SH => ["sh-fallback", "sh-port", ""],
        Scheduler::MH => ["mh-fallback", "mh-port", ""],
        _ => ["flag-1", "flag-2", THIRD],
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
