use std::fs::File;
use std::io::Write;
use std::os::unix::fs::symlink;

use super::*;

/// Handles SIGIO, as the program does.
fn files(path: &Path) -> Files {
    let ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGIO, ignored).unwrap();
    let mut files = Files::new(path).unwrap();
    files.watch().unwrap();
    files
}

/// What it reads, after any pause that it asks for.
fn read(files: &mut Files) -> Result<Vec<String>, String> {
    let mut now = Instant::now();
    for _ in 0..10 {
        match files.read(now) {
            Ok(sources) => {
                return Ok(sources.iter().map(|source| String::from_utf8(source.text().to_vec()).unwrap()).collect());
            }
            Err(SourceFault::Wrong(reason)) => return Err(reason),
            Err(SourceFault::Unfinished { again, .. }) => now = again,
        }
    }
    Err("never".to_owned())
}

fn one(text: &str) -> Result<Vec<String>, String> {
    Ok(vec![text.to_owned()])
}

#[test]
fn each_way_to_replace_a_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.toml");
    fs::write(&path, "1\n").unwrap();
    let mut files = files(&path);
    assert_eq!((files.has_changed(), read(&mut files)), (false, one("1\n")));

    fs::write(&path, "2\n").unwrap();
    assert_eq!((files.has_changed(), read(&mut files)), (true, one("2\n")));

    let draft = directory.path().join(".shop.toml.swp");
    fs::write(&draft, "3\n").unwrap();
    assert!(!files.has_changed(), "an editor's own file");
    fs::rename(&draft, &path).unwrap();
    assert_eq!((files.has_changed(), read(&mut files)), (true, one("3\n")));

    fs::remove_file(&path).unwrap();
    assert!(files.has_changed() && read(&mut files).is_err());
    fs::write(&path, "4\n").unwrap();
    assert_eq!((files.has_changed(), read(&mut files)), (true, one("4\n")));
    assert!(!files.has_changed(), "reading it is no change");

    fs::remove_file(&path).unwrap();
    fs::write(&draft, "5\n").unwrap();
    symlink(&draft, &path).unwrap();
    assert!(files.has_changed());
    files.watch().unwrap();
    assert_eq!(read(&mut files), one("5\n"));
    fs::write(&draft, "6\n").unwrap();
    assert_eq!((files.has_changed(), read(&mut files)), (true, one("6\n")));
}

#[test]
fn directories_on_the_way_may_be_exchanged() {
    let root = tempfile::tempdir().unwrap();
    let release = |number: &str| {
        let directory = root.path().join(number);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("shop.toml"), format!("{number}\n")).unwrap();
        directory
    };
    symlink(release("1"), root.path().join("current")).unwrap();
    let mut files = files(&root.path().join("current/shop.toml"));
    assert_eq!(read(&mut files), one("1\n"));
    symlink(release("2"), root.path().join("next")).unwrap();
    assert!(!files.has_changed());
    fs::rename(root.path().join("next"), root.path().join("current")).unwrap();
    assert!(files.has_changed());
    files.watch().unwrap();
    assert_eq!(read(&mut files), one("2\n"));
    // The old one is of no interest any more.
    fs::write(root.path().join("1/shop.toml"), "old\n").unwrap();
    assert!(!files.has_changed());
    fs::write(root.path().join("2/shop.toml"), "new\n").unwrap();
    assert_eq!((files.has_changed(), read(&mut files)), (true, one("new\n")));
}

/// As kubelet mounts a ConfigMap and updates it.
#[test]
fn a_config_map_is_read_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let write = |generation: &str| {
        let directory = root.path().join(generation);
        fs::create_dir(&directory).unwrap();
        for name in ["a.toml", "b.toml"] {
            fs::write(directory.join(name), format!("{name} {generation}\n")).unwrap();
        }
        symlink(generation, root.path().join("..data_tmp")).unwrap();
        fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
    };
    write("..2026_1");
    for name in ["a.toml", "b.toml"] {
        symlink(Path::new("..data").join(name), root.path().join(name)).unwrap();
    }
    let mut files = files(root.path());
    let expected = |generation: &str| Ok(["a.toml", "b.toml"].map(|name| format!("{name} {generation}\n")).to_vec());
    assert_eq!(read(&mut files), expected("..2026_1"));
    files.has_changed();
    write("..2026_2");
    assert_eq!((files.has_changed(), read(&mut files)), (true, expected("..2026_2")));
    // Whichever comes first, both are of one generation.
    std::thread::scope(|scope| {
        scope.spawn(|| (3..60).for_each(|number| write(&format!("..2026_{number}"))));
        for _ in 0..200 {
            if let Ok(texts) = read(&mut files) {
                let generations: Vec<_> = texts.iter().map(|text| text.split(' ').nth(1)).collect();
                assert_eq!(generations[0], generations[1]);
            }
        }
    });
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.toml");
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"version = 1\n").unwrap();
    let mut files = files(&path);
    let now = Instant::now();
    for wait in [0, 1, 3600] {
        let fault = files.read(now + Duration::from_secs(wait)).unwrap_err();
        let SourceFault::Unfinished { reason, .. } = fault else { panic!("{fault:?}") };
        assert!(reason.contains("open for writing"), "{reason}");
    }
    writer.write_all(b"services = []\n").unwrap();
    drop(writer);
    assert_eq!(read(&mut files), one("version = 1\nservices = []\n"));
}

