//! The guest's console: what the kernel says, and the one line in it that says how the job ended.

/// How many bytes of kernel messages are kept for the case that something goes wrong.
const KEPT: usize = 64 * 1024;

/// The line by which process 1 reports the job's exit status. `name` is unique to the guest, so no
/// program in it writes such a line by accident.
pub(crate) fn ending_line(name: &str, report: Report<'_>) -> String {
    match report {
        Report::Exited(status) => format!("\n{name} exited {status}\n"),
        Report::Failed(why) => format!("\n{name} failed {}\n", why.replace('\n', " ")),
    }
}

/// What process 1 has to say at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report<'a> {
    /// The job ran and ended so.
    Exited(u8),
    /// Process 1 could not start it.
    Failed(&'a str),
}

/// The end of what came over the console.
#[derive(Debug, Default)]
pub(crate) struct Log {
    text: Vec<u8>,
}

impl Log {
    /// Adds output; forgets the oldest beyond a limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        if self.text.len() > 2 * KEPT {
            self.text.drain(..self.text.len() - KEPT);
        }
    }

    /// The log as text, line ends as on the host.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).replace('\r', "")
    }
}

/// Finds the report in the console's text.
pub(crate) fn find_report<'a>(name: &str, log: &'a str) -> Option<Report<'a>> {
    log.lines().rev().find_map(|line| {
        let (kind, rest) = line.strip_prefix(name)?.strip_prefix(' ')?.split_once(' ')?;
        match kind {
            "exited" => Some(Report::Exited(rest.parse().ok()?)),
            "failed" => Some(Report::Failed(rest)),
            _ => None,
        }
    })
}

/// Why a kernel died, in its own words: the line of its panic, or else the last that it said.
pub(crate) fn last_words(log: &str) -> &str {
    const PANIC: &str = "Kernel panic";
    let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next().unwrap_or("it said nothing");
    log.lines().find_map(|line| line.find(PANIC).map(|at| line[at..].trim())).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_found_among_kernel_messages() {
        let log =
            format!("[ 1.0] IPVS: ipvs loaded.{}[ 2.0] reboot: Power down\n", ending_line("g1", Report::Exited(3)));
        assert_eq!(find_report("g1", &log), Some(Report::Exited(3)));
        assert_eq!(find_report("g2", &log), None);
    }

    #[test]
    fn a_report_of_failure_stays_one_line() {
        let log = ending_line("g1", Report::Failed("cannot mount /run:\nno"));
        assert_eq!(find_report("g1", &log), Some(Report::Failed("cannot mount /run: no")));
    }

    #[test]
    fn a_guest_that_died_reported_nothing() {
        assert_eq!(find_report("g1", "Kernel panic - not syncing: sysrq triggered crash\n"), None);
    }

    #[test]
    fn the_last_words_are_those_of_the_panic() {
        let panic = "[ 9.1] IPVS: ipvs loaded.\n[ 9.2] Kernel panic - not syncing: Oops\n[ 9.2] RIP: 0033\n\n";
        assert_eq!(last_words(panic), "Kernel panic - not syncing: Oops");
        assert_eq!(last_words("Core dump limits :\n\tsoft - 0\n\n"), "soft - 0");
        assert_eq!(last_words(""), "it said nothing");
    }

    #[test]
    fn the_log_keeps_its_end() {
        let mut log = Log::default();
        for n in 0..100_000 {
            log.push(format!("line {n}\n").as_bytes());
        }
        assert!(log.text().len() <= 2 * KEPT && log.text().ends_with("line 99999\n"));
    }
}
