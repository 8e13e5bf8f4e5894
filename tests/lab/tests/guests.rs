//! What everybody relies on who runs something in a guest, shown on real guests.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const KERNELS: [&str; 3] = ["6.1", "6.12", "7.2"];

/// A lab with a directory of its own for temporary files, which must be empty afterwards.
struct Lab {
    temporary: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { temporary: tempfile::tempdir().unwrap() }
    }

    /// Starts `lab run` on a script. The real ipvsadm: these tests are about the guest, not about
    /// our tools.
    fn start(&self, options: &[&str], script: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["run", "--ipvsadm"]).args(options).arg("-").args(arguments);
        command.env("TMPDIR", self.temporary.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child
    }

    /// Runs a script to its end and checks that nothing is left of the guest.
    fn run(&self, options: &[&str], script: &str, arguments: &[&str]) -> Output {
        let output = self.start(options, script, arguments).wait_with_output().unwrap();
        self.assert_clean();
        output
    }

    fn assert_clean(&self) {
        let files: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.is_empty(), "left behind: {files:?}");
        assert_eq!(processes_mentioning(self.temporary.path()), Vec::<u32>::new(), "processes left behind");
    }
}

/// Living processes whose command line has the path in it.
fn processes_mentioning(path: &Path) -> Vec<u32> {
    let path = path.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(path)
    })
    .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until something holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not after 30 s");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn output_is_byte_exact_and_the_status_comes_through() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let script = r#"for i in {0..255}; do printf "\\x$(printf %x $i)"; done; printf 'to stderr\n' >&2; exit 7"#;
    for kernel in KERNELS {
        let output = Lab::new().run(&["--kernel", kernel], script, &[]);
        assert_eq!(output.stdout, every_byte, "kernel {kernel}");
        assert_eq!(text(&output.stderr), "to stderr\n", "kernel {kernel}");
        assert_eq!(output.status.code(), Some(7), "kernel {kernel}");
    }
}

#[test]
fn much_output_is_complete() {
    let script = "for i in {1..200000}; do echo $i; done";
    let output = Lab::new().run(&[], script, &[]);
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(output.stdout == expected.as_bytes(), "{} bytes of {}", output.stdout.len(), expected.len());
}

#[test]
fn each_kernel_is_the_one_that_was_asked_for_and_has_ipvs() {
    let script = "echo $LAB_KERNEL; ipvsadm -A -f 6 -s wrr && ipvsadm -S -n";
    for kernel in KERNELS {
        let output = Lab::new().run(&["--kernel", kernel], script, &[]);
        assert_eq!(text(&output.stdout), format!("{kernel}\n-A -f 6 -s wrr\n"), "{}", text(&output.stderr));
    }
}

