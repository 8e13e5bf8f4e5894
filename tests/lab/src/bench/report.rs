//! The figures as tables for people and as lines for programs.

use std::fmt::Write;

use super::{
    Section,
    results::{INSIDE_OPERATIONS, OPERATIONS},
};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Instructions on the emulated PC, user's and kernel's.
    Instructions,
    /// Nanoseconds in user-mode Linux.
    Wall,
    /// System calls.
    Calls,
}

/// How much of ipvsadm's instructions `ipvs-cli` may need.
fn target(operation: &str) -> f64 {
    match operation {
        "restore" => 0.16,
        "edit" => 0.065,
        "save" | "list" | "thresholds" | "persistent" => 0.12,
        "stats" | "rate" => 0.42,
        // Their services are dumped twice: docs/kernels.md.
        "save-v6" | "list-v6" => 0.43,
        "add" => 0.45,
        _ => 1.0,
    }
}

/// One operation's figures.
struct Row {
    operation: &'static str,
    ipvs_cli: Option<u64>,
    ipvsadm: Option<u64>,
    floor: Option<u64>,
}

impl Row {
    fn ratio(&self, to: Option<u64>) -> Option<f64> {
        Some(to? as f64 / self.ipvsadm? as f64)
    }
}

/// What was measured.
fn rows(section: &Section) -> impl Iterator<Item = Row> {
    OPERATIONS.into_iter().filter_map(|operation| {
        let figures = ["ipvs-cli", "ipvsadm", "floor"].map(|tool| section.results.median(operation, tool));
        let [ipvs_cli, ipvsadm, floor] = figures;
        figures.iter().any(Option::is_some).then_some(Row { operation, ipvs_cli, ipvsadm, floor })
    })
}

/// The table, and whatever was wrong.
pub(super) fn table(section: &Section) -> String {
    let Section { kernel, size, clock, results } = section;
    let release = results.release(*kernel);
    let mut out = format!("\nLinux {release}, {size}, {}\n", clock.title());
    let _ = write!(out, "{:<28}{:>10}{:>10}{:>10}", "", "ipvsadm", "ipvs-cli", "floor");
    let _ = writeln!(out, "{:>10}{:>8}{}", "ipvs-cli", "floor", if clock.has_target() { "  at most" } else { "" });
    for row in rows(section) {
        let name = title(row.operation, *clock);
        let [ipvsadm, ipvs_cli, floor] = [row.ipvsadm, row.ipvs_cli, row.floor].map(|value| clock.show(value));
        let [ipvs_cli_ratio, floor_ratio] = [row.ipvs_cli, row.floor].map(|value| show_ratio(row.ratio(value)));
        let _ = write!(out, "{name:<28}{ipvsadm:>10}{ipvs_cli:>10}{floor:>10}{ipvs_cli_ratio:>10}{floor_ratio:>8}");
        let _ = writeln!(out, "{}", verdict(&row, *clock).map(|(text, _)| text).unwrap_or_default());
    }
    for Inside { operation, library, at_most, pyroute2 } in inside(section) {
        let verdict = if library <= at_most { "met" } else { "NOT MET" };
        let _ = writeln!(out, "{:<28}{library:>20}{:>26}  {at_most} {verdict}", inside_title(operation), "");
        if let Some(pyroute2) = pyroute2 {
            let ratio = library as f64 / pyroute2 as f64;
            let _ = writeln!(out, "{:<28}{pyroute2:>20}{:>10}{ratio:>8.4}", "  the same by pyroute2", "");
        }
    }
    out + &results.complaint_lines()
}

/// What a command costs in a program that has a library inside, in instructions.
struct Inside {
    operation: &'static str,
    /// What `ipvs-cli` costs.
    library: u64,
    /// What `ipvs-cli` may cost.
    at_most: u64,
    pyroute2: Option<u64>,
}

fn inside(section: &Section) -> impl Iterator<Item = Inside> {
    let is_counted = section.clock == Clock::Instructions;
    INSIDE_OPERATIONS.into_iter().zip([17_000, 4_500]).filter(move |_| is_counted).filter_map(|(operation, at_most)| {
        let [library, pyroute2] = ["library", "pyroute2"].map(|tool| section.results.median(operation, tool));
        Some(Inside { operation, library: library?, at_most, pyroute2 })
    })
}

fn inside_title(operation: &str) -> &'static str {
    if operation == "create" { "in a program: create, each" } else { "in a program: edit, each" }
}

/// A line for each operation, of `name=value` words.
pub(super) fn lines(section: &Section) -> String {
    let Section { kernel, size, clock, .. } = section;
    let mut out = String::new();
    for row in rows(section) {
        let _ = write!(out, "bench kernel={kernel} size={size} clock={} operation={}", clock.name(), row.operation);
        for (tool, value) in [("ipvs-cli", row.ipvs_cli), ("ipvsadm", row.ipvsadm), ("floor", row.floor)] {
            let _ = value.map(|value| write!(out, " {tool}={value}"));
        }
        let _ = row.ratio(row.ipvs_cli).map(|ratio| write!(out, " ratio={ratio:.4}"));
        if let Some((_, met)) = verdict(&row, *clock) {
            let _ = write!(out, " target={} met={}", target(row.operation), if met { "yes" } else { "no" });
        }
        let _ = writeln!(out, " right={}", if section.results.is_right() { "yes" } else { "no" });
    }
    for Inside { operation, library, at_most, pyroute2 } in inside(section) {
        let met = if library <= at_most { "yes" } else { "no" };
        let _ = write!(out, "bench kernel={kernel} size={size} clock={} operation={operation}", clock.name());
        let _ = write!(out, " library={library} target={at_most} met={met}");
        let _ =
            pyroute2.map(|pyroute2| write!(out, " pyroute2={pyroute2} ratio={:.4}", library as f64 / pyroute2 as f64));
        out.push('\n');
    }
    out
}

