//! Doors to private parts for the targets in `fuzz/`: compiled only with `--cfg fuzzing`, which
//! cargo-fuzz sets.
//!
//! Each function here panics when a law is broken. [`codec`] is for a program that is measured.

pub mod codec;

use crate::command::Command;
use crate::destination::Tunnel;
use crate::error::Error;
use crate::exchange::{Progress, Query, SequenceNumbers, Window};
use crate::fake::Fake;
pub use crate::monitor::fuzzing::watch;
use crate::proc;
use crate::service::Family;
use crate::stats::Statistics;
use crate::table::Table;
use crate::wire::sockopt::{self, Question};
use crate::wire::{self, Body, Detail, Header, Read, Request};

/// Any number does: the family's is the kernel's choice.
const FAMILY: u16 = 0x1f;

/// Decodes a datagram as everything that it could be.
///
/// Law: a change that was understood says the same after it was written and read again.
pub fn decode(datagram: &[u8]) {
    for message in wire::messages(datagram) {
        let Ok((header, Body::Family { command, attrs })) = message else { continue };
        let _ = wire::decode_service(attrs, Detail::Statistics);
        for family in [Family::V4, Family::V6] {
            let _ = wire::decode_destination(attrs, family, Detail::Statistics);
        }
        let _ = wire::decode_daemon(attrs);
        let _ = wire::decode_timeouts(attrs);
        let _ = wire::decode_info(attrs);
        let _ = wire::decode_family_id(attrs);
        if let Ok(Some(Request::Change(change))) = wire::decode_request(&header, command, attrs) {
            assert_eq!(written_and_read(&change), change);
        }
    }
}

fn written_and_read(change: &Command) -> Command {
    let mut written = Vec::new();
    wire::encode_change(&mut written, Header::request(FAMILY, 1), change);
    let mut messages = wire::messages(&written);
    let Some(Ok((header, Body::Family { command, attrs }))) = messages.next() else {
        panic!("{change:?}: {written:?}")
    };
    assert!(messages.next().is_none(), "{change:?} is one message");
    match wire::decode_request(&header, command, attrs) {
        Ok(Some(Request::Change(read))) => read,
        other => panic!("{change:?} was read as {other:?}"),
    }
}

/// Sends this number of commands at once, and then takes these datagrams as the kernel's replies.
///
/// Law: each command has one outcome, whatever the kernel says.
pub fn commands_with_replies<'d>(count: u8, replies: impl IntoIterator<Item = &'d [u8]>) {
    let (mut window, mut numbers) = (Window::default(), SequenceNumbers::default());
    for _ in 0..count {
        window.push(FAMILY, &mut numbers, &Command::Flush);
    }
    if window.is_empty() {
        return;
    }
    window.datagram();
    for reply in replies {
        match window.feed(reply) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(error) => return assert!(matches!(error, Error::Decode(_)), "{error:?}"),
        }
    }
    assert_eq!(window.take().len(), count.into());
    assert!(window.is_empty());
}

/// Asks for a table, and then takes these datagrams as the kernel's replies.
///
/// Law: an error is a refusal or a fault of the bytes.
pub fn query_with_replies<'d>(replies: impl IntoIterator<Item = &'d [u8]>) {
    let query = Query::read(&mut Vec::new(), FAMILY, 1, &Read::Services);
    let mut take = |attrs: &[u8]| {
        let _ = wire::decode_service(attrs, Detail::Statistics);
    };
    for reply in replies {
        match query.feed(reply, &mut take) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => return,
            Err(error) => return assert!(matches!(error, Error::Decode(_) | Error::Refused(_)), "{error:?}"),
        }
    }
}

