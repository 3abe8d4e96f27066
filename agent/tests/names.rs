//! Names, directories and links.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::Agent;
use wasm_sandbox_protocol::agent::*;

fn stat(path: &str, follow: bool) -> FileRequest<'_> {
    FileRequest::Stat { path: path.into(), follow }
}

fn list(path: &str, depth: u32) -> FileRequest<'_> {
    FileRequest::List { path: path.into(), depth, max_entries: 100_000 }
}

fn make(path: &str, parents: bool) -> FileRequest<'_> {
    FileRequest::MakeDirectory { path: path.into(), parents, mode: 0o755 }
}

fn remove(path: &str, recursive: bool) -> FileRequest<'_> {
    FileRequest::Remove { path: path.into(), recursive, missing_ok: false }
}

fn rename<'a>(from: &'a str, to: &'a str, overwrite: bool) -> FileRequest<'a> {
    FileRequest::Rename { from: from.into(), to: to.into(), overwrite }
}

fn code(outcome: Result<common::Replies, Failure>) -> FailureCode {
    outcome.expect_err("a failure").code
}

fn paths(replies: &common::Replies, root: &str) -> Vec<String> {
    let relative =
        |path: &[u8]| String::from_utf8_lossy(path.strip_prefix(root.as_bytes()).expect("below")).into();
    replies.entries().iter().map(|entry| relative(&entry.path)).collect()
}

#[test]
fn a_path_is_described() {
    let mut agent = Agent::start();
    let (file, link, dangling) = (agent.path("file"), agent.path("link"), agent.path("dangling"));
    std::fs::write(&file, "12345").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4751)).expect("a mode");
    symlink("file", &link).expect("a link");
    symlink("nowhere", &dangling).expect("a link");

    let replies = agent.files(stat(&file, true)).expect("there");
    let [entry] = replies.entries()[..] else { panic!("{replies:?}") };
    assert_eq!((entry.kind, entry.size, entry.mode), (FileKind::File, 5, 0o4751));
    assert_eq!(entry.path.as_slice(), file.as_bytes());
    let meta = std::fs::metadata(&file).expect("there");
    assert_eq!(entry.modified_ns, meta.mtime() * 1_000_000_000 + meta.mtime_nsec());
    if meta.uid() == 0 {
        assert_eq!((entry.owner.as_slice(), entry.group.as_slice()), (&b"root"[..], &b"root"[..]));
    }

    assert_eq!(agent.files(stat(&link, true)).expect("there").entries()[0].kind, FileKind::File);
    let replies = agent.files(stat(&link, false)).expect("there");
    assert_eq!(replies.entries()[0].kind, FileKind::Symlink);
    assert_eq!(replies.entries()[0].target.as_deref(), Some(&b"file"[..]));
    assert_eq!(code(agent.files(stat(&dangling, true))), FailureCode::NotFound);
    assert_eq!(agent.files(stat(&dangling, false)).expect("there").entries().len(), 1);
    assert_eq!(agent.files(stat("/dev/null", true)).expect("there").entries()[0].kind, FileKind::CharDevice);
    assert_eq!(agent.files(stat("/", true)).expect("there").entries()[0].path.as_slice(), b"/");
    assert_eq!(code(agent.files(stat("relative", true))), FailureCode::InvalidArgument);
    assert_eq!(code(agent.files(stat(&format!("{file}/x"), true))), FailureCode::NotADirectory);
}

#[test]
fn loops_of_links_end() {
    let mut agent = Agent::start();
    let (a, b, inside) = (agent.path("a"), agent.path("b"), agent.path("tree/up"));
    symlink(&a, &b).expect("a link");
    symlink(&b, &a).expect("a link");
    std::fs::create_dir(agent.path("tree")).expect("made");
    symlink("..", &inside).expect("a link");
    assert_eq!(code(agent.files(stat(&a, true))), FailureCode::InvalidArgument);
    assert_eq!(agent.files(stat(&a, false)).expect("there").entries()[0].kind, FileKind::Symlink);
    let tree = agent.path("tree");
    assert_eq!(paths(&agent.files(list(&tree, 100)).expect("listed"), &tree), ["/up"]);
    let write = WriteFile { path: a.as_str().into(), last: true, ..WriteFile::default() };
    let flags = WriteFlags { atomic: true, ..WriteFlags::default() };
    assert_eq!(
        agent.write_file(WriteFile { flags, ..write }).expect_err("a loop").code,
        FailureCode::InvalidArgument
    );
}

