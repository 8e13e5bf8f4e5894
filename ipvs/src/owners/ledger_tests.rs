use super::*;
use crate::command::Command;
use crate::name::Scheduler;

fn table(services: &[&str]) -> Table {
    let mut table = Table::new();
    for key in services {
        table.apply(&Command::AddService(Service::new(key.parse().unwrap()))).unwrap();
    }
    table
}

fn shop() -> Writer {
    Writer::of("shop".parse().unwrap())
}

fn mail() -> Writer {
    Writer::of("mail".parse().unwrap())
}

/// Makes the change as a program would, and returns the commands.
fn apply(
    ledger: &mut Ledger,
    writer: &Writer,
    present: &mut Table,
    desired: &Table,
) -> Result<Vec<Command>, Conflicts> {
    apply_with(Planner::new(), ledger, writer, present, desired)
}

fn apply_with(
    planner: Planner,
    ledger: &mut Ledger,
    writer: &Writer,
    present: &mut Table,
    desired: &Table,
) -> Result<Vec<Command>, Conflicts> {
    ledger.prune(present);
    let planner = ledger.restrict(planner, writer, present, desired)?;
    ledger.claim(writer, &planner, present, desired);
    let plan = planner.plan(present, desired);
    for command in plan.commands() {
        present.apply(command).unwrap();
    }
    ledger.settle(writer, &planner, desired);
    Ok(plan.commands().to_vec())
}

fn keys(table: &Table) -> Vec<String> {
    let mut keys: Vec<_> = table.services().map(|entry| entry.service().key().to_string()).collect();
    keys.sort();
    keys
}

#[test]
fn an_owner_deletes_only_what_it_applied_before() {
    let (mut ledger, mut director) = (Ledger::new(), table(&["udp 192.0.2.9:53"]));
    apply(&mut ledger, &mail(), &mut director, &table(&["tcp 192.0.2.1:25"])).unwrap();
    apply(&mut ledger, &shop(), &mut director, &table(&["tcp 192.0.2.1:80", "tcp 192.0.2.1:443"])).unwrap();
    apply(&mut ledger, &shop(), &mut director, &table(&["tcp 192.0.2.1:443"])).unwrap();
    assert_eq!(keys(&director), ["tcp 192.0.2.1:25", "tcp 192.0.2.1:443", "udp 192.0.2.9:53"]);
}

#[test]
fn services_of_another_owner_and_of_nobody_are_refused_by_name() {
    let (mut ledger, mut director) = (Ledger::new(), table(&["udp 192.0.2.9:53"]));
    apply(&mut ledger, &mail(), &mut director, &table(&["tcp 192.0.2.1:25"])).unwrap();
    let desired = table(&["tcp 192.0.2.1:25", "udp 192.0.2.9:53", "tcp 192.0.2.1:80"]);
    let Conflicts(conflicts) = apply(&mut ledger, &shop(), &mut director, &desired).unwrap_err();
    let texts: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["udp 192.0.2.9:53 is there and has no owner", "tcp 192.0.2.1:25 belongs to the owner mail"]);

    apply(&mut ledger, &shop().take(), &mut director, &desired).unwrap();
    assert!(ledger.claims().all(|(_, claim)| claim.owner().as_str() == "shop"));
    assert_eq!(ledger.claims().len(), 3);
}

#[test]
fn a_writer_without_an_owner_leaves_owned_services_alone() {
    let (mut ledger, mut director) = (Ledger::new(), table(&["udp 192.0.2.9:53"]));
    apply(&mut ledger, &mail(), &mut director, &table(&["tcp 192.0.2.1:25"])).unwrap();
    let nobody = Writer::default();
    apply(&mut ledger, &nobody, &mut director, &Table::new()).unwrap();
    assert_eq!(keys(&director), ["tcp 192.0.2.1:25"]);
    assert!(apply(&mut ledger, &nobody, &mut director, &table(&["tcp 192.0.2.1:25"])).is_err());
    apply(&mut ledger, &nobody.take(), &mut director, &table(&["tcp 192.0.2.1:25"])).unwrap();
    assert!(ledger.is_empty());
}

