//! `check`, `convert` and `diff` of two files, which ask no director.

use super::director::{Director, SHOP, done};

/// A director that holds something else, which must not matter.
fn elsewhere() -> Director {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 77 -s rr");
    director.must("ipvsadm --start-daemon master --mcast-interface lo");
    director
}

#[test]
fn check_says_what_is_right_or_where_it_is_wrong() {
    let mut director = elsewhere();
    let file = director.file("shop.rules", SHOP);
    let summary = format!("{file}: 2 services, 3 destinations\n");
    assert_eq!(director.run(&format!("ipvs-cli check {file}")), done(0, &summary, ""));
    assert_eq!(director.run(&format!("ipvs-cli check --quiet {file}")), done(0, "", ""));
    let wrong = director.file("wrong.rules", "-A -f 77\n-A -f 0\n-A -f 77\n-a -f 5 -r 192.0.2.11\n");
    let checked = director.run(&format!("ipvs-cli check {wrong}"));
    assert_eq!((checked.status, checked.stdout.as_str()), (1, ""));
    assert!(checked.stderr.starts_with(&format!("{wrong}:2: ")), "{}", checked.stderr);
    // What the kernel would refuse, of a file whose every line can be read.
    let twice = "version = 1\n[[services]]\nmark = 1\n[[services.destinations]]\naddress = '224.0.0.1'\n";
    let checked = director.feed("ipvs-cli check -", twice);
    assert_eq!(checked.status, 1);
    assert!(checked.stderr.starts_with("standard input:4:1: 224.0.0.1 is a multicast address"), "{}", checked.stderr);
    // Both kinds at once, but nothing that may be missing only because its line is wrong.
    let both = "-A -f 1\n-A -f 1\n-a -f 1 -r 192.0.2.11 -w x\n-D -f 9\n-a -f 1 -r 224.0.0.1\n";
    let said = director.feed("ipvs-cli check -", both).stderr;
    let lines: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["standard input:2", "standard input:3", "standard input:5"], "{said}");
    let said = director.feed("ipvs-cli check -", &format!("{twice}colour = 1\n")).stderr;
    let lines: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["standard input:4:1", "standard input:6:1"], "{said}");
    for text in ["", "# nothing\n", "virtual_server 192.0.2.1 80 {\n"] {
        assert_eq!(director.feed("ipvs-cli check -", text).status, 1, "{text:?}");
    }
    assert_eq!(director.run("ipvs-cli check /no/such/file").status, 1);
}

#[test]
fn check_warns_of_a_scheduler_that_linux_does_not_have() {
    let mut director = elsewhere();
    let warning = "standard input:1: warning: Linux has no scheduler wrrr; only a director knows if its kernel has been \
        given one\n";
    let summary = "standard input: 1 service, 0 destinations\n";
    assert_eq!(director.feed("ipvs-cli check -", "-A -f 1 -s wrrr\n"), done(0, summary, warning));
}

/// A scheduler and an engine that only some kernel has, and an interface of some machine.
#[test]
fn values_that_some_kernel_accepts_are_not_refused() {
    let mut director = elsewhere();
    let toml = "version = 1\ndaemons = [{ role = 'master', interface = 'eth77' }]\n[[services]]\nmark = 1\n\
        scheduler = 'own'\npersistence = 300\nengine = 'mine'\n\
        [[services.destinations]]\naddress = '192.0.2.11'\nupper_threshold = 30\n";
    let file = director.file("own.toml", toml);
    let check = director.run(&format!("ipvs-cli check {file}"));
    assert_eq!((check.status, check.stdout), (0, format!("{file}: 1 service, 1 destination\n")), "{}", check.stderr);
    let json = director.run(&format!("ipvs-cli convert --json {file}"));
    assert_eq!(json.status, 0, "{}", json.stderr);
    let same = director.file("own.json", &json.stdout);
    let other = director.file("other.toml", &toml.replace("own", "other").replace("= 30\n", "= 31\n"));
    let diff = director.run(&format!("ipvs-cli diff --rules {file} {same}"));
    assert_eq!((diff.status, diff.stdout.as_str()), (0, ""), "{}", diff.stderr);
    let diff = director.run(&format!("ipvs-cli diff --rules {same} {other}"));
    let expected = "+ -A -f 1 -s other -p 300 --pe mine\n";
    assert!(diff.status == 1 && diff.stdout.contains(expected) && diff.stdout.contains("-x 31"), "{diff:?}");
}

