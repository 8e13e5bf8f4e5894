use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;

use ipvs::monitor::{Outcome, Sender};
use ipvs::{Client, Command, Errno, Protocol, Service, ServiceKey, Table};

use super::*;
use crate::source::Files;

const RECHECK: Duration = Duration::from_secs(300);

/// A follower of a file, on an in-memory kernel, and a clock that tests set.
struct World {
    follower: Follower<'static>,
    directory: tempfile::TempDir,
    log: Log,
    names: &'static Hosts,
    now: Instant,
}

/// A resolver that knows one host, at times.
#[derive(Default)]
struct Hosts {
    web1: Cell<Option<[u8; 4]>>,
    questions: Cell<usize>,
}

impl Names for Hosts {
    fn host(&self, name: &[u8], _: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.questions.set(self.questions.get() + 1);
        self.web1.get().filter(|_| name == b"web1").map(Ipv4Addr::from)
    }

    fn port(&self, _: &[u8], _: Protocol) -> Option<u16> {
        None
    }
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn key(mark: u32) -> ServiceKey {
    format!("mark {mark}").parse().unwrap()
}

fn rules(marks: &[u32]) -> String {
    marks.iter().fold("-C\n".to_owned(), |text, mark| text + &format!("-A -f {mark} -s rr\n"))
}

impl World {
    fn new(limits: Limits, state: bool) -> Self {
        Self::of("shop.rules", limits, state)
    }

    fn of(source: &str, limits: Limits, state: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGIO, ignored).unwrap();
        let (log, now) = (Log::default(), Instant::now());
        let state_directory = state.then(|| {
            let path = directory.path().join("state");
            fs::create_dir(&path).unwrap();
            &*Box::leak(path.into_boxed_path())
        });
        let names: &Hosts = Box::leak(Box::default());
        let follower = Follower::new(
            Followed::Files(Files::new(&directory.path().join(source)).unwrap()),
            Director::with(Client::fake(Table::new())),
            limits,
            Surroundings { state_directory, proc: None, names },
            Pace::new(RECHECK, now),
            Messages::to(Box::new(log.clone())),
        );
        World { follower, directory, log, names, now }
    }

    fn write(&self, text: &str) {
        fs::write(self.directory.path().join("shop.rules"), text).unwrap();
    }

    /// Notices changes of the file, and goes to the next check.
    fn go_on(&mut self) {
        if self.follower.source.has_changed() {
            self.follower.pace.source_changed(self.now);
        }
        self.now = self.now.max(self.follower.pace.due());
        self.follower.check(self.now, &|| false);
    }

    /// What another program does, which the monitor shows.
    fn other(&mut self, command: &Command) {
        let outcome = match self.client().execute(command) {
            Ok(()) => Outcome::Accepted,
            Err(error) => Outcome::Refused(error.errno().unwrap()),
        };
        self.see(command, outcome);
    }

    fn see(&mut self, command: &Command, outcome: Outcome) {
        let sender = Sender::default();
        let kind = EventKind::Request { sender, action: Action::Change(*command), outcome };
        let event = Event::new(SystemTime::now(), kind);
        self.follower.saw(&event, self.now);
    }

    fn client(&mut self) -> &mut Client {
        self.follower.director.client().unwrap()
    }

    fn marks(&mut self) -> Vec<u32> {
        let services = self.client().services().unwrap();
        let mark = |key| match key {
            ServiceKey::Mark { mark, .. } => mark.get(),
            ServiceKey::Address { .. } => 0,
        };
        let mut marks: Vec<u32> = services.iter().map(|state| mark(state.service.key())).collect();
        marks.sort_unstable();
        marks
    }

    /// The address of each destination.
    fn servers(&mut self) -> Vec<String> {
        let table = self.client().table().unwrap();
        let states = table.services().flat_map(|entry| entry.destinations());
        states.map(|state| state.destination.address.ip().to_string()).collect()
    }

    /// What was said since it was last asked.
    fn said(&self) -> String {
        String::from_utf8(self.log.0.take()).unwrap().replace(&self.directory.path().display().to_string(), "")
    }
}

