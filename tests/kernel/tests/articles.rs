//! Every command line of three articles about LVS, typed into a shell with the original `ipvsadm`
//! and into one with `ipvs-cli`.
//!
//! `articles/README.md` says how the files of lines read. The `iptables` lines run too, with
//! iptables-legacy; where the kernel has no such tables, as Debian's 7.2, only the `ipvsadm` lines
//! run.

use kernel_tests::case::Status;
use kernel_tests::target::{Outcome, Target};
use page::{Expected, Line, NO_BREAK_SPACE, Section};
use shell::Shell;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

#[path = "articles/page.rs"]
mod page;
mod shell;

const ARTICLES: [&str; 3] =
    ["1-firewall-marks-and-persistence.article", "2-iptables-mangle-and-persistence.article", "3-persistence.article"];

#[test]
fn firewall_marks_and_persistence() {
    check(ARTICLES[0]);
}

#[test]
fn iptables_mangle_and_persistence() {
    check(ARTICLES[1]);
}

#[test]
fn persistence() {
    check(ARTICLES[2]);
}

#[test]
fn every_line_is_explained_in_the_docs() {
    let docs = include_str!("../../../docs/articles.md").replace("\\|", "|");
    for article in ARTICLES {
        for line in page::read(article).iter().flat_map(|section| &section.lines).filter(|line| line.verbatim) {
            let command = line.command.trim_end().replace(NO_BREAK_SPACE, " ");
            assert!(docs.contains(&command), "docs/articles.md leaves out {article}:{}: {command}", line.number);
        }
    }
}

