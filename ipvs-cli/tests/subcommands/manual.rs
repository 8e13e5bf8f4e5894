//! `man` and `completions`.

use std::fs;

use ipvs_cli::completions::{Program, Shell, script};

use crate::director::{Director, done};

#[test]
fn completions_are_those_that_the_package_has() {
    let mut director = Director::new();
    let all = ipvs_cli::subcommands::command();
    for (line, shell, program) in [
        ("bash", Shell::Bash, Program::IpvsCli),
        ("zsh --program ipvsadm", Shell::Zsh, Program::Ipvsadm),
        ("fish --program ipvsadm-save", Shell::Fish, Program::IpvsadmSave),
    ] {
        let printed = director.run(&format!("ipvs-cli completions {line}"));
        assert_eq!(printed, done(0, &script(shell, program, &all), ""), "{line}");
        assert!(printed.stdout.contains(program.name()), "{line}");
    }
    assert!(director.run("ipvs-cli completions bash").stdout.contains("completions"), "it completes itself");
    assert_eq!(director.run("ipvs-cli completions tcsh").status, 2);
}

#[test]
fn man_writes_its_pages_and_replaces_no_page_of_another_program() {
    let mut director = Director::new();
    let directory = director.state_directory();
    fs::create_dir(&directory).unwrap();
    let line = format!("ipvs-cli man {}", directory.display());
    let names = ["ipvsadm", "ipvsadm-save", "ipvsadm-restore", "ipvs-cli"];
    let paths = names.map(|name| directory.join(format!("{name}.8")));
    let listed: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    assert_eq!(director.run(&line), done(0, &listed, ""));
    for (path, name) in paths.iter().zip(names) {
        let page = fs::read_to_string(path).unwrap();
        assert!(
            page.contains(&format!(".TH {} 8 \"\" \"ipvs-cli ", name.to_uppercase().replace('-', "\\-"))),
            "{page}"
        );
        // As after an update of the program.
        fs::write(path, page.lines().next().unwrap()).unwrap();
    }
    assert_eq!(director.run(&line), done(0, &listed, ""));
    assert!(fs::read_to_string(&paths[3]).unwrap().contains(".SS apply\n"));
    // All are looked at before the first is written.
    let older = fs::read_to_string(&paths[0]).unwrap().replace("IPVSADM", "OLDER");
    fs::write(&paths[0], &older).unwrap();
    fs::write(&paths[2], ".TH IPVSADM-RESTORE 8\n").unwrap();
    let refused = director.run(&line);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("it was not written by ipvs-cli; nothing was written"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&paths[0]).unwrap(), older);
    let missing = director.run("ipvs-cli man /no/such/directory");
    assert!(missing.status == 1 && missing.stderr.contains("/no/such/directory"), "{missing:?}");
}
