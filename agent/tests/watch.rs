//! Changes of files, reported.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::Agent;
use wasm_sandbox_protocol::agent::*;

/// A watch under way.
struct Watch {
    agent: Agent,
    op: OperationId,
    decoder: Decoder,
    root: String,
}

impl Watch {
    fn start(path: &str, recursive: bool, prepare: impl FnOnce(&str)) -> Self {
        let mut agent = Agent::start();
        let root = agent.path("root");
        std::fs::create_dir(&root).expect("made");
        prepare(&root);
        let op = agent.op();
        let watched = format!("{root}{path}");
        let request = FileRequest::Watch { path: watched.as_str().into(), recursive };
        agent.send(&HostToAgent::Files(Files { op, time_limit_ms: None, request }));
        let mut watch = Self { agent, op, decoder: Decoder::new(), root };
        assert_eq!(watch.next(), FileReply::WatchStarted);
        watch
    }

    fn next(&mut self) -> FileReply<'static> {
        loop {
            if let Some(reply) = self.decoder.next_frame::<FileReply>().expect("a frame") {
                return reply.into_owned();
            }
            match self.agent.receive() {
                AgentToHost::Output { data, .. } => {
                    self.agent.send(&HostToAgent::Credit { op: self.op, bytes: data.len() as u32 });
                    self.decoder.feed(&data);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next change, as `kind path` or `Renamed path new-path`.
    fn change(&mut self) -> String {
        match self.next() {
            FileReply::Change(change) => {
                let shown = |path: &[u8]| {
                    String::from_utf8_lossy(path).strip_prefix(self.root.as_str()).expect("below").to_owned()
                };
                let slash = if change.directory { "/" } else { "" };
                let new =
                    change.new_path.as_ref().map(|path| format!(" {}", shown(path))).unwrap_or_default();
                format!("{:?} {}{slash}{new}", change.kind, shown(&change.path))
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Changes up to a certain one, which must come.
    fn until(&mut self, last: &str) -> Vec<String> {
        let mut changes = Vec::new();
        loop {
            changes.push(self.change());
            if changes.last().is_some_and(|change| change == last) {
                return changes;
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }
}

#[test]
fn changes_in_a_directory_are_reported() {
    let mut watch = Watch::start("", false, |_| {});
    let (file, other) = (watch.path("file"), watch.path("other"));
    std::fs::write(&file, "x").expect("written");
    assert_eq!(watch.until("Modified /file"), ["Created /file", "Modified /file"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert_eq!(watch.change(), "Attributes /file");
    std::fs::rename(&file, &other).expect("renamed");
    assert_eq!(watch.change(), "Renamed /file /other");
    std::fs::remove_file(&other).expect("removed");
    assert_eq!(watch.change(), "Deleted /other");
    std::fs::create_dir(&file).expect("made");
    assert_eq!(watch.change(), "Created /file/");
    // Not what is inside.
    std::fs::write(watch.path("file/inner"), "x").expect("written");
    let outside = watch.agent.path("outside");
    std::fs::rename(&file, &outside).expect("renamed");
    assert_eq!(watch.change(), "Deleted /file/");
    std::fs::rename(&outside, &file).expect("renamed");
    assert_eq!(watch.change(), "Created /file/");
}

#[test]
fn changes_in_new_subdirectories_are_reported_and_only_once() {
    let mut watch =
        Watch::start("", true, |root| std::fs::create_dir_all(format!("{root}/old/deep")).expect("made"));
    std::fs::write(watch.path("old/deep/file"), "").expect("written");
    assert_eq!(watch.change(), "Created /old/deep/file");
    for round in 0..20 {
        std::fs::create_dir_all(watch.path(&format!("new{round}/a/b"))).expect("made");
        for file in ["one", "a/two", "a/b/three"] {
            std::fs::File::create(watch.path(&format!("new{round}/{file}"))).expect("made");
        }
        let mark = watch.path(&format!("mark{round}"));
        std::fs::File::create(&mark).expect("made");
        let mut changes = watch.until(&format!("Created /mark{round}"));
        while changes.len() < 7 {
            changes.push(watch.change());
        }
        changes.sort();
        let mut expected = ["/", "/a/", "/a/b/", "/one", "/a/two", "/a/b/three"]
            .map(|path| format!("Created /new{round}{path}"))
            .to_vec();
        expected.push(format!("Created /mark{round}"));
        expected.sort();
        assert_eq!(changes, expected);
    }
}

#[test]
fn directories_that_move_are_followed() {
    let mut watch =
        Watch::start("", true, |root| std::fs::create_dir_all(format!("{root}/a/b")).expect("made"));
    std::fs::rename(watch.path("a"), watch.path("z")).expect("renamed");
    assert_eq!(watch.change(), "Renamed /a/ /z");
    std::fs::File::create(watch.path("z/b/file")).expect("made");
    assert_eq!(watch.change(), "Created /z/b/file");
    let outside = watch.agent.path("outside");
    std::fs::rename(watch.path("z"), &outside).expect("renamed");
    assert_eq!(watch.change(), "Deleted /z/");
    std::fs::File::create(format!("{outside}/b/unseen")).expect("made");
    std::thread::sleep(Duration::from_millis(100));
    std::fs::rename(&outside, watch.path("back")).expect("renamed");
    let mut changes = watch.until("Created /back/b/unseen");
    changes.sort();
    assert_eq!(
        changes,
        ["Created /back/", "Created /back/b/", "Created /back/b/file", "Created /back/b/unseen"]
    );
}

#[test]
fn a_file_is_watched_even_when_it_is_replaced() {
    let mut watch =
        Watch::start("/file", false, |root| std::fs::write(format!("{root}/file"), "").expect("written"));
    std::fs::write(watch.path("other"), "x").expect("written");
    std::fs::write(watch.path("file"), "x").expect("written");
    assert_eq!(watch.change(), "Modified /file");
    std::fs::rename(watch.path("other"), watch.path("file")).expect("renamed");
    // Emptying it and writing to it may be told one by one.
    let next = std::iter::from_fn(|| Some(watch.change())).find(|change| change != "Modified /file");
    assert_eq!(next.as_deref(), Some("Created /file"));
    std::fs::remove_file(watch.path("file")).expect("removed");
    assert_eq!(watch.change(), "Deleted /file");
}

#[test]
fn the_end_of_what_is_watched_ends_the_watch() {
    let mut watch = Watch::start("", true, |_| {});
    std::fs::remove_dir(&watch.root).expect("removed");
    assert_eq!(watch.change(), "Deleted /");
    assert!(matches!(watch.next(), FileReply::Failed { code: FailureCode::NotFound, .. }));
    let op = watch.op;
    watch.agent.await_exit(op);
}

#[test]
fn too_many_changes_are_said_to_be_too_many() {
    let mut watch = Watch::start("", true, |_| {});
    let names: Vec<String> = (0..60_000).map(|number| watch.path(&format!("{number:-<100}"))).collect();
    // Nobody takes the reports.
    for name in &names {
        std::fs::File::create(name).expect("made");
        std::fs::remove_file(name).expect("removed");
    }
    let changes = watch.until("Overflow /");
    assert!(changes.len() > 1000, "{}", changes.len());
    // And then it goes on.
    std::thread::sleep(Duration::from_millis(200));
    std::fs::create_dir(watch.path("after")).expect("made");
    watch.until("Created /after/");
    std::fs::File::create(watch.path("after/file")).expect("made");
    watch.until("Created /after/file");
}

#[test]
fn what_is_not_there_is_not_watched() {
    let mut agent = Agent::start();
    let request = FileRequest::Watch { path: "/nonexistent".into(), recursive: true };
    assert_eq!(agent.files(request).expect_err("nothing there").code, FailureCode::NotFound);
}
