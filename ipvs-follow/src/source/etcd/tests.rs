use std::thread;

use super::*;
use crate::etcd::{Access, Fake};

const RULES: &str = "-C\n-A -f 1 -s rr\n";

/// `current` points to generation 1.
fn fleet() -> Fake {
    let fake = Fake::start();
    fake.change(|store| {
        store.put("/ipvs/generations/1", RULES);
        store.put("/ipvs/current", "1");
    });
    fake
}

fn follow(fake: &Fake, lease: u64) -> Etcd {
    let client = Access::default().client(&fake.address).unwrap();
    let membership = Membership { host: "lb1".parse().unwrap(), lease: Duration::from_secs(lease) };
    Etcd::open(fake.address.clone(), client, membership, None).unwrap()
}

/// What it hands over, once that is so.
fn until<T>(etcd: &mut Etcd, mut is_so: impl FnMut(&Result<Vec<Source>, SourceFault>) -> Option<T>) -> T {
    loop {
        if let Some(found) = is_so(&etcd.read(Instant::now())) {
            return found;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until it hands over this generation.
fn reads(etcd: &mut Etcd, number: u64) {
    let key = format!("/ipvs/generations/{number}");
    until(etcd, |read| matches!(read, Ok(texts) if texts[0].name() == key).then_some(()));
}

/// Waits until it says that this is wrong.
fn refuses(etcd: &mut Etcd, part: &str) {
    until(etcd, |read| matches!(read, Err(SourceFault::Wrong(reason)) if reason.contains(part)).then_some(()));
}

#[test]
fn pointers_are_followed_as_they_change() {
    let fake = fleet();
    // One heartbeat in an hour: all changes are seen by the watch.
    let mut etcd = follow(&fake, 3 * 3600);
    reads(&mut etcd, 1);
    assert!(etcd.has_changed() && !etcd.has_changed());
    // Until the watch is open, a change would be missed for an hour; so it is made again.
    let change = |etcd: &mut Etcd, number: u64, change: &dyn Fn(&mut crate::etcd::Store)| {
        let key = format!("/ipvs/generations/{number}");
        until(etcd, |read| {
            fake.change(change);
            thread::sleep(Duration::from_millis(20));
            matches!(read, Ok(texts) if texts[0].name() == key).then_some(())
        });
    };
    fake.change(|store| store.put("/ipvs/generations/2", "-C\n"));
    change(&mut etcd, 2, &|store| store.put("/ipvs/current", "2"));
    change(&mut etcd, 1, &|store| store.put("/ipvs/canary/lb1", "1"));
    assert!(etcd.name().ends_with("/ipvs (generation 1, canary)"), "{}", etcd.name());
    change(&mut etcd, 2, &|store| store.remove("/ipvs/canary/lb1"));
    assert!(etcd.remarks().is_ok());
}

#[test]
fn what_is_no_state_is_said_and_the_next_state_is_read() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    for (pointer, reason) in [
        ("7", "/ipvs/generations/7 does not exist in etcd, but /ipvs/current points to it"),
        ("seven", "/ipvs/current: the value must be the number of a generation"),
        ("2", "/ipvs/generations/2: the value is empty"),
    ] {
        fake.change(|store| {
            store.put("/ipvs/generations/2", "");
            store.put("/ipvs/current", pointer);
        });
        refuses(&mut etcd, reason);
    }
    fake.change(|store| store.keys.clear());
    refuses(&mut etcd, "/ipvs/current does not exist in etcd");
    fake.change(|store| {
        store.put("/ipvs/generations/3", RULES);
        store.put("/ipvs/current", "3");
    });
    reads(&mut etcd, 3);
}

#[test]
fn a_silent_etcd_is_unfinished_and_not_wrong() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    fake.change(|store| store.is_silent = true);
    let reason = until(&mut etcd, |read| match read {
        Err(SourceFault::Unfinished { reason, .. }) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("no leader"), "{reason}");
    fake.change(|store| store.is_silent = false);
    reads(&mut etcd, 1);
}

#[test]
fn a_cluster_that_lost_its_past_is_followed_when_a_person_says_so() {
    let restored = |fake: &Fake| {
        fake.change(|store| {
            store.revision = 1;
            store.keys.clear();
            store.put("/ipvs/generations/1", "-C\n");
            store.put("/ipvs/current", "1");
        });
    };
    let fake = fleet();
    fake.change(|store| store.revision = 90);
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    restored(&fake);
    refuses(&mut etcd, "its revision was 90, and is 3");
    assert!(etcd.remarks().unwrap_err().contains("restored"));
    // A pointer that is written again.
    fake.change(|store| store.put("/ipvs/current", "1"));
    reads(&mut etcd, 1);
    assert!(etcd.remarks().is_ok());
    // Another cluster, and a reload.
    fake.change(|store| {
        store.cluster = 2;
        store.put("/ipvs/generations/1", RULES);
    });
    refuses(&mut etcd, "its cluster id was 1, and is 2");
    etcd.reload();
    reads(&mut etcd, 1);
}

/// By a follower that was cut off all the while: etcd has the same id and a higher revision.
#[test]
fn a_restored_cluster_whose_revision_has_caught_up_is_noticed() {
    let fake = fleet();
    fake.change(|store| {
        store.put("/ipvs/generations/2", "-C\n-A -f 2 -s rr\n");
        store.put("/ipvs/current", "2");
    });
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 2);
    fake.change(|store| {
        store.remove("/ipvs/generations/2");
        store.keys.insert("/ipvs/current".to_owned(), (b"1".to_vec(), 2));
    });
    refuses(&mut etcd, "/ipvs/current was written at revision 2, but was not so at revision 4");
    // Not only at first.
    thread::sleep(Duration::from_millis(1500));
    refuses(&mut etcd, "/ipvs/current was written at revision 2, but was not so at revision 4");
    fake.change(|store| store.put("/ipvs/current", "1"));
    reads(&mut etcd, 1);
    assert!(etcd.remarks().is_ok());
}

/// Of the same number, written at the same revision.
#[test]
fn another_state_is_transferred_after_etcd_was_away() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    fake.change(|store| store.is_silent = true);
    until(&mut etcd, |read| matches!(read, Err(SourceFault::Unfinished { .. })).then_some(()));
    fake.change(|store| {
        let revision = store.keys["/ipvs/generations/1"].1;
        store.keys.insert("/ipvs/generations/1".to_owned(), (b"-C\n".to_vec(), revision));
        store.put("/ipvs/current", "1");
        store.is_silent = false;
    });
    until(&mut etcd, |read| matches!(read, Ok(texts) if texts[0].text() == b"-C\n").then_some(()));
}

