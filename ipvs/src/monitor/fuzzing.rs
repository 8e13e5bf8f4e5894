//! The door of a fuzz target to the decoder of packets.

use std::time::{Duration, Instant, SystemTime};

use super::event::{Action, EventKind, Process};
use super::pairing::Names;
use super::watcher::{Now, Watcher};
use crate::wire::{Observed, Piece, Request, observe};

/// The family's number.
const FAMILY: u16 = 0x1f;

struct Nobody;

impl Names for Nobody {
    fn process(&mut self, _: u32) -> Option<Process> {
        None
    }
}

/// Takes these packets for those of an nlmon device.
///
/// Law: each request but a reading is reported once, whatever the acknowledgements.
pub fn watch<'d>(packets: impl IntoIterator<Item = &'d [u8]>) {
    let mut now = Now { time: SystemTime::UNIX_EPOCH, instant: Instant::now() };
    let mut watcher = Watcher::new(FAMILY, true, Some(Duration::from_secs(60)), Nobody);
    let mut requests = 0;
    for packet in packets {
        if let Observed::Requests(pieces) = observe(packet, FAMILY) {
            let is_reading =
                |piece: &Piece| matches!(piece, Piece::Request { request: Ok(Some(Request::Read(_))), .. });
            requests += pieces.filter(|piece| !matches!(piece, Piece::Cut) && !is_reading(piece)).count();
        }
        watcher.packet(packet, now);
        watcher.announced(packet, now);
        watcher.family = FAMILY;
        watcher.settle(0, false, now);
    }
    // All patience is over then.
    now.instant += Duration::from_secs(60);
    watcher.settle(0, false, now);
    let reported = std::iter::from_fn(|| watcher.pop()).filter(|event| match &event.kind {
        EventKind::Request { action, .. } => !matches!(action, Action::Read { .. }),
        _ => false,
    });
    assert_eq!(reported.count(), requests);
}