fn check(article: &str) {
    let sections = page::read(article);
    let faults: Vec<String> = sections.iter().flat_map(|section| check_section(article, section)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What one program did in one section.
struct Played {
    /// Of each line that was run.
    outcomes: Vec<Outcome>,
    /// The kernel's table at the end, as the original lists it.
    table: Vec<Outcome>,
    /// The same, as the program itself does.
    listings: Vec<Outcome>,
}

fn check_section(article: &str, section: &Section) -> Vec<String> {
    let lines: Vec<Line> = section.lines.iter().flat_map(as_pasted).filter(runs_here).collect();
    let ipvsadm = shell::with(Target::Ipvsadm, |shell| play(&lines, shell, Target::Ipvsadm));
    let ipvs_cli = shell::with(Target::IpvsCli, |shell| play(&lines, shell, Target::IpvsCli));
    let mut faults = Vec::new();
    for (line, (ipvsadm, ipvs_cli)) in lines.iter().zip(ipvsadm.outcomes.iter().zip(&ipvs_cli.outcomes)) {
        let found = check_ipvsadm(line, ipvsadm).into_iter().chain(check_ipvs_cli(line, ipvsadm, ipvs_cli));
        faults.extend(found.map(|fault| format!("{article}:{}: {}\n{fault}", line.number, line.command)));
    }
    for (name, ipvsadm, ipvs_cli) in
        [("table", ipvsadm.table, ipvs_cli.table), ("listing", ipvsadm.listings, ipvs_cli.listings)]
    {
        if ipvsadm != ipvs_cli {
            let difference = difference(&ipvsadm, &ipvs_cli);
            faults.push(format!("{article}: section {:?}: the {name} differs\n{difference}", section.heading));
        }
    }
    faults
}

/// A line with no-break spaces is pasted twice: as it is, and as browsers do it.
fn as_pasted(line: &Line) -> Vec<Line> {
    if !line.command.contains(NO_BREAK_SPACE) {
        return vec![line.clone()];
    }
    let not_found = Expected { shell: vec!["command not found".into()], status: 127, ..Expected::default() };
    let with_blanks = line.command.replace(NO_BREAK_SPACE, " ");
    vec![Line { expected: not_found, ..line.clone() }, Line { command: with_blanks, ..line.clone() }]
}

fn runs_here(line: &Line) -> bool {
    !line.is_iptables() || has_iptables_tables()
}

/// Does the kernel have the tables of iptables-legacy? Debian builds newer ones without.
fn has_iptables_tables() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let list = || Command::new("iptables").args(["-t", "mangle", "-L", "-n"]).output();
    *ANSWER.get_or_init(|| list().is_ok_and(|list| list.status.success()))
}

fn play(lines: &[Line], shell: &mut Shell, target: Target) -> Played {
    let run = |line: &Line| {
        let outcome = type_in(shell, line);
        // ipvsadm gets the corrected line of what `ipvs-cli` understands, so that the tables can be
        // compared.
        if let (Target::Ipvsadm, Some(meant)) = (target, &line.expected.meant) {
            let meant_outcome = shell.type_in(meant, b"");
            assert_eq!(meant_outcome, succeeded(&[]), "{meant}");
        }
        outcome
    };
    let outcomes = lines.iter().map(run).collect();
    let listings = ["ipvsadm -S -n", "ipvsadm -L -n", "ipvsadm"].map(|command| shell.type_in(command, b"")).to_vec();
    Played { outcomes, table: shell.table(), listings }
}

/// The original writes a message and the end of its line apart, and another program of a pipe may
/// speak in between: then once more.
fn type_in(shell: &mut Shell, line: &Line) -> Outcome {
    const TRIES: usize = 20;
    let is_torn = |outcome: &Outcome| is_pipe(line) && stderr_lines(outcome).iter().any(String::is_empty);
    let mut outcomes = (0..TRIES).map(|_| shell.type_in(&line.command, b""));
    outcomes.find(|outcome| !is_torn(outcome)).unwrap_or_else(|| panic!("{}: nobody lets another finish", line.command))
}

/// The programs of a pipe speak in any order.
fn is_pipe(line: &Line) -> bool {
    line.command.contains('|')
}

fn succeeded(warnings: &[String]) -> Outcome {
    let stderr = warnings.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    Outcome { stdout: Vec::new(), stderr, status: Status::Exit(0) }
}

/// The original does what the article's file says.
fn check_ipvsadm(line: &Line, outcome: &Outcome) -> Option<String> {
    let expected = &line.expected;
    let said: Vec<_> = stderr_lines(outcome);
    let is_matched =
        |said: &String| expected.says.contains(said) || expected.shell.iter().any(|part| said.contains(part));
    let is_said = |part: &String| said.iter().any(|line| line.contains(part));
    // Only a program other than ipvsadm may say more than is written down.
    let is_explained = if expected.shell.is_empty() { said.iter().all(is_matched) } else { true };
    let complete = expected.says.iter().all(|line| said.contains(line)) && expected.shell.iter().all(is_said);
    let holds = is_explained
        && complete
        && outcome.status == Status::Exit(expected.status)
        && (line.is_iptables() || shows(expected, outcome));
    (!holds).then(|| format!("  the original did not do what is written below the line:\n{}", describe(outcome)))
}

/// `ipvs-cli` must do the same, or what was meant.
fn check_ipvs_cli(line: &Line, ipvsadm: &Outcome, ipvs_cli: &Outcome) -> Option<String> {
    let wanted = match line.expected.meant {
        Some(_) => succeeded(&line.expected.warns),
        None => ipvsadm.clone(),
    };
    let equal = if is_pipe(line) { unordered(&wanted) == unordered(ipvs_cli) } else { wanted == *ipvs_cli };
    (!equal).then(|| difference(&[wanted], std::slice::from_ref(ipvs_cli)))
}

fn unordered(outcome: &Outcome) -> (&[u8], BTreeSet<String>, Status) {
    (&outcome.stdout, stderr_lines(outcome).into_iter().collect(), outcome.status)
}

fn stderr_lines(outcome: &Outcome) -> Vec<String> {
    String::from_utf8_lossy(&outcome.stderr).lines().map(str::to_owned).collect()
}

/// Whether a listing is the one that the article prints. Web pages lose and add blanks, and authors
/// add remarks.
fn shows(expected: &Expected, outcome: &Outcome) -> bool {
    let essence = |line: &str| -> String {
        let line = line.split('#').next().unwrap_or_default();
        let line = line.split("(size=").next().unwrap_or_default();
        line.chars().filter(|c| !c.is_whitespace()).collect()
    };
    let printed: Vec<String> = String::from_utf8_lossy(&outcome.stdout).lines().map(essence).collect();
    printed == expected.shows.iter().map(|line| essence(line)).collect::<Vec<_>>()
}

fn difference(wanted: &[Outcome], was: &[Outcome]) -> String {
    let show = |outcomes: &[Outcome]| outcomes.iter().map(describe).collect::<String>();
    format!("  expected of ipvs-cli:\n{}  ipvs-cli did:\n{}", show(wanted), show(was))
}

fn describe(outcome: &Outcome) -> String {
    let Outcome { stdout, stderr, status } = outcome;
    let streams = [stdout, stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let indented: String = streams.iter().flat_map(|text| text.lines()).map(|line| format!("    {line}\n")).collect();
    format!("{indented}    status {status}\n")
}
