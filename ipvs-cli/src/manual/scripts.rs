//! ipvsadm-save(8) and ipvsadm-restore(8).

use super::{Page, roff::Roff};

/// The page of `ipvsadm-save`.
pub(super) fn save(date: &str) -> Page {
    let mut roff = Roff::page("ipvsadm-save", "print the IPVS table as a rules file", date);
    roff.section("SYNOPSIS").forms("ipvsadm-save", ["[-n]"]);
    roff.section("DESCRIPTION").say(
        "Prints the table of virtual services and real servers as lines that ipvsadm-restore(8) reads. It does what \
         `ipvsadm -S` does. Timeouts and sync daemons are not in the table.",
    );
    roff.section("OPTIONS")
        .item("`-n`", "Prints addresses and ports as numbers. Rules for a later restore should have them.");
    roff.say("Any other option prints a short help, with exit status 1. Other words are ignored.");
    roff.section("EXAMPLES").example("ipvsadm-save -n > /etc/ipvsadm.rules");
    roff.section("SEE ALSO").say("ipvsadm(8), ipvsadm-restore(8), ipvs-cli(8)");
    Page { name: "ipvsadm-save", text: roff.finish() }
}

/// The page of `ipvsadm-restore`.
pub(super) fn restore(date: &str) -> Page {
    let mut roff = Roff::page("ipvsadm-restore", "carry out the rules on standard input", date);
    roff.section("SYNOPSIS").forms("ipvsadm-restore", [""]);
    roff.section("DESCRIPTION").say(
        "Clears the table of virtual services, reads rules from standard input, as ipvsadm-save(8) prints them, and carries them out: the \
         table becomes what they say. Lines that begin with `#` are comments. The rest is done as by `ipvsadm -R`.",
    );
    roff.say("Arguments are ignored.");
    roff.section("EXAMPLES").example("ipvsadm-restore < /etc/ipvsadm.rules");
    roff.section("SEE ALSO").say("ipvsadm(8), ipvsadm-save(8), ipvs-cli(8)");
    Page { name: "ipvsadm-restore", text: roff.finish() }
}