#[test]
fn diff_of_two_files_is_what_apply_would_change() {
    let mut director = elsewhere();
    let old = director.file("old.rules", SHOP);
    let new =
        director.file("new.toml", "version = 1\nservices = [{ mark = 10, scheduler = 'rr', persistence = 600 }]\n");
    let expected = "- -A -t 192.0.2.1:80 -s wrr
- -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3
- -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 3
- -a -f 10 -r 192.0.2.11:0 -i -w 1 --tun-type ipip
";
    assert_eq!(director.run(&format!("ipvs-cli diff --rules {old} {new}")), done(1, expected, ""));
    assert_eq!(director.run(&format!("ipvs-cli diff --rules {old} {old}")), done(0, "", ""));
    assert_eq!(director.run(&format!("ipvs-cli diff --rules --no-deletions {old} {new}")), done(0, "", ""));
    let mut holder = Director::new();
    holder.feed("ipvs-cli apply -", SHOP);
    assert_eq!(holder.run(&format!("ipvs-cli diff --rules {new}")), done(1, expected, ""));
    let grouped = "version = 1\nservices = [{ mark = 10, group = [{ address = '192.0.2.1' }] }]\n";
    let moved = grouped.replace("192.0.2.1", "192.0.2.2");
    let (old, new) = (director.file("a.toml", grouped), director.file("b.toml", &moved));
    let expected = "- mark add 10 any:192.0.2.1\n+ mark add 10 any:192.0.2.2\n";
    assert_eq!(director.run(&format!("ipvs-cli diff --rules {old} {new}")), done(1, expected, ""));
    assert_eq!(director.run(&format!("ipvs-cli diff --rules {old} /no/such/file")).status, 2);
}

/// A file has no owners and no drained servers.
#[test]
fn diff_of_two_files_refuses_what_only_a_director_has() {
    let mut director = elsewhere();
    let file = director.file("shop.rules", SHOP);
    for option in ["--owner a", "--take", "--undrain"] {
        let refused = director.run(&format!("ipvs-cli diff {option} {file} {file}"));
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{option}");
        assert!(refused.stderr.contains("cannot be used with"), "{option}: {}", refused.stderr);
    }
    let reason = "ipvs-cli: --only mark:9: no such service in either file\n";
    assert_eq!(director.run(&format!("ipvs-cli diff --only mark:9 {file} {file}")), done(2, "", reason));
    assert_eq!(director.run(&format!("ipvs-cli diff --only mark:10 {file} {file}")), done(0, "", ""));
}

/// To the kernel, 0 leaves a timeout as it is.
#[test]
fn convert_keeps_a_timeout_that_a_later_line_leaves_alone() {
    let mut director = elsewhere();
    let text = "--set 10 0 0\n--set 0 0 31\n";
    assert_eq!(director.feed("ipvs-cli convert --rules -", text), done(0, "--set 10 0 31\n", ""));
    let toml = "version = 1\n\n[timeouts]\ntcp = 10\nudp = 31\n";
    assert_eq!(director.feed("ipvs-cli convert --toml -", text), done(0, toml, ""));
    let mut holder = Director::new();
    assert_eq!(holder.feed("ipvs-cli apply -", text).status, 0);
    assert_eq!(holder.feed("ipvs-cli diff -", toml), done(0, "", ""));
}

