//! Bringing a director from one table to another: `ipvs-cli apply` beside ipvsadm, which can only
//! fill, or clear and refill.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Plan, Reload, library,
    measure::{RESIZE, SETTLE, is_same, report_wrong},
    memory,
    program::{Run, run},
    world::{Rules, in_own_network, server, service},
};

/// The number of lines that the reload changes.
const CHANGES: usize = 100;

/// The listing that has every counter.
const READ_ALL: [&str; 3] = ["-L", "-n", "--stats"];

/// How often a server is scraped. The figure is the median.
const SCRAPES: usize = 3;

/// The tool that can `apply`.
const IPVS_CLI: &str = "ipvs-cli";
/// The one that can't.
const IPVSADM: &str = "ipvsadm";

/// The tables, as rules.
struct Tables {
    first: String,
    /// The same, but no destination is written as `-S` writes it.
    in_other_words: String,
    /// One weight differs.
    one_changed: String,
    /// A hundred weights differ.
    many_changed: String,
}

impl Tables {
    fn new(size: (u32, u32)) -> Self {
        let first = Rules::new(size, 0, 0).table;
        Self {
            in_other_words: first.replace(" -w ", " -w 0"),
            one_changed: with_weights_changed(&first, 1),
            many_changed: with_weights_changed(&first, CHANGES),
            first,
        }
    }
}

