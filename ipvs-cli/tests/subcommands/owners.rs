//! `apply --owner`, and `owners`.

use std::fs;

use crate::director::{Director, done};

const SHOP: &str = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11 -m\n-A -t 192.0.2.1:443 -s rr\n";
const MAIL: &str = "-A -t 192.0.2.1:25 -s wlc\n";

/// The services of `-S -n`.
fn services(director: &mut Director) -> Vec<String> {
    let mut services: Vec<_> =
        director.saved().lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect();
    services.sort();
    services
}

fn two_owners() -> Director {
    let mut director = Director::new();
    director.must("ipvsadm -A -u 192.0.2.9:53 -s rr");
    let added = "2 services added; 1 destination added\n";
    assert_eq!(director.feed("ipvs-cli apply --owner shop -", SHOP), done(0, added, ""));
    assert_eq!(director.feed("ipvs-cli apply --owner mail -", MAIL), done(0, "1 service added\n", ""));
    director
}

#[test]
fn an_owner_deletes_only_what_it_applied_before() {
    let mut director = two_owners();
    assert_eq!(director.feed("ipvs-cli apply --owner shop -", SHOP), done(0, "nothing to change\n", ""));
    let done_now = director.feed("ipvs-cli apply --owner shop -", "-A -t 192.0.2.1:443 -s rr\n");
    assert_eq!(done_now, done(0, "1 service deleted with 1 destination\n", ""));
    let left = ["-A -t 192.0.2.1:25 -s wlc", "-A -t 192.0.2.1:443 -s rr", "-A -u 192.0.2.9:53 -s rr"];
    assert_eq!(services(&mut director), left);
    let listed = "OWNER  SERVICE\nmail   tcp:192.0.2.1:25\nshop   tcp:192.0.2.1:443\n";
    assert_eq!(director.run("ipvs-cli owners"), done(0, listed, ""));
}

#[test]
fn entries_of_others_and_of_nobody_are_refused_by_name_and_place() {
    let mut director = two_owners();
    let before = director.saved();
    let file = director.file("all.rules", "-A -t 192.0.2.1:25 -s rr\n-A -u 192.0.2.9:53 -s wlc\n");
    let refused = format!(
        "{file}:2: udp 192.0.2.9:53 is there and has no owner\n{file}:1: tcp 192.0.2.1:25 belongs to the owner mail\n\
         ipvs-cli: nothing was changed; --take takes these services over\n"
    );
    assert_eq!(director.run(&format!("ipvs-cli apply --owner shop {file}")), done(1, "", &refused));
    let diffed = director.run(&format!("ipvs-cli diff --rules --owner shop {file}"));
    assert_eq!((diffed.status, diffed.stderr), (2, refused));
    assert_eq!(director.saved(), before);
    let taken = director.run(&format!("ipvs-cli apply --owner shop --take {file}"));
    let said = "ipvs-cli: 2 services that had another owner or none: --take takes over what the file names\n";
    assert_eq!((taken.status, taken.stderr.as_str()), (0, said));
    assert_eq!(director.run(&format!("ipvs-cli apply --owner shop --take {file}")), done(0, "nothing to change\n", ""));
    let listed = director.run("ipvs-cli owners --json").stdout;
    let expected = "{\"version\": 1, \"owner\": \"shop\", \"service\": \"tcp 192.0.2.1:25\"}\n\
                    {\"version\": 1, \"owner\": \"shop\", \"service\": \"udp 192.0.2.9:53\"}\n";
    assert_eq!(listed, expected);
}

/// A service that is as the file has it is not parsed, but has its place.
#[test]
fn a_refusal_names_the_place_of_a_service_that_is_unchanged() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s rr");
    director.must("ipvsadm -A -f 7");
    let file = director.file("all.rules", "# of the shop\n-A -t 192.0.2.1:80 -s rr\n-A -f 7 -s rr\n");
    let refused = format!(
        "{file}:2: tcp 192.0.2.1:80 is there and has no owner\n{file}:3: mark 7 is there and has no owner\n\
         ipvs-cli: nothing was changed; --take takes these services over\n"
    );
    assert_eq!(director.run(&format!("ipvs-cli apply --owner shop {file}")), done(1, "", &refused));
    // Each service alone, too.
    let file = director.file("one.rules", "\n\n-A -t 192.0.2.1:80 -s rr\n");
    let said = director.run(&format!("ipvs-cli apply --owner shop {file}"));
    assert!(said.stderr.starts_with(&format!("{file}:3: tcp 192.0.2.1:80 is there")), "{}", said.stderr);
}

