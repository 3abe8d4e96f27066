//! Trees: copied, searched, changed, packed and unpacked.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::trees::{assert_same, tree};
use common::{Agent, Replies};
use wasm_sandbox_protocol::agent::*;

fn copy<'a>(from: &'a str, to: &'a str, overwrite: bool) -> FileRequest<'a> {
    FileRequest::Copy { from: from.into(), to: to.into(), recursive: true, overwrite }
}

fn find<'a>(path: &'a str, find: Find<'a>) -> FileRequest<'a> {
    FileRequest::Find(Find { path: path.into(), max_results: find.max_results.max(1000), ..find })
}

fn code(outcome: Result<Replies, Failure>) -> FailureCode {
    outcome.expect_err("a failure").code
}

#[test]
fn a_copy_is_the_same() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    let to = agent.path("copy");
    let copied = agent.files(copy(&root, &to, false)).expect("copied");
    assert_eq!((copied.summary.entries, copied.summary.bytes), (9, 6_000_000 + 4 + 10));
    assert_same(&root, &to, true);
    let blocks = std::fs::metadata(format!("{to}/a/b/two")).expect("there").blocks() * 512;
    assert!(blocks < 1_000_000, "the hole was filled: {blocks}");

    assert_eq!(code(agent.files(copy(&root, &to, false))), FailureCode::Exists);
    std::fs::write(format!("{to}/program"), "other").expect("written");
    std::fs::write(format!("{to}/more"), "more").expect("written");
    agent.files(copy(&root, &to, true)).expect("copied");
    assert_same(&root, &to, true);
    assert!(Path::new(&to).join("more").exists());
}

#[test]
fn single_things_are_copied_and_nothing_into_itself() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    let (file, link, to) = (format!("{root}/program"), format!("{root}/link"), agent.path("to"));
    let plain = |from: &'static str, to: &'static str, overwrite| FileRequest::Copy {
        from: from.into(),
        to: to.into(),
        recursive: false,
        overwrite,
    };
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let (file, link, to, root) = (leak(&file), leak(&link), leak(&to), leak(&root));
    assert_eq!(agent.files(plain(file, to, false)).expect("copied").summary.bytes, 10);
    assert_eq!(std::fs::metadata(to).expect("there").permissions().mode() & 0o777, 0o750);
    assert_eq!(code(agent.files(plain(link, to, false))), FailureCode::Exists);
    agent.files(plain(link, to, true)).expect("copied");
    assert!(std::fs::symlink_metadata(to).expect("there").is_symlink());
    assert_eq!(code(agent.files(plain(root, to, true))), FailureCode::IsADirectory);
    assert_eq!(code(agent.files(plain(file, root, true))), FailureCode::IsADirectory);
    assert_eq!(code(agent.files(copy(root, file, true))), FailureCode::InvalidArgument);
    assert_eq!(
        code(agent.files(copy(root, leak(&format!("{root}/a/new")), true))),
        FailureCode::InvalidArgument
    );
    assert_eq!(code(agent.files(copy(file, file, true))), FailureCode::InvalidArgument);
    assert_eq!(
        code(agent.files(copy(file, leak(&format!("{root}/hard/x")), true))),
        FailureCode::NotADirectory
    );
    assert_eq!(code(agent.files(copy("/nonexistent", to, true))), FailureCode::NotFound);
    assert_eq!(code(agent.files(copy(file, "/nonexistent/x", true))), FailureCode::NotFound);
}

#[test]
fn a_tree_that_changes_while_it_is_walked_is_no_failure() {
    let mut agent = Agent::start();
    let root = agent.path("busy");
    std::fs::create_dir_all(&root).expect("made");
    let busy = root.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        for round in 0.. {
            if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                return;
            }
            let directory = format!("{busy}/{}", round % 7);
            let _ = std::fs::create_dir(&directory);
            for file in 0..20 {
                let _ = std::fs::write(format!("{directory}/{file}"), "x".repeat(round % 100));
            }
            let _ = std::fs::remove_dir_all(format!("{busy}/{}", (round + 3) % 7));
        }
    });
    for round in 0..20 {
        agent
            .files(FileRequest::List { path: root.as_str().into(), depth: 9, max_entries: 100_000 })
            .expect("listed");
        agent.files(find(&root, Find { content: Some("x".into()), ..Find::default() })).expect("searched");
        let form = if round % 2 == 0 { PackForm::Tar } else { PackForm::Entries };
        agent.files(FileRequest::Pack { path: root.as_str().into(), form }).expect("packed");
        let to = agent.path(&format!("copy-{round}"));
        agent.files(copy(&root, &to, false)).expect("copied");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    thread.join().expect("ended");
}

fn found(agent: &mut Agent, root: &str, wanted: Find<'static>) -> Vec<String> {
    let root = Box::leak(root.to_owned().into_boxed_str());
    let replies = agent.files(find(root, wanted)).expect("searched");
    let shown = |path: &[u8]| {
        String::from_utf8_lossy(path.strip_prefix(root.as_bytes()).expect("below")).into_owned()
    };
    replies
        .matches()
        .iter()
        .map(|found| match &found.line {
            Some((number, line)) => {
                format!("{}:{number}:{}", shown(&found.path), String::from_utf8_lossy(line))
            }
            None => shown(&found.path),
        })
        .collect()
}