/// The same rules, but for the weights of some destinations all over the table.
fn with_weights_changed(rules: &str, count: usize) -> String {
    let destinations = rules.lines().filter(|line| line.starts_with("-a")).count();
    let step = destinations / count.min(destinations).max(1);
    let mut seen = 0;
    let lines = rules.lines().map(|line| match line.rsplit_once(' ') {
        Some((start, _)) if line.starts_with("-a") => {
            seen += 1;
            let changes = (seen - 1) % step == 0 && (seen - 1) / step < count;
            if changes { format!("{start} 777\n") } else { format!("{line}\n") }
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Does everything once with each tool. Gives whether all was right.
pub(crate) fn measure(plan: &Plan, which: Reload) -> Result<bool, String> {
    let tables = Tables::new(plan.size);
    let program = |name| {
        let tool = plan.tools.iter().find(|(tool, _)| tool == name);
        tool.map(|(_, program)| program.as_path()).ok_or(format!("no tool is called {name}"))
    };
    let mut bench = Bench { plan, tables: &tables, right: true };
    let (ipvs_cli, ipvsadm) = (program(IPVS_CLI)?, program(IPVSADM)?);
    in_own_network(|| bench.ipvs_cli(ipvs_cli))?;
    let apply = memory::of_apply(&tables.first);
    bench.right &= in_own_network(|| Ok(memory::report("memory", IPVS_CLI, ipvs_cli, &apply)))?;
    in_own_network(|| bench.ipvsadm(ipvsadm, which))?;
    Ok(bench.right)
}

struct Bench<'a> {
    plan: &'a Plan,
    tables: &'a Tables,
    right: bool,
}

impl Bench<'_> {
    fn ipvs_cli(&mut self, program: &Path) -> Result<(), String> {
        let tables = self.tables;
        self.apply(program, "fill", &tables.first)?;
        thread::sleep(RESIZE);
        self.check("fill", IPVS_CLI, &tables.first)?;
        self.time(program, "read", IPVS_CLI, &["-S", "-n"], "")?;
        self.time(program, "read-all", IPVS_CLI, &READ_ALL, "")?;
        self.metrics(program)?;
        self.scrapes(program)?;
        println!("progress the library: counters");
        library::count(self.plan.size)?;
        self.apply(program, "apply-same", &tables.first)?;
        self.apply(program, "apply-other-words", &tables.in_other_words)?;
        self.apply(program, "apply-one", &tables.one_changed)?;
        self.check("apply-one", IPVS_CLI, &tables.one_changed)?;
        self.reconcile()?;
        self.apply(program, "reload", &tables.many_changed)?;
        self.check("reload", IPVS_CLI, &tables.many_changed)?;
        Ok(())
    }

    /// All that there is to know of a director, for a monitoring system.
    fn metrics(&mut self, program: &Path) -> Result<(), String> {
        let run = self.run(program, "metrics", IPVS_CLI, &["metrics", "--destinations"], "")?;
        let destinations = self.tables.first.lines().filter(|line| line.starts_with("-a")).count();
        let counted = run.stdout.lines().filter(|line| line.starts_with("ipvs_destination_weight{")).count();
        self.right &= is_same("metrics", IPVS_CLI, &destinations.to_string(), &counted.to_string());
        print_figure("metrics", IPVS_CLI, run.took);
        Ok(())
    }

    /// The same by a server, whose first reading is over when it listens.
    fn scrapes(&mut self, program: &Path) -> Result<(), String> {
        println!("progress {IPVS_CLI}: scrape");
        let failed = |error: std::io::Error| format!("scrape: {error}");
        let mut command = Command::new(program);
        command.args(["metrics", "--destinations", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut server = command.spawn().map_err(failed)?;
        let mut line = String::new();
        let pipe = server.stdout.take().ok_or("the server has no standard output")?;
        let scraped = BufReader::new(pipe).read_line(&mut line).map_err(failed).and_then(|_| {
            let address = line.trim_end().strip_prefix("listening on http://");
            let address = address.and_then(|rest| rest.strip_suffix("/metrics")).ok_or("the server does not listen")?;
            (0..SCRAPES).try_for_each(|_| self.scrape(address))
        });
        server.kill().and_then(|()| server.wait()).map_err(failed)?;
        scraped
    }

    fn scrape(&mut self, address: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("scrape: {error}");
        let mut page = Vec::with_capacity(128 << 20);
        thread::sleep(SETTLE);
        let start = Instant::now();
        let mut stream = TcpStream::connect(address).map_err(failed)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").map_err(failed)?;
        stream.read_to_end(&mut page).map_err(failed)?;
        print_figure("scrape", IPVS_CLI, start.elapsed());
        let destinations = self.tables.first.lines().filter(|line| line.starts_with("-a")).count();
        let page = String::from_utf8_lossy(&page);
        let counted = page.lines().filter(|line| line.starts_with("ipvs_destination_weight{")).count();
        self.right &= is_same("scrape", IPVS_CLI, &destinations.to_string(), &counted.to_string());
        Ok(())
    }

    /// One service of the table, by the library.
    fn reconcile(&mut self) -> Result<(), String> {
        println!("progress the library: reconcile");
        let (number, weight) = library::reconcile(self.plan.size)?;
        let start = format!("-a -t {} -r {} -m -w ", service(number), server(number, 0));
        let lines = self.tables.one_changed.lines().map(|line| match line.starts_with(&start) {
            true => format!("{start}{weight}\n"),
            false => format!("{line}\n"),
        });
        self.check("reconcile-one", IPVS_CLI, &lines.collect::<String>())
    }

    fn ipvsadm(&mut self, program: &Path, which: Reload) -> Result<(), String> {
        let tables = self.tables;
        self.time(program, "fill", IPVSADM, &["-R"], &tables.first)?;
        thread::sleep(RESIZE);
        self.time(program, "read-all", IPVSADM, &READ_ALL, "")?;
        if which == Reload::Whole {
            let clear = self.run(program, "reload", IPVSADM, &["-C"], "")?.took;
            let fill = self.run(program, "reload", IPVSADM, &["-R"], &tables.many_changed)?.took;
            print_figure("reload", IPVSADM, clear + fill);
            self.check("reload", IPVSADM, &tables.many_changed)?;
        }
        Ok(())
    }

    fn apply(&mut self, program: &Path, operation: &str, rules: &str) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| format!("a file for rules: {error}"))?;
        fs::write(file.path(), rules).map_err(|error| format!("write rules: {error}"))?;
        let path = file.path().to_str().ok_or("a temporary file's path is not UTF-8")?;
        self.time(program, operation, IPVS_CLI, &["apply", "--quiet", path], "")
    }

    /// Runs it, and prints its time.
    fn time(&mut self, program: &Path, operation: &str, tool: &str, words: &[&str], input: &str) -> Result<(), String> {
        let run = self.run(program, operation, tool, words, input)?;
        print_figure(operation, tool, run.took);
        Ok(())
    }

    fn run(&mut self, program: &Path, operation: &str, tool: &str, words: &[&str], input: &str) -> Result<Run, String> {
        println!("progress {tool}: {operation}");
        thread::sleep(SETTLE);
        let run = run(program, words, input).map_err(|error| format!("{}: {error}", program.display()))?;
        if !run.status.success() || !run.stderr.is_empty() {
            let said = run.stderr.lines().next().unwrap_or_default();
            self.wrong(operation, tool, &format!("{}, stderr: {said}", run.status));
        }
        Ok(run)
    }

    /// The table must be what the rules say, by the reference's word: what it saves of them are
    /// these lines, in this order.
    fn check(&mut self, operation: &str, tool: &str, rules: &str) -> Result<(), String> {
        println!("progress {tool}: checking {operation}");
        let run = run(&self.plan.reference, &["-S", "-n"], "").map_err(|error| format!("the reference: {error}"))?;
        self.right &= is_same(operation, tool, rules, &run.stdout);
        Ok(())
    }

    fn wrong(&mut self, operation: &str, tool: &str, what: &str) {
        report_wrong(operation, tool, what);
        self.right = false;
    }
}

fn print_figure(operation: &str, tool: &str, took: Duration) {
    println!("figure {operation} {tool} {}", took.as_nanos());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_number_of_weights_changes() {
        for (size, count, expected) in [((10, 5), 7, 7), ((300, 10), 100, 100), ((2, 2), 100, 4)] {
            let before = Rules::new(size, 0, 0).table;
            let after = with_weights_changed(&before, count);
            let changed = before.lines().zip(after.lines()).filter(|(before, after)| before != after).count();
            assert_eq!((changed, after.lines().count()), (expected, before.lines().count()));
        }
    }
}
