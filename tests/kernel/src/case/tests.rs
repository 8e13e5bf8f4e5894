use super::*;

fn parse(source: &str) -> Result<Case, CaseError> {
    Case::parse("sample".into(), source.into())
}

fn problem(source: &str) -> String {
    parse(source).unwrap_err().to_string()
}

#[test]
fn a_step_holds_input_both_streams_and_the_status() {
    let case = parse("# title\n\n$ ipvsadm -R\n< -C\\r\n< -L\\c\nout  ⏎\n! err\n? 255\n").unwrap();
    let step = &case.steps[0];
    assert_eq!((step.line, step.typed.as_str(), &step.stdin[..]), (3, "ipvsadm -R", &b"-C\r\n-L"[..]));
    assert_eq!(step.recorded, 5..8);
    let expected =
        Transcript { stdout: vec!["out  ⏎".into()], stderr: vec!["err".into()], status: Status::Exit(255) };
    assert_eq!(step.expected, expected);
    assert_eq!(step.expected.to_source(), ["out  ⏎", "! err", "? 255"]);
}

#[test]
fn a_difference_is_kept_apart() {
    let case = parse("$ ipvsadm -L\n! refused\n? signal 11\nDIFFERENCE no crash\nlisted\n").unwrap();
    let step = &case.steps[0];
    assert_eq!((step.expected.status, step.recorded.clone()), (Status::Signal(11), 1..3));
    let difference = step.difference.as_ref().unwrap();
    assert_eq!((difference.title.as_str(), &difference.expected.stdout[..]), ("no crash", &["listed".to_owned()][..]));
}

#[test]
fn directives_of_a_command_end_with_it() {
    let case = parse("@where connection-table-on-demand\n@issue 7\n@within 20\n$ ipvsadm\n$ ipvsadm\n").unwrap();
    assert_eq!(case.issue, Some(7));
    assert_eq!(case.steps[0].manner.within, Some(Duration::from_secs(20)));
    assert_eq!(case.steps[1].manner, Manner::default());
    assert_eq!(case.behaviors, Behaviors::CONNECTION_TABLE_ON_DEMAND);
}

#[test]
fn a_case_needs_behaviors_by_name() {
    let case = parse("@where signed-upper-threshold connection-table-on-demand\n$ ipvsadm\n").unwrap();
    assert_eq!(case.behaviors, Behaviors::SIGNED_UPPER_THRESHOLD | Behaviors::CONNECTION_TABLE_ON_DEMAND);
    assert!(parse("@where 7.2\n$ ipvsadm\n").is_err());
}

#[test]
fn variables_and_redirections_are_no_arguments() {
    let line = CommandLine::parse("A_B='x y' ipvsadm -w=5 >/dev/full").unwrap();
    assert_eq!(line.env, [("A_B".into(), "x y".into())]);
    assert_eq!(line.argv, ["ipvsadm", "-w=5"]);
    assert_eq!(line.stdout.as_deref(), Some(Path::new("/dev/full")));
}

#[test]
fn faults_name_file_and_line() {
    assert_eq!(problem("# only a title\n"), "sample.case:1: no command in the file");
    assert!(problem("$ ipvsadm\n\nlost\n").starts_with("sample.case:3: output without a command"));
    assert!(problem("$ ipvsadm\nout\n< in\n").starts_with("sample.case:3: output without a command"));
    assert!(problem("@kernal\n").starts_with("sample.case:1: unknown directive `@kernal'"));
    assert!(problem("$ ipvsadm\n? two\n").starts_with("sample.case:2: `two' is no status"));
    assert!(problem("$ ipvsadm\nblank \n").starts_with("sample.case:2: the line ends with a blank"));
    assert!(problem("$ ip link\n").starts_with("sample.case:1: `ip link' needs a real kernel"));
}