#[test]
fn the_director_follows_the_file_and_wrong_files_change_nothing() {
    let mut world = World::new(Limits::default(), false);
    world.go_on();
    assert!(world.said().contains("/shop.rules: No such file"), "no file, no change");
    world.write(&rules(&[1, 2]));
    world.go_on();
    assert_eq!(world.marks(), [1, 2]);
    assert_eq!(world.said(), "ipvs-follow: following /shop.rules: 2 services added\n");
    for (wrong, reason) in [
        ("", "the file is empty"),
        ("-A -f 1 -s rr\nnonsense\n", "shop.rules:2: "),
        ("-A -f 1 -s rr\n-A -f 1 -s rr\n", "shop.rules:2: "),
        ("-A -f 1 -s r", "the last line has no end"),
    ] {
        world.write(wrong);
        world.go_on();
        world.go_on();
        let said = world.said();
        assert!(said.contains(reason) && said.contains("the last good state stays"), "{said}");
        assert_eq!((said.matches("stays").count(), world.marks()), (1, vec![1, 2]), "{said}");
        assert!(!world.follower.figures.counts().source_is_valid);
    }
    // Meanwhile, the last good state is kept.
    world.other(&Command::DeleteService(key(1)));
    world.go_on();
    assert_eq!(world.marks(), [1, 2]);
    world.write(&rules(&[2]));
    world.go_on();
    assert_eq!(world.marks(), [2]);
    world.write("version = 1\nservices = []\n");
    world.go_on();
    assert_eq!(world.marks(), [0_u32; 0], "no services is a state");
    let counts = world.follower.figures.counts().clone();
    assert_eq!((counts.refusals, counts.drift, counts.changes), (5, 1, 4));
    assert!(counts.is_as_desired && counts.source_is_valid);
}

#[test]
fn what_disturbs_is_put_back_at_once_and_nothing_else_is_looked_at() {
    let mut world = World::new(Limits::default(), false);
    world.write(&rules(&[1, 2]));
    world.go_on();
    let due = world.now + RECHECK;
    assert_eq!(world.follower.pace.due(), due);
    // Nothing of interest.
    world.other(&Command::Zero(None));
    world.see(&Command::Flush, Outcome::Refused(Errno::EPERM));
    world.other(&Command::EditService(Service::new(key(1)).with_scheduler(ipvs::Scheduler::RR)));
    assert_eq!(world.follower.pace.due(), due);
    world.said();
    world.other(&Command::Flush);
    assert!(world.follower.pace.due() < world.now + Duration::from_millis(100));
    world.go_on();
    assert_eq!(world.marks(), [1, 2]);
    assert_eq!(world.said(), "ipvs-follow: put back: 2 services added, after unknown sender: -C\n");
    // A change that was not seen is found at the interval.
    world.client().flush().unwrap();
    world.go_on();
    assert_eq!(world.marks(), [1, 2]);
    assert!(world.said().ends_with("after a change that was not seen\n"));
}

#[test]
fn a_rival_is_named_and_not_fought() {
    let mut world = World::new(Limits::default(), false);
    world.write(&rules(&[1]));
    world.go_on();
    let start = world.now;
    for _ in 0..20 {
        world.other(&Command::DeleteService(key(1)));
        world.go_on();
    }
    assert!(world.now > start + 8 * RECHECK, "{:?}", world.now - start);
    let said = world.said();
    assert!(
        said.contains("undone this 4 times in a row, lastly unknown sender: -D -f 1; the next repair waits 4 s"),
        "{said}"
    );
}

#[test]
fn too_many_deletions_change_nothing_and_the_old_state_is_kept() {
    let mut world = World::new(Limits { max_deletions: Some(1), ..Limits::default() }, false);
    world.write(&rules(&[1, 2, 3, 4]));
    world.go_on();
    world.said();
    world.write(&rules(&[1]));
    world.go_on();
    let said = world.said();
    assert!(said.contains("3 services") && said.contains("--max-deletions is 1"), "{said}");
    world.other(&Command::DeleteService(key(4)));
    world.go_on();
    assert_eq!(world.marks(), [1, 2, 3, 4]);
    assert!(!world.follower.figures.counts().is_as_desired);
    world.write(&rules(&[1, 2, 3]));
    world.go_on();
    assert_eq!(world.marks(), [1, 2, 3]);
    assert!(world.follower.figures.counts().is_as_desired);
}