#[test]
fn convert_says_the_same_in_every_notation() {
    let mut director = elsewhere();
    let texts = [
        SHOP,
        "--set 0 60 0\n",
        "-C\n",
        "--start-daemon master --mcast-interface lo --syncid 7\n--stop-daemon backup\n",
        "version = 1\ndaemons = []\nservices = []\n",
        "version = 1\n[timeouts]\nudp = 30\n",
        "version = 1\n[[services]]\naddress = '[2001:db8::1]:443'\nprotocol = 'tcp'\npersistence = 60\nnetmask = 64\n\
         [[services.destinations]]\naddress = '2001:db8::11'\nforwarding = 'tunnel'\ntunnel = { type = 'gue', port = 5555 }\n",
    ];
    for text in texts {
        let mut holder = Director::new();
        assert_eq!(holder.feed("ipvs-cli apply -", text).status, 0, "{text}");
        for notation in ["--toml", "--json", "--rules"] {
            let converted = director.feed(&format!("ipvs-cli convert {notation} -"), text);
            assert_eq!((converted.status, converted.stderr.as_str()), (0, ""), "{notation}: {text}");
            // The same again from the result, and nothing to change where the original was applied.
            let again = director.feed(&format!("ipvs-cli convert {notation} -"), &converted.stdout);
            assert_eq!(again, converted, "{notation}: {text}");
            assert_eq!(
                holder.feed("ipvs-cli diff --rules -", &converted.stdout),
                done(0, "", ""),
                "{}",
                converted.stdout
            );
        }
    }
    assert_eq!(director.feed("ipvs-cli convert --rules -", texts[5]).stdout, "--set 0 0 30\n");
    assert_eq!(director.feed("ipvs-cli convert --rules --services-only -", SHOP).stdout.lines().next(), Some("-C"));
}

#[test]
fn convert_refuses_what_a_notation_cannot_say() {
    let mut director = elsewhere();
    let grouped = "version = 1\nservices = [{ mark = 10, group = [{ address = '192.0.2.1' }] }]\n";
    let refused = director.feed("ipvs-cli convert --rules -", grouped);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.ends_with("rules of ipvsadm have no place for `group`\n"), "{}", refused.stderr);
    let json = director.feed("ipvs-cli convert --json -", grouped);
    assert!(json.status == 0 && json.stdout.contains("192.0.2.1"), "{json:?}");
    // A list of daemons would stop the other one.
    let master = "--start-daemon master --mcast-interface lo\n";
    let refused = director.feed("ipvs-cli convert --toml -", master);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("--services-only"), "{}", refused.stderr);
    assert_eq!(director.feed("ipvs-cli convert --rules -", "-A -f 1\n-A -f 1\n").status, 1);
    assert_eq!(director.feed("ipvs-cli convert -", SHOP).status, 2);
    assert_eq!(director.feed("ipvs-cli convert --json --toml -", SHOP).status, 2);
}

const KEEPALIVED: &str = "virtual_server 192.0.2.1 80 {\n lb_algo wrr\n protocol TCP\n sorry_server 127.0.0.1 80\n \
    include servers.conf\n}\n";
const SERVERS: &str = "real_server 192.0.2.11 80 {\n weight 3\n TCP_CHECK {\n }\n}\nreal_server 192.0.2.12 80 {\n weight 2\n \
    TCP_CHECK {\n }\n}\n";

