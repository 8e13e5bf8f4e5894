//! What is in the package, file by file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ipvs_cli::completions::{self, Program, Shell};
use ipvs_cli::subcommands;

use crate::{
    build::PROGRAMS,
    control::{NAME, Package},
    error::{Context, Result},
    manual,
    tree::{Mode, Tree},
};

/// The names by which the program is known besides its own.
pub(crate) const NAMES: [&str; 3] = ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"];

/// The second program, in a line.
const FOLLOW: &str = "keeps an IPVS director as a file or directory says";

/// Files that are shipped as they stand.
const FILES: [(&str, &str, Mode); 8] = [
    ("etc/default/ipvs-cli", include_str!("../debian/default"), Mode::Data),
    ("usr/lib/systemd/system/ipvs-cli.service", include_str!("../debian/ipvs-cli.service"), Mode::Data),
    ("usr/lib/systemd/system/ipvs-follow@.service", include_str!("../debian/ipvs-follow@.service"), Mode::Data),
    ("usr/lib/systemd/system/ipvs-metrics.service", include_str!("../debian/ipvs-metrics.service"), Mode::Data),
    ("usr/libexec/ipvs-cli/alternatives", include_str!("../debian/alternatives"), Mode::Program),
    ("usr/libexec/ipvs-cli/rules", include_str!("../debian/rules"), Mode::Program),
    ("usr/share/doc/ipvs-cli/copyright", include_str!("../debian/copyright"), Mode::Data),
    ("usr/share/lintian/overrides/ipvs-cli", include_str!("../debian/lintian-overrides"), Mode::Data),
];

/// What belongs to the metrics, from `docs/metrics`.
const EXAMPLES: [&str; 3] = ["alerts.yaml", "grafana.json", "prometheus.yaml"];

/// Puts all of it into a tree.
pub(crate) fn put(package: &Package, programs: &[PathBuf], workspace: &Path, tree: &Tree) -> Result<()> {
    for (name, program) in PROGRAMS.iter().zip(programs) {
        let binary = fs::read(program).context(|| format!("read {}", program.display()))?;
        tree.file(&format!("usr/sbin/{name}"), binary, Mode::Program)?;
    }
    // What the alternatives lead to: argv[0] selects what the program is.
    for name in NAMES {
        tree.link(&format!("usr/libexec/{NAME}/{name}"), &format!("../../sbin/{NAME}"))?;
    }
    FILES.iter().try_for_each(|(path, text, mode)| tree.file(path, text, *mode))?;
    put_documentation(package, workspace, tree)?;
    put_completions(tree)
}

/// Each where its shell looks for it.
fn put_completions(tree: &Tree) -> Result<()> {
    for program in [Program::IpvsCli, Program::Ipvsadm, Program::IpvsadmSave] {
        let name = program.name();
        for (shell, path) in [
            (Shell::Bash, format!("usr/share/bash-completion/completions/{name}")),
            (Shell::Fish, format!("usr/share/fish/vendor_completions.d/{name}.fish")),
            (Shell::Zsh, format!("usr/share/zsh/vendor-completions/_{name}")),
        ] {
            tree.file(&path, completions::script(shell, program, &subcommands::command()), Mode::Data)?;
        }
    }
    Ok(())
}

fn put_documentation(package: &Package, workspace: &Path, tree: &Tree) -> Result<()> {
    let date = package.date.for_manual();
    for page in ipvs_cli::manual::pages(&date, &subcommands::command(), manual::sections) {
        // Debian's ipvsadm has pages of these names: update-alternatives gives ipvs-cli's pages
        // those names.
        let own = if page.name == NAME { String::new() } else { format!(".{NAME}") };
        tree.compressed(&format!("usr/share/man/man8/{}{own}.8.gz", page.name), &page.text)?;
    }
    let follow = ipvs_follow::command();
    let page = ipvs_cli::manual::page_of("ipvs-follow", FOLLOW, &date, &follow, "ipvs-cli(8), ipvsadm(8)");
    tree.compressed("usr/share/man/man8/ipvs-follow.8.gz", &page.text)?;
    let doc = format!("usr/share/doc/{NAME}");
    let path = workspace.join("CHANGELOG.md");
    let changes = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    tree.compressed(&format!("{doc}/changelog.gz"), &changes)?;
    for name in EXAMPLES {
        let path = workspace.join("docs/metrics").join(name);
        let text = fs::read(&path).context(|| format!("read {}", path.display()))?;
        tree.file(&format!("{doc}/examples/{name}"), text, Mode::Data)?;
    }
    tree.compressed(&format!("{doc}/changelog.Debian.gz"), &package.changelog())
}