#[test]
fn a_hold_keeps_the_follower_away_until_it_is_over() {
    let mut world = World::new(Limits::default(), true);
    world.write(&rules(&[1]));
    world.go_on();
    let hold = Hold { left: Duration::from_secs(3600), reason: "new card".to_owned() };
    let surroundings = world.follower.surroundings;
    let director = &mut Director::with(Client::fake(Table::new()));
    let hold = |count| {
        let followers = surroundings.with(director, |keeper| keeper.hold(&hold, Duration::ZERO)).0.unwrap();
        assert_eq!(followers, count);
    };
    let following = surroundings.with(&mut Director::with(Client::fake(Table::new())), |keeper| keeper.follow(None));
    let mut hold = hold;
    hold(1);
    drop(following);
    hold(0);
    world.said();
    world.other(&Command::Flush);
    world.write(&rules(&[1, 2]));
    for _ in 0..5 {
        world.go_on();
    }
    assert_eq!(world.marks(), [0_u32; 0]);
    assert_eq!(world.said(), "ipvs-follow: held by `ipvs-follow hold`: new card; `ipvs-follow release` ends it\n");
    assert!(world.follower.figures.counts().held > Duration::from_secs(3500));
    for was_held in [true, false] {
        let released = surroundings.with(director, |keeper| keeper.release(Duration::ZERO)).0.unwrap();
        assert_eq!(released, was_held);
    }
    world.go_on();
    assert_eq!(world.marks(), [1, 2]);
    assert!(world.said().starts_with("ipvs-follow: the hold is over\n"));
}

#[test]
fn owners_are_kept_apart_and_one_follower_each() {
    let shop = Limits { owner: Some("shop".parse().unwrap()), ..Limits::default() };
    let mut world = World::new(shop.clone(), true);
    let surroundings = world.follower.surroundings;
    let director = &mut Director::with(Client::fake(Table::new()));
    let first = surroundings.with(director, |keeper| keeper.follow(shop.owner.as_ref())).0.unwrap();
    let second = surroundings.with(director, |keeper| keeper.follow(shop.owner.as_ref())).0.unwrap_err();
    assert!(second.contains("follows a source here already for the owner shop"), "{second}");
    surroundings.with(director, |keeper| keeper.follow(None)).0.unwrap();
    drop(first);
    surroundings.with(director, |keeper| keeper.follow(shop.owner.as_ref())).0.unwrap();

    world.client().execute(&Command::AddService(Service::new(key(9)))).unwrap();
    world.write(&rules(&[1, 2]));
    world.go_on();
    assert_eq!(world.marks(), [1, 2, 9], "what it does not own stays");
    let due = world.follower.pace.due();
    world.other(&Command::DeleteService(key(9)));
    world.other(&Command::AddService(Service::new(key(8))));
    assert_eq!(world.follower.pace.due(), due, "of no interest");
    world.write(&rules(&[2, 8]));
    world.go_on();
    assert_eq!(world.marks(), [1, 2, 8], "what nobody owns is not taken over");
    let said = world.said();
    assert!(said.contains("shop.rules:3: "), "with its place: {said}");
    let end =
        "ipvs-follow: nothing was changed; --take takes these services over\nipvs-follow: the last good state stays\n";
    assert!(said.ends_with(end), "{said}");
    world.write(&rules(&[2]));
    world.go_on();
    assert_eq!(world.marks(), [2, 8]);
}

#[test]
fn a_repair_needs_no_names() {
    let mut world = World::new(Limits::default(), false);
    world.names.web1.set(Some([10, 0, 0, 1]));
    world.write("-A -f 1 -s rr\n-a -f 1 -r web1\n");
    world.go_on();
    assert_eq!((world.servers(), world.names.questions.get()), (vec!["10.0.0.1".to_owned()], 1));
    world.said();
    for address in [None, Some([10, 0, 0, 7])] {
        world.names.web1.set(address);
        world.other(&Command::Flush);
        world.go_on();
        let put_back = "ipvs-follow: put back: 1 service added; 1 destination added, after unknown sender: -C\n";
        assert_eq!((world.said(), world.servers()), (put_back.to_owned(), vec!["10.0.0.1".to_owned()]));
    }
    assert_eq!((world.names.questions.get(), world.follower.figures.counts().drift), (1, 2));
}

