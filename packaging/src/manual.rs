//! What the package adds to ipvs-cli(8): its service, and how it lives beside the real ipvsadm.

use ipvs_cli::manual::Roff;

/// Writes the sections.
pub(crate) fn sections(roff: &mut Roff) {
    roff.section("RULES AT BOOT").say(SERVICE);
    for (name, text) in SETTINGS {
        roff.item(name, text);
    }
    roff.say(SERVICE_NOTES).say("Rules that survive a reboot:").example(BOOT_EXAMPLE);
    roff.item("`/etc/default/ipvsadm`, `/etc/default/ipvs-cli`", "The settings. Those of the second win.");
    roff.item("`/etc/ipvsadm.rules`", "The rules that the service loads and saves.");
    roff.section("BESIDE THE REAL IPVSADM").say(BESIDE);
}

const SERVICE: &str = "\
`ipvs-cli.service` loads rules when the machine starts and can save them when it stops. It does only what its settings say, and by default \
that is nothing. They are assignments in the language of sh, read first from `/etc/default/ipvsadm`, if there is one, and then from \
`/etc/default/ipvs-cli`:";

const SETTINGS: [(&str, &str); 7] = [
    (
        "`AUTO=true`",
        "At start, add and edit what the rules file says, all of it or nothing. Services that are there already stay, as another program may have \
         made them. At stop, clear the table. Default: `false`.",
    ),
    (
        "`SAVE=true`",
        "At stop, write the table to the rules file, in the notation that the file has. Comments in it are lost. An empty table, or one that can't be \
         read, leaves the file as it is. A real server that is drained is written with weight 0, and keeps it after the next boot: the file and the journal \
         name it, with the weight that it had. Default: `false`.",
    ),
    (
        "`RULES=`<file>",
        "The rules file: rules of ipvsadm, TOML or JSON, as `ipvs-cli apply` reads them. Default: `/etc/ipvsadm.rules`.",
    ),
    (
        "`RELOAD_OPTIONS=`<options>",
        "Options of `ipvs-cli apply` for `systemctl reload`, such as `--no-deletions` where another program has services of its own. Default: none.",
    ),
    (
        "`DAEMON=master`, `backup` or `both`",
        "Start this sync daemon at start, whatever became of the rules, and stop it at stop. One that runs already is left alone. Default: `none`.",
    ),
    ("`IFACE=`<interface>", "Its network interface. Default: `eth0`."),
    ("`SYNCID=`<number>", "Its group of directors. Default: 0."),
];

const SERVICE_NOTES: &str = "\
`systemctl reload` brings the director to what the rules file says, if `AUTO` is `true`: all of it or nothing, and what is as desired keeps its \
connections. Services that the file does not name are deleted, unless `RELOAD_OPTIONS` has `--no-deletions`. `systemctl restart` would clear the table first.

What is wrong with the file stands in the journal with its line (`journalctl -u ipvs-cli`). Then the table stays as it is, and the unit has failed. A failed \
start is tried again, ten times in five minutes, as a name in the rules may not resolve yet. An empty file is an error: for a director without services write `-C`.

Installing, upgrading or removing the package never starts or stops the \
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
