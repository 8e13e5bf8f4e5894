//! ipvs-cli(8): the program by its own name.

use clap::Command;

use super::{Page, roff::Roff, subcommands};

/// The page. `of_package` writes what is true only where a package installed the program.
pub(super) fn page(date: &str, command: &Command, of_package: impl FnOnce(&mut Roff)) -> Page {
    let mut roff = Roff::page("ipvs-cli", "the command line of IPVS, and a stand-in for ipvsadm", date);
    let forms = subcommands::forms(command);
    let forms = [IPVSADM_FORM].into_iter().chain(forms.iter().map(String::as_str));
    roff.section("SYNOPSIS").forms("ipvs-cli", forms);
    roff.section("DESCRIPTION").say(DESCRIPTION);
    roff.section("COMMANDS");
    subcommands::describe(&mut roff, command);
    of_package(&mut roff);
    roff.section("ENVIRONMENT");
    for (name, text) in ENVIRONMENT {
        roff.item(name, text);
    }
    roff.section("FILES");
    for (name, text) in FILES {
        roff.item(name, text);
    }
    roff.section("EXAMPLES").say("The same three ways:").example("ipvs-cli -L -n\nipvsadm -L -n\nipvsadm -Ln");
    roff.say("See first what a file would change, then change the director:");
    roff.example("ipvs-cli diff shop.toml\nipvs-cli apply shop.toml");
    roff.section("SEE ALSO").say("ipvsadm(8), ipvsadm-save(8), ipvsadm-restore(8), ip-netns(8)");
    Page { name: "ipvs-cli", text: roff.finish() }
}

const IPVSADM_FORM: &str = "[--dry-run] [ipvsadm's command and options]";

const DESCRIPTION: &str = "\
`ipvs-cli` manages IPVS, the load balancer of the Linux kernel. It is one program with several names. Called as `ipvsadm`, `ipvsadm-save` or \
`ipvsadm-restore` it is that program: the same syntax, output and exit status. Called as `ipvs-cli` it takes the commands and options of ipvsadm(8) too, and with `--dry-run` before them it shows what they would change \
and changes nothing. Its own commands change a director as a whole.";

const ENVIRONMENT: [(&str, &str); 4] = [
    ("`NO_COLOR`", "If it is set and not empty, `diff` has no colours unless `--color always` asks for them."),
    ("`TERM`", "On a terminal that is `dumb`, `top` does not start."),
    ("`LC_ALL`, `LC_CTYPE`, `LANG`", "The first that is set says whether the terminal of `top` shows UTF-8."),
    ("`POSIXLY_CORRECT`", "As for ipvsadm(8): a command line ends at its first word that is no option."),
];

const FILES: [(&str, &str); 5] = [
    (
        "`/run/ipvs-cli`",
        "The lock, the list of owners and the weights of drained real servers, a file for each network namespace.",
    ),
    ("`/proc/net/ip_vs_conn`", "The connection table, which `conns` reads."),
    ("`/proc/net/ip_vs`, `/proc/net/ip_vs_stats`", "What `show` and `metrics` read without privileges."),
    ("`/proc/sys/net/ipv4/vs`", "Settings of the kernel, which `drain`, `doctor` and `metrics` read."),
    ("`/dev/log`", "The system's log, for a line about each change."),
];
