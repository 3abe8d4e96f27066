//! Archives: trees packed and unpacked.

mod common;

use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::trees::{assert_same, tree};
use common::{Agent, Replies};
use wasm_sandbox_protocol::agent::*;

fn code(outcome: Result<Replies, Failure>) -> FailureCode {
    outcome.expect_err("a failure").code
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
