//! Trees: copied, searched, changed, packed and unpacked.

mod common;

use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

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

/// `a/one`, `a/b/two` (with a hole), a link, a hard link, a named pipe, a program.
fn tree(agent: &Agent, name: &str) -> String {
    let root = agent.path(name);
    std::fs::create_dir_all(format!("{root}/a/b")).expect("made");
    std::fs::write(format!("{root}/a/one"), "one\n").expect("written");
    let sparse = std::fs::File::create(format!("{root}/a/b/two")).expect("made");
    sparse.write_all_at(b"start", 0).expect("written");
    sparse.write_all_at(b"end", 5_000_000).expect("written");
    sparse.set_len(6_000_000).expect("a length");
    symlink("a/one", format!("{root}/link")).expect("a link");
    std::fs::hard_link(format!("{root}/a/one"), format!("{root}/hard")).expect("a link");
    std::fs::write(format!("{root}/program"), "#!/bin/sh\n").expect("written");
    std::fs::set_permissions(format!("{root}/program"), std::fs::Permissions::from_mode(0o750))
        .expect("a mode");
    std::fs::set_permissions(format!("{root}/a"), std::fs::Permissions::from_mode(0o711)).expect("a mode");
    assert!(
        std::process::Command::new("mkfifo").arg(format!("{root}/pipe")).status().expect("mkfifo").success()
    );
    root
}

