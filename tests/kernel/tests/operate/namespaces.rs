//! Directors of other network namespaces, by name, process and path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ipvs::{Client, Command as Change, Error, Namespace, Service, ServiceKey};

use super::world::World;

/// A network namespace that `ip netns` knows by this name, and a process in it.
struct Named {
    name: &'static str,
    child: Child,
}

impl Named {
    fn new(name: &'static str) -> Self {
        ip(&["netns", "add", name]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name, "sh", "-c", "echo; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // When it speaks, it is there.
        let out = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(out, &mut [0]).unwrap();
        Named { name, child }
    }

    /// By name, process and path.
    fn spellings(&self) -> [String; 3] {
        let pid = self.child.id();
        [self.name.to_owned(), pid.to_string(), format!("/proc/{pid}/ns/net")]
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("ip").args(["netns", "delete", self.name]).status();
    }
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

fn own() -> PathBuf {
    fs::read_link("/proc/thread-self/ns/net").unwrap()
}

fn keys(client: &mut Client) -> Vec<String> {
    client.services().unwrap().iter().map(|state| state.service.key().to_string()).collect()
}

#[test]
fn a_client_has_the_table_of_the_namespace_that_it_is_for() {
    let mut world = World::new();
    let named = Named::new("ipvs-lib");
    let home = own();
    world.client.execute(&Change::AddService(Service::new("mark 1".parse().unwrap()))).unwrap();
    for (at, text) in named.spellings().iter().enumerate() {
        let namespace: Namespace = text.parse().unwrap();
        let mut there = Client::builder().namespace(namespace).connect().unwrap();
        assert_eq!(own(), home, "{text}");
        let key: ServiceKey = format!("tcp 10.0.0.{at}:80").parse().unwrap();
        there.add_service(&Service::new(key)).unwrap();
        there.add_destination(&key, &ipvs::Destination::new("127.0.0.1:80".parse().unwrap())).unwrap();
        assert!(keys(&mut there).contains(&key.to_string()), "{text}");
        // Both interfaces lead there, and so does a copy.
        let mut read = there.destinations(&key).unwrap();
        read.iter_mut().for_each(|state| state.statistics = None);
        assert_eq!(there.destinations_without_statistics(&key).unwrap(), read);
        assert_eq!(keys(&mut there.try_clone().unwrap()).len(), at + 1);
        assert_eq!(keys(&mut world.client), ["mark 1"], "{text}");
    }
}

#[test]
fn a_client_that_was_moved_to_another_namespace_still_reads_its_own() {
    let mut world = World::new();
    let named = Named::new("ipvs-moved");
    let key = "tcp 10.0.0.1:80".parse().unwrap();
    world.client.add_service(&Service::new(key)).unwrap();
    world.client.add_destination(&key, &ipvs::Destination::new("127.0.0.1:80".parse().unwrap())).unwrap();
    let mut client = world.client;
    let there: Namespace = named.name.parse().unwrap();
    // The socket of the older interface is not there yet.
    let read = there.within(|| client.destinations_without_statistics(&key).unwrap()).unwrap();
    assert_eq!(read.len(), 1);
}

#[test]
fn the_thread_comes_back_from_a_panic() {
    let _world = World::new();
    let named = Named::new("ipvs-panic");
    let home = own();
    let there: Namespace = named.name.parse().unwrap();
    let fell = std::panic::catch_unwind(|| there.within(|| panic!("on purpose")));
    assert!(fell.is_err());
    assert_eq!(own(), home);
}

/// Its sockets keep it alive; who comes later is told that it is gone.
#[test]
fn a_namespace_may_vanish_while_it_is_read() {
    let _world = World::new();
    let named = Named::new("ipvs-vanishes");
    let there: Namespace = named.name.parse().unwrap();
    let mut client = Client::builder().namespace(there).connect().unwrap();
    let wanted = super::world::table(1..=40, 1);
    client.reconcile(&wanted, &ipvs::Planner::new()).unwrap();
    let is_read = |client: &mut Client| ipvs::plan(&client.table().unwrap(), &wanted).is_empty();
    let vanishing = std::thread::spawn(move || drop(named));
    while !vanishing.is_finished() {
        assert!(is_read(&mut client));
    }
    vanishing.join().unwrap();
    assert!(is_read(&mut client));
    client.execute(&Change::Flush).unwrap();
    assert_eq!(keys(&mut client), [""; 0]);
    let error = client.try_clone().unwrap_err();
    assert!(matches!(&error, Error::Namespace(_)), "{error}");
}

#[test]
fn a_namespace_that_is_none_is_an_error_that_says_which() {
    let _world = World::new();
    let home = own();
    for text in ["ipvs-nowhere", "/dev/null", "4294967295"] {
        let namespace: Namespace = text.parse().unwrap();
        let error = Client::builder().namespace(namespace).connect().unwrap_err();
        assert!(matches!(&error, Error::Namespace(_)), "{text}: {error}");
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
    assert_eq!(own(), home);
}

/// What is about the kernel's table, its connections, marks or the machine is that of the other namespace.
#[test]
fn all_subcommands_look_there() {
    let world = World::new();
    let named = Named::new("ipvs-all");
    let there = |line: &str, input: &str| {
        let (subcommand, rest) = line.split_once(' ').unwrap_or((line, ""));
        world.run(format!("{subcommand} --netns {} {rest}", named.name).trim_end(), input)
    };
    let rules = "-A -u 127.0.0.10:53 -s rr\n-a -u 127.0.0.10:53 -r 127.0.0.1:5300 -m -w 3\n-A -f 7\n";
    assert_eq!(there("apply --quiet -", rules).status, 0);
    ip(&["netns", "exec", named.name, "bash", "-c", "echo >/dev/udp/127.0.0.10/53"]);
    assert_eq!(there("conns --count", "").stdout, "1\n");
    assert_eq!(world.run("conns --count", "").stdout, "0\n");
    let metrics = there("metrics", "").stdout;
    assert!(metrics.contains("ipvs_services 2\n") && metrics.contains("service=\"mark 7\""), "{metrics}");
    assert!(world.run("metrics", "").stdout.contains("ipvs_services 0\n"));
    let watched = there("watch --interval 0.1 --count 1", "").stdout;
    assert!(watched.contains("Z udp 127.0.0.10:53: ") && watched.contains("Z mark 7: "), "{watched}");
    let drained = there("drain --timeout 0 --json udp:127.0.0.10:53 127.0.0.1", "");
    assert!(drained.stdout.contains("\"outcome\": \"late\""), "{drained:?}");
    assert_eq!(
        there("undrain udp:127.0.0.10:53 127.0.0.1", "").stdout,
        "127.0.0.1:5300 at udp 127.0.0.10:53: weight 3\n"
    );
    // Where nothing can mark packets, no rule does.
    let found = there("doctor", "").stdout;
    assert!(found.contains("the IPv4 service of mark 7 gets no packets"), "{found}");
    if there("mark add 7 udp:127.0.0.10:53", "").status == 0 {
        assert_eq!(there("mark list", "").stdout, "7 udp:127.0.0.10:53\n");
        assert_eq!(world.run("mark list", "").stdout, "");
        assert!(!there("doctor", "").stdout.contains("mark 7 gets no packets"));
    }
}

#[test]
fn subcommands_take_a_namespace() {
    let mut world = World::new();
    let named = Named::new("ipvs-cli");
    let rules = "-A -f 7 -s rr\n-a -f 7 -r 127.0.0.1 -m\n";
    for (at, text) in named.spellings().iter().enumerate() {
        let applied = world.run(&format!("apply --netns {text} -"), rules);
        assert_eq!((applied.status, applied.stderr.as_str()), (0, ""), "{text}");
        assert_eq!(applied.stdout == "nothing to change\n", at > 0, "{text}: {}", applied.stdout);
        let shown = world.run(&format!("--netns={text} show --rules"), "");
        assert_eq!(shown.stdout, "-A -f 7 -s rr\n-a -f 7 -r 127.0.0.1:0 -m -w 1\n", "{text}");
    }
    assert_eq!(keys(&mut world.client), [""; 0]);
    let missing = world.run("show --netns ipvs-nowhere", "");
    assert_eq!((missing.status, missing.stdout.as_str()), (2, ""));
    let file = Path::new("/run/netns/ipvs-nowhere");
    assert_eq!(
        missing.stderr,
        format!(
            "ipvs-cli: cannot enter the network namespace {}: No such file or directory (os error 2)\n",
            file.display()
        )
    );
    // The language of ipvsadm has no such option.
    assert_eq!(world.run("-L -n --netns ipvs-cli", "").status, 255);
}