#[test]
fn files_are_found_by_name_and_kind() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    let by_name = |name: &str| Find { name: Some(name.into()), ..Find::default() };
    let all = ["/a", "/a/b", "/a/b/two", "/a/one", "/hard", "/link", "/pipe", "/program"];
    assert_eq!(found(&mut agent, &root, Find::default()), all);
    assert_eq!(found(&mut agent, &root, by_name("{one,t*}")), ["/a/b/two", "/a/one"]);
    assert_eq!(found(&mut agent, &root, by_name("?[ik]*")), ["/link", "/pipe"]);
    assert_eq!(found(&mut agent, &root, by_name("a/*")), ["/a/b", "/a/one"]);
    assert_eq!(found(&mut agent, &root, by_name("**/two")), ["/a/b/two"]);
    assert_eq!(found(&mut agent, &root, by_name("a/**")), ["/a/b", "/a/b/two", "/a/one"]);
    assert_eq!(found(&mut agent, &root, by_name("ONE")), [] as [&str; 0]);
    assert_eq!(found(&mut agent, &root, Find { ignore_case: true, ..by_name("ONE") }), ["/a/one"]);
    assert_eq!(found(&mut agent, &root, Find { max_depth: Some(1), ..by_name("*o*") }), ["/program"]);
    assert_eq!(found(&mut agent, &root, Find { max_depth: Some(0), ..Find::default() }), [] as [&str; 0]);
    let of_kind = |kind| Find { kind: Some(kind), ..Find::default() };
    assert_eq!(found(&mut agent, &root, of_kind(FileKind::Directory)), ["/a", "/a/b"]);
    assert_eq!(found(&mut agent, &root, of_kind(FileKind::Symlink)), ["/link"]);
    assert_eq!(found(&mut agent, &root, of_kind(FileKind::Fifo)), ["/pipe"]);
    let few = FileRequest::Find(Find { path: root.as_str().into(), max_results: 2, ..Find::default() });
    let few = agent.files(few).expect("searched");
    assert!(few.summary.truncated && few.all.len() == 2);
    assert_eq!(code(agent.files(find("/nonexistent", Find::default()))), FailureCode::NotFound);
    for name in ["[", "{a", "[z-a]"] {
        assert_eq!(code(agent.files(find(&root, by_name(name)))), FailureCode::InvalidPattern, "{name}");
    }
}

#[test]
fn lines_are_found_by_content() {
    let mut agent = Agent::start();
    let root = agent.path("text");
    std::fs::create_dir(&root).expect("made");
    std::fs::write(format!("{root}/a"), "first\nSecond line\r\nthird").expect("written");
    std::fs::write(format!("{root}/b.txt"), format!("{}\nfirst é\n", "x".repeat(2000))).expect("written");
    std::fs::write(format!("{root}/binary"), "first\0").expect("written");
    std::fs::write(format!("{root}/late-nul"), format!("{}\nfirst\0\n", "y".repeat(9000))).expect("written");
    std::fs::write(format!("{root}/not-utf8"), b"first \xff\n").expect("written");
    let mut long = "z\n".repeat(400_000);
    long.push_str("needle");
    std::fs::write(format!("{root}/long"), long).expect("written");
    std::fs::write(format!("{root}/one-line"), format!("{}needle", "w".repeat((3 << 20) + 7)))
        .expect("written");
    let with = |content: &str| Find { content: Some(content.into()), ..Find::default() };
    assert_eq!(found(&mut agent, &root, with("^first$")), ["/a:1:first"]);
    assert_eq!(
        found(&mut agent, &root, with("first")),
        ["/a:1:first", "/b.txt:2:first é", "/late-nul:2:first\0", "/not-utf8:1:first \u{FFFD}"]
    );
    assert_eq!(found(&mut agent, &root, with("second LINE$")), [] as [&str; 0]);
    assert_eq!(
        found(&mut agent, &root, Find { ignore_case: true, ..with("second LINE$") }),
        ["/a:2:Second line"]
    );
    assert_eq!(found(&mut agent, &root, with("^x+$"))[0].len(), "/b.txt:1:".len() + 1000);
    assert_eq!(found(&mut agent, &root, with("^needle")), ["/long:400001:needle"]);
    assert_eq!(found(&mut agent, &root, with("needle")).len(), 2);
    assert_eq!(found(&mut agent, &format!("{root}/a"), with("thi")), [":3:third"]);
    let named = Find { name: Some("*.txt".into()), ..with("é") };
    assert_eq!(found(&mut agent, &root, named), ["/b.txt:2:first é"]);
    for pattern in ["(", "a{1000}{1000}{1000}", "\\p{Nonsense}"] {
        assert_eq!(code(agent.files(find(&root, with(pattern)))), FailureCode::InvalidPattern, "{pattern}");
    }
}

