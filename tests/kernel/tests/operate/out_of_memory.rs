//! Memory runs out while `apply` fills a director, and the kernel kills it: nothing false is said,
//! and nothing is there that was not asked for. With more memory, the next one makes the rest.
//!
//! `-R` needs so little memory itself that its death frees none: the kernel goes on to kill others.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use kernel_tests::case::Status;
use kernel_tests::target::{Outcome, execute};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::world::{World, program, scratch};

/// A table for which the kernel needs some 40 MB.
const SERVICES: u32 = 2_000;
const SERVERS: u32 = 30;

/// A machine without memory is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Its megabytes at first; more each time.
const ROOM: Range<u64> = 32..160;
const MORE: usize = 8;
/// The megabytes of the process that looks at what it did.
const PLENTY: u64 = 200;

#[test]
fn killed_again_and_again_it_comes_to_an_end() {
    if !kernel_tests::on_one_kernel() {
        return println!("skipped: on one kernel");
    }
    let _world = World::new();
    let rules = rules();
    let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
    let mut filler = Filler::new();
    let mut made = vec![0];
    for megabytes in ROOM.step_by(MORE) {
        filler.leave(megabytes);
        let done = apply(&filler.program, &text);
        filler.leave(PLENTY);
        let saved = saved();
        println!("in {megabytes} MB: {:?} after {} of {} rules", done.status, saved.len(), rules.len());
        assert!(String::from_utf8_lossy(&done.stderr).is_empty(), "{done:?}");
        assert_eq!(saved, sorted(&rules[..saved.len()]), "what stands first, and nothing else");
        assert!(made.last().is_some_and(|before| saved.len() >= *before), "what was there stays");
        made.push(saved.len());
        match done.status {
            Status::Signal(9) => {}
            status => {
                assert_eq!((status, saved.len()), (Status::Exit(0), rules.len()));
                break;
            }
        }
    }
    assert_eq!(made.last(), Some(&rules.len()), "with enough memory it ends");
    assert!(made.iter().any(|made| (1..rules.len()).contains(made)), "it was killed at work: {made:?}");
}

/// When memory runs out, this one is killed.
fn apply(program: &str, rules: &str) -> Outcome {
    let start = |command: &mut Command| {
        let child = command.spawn()?;
        // It has read nothing yet.
        may_be_killed(&child.id().to_string(), "1000")?;
        Ok(child)
    };
    let mut command = Command::new(program);
    command.args(["apply", "--quiet", "-"]).stdout(Stdio::piped());
    execute(command, start, rules.as_bytes(), PATIENCE).unwrap()
}

/// As `ipvsadm -S -n` writes them.
fn rules() -> Vec<String> {
    let mut rules = Vec::new();
    for number in 0..SERVICES {
        let service = format!("-t 10.{}.{}.1:80", number / 250, number % 250);
        rules.push(format!("-A {service} -s wrr"));
        rules.extend((1..=SERVERS).map(|host| format!("-a {service} -r 127.0.0.{host}:80 -m -w 1")));
    }
    rules
}

fn saved() -> Vec<String> {
    let saved = Command::new(program()).arg0("ipvsadm").args(["-S", "-n"]).output().unwrap();
    assert!(saved.status.success() && saved.stderr.is_empty(), "{saved:?}");
    sorted(&String::from_utf8(saved.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
}

fn sorted(rules: &[String]) -> Vec<String> {
    let mut rules = rules.to_vec();
    rules.sort_unstable();
    rules
}

fn may_be_killed(process: &str, score: &str) -> io::Result<()> {
    fs::write(format!("/proc/{process}/oom_score_adj"), score)
}

/// Holds the machine's memory, in a file system for which nobody can be killed, until it is
/// dropped.
struct Filler {
    place: String,
    file: File,
    /// `ipvs-cli`, in memory: the kernel would drop one on a disk and read it again, page by page,
    /// before it kills a process.
    program: String,
}

impl Filler {
    fn new() -> Self {
        may_be_killed("self", "-1000").unwrap();
        let place = scratch("filler");
        fs::create_dir(&place).unwrap();
        mount(Some("tmpfs"), &*place, Some("tmpfs"), MsFlags::empty(), Some("size=100%")).unwrap();
        let copy = format!("{place}/ipvs-cli");
        fs::copy(program(), &copy).unwrap();
        Filler { file: File::create(format!("{place}/nothing")).unwrap(), program: copy, place }
    }

    /// Takes, or gives back, so much that this many megabytes are left.
    fn leave(&mut self, megabytes: u64) {
        const MEGABYTE: u64 = 1 << 20;
        let wanted = megabytes * MEGABYTE;
        let length = self.file.metadata().unwrap().len();
        let missing = wanted.saturating_sub(available());
        self.file.set_len(length.saturating_sub(missing)).unwrap();
        self.file.seek(SeekFrom::End(0)).unwrap();
        while available() > wanted + MEGABYTE {
            self.file.write_all(&[0; MEGABYTE as usize]).unwrap();
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = umount2(&*self.place, MntFlags::MNT_DETACH);
        let _ = self.file.set_len(0);
        let _ = fs::remove_dir(&self.place);
        let _ = may_be_killed("self", "0");
    }
}

/// Bytes that programs could still have.
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
