//! ipvsadm(8): the table of options, section by section.

use ipvs_text::ipvsadm::{
    grammar::{Item, ROWS, Row, Section, Takes},
    help::FORMS,
    manual::sentences,
    rules::{Slot, Verb, of_command},
};

use super::{Page, roff::Roff};

/// The page.
pub(super) fn page(date: &str) -> Page {
    let mut roff = Roff::page("ipvsadm", "virtual services of the Linux kernel's load balancer", date);
    roff.section("SYNOPSIS").forms("ipvsadm", std::iter::once("").chain(FORMS));
    roff.section("DESCRIPTION").say(DESCRIPTION);
    commands_and_options(&mut roff);
    roff.section("EXIT STATUS").item("0", "All went well.");
    roff.item("1", "The table, a service or standard input could not be read.");
    roff.item("2", "The command line has a wrong value or a wrong combination of options, or there is no IPVS.");
    roff.item("255", "The kernel refused a change, or the command line could not be understood at all.");
    roff.section("FILES").item("`/etc/ipvsadm.rules`, `/etc/default/ipvsadm`", "See ipvs-cli(8).");
    roff.item("`/proc/net/ip_vs_conn`", "The connections, which `-c` lists.");
    roff.item("`/proc/sys/net/ipv4/vs`", "Further settings of the kernel's.");
    roff.section("EXAMPLES").say("Two web servers behind one address, with rewritten packets:").example(NAT_EXAMPLE);
    roff.say("Two ports as one persistent service, by a firewall mark:").example(MARK_EXAMPLE);
    roff.say("Taking a server out of service:").example(DRAIN_EXAMPLE);
    roff.section("NOTES").say(NOTES);
    roff.section("SEE ALSO").say("ipvsadm-save(8), ipvsadm-restore(8), ipvs-cli(8), iptables(8), nft(8)");
    Page { name: "ipvsadm", text: roff.finish() }
}

/// The sections that come from the table.
pub(super) fn commands_and_options(roff: &mut Roff) {
    roff.section("COMMANDS").say(COMMANDS);
    rows(roff, Section::Commands);
    rows(roff, Section::Unlisted);
    roff.section("OPTIONS").say(OPTIONS);
    roff.part("Virtual service");
    rows(roff, Section::VirtualService);
    roff.part("Virtual services, real servers and listings");
    rows(roff, Section::Options);
    roff.part("Sync daemons");
    rows(roff, Section::Daemon);
}

fn rows(roff: &mut Roff, section: Section) {
    for row in ROWS.iter().filter(|row| row.section == section) {
        roff.item(&term(row), &format!("{}{}", sentences(row.item), goes_with(row)));
    }
}

/// All names of an option, and its value.
fn term(row: &Row) -> String {
    let letters = row.letters.chars().chain(row.quiet_letters.chars()).map(|letter| format!("`-{letter}`"));
    let mut term = letters.chain([format!("`--{}`", row.long)]).collect::<Vec<_>>().join(", ");
    match row.takes {
        Takes::Nothing => {}
        // The two commands whose value the short help does not name.
        Takes::Value("") => term += " `master`|`backup`",
        Takes::Value(name) => term += &format!(" <{name}>"),
        Takes::MaybeValue(name) => term += &format!(" [<{name}>]"),
        Takes::Words(names) => term.extend(names.split(' ').map(|name| format!(" <{name}>"))),
    }
    term
}

/// The commands that take an option, as the rules have it.
fn goes_with(row: &Row) -> String {
    let Item::Opt(_, Some(slot)) = row.item else { return String::new() };
    // Nearly all commands name a service, so a list of them would be no help.
    if slot == Slot::ServiceAddress {
        return String::new();
    }
    let takers: Vec<_> = Verb::ALL.into_iter().filter(|verb| of_command(*verb).takes(slot)).map(name).collect();
    match takers.as_slice() {
        [] => String::new(),
        [only] => format!(" Goes with {only}."),
        [others @ .., last] => format!(" Goes with {} and {last}.", others.join(", ")),
    }
}

/// The shortest name of a command.
fn name(verb: Verb) -> String {
    let row = ROWS.iter().find(|row| row.item == Item::Verb(verb));
    row.map_or_else(String::new, |row| match row.letters.chars().next() {
        Some(letter) => format!("`-{letter}`"),
        None => format!("`--{}`", row.long),
    })
}

const DESCRIPTION: &str = "\
IPVS balances connections inside the Linux kernel. A <virtual service> is an address and port, or a firewall mark, to which clients send. \
Behind it stand <real servers>; for each new connection a <scheduler> chooses one of them, and all packets of the connection then go \
there. The machine that does this is the <director>.

`ipvsadm` lists and changes the kernel's table of virtual services and real servers. It needs root, more exactly the capability \
`CAP_NET_ADMIN` of the initial user namespace, and acts on the network namespace that it runs in.";

const COMMANDS: &str = "A command line begins with one command. Without any, the table is listed.";

const OPTIONS: &str = "\
Letters may stand together (`-Ln`), a value may follow its letter directly (`-w5`) or stand by itself (`-w 5`), and one of a long option may \
follow an equals sign (`--weight=5`). Long options can't be abbreviated. Addresses may be names, but of IPv6 only numbers.";

const NAT_EXAMPLE: &str = "\
ipvsadm -A -t 192.0.2.1:80 -s wlc
ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.11 -m -w 2
ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m
ipvsadm -L -n";

const MARK_EXAMPLE: &str = "\
iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp \\
    -m multiport --dports 80,443 -j MARK --set-mark 10
ipvsadm -A -f 10 -s rr -p 600
ipvsadm -a -f 10 -r 10.0.0.11 -g
ipvsadm -a -f 10 -r 10.0.0.12 -g";

const DRAIN_EXAMPLE: &str = "\
ipvsadm -e -t 192.0.2.1:80 -r 10.0.0.11 -m -w 0
ipvsadm -L -n -t 192.0.2.1:80    # until ActiveConn is 0
ipvsadm -d -t 192.0.2.1:80 -r 10.0.0.11";

const NOTES: &str = "\
This is the `ipvsadm` of ipvs-cli: another program of the same behaviour. With both installed, `update-alternatives --config ipvsadm` chooses \
between them.

When standard error is a terminal, a message may have a second line with the part that is wrong. Into a file or a pipe \
goes the message alone.";