/// As that of a proxy in front of etcd.
#[test]
fn an_answer_without_a_header_is_not_of_another_cluster() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    fake.change(|store| store.is_a_proxy = true);
    let reason = until(&mut etcd, |read| match read {
        Err(SourceFault::Unfinished { reason, .. }) => Some(reason.clone()),
        Err(SourceFault::Wrong(reason)) => panic!("{reason}"),
        Ok(_) => None,
    });
    assert!(reason.contains("the answer is not one of etcd"), "{reason}");
    fake.change(|store| {
        store.is_a_proxy = false;
        store.put("/ipvs/generations/2", "-C\n");
        store.put("/ipvs/current", "2");
    });
    reads(&mut etcd, 2);
    assert!(etcd.remarks().is_ok(), "{:?}", etcd.remarks());
}

#[test]
fn a_restored_cluster_with_the_same_state_is_only_remarked_on() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    fake.change(|store| store.cluster = 2);
    while etcd.remarks().is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
    reads(&mut etcd, 1);
}

#[test]
fn a_status_is_written_and_a_state_is_transferred_once() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3);
    reads(&mut etcd, 1);
    let status = Status { generation: etcd.generation("/ipvs/generations/1"), ..Status::default() };
    etcd.report(status.clone());
    let written = || fake.store().keys.get("/ipvs/status/lb1").map(|(value, _)| Status::from_json(value));
    while written().is_none() {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(written(), Some(status));
    // Some heartbeats of one second.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(fake.store().transfers, 1);
}

