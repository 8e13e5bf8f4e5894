//! What the pages of docs/ and the README show is what the commands print.
//! `tests/lab/scenes/pages.sh` plays the commands on a site in a guest. Guides have scripts of
//! their own: `guides.rs`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Pages whose transcripts need keepalived, ldirectord or much traffic.
const NOT_PLAYED: [&str; 3] = ["from-keepalived.md", "from-ldirectord.md", "json.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Commands and what they printed, each time they were played.
type Played = HashMap<String, Vec<Vec<String>>>;

/// A command begins with one of these prompts.
fn collect(text: &str, prompts: &[&str], played: &mut Played) {
    let mut output: Option<&mut Vec<String>> = None;
    for line in text.lines() {
        if let Some(command) = prompts.iter().find_map(|prompt| line.strip_prefix(prompt)) {
            let outputs = played.entry(command.to_owned()).or_default();
            outputs.push(Vec::new());
            output = outputs.last_mut();
        } else if let Some(output) = &mut output {
            output.push(line.trim_end().to_owned());
        }
    }
}

fn play() -> Played {
    let script = root().join("tests/lab/scenes/pages.sh");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    let output = lab.args(["run", "--kernel", "6.12"]).arg(script).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{}\n{stdout}{stderr}", output.status);
    let mut played = Played::new();
    collect(&stdout, &["> "], &mut played);
    // The scene of this picture is played by scenes.rs.
    let picture = fs::read_to_string(root().join("docs/pictures/doctor.svg")).unwrap();
    let text = picture.split_once("<desc>").unwrap().1.split_once("</desc>").unwrap().0;
    collect(text, &["[root@Director ~]# ", "[root@Rs1 ~]# "], &mut played);
    played
}

/// The transcripts of a page: each command with the lines below it.
fn transcripts(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut transcripts: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut indentation = None;
    for line in text.lines() {
        let (start, rest) = line.split_at(line.len() - line.trim_start().len());
        match (rest, indentation) {
            ("```console", None) => {
                indentation = Some(start);
                transcripts.push(("", Vec::new()));
            }
            ("```", Some(_)) => indentation = None,
            (_, Some(start)) => {
                let line = line.strip_prefix(start).unwrap_or(line);
                match line.strip_prefix("# ").or(line.strip_prefix("$ ")) {
                    Some(command) => transcripts.push((command, Vec::new())),
                    None => transcripts.last_mut().unwrap().1.push(line.trim_end()),
                }
            }
            _ => {}
        }
    }
    transcripts
}

/// Connections, counters and times differ from one run to the next.
fn comparable(command: &str, line: &str) -> String {
    let counts = ["ipvs-cli show", "ipvs-cli conns", "ipvs-cli watch"].iter().any(|start| command.starts_with(start));
    if !counts && !line.contains("not drained in time") {
        return line.to_owned();
    }
    let words = line.split_whitespace().map(|word| {
        let pieces = word.split(|letter: char| letter.is_ascii_digit()).filter(|piece| !piece.is_empty());
        pieces.collect::<Vec<_>>().join("0")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether each line was printed, in this order. `conns` has the order of the kernel's table.
fn printed(command: &str, lines: &[&str], output: &[String]) -> bool {
    let mut output: Vec<String> = output.iter().map(|line| comparable(command, line)).collect();
    let mut lines: Vec<String> = lines.iter().map(|line| comparable(command, line)).collect();
    if command.starts_with("ipvs-cli conns") {
        output.sort_unstable();
        lines.sort_unstable();
    }
    let mut output = output.iter();
    lines.iter().all(|line| output.any(|other| other == line))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    docs.filter(|path| !NOT_PLAYED.iter().any(|name| path.ends_with(name))).chain([root().join("README.md")]).collect()
}

#[test]
fn transcripts_are_what_commands_print() {
    let played = play();
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (command, lines) in transcripts(&text) {
            let is_of_this_project = command.contains("ipvs-cli") || command.starts_with("ipvsadm");
            if lines.is_empty() || !is_of_this_project || command.starts_with("journalctl") {
                continue;
            }
            count += 1;
            let outputs = played.get(command).map(Vec::as_slice).unwrap_or_default();
            if !outputs.iter().any(|output| printed(command, &lines, output)) {
                let name = page.file_name().unwrap().display();
                wrong.push(format!("{name}: {command}\n  shown: {lines:#?}\n  printed: {outputs:#?}"));
            }
        }
    }
    assert!(count > 40, "only {count} transcripts are found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_transcript_is_found() {
    let page = "text\n```console\n# ipvs-cli apply x\n1 service added\n$ ipvs-cli conns --count\n3\n```\n# heading\n";
    let found = transcripts(page);
    assert_eq!(found[1..], [("ipvs-cli apply x", vec!["1 service added"]), ("ipvs-cli conns --count", vec!["3"])]);
    let mut played = Played::new();
    collect("> ipvs-cli apply x\n1 service added\n2 more\n> ipvs-cli conns\na 1\n", &["> "], &mut played);
    let [output] = &played["ipvs-cli apply x"][..] else { panic!("{played:?}") };
    assert!(printed("ipvs-cli apply x", &["1 service added"], output));
    assert!(!printed("ipvs-cli apply x", &["2 services added"], output));
    assert!(!printed("ipvs-cli apply x", &["2 more", "1 service added"], output));
    assert!(printed("ipvs-cli conns", &["a 2"], &played["ipvs-cli conns"][0]));
    assert!(!printed("ipvs-cli conns", &["b 1"], &played["ipvs-cli conns"][0]));
}
