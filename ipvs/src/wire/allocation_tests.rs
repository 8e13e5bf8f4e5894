//! The codec takes no memory for an attribute: what is written goes into one buffer, and what is
//! read are plain values.

use std::hint::black_box;

use allocation_counter::measure;
use proptest::prelude::*;

use super::*;
use crate::exchange::{SequenceNumbers, Window};
use crate::table::ServiceState;
use crate::{Command, Family, strategies};

const HEADER: Header = Header { family: 0x1c, flags: 0, sequence: 1 };

/// How often memory is taken by this.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

/// What a message is about.
fn attributes(datagram: &[u8]) -> &[u8] {
    match messages(datagram).next() {
        Some(Ok((_, Body::Family { attrs, .. }))) => attrs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1_u8, 2]))), 1);
}

proptest! {
    #[test]
    fn a_change_is_written_into_the_buffer_that_is_there(command in strategies::command()) {
        let mut buffer = Vec::with_capacity(1 << 10);
        prop_assert_eq!(allocations(|| encode_change(&mut buffer, HEADER, &command)), 0);
    }

    #[test]
    fn a_service_and_a_destination_are_read_without_taking_memory(
        service in strategies::service(),
        state in strategies::destination_state(),
    ) {
        let (mut services, mut destinations) = (Vec::new(), Vec::new());
        encode_service(&mut services, HEADER, &ServiceState::new(service));
        encode_destination(&mut destinations, HEADER, &state);
        for detail in [Detail::Statistics, Detail::NoStatistics] {
            let read = || {
                decode_service(attributes(&services), detail).unwrap();
                decode_destination(attributes(&destinations), Family::V4, detail).unwrap();
            };
            prop_assert_eq!(allocations(read), 0);
        }
    }
}

/// What a window of many commands takes is what any window takes: its outcomes, which the caller
/// gets.
#[test]
fn a_command_costs_no_memory_once_the_buffers_are_there() {
    let add = Command::AddService(crate::Service::new("mark 1".parse().unwrap()));
    let start = Command::StartDaemon(crate::Daemon::new(crate::DaemonRole::Master, "eth0".parse().unwrap()));
    let (mut window, mut numbers) = (Window::default(), SequenceNumbers::default());
    // A first window begins with a request that is shorter than that of the next one.
    let mut send = |first: &Command, count: usize| {
        for command in [first].into_iter().chain(std::iter::repeat_n(&add, count - 1)) {
            window.push(HEADER.family, &mut numbers, command);
        }
        black_box(window.datagram());
        drop(black_box(window.take()));
    };
    send(&Command::Flush, 100);
    assert_eq!(allocations(|| send(&add, 1)), 1);
    assert_eq!(allocations(|| send(&start, 100)), 1);
}
