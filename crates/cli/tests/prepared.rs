//! The prepared snapshot in the cache directory: found, checked, ignored, made, or done without.
//!
//! Making one takes more than a minute, so one test does that; the others damage copies of the one that is there.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use common::kept::{CACHE, Cache, ENTRY, allow, copy_with_time, files, is_used, said, set_time};
use common::{Session, sha256, wasm_sandbox};

#[test]
fn a_start_maps_the_prepared_snapshot() {
    assert!(is_used(&mut Session::start(), &ENTRY));
    let mut booted = Session::start_with(&["--no-snapshot"]);
    booted.output("true");
    let maps = booted.maps();
    assert!(!maps.contains("machine.snapshot"));
    booted.write_file("/tmp/mark", "");
    booted.reset();
    assert_eq!((booted.output("ls -A /tmp").as_str(), booted.stderr().as_str()), ("", ""));
}

#[test]
fn several_processes_start_at_once() {
    let mut sessions: Vec<Session> = (0..4).map(|_| Session::start()).collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        session.write_file("/tmp/mark", &number.to_string());
    }
    for (number, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.output("cat /tmp/mark"), number.to_string());
    }
}

#[test]
fn an_entry_that_was_copied_is_checked_once_and_used() {
    let cache = Cache::copied();
    assert!(cache.is_used(), "there is no lock file");
    let manifest = || fs::read_to_string(cache.entry.join("manifest")).expect("a manifest");
    let without_locks = manifest();
    fs::write(cache.entry.join("lock"), "").expect("a file");
    assert!(cache.is_used());
    let noted = manifest();
    assert_ne!(noted, without_locks, "the new times are noted");
    let mut session = cache.start();
    assert!(is_used(&mut session, &cache.entry));
    assert_eq!(manifest(), noted, "they are not new any more");
    // Which reads all of it.
    assert!(cache.prepare().status.success());

    // What runs stays whole when the cache is emptied.
    drop(cache);
    session.output("python3 -c 'print(1)'; ls -R /usr >/dev/null");
    session.reset();
    assert_eq!(session.output("echo works"), "works\n");
}

#[test]
fn an_entry_in_a_place_where_nothing_can_be_written_is_used() {
    let cache = Cache::copied().cannot_be_prepared();
    files().iter().for_each(|name| allow(&cache.entry.join(name), 0o400));
    allow(&cache.entry, 0o500);
    // It cannot be noted that it was used.
    assert!(cache.is_used() && cache.is_used());
    allow(&cache.entry, 0o700);
}

