//! `--dry-run` prints what would change, and changes nothing.

use super::director::{Director, SHOP, done};

#[track_caller]
fn changes_nothing(director: &mut Director, line: &str, stdin: &str, status: u8, stdout: &str, stderr: &str) {
    let before = director.run("ipvs-cli show --json --statistics");
    assert_eq!(director.feed(line, stdin), done(status, stdout, stderr), "{line}");
    assert_eq!(director.run("ipvs-cli show --json --statistics"), before, "{line}");
}

#[test]
fn of_the_subcommands() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let lines = "+ -A -f 1 -s wlc\ndry run, nothing was sent: 1 service added\n";
    let more = format!("{SHOP}-A -f 1");
    for line in ["apply --dry-run -", "restore --dry-run", "restore --line-by-line --dry-run"] {
        changes_nothing(&mut director, &format!("ipvs-cli {line}"), &more, 0, lines, "");
        changes_nothing(
            &mut director,
            &format!("ipvs-cli --dry-run {}", line.replace(" --dry-run", "")),
            &more,
            0,
            lines,
            "",
        );
    }
    changes_nothing(
        &mut director,
        "ipvs-cli apply --dry-run -",
        SHOP,
        0,
        "dry run, nothing was sent: nothing to change\n",
        "",
    );
    let edited = SHOP.replace("-s rr -p 600", "-s wrr -p 600");
    let lines = "~ -A -f 10 -p 600: -s rr -> wrr\n";
    let dry = format!("{lines}dry run, nothing was sent: 1 service edited\n");
    changes_nothing(&mut director, "ipvs-cli apply --dry-run -", &edited, 0, &dry, "");
    let diff = format!("{lines}1 service edited\n");
    changes_nothing(&mut director, "ipvs-cli diff -", &edited, 1, &diff, "");
    let refused = "standard input:8: there is a service mark 10 already\n";
    changes_nothing(&mut director, "ipvs-cli apply --dry-run -", &format!("{SHOP}-A -f 10"), 1, "", refused);
}

#[test]
fn of_ipvsadms_commands() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let lines = "~ -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m: -w 3 -> 0
dry run, nothing was sent: 1 destination edited
";
    let edit = "ipvs-cli --dry-run -e -t 192.0.2.1:80 -r 192.0.2.11 -m -w 0";
    changes_nothing(&mut director, edit, "", 0, lines, "");
    let nothing = "dry run, nothing was sent: nothing to change\n";
    changes_nothing(&mut director, "ipvs-cli --dry-run -Z", "", 0, nothing, "");
    let refused = "Service already exists\nhint: there is a service mark 10 already\n";
    changes_nothing(&mut director, "ipvs-cli --dry-run -A -f 10", "", 255, nothing, refused);
    changes_nothing(
        &mut director,
        "ipvs-cli --dry-run -A -f 0",
        "",
        2,
        nothing,
        "invalid fwmark value `0' specified\nhint: '0': a firewall mark is a decimal number from 1 to 4294967295\n",
    );
}

#[test]
fn of_a_stream_of_them_with_each_refusal_and_its_line() {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 1");
    let lines = "~ -A -f 1: -s wlc -> rr\ndry run, nothing was sent: 1 service edited\n";
    let refused = "No such service\nhint: line 2: '-D -f 3': there is no service mark 3\n";
    changes_nothing(
        &mut director,
        "ipvs-cli --dry-run -R",
        "-E -f 1 -s rr\n-D -f 3\n-A -f 2\n-D -f 2\n",
        0,
        lines,
        refused,
    );
}
