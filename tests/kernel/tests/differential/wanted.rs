//! The differences that are wanted, each by its title in docs/compatibility.md, and each as narrow
//! as it can be said.

use crate::step::Step;
use ipvs::Behaviors;
use kernel_tests::behaviors;
use kernel_tests::case::Status;
use kernel_tests::target::Outcome;

/// Where each is explained.
pub(crate) const PAGE: &str = include_str!("../../../../docs/compatibility.md");

pub(crate) const UNSIGNED_MARKS: &str = "Firewall marks print as unsigned numbers";
pub(crate) const SAVED_THRESHOLDS: &str = "-S writes the thresholds";
pub(crate) const SAVED_FLAG: &str = "-S writes the third flag of the schedulers sh and mh";
pub(crate) const NO_SCRIPT: &str = "ipvsadm-restore is no shell script";
pub(crate) const KEPT: &str = "ipvsadm-restore keeps what stays";
pub(crate) const ONLY_COMMAS: &str = "A list of scheduler flags that holds only commas is refused";
pub(crate) const NOTHING_TO_REPLACE: &str = "A replaced character with nothing to replace it";
pub(crate) const STOPPED_DAEMON: &str = "A daemon that is stopped before its thread ran does not stop the program";

/// All that this comparison knows of.
pub(crate) const TITLES: [&str; 8] =
    [UNSIGNED_MARKS, SAVED_THRESHOLDS, SAVED_FLAG, NO_SCRIPT, KEPT, ONLY_COMMAS, NOTHING_TO_REPLACE, STOPPED_DAEMON];

/// What two outcomes are to each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Equal but for these differences, mostly none.
    Equal(Vec<&'static str>),
    /// The original crashed or hung where it is known to, so that the worlds can't be compared any
    /// further.
    IpvsadmBroke(&'static str),
    /// Not what is wanted.
    Different,
}

/// A kernel that makes its table of connections on demand resizes it in its own time: two listings,
/// one right after the other, may differ in the size.
pub(crate) fn without_size(mut outcome: Outcome) -> Outcome {
    const TITLE: &str = "IP Virtual Server version 1.2.1 (size=";
    if behaviors::of_this_kernel().contains(Behaviors::CONNECTION_TABLE_ON_DEMAND) {
        let masked = |line: &[u8]| match line.strip_prefix(TITLE.as_bytes()) {
            Some(_) => format!("{TITLE}N)\n").into_bytes(),
            None => line.to_vec(),
        };
        outcome.stdout = outcome.stdout.split_inclusive(|&byte| byte == b'\n').flat_map(masked).collect();
    }
    outcome
}

/// Where the two worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// On one table.
    OneTable,
    /// Each on its own, in which the kernel has an order of its own.
    TwoTables,
}

/// Compares what the original did with what `ipvs-cli` did.
pub(crate) fn judge(on: On, step: &Step, ipvsadm: &Outcome, ipvs_cli: &Outcome) -> Verdict {
    if let Some(title) = broke(step, ipvsadm, ipvs_cli) {
        return Verdict::IpvsadmBroke(title);
    }
    if ipvsadm.stderr != ipvs_cli.stderr || ipvsadm.status != ipvs_cli.status {
        return Verdict::Different;
    }
    let mut titles = Vec::new();
    let equal = match equal_text(&ipvsadm.stdout, &ipvs_cli.stdout, &mut titles) {
        false if on == On::TwoTables && unsorted(step) => {
            equal_in_some_order(&ipvsadm.stdout, &ipvs_cli.stdout, &mut titles)
        }
        equal => equal,
    };
    if equal { Verdict::Equal(titles) } else { Verdict::Different }
}

fn broke(step: &Step, ipvsadm: &Outcome, ipvs_cli: &Outcome) -> Option<&'static str> {
    let has = |part: &[u8]| {
        step.arguments().chain([&step.stdin[..]]).any(|text| text.windows(part.len()).any(|window| window == part))
    };
    match ipvsadm.status {
        Status::Signal(11) if ipvs_cli.status == Status::Exit(2) && refuses_commas(&ipvs_cli.stderr) => {
            Some(ONLY_COMMAS)
        }
        _ if step.command.program() == "ipvsadm-restore" && says(&ipvsadm.stderr, GREP_GAVE_UP) => Some(NO_SCRIPT),
        Status::NoAnswer if has(b"!#:+") => Some(NOTHING_TO_REPLACE),
        Status::NoAnswer if has(b"--stop-daemon") => Some(STOPPED_DAEMON),
        _ => None,
    }
}

/// What it says to bytes that are no text.
const GREP_GAVE_UP: &[u8] = b"grep: (standard input): binary file matches";

fn says(stderr: &[u8], line: &[u8]) -> bool {
    stderr.split(|&byte| byte == b'\n').any(|said| said == line)
}

fn refuses_commas(stderr: &[u8]) -> bool {
    let last = stderr.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let value = last.strip_prefix(b"invalid scheduler flag `").and_then(|rest| rest.strip_suffix(b"'"));
    value.is_some_and(|value| !value.is_empty() && value.iter().all(|&byte| byte == b','))
}

fn unsorted(step: &Step) -> bool {
    step.reads_commands() && step.stdin.split(u8::is_ascii_whitespace).any(|word| word == b"--nosort")
}

fn equal_text(ipvsadm: &[u8], ipvs_cli: &[u8], titles: &mut Vec<&'static str>) -> bool {
    if ipvsadm == ipvs_cli {
        return true;
    }
    let (ipvsadm, ipvs_cli) = (lines(ipvsadm), lines(ipvs_cli));
    ipvsadm.len() == ipvs_cli.len()
        && ipvsadm.iter().zip(&ipvs_cli).all(|(ipvsadm, ipvs_cli)| equal_line(ipvsadm, ipvs_cli, titles))
}