/// Sends a datagram to the in-memory kernel and returns its replies.
///
/// Law: the library can decode the replies, and the table that the datagram made.
pub fn serve(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut fake = Fake::new(Table::new());
    let replies = send(&mut fake, datagram);
    let mut keys = Vec::new();
    dump(&mut fake, &Read::Services, &mut |attrs| {
        keys.push(wire::decode_service(attrs, Detail::Statistics).unwrap().service.key())
    });
    for key in keys {
        dump(&mut fake, &Read::Destinations(key), &mut |attrs| {
            wire::decode_destination(attrs, key.family(), Detail::Statistics).unwrap();
        });
    }
    dump(&mut fake, &Read::Daemons, &mut |attrs| {
        wire::decode_daemon(attrs).unwrap();
    });
    replies
}

fn send(fake: &mut Fake, datagram: &[u8]) -> Vec<Vec<u8>> {
    fake.send(datagram).unwrap();
    let mut replies = Vec::new();
    let mut reply = Vec::new();
    while fake.receive(&mut reply).is_ok() {
        replies.push(std::mem::take(&mut reply));
    }
    for reply in &replies {
        for message in wire::messages(reply) {
            message.unwrap();
        }
    }
    replies
}

fn dump(fake: &mut Fake, read: &Read, take: &mut dyn FnMut(&[u8])) {
    let mut request = Vec::new();
    wire::encode_read(&mut request, Header::dump(FAMILY, 1), read);
    for reply in send(fake, &request) {
        for message in wire::messages(&reply) {
            match message.unwrap() {
                (_, Body::Family { attrs, .. }) => take(attrs),
                (_, body) => assert_eq!(body, Body::Done(0)),
            }
        }
    }
}

/// Takes these bytes as a reply of `getsockopt`, and as a request.
///
/// Laws: a request names what it was written for; services, destinations and daemons that are
/// read are the same when they are written and read again.
pub fn sockopt_reply(bytes: &[u8]) {
    sockopt_request(bytes);
    let _ = (sockopt::destination_count(bytes), sockopt::info(bytes), sockopt::timeouts(bytes));
    let mut reply = Vec::new();
    if let Some(read) = sockopt::services(bytes) {
        assert!(sockopt::ask_services(&mut reply, read.len() + 1));
        sockopt::put_services(&mut reply, read.iter().map(|state| (state, 0)));
        assert_eq!(sockopt::services(&reply), Some(read));
    }
    let tunnel = Some(Tunnel::Ipip);
    if let Some(read) = sockopt::destinations(bytes, Detail::Statistics, tunnel) {
        assert!(sockopt::ask_destinations(&mut reply, &"mark 1".parse().unwrap(), read.len() + 1));
        sockopt::put_destinations(&mut reply, read.iter());
        assert_eq!(sockopt::destinations(&reply, Detail::Statistics, tunnel), Some(read));
    }
    if let Some(read) = sockopt::daemons(bytes) {
        sockopt::ask_daemons(&mut reply);
        sockopt::put_daemons(&mut reply, &read);
        assert_eq!(sockopt::daemons(&reply), Some(read));
    }
}

fn sockopt_request(bytes: &[u8]) {
    for option in sockopt::GET_INFO..=sockopt::GET_DAEMONS {
        let Some(read) = Question::read(option, bytes) else { continue };
        let mut question = Vec::new();
        match read {
            Question::Info => sockopt::ask_info(&mut question),
            Question::Services => assert!(sockopt::ask_services(&mut question, 3)),
            Question::Service(key) => assert!(sockopt::ask_service(&mut question, &key)),
            Question::Destinations(key) => assert!(sockopt::ask_destinations(&mut question, &key, 3)),
            Question::Timeouts => sockopt::ask_timeouts(&mut question),
            Question::Daemons => sockopt::ask_daemons(&mut question),
        }
        assert_eq!(Question::read(option, &question), Some(read));
    }
}

/// The counters of a whole director, of a text in the kernel's form.
///
/// # Errors
/// [`proc::Error::Line`].
pub fn totals(text: &str) -> Result<Statistics, proc::Error> {
    proc::parse_totals(text)
}
