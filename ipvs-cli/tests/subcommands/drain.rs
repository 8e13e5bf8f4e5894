//! `drain` and `undrain`, where nothing is in use: who is meant, what is changed, what is said.
//! With connections, on a kernel: `tests/kernel/tests/drain.rs`.

use std::fs;

use ipvs::Weight;

use crate::director::{Director, Done, SHOP, done};

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
fn a_server_is_drained_and_undrained() {
    let mut director = shop();
    let before = director.saved();
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: drained; `ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11:80` gives it weight 3 again\n";
    assert_eq!(director.run("ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""));
    assert_eq!(director.run("ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""), "drained already");
    assert_eq!(servers(&mut director)[0], "-t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 0");
    assert_eq!(servers(&mut director)[1..], servers(&mut shop())[1..], "the others stay");
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: weight 3\n";
    assert_eq!(director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""));
    assert_eq!(director.saved(), before);
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: has weight 3\n";
    assert_eq!(director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11"), done(0, said, ""));
    assert!(!director.state_file("drained").exists());
}

/// The director, with the first server drained.
fn drained_shop() -> Director {
    let mut director = shop();
    assert_eq!(director.run("ipvs-cli drain --quiet tcp:192.0.2.1:80 192.0.2.11"), done(0, "", ""));
    director
}

#[test]
fn a_note_is_void_once_anything_shows_that_it_is_over() {
    const ADD: &str = "ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 0";
    const ZERO: &str = "ipvsadm -e -t 192.0.2.1:80 -r 192.0.2.11 -m -w 0";
    for (what, lines) in [
        ("-e", &["ipvsadm -e -t 192.0.2.1:80 -r 192.0.2.11 -m -w 5", ZERO][..]),
        ("-d", &["ipvsadm -d -t 192.0.2.1:80 -r 192.0.2.11", ADD]),
        ("-D", &["ipvsadm -D -t 192.0.2.1:80", "ipvsadm -A -t 192.0.2.1:80", ADD]),
        ("-R", &["ipvsadm -R", ADD]),
        ("-C", &["ipvsadm -C", "ipvsadm -A -t 192.0.2.1:80", ADD]),
    ] {
        let mut director = drained_shop();
        for line in lines {
            assert_eq!(director.feed(line, "-d -t 192.0.2.1:80 -r 192.0.2.11\n"), done(0, "", ""), "{line}");
        }
        let unknown = director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11");
        assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""), "{what}");
        assert!(unknown.stderr.contains("--weight WEIGHT"), "{what}: {}", unknown.stderr);
    }
}

#[test]
fn a_note_of_another_program_s_weight_is_dropped_by_the_next_reading() {
    let key = "tcp 192.0.2.1:80".parse().unwrap();
    for line in [
        "ipvs-cli drain --quiet tcp:192.0.2.1:80 192.0.2.12",
        "ipvs-cli undrain --quiet --all 192.0.2.11",
        "ipvs-cli weight --quiet tcp:192.0.2.1:80 192.0.2.12 9",
    ] {
        let mut director = drained_shop();
        let mut other = director.other_program();
        let mut quiesced = other.destinations(&key).unwrap().into_iter().map(|state| state.destination);
        let quiesced = quiesced.find(|server| server.weight.get() == 0).unwrap();
        other.edit_destination(&key, &quiesced.with_weight(Weight::new(7).unwrap())).unwrap();
        assert_eq!(director.run(line).status, 0, "{line}");
        other.edit_destination(&key, &quiesced).unwrap();
        assert_eq!(director.run("ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11").status, 1, "{line}");
    }
}

#[test]
fn a_weight_that_comes_meanwhile_is_not_drained() {
    for options in ["", "--delete ", "--delete --json "] {
        let mut director = shop();
        let key = "tcp 192.0.2.1:80".parse().unwrap();
        let mut other = director.other_program();
        let writer = std::thread::spawn(move || {
            loop {
                let states = other.destinations(&key).unwrap();
                if let Some(state) = states.iter().find(|state| state.destination.weight.get() == 0) {
                    let server = state.destination.with_weight(Weight::new(7).unwrap());
                    return other.edit_destination(&key, &server).unwrap();
                }
            }
        });
        let Done { status, stdout, stderr } =
            director.run(&format!("ipvs-cli drain {options}tcp:192.0.2.1:80 192.0.2.11"));
        writer.join().unwrap();
        assert_eq!(status, 1, "{options}: {stdout}{stderr}");
        assert!((stdout + &stderr).contains(if options.contains("json") { "\"revived\"" } else { "weight 7" }));
        assert_eq!(servers(&mut director)[0], "-t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 7", "not deleted");
    }
}

#[test]
fn without_the_lock_it_is_said_what_was_changed() {
    let mut director = drained_shop();
    let before = director.saved();
    let held = std::fs::File::options().write(true).open(director.state_file("lock")).unwrap();
    held.lock().unwrap();
    for line in [
        "drain --force --wait=0 tcp:192.0.2.1:80 192.0.2.12",
        "undrain --wait=0.1 --all 192.0.2.11",
        "weight --wait=0.1 --all 192.0.2.11 5",
    ] {
        let said =
            "ipvs-cli: another ipvs-cli is changing this director; nothing was changed; --wait SECONDS waits longer\n";
        assert_eq!(director.run(&format!("ipvs-cli {line}")), done(1, "", said), "{line}");
    }
    assert_eq!(director.saved(), before);
    // Before it deletes, it needs the lock a second time.
    held.unlock().unwrap();
    let key = "tcp 192.0.2.1:80".parse().unwrap();
    let mut other = director.other_program();
    let holder = std::thread::spawn(move || {
        while other.destinations(&key).unwrap().iter().any(|state| state.destination.weight.get() != 0) {}
        held.lock().unwrap();
        held
    });
    let Done { status, stdout, stderr } =
        director.run("ipvs-cli drain --force --delete --wait=0 tcp:192.0.2.1:80 192.0.2.12");
    let held = holder.join().unwrap();
    assert_eq!(status, 1);
    assert!(stdout.starts_with("192.0.2.12:80 at tcp 192.0.2.1:80: drained; `ipvs-cli undrain"), "{stdout}");
    assert!(
        stderr.ends_with("nothing more was deleted, and the weights are 0; --wait SECONDS waits longer\n"),
        "{stderr}"
    );
    drop(held);
    let said = "192.0.2.12:80 at tcp 192.0.2.1:80: drained and deleted\n";
    assert_eq!(director.run("ipvs-cli drain --force --delete tcp:192.0.2.1:80 192.0.2.12"), done(0, said, ""));
}

#[test]
fn where_weight_0_refuses_clients_it_is_not_set() {
    for (service, cure) in [
        (
            "-A -t 192.0.2.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-port",
            "-E -t 192.0.2.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-fallback,mh-port",
        ),
        ("-A -f 10 -6 -s sh", "-E -f 10 -6 -s sh -b sh-fallback"),
    ] {
        let mut director = Director::new();
        director.must(&format!("ipvsadm {service}"));
        let words: Vec<_> = service.split(" -s").next().unwrap().split(' ').skip(1).collect();
        let key = if words[0] == "-t" { "tcp:192.0.2.1:80" } else { "mark:10:ipv6" };
        let server =
            |number| if words[0] == "-t" { format!("192.0.2.1{number}") } else { format!("2001:db8::1{number}") };
        for number in [1, 2] {
            director.must(&format!("ipvsadm -a {} -r {} -g -w 5", words.join(" "), server(number)).replace("  ", " "));
        }
        let before = director.saved();
        for line in ["drain", "drain --delete --timeout 1", "weight"] {
            let weight = if line == "weight" { " 0" } else { "" };
            let Done { status, stdout, stderr } = director.run(&format!("ipvs-cli {line} {key} {}{weight}", server(1)));
            assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
            assert!(
                stderr.contains(&format!("`ipvsadm {cure}`")) && stderr.ends_with("nothing was changed\n"),
                "{stderr}"
            );
            assert_eq!(director.saved(), before);
        }
        // --force drains all the same; the command cures it, and keeps everything else.
        assert_eq!(director.run(&format!("ipvs-cli drain --force --quiet {key} {}", server(1))), done(0, "", ""));
        assert_eq!(director.run(&format!("ipvs-cli undrain --quiet {key} {}", server(1))), done(0, "", ""));
        assert_eq!(director.saved(), before);
        director.must(&format!("ipvsadm {cure}"));
        assert_eq!(director.saved().lines().next().unwrap().replace("-A", "-E"), cure);
        assert_eq!(director.run(&format!("ipvs-cli drain --quiet {key} {}", server(1))), done(0, "", ""));
    }
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s dh");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 0");
    let said = director.run("ipvs-cli drain --quiet --delete --all 192.0.2.11");
    assert_eq!(said, done(0, "", ""), "its weight is 0 already");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11 -m");
    let said = director.run("ipvs-cli drain --all 192.0.2.11");
    assert!(said.status == 1 && said.stderr.contains("dh has no fallback"), "{}", said.stderr);
}

#[test]
fn weight_changes_the_weight_alone() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s wrr -p 60");
    for server in ["-r 192.0.2.11:8080 -m -w 3 -x 90 -y 40", "-r 192.0.2.12:80 -i -w 3 --tun-type gre --tun-csum"] {
        director.must(&format!("ipvsadm -a -t 192.0.2.1:80 {server}"));
    }
    let before = director.saved();
    let said = director.run("ipvs-cli weight tcp:192.0.2.1:80 192.0.2.11 192.0.2.12:80 5");
    let expected =
        "192.0.2.11:8080 at tcp 192.0.2.1:80: weight 5, was 3\n192.0.2.12:80 at tcp 192.0.2.1:80: weight 5, was 3\n";
    assert_eq!(said, done(0, expected, ""));
    assert_eq!(director.saved(), before.replace("-w 3", "-w 5"));
    let said = director.run("ipvs-cli weight --json --all 192.0.2.0/24 5");
    let objects = crate::schema::objects("weight", &said.stdout);
    assert_eq!((said.status, objects.len(), &objects[0]["outcome"]), (0, 2, &"unchanged".into()));
    let said = director.run("ipvs-cli weight --json tcp:192.0.2.1:80 192.0.2.0/24:8080 3");
    let objects = crate::schema::objects("weight", &said.stdout);
    assert_eq!((&objects[0]["outcome"], &objects[0]["weight_before"]), (&"changed".into(), &5.into()));
    // A note of a drain goes with the weight that it was for.
    director.run("ipvs-cli drain --quiet tcp:192.0.2.1:80 192.0.2.11");
    let said = director.run("ipvs-cli weight tcp:192.0.2.1:80 192.0.2.11 4");
    let note = "ipvs-cli: 192.0.2.11:8080 at tcp 192.0.2.1:80: was drained, with weight 3 before\n";
    assert_eq!(said, done(0, "192.0.2.11:8080 at tcp 192.0.2.1:80: weight 4, was 0\n", note));
    assert!(!director.state_file("drained").exists());
    for (line, wrong) in [
        ("weight tcp:192.0.2.1:80 5", "expected SERVICE SERVER... WEIGHT"),
        ("weight --all 192.0.2.11", "required arguments were not provided"),
        (
            "weight --all 192.0.2.11 tcp:192.0.2.1:80 5",
            "expected either SERVICE SERVER... WEIGHT or --all SERVER WEIGHT",
        ),
        ("weight tcp:192.0.2.1:80 192.0.2.11 x", "WEIGHT must be a number from 0 to 2147483647, not 'x'"),
        ("weight tcp:192.0.2.1:80 192.0.2.11 2147483648", "WEIGHT must be"),
        ("weight tcp:192.0.2.1:80 x 1", "SERVER 'x' must be an address, a network, or either with a port"),
        ("weight x 192.0.2.11 1", "'x' is not a service"),
    ] {
        let Done { status, stderr, .. } = director.run(&format!("ipvs-cli {line}"));
        assert!(status == 2 && stderr.contains(wrong), "{line}: {status} {stderr}");
    }
    assert_eq!(director.run("ipvs-cli weight tcp:192.0.2.1:80 192.0.2.99 1").status, 1);
}

