//! Requests about names, directories and texts.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::*;
use serde_json::{Value, json};

/// A fresh directory in the guest.
fn fresh(guest: &mut Session, name: &str) -> String {
    let path = format!("/tmp/requests/{name}");
    guest.output(&format!("rm -rf {path}; mkdir -p {path}"));
    path
}

fn with(kind: &str, path: &str, fields: Value) -> Value {
    let mut request = json!({"type": kind, "path": path});
    for (name, value) in fields.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

fn list(guest: &mut Session, path: &str, fields: Value) -> Vec<String> {
    let listing: Listing = guest.request(with("list_dir", path, fields));
    listing.entries.into_iter().map(|entry| entry.path).collect()
}

#[test]
fn a_path_is_described() {
    let mut guest = shared();
    let root = fresh(&mut guest, "stat");
    guest.output(&format!(
        "cd {root} && printf 12345 >file && chmod 4751 file && touch -d @1700000000.5 file && ln -s file link && \
         ln -s none dangling && mkfifo pipe && chown 65534:65534 pipe"
    ));
    let file: PathInfo = guest.request(with("stat", &format!("{root}/file"), json!({})));
    let expected = Entry {
        name: "file".into(),
        path: format!("{root}/file"),
        kind: "file".into(),
        size: 5,
        mode: "4751".into(),
        permissions: "-rwsr-x--x".into(),
        owner: "root".into(),
        group: "root".into(),
        modified_time: "2023-11-14T22:13:20.5Z".into(),
        symlink_target: None,
        not_utf8: false,
    };
    assert_eq!(file.entry, expected);
    let followed: PathInfo = guest.request(with("stat", &format!("{root}/link"), json!({})));
    assert_eq!((followed.entry.kind.as_str(), followed.entry.name.as_str()), ("file", "link"));
    let link: PathInfo = guest.request(with("stat", &format!("{root}/link"), json!({"follow": false})));
    assert_eq!((link.entry.kind.as_str(), link.entry.symlink_target.as_deref()), ("symlink", Some("file")));
    let pipe: PathInfo = guest.request(with("stat", &format!("{root}/pipe"), json!({})));
    assert_eq!((pipe.entry.kind.as_str(), pipe.entry.owner.as_str()), ("fifo", "nobody"));
    guest.refusal(ErrorCode::NotFound, with("stat", &format!("{root}/dangling"), json!({})));
    guest.refusal(ErrorCode::NotADirectory, with("stat", &format!("{root}/file/x"), json!({})));
    guest.refusal(ErrorCode::InvalidPath, with("stat", "relative", json!({})));

    for (name, kind) in
        [("file", Some("file")), ("link", Some("file")), ("dangling", None), ("file/x", None), ("none", None)]
    {
        let answer: PathExists = guest.request(with("exists", &format!("{root}/{name}"), json!({})));
        assert_eq!((answer.exists, answer.entry_type.as_deref()), (kind.is_some(), kind), "{name}");
    }
}

#[test]
fn directories_are_listed_in_order_and_in_part() {
    let mut guest = shared();
    let root = fresh(&mut guest, "list");
    guest.output(&format!(
        "cd {root} && mkdir -p a/b && touch a.c a0 a/x a/b/y && printf x >\"$(printf '\\377')\""
    ));
    let all =
        ["/a", "/a.c", "/a/b", "/a/b/y", "/a/x", "/a0", "/\u{FFFD}"].map(|path| format!("{root}{path}"));
    assert_eq!(list(&mut guest, &root, json!({"depth": 9})), all);
    assert_eq!(list(&mut guest, &root, json!({})).len(), 4);
    assert_eq!(list(&mut guest, &root, json!({"depth": 2})).len(), 6);
    let part: Listing = guest.request(with("list_dir", &root, json!({"max_entries": 2})));
    assert!(part.truncated && part.entries.len() == 2);
    let odd: Listing = guest.request(with("list_dir", &root, json!({})));
    assert_eq!(odd.entries.iter().filter(|entry| entry.not_utf8).count(), 1);
    guest.refusal(ErrorCode::NotADirectory, with("list_dir", &format!("{root}/a0"), json!({})));
    guest.refusal(ErrorCode::NotADirectory, with("list_dir", &format!("{root}/a0"), json!({"depth": 2})));
    guest.refusal(ErrorCode::NotFound, with("list_dir", &format!("{root}/none"), json!({"depth": 2})));
    for wrong in [
        json!({"depth": 0}),
        json!({"max_entries": 0}),
        json!({"max_entries": 100_001}),
        json!({"depth": -1}),
    ] {
        guest.refusal(ErrorCode::InvalidRequest, with("list_dir", &root, wrong));
    }
}

#[test]
fn many_files_are_listed_and_removed() {
    let mut guest = shared();
    let root = fresh(&mut guest, "many");
    guest.output(&format!("cd {root} && seq -w 3000 | xargs touch"));
    let listing: Listing = guest.request(with("list_dir", &root, json!({})));
    assert_eq!((listing.entries.len(), listing.entries[2999].name.as_str()), (3000, "3000"));
    let removed: Removed = guest.request(with("remove", &root, json!({"recursive": true})));
    assert_eq!(removed.removed, 3001);
}

#[test]
fn directories_are_made_and_removed() {
    let mut guest = shared();
    let root = fresh(&mut guest, "mkdir");
    let (one, deep) = (format!("{root}/one"), format!("{root}/x/y/z"));
    assert!(guest.request::<DirectoryMade>(with("mkdir", &one, json!({"mode": "0700"}))).created);
    assert_eq!(guest.output(&format!("stat -c %a {one}")), "700\n");
    guest.refusal(ErrorCode::AlreadyExists, with("mkdir", &one, json!({})));
    assert!(!guest.request::<DirectoryMade>(with("mkdir", &one, json!({"create_parents": true}))).created);
    guest.refusal(ErrorCode::NotFound, with("mkdir", &deep, json!({})));
    assert!(guest.request::<DirectoryMade>(with("mkdir", &deep, json!({"parents": true}))).created);
    assert_eq!(guest.output(&format!("stat -c %a {root}/x {deep} | xargs")), "755 755\n");
    guest.refusal(ErrorCode::NotEmpty, with("remove", &format!("{root}/x"), json!({})));
    assert_eq!(guest.request::<Removed>(with("remove", &deep, json!({}))).removed, 1);
    assert_eq!(
        guest.request::<Removed>(with("remove", &format!("{root}/x"), json!({"recursive": true}))).removed,
        2
    );
    guest.refusal(ErrorCode::NotFound, with("remove", &deep, json!({"recursive": true})));
    assert_eq!(guest.request::<Removed>(with("remove", &deep, json!({"missing_ok": true}))).removed, 0);
    guest.refusal(ErrorCode::InvalidMode, with("mkdir", &deep, json!({"mode": "8"})));
}

#[test]
fn files_are_renamed_copied_linked_and_changed() {
    let mut guest = shared();
    let root = fresh(&mut guest, "names");
    guest.output(&format!(
        "cd {root} && mkdir -p tree/sub && printf 123 >tree/sub/file && ln -s sub tree/link && printf x >file"
    ));
    let pair = |kind: &str, from: &str, to: &str, fields: Value| {
        let mut request =
            json!({"type": kind, "from": format!("{root}/{from}"), "to": format!("{root}/{to}")});
        for (name, value) in fields.as_object().expect("an object") {
            request[name] = value.clone();
        }
        request
    };
    let copied: Copied = guest.request(pair("copy", "tree", "copy", json!({"recursive": true})));
    assert_eq!((copied.entries, copied.size), (4, 3));
    assert_eq!(
        guest.output(&format!("diff -r {root}/tree {root}/copy && readlink {root}/copy/link")),
        "sub\n"
    );
    guest.refusal(ErrorCode::IsADirectory, pair("copy", "tree", "other", json!({})));
    guest.refusal(ErrorCode::AlreadyExists, pair("copy", "file", "tree/sub/file", json!({})));
    guest
        .refusal(ErrorCode::InvalidRequest, pair("copy", "tree", "tree/sub/new", json!({"recursive": true})));
    let copied: Copied = guest.request(pair("copy", "file", "copy/sub/file", json!({"overwrite": true})));
    assert_eq!(copied.size, 1);

    guest.refusal(ErrorCode::AlreadyExists, pair("rename", "file", "copy/sub/file", json!({})));
    guest.request::<Done>(pair("rename", "file", "copy/sub/file", json!({"overwrite": true})));
    guest.refusal(ErrorCode::NotFound, pair("rename", "file", "new", json!({})));
    guest.request::<Done>(pair("rename", "copy", "moved", json!({})));
    // To another file system.
    let moved = json!({"type": "rename", "from": format!("{root}/moved"), "to": "/dev/shm/moved"});
    guest.request::<Done>(moved);
    assert_eq!(
        guest.output(&format!("cat /dev/shm/moved/sub/file; rm -r /dev/shm/moved; ls {root}")),
        "xtree\n"
    );

    let link = with("symlink", &format!("{root}/link"), json!({"target": "tree/sub/file"}));
    guest.request::<Done>(link.clone());
    guest.refusal(ErrorCode::AlreadyExists, link);
    guest.request::<Done>(with("chmod", &format!("{root}/link"), json!({"mode": "0600"})));
    assert_eq!(guest.output(&format!("stat -c %a {root}/tree/sub/file")), "600\n");
    guest.refusal(ErrorCode::NotFound, with("chmod", &format!("{root}/none"), json!({"mode": "0600"})));
}

#[test]
fn files_are_found_by_name_and_content() {
    let mut guest = shared();
    let root = fresh(&mut guest, "find");
    guest.output(&format!(
        "cd {root} && mkdir -p src/deep && printf 'one\\ntwo Needle\\n' >src/a.rs && printf 'needle\\n' >src/deep/b.rs && \
         printf 'needle\\0' >src/binary && touch README"
    ));
    let find = |guest: &mut Session, fields: Value| -> Vec<String> {
        let found: Found = guest.request(with("find", &root, fields));
        let line = |found: &Match| {
            found.line.as_ref().map(|line| format!(":{}:{line}", found.line_number.unwrap_or(0)))
        };
        found
            .matches
            .iter()
            .map(|found| {
                found.path.strip_prefix(&root).expect("below").to_owned() + &line(found).unwrap_or_default()
            })
            .collect()
    };
    assert_eq!(find(&mut guest, json!({"name": "*.rs"})), ["/src/a.rs", "/src/deep/b.rs"]);
    assert_eq!(find(&mut guest, json!({"name": "src/*.rs"})), ["/src/a.rs"]);
    assert_eq!(find(&mut guest, json!({"name": "readme", "ignore_case": true})), ["/README"]);
    assert_eq!(find(&mut guest, json!({"entry_type": "directory"})), ["/src", "/src/deep"]);
    assert_eq!(find(&mut guest, json!({"content": "needle"})), ["/src/deep/b.rs:1:needle"]);
    let both = ["/src/a.rs:2:two Needle", "/src/deep/b.rs:1:needle"];
    assert_eq!(find(&mut guest, json!({"content": "needle$", "ignore_case": true})), both);
    assert_eq!(find(&mut guest, json!({"content": "needle", "max_depth": 2})), [] as [&str; 0]);
    let few: Found = guest.request(with("find", &root, json!({"max_results": 1})));
    assert!(few.truncated && few.matches.len() == 1);
    guest.refusal(ErrorCode::InvalidPattern, with("find", &root, json!({"name": "["})));
    guest.refusal(ErrorCode::InvalidPattern, with("find", &root, json!({"content": "("})));
    guest.refusal(ErrorCode::NotFound, with("find", "/none", json!({})));
    guest.refusal(ErrorCode::InvalidRequest, with("find", &root, json!({"entry_type": "thing"})));
    guest
        .refusal(ErrorCode::TimedOut, with("find", "/usr", json!({"content": "zzzzz", "time_limit_ms": 20})));
}

#[test]
fn text_is_replaced_in_all_files_or_in_none() {
    let mut guest = shared();
    let root = fresh(&mut guest, "replace");
    guest.output(&format!(
        "cd {root} && printf 'one two one' >a && printf 'one' >b && printf 'one\\377' >c && printf x >d"
    ));
    let state = format!("cd {root} && cat a b d && ls -A | xargs");
    let replace = |paths: &[&str], fields: Value| {
        let paths: Vec<String> = paths.iter().map(|path| format!("{root}/{path}")).collect();
        let mut request = json!({"type": "replace", "paths": paths, "old": "one", "new": "1"});
        for (name, value) in fields.as_object().expect("an object") {
            request[name] = value.clone();
        }
        request
    };
    let before = guest.output(&state);
    guest.refusal(ErrorCode::Mismatch, replace(&["a", "b"], json!({"expected_replacements": 2})));
    guest.refusal(ErrorCode::Mismatch, replace(&["d"], json!({})));
    guest.refusal(ErrorCode::NotUtf8, replace(&["a", "c"], json!({})));
    guest.refusal(ErrorCode::NotFound, replace(&["a", "none"], json!({})));
    guest.refusal(ErrorCode::IsADirectory, replace(&["a", "."], json!({})));
    guest.refusal(ErrorCode::InvalidPattern, replace(&["a"], json!({"old": "(", "regex": true})));
    guest.refusal(ErrorCode::InvalidRequest, replace(&[], json!({})));
    guest.refusal(ErrorCode::InvalidRequest, replace(&["a"], json!({"old": ""})));
    guest.refusal(ErrorCode::TooLarge, replace(&["a"], json!({"new": "x".repeat(2 << 20)})));
    assert_eq!(guest.output(&state), before);

    let replaced: Replaced = guest.request(replace(&["a", "b", "d"], json!({"expected_replacements": 3})));
    let counts: Vec<u64> = replaced.files.iter().map(|file| file.replacements).collect();
    assert_eq!((replaced.replacements, counts.as_slice()), (3, &[2, 1, 0][..]));
    assert_eq!(replaced.files[0].path, format!("{root}/a"));
    let regex = json!({"old": r"(\w+) (two)", "new": "$2-${1}x", "regex": true});
    guest.request::<Replaced>(replace(&["a"], regex));
    assert_eq!(guest.output(&state), "two-1x 11xa b c d\n");
}

#[test]
fn large_files_are_read_in_parts() {
    const PART: usize = 16 << 20;
    let mut guest = shared();
    let root = fresh(&mut guest, "parts");
    let sum = guest.output(&format!(
        "python3 -c \"import sys\nfor i in range(64): sys.stdout.buffer.write(bytes([i]) * (1 << 20))\" >{root}/large && \
         sha256sum <{root}/large"
    ));
    let mut all = Vec::new();
    for part in 0..5 {
        let fields = json!({"encoding": "base64", "offset": part * PART, "length": PART});
        let content: Content = guest.request(with("read_file", &format!("{root}/large"), fields));
        assert_eq!(
            (content.file_size, content.size),
            (Some(64 << 20), if part < 4 { PART as u64 } else { 0 })
        );
        all.extend(STANDARD.decode(content.content).expect("base64"));
    }
    assert_eq!(format!("{}  -\n", sha256(&all)), sum);
    guest.output(&format!("rm {root}/large"));

    guest.write_file(&format!("{root}/text"), "añb");
    let part = |offset: u64, length: u64| {
        with("read_file", &format!("{root}/text"), json!({"offset": offset, "length": length}))
    };
    let content: Content = guest.request(part(1, 2));
    assert_eq!((content.content.as_str(), content.file_size), ("ñ", Some(4)));
    guest.refusal(ErrorCode::NotUtf8, part(0, 2));
    assert_eq!(guest.request::<Content>(part(100, 1)).content, "");
    assert_eq!(guest.request::<Content>(part(u64::MAX, u64::MAX)).content, "");
}

#[test]
fn files_are_added_to_made_with_their_directories_and_written_in_place() {
    let mut guest = shared();
    let root = fresh(&mut guest, "write");
    let write = |name: &str, content: &str, fields: Value| {
        let mut request = with("write_file", &format!("{root}/{name}"), fields);
        request["content"] = json!(content);
        request
    };
    guest.request::<Written>(write("log", "one\n", json!({"append": true, "mode": "0600"})));
    guest.request::<Written>(write("log", "two\n", json!({"append": true})));
    assert_eq!(guest.output(&format!("cat {root}/log; stat -c %a {root}/log")), "one\ntwo\n600\n");
    guest.refusal(ErrorCode::NotFound, write("a/b/c", "x", json!({})));
    guest.request::<Written>(write("a/b/c", "x", json!({"create_parents": true})));
    assert_eq!(guest.output(&format!("cat {root}/a/b/c; stat -c %a {root}/a/b")), "x755\n");
    guest.refusal(ErrorCode::NotADirectory, write("log/x", "x", json!({"create_parents": true})));
    guest.refusal(ErrorCode::InvalidRequest, write("log", "x", json!({"append": true, "atomic": true})));

    let inode = guest.output(&format!("stat -c %i {root}/log"));
    guest.request::<Written>(write("log", "three\n", json!({"atomic": false})));
    assert_eq!(guest.output(&format!("stat -c %i {root}/log")), inode);
    guest.output(&format!("ln -s target {root}/dangling"));
    guest.request::<Written>(write("dangling", "made", json!({})));
    assert_eq!(guest.output(&format!("cat {root}/target; readlink {root}/dangling")), "madetarget\n");

    // Where the kernel lets nobody make files.
    let before = guest.read_file("/proc/sys/vm/swappiness");
    guest.write_file("/proc/sys/vm/swappiness", "7\n");
    assert_eq!(guest.read_file("/proc/sys/vm/swappiness"), "7\n");
    guest.write_file("/proc/sys/vm/swappiness", &before);
    guest.refusal(ErrorCode::NotFound, with("write_file", "/proc/sys/none", json!({"content": ""})));
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let mut guest = shared();
    let root = fresh(&mut guest, "full");
    guest.output(&format!("mkdir {root}/small && mount -t tmpfs -o size=1m none {root}/small && head -c 3000000 /dev/zero >{root}/large"));
    let copy = json!({"type": "copy", "from": format!("{root}/large"), "to": format!("{root}/small/copy")});
    guest.refusal(ErrorCode::NoSpace, copy);
    let content = "x".repeat(3_000_000);
    guest.refusal(
        ErrorCode::NoSpace,
        with("write_file", &format!("{root}/small/file"), json!({"content": content})),
    );
    assert_eq!(guest.output(&format!("ls -A {root}/small")), "");
    // What is mounted is left alone, and said to be.
    guest.output(&format!("touch {root}/small/kept"));
    let why = guest.refusal(ErrorCode::Io, with("remove", &root, json!({"recursive": true})));
    assert!(why.contains("small"), "{why}");
    assert_eq!(
        guest.output(&format!("ls {root} {root}/small && umount {root}/small")),
        format!("{root}:\nsmall\n\n{root}/small:\nkept\n")
    );
}