#[test]
fn without_a_usable_cache_directory_the_machine_is_powered_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("a file");
    fs::create_dir(directory.path().join("cache")).expect("a directory");
    let cache = directory.path().join("cache");
    fs::write(cache.join("snapshots"), "").expect("a file");
    let cases: [(&str, &Path, &str); 6] = [
        (CACHE, "/proc/nonexistent".as_ref(), "/proc/nonexistent"),
        (CACHE, "/dev/null".as_ref(), "/dev/null"),
        (CACHE, &cache, "cache/snapshots"),
        ("XDG_CACHE_HOME", &file, "file/wasm-sandbox"),
        ("HOME", "/proc/nonexistent".as_ref(), "/proc/nonexistent/.cache"),
        // None at all.
        (CACHE, "".as_ref(), "set WASM_SANDBOX_CACHE, XDG_CACHE_HOME or HOME"),
    ];
    for (variable, value, word) in cases {
        let command = || {
            let mut command = wasm_sandbox();
            command.env_remove(CACHE).env_remove("XDG_CACHE_HOME").env_remove("HOME").env(variable, value);
            command
        };
        let mut session = Session::start_from(&mut command());
        session.write_file("/tmp/mark", "");
        session.reset();
        assert_eq!(session.output("ls -A /tmp; echo works"), "works\n");
        let end = session.close();
        let lines = said(end.stderr.as_bytes());
        let is_told = lines.len() == 1 && lines[0].contains("the machine boots") && lines[0].contains(word);
        assert!(end.status.success() && is_told, "{variable} {value:?}: {lines:?}");

        let output = command().arg("prepare").output().expect("it starts");
        let lines = said(&output.stderr);
        assert!(lines.len() == 1 && lines[0].contains(word), "{variable} {value:?}: {lines:?}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }
}

/// Checks that a cache is neither used nor changed, by a start or by `prepare`, and that both say why.
fn is_not_used(cache: &Cache, what: &str, word: &str) {
    let mut session = cache.start();
    assert!(!is_used(&mut session, &cache.entry), "{what}");
    session.write_file("/tmp/mark", "");
    session.reset();
    assert_eq!(session.output("ls -A /tmp"), "");
    let lines = said(session.close().stderr.as_bytes());
    assert!(lines.len() == 1 && lines[0].contains(word), "{what}: {lines:?}");
    let output = cache.prepare();
    let lines = said(&output.stderr);
    assert!(!output.status.success() && lines.len() == 1 && lines[0].contains(word), "{what}: {lines:?}");
}

#[test]
fn what_others_can_write_to_is_not_trusted() {
    let cache = Cache::new();
    for mode in [0o777, 0o720, 0o702] {
        allow(&cache.entry, mode);
        is_not_used(&cache, &format!("{mode:o}"), "can be written by others");
    }
    allow(&cache.entry, 0o700);
    // Their own directory: only root can make one.
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&cache.entry).expect("the entry"));
    if std::os::unix::fs::chown(&cache.entry, Some(owner + 1), None).is_ok() {
        is_not_used(&cache, "another owner", "belongs to another user");
    }
    let cache = Cache::copied().cannot_be_prepared();
    for name in files() {
        allow(&cache.entry.join(&name), 0o622);
        is_not_used(&cache, &name, &format!("{name} can be written by others"));
        allow(&cache.entry.join(&name), 0o600);
    }
    assert!(cache.is_used());
}

#[test]
fn a_damaged_snapshot_is_ignored() {
    let cache = Cache::new().cannot_be_prepared();
    let name = "machine.snapshot";
    let damage = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
        cache.change(name, change);
        is_not_used(&cache, what, name);
        mend(&cache, name);
    };
    damage("a bit of the header", &|bytes| bytes[100] ^= 1);
    damage("a bit of the sections", &|bytes| bytes[5000] ^= 0x80);
    damage("a bit of the body", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    });
    damage("the last bit", &|bytes| *bytes.last_mut().expect("a byte") ^= 0x80);
    damage("cut short", &|bytes| bytes.truncate(bytes.len() - 1));
    damage("empty", &Vec::clear);
    damage("longer", &|bytes| bytes.push(0));
    fs::remove_file(cache.entry.join(name)).expect("the file is there");
    is_not_used(&cache, "missing", name);
    fs::create_dir(cache.entry.join(name)).expect("a directory");
    is_not_used(&cache, "a directory", name);
    fs::remove_dir(cache.entry.join(name)).expect("the directory is there");
    mend(&cache, name);
    assert!(cache.is_used());
}

#[test]
fn damaged_machine_code_is_ignored() {
    let cache = Cache::new().cannot_be_prepared();
    let code: Vec<String> = files().into_iter().filter(|name| name.ends_with(".cwasm")).collect();
    let Some(name) = code.last() else {
        // An engine that translates nothing has none.
        return;
    };
    let damage = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
        cache.change(name, change);
        is_not_used(&cache, what, name);
        mend(&cache, name);
    };
    damage("not machine code", &|bytes| bytes[..4].fill(0));
    damage("a bit of it", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    damage("cut a little", &|bytes| bytes.truncate(bytes.len() - 4096));
    damage("empty", &Vec::clear);
    fs::remove_file(cache.entry.join(name)).expect("the file is there");
    is_not_used(&cache, "missing", name);
    if code.len() > 1 {
        copy_with_time(&ENTRY.join(&code[0]), &cache.entry.join(name));
        is_not_used(&cache, "another part", name);
    }
    mend(&cache, name);

    // Whole, but of another version of wasmtime: its name for the host comes behind its version and a length.
    const HOST: &[u8] = b"x86_64-unknown-linux-gnu";
    let good = sha256(&fs::read(cache.entry.join(name)).expect("a file"));
    cache.change(name, |bytes| {
        let host = bytes.windows(HOST.len()).position(|bytes| bytes == HOST).expect("the host's name");
        bytes[host - 2] ^= 1;
    });
    let other = sha256(&fs::read(cache.entry.join(name)).expect("a file"));
    cache.change("manifest", |bytes| {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8").replace(&good, &other);
        let (lines, _) = text.split_at(text.rfind("sha256 ").expect("a sum of it all"));
        *bytes = format!("{lines}sha256 {}\n", sha256(lines.as_bytes())).into_bytes();
    });
    is_not_used(&cache, "another version", "incompatible version '49'");
}