fn equal_in_some_order(ipvsadm: &[u8], ipvs_cli: &[u8], titles: &mut Vec<&'static str>) -> bool {
    let (ipvsadm, mut ipvs_cli) = (lines(ipvsadm), lines(ipvs_cli));
    ipvsadm.iter().all(|ipvsadm| {
        let at = ipvs_cli.iter().position(|ipvs_cli| equal_line(ipvsadm, ipvs_cli, titles));
        at.map(|at| ipvs_cli.swap_remove(at)).is_some()
    }) && ipvs_cli.is_empty()
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).split('\n').map(str::to_owned).collect()
}

fn equal_line(ipvsadm: &str, ipvs_cli: &str, titles: &mut Vec<&'static str>) -> bool {
    if ipvsadm == ipvs_cli {
        return true;
    }
    let short = without_thresholds(ipvs_cli).filter(|_| ipvsadm.starts_with("-a "));
    let ipvs_cli = short.as_deref().unwrap_or(ipvs_cli);
    let flagless = without_third_flag(ipvs_cli);
    let ipvs_cli = flagless.as_deref().unwrap_or(ipvs_cli);
    let unsigned = with_unsigned_mark(ipvsadm).iter().any(|ipvsadm| ipvsadm == ipvs_cli);
    let equal = unsigned || ipvsadm == ipvs_cli;
    if equal {
        titles.extend(short.is_some().then_some(SAVED_THRESHOLDS));
        titles.extend(flagless.is_some().then_some(SAVED_FLAG));
        titles.extend(unsigned.then_some(UNSIGNED_MARKS));
    }
    equal
}

/// A saved server without ` -x N -y M`, if it has some. That they are the right ones is shown by
/// what a restore makes of them.
fn without_thresholds(line: &str) -> Option<String> {
    let mut words: Vec<&str> = line.split(' ').collect();
    let before = words.len();
    for option in ["-x", "-y"] {
        let at = words.iter().position(|word| *word == option);
        if let Some(at) = at.filter(|at| words.get(at + 1).is_some_and(|number| number.parse::<u32>().is_ok())) {
            words.drain(at..at + 2);
        }
    }
    (words.len() < before).then(|| words.join(" "))
}

/// A saved service of `sh` or `mh` without its third flag, if it has it.
fn without_third_flag(line: &str) -> Option<String> {
    let (service, flags) = line.strip_prefix("-A ").and(line.rsplit_once(" -b "))?;
    let rest = flags.strip_suffix("flag-3")?;
    let nameless = service.contains(" -s sh") || service.contains(" -s mh");
    nameless.then(|| format!("{service} -b {}", rest.trim_end_matches(',')))
}

/// The line with its firewall mark unsigned: without a column after it, and in a column of 33.
fn with_unsigned_mark(line: &str) -> Vec<String> {
    const COLUMN: usize = 33;
    let mut lines = Vec::new();
    for before in ["FWM  ", "-A -f ", "-a -f "] {
        let Some(rest) = line.strip_prefix(before) else { continue };
        let end = rest.find(' ').unwrap_or(rest.len());
        let Ok(mark @ ..0) = rest[..end].parse::<i32>() else { continue };
        let unsigned = |text: &str| text.replacen(&rest[..end], &mark.cast_unsigned().to_string(), 1);
        lines.push(unsigned(line));
        if let Some((name, behind)) = line.split_at_checked(COLUMN) {
            lines.push(format!("{:<COLUMN$}{behind}", unsigned(name.trim_end())));
        }
    }
    lines
}

/// The rules themselves: what they let pass, and what not.
pub(crate) fn check() -> Result<(), libtest_mimic::Failed> {
    for title in TITLES {
        if !PAGE.contains(&format!("### {title}\n")) {
            return Err(format!("docs/compatibility.md says nothing about: {title}").into());
        }
    }
    let column = |name: &str| format!("{name:<33}        0");
    let text = str::to_owned;
    let pairs = [
        (text("FWM  -1 rr"), text("FWM  4294967295 rr"), true),
        (text("FWM  -1 IPv6 rr"), text("FWM  4294967295 IPv6 rr"), true),
        (column("FWM  -1 IPv6"), column("FWM  4294967295 IPv6"), true),
        (column("FWM  -1294967296"), column("FWM  3000000000"), true),
        (column("FWM  -1"), column("FWM  4294967295 "), true),
        (column("FWM  -1"), column("FWM  4294967295") + "0", false),
        (text("FWM  -1 rr"), text("FWM  4294967294 rr"), false),
        (text("FWM  1 rr"), text("FWM  2 rr"), false),
        (text("-a -f -2 -r ::1 -g -w 1"), text("-a -f 4294967294 -r ::1 -g -w 1 -x 5"), true),
        (text("-a -f 2 -r ::1 -g -w 1"), text("-a -f 2 -r ::1 -g -w 2 -x 5"), false),
        (text("-A -f 2 -s sh -b "), text("-A -f 2 -s sh -b flag-3"), true),
        (text("-A -f 2 -s mh -p 5 -b mh-port"), text("-A -f 2 -s mh -p 5 -b mh-port,flag-3"), true),
        (text("-A -f 2 -s rr -b "), text("-A -f 2 -s rr -b flag-3"), false),
        (text("-A -f 2 -s rr"), text("-A -f 2 -s rr -x 5"), false),
    ];
    for (ipvsadm, ipvs_cli, equal) in pairs {
        if equal_text(ipvsadm.as_bytes(), ipvs_cli.as_bytes(), &mut Vec::new()) != equal {
            return Err(format!("equal: {equal}\n  {ipvsadm}\n  {ipvs_cli}").into());
        }
    }
    Ok(())
}
