//! Plays a sequence of commands in both worlds and stops at the first difference.

use crate::step::{Step, transcript};
use crate::wanted::{self, On, Verdict};
use crate::world::{Pair, VIEWS, World, views};
use kernel_tests::case::Status;
use kernel_tests::target::{Outcome, Target};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What was done without a difference.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Commands, each run by both.
    pub(crate) commands: usize,
    /// Of these, the ones that succeeded.
    pub(crate) succeeded: usize,
    /// How often both kernels' states were read and compared.
    pub(crate) states: usize,
    /// How often what the original prints of them was compared, too.
    pub(crate) printed: usize,
    /// Differences that are wanted, by title.
    pub(crate) wanted: BTreeMap<&'static str, usize>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.commands += other.commands;
        self.succeeded += other.succeeded;
        self.states += other.states;
        self.printed += other.printed;
        for (title, count) in other.wanted {
            *self.wanted.entry(title).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commands, succeeded, states, printed, .. } = self;
        write!(f, "{commands} commands ({succeeded} succeeded), {states} states compared, {printed} as printed")?;
        self.wanted.iter().try_for_each(|(title, count)| write!(f, "; wanted, {count} times: {title}"))
    }
}

/// A difference that nobody wanted, with all that led to it, as a case file.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// Behind which of the steps, from 0, it showed.
    pub(crate) at: usize,
    transcript: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.transcript)
    }
}

/// How often is the state compared as the original prints it, which takes as long as the command
/// itself?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Views {
    /// After some of the commands that succeeded: a difference stays, and is found by the next of
    /// them.
    Sometimes,
    /// After all of them, to find the command that made it.
    Always,
}

/// One in this number of successful commands.
const FEW: usize = 4;

/// Plays the steps on two empty tables.
///
/// After every command that could change something both kernels are read and compared; and, with
/// this thoroughness, what the original prints of them. And so at the end.
pub(crate) fn play(pair: &Pair, steps: &[Step], views: Views) -> Result<Tally, Mismatch> {
    pair.renew();
    let (mut tally, mut past) = (Tally::default(), Past::default());
    for step in steps {
        past.steps += 1;
        let (ipvsadm, ipvs_cli) = run(pair, step);
        tally.commands += 1;
        tally.succeeded += usize::from(ipvsadm.status == Status::Exit(0));
        let on = if step.only_lists() { On::OneTable } else { On::TwoTables };
        match wanted::judge(on, step, &ipvsadm, &ipvs_cli) {
            Verdict::Equal(titles) => titles.into_iter().for_each(|title| *tally.wanted.entry(title).or_default() += 1),
            Verdict::IpvsadmBroke(title) => {
                *tally.wanted.entry(title).or_default() += 1;
                return Ok(tally);
            }
            Verdict::Different => return Err(past.mismatch(step, &ipvsadm, &ipvs_cli)),
        }
        past.add(step, &ipvsadm);
        if !step.only_lists() {
            tally.states += 1;
            let succeeded = ipvsadm.status == Status::Exit(0);
            let printed = succeeded && (views == Views::Always || tally.succeeded.is_multiple_of(FEW));
            tally.printed += usize::from(printed);
            compare_states(pair, &past, printed)?;
        }
    }
    compare_states(pair, &past, true)?;
    tally.printed += 1;
    Ok(tally)
}

/// Both run what only lists on the same table, the original's: the kernel's own order is part of
/// what is compared then.
fn run(pair: &Pair, step: &Step) -> (Outcome, Outcome) {
    if step.only_lists() {
        return list(&pair.ipvsadm, step);
    }
    let ipvsadm = pair.ipvsadm.run(Target::Ipvsadm, &step.command, &step.stdin);
    (ipvsadm, pair.ipvs_cli.run(Target::IpvsCli, &step.command, &step.stdin))
}

/// Both list the same table. A newer kernel rearranges its tables some time after they were filled:
/// what differs is listed again, and is a difference only if it stays one.
pub(crate) fn list(world: &World, step: &Step) -> (Outcome, Outcome) {
    let list = || {
        let [ipvsadm, ipvs_cli] =
            [Target::Ipvsadm, Target::IpvsCli].map(|target| world.run(target, &step.command, &step.stdin));
        (ipvsadm, ipvs_cli)
    };
    let mut listed = list();
    for _again in 0..LIST_AGAIN {
        if wanted::judge(On::OneTable, step, &listed.0, &listed.1) != Verdict::Different {
            break;
        }
        thread::sleep(REARRANGED);
        listed = list();
    }
    listed
}

/// So often, after so long, is listed again what differs.
const LIST_AGAIN: usize = 3;
const REARRANGED: Duration = Duration::from_millis(100);

fn compare_states(pair: &Pair, past: &Past, printed: bool) -> Result<(), Mismatch> {
    let (mut ipvsadm, mut ipvs_cli) = (pair.ipvsadm.contents(), pair.ipvs_cli.contents());
    if past.kept {
        (ipvsadm, ipvs_cli) = (ipvsadm.sorted(), ipvs_cli.sorted());
    }
    let differ = ipvsadm != ipvs_cli;
    if differ || printed {
        let step = Step { command: views(), stdin: VIEWS.to_vec() };
        let (printed_ipvsadm, printed_ipvs_cli) = (pair.ipvsadm.views(), pair.ipvs_cli.views());
        if printed_ipvsadm != printed_ipvs_cli {
            return Err(past.mismatch(&step, &printed_ipvsadm, &printed_ipvs_cli));
        }
    }
    if differ {
        let text =
            format!("{}\n# the kernel's state, ipvsadm:\n# {ipvsadm:?}\n# ipvs-cli:\n# {ipvs_cli:?}\n", past.source());
        return Err(past.as_mismatch(text));
    }
    Ok(())
}

/// What was done so far, as a case file.
#[derive(Debug, Default)]
struct Past {
    lines: Vec<String>,
    /// How many were begun.
    steps: usize,
    /// Was a table restored by the wrapper, which in `ipvs-cli` keeps what stays? The servers of a
    /// service may have another order then.
    kept: bool,
}

impl Past {
    fn add(&mut self, step: &Step, ipvsadm: &Outcome) {
        self.kept |= step.command.program() == "ipvsadm-restore";
        self.lines.extend(step.to_source());
        self.lines.extend(transcript(ipvsadm));
    }

    fn source(&self) -> String {
        format!("@names\n\n{}", self.lines.join("\n"))
    }

    fn mismatch(&self, step: &Step, ipvsadm: &Outcome, ipvs_cli: &Outcome) -> Mismatch {
        let mut lines = vec![self.source()];
        lines.extend(step.to_source());
        lines.extend(transcript(ipvsadm));
        lines.push("DIFFERENCE (ipvs-cli)".into());
        lines.extend(transcript(ipvs_cli));
        self.as_mismatch(lines.join("\n") + "\n")
    }

    fn as_mismatch(&self, transcript: String) -> Mismatch {
        Mismatch { at: self.steps.saturating_sub(1), transcript }
    }
}

/// Of all trials.
static TOTAL: Mutex<Option<Tally>> = Mutex::new(None);

/// Adds to the figures of the whole run.
pub(crate) fn add(tally: Tally) {
    *TOTAL.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default() += tally;
}

/// Prints the figures of the whole run, if there are any.
pub(crate) fn report() {
    if let Some(total) = &*TOTAL.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("figures: {total}");
    }
}