#[test]
fn settings_that_an_owner_does_not_set_are_named() {
    let mut director = Director::new();
    let file = "-C\n-A -f 7\n--set 1 2 3\n--start-daemon master --mcast-interface lo\n";
    let note = |what: &str, why: &str| format!("ipvs-cli: the {what} of the file are left alone: {why}\n");
    let owner = "they belong to the director and not to an owner";
    let said = note("timeouts and sync daemons", owner);
    assert_eq!(director.feed("ipvs-cli apply --owner shop -", file), done(0, "1 service added\n", &said));
    assert_eq!(director.feed("ipvs-cli diff --owner shop -", file), done(0, "", &said));
    assert_eq!(director.feed("ipvs-cli apply --quiet --owner shop -", file), done(0, "", ""));
    let said = note("timeouts", "--only is about services");
    let only = director.feed("ipvs-cli diff --only mark:8 -", "-A -f 8\n--set 1 2 3\n").stderr;
    assert!(only.starts_with(&said), "{only}");
    // Settings that are as in the file, and an option that says so itself.
    assert_eq!(director.feed("ipvs-cli apply --owner shop -", "-A -f 7\n--set 900 120 300\n").stderr, "");
    assert_eq!(director.feed("ipvs-cli diff --services-only --owner shop -", file).stderr, "");
}

/// Two runs at once could each write a list without the other's services.
#[test]
fn owners_need_the_lock() {
    let mut director = two_owners();
    fs::remove_file(director.state_file("lock")).unwrap();
    fs::create_dir(director.state_file("lock")).unwrap();
    let saved = director.saved();
    for line in ["apply --owner shop -", "apply --take -", "apply -", "restore --owner new"] {
        let said = director.feed(&format!("ipvs-cli {line}"), "-A -f 9\n");
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{line}");
        assert!(said.stderr.contains("going on without a lock"), "{}", said.stderr);
        assert!(said.stderr.ends_with("of owners meanwhile; nothing was changed\n"), "{}", said.stderr);
    }
    assert_eq!(director.saved(), saved);
    assert_eq!(director.feed("ipvs-cli apply --dry-run --owner shop -", SHOP).status, 0);
    // Where nothing has an owner, a change without a lock is announced, whatever is quiet.
    fs::remove_file(director.state_file("owners")).unwrap();
    let said = director.feed("ipvs-cli apply --quiet -", "-A -f 9\n");
    assert!(said.status == 0 && said.stderr.contains("going on without a lock"), "{}", said.stderr);
}

#[test]
fn plain_apply_leaves_owned_services_alone() {
    let mut director = two_owners();
    let said = director.feed("ipvs-cli apply -", "-A -t 192.0.2.7:80 -s rr\n");
    assert_eq!(said.status, 0);
    assert!(said.stderr.contains("3 services have an owner and are left alone"), "{}", said.stderr);
    let left = [
        "-A -t 192.0.2.1:25 -s wlc",
        "-A -t 192.0.2.1:443 -s rr",
        "-A -t 192.0.2.1:80 -s rr",
        "-A -t 192.0.2.7:80 -s rr",
    ];
    assert_eq!(services(&mut director), left);
    let refused = director.feed("ipvs-cli apply -", MAIL);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("tcp 192.0.2.1:25 belongs to the owner mail"), "{}", refused.stderr);
    assert_eq!(director.feed("ipvs-cli restore", MAIL), refused);
    assert_eq!(director.feed("ipvs-cli restore --quiet --take", MAIL).status, 0);
    assert!(!director.run("ipvs-cli owners").stdout.contains("mail"));
    // Nobody owns it now, so it goes as any other.
    assert_eq!(director.feed("ipvs-cli apply --quiet -", "-A -t 192.0.2.7:80 -s rr\n").status, 0);
    assert!(!services(&mut director).contains(&"-A -t 192.0.2.1:25 -s wlc".to_owned()));
}

#[test]
fn a_service_that_somebody_made_anew_differently_is_disowned() {
    let mut director = two_owners();
    director.must("ipvsadm -D -t 192.0.2.1:25");
    director.must("ipvsadm -A -t 192.0.2.1:25 -s rr");
    assert!(!director.run("ipvs-cli owners").stdout.contains("mail"));
    let refused = director.feed("ipvs-cli apply --owner mail -", MAIL);
    assert!(refused.stderr.contains("tcp 192.0.2.1:25 is there and has no owner"), "{}", refused.stderr);
    assert_eq!(director.feed("ipvs-cli apply --owner mail -", "version = 1\nservices = []\n").status, 0);
    assert!(services(&mut director).contains(&"-A -t 192.0.2.1:25 -s rr".to_owned()));
}

