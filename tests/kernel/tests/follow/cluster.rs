//! Three members of etcd and three directors, each in a network namespace of its own, on one wire.
//!
//! etcd is Debian's. It speaks TLS and wants a user and a password, but for its own members, who
//! trust each other here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ipvs::Client;
use ipvs::netns::Namespace;
use kernel_tests::sandbox;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

/// Of the members; the directors are `lb1` (10.0.0.1) to `lb3`.
pub(super) const MEMBERS: [u8; 3] = [11, 12, 13];
pub(super) const SOURCE: &str = "etcds://10.0.0.11,10.0.0.12,10.0.0.13/ipvs/shop";
const ENDPOINTS: &str = "https://10.0.0.11:2379,https://10.0.0.12:2379,https://10.0.0.13:2379";

/// As docs/etcd.md shows it.
const SHOP: &str = "\
version = 1

[[services]]
address = \"192.0.2.1:80\"
protocol = \"tcp\"
scheduler = \"wrr\"
destinations = [
    { address = \"10.0.1.1:80\", forwarding = \"masquerade\", weight = 1 },
    { address = \"10.0.1.2:80\", forwarding = \"masquerade\", weight = 1 },
]
";

/// The wire, and everything that runs on it. Dropped, all of it ends.
pub(super) struct Cluster {
    pub(super) directory: PathBuf,
    members: [Option<Child>; 3],
    /// Is a password needed?
    pub(super) has_users: bool,
}

impl Cluster {
    pub(super) fn build() -> Self {
        static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
        sandbox::enter_network_and_mounts().unwrap_or_else(|error| panic!("{error}"));
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("fleet-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let cluster = Cluster { directory, members: [None, None, None], has_users: false };
        // etcd reserves 64 MB for each file of its log, which takes no memory on a ramfs.
        let mut script = "mount -t ramfs etcd .; ip link add wire type bridge; ip link set wire up\n".to_owned();
        // Names of namespaces are those of all tests.
        script += "mkdir -p /run/netns; mount -t tmpfs names /run/netns\n";
        for (name, number) in ["e1", "e2", "e3", "lb1", "lb2", "lb3"].into_iter().zip([11, 12, 13, 1, 2, 3]) {
            script += &format!(
                "ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}
                 ip link set {name} master wire up; ip -n {name} link set lo up
                 ip -n {name} addr add 10.0.0.{number}/24 dev eth0; ip -n {name} link set eth0 up\n"
            );
        }
        cluster.run(&script);
        cluster.make_certificates();
        for (name, text) in [("password", "push\n"), ("director", "watch\n"), ("wrong", "x\n"), ("shop.toml", SHOP)] {
            fs::write(cluster.directory.join(name), text).unwrap();
        }
        cluster
    }

    fn make_certificates(&self) {
        let write = |name: &str, text: String| fs::write(self.directory.join(name), text).unwrap();
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            write(name, authority.pem());
            authority
        };
        let (known, _) = (authority("ca.pem"), authority("other-ca.pem"));
        let names = ["10.0.0.11", "10.0.0.12", "10.0.0.13", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        // Its gateway is a client of itself.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        write("etcd.pem", params.signed_by(&key, &known).unwrap().pem());
        write("etcd.key", key.serialize_pem());
    }

    /// Starts all members, and waits until they serve.
    pub(super) fn start(&mut self) {
        (0..3).for_each(|index| self.start_member(index));
        (0..3).for_each(|index| self.wait_until_healthy(index));
    }

    /// Waits until a member has a leader and answers. etcdctl takes a second to say so.
    fn wait_until_healthy(&self, index: usize) {
        let mut program = Program::new("ip");
        program.args(["netns", "exec", "e1"]).arg(super::ipvs_follow()).args(["fleet", "--cacert", "ca.pem"]);
        if self.has_users {
            program.args(["--user", "operator", "--password-file", "password"]);
        }
        program.arg(format!("etcds://10.0.0.{}/ipvs/shop", MEMBERS[index])).current_dir(&self.directory);
        while program.output().unwrap().status.code() == Some(2) {
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn start_member(&mut self, index: usize) {
        let number = MEMBERS[index];
        let peers = (1..).zip(MEMBERS).map(|(index, number)| format!("e{index}=http://10.0.0.{number}:2380"));
        let peers: Vec<String> = peers.collect();
        let name = format!("e{}", index + 1);
        let mut etcd = Program::new("ip");
        etcd.args(["netns", "exec", &name]).arg(program("etcd")).current_dir(&self.directory);
        etcd.args(["--name", &name, "--data-dir", &format!("{name}.data"), "--initial-cluster", &peers.join(",")]);
        etcd.args([format!("--initial-advertise-peer-urls=http://10.0.0.{number}:2380")]);
        etcd.args([format!("--listen-peer-urls=http://10.0.0.{number}:2380")]);
        etcd.args([format!("--listen-client-urls=https://10.0.0.{number}:2379")]);
        etcd.args([format!("--advertise-client-urls=https://10.0.0.{number}:2379")]);
        etcd.args(["--cert-file=etcd.pem", "--key-file=etcd.key", "--auto-compaction-retention=0"]);
        // Each command of the test logs in.
        etcd.arg("--bcrypt-cost=4");
        etcd.args(["--logger=zap", "--log-level=error", "--heartbeat-interval=300", "--election-timeout=3000"]);
        let log =
            fs::File::options().append(true).create(true).open(self.directory.join(format!("{name}.log"))).unwrap();
        self.members[index] =
            Some(etcd.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// As a machine that loses its power.
    pub(super) fn kill(&mut self, index: usize) {
        let mut child = self.members[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until a member serves again.
    pub(super) fn restart(&mut self, index: usize) {
        self.start_member(index);
        self.wait_until_healthy(index);
    }

    /// The member that leads.
    pub(super) fn leader(&self) -> usize {
        loop {
            let output = self.etcdctl("endpoint status");
            let lines = String::from_utf8(output.stdout).unwrap();
            let leader = lines.lines().find(|line| line.split(", ").nth(4) == Some("true"));
            if let Some(leader) = leader {
                return MEMBERS.iter().position(|number| leader.contains(&format!("10.0.0.{number}:"))).unwrap();
            }
        }
    }

    /// Ends all members, and starts them with this snapshot, as after a disaster.
    pub(super) fn restore(&mut self, snapshot: &str) {
        (0..3).for_each(|index| self.kill(index));
        let peers = "e1=http://10.0.0.11:2380,e2=http://10.0.0.12:2380,e3=http://10.0.0.13:2380";
        for (name, number) in ["e1", "e2", "e3"].into_iter().zip(MEMBERS) {
            let etcdctl = program("etcdctl");
            self.run(&format!(
                "rm -rf {name}.data; ETCDCTL_API=3 {} snapshot restore {snapshot} --name {name} --initial-cluster {peers} \
                 --initial-advertise-peer-urls http://10.0.0.{number}:2380 --data-dir {name}.data 2>/dev/null",
                etcdctl.display()
            ));
        }
        self.start();
    }

    /// etcdctl, as root.
    pub(super) fn etcdctl(&self, words: &str) -> Output {
        self.command(&format!("--endpoints {ENDPOINTS} {words}"))
    }

    /// A copy of all that the cluster holds.
    pub(super) fn save(&self, snapshot: &str) {
        until_done(|| self.command(&format!("--endpoints https://10.0.0.11:2379 snapshot save {snapshot}")));
    }

    /// Writes a key without any check, as a person might.
    pub(super) fn put(&self, key: &str, value: &str) {
        // What looks like an option is a value.
        until_done(|| self.command_of(&format!("--endpoints {ENDPOINTS} put {key} --"), &[value]));
    }

    fn command(&self, words: &str) -> Output {
        self.command_of(words, &[])
    }

    fn command_of(&self, words: &str, values: &[&str]) -> Output {
        let mut etcdctl = Program::new("ip");
        etcdctl.args(["netns", "exec", "e1"]).arg(program("etcdctl")).env("ETCDCTL_API", "3");
        etcdctl.args(["--cacert", "ca.pem", "--dial-timeout=30s", "--command-timeout=60s"]);
        if self.has_users {
            etcdctl.args(["--user", "root:secret"]);
        }
        etcdctl.args(words.split(' ')).args(values).current_dir(&self.directory).output().unwrap()
    }

    /// The same; it succeeds.
    pub(super) fn must(&self, words: &str) {
        until_done(|| self.etcdctl(words));
    }

    /// A connection to a director's kernel.
    pub(super) fn director(&self, name: &str) -> Client {
        Client::builder().namespace(Namespace::named(name).unwrap()).connect().unwrap()
    }

    pub(super) fn run(&self, script: &str) {
        let output = Program::new("sh").arg("-ec").arg(script).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.members.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            for name in ["e1", "e2", "e3"] {
                eprintln!(
                    "{name}: {}",
                    fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default()
                );
            }
        }
    }
}

/// While a cluster on a busy machine has no leader, etcdctl fails after some attempts.
fn until_done(act: impl Fn() -> Output) {
    let mut output = act();
    while String::from_utf8_lossy(&output.stderr).contains("retrying of unary invoker failed") {
        output = act();
    }
    assert!(output.status.success(), "{output:?}");
}

fn program(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("LAB_ETCD").expect("the lab sets LAB_ETCD")).join(name)
}
