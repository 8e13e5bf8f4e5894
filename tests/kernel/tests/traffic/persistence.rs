//! The articles' three kinds of persistence: by client (PCC), by port (PPC), by firewall mark
//! (PFWM).

use std::net::{IpAddr, SocketAddr};

use ipvs::{Family, Protocol, ServiceKey};
use kernel_tests::network::{Network, Servers, Speaks, client, virtual_address};
use kernel_tests::target::Target;
use lab_web::Site;

use super::marks;
use super::tables::{BOTH, forget_soon, make, templates, the_one, wait_until_forgotten};

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// A port on which the server speaks first.
const SSH: u16 = 22;

/// Two real servers, of which both have HTTP, and SSH or, with the certificate of one site, HTTPS.
fn shop(site: Option<&Site>) -> (Network, Servers) {
    let network = Network::build(2);
    let other = match site {
        Some(site) => (HTTPS, Speaks::Https(Box::new(site.clone()))),
        None => (SSH, Speaks::Greeting(Protocol::TCP)),
    };
    let servers = network.serve(&[(HTTP, Speaks::Http), other]);
    (network, servers)
}

/// The service, and by direct routing both real servers.
fn table(service: &str, options: &str) -> String {
    let port = service.rsplit_once(':').map_or("0", |(_, port)| port);
    let server = |number| {
        let address = kernel_tests::network::server(number, family(service));
        format!("-a {service} -r {}:{port} -g\n", bracketed(address))
    };
    format!("-A {service} -s rr {options}\n{}{}", server(1), server(2))
}

fn family(service: &str) -> Family {
    if service.contains('[') { Family::V6 } else { Family::V4 }
}

fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

fn http(network: &Network, from: IpAddr) -> String {
    network.fetch(from, virtual_address(Family::of(from), HTTP), None).unwrap().server
}

fn https(network: &Network, from: IpAddr, site: &Site) -> String {
    network.fetch(from, virtual_address(Family::of(from), HTTPS), Some(site)).unwrap().server
}

fn ssh(network: &Network, from: IpAddr) -> String {
    network.ask(Protocol::TCP, from, virtual_address(Family::of(from), SSH)).unwrap().server
}

const ANN: fn() -> IpAddr = || client(Family::V4, 1, 1);
const BOB: fn() -> IpAddr = || client(Family::V4, 2, 2);

/// One virtual service of all ports: what the client asks for makes no difference.
fn by_client(program: Target) {
    let (network, _servers) = shop(None);
    make(&network, program, &table("-t 10.0.0.100:0", "-p 300"));
    let everything =
        |from| the_one([http(&network, from), ssh(&network, from), ssh(&network, from), http(&network, from)]);
    let (ann, bob) = (everything(ANN()), everything(BOB()));
    assert_ne!(ann, bob, "by turns, a new client reaches the other server");
    println!("PCC, {program:?}: HTTP and SSH of one client: {ann}; of another: {bob}");
    assert_eq!((everything(ANN()), everything(BOB())), (ann, bob));
}

/// A virtual service for each port: each remembers its clients, and knows nothing of the other.
fn by_port(program: Target) {
    let (network, _servers) = shop(None);
    make(&network, program, &table("-t 10.0.0.100:80", "-p 300"));
    make(&network, program, &table("-t 10.0.0.100:22", "-p 300"));
    // It is somebody else's turn on one of the two ports.
    let bob = http(&network, BOB());
    let (first_http, first_ssh) = (http(&network, ANN()), ssh(&network, ANN()));
    assert_ne!(first_http, bob);
    assert_ne!(first_http, first_ssh, "the ports are apart");
    println!("PPC, {program:?}: HTTP of one client: {first_http}; SSH: {first_ssh}");
    for _again in 0..2 {
        assert_eq!((http(&network, ANN()), ssh(&network, ANN())), (first_http.clone(), first_ssh.clone()));
    }
    assert_eq!(http(&network, BOB()), bob);
}