#[test]
fn listings_are_in_the_order_of_the_bytes_of_paths() {
    let mut agent = Agent::start();
    let root = agent.path("root");
    for directory in ["a/x", "a.d", "b"] {
        std::fs::create_dir_all(format!("{root}/{directory}")).expect("made");
    }
    for file in ["a/y", "a.c", "a0", "b/z", "é"] {
        std::fs::write(format!("{root}/{file}"), file).expect("written");
    }
    let all = paths(&agent.files(list(&root, 9)).expect("listed"), &root);
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(all, sorted);
    assert_eq!(all, ["/a", "/a.c", "/a.d", "/a/x", "/a/y", "/a0", "/b", "/b/z", "/é"]);
    let top = paths(&agent.files(list(&format!("{root}/"), 1)).expect("listed"), &root);
    assert_eq!(top, ["/a", "/a.c", "/a.d", "/a0", "/b", "/é"]);
    assert_eq!(paths(&agent.files(list(&root, 0)).expect("listed"), &root), top);
    for depth in [1, 2] {
        let few = FileRequest::List { path: root.as_str().into(), depth, max_entries: 3 };
        let few = agent.files(few).expect("listed");
        assert_eq!(paths(&few, &root), all[..3]);
        assert!(few.summary.truncated && few.summary.entries == 3);
        let exact =
            FileRequest::List { path: root.as_str().into(), depth, max_entries: [6, 9][depth as usize - 1] };
        assert!(!agent.files(exact).expect("listed").summary.truncated);
    }
    for depth in [1, 2] {
        assert_eq!(code(agent.files(list(&format!("{root}/a0"), depth))), FailureCode::NotADirectory);
        assert_eq!(code(agent.files(list(&format!("{root}/none"), depth))), FailureCode::NotFound);
    }
}

#[test]
fn ten_thousand_files_are_listed_and_removed() {
    let mut agent = Agent::start();
    let root = agent.path("many");
    std::fs::create_dir_all(format!("{root}/below")).expect("made");
    for number in 0..10_000 {
        std::fs::write(format!("{root}/below/{number:05}"), "").expect("written");
    }
    let below = format!("{root}/below");
    let replies = agent.files(list(&below, 1)).expect("listed");
    assert_eq!(replies.summary.entries, 10_000);
    assert_eq!(paths(&replies, &below)[9_999], "/09999");
    let replies = agent.files(list(&root, 2)).expect("listed");
    assert_eq!(replies.all.len(), 10_001);
    let removed = agent.files(remove(&root, true)).expect("removed");
    assert_eq!(removed.summary.entries, 10_002);
    assert!(!Path::new(&root).exists());
}

#[test]
fn names_need_not_be_text() {
    let mut agent = Agent::start();
    let root = agent.path("root");
    std::fs::create_dir(&root).expect("made");
    let name = OsStr::from_bytes(b"\xff\xfe\n");
    std::fs::write(Path::new(&root).join(name), "x").expect("written");
    for depth in [1, 2] {
        let replies = agent.files(list(&root, depth)).expect("listed");
        assert!(replies.entries()[0].path.ends_with(b"/\xff\xfe\n"));
    }
    let path = [root.as_bytes(), b"/\xff\xfe\n"].concat();
    let path = path.as_slice();
    let request = FileRequest::Stat { path: path.into(), follow: true };
    assert_eq!(agent.files(request).expect("there").entries()[0].path.as_slice(), path);
}

