//! `conns --save`, `--load`, `--kill` and `--move-to` as far as they need no kernel.
//! `tests/kernel/tests/operate/connections.rs` has the rest.

use crate::director::{Director, done};

const TABLE: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP CB007109 9C41 C0000201 0050 C000020B 0050 ESTABLISHED     899
TCP CB007109 9C42 C0000201 0050 C000020D 0050 ESTABLISHED     899
UDP CB007109 0000 C0000209 0035 C000020B 0035 NONE            599
";

/// A director with two services, and a connection table.
fn director() -> Director {
    let mut director = Director::new();
    for line in [
        "ipvsadm -A -t 192.0.2.1:80 -s rr",
        "ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11 -m",
        "ipvsadm -A -f 7 -s rr -p 600",
        "ipvsadm -a -f 7 -r 192.0.2.11 -m",
    ] {
        director.must(line);
    }
    director.connections = director.file("table", TABLE).into();
    director
}

#[test]
fn a_dry_run_counts_what_would_be_loaded() {
    let mut director = director();
    let file = director.file("saved", "");
    let said = director.run(&format!("ipvs-cli conns --save {file} --protocol tcp"));
    assert_eq!(said, done(0, &format!("saved 2 entries to {file}\n"), ""));
    let saved = director.run("ipvs-cli conns --save -").stdout;
    assert!(saved.starts_with("ipvs-connections 1 time=") && saved.lines().count() == 5, "{saved}");
    let not = "ipvs-cli: not loaded: 1 of: tcp 192.0.2.1:80 has no real server 192.0.2.13:80\n\
               ipvs-cli: add these services and real servers first; --unbound loads the entries without them, and the kernel forwards them by NAT\n";
    let there = "would have loaded 0 connections and 0 templates; 2 were there, 0 with another real server; 0 have \
                 expired; 1 not loaded\n";
    assert_eq!(director.feed("ipvs-cli conns --load - --dry-run", &saved), done(1, there, not));
    director.connections = "/dev/null".into();
    let would = "would have loaded 1 connection and 1 template; 0 were there, 0 with another real server; 0 have expired; 1 not \
                 loaded\n";
    assert_eq!(director.feed("ipvs-cli conns --load - --dry-run", &saved), done(1, would, not));
    let all = "would have loaded 2 connections and 0 templates; 0 were there, 0 with another real server; 0 have expired; 0 not \
               loaded\n";
    assert_eq!(director.run(&format!("ipvs-cli conns --load {file} --unbound --dry-run")), done(0, all, ""));
    let elsewhere = "ipvs-cli: only the connections of this machine's kernel can be changed\n";
    let said = director.feed("ipvs-cli conns --load -", &saved);
    assert!(said.status == 1 && said.stderr.ends_with(elsewhere), "{said:?}");
}

#[test]
fn what_is_ended_or_moved_is_counted_and_asked_for() {
    let mut director = director();
    let would = |words: &str| done(0, &format!("would {words}\n"), "");
    assert_eq!(
        director.run("ipvs-cli conns --kill --client 203.0.113.9 --dry-run"),
        would("end 2 connections and 1 template")
    );
    assert_eq!(director.run("ipvs-cli conns --kill --templates --dry-run"), would("end 0 connections and 1 template"));
    assert_eq!(
        director.run("ipvs-cli conns --move-to 192.0.2.12 --all --dry-run"),
        would("move 0 connections and 0 templates")
    );
    let refused = "ipvs-cli: `conns --kill` needs a filter, such as --client or --server; --all is every entry\n";
    assert_eq!(director.run("ipvs-cli conns --kill"), done(2, "", refused));
    let asked = "End 2 connections and 0 templates? [y/N] ";
    let said = director.answer("ipvs-cli conns --kill --protocol tcp", "n\n");
    assert_eq!(said, done(1, "", &format!("{asked}ipvs-cli: nothing was changed\n")));
    let said = director.answer("ipvs-cli conns --kill --protocol tcp", "y\n");
    assert!(said.stderr.starts_with(asked) && said.stderr.contains("only the connections of this machine"), "{said:?}");
    let said = director.answer("ipvs-cli conns --kill --server 192.0.2.13", "");
    assert!(!said.stderr.contains("[y/N]"), "one entry needs no question: {said:?}");
    let said = director.answer("ipvs-cli conns --kill --all --yes", "");
    assert!(!said.stderr.contains("[y/N]"), "{said:?}");
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let mut director = director();
    for wrong in [
        "--save a --load b",
        "--kill --move-to 192.0.2.1",
        "--kill --json --all",
        "--save a --count",
        "--load a --from b",
        "--unbound",
        "--dry-run",
        "--yes",
        "--move-to 192.0.2.1/24",
        "--save a --dry-run",
    ] {
        assert_eq!(director.run(&format!("ipvs-cli conns {wrong}")).status, 2, "{wrong}");
    }
}

#[test]
fn what_can_not_be_written_or_read_is_named() {
    let mut director = director();
    let said = director.run("ipvs-cli conns --save /dev/null");
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("/dev/null: it is a device"), "{said:?}");
    let said = director.run("ipvs-cli conns --load /no/such/file");
    assert_eq!(said, done(1, "", "ipvs-cli: /no/such/file: No such file or directory (os error 2)\n"));
    let file = director.file("kept", "as it was");
    director.connections = "/proc/self/mem".into();
    let said = director.run(&format!("ipvs-cli conns --save {file}"));
    assert!(said.status == 1 && said.stderr.contains("the connection table can't be read: "), "{said:?}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "as it was");
    let said = director.run("ipvs-cli conns --kill --all --dry-run");
    assert!(said.status != 0 && said.stdout.is_empty(), "{said:?}");
}