/// As after a time without etcd.
#[test]
fn a_status_is_written_under_another_lease_if_the_old_one_is_over() {
    let fake = fleet();
    let mut etcd = follow(&fake, 3 * 3600);
    reads(&mut etcd, 1);
    let report = |etcd: &mut Etcd, drift: u64| {
        etcd.report(Status { drift, ..Status::default() });
        while fake.store().keys.get("/ipvs/status/lb1").is_none_or(|(value, _)| Status::from_json(value).drift != drift)
        {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(etcd.remarks().is_ok(), "{:?}", etcd.remarks());
    };
    report(&mut etcd, 1);
    fake.change(|store| store.are_leases_over = true);
    report(&mut etcd, 2);
}

#[test]
fn an_etcd_that_was_away_for_long_is_found_soon_again() {
    assert_eq!([1, 2, 3, 40].map(pause), [1, 2, 4, 30].map(Duration::from_secs));
}

#[test]
fn two_directors_with_one_name_notice_each_other() {
    let fake = fleet();
    let (mut one, mut other) = (follow(&fake, 3), follow(&fake, 3));
    let status = |machine: &str| Status { is_as_desired: true, machine: machine.to_owned(), ..Status::default() };
    one.report(status("rack1"));
    other.report(status("rack2"));
    for (etcd, machine) in [(&mut one, "'rack2' writes"), (&mut other, "'rack1' writes")] {
        while !matches!(etcd.remarks(), Err(remark) if remark.contains(machine)) {
            thread::sleep(Duration::from_millis(5));
        }
        reads(etcd, 1);
    }
    let written = || Status::from_json(&fake.store().keys["/ipvs/status/lb1"].0);
    while !written().reason.starts_with(NAMESAKE) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!written().is_as_desired);
}

/// By a follower that was not there then, but has a copy.
#[test]
fn a_cluster_that_lost_its_past_is_noticed_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let fake = fleet();
    let start = || {
        let client = Access::default().client(&fake.address).unwrap();
        let membership = Membership { host: "lb1".parse().unwrap(), lease: Duration::from_secs(3) };
        Etcd::open(fake.address.clone(), client, membership, Some(directory.path().join("copy"))).unwrap()
    };
    let mut etcd = start();
    assert!(etcd.copy().is_none());
    reads(&mut etcd, 1);
    let read = etcd.read(Instant::now()).unwrap();
    etcd.keep_copy(&read[0]).unwrap();
    let old = etcd.copy().unwrap();
    assert!(old.name.starts_with("the copy of generation 1, which etcd confirmed last "), "{}", old.name);
    assert_eq!((old.source.name(), old.source.text()), ("/ipvs/generations/1", RULES.as_bytes()));
    reads(&mut start(), 1);
    fake.change(|store| {
        store.cluster = 2;
        store.put("/ipvs/generations/1", "-C\n");
    });
    let mut later = start();
    refuses(&mut later, "its cluster id was 1, and is 2");
    assert_eq!(later.copy().unwrap().source.text(), RULES.as_bytes());
    // The same cluster, with a pointer of a backup, and all that was written since.
    fake.change(|store| {
        (store.cluster, store.revision) = (1, 90);
        store.keys.insert("/ipvs/current".to_owned(), (b"1".to_vec(), 1));
    });
    let mut later = start();
    refuses(&mut later, "/ipvs/current was written at revision 1, but was not so at revision 2");
    fake.change(|store| store.put("/ipvs/current", "1"));
    reads(&mut later, 1);
}