#[test]
fn a_service_that_was_made_anew_differently_has_no_owner() {
    let (mut ledger, mut director) = (Ledger::new(), Table::new());
    let desired = table(&["tcp 192.0.2.1:25"]);
    apply(&mut ledger, &mail(), &mut director, &desired).unwrap();
    let key = "tcp 192.0.2.1:25".parse().unwrap();
    director.apply(&Command::DeleteService(key)).unwrap();
    director.apply(&Command::AddService(Service::new(key).with_scheduler(Scheduler::RR))).unwrap();
    assert_eq!(ledger.prune(&director), [(key, "mail".parse().unwrap())]);
    assert!(apply(&mut ledger, &mail(), &mut director, &desired).is_err());
}

#[test]
fn until_a_change_is_settled_both_configurations_are_the_owners() {
    let (mut ledger, mut director) = (Ledger::new(), Table::new());
    apply(&mut ledger, &mail(), &mut director, &table(&["tcp 192.0.2.1:25"])).unwrap();
    let key = "tcp 192.0.2.1:25".parse().unwrap();
    let mut desired = table(&["tcp 192.0.2.1:587"]);
    desired.apply(&Command::AddService(Service::new(key).with_scheduler(Scheduler::RR))).unwrap();
    let planner = ledger.restrict(Planner::new(), &mail(), &director, &desired).unwrap();
    ledger.claim(&mail(), &planner, &director, &desired);
    let plan = planner.plan(&director, &desired);
    // A crash after each command: what is there has its owner, and nothing that is not there.
    for sent in 0..=plan.commands().len() {
        let mut after = director.clone();
        plan.commands()[..sent].iter().for_each(|command| after.apply(command).unwrap());
        let mut stored: Ledger = ledger.to_string().parse().unwrap();
        stored.prune(&after);
        assert_eq!(stored.claims().len(), after.services().len(), "after {sent} commands");
    }
}

#[test]
fn what_is_not_edited_or_deleted_keeps_its_owner() {
    let (mut ledger, mut director) = (Ledger::new(), Table::new());
    apply(&mut ledger, &mail(), &mut director, &table(&["tcp 192.0.2.1:25", "tcp 192.0.2.1:587"])).unwrap();
    let mut desired = Table::new();
    let key = "tcp 192.0.2.1:25".parse().unwrap();
    desired.apply(&Command::AddService(Service::new(key).with_scheduler(Scheduler::RR))).unwrap();
    for planner in [Planner::new().only_additions(), Planner::new().without_deletions()] {
        apply_with(planner, &mut ledger, &mail(), &mut director, &desired).unwrap();
        assert_eq!(ledger.prune(&director), []);
        assert_eq!(ledger.claims().len(), 2);
    }
}

#[test]
fn a_text_that_is_no_ledger_is_refused_with_its_line() {
    for (text, line, reason) in [
        ("", 1, "expected 'ipvs owners 1'"),
        ("ipvs owners 2\n", 1, "expected 'ipvs owners 1'"),
        ("ipvs owners 1\nshop\n", 2, "expected an owner, a service and its configuration, separated by tabs"),
        ("ipvs owners 1\nshop\ttcp 192.0.2.1:80\n", 2, "expected the configuration of the service"),
        (
            "ipvs owners 1\na\ttcp 192.0.2.1:80\tx\nb\ttcp 192.0.2.1:80\tx\n",
            3,
            "tcp 192.0.2.1:80 has an owner in a line above",
        ),
    ] {
        assert_eq!(text.parse::<Ledger>(), Err(LedgerError { line, reason: reason.to_owned() }), "{text:?}");
    }
}

/// Anybody can make one without conflicts, and show it.
#[test]
fn conflicts_are_counted_from_none_on() {
    let conflict = Conflict { service: "mark 1".parse().unwrap(), owner: None };
    for (count, text) in [
        (0, "no service"),
        (1, "mark 1 is there and has no owner"),
        (3, "mark 1 is there and has no owner, and 2 more"),
    ] {
        assert_eq!(Conflicts(vec![conflict.clone(); count]).to_string(), text);
    }
    let rejected = crate::change::Rejected { refusals: Vec::new() };
    assert_eq!(rejected.to_string(), "0 of the commands would be refused");
}
