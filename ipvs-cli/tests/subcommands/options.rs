//! Options that contradict each other, or that would have no effect.

use super::director::{Director, SHOP, done};

#[test]
fn options_that_contradict_each_other_are_refused() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --quiet -", SHOP);
    let before = director.saved();
    for line in [
        "apply --keep-weights --undrain -",
        "apply --only-additions --undrain -",
        "apply --only-additions --no-deletions -",
        "apply --only-additions --keep-weights -",
        "diff --keep-weights --undrain -",
        "diff --only-additions --undrain -",
        "diff --json --rules -",
        "restore --line-by-line --undrain",
        "restore --line-by-line --take",
        "restore --line-by-line --atomic",
        "drain --all 192.0.2.11 tcp:192.0.2.1:80 192.0.2.11",
        "undrain --all 192.0.2.11 tcp:192.0.2.1:80 192.0.2.11",
        "mark add 5 tcp:192.0.2.1:80 --output --interface eth0",
        "mark delete 5 --all",
        "mark list --json --iptables",
        "show --daemons --rules",
        "monitor --json --rules",
        "conns --all --save file",
    ] {
        let refused = director.feed(&format!("ipvs-cli {line}"), "-C\n");
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{line}");
        assert!(refused.stderr.contains("cannot be used with"), "{line}: {}", refused.stderr);
    }
    assert_eq!(director.saved(), before);
}

#[test]
fn an_option_without_what_it_belongs_to_is_refused() {
    let mut director = Director::new();
    for line in ["show --daemons", "show --statistics", "conns --all", "mark delete 5 --source 192.0.2.9"] {
        let refused = director.run(&format!("ipvs-cli {line}"));
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{line}");
        assert!(refused.stderr.contains("were not provided"), "{line}: {}", refused.stderr);
    }
}

/// A kind of tunnel would otherwise be checked as direct routing.
#[test]
fn options_of_a_tunnel_need_a_tunnel() {
    let mut director = Director::new();
    for (options, needs) in [
        ("--tunnel gue", "--tunnel and --over need --forwarding tunnel"),
        ("--over ipv6", "--tunnel and --over need --forwarding tunnel"),
        ("--tunnel-port 6081", "--tunnel-port needs --forwarding tunnel --tunnel gue"),
        ("--forwarding tunnel --tunnel-port 6081", "--tunnel-port needs --forwarding tunnel --tunnel gue"),
        ("--forwarding tunnel --tunnel gre --tunnel-port 6081", "--tunnel-port needs --forwarding tunnel --tunnel gue"),
        ("--checksum", "--checksum needs --forwarding tunnel --tunnel gre"),
        ("--forwarding tunnel --tunnel gue --checksum", "--checksum needs --forwarding tunnel --tunnel gre"),
    ] {
        let said = director.run(&format!("ipvs-cli doctor --real-server 192.0.2.1 {options}"));
        assert_eq!(said, done(2, "", &format!("ipvs-cli: {needs}\n")), "{options}");
    }
}

/// They need no director, so they need no right to one either.
#[test]
fn where_no_director_is_asked_none_can_be_named() {
    let mut director = Director::new();
    let file = director.file("shop.rules", SHOP);
    for name in ["check", "convert", "completions", "man"] {
        let help = director.run(&format!("ipvs-cli {name} --help")).stdout;
        assert!(!help.contains("--netns") && !help.contains("--state-dir"), "{help}");
    }
    assert!(director.run("ipvs-cli diff --help").stdout.contains("--netns"));
    for line in [
        format!("check {file}"),
        format!("convert --toml {file}"),
        format!("diff {file} {file}"),
        "completions bash".to_owned(),
        "man /nowhere".to_owned(),
        "monitor --replay /nowhere".to_owned(),
    ] {
        for option in ["--netns nosuch", "--state-dir /nowhere"] {
            let name = option.split(' ').next().unwrap();
            let said = format!("ipvs-cli: {name} has no effect here, as no director is asked: leave it out\n");
            assert_eq!(director.run(&format!("ipvs-cli {line} {option}")), done(2, "", &said), "{line}");
        }
    }
}

#[test]
fn help_has_help() {
    let mut director = Director::new();
    let help = director.run("ipvs-cli help").stdout;
    assert!(help.contains("Usage: ipvs-cli"), "{help}");
    for line in ["help --help", "help -h"] {
        assert_eq!(director.run(&format!("ipvs-cli {line}")), done(0, &help, ""), "{line}");
    }
    assert_eq!(director.run("ipvs-cli help drain --help"), director.run("ipvs-cli help drain"));
}

#[test]
fn an_address_with_a_port_needs_brackets_in_ipv6() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t [2001:db8::9]:80");
    director.must("ipvsadm -a -t [2001:db8::9]:80 -r [2001:db8::1]:80 -m");
    let said = "ipvs-cli: tcp [2001:db8::9]:80 has no destination 2001:db8::1:80; with a port it is written [2001:db8::1]:80\n";
    assert_eq!(director.run("ipvs-cli weight tcp:[2001:db8::9]:80 2001:db8::1:80 5"), done(1, "", said));
    // As messages have it.
    assert_eq!(director.run("ipvs-cli weight --quiet tcp:[2001:db8::9]:80 [2001:db8::1] 5"), done(0, "", ""));
    let mark = director.run("ipvs-cli mark add 5 tcp:2001:db8::1:80");
    assert_eq!((mark.status, mark.stdout.as_str()), (2, ""));
    assert!(mark.stderr.contains("write tcp:[2001:db8::1]:80 or tcp:[2001:db8::1:80]"), "{}", mark.stderr);
}
