//! The guides' scripts pass, and what the guides show is what the scripts say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn guides() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides")
}

/// What a script says on a kernel, once it has passed.
fn run(name: &str, kernel: &str) -> String {
    let script = guides().join(name).with_extension("sh");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    let output = lab.args(["run", "--kernel", kernel]).arg(script).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{name} on {kernel}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// The transcripts in a guide: the lines between ```console and ```.
fn transcripts(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// Each line of the transcripts is said, in their order; more may be said between.
fn shows(guide: &str, said: &str) {
    let text = fs::read_to_string(guides().join(guide)).unwrap();
    let mut said = said.lines().map(str::trim_end);
    let lines = transcripts(&text);
    assert!(lines.len() > 10, "{guide} has few transcripts: {lines:?}");
    for line in lines {
        assert!(said.any(|other| other == line), "{guide}: its script does not say this, or not here: {line}");
    }
}

fn plays(name: &str) {
    let said = run(name, "6.1");
    shows(&format!("{name}.md"), &said);
    shows(&format!("{name}.zh.md"), &said);
}

#[test]
fn persistence_by_client() {
    plays("pcc");
}

#[test]
fn persistence_by_port() {
    plays("ppc");
}

#[test]
fn persistence_by_mark() {
    plays("pfwm");
}

#[test]
fn an_incident() {
    shows("incident.md", &run("incident", "6.1"));
}

#[test]
fn persistence_by_mark_without_iptables() {
    let said = run("pfwm", "7.2");
    assert!(said.contains("skbedit mark 10"), "{said}");
}

/// A check that fails must make the script fail, or the tests above mean nothing.
#[test]
fn a_script_fails_when_a_check_does() {
    let script = fs::read_to_string(guides().join("pfwm.sh")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Without persistence, where the guide wants it.
    let broken = script.replace("-E -f 10 -s rr -p 600", "-E -f 10 -s rr");
    assert_ne!(broken, script);
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenes");
    let broken = broken.replace("$(dirname \"$0\")/../../tests/lab/scenes", scenes.to_str().unwrap());
    let path = directory.path().join("broken.sh");
    fs::write(&path, broken).unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    let output = lab.args(["run", "--ipvsadm", "--kernel", "6.12"]).arg(path).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("wrong: the visit: "), "{stderr}");
}