#[test]
fn a_server_leaves_all_its_services() {
    let mut director = shop();
    let said = director.run("ipvs-cli drain --force --delete --all 192.0.2.11");
    let expected =
        "192.0.2.11:80 at tcp 192.0.2.1:80: drained and deleted\n192.0.2.11:0 at mark 10: drained and deleted\n";
    let last = "ipvs-cli: mark 10 has no other real server with a weight: its new clients are refused\n";
    assert_eq!(said, done(0, expected, last));
    assert_eq!(servers(&mut director), ["-t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 3"]);
    assert_eq!(
        director.run("ipvs-cli drain --force --quiet --delete tcp:192.0.2.1:80 192.0.2.0/24:80"),
        done(0, "", "")
    );
    assert_eq!(servers(&mut director), Vec::<String>::new());
}

/// New clients of the service would be refused.
#[test]
fn the_last_server_of_a_service_is_drained_only_by_force() {
    let mut director = shop();
    let before = director.saved();
    let refused = |what: &str| {
        format!(
            "ipvs-cli: mark 10: no other real server of it has a weight, so its new clients would be refused; --force {what}; \
             nothing was changed\n"
        )
    };
    for line in ["drain --all 192.0.2.11", "drain mark:10 192.0.2.11", "drain --delete --timeout 1 mark:10 192.0.2.11"]
    {
        assert_eq!(director.run(&format!("ipvs-cli {line}")), done(1, "", &refused("drains all the same")), "{line}");
        assert_eq!(director.saved(), before, "{line}");
    }
    assert_eq!(director.run("ipvs-cli weight mark:10 192.0.2.11 0"), done(1, "", &refused("sets it all the same")));
    assert_eq!(director.saved(), before);
    // Two of two are the last ones, too.
    let both = director.run("ipvs-cli drain tcp:192.0.2.1:80 192.0.2.0/24");
    assert!(
        both.status == 1 && both.stderr.starts_with("ipvs-cli: tcp 192.0.2.1:80: no other real server"),
        "{both:?}"
    );
    let waits = "192.0.2.11:0 at mark 10: drained\n";
    assert_eq!(director.run("ipvs-cli drain --keep-weight mark:10 192.0.2.11"), done(0, waits, ""));
    let note = "ipvs-cli: mark 10 has no other real server with a weight: its new clients are refused\n";
    let forced = director.run("ipvs-cli drain --force mark:10 192.0.2.11");
    assert_eq!((forced.status, forced.stderr.as_str()), (0, note));
    assert_eq!(director.run("ipvs-cli drain mark:10 192.0.2.11").status, 0, "its weight is 0 already");
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
fn a_missing_server_is_reported() {
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
        "drain mark:10 192.0.2.11 --wait",
        "undrain x y",
    ] {
        assert_eq!(director.run(&format!("ipvs-cli {line}")).status, 2, "{line}");
    }
}

