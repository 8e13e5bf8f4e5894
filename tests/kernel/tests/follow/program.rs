//! The program, as people and the service manager run it.
//!
//! `FOLLOW_CHANGES` says how often a file is changed while the follower is killed; a long run takes
//! 1000.

use std::fs;
use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command as Program, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Client, Table};
use kernel_tests::sandbox;
use kernel_tests::target::Target;
use nix::cmsg_space;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};
use nix::unistd::Pid;

/// A director, and a directory for sources.
struct World {
    client: Client,
    directory: PathBuf,
}

impl World {
    fn new() -> Self {
        static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);
        sandbox::enter_network_and_mounts().unwrap_or_else(|error| panic!("{error}"));
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("follow-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        World { client: Client::connect().unwrap(), directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("shop.rules")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// The weights of all destinations, sorted.
    fn weights(&mut self) -> Vec<u32> {
        weights(&self.client.table().unwrap())
    }

    fn wait_for(&mut self, expected: &[u32]) {
        while self.weights() != expected {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn run(&self, script: &str) -> String {
        let output = Program::new("sh").arg("-ec").arg(script).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it wrote to standard error.
    fn ipvs_cli(&self, arguments: &str) -> String {
        let mut command = Program::new(Target::IpvsCli.program().unwrap());
        let output = command.args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn weights(table: &Table) -> Vec<u32> {
    let destinations = table.services().flat_map(|entry| entry.destinations());
    let mut weights: Vec<u32> = destinations.map(|state| state.destination.weight.get()).collect();
    weights.sort_unstable();
    weights
}

/// One service with destinations of these weights.
fn rules(weights: &[u32]) -> String {
    let mut text = "-C\n-A -t 192.0.2.1:80 -s wrr\n".to_owned();
    for (host, weight) in (1..).zip(weights) {
        text += &format!("-a -t 192.0.2.1:80 -r 10.0.0.{host}:80 -m -w {weight}\n");
    }
    text
}

fn ipvs_follow() -> Program {
    Program::new(super::ipvs_follow())
}

/// A follower. Dropped, it is killed.
struct Follower {
    child: Child,
    messages: BufReader<ChildStderr>,
}

impl Follower {
    /// Starts it, and waits until it has made the source.
    fn of(world: &World, options: &str) -> Self {
        let mut follower = Self::start(ipvs_follow(), options, &world.file());
        follower.says("following ");
        follower
    }

    fn start(mut program: Program, options: &str, source: &Path) -> Self {
        program.args(options.split_ascii_whitespace()).arg(source);
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let messages = BufReader::new(child.stderr.take().unwrap());
        Follower { child, messages }
    }

    /// The next message that has this in it.
    fn says(&mut self, part: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert_ne!(self.messages.read_line(&mut all).unwrap(), 0, "it has ended: {all}");
            if all[start..].contains(part) {
                return all[start..].trim_end().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Its exit status, and what else it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.messages.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_way_to_save_a_file_leads_to_its_state() {
    let mut world = World::new();
    world.write(&rules(&[1]));
    let _follower = Follower::of(&world, "");
    // With what is written in `new`.
    let ways = [
        "cp new shop.rules",
        "mv new shop.rules",
        "cat new > shop.rules",
        // sed's own draft, renamed.
        "n=$(sed -n 's/.*-w //p' new); sed -i \"s/-w .*/-w $n/\" shop.rules",
        // vim with backupcopy=no, and with yes.
        "mv shop.rules shop.rules~; cat new > shop.rules; rm shop.rules~",
        "cp shop.rules shop.rules~; cat new > shop.rules; rm shop.rules~",
        // emacs.
        "cp new '#shop.rules#'; mv shop.rules shop.rules~; mv '#shop.rules#' shop.rules",
        // An atomic writer with a link to the text.
        "cp new text-$$; ln -s text-$$ link; mv -T link shop.rules",
        "cp new shop.rules",
        "rm shop.rules; cp new shop.rules",
        "install -m 600 new shop.rules",
        "mkdir -p old; mv shop.rules old; ln new shop.rules; rm new",
    ];
    for (number, way) in (2..).zip(ways) {
        fs::write(world.directory.join("new"), rules(&[number])).unwrap();
        world.run(way);
        world.wait_for(&[number]);
    }
}

/// As kubelet does it, with two files that belong together.
#[test]
fn a_config_map_is_followed() {
    let mut world = World::new();
    let swap = |world: &World, number: u32| {
        world.run(&format!(
            "mkdir -p map/..{number}; cd map
             printf -- '-A -f {number} -s rr\\n-a -f {number} -r 10.0.0.1 -m -w {number}\\n' > ..{number}/a.rules
             printf -- '-C\\n-A -f 99 -s rr\\n-a -f 99 -r 10.0.0.1 -m -w {number}\\n' > ..{number}/b.rules
             ln -s ..{number} ..data_tmp; mv -T ..data_tmp ..data
             ln -sf ..data/a.rules a.rules; ln -sf ..data/b.rules b.rules"
        ));
    };
    swap(&world, 1);
    let mut follower = Follower::start(ipvs_follow(), "", &world.directory.join("map"));
    follower.says("following ");
    world.wait_for(&[1, 1]);
    for number in 2..=5 {
        swap(&world, number);
        world.wait_for(&[number, number]);
    }
}

/// A file whose states have one weight each, which grows: the director has one of them at any time,
/// and never an older one than before.
#[test]
fn a_killed_follower_leaves_a_state_of_the_file() {
    let changes = std::env::var("FOLLOW_CHANGES").map_or(60, |text| text.parse().unwrap());
    let mut world = World::new();
    world.write(&rules(&[1]));
    drop(Follower::of(&world, ""));
    let is_over = AtomicBool::new(false);
    let directory = &world.directory.clone();
    let client = Client::connect().unwrap();
    let kills = thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let (mut client, mut last, mut readings) = (client, 1, 0_u32);
            while !is_over.load(Ordering::SeqCst) {
                let [weight] = weights(&client.table().unwrap())[..] else { panic!("not a state of the file") };
                assert!((last..=changes).contains(&weight), "{weight} after {last}");
                (last, readings) = (weight, readings + 1);
            }
            readings
        });
        let mut kills = 0;
        let mut follower = None;
        for number in 2..=changes {
            let follows =
                follower.get_or_insert_with(|| Follower::start(ipvs_follow(), "", &directory.join("shop.rules")));
            let (file, new) = (directory.join("shop.rules"), directory.join("new"));
            // A file that is no state, now and then.
            match number % 5 {
                0 => fs::write(&file, "").unwrap(),
                1 => fs::write(&file, rules(&[number + 1000]).trim_end()).unwrap(),
                2 => fs::write(&file, "-C\nnonsense\n").unwrap(),
                3 => _ = fs::remove_file(&file),
                _ => {}
            }
            if number % 2 == 0 {
                fs::write(&new, rules(&[number])).unwrap();
                fs::rename(&new, &file).unwrap();
            } else {
                fs::write(&file, rules(&[number])).unwrap();
            }
            // From at once to some time after it has made the change.
            thread::sleep(Duration::from_millis(u64::from(number * 7 % 90)));
            if number % 3 != 0 {
                follows.signal(Signal::SIGKILL);
                follower = None;
                kills += 1;
            }
        }
        drop(follower);
        let _follower = Follower::start(ipvs_follow(), "", &directory.join("shop.rules"));
        world.wait_for(&[changes]);
        is_over.store(true, Ordering::SeqCst);
        assert!(observer.join().unwrap() > 100);
        kills
    });
    println!("figures: {changes} changes, {kills} kills");
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut world = World::new();
    let disk = world.directory.join("disk");
    fs::create_dir(&disk).unwrap();
    world.run("mount -t tmpfs -o size=48k follow disk");
    // The second is longer, so that it needs more of the disk.
    let state = |weight: u32| {
        let comment = format!("\n# {}\n", "x".repeat(80 * weight as usize));
        rules(&[weight; 200]).replace('\n', &comment)
    };
    let file = disk.join("shop.rules");
    fs::write(&file, state(1)).unwrap();
    let mut follower = Follower::start(ipvs_follow(), "", &file);
    follower.says("following ");
    fs::write(world.directory.join("new"), state(2)).unwrap();
    world.run("dd if=/dev/zero of=disk/fill bs=1k count=64 2>/dev/null || true; ! cp new disk/shop.rules 2>/dev/null");
    let left = fs::read(&file).unwrap();
    assert!(left.len() < state(2).len() && !left.is_empty() && !left.ends_with(b"\n"), "{} bytes", left.len());
    follower.says("the last line has no end");
    assert_eq!(world.weights(), [1; 200]);
    // What is put back is the last good state.
    world.client.flush().unwrap();
    world.wait_for(&[1; 200]);
    world.run("rm disk/fill; cp new disk/shop.rules");
    world.wait_for(&[2; 200]);
    drop(follower);
    world.run("umount disk");
}

#[test]
fn what_others_change_comes_back_and_they_are_named() {
    let mut world = World::new();
    world.write(&rules(&[1, 2]));
    let mut follower = Follower::of(&world, "");
    // This process's socket stays open, so it is named.
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let own = format!("after {}[{}]", own.trim_end(), std::process::id());
    for attempt in 0..2 {
        world.client.flush().unwrap();
        let said = follower.says("put back: ");
        assert!(said.contains("1 service added; 2 destinations added"), "{said}");
        assert!(said.contains(&own) && said.ends_with(": -C"), "{attempt}: {said}");
        world.wait_for(&[1, 2]);
    }
    world.ipvs_cli("-d -t 192.0.2.1:80 -r 10.0.0.1:80");
    assert!(follower.says("put back: ").ends_with(": -d -t 192.0.2.1:80 -r 10.0.0.1:80"));
    // Now it waits longer each time, and says so.
    follower.says("undone this 3 times in a row");
    world.wait_for(&[1, 2]);
}

#[test]
fn drained_servers_and_weights_that_are_kept_are_left_alone() {
    let mut world = World::new();
    world.write(&rules(&[1, 2]));
    let mut follower = Follower::of(&world, "--keep-weights");
    world.ipvs_cli("-e -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 9");
    world.ipvs_cli("-d -t 192.0.2.1:80 -r 10.0.0.1:80");
    follower.says("put back: 1 destination added");
    assert_eq!(world.weights(), [1, 9]);
    drop(follower);
    let mut follower = Follower::of(&world, "");
    world.wait_for(&[1, 2]);
    world.ipvs_cli("drain tcp:192.0.2.1:80 10.0.0.1:80");
    world.write(&(rules(&[1, 2]) + "-a -t 192.0.2.1:80 -r 10.0.0.3:80 -m -w 3\n"));
    follower.says("has changed: 1 destination added; 1 destination stays drained");
    world.wait_for(&[0, 2, 3]);
}

/// Names are looked up when the source is read. What moves then is a change of the source.
#[test]
fn a_repair_needs_no_names() {
    let mut world = World::new();
    let hosts = world.directory.join("hosts");
    let name = |line: &str| fs::write(&hosts, format!("{line}\n")).unwrap();
    name("10.0.0.1 web1");
    world.run("mount --bind hosts /etc/hosts");
    world.write("-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r web1:80 -m -w 3\n");
    let mut follower = Follower::of(&world, "");
    for line in ["", "10.0.0.7 web1"] {
        name(line);
        world.client.flush().unwrap();
        let said = follower.says("put back: ");
        assert!(said.contains("put back: 1 service added; 1 destination added"), "{said}");
        let saved = world.run("exec $IPVS_CLI -S -n");
        assert!(saved.contains("-r 10.0.0.1:80"), "{saved}");
    }
    name("");
    follower.signal(Signal::SIGHUP);
    follower.says("shop.rules:2: ");
    follower.says("the last good state stays");
    name("10.0.0.7 web1");
    follower.signal(Signal::SIGHUP);
    let said = follower.says("web1 has another address: 10.0.0.7, not 10.0.0.1: ");
    assert!(said.ends_with(": 1 destination added, 1 deleted"), "{said}");
    world.run("umount /etc/hosts");
}

/// As git and rsync write it: one file after the other.
#[test]
fn a_service_moves_between_two_files_of_a_directory() {
    let mut world = World::new();
    world.run(
        "mkdir shop; echo '-A -f 1 -s rr' > shop/a.rules; echo '-A -f 2 -s rr' >> shop/a.rules
         echo '-A -f 3 -s rr' > shop/b.rules",
    );
    let mut follower = Follower::start(ipvs_follow(), "", &world.directory.join("shop"));
    follower.says("following ");
    let mut monitor = ipvs::monitor::Monitor::open().unwrap();
    world.run(
        "echo '-A -f 1 -s rr' > shop/a.rules; sleep 0.5
         printf -- '-A -f 2 -s rr\\n-A -f 3 -s rr\\n' > shop/b.rules; sleep 0.5
         printf -- '-A -f 2 -s rr\\n-A -f 3 -s rr\\n-A -f 4 -s rr\\n' > shop/b.rules",
    );
    follower.says("has changed: 1 service added");
    assert_eq!(world.client.table().unwrap().services().len(), 4);
    while let Some(event) = monitor.next_before(Instant::now()).unwrap() {
        let text = format!("{event:?}");
        assert!(!text.contains("DeleteService"), "{text}");
    }
}

#[test]
fn who_changes_what_is_followed_learns_that_it_is_put_back() {
    let world = World::new();
    world.write(&rules(&[3, 4, 5]));
    let mut follower = Follower::of(&world, "--owner shop");
    let hint = format!("ipvs-cli: ipvs-follow puts it back: process {} (", follower.child.id());
    let said = world.ipvs_cli("weight tcp:192.0.2.1:80 10.0.0.1 9");
    assert!(said.contains(&hint) && said.ends_with("`ipvs-follow hold` it first\n"), "{said}");
    follower.says("put back: ");
    let said = world.ipvs_cli("drain --delete tcp:192.0.2.1:80 10.0.0.1");
    assert_eq!(said.matches(&hint).count(), 1, "{said}");
    follower.says("put back: ");
    // Nothing is said of what stays: another weight as before, a drained server, another owner's.
    let silent = [
        "weight tcp:192.0.2.1:80 10.0.0.2 4",
        "drain tcp:192.0.2.1:80 10.0.0.2",
        "undrain tcp:192.0.2.1:80 10.0.0.2",
        "weight mark:9 10.0.0.1 7",
    ];
    world.ipvs_cli("-A -f 9 -s wrr");
    world.ipvs_cli("-a -f 9 -r 10.0.0.1 -m -w 2");
    for arguments in silent {
        assert!(!world.ipvs_cli(arguments).contains("ipvs-follow"), "{arguments}");
    }
    // And nobody puts it back while a person holds the follower, or when it has ended.
    assert!(ipvs_follow().args(["hold", "1h"]).status().unwrap().success());
    assert!(!world.ipvs_cli("weight tcp:192.0.2.1:80 10.0.0.3 9").contains("ipvs-follow"));
    assert!(ipvs_follow().arg("release").status().unwrap().success());
    follower.says("put back: ");
    drop(follower);
    assert!(!world.ipvs_cli("weight tcp:192.0.2.1:80 10.0.0.3 9").contains("ipvs-follow"));
    let _follower = Follower::of(&world, "--owner shop --keep-weights");
    assert!(!world.ipvs_cli("weight tcp:192.0.2.1:80 10.0.0.3 8").contains("ipvs-follow"));
}

#[test]
fn two_followers_of_one_owner_are_refused() {
    let world = World::new();
    world.write("-A -f 1 -s rr\n");
    let first = Follower::of(&world, "--owner shop");
    let (status, text) = Follower::start(ipvs_follow(), "--owner shop", &world.file()).end();
    let expected = format!("ipvs-follow: process {} (", first.child.id());
    assert!(text.starts_with(&expected) && text.ends_with("already for the owner shop\n"), "{text}");
    assert_eq!(status, Some(1));
    // Another owner's lives beside it, but not on its service.
    let mut other = Follower::start(ipvs_follow(), "--owner mail", &world.file());
    other.says("owner shop");
    drop(first);
    Follower::of(&world, "--owner shop");
}

#[test]
fn a_hold_lasts_until_it_is_released() {
    let mut world = World::new();
    world.write(&rules(&[1]));
    let mut follower = Follower::of(&world, "");
    let hold = |words: &[&str]| {
        let output = ipvs_follow().args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = hold(&["hold", "1h", "--reason", "new card"]);
    assert_eq!(said, "held for 1h: 1 follower changes nothing until then\n");
    world.write(&rules(&[2]));
    follower.says("held by `ipvs-follow hold`: new card");
    world.client.flush().unwrap();
    follower.signal(Signal::SIGHUP);
    follower.says("SIGHUP");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(world.weights(), [0_u32; 0]);
    assert_eq!(hold(&["release"]), "released\n");
    follower.says("the hold is over");
    assert_eq!(hold(&["release"]), "there was no hold\n");
    world.wait_for(&[2]);
    // One that is over ends by itself.
    hold(&["hold", "2s"]);
    world.client.flush().unwrap();
    world.wait_for(&[2]);
}

/// Between the checks it asks neither the kernel nor the file system.
#[test]
fn nothing_is_read_while_nothing_changes() {
    let mut world = World::new();
    world.write(&rules(&[1]));
    // Where what strace writes is of no interest to the follower.
    let log = std::env::temp_dir().join(format!("strace-{}", std::process::id()));
    let mut strace = Program::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&log).arg(ipvs_follow().get_program());
    let mut follower = Follower::start(strace, "", &world.file());
    follower.says("following ");
    let length = || fs::metadata(&log).unwrap().len();
    // It goes to sleep, on a busy machine after a while.
    let mut before = 0;
    let is_quiet = (0..20).any(|_| {
        before = length();
        thread::sleep(Duration::from_secs(3));
        before == length()
    });
    assert!(is_quiet, "{}", fs::read_to_string(&log).unwrap());
    assert!(fs::read_to_string(&log).unwrap().lines().any(|line| line.contains("sendto(")), "strace sees requests");
    world.client.flush().unwrap();
    world.wait_for(&[1]);
    assert!(length() > before);
    let text = fs::read_to_string(&log).unwrap();
    let pid = text.split(' ').next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    follower.says("ended");
    fs::remove_file(&log).unwrap();
}

#[test]
fn the_service_manager_learns_when_the_director_is_ready() {
    let mut world = World::new();
    let path = world.directory.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    // As systemd, which takes messages of the main process only.
    setsockopt(&manager, PassCred, &true).unwrap();
    let mut program = ipvs_follow();
    program.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let follower = Follower::start(program, "", &world.file());
    let main = follower.child.id();
    let message_with = |part: &str| loop {
        let mut bytes = [0; 1024];
        let (length, sender) = receive(&manager, &mut bytes);
        assert_eq!(sender, main);
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if text.contains(part) {
            return text;
        }
        assert!(!text.contains("READY=1"), "not yet");
    };
    assert!(message_with("STATUS=").contains("No such file"));
    message_with("WATCHDOG=1");
    world.write(&rules(&[1]));
    message_with("READY=1");
    assert_eq!(world.weights(), [1]);
    assert!(message_with("STATUS=").contains("the director is as the source says"));
    follower.signal(Signal::SIGTERM);
    message_with("STOPPING=1");
    let (status, text) = follower.end();
    assert_eq!(status, Some(0));
    assert!(text.ends_with("ipvs-follow: ended; the director stays as it is\n"), "{text}");
    assert_eq!(world.weights(), [1]);
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    assert!(!devices.contains("ipvsmon"), "{devices}");
    // The signs of life that a manager wants of another process are not given.
    let mut program = ipvs_follow();
    program.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1");
    let follower = Follower::start(program, "", &world.file());
    let mut all = String::new();
    while !all.contains("STOPPING=1") {
        let mut bytes = [0; 1024];
        let (length, _) = receive(&manager, &mut bytes);
        all += &String::from_utf8_lossy(&bytes[..length]);
        if all.contains("as the source says") && !all.contains("STOPPING=1") {
            thread::sleep(Duration::from_millis(500));
            follower.signal(Signal::SIGTERM);
        }
    }
    assert!(all.contains("READY=1") && !all.contains("WATCHDOG=1"), "{all}");
}

/// A message to the service manager, and the process that the kernel says it is of.
fn receive(manager: &UnixDatagram, bytes: &mut [u8]) -> (usize, u32) {
    let mut space = cmsg_space!(UnixCredentials);
    let mut buffers = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(manager.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty()).unwrap();
    let sender = received.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid().cast_unsigned()),
        _ => None,
    });
    (received.bytes, sender.unwrap())
}

#[test]
fn without_a_view_of_netlink_the_interval_is_left() {
    let mut world = World::new();
    world.write(&rules(&[1]));
    let mut program = Program::new("setpriv");
    program.args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"]).arg(ipvs_follow().get_program());
    let mut follower = Follower::start(program, "--recheck 1s", &world.file());
    let said = follower.says("CAP_NET_RAW");
    assert!(said.ends_with("; what other programs change is found every 1 s only"), "{said}");
    follower.says("following ");
    for _ in 0..2 {
        world.client.flush().unwrap();
        let said = follower.says("");
        assert!(said.ends_with("after a change that was not seen"), "said once: {said}");
        world.wait_for(&[1]);
    }
}

#[test]
fn figures_are_served() {
    let world = World::new();
    world.write(&rules(&[1]));
    let mut program = ipvs_follow();
    program.args(["--listen", "127.0.0.1:9876"]);
    let mut follower = Follower::start(program, "", &world.file());
    follower.says("following ");
    let mut connection = TcpStream::connect("127.0.0.1:9876").unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).unwrap();
    for line in ["ipvs_follow_as_desired 1", "ipvs_follow_sees_changes 1", "ipvs_follow_changes_total 1"] {
        assert!(page.lines().any(|other| other == line), "{line}: {page}");
    }
}

/// Neither a check nor a hold depends on what time it is.
#[test]
fn a_clock_that_jumps_delays_nothing() {
    let mut world = World::new();
    world.write(&rules(&[1]));
    let mut follower = Follower::of(&world, "--recheck 365d");
    let set = |jump: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let then = format!("@{}", now.cast_signed() + jump);
        assert!(Program::new("date").args(["-s", &then]).stdout(Stdio::null()).status().unwrap().success());
    };
    for (weight, jump) in (2..).zip([-100_000, 300_000, -200_000]) {
        set(jump);
        world.write(&rules(&[weight]));
        world.wait_for(&[weight]);
        assert!(ipvs_follow().args(["hold", "2s"]).status().unwrap().success());
        world.client.flush().unwrap();
        follower.says("held by");
        set(jump);
        follower.says("the hold is over");
        world.wait_for(&[weight]);
    }
    set(0);
}
