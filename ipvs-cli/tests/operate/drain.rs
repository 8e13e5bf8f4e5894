//! `drain` and `undrain`, where nothing is in use: who is meant, what is changed, what is said. With connections, on a kernel:
//! `tests/kernel/tests/drain.rs`.

use crate::director::{Director, SHOP, done};

fn shop() -> Director {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet -", SHOP), done(0, "", ""));
    director
}

/// The saved lines of destinations, without what all of them share.
fn servers(director: &mut Director) -> Vec<String> {
    let saved = director.saved();
    saved.lines().filter_map(|line| line.strip_prefix("-a ")).map(str::to_owned).collect()
}

#[test]
fn one_is_drained_and_comes_back() {
    let mut director = shop();
    let before = director.saved();
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: drained; `ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11:80' gives it weight 3 again\n";
    assert_eq!(director.run("ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""));
    assert_eq!(servers(&mut director)[0], "-t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 0");
    assert_eq!(servers(&mut director)[1..], servers(&mut shop())[1..], "the others stay");
    // This director is in this process, and has no file for notes.
    let unknown = director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11:80");
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.contains("--weight WEIGHT"), "{}", unknown.stderr);
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: weight 3\n";
    assert_eq!(director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11 --weight 3"), done(0, said, ""));
    assert_eq!(director.saved(), before);
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: has weight 3\n";
    assert_eq!(director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""));
}

#[test]
fn a_server_leaves_all_its_services() {
    let mut director = shop();
    let said = director.run("ipvs-cli drain --delete --all 192.0.2.11");
    let expected =
        "192.0.2.11:80 at tcp 192.0.2.1:80: drained and deleted\n192.0.2.11:0 at mark 10: drained and deleted\n";
    assert_eq!(said, done(0, expected, ""));
    assert_eq!(servers(&mut director), ["-t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 3"]);
    assert_eq!(director.run("ipvs-cli drain --quiet --delete tcp:192.0.2.1:80 192.0.2.0/24:80"), done(0, "", ""));
    assert_eq!(servers(&mut director), Vec::<String>::new());
}

#[test]
fn the_weight_may_be_kept() {
    let mut director = shop();
    let before = director.saved();
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: drained\n";
    assert_eq!(director.run("ipvs-cli drain --keep-weight tcp:192.0.2.1:80 192.0.2.11:80"), done(0, said, ""));
    assert_eq!(director.saved(), before);
}

#[test]
fn who_is_not_there_is_told() {
    let mut director = shop();
    for (line, said) in [
        ("drain tcp:192.0.2.1:80 192.0.2.99", "tcp 192.0.2.1:80 has no destination 192.0.2.99"),
        ("drain tcp:192.0.2.1:80 192.0.2.11 192.0.2.12:8080", "tcp 192.0.2.1:80 has no destination 192.0.2.12:8080"),
        ("undrain udp:192.0.2.1:80 192.0.2.11", "there is no service udp 192.0.2.1:80, but tcp 192.0.2.1:80"),
        ("drain --all 192.0.2.0/30", "no service has a destination 192.0.2.0/30"),
    ] {
        assert_eq!(director.run(&format!("ipvs-cli {line}")), done(1, "", &format!("ipvs-cli: {said}\n")));
    }
    assert_eq!(director.saved(), shop().saved(), "nothing was changed");
    for line in [
        "drain",
        "drain mark:10",
        "drain mark:10 192.0.2.11 --all 192.0.2.11",
        "drain mark:10 192.0.2.11 --force",
        "undrain x y",
    ] {
        assert_eq!(director.run(&format!("ipvs-cli {line}")).status, 2, "{line}");
    }
}
