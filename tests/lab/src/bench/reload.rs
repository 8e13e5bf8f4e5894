//! `cargo lab bench --reload`: what it costs to bring a director from one table to another, and to
//! read all that it counts.

use std::{fmt::Write, process::ExitCode};

use super::{Bench, Programs, Reload, Section, Size, Workload, pc, report::Clock, results::Results, uml};
use crate::{cache::Cache, error::Result, kernel::Kernel};

/// A figure, and the one that it is to be compared with.
struct Row {
    /// The name for programs.
    name: &'static str,
    title: &'static str,
    ipvs_cli: &'static str,
    /// Operation and tool.
    other: (&'static str, &'static str),
    other_title: &'static str,
    /// The part of the other's cost that `ipvs-cli` may take, by this clock.
    at_most: Option<(Clock, f64)>,
}

const ROWS: [Row; 10] = [
    Row {
        name: "fill",
        title: "apply, to an empty director",
        ipvs_cli: "fill",
        other: ("fill", "ipvsadm"),
        other_title: "ipvsadm -R",
        at_most: Some((Clock::Instructions, 0.22)),
    },
    Row {
        name: "apply-same",
        title: "apply, nothing to change",
        ipvs_cli: "apply-same",
        other: ("read", "ipvs-cli"),
        other_title: "our -S -n",
        at_most: Some((Clock::Instructions, 1.3)),
    },
    Row {
        name: "apply-other-words",
        title: "the same, said otherwise",
        ipvs_cli: "apply-other-words",
        other: ("read", "ipvs-cli"),
        other_title: "our -S -n",
        at_most: None,
    },
    Row {
        name: "apply-one",
        title: "apply, one weight changed",
        ipvs_cli: "apply-one",
        other: ("read", "ipvs-cli"),
        other_title: "our -S -n",
        at_most: None,
    },
    Row {
        name: "reconcile-one",
        title: "library: reconcile one service",
        ipvs_cli: "reconcile-one",
        other: ("reconcile-whole", "ipvs-cli"),
        other_title: "reading all",
        at_most: Some((Clock::Instructions, 0.002)),
    },
    Row {
        name: "reload",
        title: "apply, 100 weights changed",
        ipvs_cli: "reload",
        other: ("reload", "ipvsadm"),
        other_title: "ipvsadm -C, -R",
        at_most: Some((Clock::Wall, 0.01)),
    },
    Row {
        name: "read-all",
        title: "-L -n --stats",
        ipvs_cli: "read-all",
        other: ("read-all", "ipvsadm"),
        other_title: "ipvsadm's",
        at_most: None,
    },
    Row {
        name: "metrics",
        title: "metrics --destinations",
        ipvs_cli: "metrics",
        other: ("read-all", "ipvsadm"),
        other_title: "its -L -n --stats",
        at_most: None,
    },
    Row {
        name: "scrape",
        title: "the same again, by --listen",
        ipvs_cli: "scrape",
        other: ("metrics", "ipvs-cli"),
        other_title: "metrics, once",
        at_most: Some((Clock::Instructions, 0.52)),
    },
    Row {
        name: "count",
        title: "library: counters, again",
        ipvs_cli: "count",
        other: ("count-first", "ipvs-cli"),
        other_title: "the first time",
        at_most: Some((Clock::Instructions, 0.11)),
    },
];

/// How much memory `ipvs-cli` may have in use, in kilobytes.
const MEMORY: u64 = 100_000;

