//! Schedulers and persistence engines that are not in the list of the Linux tree.

use ipvs::{Client, PersistenceEngine, Scheduler, Table};

use super::director::{Director, done};

const OWN: &str = "-A -f 1 -s own -p 300 --pe mine\n-a -f 1 -r 192.0.2.11:0 -g -w 1\n";

/// A director whose kernel has a scheduler and an engine of its own.
fn director() -> Director {
    let (own, mine) = (Scheduler::new("own").unwrap(), PersistenceEngine::new("mine").unwrap());
    let table = Table::new().with_module(own).with_module(mine);
    let mut director = Director::new();
    director.kernel = ipvs_cli::director::Director::with(Client::fake(table));
    director
}

#[test]
fn modules_of_this_kernel_are_accepted() {
    let summary = "1 service added; 1 destination added\n";
    for line in ["apply -", "restore", "restore --atomic"] {
        assert_eq!(director().feed(&format!("ipvs-cli {line}"), OWN), done(0, summary, ""), "{line}");
    }
    let lines = format!("+ {}dry run, nothing was sent: {summary}", OWN.replace("\n-a", "\n+ -a"));
    for line in ["apply --dry-run -", "--dry-run apply -", "--dry-run -R", "--dry-run restore"] {
        assert_eq!(director().feed(&format!("ipvs-cli {line}"), OWN), done(0, &lines, ""), "{line}");
    }
    let mut director = director();
    assert_eq!(director.feed("ipvsadm-restore", OWN), done(0, "", ""));
    assert_eq!(director.feed("ipvs-cli diff -", OWN), done(0, "", ""));
    assert_eq!(director.saved(), OWN);
}

#[test]
fn modules_that_the_kernel_lacks_are_refused_by_the_kernel() {
    let mut director = director();
    director.feed("ipvs-cli apply -", OWN);
    let scheduler = "the kernel says that it has no scheduler zz (module ip_vs_zz); Linux has rr wrr lc wlc lblc lblcr dh sh \
                     sed nq fo ovf mh twos\n";
    let engine = "the kernel says that it has no persistence engine zz (module ip_vs_pe_zz); Linux has sip\n";
    for (bad, said) in [("-A -f 2 -s zz\n", scheduler), ("-A -f 2 -s own --pe zz -p\n", engine)] {
        let file = format!("{OWN}{bad}-A -f 3\n");
        let said = format!("standard input:3: {said}");
        for (line, status) in [
            ("apply -", 1),
            ("restore", 1),
            ("restore --atomic", 1),
            ("apply --dry-run -", 1),
            ("--dry-run restore", 1),
            ("diff -", 2),
        ] {
            assert_eq!(director.feed(&format!("ipvs-cli {line}"), &file), done(status, "", &said), "{line}");
            assert_eq!(director.saved(), OWN, "{line}");
        }
    }
    let nothing = "dry run, nothing was sent: nothing to change\n";
    let hint = format!("Scheduler or persistence engine not found\nhint: {scheduler}");
    assert_eq!(director.run("ipvs-cli --dry-run -A -f 2 -s zz"), done(255, nothing, &hint));
}