#[test]
fn directories_are_made_with_and_without_those_above() {
    let mut agent = Agent::start();
    let (one, deep, file) = (agent.path("one"), agent.path("x/y/z"), agent.path("file"));
    std::fs::write(&file, "").expect("written");
    assert_eq!(agent.files(make(&one, false)).expect("made").summary.entries, 1);
    assert_eq!(code(agent.files(make(&one, false))), FailureCode::Exists);
    assert_eq!(agent.files(make(&one, true)).expect("there").summary.entries, 0);
    assert_eq!(code(agent.files(make(&deep, false))), FailureCode::NotFound);
    let request = FileRequest::MakeDirectory { path: deep.as_str().into(), parents: true, mode: 0o1777 };
    assert_eq!(agent.files(request).expect("made").summary.entries, 1);
    assert_eq!(std::fs::metadata(&deep).expect("there").permissions().mode() & 0o7777, 0o1777);
    assert_eq!(
        std::fs::metadata(agent.path("x/y")).expect("there").permissions().mode() & 0o777,
        0o755 & !umask()
    );
    assert_eq!(code(agent.files(make(&file, true))), FailureCode::NotADirectory);
    assert_eq!(code(agent.files(make(&format!("{file}/a/b"), true))), FailureCode::NotADirectory);
    let request = FileRequest::MakeDirectory { path: deep.as_str().into(), parents: true, mode: 0o10000 };
    assert_eq!(code(agent.files(request)), FailureCode::InvalidArgument);
}

/// That of the tests, which the agent inherits.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("a umask");
    u32::from_str_radix(line.trim(), 8).expect("octal")
}

#[test]
fn removing_says_what_is_in_the_way() {
    let mut agent = Agent::start();
    let (file, link, empty, full) =
        (agent.path("file"), agent.path("link"), agent.path("empty"), agent.path("full"));
    std::fs::write(&file, "").expect("written");
    symlink(&file, &link).expect("a link");
    std::fs::create_dir(&empty).expect("made");
    std::fs::create_dir_all(format!("{full}/a/b")).expect("made");
    symlink(&file, format!("{full}/a/link")).expect("a link");
    symlink(agent.directory.path(), format!("{full}/up")).expect("a link");

    assert_eq!(code(agent.files(remove(&full, false))), FailureCode::NotEmpty);
    assert_eq!(agent.files(remove(&link, true)).expect("removed").summary.entries, 1);
    assert_eq!(agent.files(remove(&empty, false)).expect("removed").summary.entries, 1);
    assert_eq!(agent.files(remove(&format!("{full}/"), true)).expect("removed").summary.entries, 5);
    assert!(Path::new(&file).exists() && !Path::new(&full).exists());
    assert_eq!(agent.files(remove(&file, false)).expect("removed").summary.entries, 1);
    assert_eq!(code(agent.files(remove(&file, true))), FailureCode::NotFound);
    let request = FileRequest::Remove { path: file.as_str().into(), recursive: true, missing_ok: true };
    assert_eq!(agent.files(request).expect("fine").summary.entries, 0);
    for path in ["/", "/..", "/tmp/.."] {
        assert_eq!(code(agent.files(remove(path, true))), FailureCode::InvalidArgument, "{path}");
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let mut agent = Agent::start();
    let root = agent.path("deep");
    std::fs::create_dir(&root).expect("made");
    let script = format!(
        "cd {root} && for i in $(seq 300); do mkdir dddddddddddddddddddd && cd -P dddddddddddddddddddd || exit 1; done"
    );
    assert_eq!(agent.shell(&script).status(), ExitStatus::Code(0));
    assert_eq!(agent.files(remove(&root, true)).expect("removed").summary.entries, 301);
    assert!(!Path::new(&root).exists());
}

#[test]
fn renaming_replaces_only_if_that_is_wanted() {
    let mut agent = Agent::start();
    let (a, b, directory) = (agent.path("a"), agent.path("b"), agent.path("directory"));
    std::fs::write(&a, "a").expect("written");
    std::fs::write(&b, "b").expect("written");
    std::fs::create_dir_all(format!("{directory}/x")).expect("made");
    assert_eq!(code(agent.files(rename(&a, &b, false))), FailureCode::Exists);
    agent.files(rename(&a, &b, true)).expect("renamed");
    assert_eq!(std::fs::read_to_string(&b).expect("there"), "a");
    assert_eq!(code(agent.files(rename(&a, &b, true))), FailureCode::NotFound);
    assert_eq!(code(agent.files(rename(&b, "/no/such/place", false))), FailureCode::NotFound);
    assert_eq!(code(agent.files(rename(&b, &directory, true))), FailureCode::IsADirectory);
    assert_eq!(code(agent.files(rename(&directory, &b, true))), FailureCode::NotADirectory);
    assert_eq!(
        code(agent.files(rename(&directory, &format!("{directory}/x/y"), true))),
        FailureCode::InvalidArgument
    );
    agent.files(rename(&directory, &a, false)).expect("renamed");
    assert!(Path::new(&a).join("x").is_dir());
}

#[test]
fn moving_to_another_file_system_copies_and_removes() {
    let other = Path::new("/dev/shm");
    let mut agent = Agent::start();
    let tree = agent.path("tree");
    let Ok(target) = tempfile::tempdir_in(other) else { return };
    if target.path().metadata().expect("there").dev()
        == agent.directory.path().metadata().expect("there").dev()
    {
        return;
    }
    std::fs::create_dir_all(format!("{tree}/a")).expect("made");
    std::fs::write(format!("{tree}/a/file"), "content").expect("written");
    let to = target.path().join("moved");
    let to = to.to_str().expect("text");
    agent.files(rename(&tree, to, false)).expect("moved");
    assert!(!Path::new(&tree).exists());
    assert_eq!(std::fs::read_to_string(format!("{to}/a/file")).expect("there"), "content");
    assert_eq!(code(agent.files(rename(to, "/nonexistent/place", false))), FailureCode::NotFound);
    std::fs::write(&tree, "file").expect("written");
    assert_eq!(code(agent.files(rename(&tree, to, false))), FailureCode::Exists);
    assert_eq!(code(agent.files(rename(&tree, to, true))), FailureCode::IsADirectory);
}

#[test]
fn links_are_made_and_modes_changed() {
    let mut agent = Agent::start();
    let (file, link) = (agent.path("file"), agent.path("link"));
    std::fs::write(&file, "").expect("written");
    let make =
        |target: &'static [u8]| FileRequest::Symlink { path: link.as_str().into(), target: target.into() };
    agent.files(make(b"file")).expect("made");
    assert_eq!(std::fs::read_link(&link).expect("a link"), Path::new("file"));
    assert_eq!(code(agent.files(make(b"file"))), FailureCode::Exists);
    assert_eq!(code(agent.files(make(b"a\0"))), FailureCode::InvalidArgument);
    let chmod = |path: &'static str, mode| FileRequest::ChangeMode { path: path.into(), mode };
    let path: &'static str = Box::leak(link.into_boxed_str());
    agent.files(chmod(path, 0o2710)).expect("changed");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o2710);
    assert_eq!(code(agent.files(chmod("/nonexistent", 0))), FailureCode::NotFound);
    assert_eq!(code(agent.files(chmod(path, 0o10000))), FailureCode::InvalidArgument);
}