#[test]
fn convert_and_diff_read_a_configuration_of_keepalived() {
    let mut director = elsewhere();
    let file = director.file("keepalived.conf", KEEPALIVED);
    let servers = director.file("servers.conf", SERVERS);
    let sorry = format!(
        "{file}:4: {}sorry_server 127.0.0.1 80: only keepalived puts it in place of real servers that are down\n",
        "warning: "
    );
    let check = "TCP_CHECK: real servers are checked by keepalived only; all are taken as up (and 1 more)\n";
    let warnings = format!("{sorry}{servers}:3: warning: {check}");
    let rules = "-C\n-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n\
        -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n";
    let comments: String = warnings.lines().map(|line| format!("# {}\n", line.replace("warning: ", ""))).collect();
    let converted = director.run(&format!("ipvs-cli convert --from keepalived --rules {file}"));
    assert_eq!(converted, done(0, &format!("{comments}{rules}"), &warnings));
    let toml = director.run(&format!("ipvs-cli convert --from keepalived --toml {file}"));
    assert!(toml.status == 0 && toml.stdout.starts_with(&comments), "{toml:?}");
    // The director has what was converted, but for a weight.
    let mut holder = Director::new();
    assert_eq!(holder.feed("ipvs-cli apply -", &toml.stdout).status, 0);
    let diff = format!("ipvs-cli diff --rules --from keepalived {file}");
    assert_eq!(holder.run(&diff), done(0, "", &warnings));
    holder.must("ipvsadm -e -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 7");
    let changed = "- -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 7\n+ -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n";
    assert_eq!(holder.run(&diff), done(1, changed, &warnings));
}

#[test]
fn the_kind_of_a_tunnel_is_kept() {
    let mut director = elsewhere();
    let server = "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -i -w 1";
    for kind in ["gre --tun-csum", "gue --tun-port 6080 --tun-remcsum"] {
        let rules = format!("-C\n-A -t 192.0.2.1:80 -s rr\n{server} --tun-type {kind}\n");
        assert_eq!(director.feed("ipvs-cli convert --rules -", &rules), done(0, &rules, ""));
    }
}

#[test]
fn conditions_are_compared_with_the_given_id() {
    let mut director = elsewhere();
    let text = "@left virtual_server fwmark 1 {\n@right virtual_server fwmark 2 {\n real_server 192.0.2.11 {\n }\n}\n";
    for (id, mark) in [("left", "-f 1"), ("right", "-f 2")] {
        let line = format!("ipvs-cli convert --from keepalived --config-id {id} --rules -");
        let converted = director.feed(&line, text);
        assert!(converted.status == 0 && converted.stdout.contains(mark), "{id}: {converted:?}");
    }
    assert_eq!(director.feed("ipvs-cli convert --config-id left --rules -", text).status, 2);
}

#[test]
fn an_included_fifo_or_missing_file_keeps_nothing_waiting() {
    let mut director = elsewhere();
    let text = "include /dev/null\n";
    let refused = director.feed("ipvs-cli convert --from keepalived --toml -", text);
    let reason = "standard input:1: include: /dev/null: it is not a regular file\n";
    assert_eq!(refused, done(1, "", reason));
    let missing = director.feed("ipvs-cli convert --from keepalived --rules -", "include /no/such/*.conf\n");
    assert!(missing.status == 1 && missing.stderr.contains("no such file"), "{missing:?}");
}

#[test]
fn convert_reads_a_configuration_of_ldirectord() {
    let mut director = elsewhere();
    let text = "virtual = 192.0.2.1:80\n\treal = 192.0.2.11:80 masq 3\n\tfallback = 127.0.0.1:80 gate\n";
    let converted = director.feed("ipvs-cli convert --from ldirectord --rules -", text);
    let note = "fallback = 127.0.0.1:80 gate: only ldirectord puts it in place of real servers that are down";
    let rules = "-C\n-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n";
    let stdout = format!("# standard input:3: {note}\n{rules}");
    assert_eq!(converted, done(0, &stdout, &format!("standard input:3: warning: {note}\n")));
    let wrong = director.feed("ipvs-cli convert --from ldirectord --rules -", "virtual = 192.0.2.1:80\n\tcolour = 1\n");
    assert_eq!((wrong.status, wrong.stdout.as_str()), (1, ""));
    assert!(wrong.stderr.starts_with("standard input:2: "), "{}", wrong.stderr);
}