#[test]
fn another_address_is_a_change_of_the_source_at_the_interval() {
    let mut world = World::new(Limits::default(), false);
    let start = world.now;
    world.names.web1.set(Some([10, 0, 0, 1]));
    world.write("-A -f 1 -s rr\n-a -f 1 -r web1\n");
    world.go_on();
    world.said();
    // It does not resolve: what was good stays, and is put back.
    world.names.web1.set(None);
    world.go_on();
    assert_eq!(world.now, start + RECHECK);
    let said = world.said();
    assert!(said.contains("shop.rules:2: ") && said.ends_with("the last good state stays\n"), "{said}");
    assert!(!world.follower.figures.counts().is_as_desired);
    world.other(&Command::Flush);
    world.go_on();
    assert_eq!((world.said().matches("put back").count(), world.servers()), (1, vec!["10.0.0.1".to_owned()]));
    // It is looked up again soon, and not for each repair.
    world.names.web1.set(Some([10, 0, 0, 1]));
    world.go_on();
    assert!(world.now < start + RECHECK + Duration::from_secs(3), "{:?}", world.now - start);
    assert_eq!(world.said(), "ipvs-follow: the source is as it was before\n");
    assert!(world.follower.figures.counts().source_is_valid);
    world.names.web1.set(Some([10, 0, 0, 7]));
    while world.servers() == ["10.0.0.1"] {
        world.go_on();
    }
    assert_eq!(world.servers(), ["10.0.0.7"]);
    let said = world.said();
    let expected = "/shop.rules: web1 has another address: 10.0.0.7, not 10.0.0.1: ";
    assert!(said.contains(expected) && said.contains("1 destination added, 1 deleted"), "{said}");
    let counts = world.follower.figures.counts().clone();
    assert!((counts.drift, counts.is_as_desired) == (1, true), "{counts:?}");
}

/// While the new address is refused, the old one is put back, and nothing goes round in circles.
#[test]
fn another_address_may_be_refused() {
    let mut world = World::new(Limits { max_deletions: Some(0), ..Limits::default() }, false);
    world.names.web1.set(Some([10, 0, 0, 1]));
    world.write("-A -f 1 -s rr\n-a -f 1 -r web1\n");
    world.go_on();
    world.names.web1.set(Some([10, 0, 0, 7]));
    let start = world.now;
    let mut checks = 0;
    while world.now < start + 12 * RECHECK {
        world.go_on();
        checks += 1;
    }
    assert!((12..60).contains(&checks), "{checks}");
    assert_eq!((world.servers(), world.said().matches("--max-deletions").count()), (vec!["10.0.0.1".to_owned()], 1));
    world.names.web1.set(Some([10, 0, 0, 1]));
    for _ in 0..10 {
        world.go_on();
    }
    assert!(world.said().ends_with("the source is as it was before\n"));
    assert!(world.follower.figures.counts().is_as_desired);
}

#[test]
fn a_service_that_moves_to_another_file_is_not_deleted() {
    let mut world = World::of("shop", Limits::default(), false);
    let directory = world.directory.path().join("shop");
    fs::create_dir(&directory).unwrap();
    let write = |name: &str, marks: &[u32]| fs::write(directory.join(name), rules(marks)).unwrap();
    write("a.rules", &[1, 2]);
    write("b.rules", &[3]);
    world.go_on();
    assert_eq!(world.marks(), [1, 2, 3]);
    world.said();
    // Each way round, with a pause that is longer than that for a burst.
    for (first, second) in
        [(("a.rules", [1].as_slice()), ("b.rules", [2, 3].as_slice())), (("a.rules", &[1, 2]), ("b.rules", &[3]))]
    {
        write(first.0, first.1);
        world.go_on();
        write(second.0, second.1);
        for _ in 0..5 {
            world.go_on();
        }
        assert_eq!(world.marks(), [1, 2, 3]);
        assert_eq!(world.said(), "ipvs-follow: /shop has changed: nothing to change\n");
    }
    // What is in no file any more goes, a little later.
    write("b.rules", &[]);
    let before = world.now;
    while world.marks().len() == 3 {
        world.go_on();
    }
    assert!(world.now >= before + Duration::from_secs(2), "{:?}", world.now - before);
}

