//! A fleet on etcd: what each of three directors holds after each thing that happens to a fleet.
//! docs/directors.md has the figures.
//!
//! Nothing here depends on how fast the machine is: each step waits for what it leads to. The
//! limits are for a run in which that never comes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command as Program, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::Client;

use super::cluster::{Cluster, SOURCE};
use super::ipvs_follow;

const DIRECTORS: [&str; 3] = ["lb1", "lb2", "lb3"];
const OPTIONS: &str = "--cacert ca.pem --user operator --password-file password";
const DIRECTOR: &str = "--cacert ca.pem --user director --password-file director";

/// No step takes as long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// A follower in a director's namespace. Dropped, it is killed.
struct Follower {
    child: Child,
    messages: Receiver<String>,
}

impl Follower {
    fn start(cluster: &Cluster, name: &str, options: &str) -> Self {
        Follower::start_as(cluster, name, name, options)
    }

    fn start_as(cluster: &Cluster, name: &str, host: &str, options: &str) -> Self {
        let mut program = Program::new("ip");
        program.args(["netns", "exec", name]).arg(ipvs_follow()).current_dir(&cluster.directory);
        let state = format!("state-{name}");
        let _ = fs::create_dir(cluster.directory.join(&state));
        program.args(["--state-dir", &state, "--max-deletions", "2", "--lease", "6s"]);
        program.args(["--host", host, "--copy", &format!("{state}/copy")]);
        program.args(options.split(' ')).arg(SOURCE);
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, messages) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Follower { child, messages }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The next message that has this in it.
    fn says(&self, part: &str) -> String {
        let mut all = Vec::new();
        loop {
            let line = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{part}: {all:#?}"));
            if line.contains(part) {
                return line;
            }
            all.push(line);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.messages.try_iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Waits for this. A test that would wait for ever says nothing.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not in {} s: {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The weights that a director has, one for each destination.
fn weights(client: &mut Client) -> Vec<u32> {
    let table = client.table().unwrap();
    let destinations = table.services().flat_map(|entry| entry.destinations());
    let mut weights: Vec<u32> = destinations.map(|state| state.destination.weight.get()).collect();
    weights.sort_unstable();
    weights
}

/// A state of three real servers with this weight.
fn state(weight: u32) -> String {
    let server = |host: u32| format!("-a -t 192.0.2.1:80 -r 10.0.1.{host}:80 -m -w {weight}\n");
    format!("-C\n-A -t 192.0.2.1:80 -s wrr\n{}", (1..=3).map(server).collect::<String>())
}

/// The commands of a page, each with what it prints.
fn transcripts(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match (line, is_inside, commands.last_mut()) {
            ("```console", _, _) => is_inside = true,
            ("```", _, _) => is_inside = false,
            (line, true, last) => match (line.strip_prefix("admin# "), line.strip_prefix("> "), last) {
                (Some(command), _, _) => commands.push((command.to_owned(), String::new())),
                (None, Some(more), Some((command, _))) => *command += &format!("\n{more}"),
                (None, None, Some((_, output))) => *output += &format!("{line}\n"),
                _ => panic!("not a command: {line}"),
            },
            _ => {}
        }
    }
    commands
}

struct Fleet {
    started: Instant,
    cluster: Cluster,
    directors: Vec<Client>,
}

impl Fleet {
    fn new() -> Self {
        let started = Instant::now();
        let mut cluster = Cluster::build();
        cluster.start();
        println!("figures: etcd is up: {:.1} s", started.elapsed().as_secs_f64());
        let directors = DIRECTORS.map(|name| cluster.director(name)).into();
        Fleet { started, cluster, directors }
    }

    /// Types the commands of the page, in one shell, at a machine that reaches etcd.
    fn play(&self, commands: &[(String, String)]) {
        let (follow, etcd) = (ipvs_follow(), std::env::var("LAB_ETCD").unwrap());
        let directory = Path::new(&follow).parent().unwrap().display();
        let mut script = format!("exec 2>&1; set -e; PATH=$PATH:{etcd}:{directory}\n");
        // A cluster on a busy machine elects a leader now and then. Then a command is typed again.
        script += "export ETCDCTL_COMMAND_TIMEOUT=300s ETCDCTL_DIAL_TIMEOUT=300s\n";
        script += "ipvs-follow() { until ask \"$@\"; do :; done; cat said >&2; cat printed; return $(cat status); }\n";
        script += "ask() { command ipvs-follow \"$@\" >printed 2>said && echo 0 >status || echo $? >status
                   ! grep -q '^ipvs-follow: etcd cannot be reached' said; }\n";
        // What the page has set before.
        script += "export ETCDCTL_API=3 ETCDCTL_CACERT=ca.pem ETCDCTL_ENDPOINTS=https://10.0.0.11:2379\n";
        for (command, _) in commands {
            let command = command.replace("--within 30s", "--within 300s");
            script += &format!("{command}\necho =====; cut -d' ' -f1 /proc/uptime >&3\n");
        }
        let mut shell = Program::new("ip");
        shell.args(["netns", "exec", "e1", "bash", "-c", &format!("{{\n{script}}} 3>times")]);
        let output = shell.current_dir(&self.cluster.directory).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        for ((command, expected), printed) in commands.iter().zip(printed.split("=====\n")) {
            assert_eq!(lines(printed), lines(expected), "{command}");
        }
        assert!(output.status.success(), "{printed}");
        let times = fs::read_to_string(self.cluster.directory.join("times")).unwrap();
        let times: Vec<f64> = times.lines().map(|time| time.parse().unwrap()).collect();
        for ((command, _), times) in commands[1..].iter().zip(times.windows(2)) {
            println!("figures: {command}: {:.1} s", times[1] - times[0]);
        }
    }

    /// `ipvs-follow fleet`, at a machine that reaches etcd.
    fn fleet(&self, words: &str) -> Output {
        let mut program = Program::new("ip");
        program.args(["netns", "exec", "e1"]).arg(ipvs_follow()).arg("fleet").current_dir(&self.cluster.directory);
        program.args(OPTIONS.split(' ')).args(words.replace("SOURCE", SOURCE).split(' ')).output().unwrap()
    }

    /// Its standard output; it succeeds, once etcd can be reached.
    fn must(&self, words: &str) -> String {
        let mut output = self.fleet(words);
        while output.status.code() == Some(2) {
            output = self.fleet(words);
        }
        assert!(output.status.success(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says beside that.
    fn run(&self, words: &str) -> String {
        let output = self.fleet(words);
        assert!(output.status.success(), "{words}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Its standard error; it is refused.
    fn refused(&self, words: &str) -> String {
        let output = self.fleet(words);
        assert_eq!(output.status.code(), Some(1), "{words}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn push(&self, text: &str) -> u64 {
        fs::write(self.cluster.directory.join("new"), text).unwrap();
        self.must("push SOURCE new").trim_end().parse().unwrap()
    }

    /// Waits until the directors have these weights, and the fleet's view says that all is well.
    fn settles(&mut self, expected: [u32; 3]) {
        for (director, weight) in self.directors.iter_mut().zip(expected) {
            until("a director has its weights", || weights(director) == [weight; 3]);
        }
        self.must("SOURCE --expect lb1,lb2,lb3 --within 600s");
        self.hold(expected);
    }

    fn hold(&mut self, expected: [u32; 3]) {
        let held: Vec<_> = self.directors.iter_mut().map(weights).collect();
        assert_eq!(held, expected.map(|weight| vec![weight; 3]));
    }

    fn phase(&self, name: &str) {
        println!("{:.0} s: {name}", self.started.elapsed().as_secs_f64());
    }

    /// Does something, and says how long it takes until all directors have these weights.
    fn timed(&mut self, what: &str, expected: [u32; 3], act: impl FnOnce(&mut Self)) {
        let started = Instant::now();
        act(self);
        self.settles(expected);
        println!("figures: {what}: {:.1} s", started.elapsed().as_secs_f64());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        println!("figures: all of it: {:.1} s", self.started.elapsed().as_secs_f64());
    }
}

fn all_say(followers: &[Follower], part: &str) {
    followers.iter().for_each(|follower| _ = follower.says(part));
}

/// Sets users up as the page does, and starts the directors. Returns the rest of the page, too.
fn begin() -> (Fleet, [Follower; 3], Vec<(String, String)>) {
    let mut fleet = Fleet::new();
    let text = fs::read_to_string("../../docs/etcd.md").unwrap();
    let mut page = transcripts(&text);
    let users = page.iter().position(|(command, _)| command.contains("SOURCE=")).unwrap();
    let rest = page.split_off(users);
    fleet.play(&page);
    fleet.cluster.has_users = true;
    let followers = DIRECTORS.map(|name| Follower::start(&fleet.cluster, name, DIRECTOR));
    for follower in &followers {
        follower.says("/ipvs/shop/current does not exist in etcd");
    }
    (fleet, followers, rest)
}

/// From nothing to a rolling change and a rollback, and a state that is none.
#[test]
fn a_fleet_does_what_its_page_says() {
    let (fleet, followers, page) = begin();
    fleet.play(&page);
    fleet.cluster.put("/ipvs/shop/current", "none");
    for follower in &followers {
        follower.says("/ipvs/shop/current: the value must be the number of a generation");
    }
    fleet.must("current SOURCE 1");
    fleet.must("SOURCE --expect lb1,lb2,lb3 --within 600s");
}

#[test]
fn a_fleet_holds_what_its_pointers_say() {
    if std::env::var_os("FLEET").is_none() {
        return println!("skipped: it takes minutes; FLEET=1 runs it (CONTRIBUTING.md)");
    }
    let (mut fleet, followers, page) = begin();
    // From nothing to a rolling change and a rollback: what the page shows.
    fleet.play(&page);
    assert_eq!(fleet.push(&state(1)), 3);
    assert_eq!(fleet.push(&state(1)), 3, "the same text is the same generation");
    fleet.timed("rollout", [1; 3], |fleet| _ = fleet.must("current SOURCE 3"));
    assert_eq!(fleet.push(&state(2)), 4);

    fleet.phase("members that die");
    let leader = fleet.cluster.leader();
    let other = (leader + 1) % 3;
    fleet.cluster.kill(other);
    fleet.timed("rollout, one member dead", [2; 3], |fleet| _ = fleet.must("current SOURCE 4"));
    fleet.cluster.restart(other);
    let leader = fleet.cluster.leader();
    fleet.timed("rollout, the leader killed at that moment", [1; 3], |fleet| {
        let started = Instant::now();
        fleet.cluster.kill(leader);
        fleet.must("current SOURCE 3");
        println!("figures: until there is a leader that takes it: {:.1} s", started.elapsed().as_secs_f64());
    });
    fleet.cluster.restart(leader);

    fleet.phase("a director that is cut off");
    fleet.cluster.run("ip -n lb2 link set eth0 down");
    let started = Instant::now();
    until("it is missed", || {
        String::from_utf8_lossy(&fleet.fleet("SOURCE --expect lb2").stdout).contains("no sign of life")
    });
    println!("figures: a director that is cut off is missed: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(fleet.push(&state(3)), 5);
    fleet.must("current SOURCE 5");
    followers[1].says("etcd cannot be reached");
    until("the other two have the generation", || {
        [0, 2].iter().all(|&index| weights(&mut fleet.directors[index]) == [3; 3])
    });
    fleet.hold([3, 1, 3]);
    let answer = fleet.refused("SOURCE --expect lb1,lb2,lb3 --json");
    assert!(answer.contains("not every director"), "{answer}");
    fleet.timed("a director is back", [3; 3], |fleet| fleet.cluster.run("ip -n lb2 link set eth0 up"));

    fleet.phase("what is no state is not pushed, and not made if it is there all the same");
    fs::write(fleet.cluster.directory.join("new"), "nonsense\n").unwrap();
    assert!(fleet.refused("push SOURCE new").contains("new:1"));
    assert!(fleet.refused("current SOURCE 6").contains("there is no generation 6"));
    for (number, value, reason) in [
        (6, "-A -t localhost:80\n", "/ipvs/shop/generations/6:1"),
        (7, "--start-daemon master --mcast-interface eth0\n", "sync daemons"),
    ] {
        fleet.cluster.put(&format!("/ipvs/shop/generations/{number}"), value);
        assert!(fleet.refused(&format!("current SOURCE {number}")).contains(reason));
        fleet.cluster.put("/ipvs/shop/current", &number.to_string());
        all_say(&followers, reason);
    }
    fleet.hold([3; 3]);
    until("the fleet's view has the reason", || {
        let shown = String::from_utf8(fleet.fleet("SOURCE").stdout).unwrap();
        shown.matches("sync daemons").count() == 3 && shown.contains("current generation: 7")
    });
    fleet.timed("back from a bad generation", [3; 3], |fleet| _ = fleet.must("current SOURCE 5"));

    fleet.phase("more deletions than are allowed");
    let number = fleet.push("-C\n");
    fleet.must(&format!("current SOURCE {number}"));
    all_say(&followers, "--max-deletions is 2");
    fleet.hold([3; 3]);
    fleet.must("rollback SOURCE");
    fleet.settles([3; 3]);

    fleet.phase("two directors with one name");
    let namesake = Follower::start_as(&fleet.cluster, "lb2", "lb1", &format!("{DIRECTOR} --owner other"));
    for follower in [&followers[0], &namesake] {
        follower.says("several directors of the fleet have this name");
    }
    until("the fleet's view has the reason", || {
        String::from_utf8_lossy(&fleet.fleet("SOURCE").stdout).contains("several directors")
    });
    drop(namesake);
    fleet.settles([3; 3]);
    assert!(fleet.run("prune SOURCE --keep 1").contains("generations removed: "));

    // The largest state that etcd takes, and a compaction that removes the watched revision.
    let large = "# x\n".repeat((1_500_000) / 4) + &state(2);
    let number = fleet.push(&large);
    fleet.timed("1.5 MB", [2; 3], |fleet| _ = fleet.must(&format!("current SOURCE {number}")));
}

/// Emptied, restored from an old backup, not there at a boot, and reached with the wrong files.
#[test]
fn a_fleet_outlives_its_etcd() {
    if std::env::var_os("FLEET").is_none() {
        return println!("skipped: it takes minutes; FLEET=1 runs it (CONTRIBUTING.md)");
    }
    let (mut fleet, mut followers, _) = begin();
    assert_eq!(fleet.push(&state(3)), 1);
    fleet.timed("the first state", [3; 3], |fleet| _ = fleet.must("current SOURCE 1"));
    fleet.cluster.save("old");
    assert_eq!(fleet.push(&state(2)), 2);
    fleet.timed("rollout", [2; 3], |fleet| _ = fleet.must("current SOURCE 2"));

    fleet.phase("emptied");
    fleet.cluster.must("del --prefix /ipvs/shop/");
    all_say(&followers, "/ipvs/shop/current does not exist in etcd");
    fleet.hold([2; 3]);

    fleet.phase("restored from an old backup: nothing is made of it until a person says so");
    fleet.cluster.restore("old");
    all_say(&followers, "is not followed, as etcd was restored or made anew");
    fleet.hold([2; 3]);
    assert_eq!(fleet.push(&state(1)), 2);
    fleet.timed("a restored etcd is confirmed", [1; 3], |fleet| _ = fleet.must("current SOURCE 2"));

    fleet.phase("a director that boots while etcd is not there");
    (0..3).for_each(|index| fleet.cluster.kill(index));
    followers[0].kill();
    fleet.directors[0].flush().unwrap();
    followers[0] = Follower::start(&fleet.cluster, "lb1", DIRECTOR);
    let said = followers[0].says("made of the copy of generation 2, which etcd confirmed last ");
    assert!(said.ends_with(": 1 service added; 3 destinations added"), "{said}");
    fleet.hold([1; 3]);
    fleet.cluster.start();
    followers[0].says("the source is as it was before");
    fleet.settles([1; 3]);

    fleet.phase("others' certificates and passwords");
    drop(followers);
    for (options, reason) in [
        ("--cacert other-ca.pem --user director --password-file director", "invalid peer certificate"),
        ("--cacert ca.pem --user director --password-file wrong", "authentication failed"),
        ("--cacert ca.pem", "user name is empty"),
    ] {
        let follower = Follower::start(&fleet.cluster, "lb1", options);
        let said = follower.says(reason);
        assert!(said.contains("etcd"), "{said}");
        fleet.hold([1; 3]);
    }
    let follower = Follower::start(&fleet.cluster, "lb1", DIRECTOR);
    follower.says("following etcds://");
}