#[test]
fn a_search_over_everything_ends() {
    let mut agent = Agent::start();
    let wanted = Find { name: Some("cmdline".into()), max_depth: Some(2), ..Find::default() };
    // Not one of /proc, which begins elsewhere.
    assert!(!found(&mut agent, "/", wanted).iter().any(|path| path.starts_with("proc/")));
    let wanted = Find { name: Some("cmdline".into()), max_depth: Some(1), ..Find::default() };
    assert_eq!(found(&mut agent, "/proc", wanted), ["/cmdline"]);
}

#[test]
fn time_limits_and_cancelling_end_what_is_long() {
    let mut agent = Agent::start();
    let op = agent.op();
    let request = FileRequest::Watch { path: "/tmp".into(), recursive: false };
    agent.send(&HostToAgent::Files(Files { op, time_limit_ms: Some(100), request: request.clone() }));
    let exited = agent.file_replies(op).expect("watched").exited.expect("ended");
    assert_eq!(exited.ended_by, EndedBy::TimeLimit);
    let op = agent.op();
    agent.send(&HostToAgent::Files(Files { op, time_limit_ms: None, request }));
    agent.send(&HostToAgent::Cancel { op });
    let exited = agent.file_replies(op).expect("watched").exited.expect("ended");
    assert_eq!(exited.ended_by, EndedBy::Cancelled);
    assert!(agent.answers());
}

fn replace<'a>(paths: &[&'a str], old: &str, new: &str) -> Replace<'a> {
    Replace {
        paths: paths.iter().map(|path| (*path).into()).collect(),
        old: old.into(),
        new: new.into(),
        ..Replace::default()
    }
}

#[test]
fn text_is_replaced_everywhere_or_nowhere() {
    let mut agent = Agent::start();
    let (a, b, c, link) = (agent.path("a"), agent.path("b"), agent.path("c"), agent.path("link"));
    std::fs::write(&a, "one two one").expect("written");
    std::fs::write(&b, "nothing").expect("written");
    std::fs::write(&c, "one").expect("written");
    std::fs::set_permissions(&c, std::fs::Permissions::from_mode(0o4711)).expect("a mode");
    symlink("c", &link).expect("a link");
    let read = |path: &str| std::fs::read_to_string(path).expect("there");
    let paths = [a.as_str(), &b, &link];

    let replies = agent.files(FileRequest::Replace(replace(&paths, "one", "1"))).expect("replaced");
    let counts = [2, 0, 1].map(|replacements| FileReply::Replaced { replacements });
    assert_eq!((replies.all.as_slice(), replies.summary.entries), (&counts[..], 3));
    assert_eq!([read(&a), read(&b), read(&c)], ["1 two 1", "nothing", "1"]);
    assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(std::fs::metadata(&c).expect("there").permissions().mode() & 0o7777, 0o4711);

    let regex = Replace { regex: true, ..replace(&paths, r"(\d) (\w+)", "$2-${1}x") };
    agent.files(FileRequest::Replace(regex)).expect("replaced");
    assert_eq!(read(&a), "two-1x 1");

    let before = [read(&a), read(&b), read(&c)];
    let expected = |expected| Replace { expected: Some(expected), ..replace(&paths, "1", "2") };
    assert_eq!(code(agent.files(FileRequest::Replace(expected(2)))), FailureCode::Mismatch);
    assert_eq!(code(agent.files(FileRequest::Replace(replace(&paths, "absent", "")))), FailureCode::Mismatch);
    assert_eq!(
        code(agent.files(FileRequest::Replace(replace(&[&a, "/nonexistent"], "1", "2")))),
        FailureCode::NotFound
    );
    assert_eq!(
        code(agent.files(FileRequest::Replace(replace(&[&a, "/tmp"], "1", "2")))),
        FailureCode::IsADirectory
    );
    assert_eq!(
        code(agent.files(FileRequest::Replace(replace(&[&c, &link], "1", "2")))),
        FailureCode::InvalidArgument
    );
    assert_eq!(
        code(agent.files(FileRequest::Replace(replace(&[&a], "", "2")))),
        FailureCode::InvalidArgument
    );
    let bad = Replace { regex: true, ..replace(&paths, "(", "") };
    assert_eq!(code(agent.files(FileRequest::Replace(bad))), FailureCode::InvalidPattern);
    std::fs::write(&b, b"1\xff").expect("written");
    assert_eq!(code(agent.files(FileRequest::Replace(replace(&paths, "1", "2")))), FailureCode::NotUtf8);
    std::fs::write(&b, "nothing").expect("written");
    // A directory in which nothing can be made: the second file cannot be replaced.
    let kernel = format!("/proc/{}/comm", agent.ready.pid);
    let outcome = agent.files(FileRequest::Replace(replace(&[&a, &kernel], "e", "1")));
    assert!(matches!(code(outcome), FailureCode::PermissionDenied | FailureCode::NotFound));
    assert_eq!([read(&a), read(&b), read(&c)], before);
    agent.files(FileRequest::Replace(expected(3))).expect("replaced");
    assert_eq!([read(&a), read(&c)], ["two-2x 2", "2"]);
    let left: Vec<_> = std::fs::read_dir(agent.directory.path())
        .expect("read")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("wasm-sandbox")), "{left:?}");
}
