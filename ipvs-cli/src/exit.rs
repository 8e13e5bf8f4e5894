//! Exit statuses.

/// The exit status of a run.
///
/// Each fault has the same status in all subcommands, with one exception: in `diff`, `doctor` and
/// `mark`, where 1 means that something was found, [`Exit::Trouble`] stands for [`Exit::No`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing to do, nothing differs, or nothing was found.
    Success,
    /// Something differs or was found, a file is wrong, or a change was not made and the director
    /// is as it was.
    ///
    /// ipvsadm: something can't be read.
    No,
    /// Not tried: wrong usage, no IPVS, no right to it, a failed reading, or an output that can't
    /// be written.
    Trouble,
    /// The change is half made, or the state of the director is unknown.
    Between,
    /// A signal ended it.
    Signal(i32),
    /// ipvsadm: the kernel refused the change, or an option has a wrong value.
    Refused,
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => 0,
            Exit::No => 1,
            Exit::Trouble => 2,
            Exit::Between => 3,
            Exit::Signal(signal) => 128 + u8::try_from(signal).unwrap_or(0),
            Exit::Refused => 255,
        }
    }
}
