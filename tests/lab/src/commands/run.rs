//! `cargo lab run`: a bash script as root in a guest.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use crate::{
    cli::GuestOptions,
    error::{Context, Result},
    guest::{Streams, input_file},
    stage::{Limits, Stage, Tool, conclude},
    workspace::Workspace,
};

/// Arguments of `cargo lab run`.
#[derive(Debug, Args)]
#[command(after_help = "\
The script's output and exit status become the lab's own. 124: the deadline passed; 125: the lab failed.
In the guest: $IPVSADM is the real ipvsadm, $IPVS_CLI is ipvs_cli, $LAB_KERNEL is the kernel's series.")]
pub(crate) struct Run {
    #[command(flatten)]
    guest: GuestOptions,
    /// End the guest after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// Put the real ipvsadm into the PATH in place of `ipvs-cli`
    #[arg(long)]
    ipvsadm: bool,
    /// Bring along Debian's programs that call ipvsadm: $LAB_PROGRAMS is a root directory with them
    #[arg(long)]
    programs: bool,
    /// Bring along a small Debian to install packages in: $LAB_DEBIAN is a root directory,
    /// read-only
    #[arg(long)]
    debian: bool,
    /// The script, `-` for stdin
    script: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Run {
    /// Runs it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        self.guest.fetch()?;
        let mut stage = Stage::new(&self.guest, &self.tool()?)?;
        if self.programs {
            stage.bring_programs()?;
        }
        if self.debian {
            stage.bring_debian()?;
        }
        let script = self.script(stage.directory())?;
        let here = std::env::current_dir().context(|| "find the current directory".into())?;
        let mentioned = self.arguments.iter().map(|argument| here.join(argument)).filter(|path| path.exists());
        for path in mentioned.chain([script.clone(), parent(&script), here.clone()]) {
            stage.keep(&path);
        }
        let mut command = vec!["bash".to_owned(), script.display().to_string()];
        command.extend(self.arguments);
        let limits = Limits::through(Duration::from_secs(self.timeout));
        let ending = stage.run(command, &here, streams(), &limits)?;
        Ok(conclude(stage.kernel(), ending))
    }

    fn tool(&self) -> Result<Tool> {
        Ok(if self.ipvsadm { Tool::Ipvsadm } else { Tool::IpvsCli(Workspace::find()?.build_ipvs_cli()?) })
    }

    /// The script's whole path; one from stdin becomes a file.
    fn script(&self, directory: &Path) -> Result<PathBuf> {
        if self.script != Path::new("-") {
            return self.script.canonicalize().context(|| format!("read {}", self.script.display()));
        }
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text).context(|| "read the script from stdin".into())?;
        input_file(directory, &text)
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// When our stdout and stderr are one (a terminal, `2>&1`), the script's are one as well: their
/// order is kept.
pub(crate) fn streams() -> Streams {
    let [out, err] = [rustix::fs::fstat(rustix::stdio::stdout()), rustix::fs::fstat(rustix::stdio::stderr())];
    match (out, err) {
        (Ok(out), Ok(err)) if (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino) => Streams::Merged,
        _ => Streams::Apart,
    }
}