/// Whether the target is met, and how the table says so.
fn verdict(row: &Row, clock: Clock) -> Option<(String, bool)> {
    let ratio = row.ratio(row.ipvs_cli).filter(|_| clock.has_target())?;
    let target = target(row.operation);
    let met = ratio <= target;
    Some((format!("  {target:<5} {}", if met { "met" } else { "NOT MET" }), met))
}

fn show_ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.3}"))
}

fn title(operation: &str, clock: Clock) -> &'static str {
    match operation {
        "restore" => "restore the table: -R",
        "edit" if clock == Clock::Calls => "edit 90 weights: -R",
        "edit" => "edit 3,000 weights: -R",
        "save" => "save: -S -n",
        "list" => "list: -L -n",
        "thresholds" => "list: -L -n --thresholds",
        "persistent" => "list: ... --persistent-conn",
        "stats" => "list: -L -n --stats",
        "rate" => "list: -L -n --rate",
        "save-v6" => "save, of IPv6: -S -n",
        "list-v6" => "list, of IPv6: -L -n",
        "add" => "add one destination: -a",
        _ => "clear: -C",
    }
}

impl Clock {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Wall => "nanoseconds",
            Self::Calls => "calls",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Instructions => "million instructions on the emulated PC",
            Self::Wall => "milliseconds in user-mode Linux (system calls are far too dear there)",
            Self::Calls => "system calls",
        }
    }

    fn has_target(self) -> bool {
        self == Self::Instructions
    }

    pub(super) fn show(self, value: Option<u64>) -> String {
        match (value, self) {
            (None, _) => "-".into(),
            (Some(value), Self::Calls) => value.to_string(),
            (Some(value), _) => format!("{:.2}", value as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::{Size, results::Results},
        kernel::Kernel,
    };

    fn section(clock: Clock, lines: &[&str]) -> Section {
        let results = Results::read(&lines.join("\n"));
        Section { kernel: Kernel::V6_1, size: Size { services: 300, destinations: 10 }, clock, results }
    }

    #[test]
    fn a_target_is_met_or_not() {
        let figures =
            ["kernel 6.1.0-50", "figure restore ipvsadm 100000000", "figure restore ipvs-cli 16000000", "end 0"];
        let good = section(Clock::Instructions, &figures);
        assert!(table(&good).starts_with("\nLinux 6.1.0-50, 300x10, million instructions"));
        assert!(
            table(&good)
                .contains("restore the table: -R           100.00     16.00         -     0.160       -  0.16  met")
        );
        let line = "bench kernel=6.1 size=300x10 clock=instructions operation=restore ipvs-cli=16000000 ipvsadm=100000000 \
                    ratio=0.1600 target=0.16 met=yes right=yes\n";
        assert!(lines(&good).contains(line), "{}", lines(&good));
        let bad = section(Clock::Instructions, &["figure restore ipvsadm 100", "figure restore ipvs-cli 17", "end 0"]);
        assert!(table(&bad).contains("NOT MET"));
    }

    #[test]
    fn the_cost_of_a_command_in_a_program_has_a_limit() {
        let figures = ["figure create library 17000", "figure alter library 4501", "end 0"];
        let shown = table(&section(Clock::Instructions, &figures));
        assert!(shown.contains("  17000 met") && shown.contains("  4500 NOT MET"), "{shown}");
        assert!(
            lines(&section(Clock::Instructions, &figures)).contains("operation=alter library=4501 target=4500 met=no")
        );
        assert!(!table(&section(Clock::Wall, &figures)).contains("17000"));
        assert!(!shown.contains("pyroute2"), "what was not measured is not shown: {shown}");
    }

    #[test]
    fn a_peers_figure_stands_below_that_of_ipvs_cli() {
        let counted = section(Clock::Instructions, &["figure create library 5000", "figure create pyroute2 400000"]);
        let shown = table(&counted);
        assert!(shown.contains("the same by pyroute2") && shown.contains("400000            0.0125\n"), "{shown}");
        assert!(lines(&counted).contains("library=5000 target=17000 met=yes pyroute2=400000 ratio=0.0125\n"));
    }

    #[test]
    fn only_instructions_have_targets() {
        let wall = section(Clock::Wall, &["figure clear ipvsadm 1000000", "figure clear ipvs-cli 5000000", "end 0"]);
        assert!(!table(&wall).contains("MET") && !lines(&wall).contains("met="));
    }

    #[test]
    fn wrong_results_are_reported() {
        let wrong = section(Clock::Wall, &["figure list ipvs-cli 1", "wrong list ipvs-cli: line 4", "end 1"]);
        assert!(table(&wrong).ends_with("WRONG: list ipvs-cli: line 4\n"));
        assert!(lines(&wrong).contains("right=no"));
    }
}