#[test]
fn what_is_no_state_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.toml");
    let mut files = files(&path);
    let error = |files: &mut Files| read(files).unwrap_err();
    assert!(error(&mut files).ends_with("No such file or directory (os error 2)"));
    fs::write(&path, "").unwrap();
    assert!(error(&mut files).ends_with("shop.toml: the file is empty"));
    fs::write(&path, "version = 1\nservices = []\n[timeouts]\ntcp = 90").unwrap();
    assert!(error(&mut files).contains("the last line has no end"));
    fs::write(&path, "{\"version\": 1}").unwrap();
    assert!(read(&mut files).is_ok(), "JSON has an end of its own");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(error(&mut files).ends_with("has no files *.rules, *.toml or *.json"));
    for name in [".hidden.toml", "shop.toml~", "4913", "#shop.toml#", "README"] {
        fs::write(path.join(name), "x\n").unwrap();
    }
    assert!(error(&mut files).ends_with("has no files *.rules, *.toml or *.json"));
    fs::write(path.join("b.rules"), "2\n").unwrap();
    fs::write(path.join("a.json"), "1\n").unwrap();
    assert_eq!(read(&mut files), Ok(vec!["1\n".to_owned(), "2\n".to_owned()]));
    let fifo = path.join("c.toml");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(error(&mut files).ends_with("c.toml: it must be a regular file"));
}

#[test]
fn a_file_of_a_directory_is_removed_only_when_it_stays_away() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.toml", "b.toml"] {
        fs::write(directory.path().join(name), format!("{name}\n")).unwrap();
    }
    let mut files = files(directory.path());
    assert_eq!(read(&mut files).unwrap().len(), 2);
    fs::remove_file(directory.path().join("a.toml")).unwrap();
    let now = Instant::now();
    let fault = files.read(now).unwrap_err();
    let SourceFault::Unfinished { again, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(again, now + GONE);
    fs::write(directory.path().join("a.toml"), "again\n").unwrap();
    assert_eq!(read(&mut files).unwrap()[0], "again\n");
    fs::remove_file(directory.path().join("a.toml")).unwrap();
    assert_eq!(read(&mut files), one("b.toml\n"), "after the pause");
}

#[test]
fn each_missing_file_of_a_directory_has_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.toml", "b.toml", "c.toml"] {
        fs::write(directory.path().join(name), "1\n").unwrap();
    }
    let mut files = files(directory.path());
    assert_eq!(files.read(Instant::now() + STILL).unwrap().len(), 3);
    let now = Instant::now();
    fs::remove_file(directory.path().join("a.toml")).unwrap();
    files.read(now).unwrap_err();
    fs::remove_file(directory.path().join("b.toml")).unwrap();
    // b.toml is seen to be gone just before the time of a.toml is over.
    let later = now + GONE - Duration::from_millis(1);
    files.read(later).unwrap_err();
    let fault = files.read(now + GONE).unwrap_err();
    let SourceFault::Unfinished { again, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(again, later + GONE);
    assert_eq!(files.read(again).unwrap().len(), 1);
}

#[test]
fn news_that_do_not_fit_are_news() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.toml");
    fs::write(&path, "1\n").unwrap();
    let mut files = files(&path);
    while files.has_changed() {}
    for number in 0..1200 {
        fs::write(directory.path().join(number.to_string()), "").unwrap();
    }
    fs::write(&path, "2\n").unwrap();
    assert!(files.has_changed());
}

#[test]
fn what_is_written_beside_the_way_wakes_nobody() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("shop.toml"), "1\n").unwrap();
    let mut files = files(&directory.join("shop.toml"));
    fs::write(root.path().join("log"), "1\n").unwrap();
    files.has_changed();
    // What exists already.
    fs::write(root.path().join("log"), "2\n").unwrap();
    let descriptor = files.descriptor().unwrap();
    let mut polled = [rustix::event::PollFd::from_borrowed_fd(descriptor, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default())), Ok(0));
}