#[test]
fn a_damaged_manifest_is_no_manifest() {
    let cache = Cache::new().cannot_be_prepared();
    let name = "manifest";
    let damage = |what: &str, word: &str, change: &dyn Fn(&mut Vec<u8>)| {
        cache.change(name, change);
        is_not_used(&cache, what, word);
        mend(&cache, name);
    };
    damage("a bit of it", "manifest", &|bytes| bytes[40] ^= 1);
    damage("cut short", "manifest", &|bytes| bytes.truncate(bytes.len() - 1));
    damage("empty", "manifest", &Vec::clear);
    damage("not text", "manifest", &|bytes| bytes.fill(0xFF));
    fs::remove_file(cache.entry.join(name)).expect("the file is there");
    is_not_used(&cache, "missing", "none can be kept");
}

#[test]
fn damage_that_shows_neither_in_size_nor_in_time_is_found_by_prepare() {
    let cache = Cache::new().cannot_be_prepared();
    for name in files().iter().filter(|name| *name != "manifest") {
        cache.change(name, |bytes| *bytes.last_mut().expect("a byte") ^= 1);
        let time = fs::metadata(ENTRY.join(name)).and_then(|metadata| metadata.modified()).expect("a time");
        set_time(&cache.entry.join(name), time);
        let output = cache.prepare();
        let lines = said(&output.stderr);
        assert!(!output.status.success() && lines.len() == 1 && lines[0].contains(name), "{name}: {lines:?}");
        mend(&cache, name);
    }
    assert!(cache.prepare().status.success());
}

#[test]
fn an_entry_for_another_memory_size_is_ignored() {
    let cache = Cache::new().cannot_be_prepared();
    let name = cache.entry.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let other = cache.entry.with_file_name(name.replace("-256m-", "-128m-"));
    fs::rename(&cache.entry, &other).expect("a new name");
    let mut session = Session::start_from(cache.command().args(["--memory-limit", "128"]));
    assert!(!is_used(&mut session, &other));
    assert_eq!(session.status().memory_limit_bytes, 128 << 20);
    assert!(session.stderr().contains("another memory size"), "{}", session.stderr());
}

/// Puts the good file back.
fn mend(cache: &Cache, name: &str) {
    let path = cache.entry.join(name);
    let _there_may_be_none = fs::remove_file(&path);
    copy_with_time(&ENTRY.join(name), &path);
}

#[test]
fn prepare_removes_what_other_versions_left_unless_it_is_used() {
    let cache = Cache::new();
    let name = cache.entry.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 24 * 60 * 60);
    let other = |memory: &str, version: &str| {
        let path = cache.entry.with_file_name(name.replace("-256m-", memory) + version);
        fs::create_dir(&path).expect("a directory");
        for file in ["lock", "used", "manifest", "machine.snapshot", "code-0.cwasm"] {
            fs::write(path.join(file), vec![1; 500_000]).expect("a file");
            set_time(&path.join(file), long_ago);
        }
        path
    };
    let unused = [other("-256m-", "0"), other("-64m-", "1")];
    let other_size = other("-64m-", "");
    let recent = other("-256m-", "2");
    set_time(&recent.join("used"), SystemTime::now());
    let running = other("-256m-", "3");
    let used = fs::File::open(running.join("used")).expect("a file");
    used.try_lock_shared().expect("nobody has it");
    let other_things = cache.entry.with_file_name("other things");
    fs::create_dir(&other_things).expect("a directory");

    let lines = said(&cache.prepare().stderr);
    assert_eq!(lines[0], "removed 5 MB of snapshots that nobody has used for a month");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(unused.iter().all(|path| !path.exists()));
    assert!([&other_size, &recent, &running, &other_things].iter().all(|path| path.exists()));
    assert!(cache.is_used());

    // Who starts from an entry notes it, and holds it while it runs.
    set_time(&cache.entry.join("used"), long_ago);
    let mut session = cache.start();
    session.output("true");
    let used = fs::File::open(cache.entry.join("used")).expect("a file");
    assert!(used.metadata().and_then(|metadata| metadata.modified()).expect("a time") > long_ago);
    assert!(used.try_lock().is_err(), "the session has it");
    assert!(session.close().status.success());
    used.try_lock().expect("nobody has it any more");
}

