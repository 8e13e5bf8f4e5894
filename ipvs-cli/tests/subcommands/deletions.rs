//! How much a change may delete: `--max-deletions`, and the question on a terminal.

use super::director::{Director, SHOP, done};

#[test]
fn more_deletions_than_allowed_are_refused_before_anything_is_sent() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let before = director.saved();
    // A service with two destinations, and one destination of the other.
    let wanted = "-A -f 10 -s rr -p 600\n-A -f 11\n";
    let message = "ipvs-cli: nothing was changed: 1 service and 3 destinations would be deleted (4 together), \
        and --max-deletions is 3\n";
    for line in ["apply --max-deletions 3 -", "restore --max-deletions 3", "apply --max-deletions 3 --json -"] {
        assert_eq!(director.feed(&format!("ipvs-cli {line}"), wanted), done(1, "", message), "{line}");
    }
    assert_eq!(director.saved(), before);
    let dry = director.feed("ipvs-cli apply --dry-run --max-deletions 3 -", wanted);
    assert_eq!((dry.status, dry.stderr.as_str()), (1, message));
    assert!(dry.stdout.starts_with("- -A -t 192.0.2.1:80"), "{}", dry.stdout);
    let summary = "1 service added, 1 deleted with 2 destinations; 1 destination deleted\n";
    assert_eq!(director.feed("ipvs-cli apply --max-deletions 4 -", wanted), done(0, summary, ""));
    assert_eq!(director.feed("ipvs-cli apply --max-deletions 0 -", wanted), done(0, "nothing to change\n", ""));
}

#[test]
fn on_a_terminal_the_deletion_of_services_is_asked_for() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let before = director.saved();
    let file = director.file("shop.rules", "-A -f 10 -s rr -p 600\n-A -f 11\n");
    let line = format!("ipvs-cli apply {file}");
    let question = "This changes: 1 service added, 1 deleted with 2 destinations; 1 destination deleted
Deleted services: tcp 192.0.2.1:80
Change the director? [y/N] ";
    for answer in ["n\n", "\n", "", "yess\n", "no\ny\n"] {
        let refused = format!("{question}ipvs-cli: nothing was changed\n");
        assert_eq!(director.answer(&line, answer), done(1, "", &refused), "{answer:?}");
        assert_eq!(director.saved(), before, "{answer:?}");
    }
    let summary = "1 service added, 1 deleted with 2 destinations; 1 destination deleted\n";
    assert_eq!(director.answer(&line, "Yes\n"), done(0, summary, question));
    // No service goes: no question.
    assert_eq!(director.answer(&line, ""), done(0, "nothing to change\n", ""));
    let file = director.file("more.rules", "-A -f 10 -s rr -p 60\n-a -f 10 -r 192.0.2.9\n-A -f 11\n");
    assert_eq!(director.answer(&format!("ipvs-cli apply {file}"), "").status, 0);
    let file = director.file("none.rules", "-C\n");
    assert_eq!(director.answer(&format!("ipvs-cli apply --dry-run {file}"), "").status, 0);
    assert_eq!(director.answer(&format!("ipvs-cli restore {file}"), "n\n").status, 1);
    let summary = "2 services deleted with 1 destination\n";
    assert_eq!(director.answer(&format!("ipvs-cli restore --yes {file}"), ""), done(0, summary, ""));
}

/// Standard input is the file, so the answer comes from the terminal.
#[test]
fn a_file_from_a_pipe_is_asked_about_on_the_terminal() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let before = director.saved();
    director.terminal = Some(director.file("terminal", "n\n").into());
    for line in ["apply -", "restore"] {
        let refused = director.pipe(&format!("ipvs-cli {line}"), b"-C\n");
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{line}");
        assert!(refused.stderr.ends_with("[y/N] ipvs-cli: nothing was changed\n"), "{}", refused.stderr);
    }
    assert_eq!(director.saved(), before);
    let summary = "2 services deleted with 3 destinations\n";
    director.terminal = Some(director.file("terminal", "y\n").into());
    assert_eq!(director.pipe("ipvs-cli apply -", b"-C\n").stdout, summary);
    // A script without a terminal is not asked, and neither is one whose messages go to a file.
    for terminal in [None, Some("/no/such/terminal".into())] {
        director.feed("ipvs-cli apply -", SHOP);
        director.terminal = terminal;
        assert_eq!(director.pipe("ipvs-cli apply -", b"-C\n"), done(0, summary, ""));
    }
    director.feed("ipvs-cli apply -", SHOP);
    director.terminal = Some(director.file("terminal", "n\n").into());
    assert_eq!(director.feed("ipvs-cli apply -", "-C\n"), done(0, summary, ""));
}

#[test]
fn a_question_names_ten_services() {
    let mut director = Director::new();
    (1..=12).for_each(|mark| director.must(&format!("ipvsadm -A -f {mark}")));
    let file = director.file("none.rules", "-C\n");
    let asked = director.answer(&format!("ipvs-cli apply {file}"), "n\n").stderr;
    assert!(asked.contains("mark 10, and 2 more\n"), "{asked}");
}