#[test]
fn arguments_reach_the_script_as_they_are() {
    let output = Lab::new().run(&[], r#"printf '<%s>' "$@""#, &["two words", "--option", "", "$HOME"]);
    assert_eq!(text(&output.stdout), "<two words><--option><><$HOME>");
}

/// What a script can find out of the system around it.
const LOOK_AROUND: &str = r#"
    cd / && env | grep -v -e "ipvs-lab" -e "^_="
    umask; id; hostname; ls -A ~ /srv /opt /mnt /usr/local/* /lib/modules 2>&1
    ls -l --time-style=+ /etc /usr/bin /usr/sbin
    cat /etc/hosts /etc/nsswitch.conf /etc/resolv.conf /etc/passwd /etc/group
    getent hosts localhost; getent services 80; getent protocols tcp; locale
    for program in modprobe iptables ipvsadm keepalived; do [[ ! -e /sbin/$program ]] || echo "has /sbin/$program"; done
    for program in cargo rustc cc perl python3 curl; do command -v $program; done"#;

#[test]
fn what_a_guest_sees_does_not_depend_on_this_machine() {
    let plain = Lab::new().run(&[], LOOK_AROUND, &[]);
    let home = tempfile::tempdir().unwrap();
    for name in [".bashrc", ".profile", ".inputrc", ".gitconfig", ".config"] {
        fs::write(home.path().join(name), "echo the host's; exit 3\n").unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab"));
    let cache = std::env::var_os("IPVS_LAB").map(std::path::PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/ipvs-lab"));
    child.args(["run", "--ipvsadm", "-"]).env("IPVS_LAB", cache).env("HOME", home.path());
    for name in ["LANG", "LC_ALL", "LANGUAGE"] {
        child.env(name, "tr_TR.UTF-8");
    }
    for name in ["TERM", "NO_COLOR", "CLICOLOR_FORCE", "BASH_ENV", "ENV", "POSIXLY_CORRECT", "TZ", "XDG_CONFIG_HOME"] {
        child.env(name, "xterm-256color");
    }
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(LOOK_AROUND.as_bytes()).unwrap();
    let strange = child.wait_with_output().unwrap();
    assert_eq!(text(&plain.stdout), text(&strange.stdout));
    let seen = text(&plain.stdout);
    let defined = [
        "LANG=C.UTF-8\n",
        "TERM=dumb\n",
        "\n0022\n",
        "\nlab\n",
        "/tmp/home:\n\n",
        "/opt:\n\n",
        "cannot access '/lib/modules'",
        "nsswitch.conf",
        "hosts: files\n",
        "::1             localhost ",
        "http                  80/tcp www\n",
    ];
    for expected in defined {
        assert!(seen.contains(expected), "{expected:?} is missing: {seen}");
    }
    assert!(!seen.contains("has /sbin/") && seen.trim_end().ends_with("LC_ALL="), "{seen}");
}

/// Paths that are not in the guest's own system: below its directories, and behind links.
#[test]
fn named_paths_are_visible_and_never_cover_the_guests_own() {
    let place = tempfile::tempdir().unwrap();
    let [file, link] = ["file", "link"].map(|name| place.path().join(name));
    fs::write(&file, "of this machine\n").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let script = r#"cat "$1" "$2"; [[ $(< /etc/hosts) == 127.0.0.1* ]] && ls /etc/cron.d"#;
    let arguments = [file.to_str().unwrap(), link.to_str().unwrap(), "/etc/hosts", "/etc", "/usr", "/", "/tmp"];
    let output = Lab::new().run(&[], script, &arguments);
    assert_eq!(text(&output.stdout), "of this machine\nof this machine\n");
    assert!(text(&output.stderr).contains("/etc/cron.d"), "{}", text(&output.stderr));
}

#[test]
fn the_host_is_read_only_and_scratch_directories_are_the_guests_own() {
    let mark = tempfile::Builder::new().prefix("hosts-own-").tempfile_in("/tmp").unwrap();
    let script = r#"
        [[ ! -e $1 ]] || echo "the guest sees $1"
        for dir in /tmp /var/tmp /run; do touch $dir/in-guest || echo "cannot write $dir"; done
        for dir in / /usr /etc; do ! touch $dir/in-guest 2>/dev/null || echo "can write $dir"; done"#;
    // As half a path, so that it isn't taken for an argument that the script is meant to see.
    let path = format!("/{}", mark.path().display());
    let output = Lab::new().run(&[], &script.replace("$1", &path), &[]);
    assert_eq!(text(&output.stdout) + &text(&output.stderr), "");
    assert!(!Path::new("/tmp/in-guest").exists());
}

#[test]
fn a_test_program_that_fails_in_the_guest_fails_outside_with_its_words() {
    let this = std::env::current_exe().unwrap();
    let script = r#"exec "$1" --ignored --exact fails_on_purpose"#;
    let output = Lab::new().run(&[], script, &[this.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(101), "{said}{}", text(&output.stderr));
    assert!(said.contains("as it should") && said.contains("0 passed; 1 failed"), "{said}");
}

#[test]
#[ignore = "run by a_test_program_that_fails_in_the_guest_fails_outside_with_its_words"]
fn fails_on_purpose() {
    panic!("as it should, with a kernel that is process {}", std::process::id());
}

#[test]
fn the_deadline_ends_a_guest_that_hangs() {
    for kernel in KERNELS {
        let start = Instant::now();
        let output = Lab::new().run(&["--kernel", kernel, "--timeout", "6"], "echo begun; sleep 1000", &[]);
        assert_eq!(output.status.code(), Some(124), "kernel {kernel}");
        assert_eq!(text(&output.stdout), "begun\n", "kernel {kernel}");
        let said = text(&output.stderr);
        assert!(said.contains("deadline") && said.contains("| "), "kernel {kernel}: {said}");
        assert!(said.contains("Show Blocked State"), "kernel {kernel}: {said}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_panic_is_reported_with_the_console_and_what_came_before() {
    let script = "echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 1000";
    for kernel in KERNELS {
        let output = Lab::new().run(&["--kernel", kernel], script, &[]);
        assert_eq!(output.status.code(), Some(125), "kernel {kernel}");
        assert_eq!(text(&output.stdout), "before\n", "kernel {kernel}");
        let said = text(&output.stderr);
        assert!(said.contains("Kernel panic - not syncing: sysrq triggered crash"), "kernel {kernel}: {said}");
    }
}

#[test]
fn background_processes_do_not_keep_a_guest_alive() {
    let output = Lab::new().run(&["--timeout", "30"], "sleep 1000 & echo done", &[]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "done\n".into()));
}

#[test]
fn guests_at_the_same_time_do_not_disturb_each_other() {
    let lab = Lab::new();
    let script = r#"ipvsadm -A -f $1 -s rr; sleep 2; ipvsadm -S -n"#;
    let guests = ["1", "2"].map(|mark| (mark, lab.start(&[], script, &[mark])));
    for (mark, guest) in guests {
        let output = guest.wait_with_output().unwrap();
        assert_eq!(text(&output.stdout), format!("-A -f {mark} -s rr\n"), "{}", text(&output.stderr));
    }
    lab.assert_clean();
}

#[test]
fn a_closed_pipe_ends_the_guest() {
    let lab = Lab::new();
    let mut guest = lab.start(&["--timeout", "60"], "yes", &[]);
    drop(guest.stdout.take());
    assert_eq!(guest.wait().unwrap().code(), Some(141));
    lab.assert_clean();
}

#[test]
fn an_interrupt_ends_the_guest() {
    let lab = Lab::new();
    let guest = lab.start(&[], "sleep 1000", &[]);
    eventually("the guest runs", || !processes_mentioning(lab.temporary.path()).is_empty());
    thread::sleep(Duration::from_secs(1));
    send(&guest, Signal::INT);
    let output = guest.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(125), "lab: interrupted\n".into()));
    lab.assert_clean();
}

#[test]
fn a_lab_that_is_killed_takes_its_guest_along() {
    for kernel in KERNELS {
        let lab = Lab::new();
        let mut guest = lab.start(&["--kernel", kernel], "sleep 1000 & sleep 1000", &[]);
        eventually("the guest runs", || !processes_mentioning(lab.temporary.path()).is_empty());
        thread::sleep(Duration::from_secs(2));
        send(&guest, Signal::KILL);
        guest.wait().unwrap();
        eventually("the guest is gone", || processes_mentioning(lab.temporary.path()).is_empty());
        lab.assert_clean();
    }
}

fn send(to: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(to.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Answers each request that there is no such file, as a mirror does from which a release has
/// gone.
fn empty_mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|length| length > 0) {
                    if line.ends_with("\r\n\r\n") || line == "\r\n" {
                        let _ = stream.get_mut().write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                    }
                    line.clear();
                }
            });
        }
    });
    format!("http://{address}/debian")
}

#[test]
fn a_kernel_that_the_mirror_no_longer_has_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("cache");
    fs::create_dir(&cache).unwrap();
    // All but one kernel is there.
    let setup = Command::new(env!("CARGO_BIN_EXE_lab")).arg("setup").output().unwrap();
    let said = String::from_utf8(setup.stdout).unwrap();
    let first = said.lines().find_map(|line| line.strip_prefix("tools: ")).unwrap();
    let whole = Path::new(first).parent().unwrap();
    for entry in fs::read_dir(whole).unwrap().flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("kernel-5.10") && entry.path().is_dir() {
            std::os::unix::fs::symlink(entry.path(), cache.join(name)).unwrap();
        }
    }
    let lab = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(arguments).env("IPVS_LAB", &cache).env("IPVS_LAB_MIRROR", empty_mirror());
        let output = command.env("no_proxy", "127.0.0.1").output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_good, said, complaints) = lab(&["setup"]);
    assert!(is_good, "{complaints}");
    assert!(complaints.contains("lab: no kernel 5.10: http://127.0.0.1:"), "{complaints}");
    assert!(complaints.contains("/debian no longer has any package of Debian bullseye. A mirror"), "{complaints}");
    assert!(said.contains("kernel 6.1: ") && !said.contains("kernel 5.10: "), "{said}");
    let (is_good, _, complaints) = lab(&["setup", "--kernel", "5.10"]);
    assert!(!is_good && complaints.contains("no longer has any package of Debian bullseye"), "{complaints}");
}

#[test]
fn all_that_a_machine_lacks_is_said_at_once() {
    let cache = tempfile::tempdir().unwrap();
    for arguments in [&["demo"][..], &["test", "--only-host"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(arguments).env("IPVS_LAB", cache.path());
        command.env("PATH", cache.path()).env_remove("IPVS_LAB_MIRROR"); // without apt, which may know one
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("  - the address of a Debian mirror: IPVS_LAB_MIRROR=http://"), "{said}");
        assert!(said.contains("these tests run on any machine with Rust: cargo test -p linux-ipvs"), "{said}");
    }
}
