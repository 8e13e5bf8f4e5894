//! Files with wrong texts, and what is reported for each.
//!
//! A case follows each line that starts with `===`; `>>>` is a report: line, column and reason.

use std::collections::BTreeSet;

use ipvs::desired::Problem;

struct Case {
    name: String,
    text: String,
    reports: Vec<String>,
}

fn read(file: &str) -> Vec<Case> {
    let blocks = file.split("\n=== ").skip(1);
    let case = |block: &str| {
        let (name, body) = block.split_once('\n').unwrap_or((block, ""));
        let is_report = |line: &&str| line.starts_with(">>> ");
        let body = body.trim_end_matches('\n');
        let text = body.lines().filter(|line| !is_report(line)).map(|line| format!("{line}\n")).collect();
        let reports = body.lines().filter(is_report).map(|line| line[4..].to_owned()).collect();
        Case { name: name.to_owned(), text, reports }
    };
    blocks.map(case).collect()
}

/// The problems, without the name of the text, which is `x`.
pub(crate) fn reports(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().strip_prefix("x:").unwrap().to_owned()).collect()
}

/// Checks each case of a file, and that no two are the same. Returns their number.
pub(crate) fn check(file: &str, problems: impl Fn(&[u8]) -> Vec<Problem>) -> usize {
    let cases = read(file);
    let mut wrong = Vec::new();
    for case in &cases {
        let reports = reports(&problems(case.text.as_bytes()));
        if reports != case.reports || reports.is_empty() {
            let lines: String = reports.iter().map(|line| format!(">>> {line}\n")).collect();
            wrong.push(format!("=== {}\n{}{lines}", case.name, case.text));
        }
    }
    assert!(wrong.is_empty(), "{} cases are reported differently:\n{}", wrong.len(), wrong.join("\n"));
    let texts: BTreeSet<&str> = cases.iter().map(|case| &*case.text).collect();
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert_eq!((texts.len(), names.len()), (cases.len(), cases.len()));
    cases.len()
}