/// `apply`, `restore` and `diff` leave drained servers at weight 0, and say so.
#[test]
fn a_drained_server_stays_drained() {
    const STAYS: &str = "1 destination stays drained at weight 0 without --undrain: 192.0.2.11:80 at tcp 192.0.2.1:80";
    let mut director = drained_shop();
    let drained = director.saved();
    let said = done(0, &format!("nothing to change; {STAYS}\n"), "");
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), said);
    assert_eq!(director.feed("ipvs-cli restore", SHOP), said);
    let shown = "# 192.0.2.11:80 at tcp 192.0.2.1:80 stays drained at weight 0, not 3, without --undrain\n";
    assert_eq!(director.feed("ipvs-cli diff -", SHOP), done(0, shown, ""));
    let dry = format!("{shown}dry run, nothing was sent: nothing to change; {STAYS}\n");
    assert_eq!(director.feed("ipvs-cli apply --dry-run -", SHOP), done(0, &dry, ""));
    let json = director.feed("ipvs-cli diff --json -", SHOP).stdout;
    let [object] = &crate::schema::objects("difference", &json)[..] else { panic!("{json}") };
    assert_eq!(
        (&object["change"], &object["server"], &object["weight"]),
        (&"left-drained".into(), &"192.0.2.11:80".into(), &3.into())
    );
    let json = director.feed("ipvs-cli apply --json -", SHOP).stdout;
    let summary = &crate::schema::objects("summary", &json)[0];
    assert_eq!(summary["left_drained"][0]["weight"], 3, "{json}");
    assert_eq!(director.saved(), drained);
    // What else the file says of it is done.
    let other = SHOP.replace("-r 192.0.2.11 -m -w 3", "-r 192.0.2.11 -m -w 9 -x 70").replace("wrr", "rr");
    let said = format!("1 service edited; 1 destination edited; {STAYS}\n");
    assert_eq!(director.feed("ipvs-cli apply -", &other), done(0, &said, ""));
    assert!(director.saved().contains("-r 192.0.2.11:80 -m -w 0 -x 70"), "{}", director.saved());
    // Another service alone, a file that says 0, and one without the server have nothing to say of
    // it.
    for (options, text) in [("--only mark:10 ", SHOP.to_owned()), ("", drained.clone())] {
        assert!(!director.feed(&format!("ipvs-cli apply {options}-"), &text).stdout.contains("drained"), "{text}");
    }
    // --undrain gives the file's weight, and the note goes.
    assert_eq!(director.feed("ipvs-cli diff --undrain -", SHOP).status, 1);
    assert_eq!(director.feed("ipvs-cli apply --undrain -", SHOP), done(0, "1 destination edited\n", ""));
    assert!(!director.state_file("drained").exists());
    let mut director = drained_shop();
    assert_eq!(director.feed("ipvs-cli restore --undrain", SHOP), done(0, "1 destination edited\n", ""));
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, "nothing to change\n", ""));
}

