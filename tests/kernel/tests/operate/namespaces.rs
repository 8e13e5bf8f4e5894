//! Directors of other network namespaces, by name, process and path.

use std::fs;
use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};

use ipvs::{
    AsyncClient, Client, Command as Change, Error, Service, ServiceKey,
    netns::{Namespace, NamespaceError},
};

use super::world::{Done, World, program, start};

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

/// The sockets of a client keep it alive.
#[test]
fn a_namespace_may_vanish_while_it_is_read() {
    let _world = World::new();
    let named = Named::new("ipvs-vanishes");
    let there: Namespace = named.name.parse().unwrap();
    let mut client = Client::builder().namespace(there).connect().unwrap();
    let wanted = super::world::table(1..=40, 1);
    client.reconcile(&wanted, &ipvs::change::Planner::new()).unwrap();
    let is_read = |client: &mut Client| ipvs::change::plan(&client.table().unwrap(), &wanted).is_empty();
    let vanishing = std::thread::spawn(move || drop(named));
    while !vanishing.is_finished() {
        assert!(is_read(&mut client));
    }
    vanishing.join().unwrap();
    assert!(is_read(&mut client));
    client.execute(&Change::Flush).unwrap();
    assert_eq!(keys(&mut client), [""; 0]);
    // There is no way to it by its name any more, but by the client.
    assert!(matches!("ipvs-vanishes".parse::<Namespace>(), Err(NamespaceError::Open { .. })));
    client.add_service(&Service::new("mark 9".parse().unwrap())).unwrap();
    assert_eq!(keys(&mut client.try_clone().unwrap()), ["mark 9"]);
}

/// A director in a namespace of this name, with one service, whose client was made on a thread that
/// was there.
fn client_made_there(name: &str, mark: u32) -> Client {
    let mut client = name.parse::<Namespace>().unwrap().within(Client::connect).unwrap().unwrap();
    client.add_service(&Service::new(format!("mark {mark}").parse().unwrap())).unwrap();
    client
}

#[test]
fn clones_stay_in_the_namespace_of_their_client() {
    let mut world = World::new();
    let named = Named::new("ipvs-clones");
    let home = own();
    let there = client_made_there(named.name, 1);
    assert_eq!(keys(&mut there.try_clone().unwrap()), ["mark 1"]);
    // From there, a clone of the one at home is at home.
    let namespace: Namespace = named.name.parse().unwrap();
    let mut clone = namespace.within(|| world.client.try_clone()).unwrap().unwrap();
    assert_eq!(keys(&mut clone), [""; 0]);
    assert_eq!((there.namespace().unwrap(), own()), (namespace, home));
    assert_eq!(clone.namespace().unwrap(), Namespace::of_this_thread().unwrap());
    assert_eq!(keys(&mut world.client), [""; 0]);
}

#[test]
fn a_name_that_goes_to_another_namespace_takes_no_client_along() {
    let _world = World::new();
    let first = Named::new("ipvs-again");
    let namespace: Namespace = "ipvs-again".parse().unwrap();
    let mut client = Client::builder().namespace(namespace.clone()).connect().unwrap();
    client.add_service(&Service::new("mark 1".parse().unwrap())).unwrap();
    drop(first);
    let _second = Named::new("ipvs-again");
    let mut new = client_made_there("ipvs-again", 2);
    assert_eq!(keys(&mut client.try_clone().unwrap()), ["mark 1"]);
    assert_eq!(keys(&mut Client::builder().namespace(namespace.clone()).connect().unwrap()), ["mark 1"]);
    assert_eq!((client.namespace().unwrap(), keys(&mut new)), (namespace.clone(), vec!["mark 2".to_owned()]));
    assert_ne!(namespace, "ipvs-again".parse().unwrap());
}

/// The number of a descriptor is free for another file once it is closed.
#[test]
fn a_namespace_by_the_number_of_a_descriptor_stays_the_same() {
    let _world = World::new();
    let [one, two] = ["ipvs-fd-one", "ipvs-fd-two"].map(Named::new);
    let open = |named: &Named| fs::File::open(format!("/run/netns/{}", named.name)).unwrap();
    let file = open(&one);
    let namespace: Namespace = format!("/proc/self/fd/{}", file.as_raw_fd()).parse().unwrap();
    rustix::io::dup2(open(&two), &mut OwnedFd::from(file)).unwrap();
    let mut client = Client::builder().namespace(namespace.clone()).connect().unwrap();
    client.add_service(&Service::new("mark 1".parse().unwrap())).unwrap();
    let mut by_descriptor =
        Client::builder().namespace(OwnedFd::from(open(&one)).try_into().unwrap()).connect().unwrap();
    assert_eq!(keys(&mut by_descriptor), ["mark 1"]);
    assert_eq!(keys(&mut client.try_clone().unwrap()), ["mark 1"]);
    assert_eq!(namespace, one.name.parse().unwrap());
}

/// Its socket is opened by the call, though the future is polled elsewhere.
#[test]
fn an_asynchronous_client_is_of_the_namespace_where_it_was_asked_for() {
    let world = World::new();
    let named = Named::new("ipvs-async");
    let mut there = client_made_there(named.name, 1);
    let namespace: Namespace = named.name.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let marks = |mut client: AsyncClient| {
        let services = runtime.block_on(client.services_without_statistics()).unwrap();
        services.iter().map(|state| state.service.key().to_string()).collect::<Vec<_>>()
    };
    let connecting = namespace.within(AsyncClient::connect).unwrap();
    let client = runtime.block_on(connecting).unwrap();
    assert_eq!(client.namespace().unwrap(), namespace);
    let clone = runtime.block_on(async { client.try_clone() }).unwrap();
    assert_eq!((marks(client), marks(clone)), (vec!["mark 1".to_owned()], vec!["mark 1".to_owned()]));
    let by_builder = AsyncClient::builder().namespace(namespace).connect_async();
    assert_eq!(marks(runtime.block_on(by_builder).unwrap()), keys(&mut there));
    drop(world);
}

