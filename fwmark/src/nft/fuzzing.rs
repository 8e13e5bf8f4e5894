//! What the target `nft_tables` in `fuzz/` calls, compiled only with `--cfg fuzzing` and for tests.

use ipvs::owners::Owner;
use netlink_packet_core::NetlinkBuffer;

use super::attr::Attrs;
use super::layout;
use super::message::{Body, INET, Kind, replies};
use super::read::{Table, TableId, raw_elements};
use super::socket::Transaction;
use super::{lookup, rules_of, uapi};
use crate::rule::MarkRule;

/// Reads datagrams as the kernel's replies about the table `inet ipvs-fwmark`: chains, rules, sets,
/// and then the elements of each set that a rule uses.
///
/// Laws: each rule that writes a mark has a description; rules of the owner are the same after they
/// were laid out and read again.
///
/// # Panics
/// When a law is broken.
pub fn read_nftables<'d>(answers: impl IntoIterator<Item = &'d [u8]>) {
    let mut answers = answers.into_iter();
    let mut next = |take: &mut dyn FnMut(u8, &[u8])| objects(answers.next().unwrap_or_default(), take);
    let mut table = Table::new(own_table(), None);
    next(&mut |family, attrs| table.take_chain(family, attrs));
    next(&mut |family, attrs| table.take_rule(family, attrs));
    let mut sets = Vec::new();
    next(&mut |family, attrs| sets.extend(table.used_set(family, attrs)));
    for (name, key_length) in sets {
        let mut elements = Vec::new();
        next(&mut |_, attrs| elements.extend(raw_elements(attrs)));
        table.put_set(name, key_length, elements);
    }
    for marking in table.markings() {
        assert!(!marking.place.is_empty() && !marking.outcome.effect.to_string().is_empty());
        assert!(!marking.outcome.selector.to_string().is_empty());
    }
    if let Ok(rules) = rules_of(&table) {
        assert_eq!(laid_out_and_read(&rules), rules);
    }
}

fn own_table() -> TableId {
    (INET, Owner::default().as_str().to_owned())
}

fn objects(datagram: &[u8], take: &mut dyn FnMut(u8, &[u8])) {
    for reply in replies(datagram).map_while(|reply| reply) {
        if let Body::Object { family, attrs } = reply.body {
            take(family, attrs);
        }
    }
}

/// The rules in the table if the kernel kept just what was sent.
pub(super) fn laid_out_and_read(rules: &[MarkRule]) -> Vec<MarkRule> {
    let mut transaction = Transaction::new(INET, 0);
    layout::create(&mut transaction, &Owner::default(), &lookup::lookups(rules));
    let mut table = Table::new(own_table(), None);
    let mut taken = 0;
    // The kernel adds a handle, and sends all rules before any set.
    let handle = Attrs::new().bytes(uapi::rule::HANDLE, &[0; 8]);
    each_change(&transaction, Kind::NewChain, |attrs| table.take_chain(INET, attrs));
    each_change(&transaction, Kind::NewRule, |attrs| table.take_rule(INET, &[attrs, handle.as_slice()].concat()));
    let mut sets = Vec::new();
    each_change(&transaction, Kind::NewSet, |attrs| sets.extend(table.used_set(INET, attrs)));
    for (name, key_length) in sets {
        let mut elements = Vec::new();
        each_change(&transaction, Kind::NewElements, |attrs| {
            if super::attr::text(attrs, uapi::elements::SET).as_deref() == Some(&*name) {
                elements.extend(raw_elements(attrs));
            }
        });
        taken += elements.len();
        table.put_set(name, key_length, elements);
    }
    assert!(taken >= rules.len(), "each rule is an element at least");
    rules_of(&table).unwrap_or_else(|error| panic!("{error}: {rules:?}"))
}

fn each_change(transaction: &Transaction, kind: Kind, mut take: impl FnMut(&[u8])) {
    const HEADERS: usize = 20;
    let mut rest = &transaction.datagram.bytes[..];
    while let Ok(message) = NetlinkBuffer::new_checked(&rest) {
        let (is_meant, length) = (message.message_type() == kind.number(), message.length() as usize);
        if is_meant {
            take(&rest[HEADERS..length]);
        }
        rest = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse;

    /// Lines in which few addresses, ports and interfaces meet, so that rules overlap.
    fn line() -> impl Strategy<Value = String> {
        let words = |words: &'static [&'static str]| prop::sample::select(words);
        let v4 = (
            words(&["", "-i eth0 ", "-i e+ "]),
            words(&["", "-s 198.51.100.0/24 ", "-s 198.51.100.7 "]),
            words(&["-d 192.0.2.1", "-d 192.0.2.2", "-d 192.0.2.0/30", "-d 0.0.0.0/0"]),
        );
        let v6 = (Just(""), words(&["", "-s 2001:db8::/64 "]), words(&["-d 2001:db8::1", "-d 2001:db8::/127"]));
        let traffic = words(&[
            "",
            " -p udp",
            " -p tcp --dport 80",
            " -p tcp --dport 80:90",
            " -p tcp -m multiport --dports 1:79,443",
        ]);
        let set = words(&["--set-mark 1", "--set-mark 2", "--set-xmark 0x10/0xff", "--set-mark 0xffffffff"]);
        let parts = prop_oneof![
            3 => v4.prop_map(|parts| ("iptables", parts)),
            1 => v6.prop_map(|parts| ("ip6tables", parts)),
        ];
        (parts, traffic, set).prop_map(|((program, (interface, source, destination)), traffic, set)| {
            format!("{program} -t mangle -A PREROUTING {interface}{source}{destination}{traffic} -j MARK {set}")
        })
    }

    proptest! {
        #[test]
        fn rules_that_are_laid_out_are_read(lines in prop::collection::vec(line(), 0..12)) {
            let rules: Vec<MarkRule> = lines.iter().map(|line| parse(line).unwrap().rule).collect();
            prop_assert_eq!(laid_out_and_read(&rules), rules);
        }

        #[test]
        fn no_reply_of_a_kernel_panics(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)) {
            read_nftables(answers.iter().map(Vec::as_slice));
        }
    }
}