/// As after a rollback from a state that was refused.
#[test]
fn a_source_that_is_the_last_good_one_again_does_not_wait_for_the_interval() {
    let mut world = World::new(Limits { max_deletions: Some(0), ..Limits::default() }, false);
    world.write(&rules(&[1, 2]));
    world.go_on();
    world.write(&rules(&[1]));
    world.go_on();
    assert!(!world.follower.figures.counts().is_as_desired, "{}", world.said());
    let before = world.now;
    world.write(&rules(&[1, 2]));
    while !world.follower.figures.counts().is_as_desired {
        world.go_on();
    }
    assert!(world.now < before + RECHECK / 2, "{:?}", world.now - before);
}

/// The director was looked at while the source was wrong, and was not as desired then.
#[test]
fn a_source_that_is_right_again_does_not_wait_for_the_interval() {
    let mut world = World::new(Limits::default(), false);
    let is_as_desired = |world: &World| world.follower.figures.counts().is_as_desired;
    world.write(&rules(&[1]));
    world.go_on();
    assert!(is_as_desired(&world));
    world.write("nonsense\n");
    while is_as_desired(&world) {
        world.go_on();
    }
    let before = world.now;
    world.write(&rules(&[1]));
    while !is_as_desired(&world) {
        world.go_on();
    }
    assert!(world.now < before + RECHECK / 2, "{:?}", world.now - before);
}

/// A boot while etcd can't be reached.
#[test]
fn a_director_starts_from_a_copy() {
    use crate::etcd::{Access, Fake};
    use crate::source::{Etcd, Membership};

    let fake = Fake::start();
    fake.change(|store| {
        store.put("/ipvs/generations/1", rules(&[1, 2]));
        store.put("/ipvs/generations/2", rules(&[1, 2, 3]));
        store.put("/ipvs/current", "1");
    });
    let directory = tempfile::tempdir().unwrap();
    let boot = |limits: Limits| {
        let client = Access::default().client(&fake.address).unwrap();
        let membership = Membership { host: "lb1".parse().unwrap(), lease: Duration::from_secs(3) };
        let copy = Some(directory.path().join("copy"));
        let mut world = World::new(limits, false);
        world.follower.source =
            Followed::Etcd(Box::new(Etcd::open(fake.address.clone(), client, membership, copy).unwrap()));
        world
    };
    // The clock of the test is faster than that of the thread that reads etcd.
    let until = |world: &mut World, part: &str| {
        let mut said = String::new();
        while !said.contains(part) {
            std::thread::sleep(Duration::from_millis(5));
            world.now += Duration::from_secs(1);
            world.go_on();
            said += &world.said();
        }
        said
    };
    let mut world = boot(Limits::default());
    until(&mut world, "following etcd://");
    assert_eq!(world.marks(), [1, 2]);

    fake.change(|store| store.is_silent = true);
    let mut world = boot(Limits::default());
    let said = until(&mut world, "made of the copy of generation 1, which etcd confirmed last ");
    assert!(said.ends_with(": 2 services added\n"), "{said}");
    assert_eq!(world.marks(), [1, 2]);
    {
        let counts = world.follower.figures.counts();
        assert!(counts.copy.is_some() && !counts.is_as_desired && !counts.source_is_valid);
    }
    // What others change is put back, as far as nothing is deleted for that.
    world.other(&Command::DeleteService(key(2)));
    until(&mut world, "put back: 1 service added");

    // What is there may be newer than the copy.
    let mut newer = boot(Limits::default());
    newer.client().add_service(&Service::new(key(9))).unwrap();
    let said = until(&mut newer, "is not made: ");
    assert!(said.contains("--max-deletions is 0"), "{said}");
    assert_eq!(newer.marks(), [9]);
    let mut allowed = boot(Limits { max_deletions: Some(1), ..Limits::default() });
    allowed.client().add_service(&Service::new(key(9))).unwrap();
    until(&mut allowed, "made of the copy of generation 1");
    assert_eq!(allowed.marks(), [1, 2]);

    // etcd is back, with another state.
    fake.change(|store| {
        store.is_silent = false;
        store.put("/ipvs/current", "2");
    });
    until(&mut world, "(generation 2) has changed: 1 service added");
    assert_eq!(world.marks(), [1, 2, 3]);
    assert_eq!(world.follower.figures.counts().copy, None);
    until(&mut newer, "following etcd://");
    assert_eq!(newer.marks(), [1, 2, 3], "which is no copy");
}