/// Measures, prints, and says whether all was right.
pub(super) fn run(bench: &Bench, cache: &Cache, kernels: &[Kernel], programs: &Programs) -> Result<ExitCode> {
    let mut sections = Vec::new();
    for &kernel in kernels {
        for workload in workloads(bench, Size { services: 10_000, destinations: 5 }, Reload::Short) {
            let results = pc::measure(cache, kernel, programs, &workload)?;
            sections.push(Section { kernel, size: workload.size, clock: Clock::Instructions, results });
        }
        if bench.only_instructions {
            continue;
        }
        for workload in workloads(bench, Size { services: 10_000, destinations: 10 }, Reload::Whole) {
            let results = uml::measure(kernel, programs, &workload)?;
            sections.push(Section { kernel, size: workload.size, clock: Clock::Wall, results });
        }
    }
    sections.iter().for_each(|section| print!("{}", table(section)));
    sections.iter().for_each(|section| print!("{}", lines(section)));
    let right = sections.iter().all(|section| section.results.is_right());
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn workloads(bench: &Bench, usual: Size, reload: Reload) -> Vec<Workload> {
    let sizes = if bench.size.is_empty() { vec![usual] } else { bench.size.clone() };
    sizes
        .into_iter()
        .map(|size| Workload { size, rounds: 1, additions: 0, reload: Some(reload), growth: false, watched: None })
        .collect()
}

/// The figures of `ipvs-cli` and of the other in a row, if both were measured.
fn figures(row: &Row, results: &Results) -> Option<(u64, u64)> {
    Some((results.median(row.ipvs_cli, "ipvs-cli")?, results.median(row.other.0, row.other.1)?))
}

fn table(section: &Section) -> String {
    let Section { kernel, size, clock, results } = section;
    let release = results.release(*kernel);
    let mut out = format!("\nLinux {release}, {size}, {}\n", clock.title());
    let _ = writeln!(out, "{:<32}{:>12}{:>18}{:>12}{:>10}", "", "ipvs-cli", "beside", "", "ratio");
    for row in &ROWS {
        let Some((ipvs_cli, other)) = figures(row, results) else { continue };
        let [shown, shown_other] = [ipvs_cli, other].map(|value| clock.show(Some(value)));
        let ratio = ipvs_cli as f64 / other as f64;
        let _ = write!(out, "{:<32}{shown:>12}{:>18}{shown_other:>12}{ratio:>10.4}", row.title, row.other_title);
        let _ = writeln!(out, "{}", target(row, *clock).map(|target| verdict(ratio, target)).unwrap_or_default());
    }
    if let Some(memory) = results.median("memory", "ipvs-cli") {
        let _ = writeln!(out, "most memory in use: {memory} kB{}", verdict(memory as f64, MEMORY as f64));
    }
    out + &results.complaint_lines()
}

fn target(row: &Row, clock: Clock) -> Option<f64> {
    row.at_most.filter(|(by, _)| *by == clock).map(|(_, target)| target)
}

fn verdict(value: f64, target: f64) -> String {
    format!("  at most {target} {}", if value <= target { "met" } else { "NOT MET" })
}

/// A line for each row, of `name=value` words.
fn lines(section: &Section) -> String {
    let Section { kernel, size, clock, results } = section;
    let right = if results.is_right() { "yes" } else { "no" };
    let mut out = String::new();
    for row in &ROWS {
        let Some((ipvs_cli, other)) = figures(row, results) else { continue };
        let ratio = ipvs_cli as f64 / other as f64;
        let _ = write!(out, "bench kernel={kernel} size={size} clock={} operation={}", clock.name(), row.name);
        let _ = writeln!(out, " ipvs-cli={ipvs_cli} {}={other} ratio={ratio:.4} right={right}", row.other.1);
    }
    if let Some(memory) = results.median("memory", "ipvs-cli") {
        let _ = writeln!(
            out,
            "bench kernel={kernel} size={size} clock=kilobytes operation=memory ipvs-cli={memory} right={right}"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(clock: Clock) -> Section {
        let lines = [
            "figure fill ipvs-cli 22000000",
            "figure fill ipvsadm 100000000",
            "figure read ipvs-cli 10000000",
            "figure apply-same ipvs-cli 14000000",
            "figure apply-other-words ipvs-cli 20000000",
            "kilobytes memory ipvs-cli 90000",
            "end 0",
        ];
        let size = Size { services: 10, destinations: 5 };
        Section { kernel: Kernel::V7_2, size, clock, results: Results::read(&lines.join("\n")) }
    }

    #[test]
    fn each_figure_is_compared_with_its_own() {
        let text = table(&section(Clock::Instructions));
        assert!(text.contains("0.2200  at most 0.22 met"), "{text}");
        assert!(text.contains("1.4000  at most 1.3 NOT MET"), "{text}");
        assert!(text.contains("10.00    2.0000\n"), "{text}");
        assert!(text.contains("90000 kB  at most 100000 met"), "{text}");
        assert!(!text.contains("100 weights"), "what was not measured is not shown: {text}");
    }

    #[test]
    fn only_the_right_clock_has_a_target() {
        assert!(!table(&section(Clock::Wall)).contains("at most 0.22"));
    }
}
