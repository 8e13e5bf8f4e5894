//! How a call ends.

/// The exit status of a call.
///
/// A fault has one, whichever subcommand meets it. Only where 1 says that something was found, in `diff`, `doctor` and `mark`, what would
/// be [`Exit::No`] of another subcommand is [`Exit::Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing to do, nothing differs, or nothing was found.
    Success,
    /// The answer is no: something differs or was found, a file is wrong, or a change was not made, and the director is as it was.
    ///
    /// Of ipvsadm: something can't be read.
    No,
    /// It could not be tried: wrong usage, no IPVS, no right to it, a director that can't be read, or an output that can't be written.
    Trouble,
    /// The director is between two states, or its state is not known.
    Between,
    /// This signal ended it.
    Signal(i32),
    /// Of ipvsadm: the kernel refused the change, or an option can't be understood.
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
