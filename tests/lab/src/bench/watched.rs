//! `cargo lab bench --watched`: what it costs a program that changes all weights of a table that
//! `ipvs-cli monitor` runs, beside an nlmon device whose packets are dropped.

use std::process::ExitCode;

use super::{Bench, Programs, Size, Workload, pc, results::Results};
use crate::{cache::Cache, error::Result, kernel::Kernel};

/// How much more instructions the program may take.
const AT_MOST: f64 = 1.10;

/// Measures, prints, and says whether all was right.
pub(super) fn run(bench: &Bench, cache: &Cache, kernels: &[Kernel], programs: &Programs) -> Result<ExitCode> {
    let usual = vec![Size { services: 10_000, destinations: 10 }];
    let sizes = if bench.size.is_empty() { &usual } else { &bench.size };
    let mut right = true;
    for &kernel in kernels {
        for &size in sizes {
            let workload = Workload { size, rounds: 1, additions: 0, reload: None, growth: false, watched: true };
            let results = pc::measure(cache, kernel, programs, &workload)?;
            right &= results.is_right();
            print!("{}", table(kernel, size, &results));
        }
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(kernel: Kernel, size: Size, results: &Results) -> String {
    let release = results.release(kernel);
    let mut out = format!("\nLinux {release}, {size}, million instructions; of ipvsadm, a tenth of the services\n");
    out += &format!(
        "{:<14}{:>14}{:>14}{:>8}  {:>14}{:>14}\n",
        "", "bare device", "monitor", "ratio", "whole PC", "its monitor"
    );
    for tool in ["ipvs-cli", "ipvsadm"] {
        let figure = |operation: &str| results.median(operation, tool).map(|value| value as f64 / 1e6);
        let figures = ["bare-own", "watched-own", "bare", "watched", "monitor-own"].map(figure);
        let [Some(bare), Some(watched), Some(all_bare), Some(all_watched), Some(monitor)] = figures else { continue };
        let ratio = watched / bare;
        let verdict = if ratio <= AT_MOST { "met" } else { "NOT MET" };
        let all = all_watched / all_bare;
        out += &format!(
            "{tool:<14}{bare:>14.1}{watched:>14.1}{ratio:>8.3}  {all:>14.3}{monitor:>14.1}  at most {AT_MOST} {verdict}\n"
        );
    }
    out + &results.complaint_lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_programs_own_instructions() {
        let lines = "figure bare ipvs-cli 2000000\nfigure bare-own ipvs-cli 1000000\nfigure watched ipvs-cli 4000000\n\
                     figure watched-own ipvs-cli 1050000\nfigure monitor-own ipvs-cli 900000\nend 0";
        let size = Size { services: 10, destinations: 10 };
        let text = table(Kernel::V7_2, size, &Results::read(lines));
        assert!(text.contains("1.050           2.000           0.9  at most 1.1 met"), "{text}");
    }
}
