//! A datagram of a sync daemon: a message that is the same after it was written and read again, or
//! an error.

#![no_main]

use ipvs::proc::Connection;
use ipvs::sync::{Entry, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let Ok(message) = Message::decode(datagram) else { return };
    let written = message.encode().expect("what was read can be written");
    assert_eq!(Message::decode(&written).as_ref(), Ok(&message));
    for entry in &message.entries {
        let Ok(connection) = Connection::try_from(entry) else { continue };
        // Not if the port of a template is not 0, or its protocol is not one that the table shows.
        if let Ok(again) = Entry::try_from(&connection) {
            assert_eq!((again.client, again.destination), (entry.client, entry.destination));
        }
    }
});