#[test]
fn a_file_behind_a_dangling_link_is_made_and_the_link_stays() {
    let mut agent = Agent::start();
    let (link, target) = (agent.path("link"), agent.path("target"));
    symlink("target", &link).expect("a link");
    for atomic in [true, false] {
        let flags = WriteFlags { atomic, ..WriteFlags::default() };
        let request = WriteFile {
            path: link.as_str().into(),
            data: b"x"[..].into(),
            last: true,
            flags,
            ..WriteFile::default()
        };
        agent.write_file(request).expect("written");
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "x");
        std::fs::remove_file(&target).expect("removed");
    }
}

#[test]
fn files_of_the_kernel_are_written_to_in_place() {
    let mut agent = Agent::start();
    // Of the agent's process itself, so that nothing changes for anybody else.
    let path = format!("/proc/{}/comm", agent.ready.pid);
    let flags = WriteFlags { atomic: true, ..WriteFlags::default() };
    let request = WriteFile {
        path: path.as_str().into(),
        data: b"renamed"[..].into(),
        last: true,
        flags,
        mode: Some(0o644),
        ..WriteFile::default()
    };
    agent.write_file(request).expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "renamed\n");
    let request =
        WriteFile { path: "/proc/sys/no-such-switch".into(), last: true, flags, ..WriteFile::default() };
    assert!(agent.write_file(request).is_err());
}
