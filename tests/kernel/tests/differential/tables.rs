//! Random tables: any address, mark and number that a command line can ask for. Listed by both
//! programs in one namespace, they must look alike, also where the order wraps; saved and restored
//! by `ipvs-cli`, nothing may be lost.

use crate::play::{self, Tally};
use crate::pools;
use crate::step::{Step, transcript};
use crate::wanted::{self, On, Verdict};
use crate::world::Pair;
use ipvs::{Client, Table};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use kernel_tests::contents::Contents;
use kernel_tests::target::Target;
use libtest_mimic::{Failed, Trial};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Each is shown of each table.
const VIEWS: &str = "-L -n
-L -n --nosort
-L -n --stats
-L -n --rate --exact
-L -n --thresholds
-L -n --persistent-conn
-L -n --tun-info
-S -n
";

/// The number of tables in memory, where it is quick.
const IN_MEMORY: u32 = 500;

/// The trials; on the kernel with this many tables.
pub(crate) fn trials(seed: u64, tables: u32) -> Vec<Trial> {
    vec![
        Trial::test("fake::save_and_restore_lose_nothing", move || run(seed, IN_MEMORY, saved_in_memory)),
        Trial::test("tables::save_and_restore_lose_nothing", move || {
            let pair = Pair::new();
            run(seed, tables, |script| saved(&pair, script))
        }),
        Trial::test("tables::listings_are_equal", move || {
            let pair = Pair::new();
            run(seed, tables, |script| listed(&pair, script))
        }),
    ]
}

fn run(seed: u64, cases: u32, test: impl Fn(&str) -> Result<(), String>) -> Result<(), Failed> {
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&table(), |script| test(&script).map_err(TestCaseError::fail));
    result.map_err(|error| match error {
        TestError::Fail(reason, script) => format!("$ ipvsadm -R\n{script}\n{reason}").into(),
        TestError::Abort(reason) => reason.to_string().into(),
    })
}

fn restored(script: impl Into<Vec<u8>>) -> Step {
    Step::new(["ipvsadm", "-R"]).fed(script)
}

/// Both list the same namespace: the kernel's own order decides where ipvsadm's comparison
/// contradicts itself.
fn listed(pair: &Pair, script: &str) -> Result<(), String> {
    pair.renew();
    let world = &pair.ipvsadm;
    let (fill, views) = (restored(script), restored(VIEWS));
    world.run(Target::Ipvsadm, &fill.command, &fill.stdin);
    let (ipvsadm, ipvs_cli) = play::list(world, &views);
    match wanted::judge(On::OneTable, &views, &ipvsadm, &ipvs_cli) {
        Verdict::Equal(titles) => {
            let mut tally = Tally { commands: VIEWS.lines().count(), ..Tally::default() };
            titles.into_iter().for_each(|title| *tally.wanted.entry(title).or_default() += 1);
            play::add(tally);
            Ok(())
        }
        _ => Err(format!(
            "{views:?}\n{}\nDIFFERENCE (ipvs-cli)\n{}",
            transcript(&ipvsadm).join("\n"),
            transcript(&ipvs_cli).join("\n")
        )),
    }
}

/// Saves in one namespace, restores in the other.
fn saved(pair: &Pair, script: &str) -> Result<(), String> {
    pair.renew();
    let fill = restored(script);
    pair.ipvs_cli.run(Target::IpvsCli, &fill.command, &fill.stdin);
    let save = Step::new(["ipvsadm-save", "-n"]);
    let saved = pair.ipvs_cli.run(Target::IpvsCli, &save.command, b"");
    let restore = restored(saved.stdout);
    let restored = pair.ipvsadm.run(Target::IpvsCli, &restore.command, &restore.stdin);
    if !restored.stderr.is_empty() {
        return Err(format!("{restore:?}\n{}", transcript(&restored).join("\n")));
    }
    equal(pair.ipvs_cli.contents(), pair.ipvsadm.contents(), &restore.stdin)
}

fn equal(before: Contents, after: Contents, saved: &[u8]) -> Result<(), String> {
    let (before, after) = (before.sorted(), after.sorted());
    if before == after {
        return Ok(());
    }
    Err(format!("# saved:\n{}# before: {before:?}\n# after: {after:?}", String::from_utf8_lossy(saved)))
}

fn saved_in_memory(script: &str) -> Result<(), String> {
    let [mut before, mut after] = [(); 2].map(|()| Director::with(Client::fake(Table::new())));
    call(&mut before, "-R", script.as_bytes());
    let (saved, complaints) = call(&mut before, "-S -n", b"");
    let (_, refused) = call(&mut after, "-R", &saved);
    if !complaints.is_empty() || !refused.is_empty() {
        let text = [&saved[..], &complaints, &refused].map(String::from_utf8_lossy).concat();
        return Err(format!("refused: {text}"));
    }
    let [before, after] = [before, after].map(|mut kernel| {
        let table = kernel.client().and_then(Client::table).map_err(|error| error.to_string());
        table.map(|table| Contents::of(&table))
    });
    equal(before?, after?, &saved)
}

