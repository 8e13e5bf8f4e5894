//! `watch`, and `top` where there is no terminal. With traffic, on a kernel:
//! `tests/kernel/tests/screens.rs`.

use crate::director::{Director, SHOP, done};

/// Without the time that each line begins with.
fn watched(director: &mut Director, options: &str) -> Vec<String> {
    let said = director.run(&format!("ipvs-cli watch --interval 0.1 {options}"));
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    said.stdout.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect()
}

#[test]
fn every_round_has_a_line_for_each_service() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --quiet -", SHOP);
    let idle = "0.0 conn/s, in 0 pkt/s 0 B/s, out 0 pkt/s 0 B/s, 0 active, 0 inactive";
    let round = ["tcp 192.0.2.1:80", "mark 10"].map(|service| format!("{service}: {idle}"));
    assert_eq!(watched(&mut director, "--count 2"), [round.clone(), round.clone()].concat());
    assert_eq!(watched(&mut director, "--count 1 mark:10"), [round[1].clone()]);
    assert_eq!(watched(&mut director, "--count 1 --busy"), Vec::<String>::new());
    let said = director.run("ipvs-cli watch --interval 0.1 --count 1 --json mark:10").stdout;
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&object["service"], &object["rates"]["bytes_in"]), (&"mark 10".into(), &0.into()));
    assert_eq!(object["time"].as_str().unwrap().len(), "2026-11-21T15:04:05Z".len());
}

#[test]
fn a_watched_service_that_is_not_there_is_reported_once() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --quiet -", SHOP);
    let done = director.run("ipvs-cli watch --interval 0.1 --count 2 mark:10 mark:11");
    let absent = "ipvs-cli: there is no service mark 11; it is watched once it is added\n";
    assert_eq!((done.status, done.stdout.lines().count(), done.stderr.as_str()), (1, 2, absent));
}

#[test]
fn top_needs_a_terminal() {
    let mut director = Director::new();
    let said = "ipvs-cli: top needs a terminal; `ipvs-cli watch` prints lines\n";
    assert_eq!(director.run("ipvs-cli top"), done(1, "", said));
    assert_eq!(director.run("ipvs-cli top --interval 0").status, 2);
    assert_eq!(director.run("ipvs-cli watch --interval x").status, 2);
}