/// Only what is still at weight 0 is drained: a weight of another program is the file's to change.
#[test]
fn a_void_note_keeps_nothing_at_weight_0() {
    let mut director = drained_shop();
    let key = "tcp 192.0.2.1:80".parse().unwrap();
    let mut other = director.other_program();
    let quiesced = other.destinations(&key).unwrap().into_iter().map(|state| state.destination);
    for server in quiesced {
        other.edit_destination(&key, &server.with_weight(Weight::new(7).unwrap())).unwrap();
    }
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, "2 destinations edited\n", ""));
    assert!(!director.state_file("drained").exists());
    // Nor does a note stay of what apply removes.
    let mut director = drained_shop();
    director.feed("ipvs-cli apply --quiet -", "-C");
    assert!(!director.state_file("drained").exists());
    assert_eq!(director.feed("ipvs-cli apply --quiet -", SHOP), done(0, "", ""));
    assert_eq!(servers(&mut director), servers(&mut shop()));
}

/// A change that does not know what is drained would give it the weight of the file.
#[test]
fn notes_that_cannot_be_read_stop_a_change() {
    let mut director = drained_shop();
    let saved = director.saved();
    let path = director.state_file("drained");
    fs::write(&path, b"\xff").unwrap();
    for line in ["apply -", "apply --dry-run -", "restore", "diff -"] {
        let said = director.feed(&format!("ipvs-cli {line}"), SHOP);
        assert_eq!((said.status, said.stdout.as_str()), (if line == "diff -" { 2 } else { 1 }, ""), "{line}");
        assert!(said.stderr.contains(".drained: ") && said.stderr.contains("--undrain"), "{}", said.stderr);
        assert_eq!(director.saved(), saved, "{line}");
    }
    assert_eq!(director.feed("ipvs-cli apply --keep-weights -", SHOP).status, 0);
    assert_eq!(director.saved(), saved);
    assert_eq!(director.feed("ipvs-cli apply --undrain -", SHOP).status, 0);
    assert_eq!(director.saved(), shop().saved());
}