/// `ipvs-cli` in this process: what it prints on both streams.
fn call(kernel: &mut Director, arguments: &str, mut stdin: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let argv: Vec<_> = std::iter::once("ipvsadm").chain(arguments.split(' ')).map(Into::into).collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
    ipvs_cli::run(&argv, &mut environment, kernel);
    (stdout, stderr)
}

/// Lines for `-R`: services, each with its servers. Some of them the kernel refuses, and the same
/// ones everywhere.
fn table() -> impl Strategy<Value = String> {
    vec(prop_oneof![3 => block(v4_key(), v4(), v4_mask()), 2 => block(v6_key(), v6(), v6_mask())], 0..12)
        .prop_map(|blocks| blocks.concat())
}

fn block(
    key: impl Strategy<Value = String>,
    at: impl Strategy<Value = String>,
    mask: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    // A mask without persistence means nothing, and is not saved.
    let persistence = option::of((1..=2_678_400u32, option::of(mask), select(&["", " --pe sip"][..])).prop_map(
        |(seconds, mask, engine)| {
            let mask = mask.map_or(String::new(), |mask| format!(" -M {mask}"));
            format!(" -p {seconds}{mask}{engine}")
        },
    ));
    (key, select(pools::SCHEDULING), persistence, vec((at, any::<u16>(), server()), 0..6)).prop_map(
        |(key, scheduling, persistence, servers)| {
            let persistence =
                persistence.unwrap_or_else(|| if key.ends_with(":0") { " -p".into() } else { String::new() });
            let scheduling = scheduling.replace('=', " ");
            let mut text = format!("-A {key} {scheduling}{persistence}\n");
            for (at, port, options) in servers {
                text += &format!("-a {key} -r {at}:{port}{options}\n");
            }
            text
        },
    )
}

fn v4() -> impl Strategy<Value = String> {
    let near = any::<u8>().prop_map(|host| [192, 0, 2, host]);
    prop_oneof![near, any::<[u8; 4]>()].prop_map(|octets| Ipv4Addr::from(octets).to_string())
}

fn v6() -> impl Strategy<Value = String> {
    let near = any::<u8>().prop_map(|host| (0x2001_0db8_u128 << 96) | u128::from(host));
    prop_oneof![near, any::<u128>()].prop_map(|bits| format!("[{}]", Ipv6Addr::from_bits(bits)))
}

const PROTOCOLS: &[&str] = &["-t", "-u", "--sctp-service"];

fn v4_key() -> impl Strategy<Value = String> {
    let at = (select(PROTOCOLS), v4(), any::<u16>()).prop_map(|(option, at, port)| format!("{option} {at}:{port}"));
    prop_oneof![3 => at, 1 => (1..=u32::MAX).prop_map(|mark| format!("-f {mark}"))]
}

fn v6_key() -> impl Strategy<Value = String> {
    let at = (select(PROTOCOLS), v6(), any::<u16>()).prop_map(|(option, at, port)| format!("{option} {at}:{port}"));
    prop_oneof![3 => at, 1 => (1..=u32::MAX).prop_map(|mark| format!("-f {mark} -6"))]
}

fn v4_mask() -> impl Strategy<Value = String> {
    any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).to_string())
}

fn v6_mask() -> impl Strategy<Value = String> {
    (1..=128u8).prop_map(|bits| bits.to_string())
}

/// The options of a server.
fn server() -> impl Strategy<Value = String> {
    let checksum = || select(&["", " --tun-nocsum", " --tun-csum"][..]);
    let more = prop_oneof![3 => checksum(), 1 => Just(" --tun-remcsum")];
    let forwarding = prop_oneof![
        Just(" -m".to_owned()),
        Just(" -g".to_owned()),
        Just(" -i".to_owned()),
        (1..=u16::MAX, more).prop_map(|(port, flag)| format!(" -i --tun-type gue --tun-port {port}{flag}")),
        checksum().prop_map(|flag| format!(" -i --tun-type gre{flag}")),
    ];
    let number = || prop_oneof![0..100u32, 0..=i32::MAX.cast_unsigned()];
    (forwarding, number(), option::of((number(), number()))).prop_map(|(forwarding, weight, thresholds)| {
        let thresholds =
            thresholds.map_or(String::new(), |(one, other)| format!(" -x {} -y {}", one.max(other), one.min(other)));
        format!("{forwarding} -w {weight}{thresholds}")
    })
}
