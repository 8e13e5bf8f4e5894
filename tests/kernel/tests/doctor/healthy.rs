//! Sites without a fault: the doctor has no problem to report, however often it looks.

use super::super::{Found, doctor};
use super::sites::{KINDS, Kind, Site};

/// How often each site is looked at, with `DOCTOR_LOOKS=100`. Otherwise some are looked at twice.
fn looks() -> Option<usize> {
    std::env::var("DOCTOR_LOOKS").ok().map(|text| text.parse().expect("a number"))
}

fn no_problem(kind: Kind, looks: usize) {
    let Some(site) = Site::build(kind) else { return };
    let problems = |found: Vec<Found>| found.into_iter().filter(|found| found.is_problem).collect::<Vec<_>>();
    for look in 0..looks {
        // Before, while and after there are connections.
        if look % 2 == 1 {
            site.works(2).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        }
        for options in ["", "--probe"] {
            let found = problems(doctor(&site.network.director, options));
            assert!(found.is_empty(), "{} {options}: {found:?}", kind.name);
        }
        for server in &site.network.servers {
            let found = problems(doctor(server, &kind.role()));
            assert!(found.is_empty(), "{} {}: {found:?}", kind.name, server.name);
        }
    }
    println!("{}: no problem in {looks} looks", kind.name);
}

#[test]
fn healthy_sites_have_no_problem() {
    match looks() {
        Some(looks) => KINDS.into_iter().for_each(|kind| no_problem(kind, looks)),
        None if kernel_tests::on_one_kernel() => {
            ["dr", "nat6"].into_iter().for_each(|name| no_problem(Kind::named(name), 2));
        }
        None => println!("tested on one kernel"),
    }
}