#[test]
fn show_tells_what_is_drained() {
    let mut director = drained_shop();
    let listing = director.run("ipvsadm -L -n").stdout;
    let line = "192.0.2.11:80 at tcp 192.0.2.1:80: drained, with weight 3 before\n";
    assert_eq!(director.run("ipvs-cli show").stdout, listing + line);
    assert!(!director.run("ipvs-cli show mark 10").stdout.contains("drained"));
    let json: serde_json::Value = serde_json::from_str(&director.run("ipvs-cli show --json").stdout).unwrap();
    let of = |number: usize| &json["services"][0]["destinations"][number];
    assert_eq!((&of(0)["weight"], &of(0)["weight_before"]), (&0.into(), &3.into()));
    assert_eq!(of(1).get("weight_before"), None);
    let toml = director.run("ipvs-cli show --toml").stdout;
    assert_eq!(toml.matches("weight = 0\n# drained: its weight was 3\n").count(), 1, "{toml}");
    for text in [&json.to_string(), &toml] {
        assert_eq!(director.feed("ipvs-cli apply -", text), done(0, "nothing to change\n", ""));
    }
}

/// Standard error, with another program that acts when something is written to it.
struct Interrupted<'i> {
    text: &'i mut Vec<u8>,
    act: Option<Box<dyn FnOnce()>>,
}

