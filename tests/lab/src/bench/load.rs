//! `cargo lab bench --load`: `ipvs-cli conns --load` of a large table, in user-mode Linux. The
//! entries are compared one by one afterwards, and once every tenth packet is dropped.

use std::process::ExitCode;

use super::{Bench, Programs, results::Results, uml};
use crate::{error::Result, kernel::Kernel};

/// Measures, prints, and says whether all was right.
pub(super) fn run(bench: &Bench, entries: u32, kernels: &[Kernel], programs: &Programs) -> Result<ExitCode> {
    let usual = [Kernel::V7_2];
    let mut right = true;
    for &kernel in if bench.kernel.is_empty() { &usual[..] } else { kernels } {
        let results = uml::load(kernel, programs, entries)?;
        right &= results.is_right();
        print!("{}", table(kernel, entries, &results));
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(kernel: Kernel, entries: u32, results: &Results) -> String {
    let release = results.release(kernel);
    let mut out = format!("\nLinux {release}, {entries} entries\n");
    out += &format!(
        "{:<12}{:>10}{:>12}{:>16}{:>14}{:>10}{:>8}\n",
        "", "all, s", "sending, s", "entries/s", "a reading, s", "peak MB", "lost"
    );
    for name in ["load", "load-lossy"] {
        let figure = |of: &str| results.median(&format!("{name}{of}"), "ipvs-cli");
        let seconds = |of: &str| figure(of).map(|nanoseconds| nanoseconds as f64 / 1e9);
        let lost = if name == "load" { Some(0) } else { results.median("load-lost", "ipvs-cli") };
        let figures = (seconds(""), seconds("-sending"), seconds("-reading"), figure("-memory"), lost);
        let (Some(all), Some(sending), Some(reading), Some(kilobytes), Some(lost)) = figures else { continue };
        let (rate, megabytes) = (f64::from(entries) / sending, kilobytes as f64 / 1024.0);
        out += &format!("{name:<12}{all:>10.1}{sending:>12.1}{rate:>16.0}{reading:>14.1}{megabytes:>10.1}{lost:>8}\n");
    }
    out + &results.complaint_lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_sending() {
        let lines = "figure load ipvs-cli 9000000000\nfigure load-sending ipvs-cli 2000000000\n\
                     figure load-reading ipvs-cli 500000000\nkilobytes load-memory ipvs-cli 40960\nend 0";
        let text = table(Kernel::V7_2, 100_000, &Results::read(lines));
        let row = text.lines().find(|line| line.starts_with("load ")).unwrap();
        let figures: Vec<_> = row.split_ascii_whitespace().collect();
        assert_eq!(figures, ["load", "9.0", "2.0", "50000", "0.5", "40.0", "0"]);
    }
}