#[test]
fn an_asynchronous_client_without_a_runtime_is_an_error() {
    let _world = World::new();
    let mut connecting = Box::pin(AsyncClient::connect());
    let polled = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(Error::NoRuntime))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(AsyncClient::connect()).unwrap();
    assert!(matches!(client.try_clone(), Err(Error::NoRuntime)));
}

/// Before Linux 5.14 a socket has no cookie of its namespace: a filter of system calls simulates
/// it.
#[test]
fn a_kernel_that_tells_no_cookies_is_asked_by_descriptor() {
    let world = World::new();
    let named = Named::new("ipvs-cookies");
    let key = "tcp 10.0.0.1:80".parse().unwrap();
    let mut there = client_made_there(named.name, 1);
    there.add_service(&Service::new(key)).unwrap();
    there.add_destination(&key, &ipvs::Destination::new("127.0.0.1:80".parse().unwrap())).unwrap();
    deny_cookies();
    assert_eq!(keys(&mut there.try_clone().unwrap()).len(), 2);
    assert_eq!(keys(&mut world.client.try_clone().unwrap()), [""; 0]);
    assert_eq!(there.destinations_without_statistics(&key).unwrap().len(), 1);
}

/// On this thread, for good: tests have one each.
fn deny_cookies() {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    let asks = |argument, value: i32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64).unwrap()
    };
    let cookie = [asks(1, libc::SOL_SOCKET), asks(2, libc::SO_NETNS_COOKIE)];
    let rules = [(libc::SYS_getsockopt, vec![SeccompRule::new(cookie.into()).unwrap()])].into();
    let refuse = SeccompAction::Errno(libc::ENOPROTOOPT as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// What a broadcast address is, the client's network decides, and not that of the thread that asks.
#[test]
fn a_refusal_is_explained_by_the_network_of_the_client() {
    let world = World::new();
    let named = Named::new("ipvs-explain");
    let route = ["-n", named.name, "route", "add", "broadcast", "10.1.2.3", "dev", "lo", "table", "local"];
    ip(&route);
    let key = "mark 1".parse().unwrap();
    let add = Change::AddDestination(key, ipvs::Destination::new("10.1.2.3:0".parse().unwrap()));
    let mut there = client_made_there(named.name, 1);
    let errno = there.execute(&add).unwrap_err().errno().unwrap();
    let cause = there.explain(&add, errno).unwrap();
    assert!(matches!(cause, Some(ipvs::Cause::NotAHost(_))), "{cause:?}");
    // Here it is a host like any other.
    let mut here = world.client;
    here.add_service(&Service::new(key)).unwrap();
    let namespace: Namespace = named.name.parse().unwrap();
    let cause = namespace.within(|| here.explain(&add, errno)).unwrap().unwrap();
    assert!(!matches!(cause, Some(ipvs::Cause::NotAHost(_))), "{cause:?}");
}

/// Nothing is local in a new namespace, and nothing a host.
#[test]
fn a_namespace_without_an_address_is_named_as_the_reason() {
    let _world = World::new();
    // The kernel takes a server that it has no route to, and lets any address be bound.
    let other = "ip link add d0 type dummy && ip address add 198.51.100.1/24 dev d0 && ip link set d0 up \
        && echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind";
    for (before, status, how) in [
        (other, 0, "apply --dry-run"),
        (other, 0, "apply"),
        ("true", 1, "apply"),
        ("true", 1, "apply --dry-run"),
        ("true", 2, "diff"),
        ("ip link set lo up", 0, "apply --dry-run"),
        ("ip link set lo up", 0, "apply"),
    ] {
        let script = format!("{before} && exec {} {how} -", program().display());
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", &script]);
        let rules = "-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 192.0.2.11 -m\n";
        let done: Done = start(command, rules).wait_with_output().unwrap().into();
        assert_eq!(done.status, status, "{}", done.stderr);
        let said = "standard input:2: this network namespace has no address yet, so the kernel takes no destination: \
            `ip link set lo up` first";
        assert_eq!(done.stderr.starts_with(said), status != 0, "{}", done.stderr);
    }
}

#[test]
fn a_namespace_that_is_none_is_an_error_that_says_which() {
    let _world = World::new();
    let home = own();
    for text in ["ipvs-nowhere", "/dev/null", "4294967295"] {
        let connect = |namespace| Client::builder().namespace(namespace).connect();
        let error = text.parse().map_err(Error::Namespace).and_then(connect).unwrap_err();
        assert!(matches!(&error, Error::Namespace(_)), "{text}: {error}");
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
    assert_eq!(own(), home);
}

/// What is about the kernel's table, its connections, marks or the machine is that of the other
/// namespace.
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
    assert!(
        metrics.contains("ipvs_services{netns=\"ipvs-all\"} 2\n") && metrics.contains("service=\"mark 7\""),
        "{metrics}"
    );
    assert!(world.run("metrics", "").stdout.contains("ipvs_services 0\n"));
    let watched = there("watch --interval 0.1 --count 1", "").stdout;
    assert!(watched.contains("Z udp 127.0.0.10:53: ") && watched.contains("Z mark 7: "), "{watched}");
    let drained = there("drain --force --timeout 0 --json udp:127.0.0.10:53 127.0.0.1", "");
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
            "ipvs-cli: cannot open the network namespace {}: No such file or directory (os error 2)\n",
            file.display()
        )
    );
    // The language of ipvsadm has no such option.
    assert_eq!(world.run("-L -n --netns ipvs-cli", "").status, 255);
}
