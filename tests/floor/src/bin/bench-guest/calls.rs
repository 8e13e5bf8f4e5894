//! Counts the system calls of each tool's operations with strace: figures that are free of any
//! noise.

use std::path::Path;

use crate::{
    Plan,
    program::run,
    world::{Rules, in_own_network},
};

/// Counts for each tool. Gives whether all ended well.
pub(crate) fn count(plan: &Plan, strace: &Path) -> Result<bool, String> {
    let edits = plan.size.0 * plan.size.1;
    let rules = Rules::new(plan.size, edits, 1);
    let mut right = true;
    for (tool, program) in &plan.tools {
        right &= in_own_network(|| count_tool(strace, tool, program, &rules))?;
    }
    Ok(right)
}

fn count_tool(strace: &Path, tool: &str, program: &Path, rules: &Rules) -> Result<bool, String> {
    let addition: Vec<&str> = rules.additions[0].split(' ').collect();
    let operations: [(&str, &[&str], &str); 6] = [
        ("restore", &["-R"], &rules.table),
        ("save", &["-S", "-n"], ""),
        ("list", &["-L", "-n"], ""),
        ("edit", &["-R"], &rules.edits),
        ("add", &addition, ""),
        ("clear", &["-C"], ""),
    ];
    let program = program.to_str().ok_or("a program's path is not UTF-8")?;
    let mut right = true;
    for (operation, arguments, input) in operations {
        let words = [&["-f", "-c", "-U", "name,calls", "-o", "/dev/stdout", program], arguments].concat();
        let run = run(strace, &words, input).map_err(|error| format!("strace: {error}"))?;
        match total(&run.stdout) {
            Some(calls) if run.status.success() => println!("calls {operation} {tool} {calls}"),
            _ => {
                println!("wrong {operation} {tool}: {}, {}", run.status, run.stderr.trim_end());
                right = false;
            }
        }
    }
    Ok(right)
}

/// The sum in strace's table, its last line.
fn total(table: &str) -> Option<u64> {
    let last = table.lines().rfind(|line| line.starts_with("total"))?;
    last.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_sum_is_found_below_the_tools_own_output() {
        let table =
            "TCP  10.0.0.1:80 rr\nsyscall              calls\n------- ------\nread  3\n------- ------\ntotal 15\n";
        assert_eq!(total(table), Some(15));
        assert_eq!(total("nothing"), None);
    }
}
