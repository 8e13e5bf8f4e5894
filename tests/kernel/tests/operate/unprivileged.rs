//! What somebody without privileges sees of a director.

use std::process::Command;

use ipvs::{
    proc,
    sysctl::{Sysctl, SysctlValue, Sysctls},
};

use super::world::{Done, World, program};

const RULES: &str = "-A -t 10.0.0.1:80 -s rr -p 300 -M 255.255.255.0
-a -t 10.0.0.1:80 -r 127.0.0.1 -i -w 5
-A -u 10.0.0.1:53 -s wlc -o
-a -u 10.0.0.1:53 -r 127.0.0.7 -m
-A -f 7 -6 -s wrr
-a -f 7 -6 -r [2001:db8::9]:0 -m -w 0
-A -t [2001:db8::1]:80 -s sh -p 100 -M 64
";

/// Our program without any capability.
fn show(world: &World, arguments: &[&str]) -> Done {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(program()).arg("show").args(arguments);
    world.start(command, "").wait_with_output().unwrap().into()
}

#[test]
fn a_listing_without_privileges_says_so_and_shows_what_is_public() {
    let world = World::new();
    assert_eq!(world.run("apply --quiet -", RULES).status, 0);
    let done = show(&world, &[]);
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    assert!(done.stdout.starts_with("Without privileges: from /proc/net/ip_vs"), "{}", done.stdout);
    for line in [
        "TCP  10.0.0.1:80 rr persistent 30000 ticks mask 255.255.255.0\n",
        "  -> 127.0.0.1:80                 Tunnel  5      0          0\n",
        "UDP  10.0.0.1:53 wlc ops\n",
        "TCP  [2001:db8::1]:80 sh persistent 10000 ticks mask 64\n",
        "FWM  7 wrr\n  -> [2001:db8::9]:0              Masq    0      0          0\n",
    ] {
        assert!(done.stdout.contains(line), "{line:?} is not in\n{}", done.stdout);
    }
    assert!(!show(&world, &["udp:10.0.0.1:53"]).stdout.contains("TCP  10"));
    // As for root.
    for missing in ["udp:10.0.0.1:54", "mark:8"] {
        let refused = show(&world, &[missing]);
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{missing}");
        assert!(refused.stderr.starts_with("ipvs-cli: /proc/net/ip_vs has no service "), "{}", refused.stderr);
    }
    // Root of a user namespace, as in a rootless container, is nobody to netlink.
    let mut root = Command::new("unshare");
    root.args(["-U", "-r"]).arg(program()).arg("show");
    let seen: Done = world.start(root, "").wait_with_output().unwrap().into();
    assert_eq!((seen.status, seen.stdout, seen.stderr), (0, done.stdout.clone(), String::new()));
    // These stand for the whole truth.
    for notation in ["--json", "--toml", "--rules"] {
        let refused = show(&world, &[notation]);
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{notation}");
        assert!(refused.stderr.contains("Permission denied"), "{notation}: {}", refused.stderr);
    }
    // ipvsadm has nothing to show then, and neither has its stand-in.
    let mut drop_in = Command::new("setpriv");
    drop_in.args(["--bounding-set", "-all"]).arg(program()).args(["-L", "-n"]);
    let refused: Done = world.start(drop_in, "").wait_with_output().unwrap().into();
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
}

#[test]
fn the_public_table_has_all_services_and_the_totals_are_there() {
    let world = World::new();
    assert_eq!(world.run("apply --quiet -", RULES).status, 0);
    let public = proc::Table::read().unwrap();
    assert_eq!(public.services.len(), 4);
    assert_eq!(public.services.iter().filter(|service| matches!(service.key, proc::Key::Mark(_))).count(), 1);
    assert_eq!(ipvs::proc::totals().unwrap().connections, 0);
}

#[test]
fn every_known_sysctl_of_this_kernel_is_read_by_its_kind() {
    let _world = World::new();
    let sysctls = Sysctls::new();
    for entry in std::fs::read_dir("/proc/sys/net/ipv4/vs").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // One of a later release is reported by `behaviors::report`.
        let Ok(sysctl) = name.parse::<Sysctl>() else { continue };
        sysctls.get(sysctl).unwrap_or_else(|error| panic!("{error}"));
    }
    let kernel = ipvs::KernelVersion::running();
    let expected = Sysctl::ALL.iter().filter(|sysctl| sysctl.since().is_none_or(|since| kernel >= since)).count();
    // How a kernel was built decides about three of them, and two are of modules. A stable release
    // may have more.
    assert!(sysctls.all().unwrap().len() + 5 >= expected, "{:?}", sysctls.all());
    sysctls.set(Sysctl::SyncThreshold, &SysctlValue::Pair(2, 10)).unwrap();
    assert_eq!(sysctls.get(Sysctl::SyncThreshold).unwrap(), SysctlValue::Pair(2, 10));
    for value in [1, 0] {
        sysctls.set(Sysctl::ExpireNodestConn, &SysctlValue::Number(value)).unwrap();
        assert_eq!(sysctls.get(Sysctl::ExpireNodestConn).unwrap(), SysctlValue::Number(value));
    }
    assert!(sysctls.set(Sysctl::SyncPorts, &SysctlValue::Number(65)).is_err());
}