/// Waits until a session has said one of `words`; what it has said.
fn wait_until_it_says(session: &Session, words: &[&str]) -> Vec<String> {
    // A preparation on a busy host, and a second one after it.
    const LONGEST: Duration = Duration::from_secs(20 * 60);
    let started = Instant::now();
    loop {
        let stderr = session.stderr();
        let lines: Vec<&str> = stderr.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        if lines.iter().any(|line| words.iter().any(|word| line.contains(word))) {
            return said(lines.concat().as_bytes());
        }
        assert!(started.elapsed() < LONGEST, "{words:?}: {stderr}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn of_several_first_starts_one_prepares_and_what_it_leaves_undone_another_does() {
    let root = tempfile::tempdir().expect("a directory");
    let cache = root.path().join("does/not/exist/yet");
    let start = || Session::start_from(wasm_sandbox().args(["--memory-limit", "64"]).env(CACHE, &cache));
    let first = start();
    wait_until_it_says(&first, &["1 of 4"]);
    let mut others = [start(), start()];
    others.iter().for_each(|other| drop(wait_until_it_says(other, &["another process is preparing"])));
    let entries = fs::read_dir(cache.join("snapshots")).expect("a directory");
    let entries: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    // What a process may leave that was killed while it wrote, and worse.
    fs::write(entry.join("manifest"), "nonsense").expect("a file");
    fs::write(entry.join("machine.snapshot"), "cut short").expect("a file");
    fs::write(entry.join(".tmp123456"), "unfinished").expect("a file");
    fs::create_dir_all(entry.join("code-7.cwasm/directory")).expect("a directory");
    // A session that is dropped is killed.
    drop(first);

    let mut prepared = 0;
    for session in &mut others {
        let lines = wait_until_it_says(session, &["prepared in", "the other process has prepared"]);
        let waiting = lines.iter().filter(|line| line.contains("another process is preparing")).count();
        let begun: Vec<_> = lines.iter().filter(|line| line.starts_with("preparing the snapshot")).collect();
        assert!(waiting == 1 && begun.len() <= 1, "{lines:?}");
        if let [begun] = begun[..] {
            prepared += 1;
            assert!(
                begun.contains("is of no use (its manifest") && begun.contains("three minutes"),
                "{lines:?}"
            );
            let stages = (1..=4).map(|stage| format!("{stage} of 4: "));
            assert!(
                stages.clone().all(|stage| lines.iter().any(|line| line.starts_with(&stage))),
                "{lines:?}"
            );
            assert!(lines.len() < 12, "a flood: {lines:?}");
        }
        assert_eq!(session.output("echo works"), "works\n");
        assert_eq!(session.status().memory_limit_bytes, 64 << 20);
        let maps = session.maps();
        assert!(maps.contains(entry.join("machine.snapshot").to_str().expect("UTF-8")));
    }
    assert_eq!(prepared, 1, "exactly one of the two prepares");
    let names = fs::read_dir(entry).expect("the entry").map(|file| file.expect("a file").file_name());
    let names: BTreeSet<_> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    let mut expected: BTreeSet<_> = files().into_iter().collect();
    expected.extend(["lock".to_owned(), "used".to_owned()]);
    assert_eq!(names, expected, "nothing is left but what belongs there");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(entry).expect("the entry"));
    assert_eq!(mode & 0o777, 0o700);
}
