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

/// The distributions that a tree is for: where they have their settings, and how a file gets a
/// second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Debian and its relatives.
    Debian,
    /// Red Hat's, Fedora and their relatives.
    RedHat,
    /// Any other. Settings are where Debian has them.
    Other,
}

type Files<const N: usize> = [(&'static str, &'static str, Mode); N];

/// Files that are shipped as they stand.
const FILES: Files<5> = [
    ("usr/lib/systemd/system/ipvs-cli.service", include_str!("../common/ipvs-cli.service"), Mode::Data),
    ("usr/lib/systemd/system/ipvs-follow@.service", include_str!("../common/ipvs-follow@.service"), Mode::Data),
    ("usr/lib/systemd/system/ipvs-metrics.service", include_str!("../common/ipvs-metrics.service"), Mode::Data),
    ("usr/libexec/ipvs-cli/rules", include_str!("../common/rules"), Mode::Program),
    ("usr/share/doc/ipvs-cli/examples/ipvs-cli.openrc", include_str!("../common/openrc"), Mode::Data),
];
const SETTINGS: Files<2> = [
    ("etc/default/ipvs-cli", include_str!("../debian/default"), Mode::Data),
    ("usr/libexec/ipvs-cli/settings", include_str!("../debian/settings"), Mode::Data),
];
const OF_DEBIAN: Files<3> = [
    ("usr/libexec/ipvs-cli/alternatives", include_str!("../debian/alternatives"), Mode::Program),
    ("usr/share/doc/ipvs-cli/copyright", include_str!("../debian/copyright"), Mode::Data),
    ("usr/share/lintian/overrides/ipvs-cli", include_str!("../debian/lintian-overrides"), Mode::Data),
];
const OF_RED_HAT: Files<5> = [
    ("etc/sysconfig/ipvs-cli", include_str!("../redhat/sysconfig"), Mode::Data),
    ("usr/libexec/ipvs-cli/settings", include_str!("../redhat/settings"), Mode::Data),
    ("usr/libexec/ipvs-cli/alternatives", include_str!("../redhat/alternatives"), Mode::Program),
    ("usr/share/licenses/ipvs-cli/LICENSE-APACHE", include_str!("../../LICENSE-APACHE"), Mode::Data),
    ("usr/share/licenses/ipvs-cli/LICENSE-MIT", include_str!("../../LICENSE-MIT"), Mode::Data),
];
const OF_OTHERS: Files<2> = [
    ("usr/share/doc/ipvs-cli/LICENSE-APACHE", include_str!("../../LICENSE-APACHE"), Mode::Data),
    ("usr/share/doc/ipvs-cli/LICENSE-MIT", include_str!("../../LICENSE-MIT"), Mode::Data),
];

/// What belongs to the metrics, from `docs/metrics`.
const EXAMPLES: [&str; 3] = ["alerts.yaml", "grafana.json", "prometheus.yaml"];

/// Puts all of it into a tree.
pub(crate) fn put(
    package: &Package,
    family: Family,
    programs: &[PathBuf],
    workspace: &Path,
    tree: &Tree,
) -> Result<()> {
    for (name, program) in PROGRAMS.iter().zip(programs) {
        let binary = fs::read(program).context(|| format!("read {}", program.display()))?;
        tree.file(&format!("usr/sbin/{name}"), binary, Mode::Program)?;
    }
    // What the alternatives lead to: argv[0] selects what the program is.
    for name in NAMES {
        tree.link(&format!("usr/libexec/{NAME}/{name}"), &format!("../../sbin/{NAME}"))?;
    }
    let of_family = match family {
        Family::Debian => [&SETTINGS[..], &OF_DEBIAN],
        Family::RedHat => [&OF_RED_HAT[..], &[]],
        Family::Other => [&SETTINGS[..], &OF_OTHERS],
    };
    for (path, text, mode) in FILES.iter().chain(of_family.concat().iter()) {
        tree.file(path, family.places(text), *mode)?;
    }
    put_documentation(package, family, workspace, tree)?;
    put_completions(family, tree)
}

impl Family {
    /// A text about Debian's places, with those of this family.
    fn places(self, text: &str) -> String {
        match self {
            Self::RedHat => text.replace("/etc/default/", "/etc/sysconfig/"),
            Self::Debian | Self::Other => text.to_owned(),
        }
    }
}

/// Each where its shell looks for it.
fn put_completions(family: Family, tree: &Tree) -> Result<()> {
    let zsh = if family == Family::Debian { "vendor-completions" } else { "site-functions" };
    for program in [Program::IpvsCli, Program::Ipvsadm, Program::IpvsadmSave] {
        let name = program.name();
        for (shell, path) in [
            (Shell::Bash, format!("usr/share/bash-completion/completions/{name}")),
            (Shell::Fish, format!("usr/share/fish/vendor_completions.d/{name}.fish")),
            (Shell::Zsh, format!("usr/share/zsh/{zsh}/_{name}")),
        ] {
            tree.file(&path, completions::script(shell, program, &subcommands::command()), Mode::Data)?;
        }
    }
    Ok(())
}

fn put_documentation(package: &Package, family: Family, workspace: &Path, tree: &Tree) -> Result<()> {
    let date = package.date.for_manual();
    for page in ipvs_cli::manual::pages(&date, &subcommands::command(), |roff| manual::sections(family, roff)) {
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
    if family == Family::Debian {
        tree.compressed(&format!("{doc}/changelog.Debian.gz"), &package.changelog())?;
    }
    Ok(())
}
