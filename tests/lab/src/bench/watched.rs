//! `cargo lab bench --watched`: what it costs a program that restores a table and changes all its
//! weights that `ipvs-cli monitor` runs, beside an nlmon device whose packets are dropped; and how
//! soon `ipvs-follow` undoes a deletion.
//!
//! What an addition costs depends on what was added before. So the two are measured on two PCs, and
//! each round of the one is compared with the same round of the other.

use std::{process::ExitCode, thread};

use super::{Bench, Programs, Size, Watcher, Workload, join, pc, results::Results};
use crate::{cache::Cache, error::Result, kernel::Kernel};

/// How much more instructions the program may take.
const AT_MOST: f64 = 1.10;

/// Measures, prints, and says whether all was right.
pub(super) fn run(bench: &Bench, cache: &Cache, kernels: &[Kernel], programs: &Programs) -> Result<ExitCode> {
    let usual = vec![Size { services: 10_000, destinations: 10 }];
    let sizes = if bench.size.is_empty() { &usual } else { &bench.size };
    let rounds = if bench.quick { 1 } else { 3 };
    let mut right = true;
    for &kernel in kernels {
        for &size in sizes {
            let measure = |watcher| {
                let watched = Some(watcher);
                let workload = Workload { size, rounds, additions: 0, reload: None, growth: false, watched };
                pc::measure(cache, kernel, programs, &workload)
            };
            let [bare, watched] = thread::scope(|scope| {
                [Watcher::Bare, Watcher::Monitor].map(|watcher| scope.spawn(move || measure(watcher))).map(join)
            });
            let (bare, watched) = (bare?, watched?);
            right &= bare.is_right() && watched.is_right();
            print!("{}", table(kernel, size, &bare, &watched));
        }
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(kernel: Kernel, size: Size, bare: &Results, watched: &Results) -> String {
    let million = |value: u64| value as f64 / 1e6;
    let mut out = format!(
        "\nLinux {}, {size}, million instructions; of ipvsadm, a tenth of the services\n{:<24}{:>14}{:>14}{:>8}  {:<16}{:>10}\n",
        bare.release(kernel),
        "",
        "bare device",
        "monitor",
        "ratio",
        "least to most",
        "whole PC",
    );
    for tool in ["ipvs-cli", "ipvsadm"] {
        for (operation, words) in [("restore", "-R, the table"), ("edit", "-R, all weights")] {
            let own = format!("{operation}-own");
            let (Some(before), Some(after)) = (bare.median(&own, tool), watched.median(&own, tool)) else { continue };
            let (of_program, of_all) = (ratios(bare, watched, &own, tool), ratios(bare, watched, operation, tool));
            let [Some(ratio), Some(all)] = [&of_program, &of_all].map(|ratios| middle(ratios)) else { continue };
            let verdict = if ratio <= AT_MOST { "met" } else { "NOT MET" };
            let spread = format!("{:.3} to {:.3}", of_program[0], of_program[of_program.len() - 1]);
            out += &format!(
                "{:<24}{:>14.1}{:>14.1}{ratio:>8.3}  {spread:<16}{all:>10.3}  at most {AT_MOST} {verdict}\n",
                format!("{tool} {words}"),
                million(before),
                million(after),
            );
        }
        if let Some(monitor) = watched.median("monitor-own", tool) {
            out += &format!("the monitor, of {tool}: {:.1}\n", million(monitor));
        }
    }
    let reaction = |operation| watched.median(operation, "ipvs-follow").map(million);
    if let (Some(one), Some(all)) = (reaction("reaction-one"), reaction("reaction")) {
        let Size { services, destinations } = size;
        out += &format!(
            "ipvs-follow, from a deletion until it is undone, pauses included: {one:.1} with 1x{destinations}, {all:.1} with \
             {services}x{destinations}\n"
        );
    }
    out + &bare.complaint_lines() + &watched.complaint_lines()
}

/// Of each round, in ascending order.
fn ratios(bare: &Results, watched: &Results, operation: &str, tool: &str) -> Vec<f64> {
    let rounds = bare.all(operation, tool).iter().zip(watched.all(operation, tool));
    let mut ratios: Vec<f64> = rounds.map(|(bare, watched)| *watched as f64 / *bare as f64).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn middle(ratios: &[f64]) -> Option<f64> {
    ratios.get(ratios.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_is_compared_with_the_same_of_the_other_pc() {
        let lines = |rounds: [u32; 3]| {
            let figures =
                rounds.map(|own| format!("figure restore ipvs-cli {}\nfigure restore-own ipvs-cli {own}\n", 2 * own));
            Results::read(
                &(figures.concat() + "figure reaction-one ipvs-follow 2000000\nfigure reaction ipvs-follow 300\nend 0"),
            )
        };
        let size = Size { services: 10, destinations: 10 };
        let text = table(
            Kernel::V7_2,
            size,
            &lines([1_000_000, 2_000_000, 3_000_000]),
            &lines([1_050_000, 2_040_000, 3_600_000]),
        );
        assert!(text.contains("2.0           2.0   1.050  1.020 to 1.200       1.050  at most 1.1 met\n"), "{text}");
        assert!(text.contains("pauses included: 2.0 with 1x10, 0.0 with 10x10\n"), "{text}");
    }
}