impl std::io::Write for Interrupted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(act) = self.act.take() {
            act();
        }
        self.text.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The call says that the first server was drained after it has read the table, and the second one
/// is deleted just then.
fn interrupted(director: &mut Director, line: &str) -> Done {
    let mut other = director.other_program();
    let key = "tcp 192.0.2.1:80".parse().unwrap();
    let act = move || other.delete_destination(&key, "192.0.2.12:80".parse().unwrap()).unwrap();
    let (mut stdout, mut said) = (Vec::new(), Vec::new());
    let argv: Vec<std::ffi::OsString> = line.split(' ').map(Into::into).collect();
    let mut stderr = Interrupted { text: &mut said, act: Some(Box::new(act)) };
    let mut stdin = &b""[..];
    let state = director.state_directory();
    let mut environment = ipvs_cli::env::Environment::new(&mut stdin, &mut stdout, &mut stderr);
    environment.state_directory = Some(&state);
    let status = ipvs_cli::run(&argv, &mut environment, &mut director.kernel);
    Done { status, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(said).unwrap() }
}

#[test]
fn weight_names_what_was_changed_when_another_change_is_refused() {
    let mut director = drained_shop();
    let said = interrupted(&mut director, "ipvs-cli weight --all 192.0.2.0/24 5");
    let drained = "ipvs-cli: 192.0.2.11:80 at tcp 192.0.2.1:80: was drained, with weight 3 before\n";
    let refused = "ipvs-cli: 192.0.2.12:80 at tcp 192.0.2.1:80: not changed: there is no such destination\n";
    let changed = "192.0.2.11:80 at tcp 192.0.2.1:80: weight 5, was 0\n192.0.2.11:0 at mark 10: weight 5, was 1\n";
    assert_eq!(said, done(1, changed, &format!("{drained}{refused}")));
    assert_eq!(
        servers(&mut director),
        ["-t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 5", "-f 10 -r 192.0.2.11:0 -i -w 5 --tun-type ipip"]
    );
    let mut director = drained_shop();
    let json = interrupted(&mut director, "ipvs-cli weight --json --all 192.0.2.0/24 5");
    let objects = crate::schema::objects("weight", &json.stdout);
    let outcomes: Vec<_> = objects.iter().map(|object| object["outcome"].as_str().unwrap()).collect();
    assert_eq!((json.status, outcomes), (1, vec!["changed", "refused", "changed"]));
    assert_eq!(objects[1]["reason"], "there is no such destination");
}

