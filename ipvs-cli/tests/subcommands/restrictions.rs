//! Options with which `apply` leaves things alone.

use super::director::{Director, done};

const WANTED: &str = "-A -f 1 -s rr\n-a -f 1 -r 192.0.2.11 -w 5\n-a -f 1 -r 192.0.2.12 -w 5\n-A -f 3\n";

/// What is there after `apply` with these options, of services 1 and 2 with a destination each.
fn applied(options: &str, wanted: &str) -> (String, String) {
    let mut director = Director::new();
    for mark in [1, 2] {
        director.must(&format!("ipvsadm -A -f {mark}"));
        director.must(&format!("ipvsadm -a -f {mark} -r 192.0.2.11 -w 9"));
    }
    director.must("ipvsadm -a -f 1 -r 192.0.2.19");
    let said = director.feed(&format!("ipvs-cli apply {options}-"), wanted);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{options}");
    (said.stdout, director.saved())
}

#[test]
fn weights() {
    let (_, saved) = applied("--keep-weights ", WANTED);
    let kept = "-A -f 1 -s rr\n-a -f 1 -r 192.0.2.11:0 -g -w 9\n-a -f 1 -r 192.0.2.12:0 -g -w 5\n-A -f 3 -s wlc\n";
    assert_eq!(saved, kept);
}

#[test]
fn deletions() {
    let (said, saved) = applied("--no-deletions ", WANTED);
    assert_eq!(said, "1 service added, 1 edited; 1 destination added, 1 edited\n");
    assert_eq!(
        saved,
        "-A -f 1 -s rr
-a -f 1 -r 192.0.2.11:0 -g -w 5
-a -f 1 -r 192.0.2.12:0 -g -w 5
-a -f 1 -r 192.0.2.19:0 -g -w 1
-A -f 2 -s wlc
-a -f 2 -r 192.0.2.11:0 -g -w 9
-A -f 3 -s wlc
"
    );
}

#[test]
fn all_but_additions() {
    let (said, _) = applied("--only-additions ", WANTED);
    assert_eq!(said, "1 service added; 1 destination added\n");
}

#[test]
fn other_services() {
    let (said, saved) = applied("--only mark:1 ", WANTED);
    assert_eq!(said, "1 service edited; 1 destination added, 1 edited, 1 deleted\n");
    assert!(saved.contains("-A -f 2") && !saved.contains("-A -f 3"), "{saved}");
    let (said, _) = applied("--only mark:2 --only mark:3 ", WANTED);
    assert_eq!(said, "1 service added, 1 deleted with 1 destination\n");
}

#[test]
fn timeouts_and_daemons() {
    let wanted = format!("{WANTED}--set 0 0 7\n--start-daemon master --mcast-interface lo\n");
    let (said, _) = applied("--services-only ", &wanted);
    assert_eq!(said, applied("", WANTED).0);
    let (said, _) = applied("--services-only ", "version = 1\ndaemons = []\n[timeouts]\ntcp = 5\n");
    assert_eq!(said, "nothing to change\n");
}

#[test]
fn parts_that_the_file_lacks_are_left_alone() {
    let (said, saved) = applied("", "--set 0 0 7\n");
    assert_eq!(said, "timeouts set\n");
    assert!(saved.contains("-A -f 1") && saved.contains("-A -f 2"));
    let (said, saved) = applied("", "--start-daemon backup --mcast-interface lo\n");
    assert_eq!(said, "backup daemon started\n");
    assert!(saved.contains("-A -f 1") && saved.contains("-A -f 2"));
}

#[test]
fn a_selected_service_that_is_nowhere_is_refused() {
    let mut director = Director::new();
    let reason = "ipvs-cli: --only mark:9: no such service in the file or on the director; nothing was changed\n";
    let said = director.feed("ipvs-cli apply --only mark:9 -", WANTED);
    assert_eq!(said, done(1, "", reason));
}
