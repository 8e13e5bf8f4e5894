//! Services with the packets that get their mark, in one file.

use super::director::{Director, done};

const SHOP: &str = r#"version = 1

[[services]]
mark = 10
persistence = 600
destinations = [{ address = "192.0.2.11" }]

[[services.group]]
address = "192.0.2.1"
protocol = "tcp"
ports = [80, 443]

[[services]]
mark = 10
family = "ipv6"
group = [{ address = "2001:db8::1" }]
destinations = [{ address = "2001:db8::11" }]
"#;

fn holding(text: &str) -> Director {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply -", text).status, 0);
    director
}

fn groups(director: &mut Director) -> usize {
    let text = director.run("ipvs-cli show --json").stdout;
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let services = state["services"].as_array().unwrap().iter();
    services.map(|service| service["group"].as_array().map_or(0, Vec::len)).sum()
}

#[test]
fn one_file_holds_services_and_their_marks() {
    let mut director = Director::new();
    let lines = "+ -A -f 10 -s wlc -p 600
+ mark add 10 tcp:192.0.2.1:80,443
+ -a -f 10 -r 192.0.2.11:0 -g -w 1
+ -A -f 10 -6 -s wlc
+ mark add 10 any:[2001:db8::1]
+ -a -f 10 -6 -r [2001:db8::11]:0 -g -w 1
";
    let summary = "2 services added; 2 destinations added; 2 mark rules added\n";
    let dry = format!("{lines}dry run, nothing was sent: {summary}");
    assert_eq!(director.feed("ipvs-cli diff --rules -", SHOP), done(1, lines, ""));
    assert_eq!(director.feed("ipvs-cli apply --dry-run -", SHOP), done(0, &dry, ""));
    assert_eq!(groups(&mut director), 0, "nothing was done");
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, summary, ""));
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, "nothing to change\n", ""));
    assert_eq!(director.feed("ipvs-cli diff --rules -", SHOP), done(0, "", ""));
    for notation in ["--json", "--toml"] {
        let text = director.run(&format!("ipvs-cli show {notation}")).stdout;
        assert_eq!(director.feed("ipvs-cli apply -", &text), done(0, "nothing to change\n", ""), "{text}");
        let mut other = holding(&text);
        assert_eq!(other.run(&format!("ipvs-cli show {notation}")).stdout, text);
    }
}

#[test]
fn a_group_says_all_and_silence_says_nothing() {
    let mut director = holding(SHOP);
    let other_port = SHOP.replace("443", "8443");
    let diff = "- mark add 10 tcp:192.0.2.1:80,443\n+ mark add 10 tcp:192.0.2.1:80,8443\n";
    assert_eq!(director.feed("ipvs-cli diff --rules -", &other_port), done(1, diff, ""));
    let summary = "1 mark rule added, 1 deleted\n";
    assert_eq!(director.feed("ipvs-cli apply -", &other_port), done(0, summary, ""));
    let without =
        "version = 1\n[[services]]\nmark = 10\npersistence = 600\ndestinations = [{ address = '192.0.2.11' }]\n";
    let summary = "1 service deleted with 1 destination; 1 mark rule deleted\n";
    assert_eq!(director.feed("ipvs-cli apply -", without), done(0, summary, ""), "with its service, IPv6's rule goes");
    assert_eq!(groups(&mut director), 1, "that of IPv4 is left alone");
    let none = without.replace("persistence", "group = []\npersistence");
    assert_eq!(director.feed("ipvs-cli apply -", &none), done(0, "1 mark rule deleted\n", ""));
    assert_eq!(groups(&mut director), 0);
}

#[test]
fn restrictions_are_for_marks_too() {
    let mut director = holding(SHOP);
    let other = SHOP.replace("443", "8443").replace("2001:db8::1\"", "2001:db8::2\"");
    let added = "2 mark rules added\n";
    assert_eq!(director.feed("ipvs-cli apply --no-deletions --dry-run --quiet -", &other).status, 0);
    assert_eq!(
        director.feed("ipvs-cli apply --only mark:10:ipv6 -", &other),
        done(0, "1 mark rule added, 1 deleted\n", "")
    );
    let mut director = holding(SHOP);
    assert_eq!(director.feed("ipvs-cli apply --only-additions -", &other), done(0, added, ""));
    assert_eq!(groups(&mut director), 4);
}

#[test]
fn rules_of_ipvsadm_do_not_touch_marks() {
    let mut director = holding(SHOP);
    assert_eq!(director.feed("ipvs-cli apply -", "-C"), done(0, "2 services deleted with 2 destinations\n", ""));
    director.must("ipvsadm -A -f 10");
    assert_eq!(groups(&mut director), 1, "its rule is there again");
}
