//! What the host sends to the guest's process 1.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// Variable of the kernel's command line, and so of process 1's environment, that names the job's
/// directory.
pub(crate) const JOB_VARIABLE: &str = "IPVS_LAB_JOB";
/// The description's name in that directory.
const FILE: &str = "job.json";

/// One program to run in a guest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// The whole environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where it starts.
    pub(crate) directory: PathBuf,
    /// The directory that becomes its root directory, read-only.
    pub(crate) root: PathBuf,
    /// Paths of the host that it sees, too, read-only. None is inside another.
    pub(crate) keep: Vec<PathBuf>,
    /// A directory of the host that the job may write to.
    pub(crate) writable: Option<PathBuf>,
    /// The program the kernel calls to load modules.
    pub(crate) modprobe: PathBuf,
    /// Modules that are loaded before it starts.
    pub(crate) modules: Vec<String>,
    /// How the program's standard streams are laid.
    pub(crate) streams: Streams,
}

/// The job's standard streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// stdout and stderr go apart, stdin is empty.
    #[default]
    Apart,
    /// Both go to stdout, in the order in which they are written; stdin is empty.
    Merged,
    /// A file as stdin; stdout and stderr go apart.
    Input(PathBuf),
    /// All are one terminal of this size (columns, rows).
    Terminal(u16, u16),
}

impl Job {
    /// Writes the description into the job's directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|source| Error::Json { what: "the job", source })?;
        fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    /// Reads it again, in the guest.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let text = fs::read(&path).context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).map_err(|source| Error::Json { what: "the job", source })
    }
}
