//! What the package adds to ipvs-cli(8): its service, and how it lives beside the real ipvsadm.

use ipvs_cli::manual::Roff;

use crate::contents::Family;

/// Writes the sections.
pub(crate) fn sections(family: Family, roff: &mut Roff) {
    let (first, second, rules) = match family {
        Family::RedHat => ("/etc/sysconfig/ipvsadm-config", "/etc/sysconfig/ipvs-cli", "/etc/sysconfig/ipvsadm"),
        Family::Debian | Family::Other => ("/etc/default/ipvsadm", "/etc/default/ipvs-cli", "/etc/ipvsadm.rules"),
    };
    let is_red_hat = family == Family::RedHat;
    let places = |text: &str| {
        let text = text.replace("/etc/default/ipvsadm", first).replace("/etc/default/ipvs-cli", second);
        text.replace("/etc/ipvsadm.rules", rules)
    };
    roff.section("RULES AT BOOT").say(&places(SERVICE)).say(if is_red_hat { ENABLED } else { DISABLED });
    for (name, text) in SETTINGS {
        roff.item(name, &places(text));
    }
    roff.say(SERVICE_NOTES).say("Rules that survive a reboot:");
    roff.example(&places(if is_red_hat { RED_HAT_EXAMPLE } else { BOOT_EXAMPLE }));
    roff.item(&format!("`{first}`, `{second}`"), "The settings. Those of the second win.");
    roff.item(&format!("`{rules}`"), "The rules that the service loads and saves.");
    match family {
        Family::Debian => roff.section("BESIDE THE REAL IPVSADM").say(BESIDE),
        Family::RedHat => roff.section("BESIDE THE REAL IPVSADM").say(BESIDE_RPM),
        Family::Other => roff,
    };
}

const SERVICE: &str = "\
`ipvs-cli.service` loads rules when the machine starts and can save them when it stops. It does only what its settings say. They are assignments in the language of sh, read first from `/etc/default/ipvsadm`, if there is one, and then from \
`/etc/default/ipvs-cli`:";

const DISABLED: &str = "By default the service does nothing.";

const ENABLED: &str = "\
By default the service, once it is enabled, loads rules, as that of the package ipvsadm does. `IPVS_SAVE_ON_STOP=yes` in \
`/etc/sysconfig/ipvsadm-config` is `SAVE=true`.";

const SETTINGS: [(&str, &str); 7] = [
    (
        "`AUTO=true`",
        "At start, add and edit what the rules file says, all of it or nothing. Services that are there already stay, as another program may have \
         made them. At stop, clear the table.",
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

const BESIDE_RPM: &str = "\
While the package ipvsadm is installed, `ipvsadm` is that one, and this one is `/usr/libexec/ipvs-cli/ipvsadm`. Otherwise `ipvsadm`, `ipvsadm-save`, \
`ipvsadm-restore` and their manual pages are links that alternatives keeps.";

const RED_HAT_EXAMPLE: &str = "\
ipvsadm-save -n > /etc/ipvsadm.rules
systemctl enable ipvs-cli";

const BOOT_EXAMPLE: &str = "\
ipvsadm-save -n > /etc/ipvsadm.rules
echo 'AUTO=true' >> /etc/default/ipvs-cli
systemctl is-enabled ipvs-cli";