/// HTTP and HTTPS with one mark: a shop whose customer pays where the cart is.
fn by_mark(program: Target) {
    let site = Site::new("www.example.net").unwrap();
    let (network, _servers) = shop(Some(&site));
    marks::mark(&network, 10, "10.0.0.100", &[HTTP, HTTPS]);
    make(&network, program, &table("-f 10", ""));
    let customer = || [http(&network, ANN()), https(&network, ANN(), &site)];
    let turns = [customer(), customer(), customer()].concat();
    for pair in turns.windows(2) {
        assert_ne!(pair[0], pair[1], "without persistence the servers take turns: {turns:?}");
    }
    make(&network, program, "-E -f 10 -s rr -p 300\n");
    let ann = the_one([customer(), customer()].concat());
    let bob = the_one([https(&network, BOB(), &site), http(&network, BOB())]);
    assert_ne!(ann, bob, "a new client reaches the other server");
    println!("PFWM, {program:?}: without -p {}; with -p {ann}, another client {bob}", turns.join(" "));
    let remembered = templates(&network);
    let mark: ServiceKey = "mark 10".parse().unwrap();
    assert!(remembered.len() == 2 && remembered.iter().all(|template| template.target == mark), "{remembered:?}");
}

/// Only a server with the site's certificate will do.
#[test]
fn a_client_checks_the_certificate() {
    let site = Site::new("www.example.net").unwrap();
    let (network, _servers) = shop(Some(&site));
    make(&network, Target::IpvsCli, &table("-t 10.0.0.100:443", "-p 300"));
    let at = virtual_address(Family::V4, HTTPS);
    network.fetch(ANN(), at, Some(&site)).unwrap();
    let error = network.fetch(ANN(), at, Some(&Site::new("www.example.net").unwrap())).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// Persistence ends with its timeout: the client's next connection goes where the scheduler says.
fn ends(program: Target) {
    let (network, _servers) = shop(None);
    make(&network, program, &table("-t 10.0.0.100:0", "-p 3"));
    forget_soon(&network);
    let before = the_one([http(&network, ANN()), ssh(&network, ANN())]);
    assert_eq!(templates(&network).len(), 1);
    wait_until_forgotten(&network);
    let after = http(&network, ANN());
    assert_ne!(before, after, "it is the other server's turn");
    println!("after the timeout, {program:?}: {before}, then {after}");
}

/// `-M`: a whole network is one client.
fn by_network(program: Target) {
    let (network, _servers) = shop(None);
    for (family, service, netmask) in
        [(Family::V4, "-t 10.0.0.100:80", "255.255.255.0"), (Family::V6, "-t [fd00::100]:80", "64")]
    {
        make(&network, program, &table(service, &format!("-p 300 -M {netmask}")));
        let office = |number| the_one([1, 2, 200].map(|host| http(&network, client(family, number, host))));
        let (one, other) = (office(7), office(8));
        assert_ne!(one, other, "another network is another client");
        println!("-M {netmask}, {program:?}: one network: {one}; another: {other}");
        let remembered = templates(&network);
        let clients =
            |number| remembered.iter().filter(|template| template.client.ip() == client(family, number, 0)).count();
        assert_eq!((clients(7), clients(8)), (1, 1), "{remembered:?}");
    }
    // Without -M, the same clients are different ones.
    let lone: SocketAddr = virtual_address(Family::V6, HTTP);
    make(&network, program, &format!("-E -t {lone} -s rr -p 300\n"));
    let [one, other] = [11, 12].map(|host| http(&network, client(Family::V6, 9, host)));
    assert_ne!(one, other);
}

macro_rules! with_both_programs {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn is_the_same_with_both_programs() {
                super::BOTH.into_iter().for_each(super::$name);
            }
        })*
    };
}

with_both_programs! { by_client by_port by_mark ends by_network }
