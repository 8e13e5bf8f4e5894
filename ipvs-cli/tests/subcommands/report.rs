//! `report`: what is in the archive, as `tar` reads it. With a kernel:
//! `tests/kernel/tests/operate/report.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::director::{Director, SHOP, done};

/// The files of a report, by name.
fn unpacked(report: &str) -> BTreeMap<String, String> {
    let into = format!("{report}.unpacked");
    fs::create_dir(&into).unwrap();
    let untar = Command::new("tar").args(["-xf", report, "-C", &into]).output().unwrap();
    assert!(untar.status.success() && untar.stderr.is_empty(), "{untar:?}");
    let files = fs::read_dir(Path::new(&into).join("ipvs-report")).unwrap();
    files
        .map(|file| file.unwrap())
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, fs::read_to_string(file.path()).unwrap())
        })
        .collect()
}

fn report(director: &mut Director, options: &str) -> BTreeMap<String, String> {
    let near = director.file("near", "");
    let file = format!("{near}{options}.tar");
    let line = format!("ipvs-cli report {options} {file}").replace("  ", " ");
    assert_eq!(director.run(&line), done(0, "", ""));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    unpacked(&file)
}

#[test]
fn a_report_has_the_director_and_says_what_is_missing() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --owner shop --quiet -", SHOP);
    let files = report(&mut director, "");
    assert_eq!(files["show.rules"], director.run("ipvs-cli show --rules").stdout);
    assert_eq!(files["show.json"], director.run("ipvs-cli show --json --statistics --daemons").stdout);
    assert!(files["owners"].contains("shop") && files["README"].contains(env!("CARGO_PKG_VERSION")), "{files:?}");
    assert!(files["README"].contains("Linux "), "{}", files["README"]);
    // This director's connections are those of no kernel.
    director.connections = "/nowhere/ip_vs_conn".into();
    let missing = &report(&mut director, "--anonymize")["README"];
    assert!(missing.contains("\n- ipvs-cli conns --by state: status "), "{missing}");
    let refused = director.run("ipvs-cli report /nowhere/report.tar");
    assert_eq!(refused, done(1, "", "ipvs-cli: /nowhere/report.tar: No such file or directory (os error 2)\n"));
}

/// The rules still mean a director: each address has one pseudonym, in rules and in JSON.
#[test]
fn an_anonymous_report_is_of_another_director_of_the_same_shape() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --quiet -", SHOP);
    let files = report(&mut director, "--anonymize");
    for (name, text) in &files {
        assert!(!text.contains("192.0.2."), "{name}: {text}");
    }
    let mut other = Director::new();
    let applied = other.feed("ipvs-cli apply --quiet -", &files["show.rules"]);
    assert_eq!(applied, done(0, "", ""));
    let json = other.feed("ipvs-cli diff --services-only -", &files["show.json"]);
    assert_eq!((json.status, json.stderr.as_str()), (0, ""), "{}", json.stdout);
    let shape = |text: &str| text.lines().map(|line| line.split(' ').count()).collect::<Vec<_>>();
    assert_eq!(shape(&files["show.rules"]), shape(&director.run("ipvs-cli show --rules").stdout));
}
