//! ipvs-cli(8): the program by its own name, its service, and how it lives beside the real ipvsadm.

use super::{Page, roff::Roff, subcommands};
use crate::clock::Date;

/// The page.
pub(super) fn page(date: Date) -> Page {
    let mut roff = Roff::page("ipvs-cli", "the command line of IPVS, and a stand-in for ipvsadm", date);
    let forms = subcommands::forms();
    let forms = [IPVSADM_FORM].into_iter().chain(forms.iter().map(String::as_str));
    roff.section("SYNOPSIS").forms("ipvs-cli", forms);
    roff.section("DESCRIPTION").say(DESCRIPTION);
    roff.section("COMMANDS");
    subcommands::describe(&mut roff);
    roff.section("RULES AT BOOT").say(SERVICE);
    for (name, text) in SETTINGS {
        roff.item(name, text);
    }
    roff.say(SERVICE_NOTES);
    roff.section("BESIDE THE REAL IPVSADM").say(BESIDE);
    roff.section("FILES")
        .item("`/etc/default/ipvsadm`, `/etc/default/ipvs-cli`", "Settings of the service. Those of the second win.");
    roff.item("`/etc/ipvsadm.rules`", "The rules that the service loads and saves.");
    roff.section("EXAMPLES").say("The same three ways:").example("ipvs-cli -L -n\nipvsadm -L -n\nipvsadm -Ln");
    roff.say("Rules that survive a reboot:").example(BOOT_EXAMPLE);
    roff.section("SEE ALSO")
        .say("ipvsadm(8), ipvsadm-save(8), ipvsadm-restore(8), systemctl(1), update-alternatives(1)");
    Page { name: "ipvs-cli", text: roff.finish() }
}

const IPVSADM_FORM: &str = "[--dry-run] [ipvsadm's command and options]";

const DESCRIPTION: &str = "\
`ipvs-cli` manages IPVS, the load balancer of the Linux kernel. It is one program with several names. Called as `ipvsadm`, `ipvsadm-save` or \
`ipvsadm-restore` it is that program: the same syntax, output and exit status. Called as `ipvs-cli` it takes the commands and options of ipvsadm(8) too, and with `--dry-run` before them it shows what they would change \
and changes nothing. Its own commands change a director as a whole.";

const SERVICE: &str = "\
`ipvs-cli.service` loads rules when the machine starts and can save them when it stops. It does only what its settings say, and by default \
that is nothing. They are assignments in the language of sh, read first from `/etc/default/ipvsadm`, if there is one, and then from \
`/etc/default/ipvs-cli`:";

const SETTINGS: [(&str, &str); 6] = [
    ("`AUTO=true`", "At start, the table becomes what the rules file says; at stop, it is cleared. Default: `false`."),
    ("`SAVE=true`", "At stop, the rules file becomes what the table is. Comments in it are lost. Default: `false`."),
    ("`RULES=`<file>", "The rules file. Default: `/etc/ipvsadm.rules`."),
    ("`DAEMON=master`, `backup` or `both`", "Start this sync daemon at start, and stop it at stop. Default: `none`."),
    ("`IFACE=`<interface>", "Its network interface. Default: `eth0`."),
    ("`SYNCID=`<number>", "Its group of directors. Default: 0."),
];

const SERVICE_NOTES: &str = "\
`systemctl reload` loads the rules file again, if `AUTO` is `true`. Installing, upgrading or removing the package never starts or stops the \
service, as that would change the table of a running director.

The service is also known as `ipvsadm.service`, and stands in for the one of the package ipvsadm, or for its init script.";

const BESIDE: &str = "\
`ipvsadm`, `ipvsadm-save`, `ipvsadm-restore` and their manual pages are links that update-alternatives(1) keeps. If the package ipvsadm is installed too, \
its files are kept aside, with `.distrib` in their names, and are the other alternative. Of the two, this one is preferred; \
`update-alternatives --config ipvsadm` asks which to take. Removing this package gives the files their names back.";

const BOOT_EXAMPLE: &str = "\
ipvsadm-save -n > /etc/ipvsadm.rules
echo 'AUTO=true' >> /etc/default/ipvs-cli
systemctl is-enabled ipvs-cli";
