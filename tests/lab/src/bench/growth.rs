//! `cargo lab bench --growth`: how `ipvs-cli` grows with the table, in instructions and in memory.
//!
//! What grows with the table in proportion has the exponent 1: that of the power of the number of
//! services that fits best.

use std::{fmt::Write, process::ExitCode};

use super::{Bench, Programs, Size, Workload, pc, results::GROWTH_OPERATIONS, results::Results};
use crate::{cache::Cache, error::Result, kernel::Kernel};

/// Services, of one destination each.
const SERVICES: [u32; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
/// Large tables of other shapes.
const OTHERS: [Size; 2] = [Size { services: 10_000, destinations: 10 }, Size { services: 1, destinations: 10_000 }];

/// Measures, prints, and says whether all was right.
pub(super) fn run(bench: &Bench, cache: &Cache, kernels: &[Kernel], programs: &Programs) -> Result<ExitCode> {
    let usual = SERVICES.map(|services| Size { services, destinations: 1 });
    let usual: Vec<Size> = usual.into_iter().chain(OTHERS).collect();
    let sizes = if bench.size.is_empty() { &usual } else { &bench.size };
    let mut right = true;
    for &kernel in kernels {
        let mut measured = Vec::new();
        for &size in sizes {
            let workload = Workload { size, rounds: 1, additions: 0, reload: None, growth: true, watched: None };
            let results = pc::measure(cache, kernel, programs, &workload)?;
            right &= results.is_right();
            print!("{}", lines(kernel, size, &results));
            measured.push((size, results));
        }
        print!("{}", table(kernel, &measured));
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(kernel: Kernel, measured: &[(Size, Results)]) -> String {
    let release = measured.iter().find_map(|(_, results)| results.kernel());
    let release = release.map_or_else(|| kernel.to_string(), str::to_owned);
    let mut out = format!("\nLinux {release}, million instructions; memory in kB\n{:<14}", "");
    for (size, _) in measured {
        let _ = write!(out, "{:>12}", size.to_string());
    }
    let _ = writeln!(out, "{:>10}", "exponent");
    for operation in GROWTH_OPERATIONS {
        let _ = write!(out, "{operation:<14}");
        for (_, results) in measured {
            let figure = results.median(operation, "ipvs-cli");
            let shown = match figure {
                Some(kilobytes) if operation.ends_with("memory") => kilobytes.to_string(),
                Some(instructions) => format!("{:.2}", instructions as f64 / 1e6),
                None => "-".to_owned(),
            };
            let _ = write!(out, "{shown:>12}");
        }
        let points = measured.iter().filter(|(size, _)| size.destinations == 1);
        let points = points.filter_map(|(size, results)| Some((size.services, results.median(operation, "ipvs-cli")?)));
        let exponent = exponent(&points.map(|(n, y)| (n.into(), y as f64)).collect::<Vec<_>>());
        let _ = writeln!(out, "{:>10}", exponent.map_or_else(|| "-".to_owned(), |exponent| format!("{exponent:.2}")));
    }
    for (size, results) in measured {
        for complaint in results.complaints() {
            let _ = writeln!(out, "WRONG: {size}: {complaint}");
        }
    }
    out
}

/// The power of n that fits best, by least squares of the logarithms, if there are points enough.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x0, y0) = (mean(|log| log.0), mean(|log| log.1));
    let squares: f64 = logs.iter().map(|(x, _)| (x - x0).powi(2)).sum();
    let products: f64 = logs.iter().map(|(x, y)| (x - x0) * (y - y0)).sum();
    (logs.len() > 2 && squares > 0.0).then(|| products / squares)
}

/// A line for each operation, of `name=value` words.
fn lines(kernel: Kernel, size: Size, results: &Results) -> String {
    let right = if results.is_right() { "yes" } else { "no" };
    let mut out = String::new();
    for operation in GROWTH_OPERATIONS {
        if let Some(figure) = results.median(operation, "ipvs-cli") {
            let clock = if operation.ends_with("memory") { "kilobytes" } else { "instructions" };
            let _ = writeln!(
                out,
                "bench kernel={kernel} size={size} clock={clock} operation=growth-{operation} ipvs-cli={figure} right={right}"
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportional_growth_has_the_exponent_1() {
        let points = |f: fn(f64) -> f64| [1e3, 1e4, 1e5].map(|n| (n, f(n)));
        assert!((exponent(&points(|n| 7.0 * n)).unwrap() - 1.0).abs() < 1e-9);
        assert!((exponent(&points(|n| n * n / 3.0)).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(exponent(&points(|n| n)[..2]), None);
    }

    #[test]
    fn each_size_has_a_column() {
        let results = |scale: u64| {
            Results::read(&format!(
                "figure restore ipvs-cli {}\nkilobytes memory ipvs-cli {}\nend 0",
                scale * 2_000_000,
                scale
            ))
        };
        let size = |services| Size { services, destinations: 1 };
        let measured = [1, 10, 100].map(|scale| (size(1000 * scale), results(scale.into())));
        let text = table(Kernel::V7_2, &measured);
        assert!(text.contains("restore               2.00       20.00      200.00      1.00\n"), "{text}");
        assert!(text.contains("memory                   1          10         100      1.00\n"), "{text}");
    }
}