/// Whether two trees are the same to `diff`, and in modes, times and links.
fn assert_same(a: &str, b: &str, with_hard_links: bool) {
    for path in ["", "/a", "/a/b", "/a/b/two", "/program", "/hard", "/link"] {
        let [a, b] = [a, b].map(|root| std::fs::symlink_metadata(format!("{root}{path}")).expect(path));
        assert_eq!((a.mode(), a.mtime()), (b.mode(), b.mtime()), "{path}");
        assert!(!a.is_file() || a.len() == b.len(), "{path}");
    }
    assert_eq!(std::fs::read_link(format!("{b}/link")).expect("a link"), Path::new("a/one"));
    assert!(
        std::fs::read(format!("{a}/a/b/two")).expect("read")
            == std::fs::read(format!("{b}/a/b/two")).expect("read")
    );
    assert_eq!(std::fs::read_to_string(format!("{b}/hard")).expect("read"), "one\n");
    let inode = |path: &str| std::fs::metadata(format!("{b}/{path}")).expect("there").ino();
    assert_eq!(inode("hard") == inode("a/one"), with_hard_links);
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

/// Sends an archive in pieces, under flow control.
fn unpack(agent: &mut Agent, path: &str, archive: &[u8]) -> Result<Replies, Failure> {
    let op = agent.op();
    let request = FileRequest::Unpack { path: path.into() };
    agent.send(&HostToAgent::Files(Files { op, time_limit_ms: Some(60_000), request }));
    let mut window = INITIAL_WINDOW as usize;
    for piece in archive.chunks(30_011) {
        while window < piece.len() {
            match agent.receive() {
                AgentToHost::Credit { bytes, .. } => window += bytes as usize,
                // It has given up.
                AgentToHost::Output { data, .. } => {
                    let mut decoder = Decoder::new();
                    decoder.feed(&data);
                    let reply =
                        decoder.next_frame::<FileReply>().expect("a frame").expect("whole").into_owned();
                    let FileReply::Failed { code, message } = reply else { panic!("unexpected {reply:?}") };
                    agent.await_exit(op);
                    return Err(Failure { op, code, message });
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        window -= piece.len();
        agent.send(&HostToAgent::Stdin { op, data: piece.into() });
    }
    agent.send(&HostToAgent::CloseStdin { op });
    agent.file_replies(op)
}

#[test]
fn a_packed_tree_is_unpacked_to_the_same() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    let long = format!("{root}/{}", "long-name/".repeat(30));
    std::fs::create_dir_all(&long).expect("made");
    std::fs::write(format!("{long}/file"), "deep").expect("written");
    symlink("x".repeat(200), format!("{root}/long-link")).expect("a link");
    let packed =
        agent.files(FileRequest::Pack { path: root.as_str().into(), form: PackForm::Tar }).expect("packed");
    assert_eq!((packed.summary.entries, packed.summary.skipped), (7 + 30 + 2, 1));
    let archive = packed.data();
    let to = agent.path("unpacked/here");
    let unpacked = unpack(&mut agent, &to, &archive).expect("unpacked");
    assert_eq!(unpacked.summary.entries, packed.summary.entries);
    std::fs::set_permissions(&to, std::fs::metadata(&root).expect("there").permissions()).expect("a mode");
    for path in ["a", "a/b", "a/b/two", "program", "hard"] {
        let [one, other] =
            [&root, &to].map(|root| std::fs::symlink_metadata(format!("{root}/{path}")).expect(path));
        assert_eq!((one.mode(), one.mtime()), (other.mode(), other.mtime()), "{path}");
    }
    let inode = |path: &str| std::fs::metadata(format!("{to}/{path}")).expect("there").ino();
    assert_eq!(inode("hard"), inode("a/one"));
    assert_eq!(
        std::fs::read_to_string(format!("{to}/{}file", "long-name/".repeat(30))).expect("there"),
        "deep"
    );
    assert_eq!(std::fs::read_link(format!("{to}/long-link")).expect("a link"), Path::new(&"x".repeat(200)));
    let blocks = std::fs::metadata(format!("{to}/a/b/two")).expect("there").blocks() * 512;
    assert!(blocks < 1_000_000, "the hole was filled: {blocks}");

    let file = FileRequest::Pack {
        path: Box::leak(format!("{root}/program").into_boxed_str()).as_bytes().into(),
        form: PackForm::Tar,
    };
    let packed = agent.files(file).expect("packed").data();
    let names: Vec<_> = tar::Archive::new(packed.as_slice())
        .entries()
        .expect("an archive")
        .map(|entry| entry.expect("an entry").path().expect("a path").into_owned())
        .collect();
    assert_eq!(names, [Path::new("program")]);
    assert_eq!(
        code(agent.files(FileRequest::Pack { path: "/nonexistent".into(), form: PackForm::Tar })),
        FailureCode::NotFound
    );
}

#[test]
fn entries_come_with_as_many_bytes_as_they_say() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    let replies = agent
        .files(FileRequest::Pack { path: root.as_str().into(), form: PackForm::Entries })
        .expect("packed");
    let mut seen = Vec::new();
    let mut left = 0;
    for reply in &replies.all {
        match reply {
            FileReply::Entry(entry) => {
                assert_eq!(left, 0);
                left = if entry.kind == FileKind::File { entry.size } else { 0 };
                seen.push(String::from_utf8(entry.path.to_vec()).expect("text"));
            }
            FileReply::Data(data) => left -= data.len() as u64,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(left, 0);
    assert_eq!(seen, ["a", "a/b", "a/b/two", "a/one", "hard", "link", "program"]);
}

#[test]
fn archives_of_others_are_unpacked() {
    let mut agent = Agent::start();
    let root = tree(&agent, "tree");
    for (number, options) in
        ["", "z", "--format=ustar", "--format=pax", "--sparse", "--format=gnu --sparse -z"].iter().enumerate()
    {
        let options = options.strip_prefix('z').map_or((*options).to_owned(), |_| "-z".into());
        let command = format!("cd {root} && tar c --exclude=./pipe {options} .");
        let archive = agent.shell(&command).stdout;
        let to = agent.path(&format!("unpacked-{number}"));
        let unpacked = unpack(&mut agent, &to, &archive).expect("unpacked");
        assert_eq!(unpacked.summary.entries, 7, "{options}");
        assert_same(&root, &to, true);
    }
}

fn archive(members: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, link, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        // Names that the builder itself would not write.
        let name = &mut header.as_gnu_mut().expect("of this form").name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if !link.is_empty() {
            header.set_link_name_literal(link).expect("short");
        }
        header.set_cksum();
        builder.append(&header, *data).expect("packed");
    }
    builder.into_inner().expect("packed")
}

#[test]
fn nothing_leaves_the_directory() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let mut agent = Agent::start();
    let outside = agent.path("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(format!("{outside}/secret"), "secret").expect("written");
    let mut number = 0;
    let mut attempt = |agent: &mut Agent, members: &[(&str, tar::EntryType, &str, &[u8])]| {
        number += 1;
        let to = agent.path(&format!("target-{number}"));
        let outcome = unpack(agent, &to, &archive(members))
            .map(|replies| replies.summary.entries)
            .map_err(|failure| failure.code);
        let left: Vec<_> =
            std::fs::read_dir(&outside).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["secret"], "{members:?}");
        assert_eq!(
            std::fs::read_to_string(format!("{outside}/secret")).expect("read"),
            "secret",
            "{members:?}"
        );
        assert_eq!(std::fs::metadata(format!("{outside}/secret")).expect("there").nlink(), 1, "{members:?}");
        (to, outcome)
    };
    let (to, outcome) = attempt(&mut agent, &[("/absolute/name", Regular, "", b"x")]);
    assert_eq!(outcome, Ok(1));
    assert!(Path::new(&to).join("absolute/name").exists());
    let (_, outcome) = attempt(&mut agent, &[("../outside/new", Regular, "", b"x")]);
    assert_eq!(outcome, Err(FailureCode::BadArchive));
    let (_, outcome) = attempt(&mut agent, &[("a/../../outside/new", Regular, "", b"x")]);
    assert_eq!(outcome, Err(FailureCode::BadArchive));
    for target in ["../outside".to_owned(), outside.clone()] {
        let (to, _) = attempt(
            &mut agent,
            &[("way", Symlink, &target, b""), ("way/new", Regular, "", b"x"), ("way/d", Directory, "", b"")],
        );
        assert!(std::fs::symlink_metadata(Path::new(&to).join("way")).expect("there").is_symlink());
        let _either = attempt(
            &mut agent,
            &[("way", Symlink, &format!("{target}/secret"), b""), ("way", Regular, "", b"overwritten")],
        );
        let _either = attempt(
            &mut agent,
            &[("way", Symlink, &target, b""), ("copy", Link, "way/secret", b""), ("copy", Regular, "", b"x")],
        );
        let _either = attempt(
            &mut agent,
            &[("copy", Link, &format!("{target}/secret"), b""), ("copy", Regular, "", b"x")],
        );
    }
    let (_, outcome) = attempt(&mut agent, &[("a", Regular, "", b"x"), ("a/b", Regular, "", b"x")]);
    assert_eq!(outcome, Err(FailureCode::NotADirectory));
    let (to, outcome) = attempt(
        &mut agent,
        &[("lib", Symlink, "usr/lib", b""), ("usr/lib/x", Regular, "", b"x"), ("lib/y", Regular, "", b"y")],
    );
    assert_eq!(outcome, Ok(3));
    assert!(Path::new(&to).join("usr/lib/y").exists());
}

#[test]
fn damaged_archives_are_refused_and_empty_ones_are_empty() {
    let mut agent = Agent::start();
    let to = agent.path("to");
    let whole = archive(&[("file", tar::EntryType::Regular, "", &[7; 5000])]);
    assert_eq!(unpack(&mut agent, &to, &whole[..2000]).expect_err("cut").code, FailureCode::BadArchive);
    assert_eq!(unpack(&mut agent, &to, &[b'x'; 4000]).expect_err("noise").code, FailureCode::BadArchive);
    assert_eq!(
        unpack(&mut agent, &to, b"\x1f\x8bnonsense").expect_err("noise").code,
        FailureCode::BadArchive
    );
    assert_eq!(unpack(&mut agent, &to, b"").expect("empty").summary.entries, 0);
    assert_eq!(unpack(&mut agent, &to, &[0; 1024]).expect("empty").summary.entries, 0);
    assert_eq!(
        unpack(&mut agent, "/dev/null/x", &whole).expect_err("no directory").code,
        FailureCode::NotADirectory
    );
    // One that goes on long after it was refused.
    let large = [b"x".repeat(4096), vec![0; 8 << 20]].concat();
    assert_eq!(unpack(&mut agent, &to, &large).expect_err("noise").code, FailureCode::BadArchive);
    assert!(agent.answers());
}

#[test]
fn a_bomb_meets_a_limit() {
    let mut agent = Agent::start();
    let to = agent.path("to");
    // A terabyte that does not come; the time limit ends it.
    let mut header = tar::Header::new_gnu();
    header.set_path("bomb").expect("short");
    header.set_size(1 << 40);
    header.set_mode(0o644);
    header.set_cksum();
    let op = agent.op();
    let request = FileRequest::Unpack { path: to.as_str().into() };
    agent.send(&HostToAgent::Files(Files { op, time_limit_ms: Some(500), request }));
    agent.send(&HostToAgent::Stdin { op, data: header.as_bytes()[..].into() });
    agent.set_patience(Duration::from_secs(10));
    let exited = agent.file_replies(op).expect("ended").exited.expect("ended");
    assert_eq!(exited.ended_by, EndedBy::TimeLimit);
    let mut content = Vec::new();
    std::fs::File::open(format!("{to}/bomb")).expect("begun").read_to_end(&mut content).expect("read");
    assert!(content.is_empty());
}
