//! Scheduler flags, in a listing's parentheses and behind `-b`.

use ipvs::{Scheduler, SchedulerFlags, Service};

/// Are there any that ipvsadm knows?
pub(super) fn any(service: &Service) -> bool {
    let known = SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2 | SchedulerFlags::FLAG_3;
    service.scheduler_flags.intersects(known)
}

/// Appends their names with commas between them: nothing for a flag that the scheduler `sh` or `mh` gives no name to.
pub(super) fn names(line: &mut Vec<u8>, service: &Service) {
    let flags = [SchedulerFlags::FLAG_1, SchedulerFlags::FLAG_2, SchedulerFlags::FLAG_3];
    let mut first = true;
    for (flag, name) in flags.into_iter().zip(vocabulary(service.scheduler)) {
        if service.scheduler_flags.contains(flag) {
            if !first {
                line.push(b',');
            }
            line.extend_from_slice(name.as_bytes());
            first = false;
        }
    }
}

/// The names of the first, second and third flag.
fn vocabulary(scheduler: Scheduler) -> &'static [&'static str] {
    match scheduler {
        Scheduler::SH => &["sh-fallback", "sh-port"],
        Scheduler::MH => &["mh-fallback", "mh-port"],
        _ => &["flag-1", "flag-2", "flag-3"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::text;

    fn service(scheduler: Scheduler, bits: u32) -> Service {
        Service::new("mark 1".parse().unwrap())
            .with_scheduler(scheduler)
            .with_scheduler_flags(SchedulerFlags::from_bits_retain(bits))
    }

    #[test]
    fn each_scheduler_has_its_words() {
        for (scheduler, bits, expected) in [
            (Scheduler::SH, 0x18, "sh-fallback,sh-port"),
            (Scheduler::SH, 0x20, ""),
            (Scheduler::SH, 0x38, "sh-fallback,sh-port"),
            (Scheduler::MH, 0x10, "mh-port"),
            (Scheduler::RR, 0x28, "flag-1,flag-3"),
            (Scheduler::RR, 0xf0, "flag-2,flag-3"),
        ] {
            assert!(any(&service(scheduler, bits)));
            assert_eq!(text(|line| names(line, &service(scheduler, bits))), expected);
        }
    }

    #[test]
    fn a_newer_kernels_flags_are_not_shown() {
        assert!(!any(&service(Scheduler::SH, 0xffff_ffc0)));
    }
}