#[test]
fn a_cleared_service_comes_back_with_its_owner() {
    let mut director = two_owners();
    director.must("ipvsadm -C");
    assert_eq!(director.feed("ipvs-cli apply --quiet --owner shop -", SHOP).status, 0);
    let listed = "OWNER  SERVICE\nshop   tcp:192.0.2.1:80\nshop   tcp:192.0.2.1:443\n";
    assert_eq!(director.run("ipvs-cli owners").stdout, listed);
}

/// An owner of a service that was cleared does not get it back by somebody making it anew in the
/// same way.
#[test]
fn a_cleared_service_that_plain_apply_adds_has_no_owner() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet --owner mail -", MAIL).status, 0);
    director.must("ipvsadm -C");
    assert_eq!(director.feed("ipvs-cli apply -", MAIL), done(0, "1 service added\n", ""));
    assert_eq!(director.run("ipvs-cli owners").stdout, "OWNER  SERVICE\n");
    assert_eq!(director.feed("ipvs-cli apply -", MAIL), done(0, "nothing to change\n", ""));
    assert_eq!(director.feed("ipvs-cli apply --owner mail -", "-C\n"), done(0, "nothing to change\n", ""));
}

#[test]
fn a_change_that_is_undone_leaves_the_owners_as_they_were() {
    let mut director = two_owners();
    let before = fs::read_to_string(director.state_file("owners")).unwrap();
    // The kernel refuses the second scheduler, which only it knows.
    let wrong = "-A -t 192.0.2.1:81 -s rr\n-A -t 192.0.2.1:82 -s nosuch\n";
    assert_eq!(director.feed("ipvs-cli apply --owner shop -", wrong).status, 1);
    assert_eq!(fs::read_to_string(director.state_file("owners")).unwrap(), before);
}

#[test]
fn a_damaged_list_of_owners_stops_a_change_and_says_where() {
    let mut director = two_owners();
    let path = director.state_file("owners");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("mail\t", "mail ", 1)).unwrap();
    let saved = director.saved();
    let said = director.feed("ipvs-cli apply -", "-C\n");
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains(".owners:3: ") && said.stderr.contains("remove the file"), "{}", said.stderr);
    assert_eq!(director.saved(), saved);
    for damaged in ["", "\n", "owners", "owners boot:", "mail\ttcp 192.0.2.1:25\n"] {
        fs::write(&path, damaged).unwrap();
        let said = director.feed("ipvs-cli apply -", "-C\n");
        assert_eq!(said.status, 1, "{damaged:?}");
        assert!(said.stderr.contains(".owners:1: "), "{damaged:?}: {}", said.stderr);
    }
    assert_eq!(director.saved(), saved);
    // One of another boot is about a table that is gone.
    fs::write(&path, text.replacen("boot:", "boot:x", 1)).unwrap();
    assert_eq!(director.run("ipvs-cli owners").stdout, "OWNER  SERVICE\n");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_refused() {
    let mut director = two_owners();
    let saved = director.saved();
    let file = director.file("file", "");
    for wrong in [file.clone(), format!("{file}.none"), format!("{file}/none"), format!("{file}.none/state")] {
        for line in ["apply -", "restore", "owners", "diff -"] {
            let said = director.feed(&format!("ipvs-cli {line} --state-dir {wrong}"), "-C\n");
            assert_eq!((said.status, said.stdout.as_str()), (2, ""), "{line}");
            assert!(said.stderr.starts_with(&format!("ipvs-cli: --state-dir {wrong}: ")), "{}", said.stderr);
        }
    }
    assert_eq!(director.saved(), saved);
}

#[test]
fn only_takes_networks_and_refuses_what_is_nowhere() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s rr");
    director.must("ipvsadm -A -t 198.51.100.1:80 -s rr");
    let said = director.feed("ipvs-cli apply --only 198.51.100.0/24 -", "-C\n");
    assert_eq!(said, done(0, "1 service deleted\n", ""));
    assert_eq!(services(&mut director), ["-A -t 192.0.2.1:80 -s rr"]);
    for wrong in ["203.0.113.0/24", "tcp:192.0.2.1:8080", "mark:7"] {
        let said = director.feed(&format!("ipvs-cli apply --only {wrong} -"), "-C\n");
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{wrong}");
        assert!(said.stderr.contains("no such service in the file or on the director"), "{}", said.stderr);
    }
    assert_eq!(services(&mut director), ["-A -t 192.0.2.1:80 -s rr"]);
}