/// `undrain` could not give the weight back.
#[test]
fn where_weights_cannot_be_noted_no_server_is_drained() {
    let mut director = shop();
    let before = director.saved();
    for place in ["/proc/nowhere", "/dev/null"] {
        director.keep_state_in(place);
        let said = director.run("ipvs-cli drain --delete tcp:192.0.2.1:80 192.0.2.11");
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{}", said.stderr);
        assert!(
            said.stderr.contains(place) && said.stderr.contains("; nothing was changed; --state-dir "),
            "{}",
            said.stderr
        );
        assert_eq!(director.saved(), before);
    }
    let said = "192.0.2.11:80 at tcp 192.0.2.1:80: weight 0, was 3\n";
    assert_eq!(director.run("ipvs-cli weight tcp:192.0.2.1:80 192.0.2.11 0").stdout, said);
    assert_eq!(director.run("ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11").status, 0, "nothing is to be noted");
}

/// Nobody knows which server a damaged line keeps at weight 0.
#[test]
fn a_damaged_note_is_reported_until_it_is_mended_or_no_server_has_weight_0() {
    let mut director = drained_shop();
    let saved = director.saved();
    let path = director.state_file("drained");
    let text = fs::read_to_string(&path).unwrap();
    let damaged = text.replace(" 3\n", " \x1b[2J\n");
    assert_ne!(text, damaged);
    fs::write(&path, &damaged).unwrap();
    let place = format!("{}:2: the line is damaged", path.display());
    for line in ["apply -", "apply --dry-run -", "restore", "diff -"] {
        let said = director.feed(&format!("ipvs-cli {line}"), SHOP);
        assert_eq!((said.status, said.stdout.as_str()), (if line == "diff -" { 2 } else { 1 }, ""), "{line}");
        assert!(said.stderr.contains(&place) && said.stderr.contains("; --undrain "), "{line}: {}", said.stderr);
        assert_eq!(director.saved(), saved, "{line}");
    }
    for line in ["show", "show --json", "undrain tcp:192.0.2.1:80 192.0.2.11", "weight mark:10 192.0.2.11 1"] {
        let said = director.run(&format!("ipvs-cli {line}"));
        assert_eq!(said.status, u8::from(line.starts_with("undrain")), "{line}");
        assert!(said.stderr.starts_with(&format!("ipvs-cli: {place}")), "{line}: {}", said.stderr);
        assert!(said.stderr.contains("; `undrain` does not know the weight"), "{line}: {}", said.stderr);
    }
    // Another note leaves the line there.
    assert_eq!(director.run("ipvs-cli drain --force --quiet tcp:192.0.2.1:80 192.0.2.12").status, 0);
    assert!(fs::read_to_string(&path).unwrap().contains("\x1b[2J\n"));
    // Where no server has weight 0, every note is void.
    for line in ["undrain --quiet mark:10 192.0.2.11 --weight 1", "weight --quiet tcp:192.0.2.1:80 192.0.2.0/24 3"] {
        assert_eq!(director.run(&format!("ipvs-cli {line}")).status, 0, "{line}");
    }
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, "nothing to change\n", ""));
    assert_eq!(director.run("ipvs-cli show --json").stderr, "");
    fs::write(&path, "not a file of this program\n").unwrap();
    let said = director.feed("ipvs-cli apply -", SHOP);
    assert!(said.status == 1 && said.stderr.contains(".drained:1: the file is damaged: "), "{}", said.stderr);
}

/// `drain` and `weight` know which schedulers refuse clients at weight 0; `undrain` sets none.
#[test]
fn undrain_sets_no_weight_0() {
    let mut director = shop();
    let saved = director.saved();
    let said = director.run("ipvs-cli undrain --weight 0 tcp:192.0.2.1:80 192.0.2.11");
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("must be at least 1; `ipvs-cli drain` sets weight 0"), "{}", said.stderr);
    assert_eq!(director.saved(), saved);
}
