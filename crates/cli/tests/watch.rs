//! Changes of files, as events.

mod common;

use common::*;
use serde_json::{Value, json};

/// As `event path` or `renamed path new-path`.
fn shown(event: &WatchEvent) -> String {
    let slash = if event.directory { "/" } else { "" };
    let new = event.new_path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
    format!("{} {}{slash}{new}", event.event, event.path)
}

fn watch(session: &mut Session, path: &str, recursive: bool) -> (Value, String) {
    let request = json!({"type": "watch", "path": path, "recursive": recursive});
    let id = session.send(request);
    let answer: Watching = session.next_answer("watch", &id);
    (id, answer.watch_id)
}

/// Runs a command, whose answer comes somewhere among `count` events.
fn events_of(session: &mut Session, command: &str, count: usize) -> Vec<WatchEvent> {
    let id = session.send(shell_request(command, json!({})));
    let mut events = Vec::new();
    let mut answered = false;
    while events.len() < count || !answered {
        let line = session.next_line().expect("a line");
        match serde_json::from_str::<WatchEvent>(&line) {
            Ok(event) => events.push(event),
            Err(_) => {
                let answer = Shell::read(&line, "shell", &id);
                assert_eq!((answer.exit_code, answer.stderr.as_str()), (0, ""), "{command}");
                answered = true;
            }
        }
    }
    events
}

#[test]
fn changes_are_events_with_their_place_in_the_order() {
    let mut session = Session::start();
    session.output("mkdir -p /tmp/w/sub");
    let (id, watch_id) = watch(&mut session, "/tmp/w", true);
    let command = "cd /tmp/w && echo x >file && mv file sub/moved && chmod 600 sub/moved && rm sub/moved && mkdir -p new/deep && : >new/deep/file";
    let events = events_of(&mut session, command, 8);
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!((&event.id, &event.watch_id, event.seq), (&id, &watch_id, seq));
    }
    let all: Vec<String> = events.iter().map(shown).collect();
    assert_eq!(
        all[..5],
        [
            "created /tmp/w/file",
            "modified /tmp/w/file",
            "renamed /tmp/w/file /tmp/w/sub/moved",
            "attributes /tmp/w/sub/moved",
            "deleted /tmp/w/sub/moved"
        ]
    );
    let mut rest = all[5..].to_vec();
    rest.sort();
    assert_eq!(rest, ["created /tmp/w/new/", "created /tmp/w/new/deep/", "created /tmp/w/new/deep/file"]);

    let end = json!({"type": "unwatch", "watch_id": watch_id});
    session.request::<Done>(end.clone());
    session.output("touch /tmp/w/unseen");
    session.refusal(ErrorCode::NotFound, end);
    session.refusal(ErrorCode::NotFound, json!({"type": "watch", "path": "/tmp/none"}));
}

#[test]
fn other_requests_bring_events_too() {
    let mut session = Session::start();
    session.write_file("/tmp/file", "one");
    let (_, watch_id) = watch(&mut session, "/tmp/file", false);
    let id = session.send(json!({"type": "write_file", "path": "/tmp/file", "content": "two"}));
    let first = session.next_line().expect("a line");
    let second = session.next_line().expect("a line");
    let (answer, event) = if first.contains("\"event\"") { (second, first) } else { (first, second) };
    Written::read(&answer, "write_file", &id);
    let event: WatchEvent = serde_json::from_str(&event).expect("an event");
    assert_eq!((shown(&event).as_str(), event.watch_id), ("created /tmp/file", watch_id));
    session.request::<Done>(json!({"type": "unwatch", "watch_id": "w1"}));
}

/// Sends a request that replaces the machine: `watches` last events come, then the answer.
fn replaced<T: Answer>(session: &mut Session, request: Value, watches: usize) {
    let kind = request["type"].as_str().expect("a type").to_owned();
    let id = session.send(request);
    for _ in 0..watches {
        let line = session.next_line().expect("an event");
        let event: WatchEvent = serde_json::from_str(&line).expect("an event");
        assert_eq!(event.event, "ended", "{line}");
    }
    session.next_answer::<T>(&kind, &id);
}

#[test]
fn watches_end_with_the_machine_they_belong_to() {
    let mut session = Session::start();
    session.output("mkdir /tmp/w");
    session.request::<Checkpointed>(json!({"type": "checkpoint", "name": "before"}));
    let (_, first) = watch(&mut session, "/tmp/w", false);
    session.request::<Checkpointed>(json!({"type": "checkpoint", "name": "during"}));
    let events = events_of(&mut session, "touch /tmp/w/a", 2);
    assert_eq!(shown(&events[0]), "created /tmp/w/a");
    replaced::<Restored>(&mut session, json!({"type": "restore", "name": "during"}), 1);
    session.output("touch /tmp/w/b");
    session.refusal(ErrorCode::NotFound, json!({"type": "unwatch", "watch_id": first}));
    let (_, second) = watch(&mut session, "/tmp/w", false);
    assert_ne!(first, second);
    replaced::<ResetDone>(&mut session, json!({"type": "reset"}), 1);
    session.output("mkdir /tmp/w && touch /tmp/w/c");
    session.refusal(ErrorCode::NotFound, json!({"type": "unwatch", "watch_id": second}));
}

#[test]
fn there_are_so_many_watches_and_no_more() {
    let mut session = Session::start();
    for number in 1..=64 {
        assert_eq!(watch(&mut session, "/tmp", false).1, format!("w{number}"));
    }
    session.refusal(ErrorCode::LimitReached, json!({"type": "watch", "path": "/tmp"}));
    session.request::<Done>(json!({"type": "unwatch", "watch_id": "w7"}));
    watch(&mut session, "/tmp", false);
    let first = events_of(&mut session, "mkdir /tmp/one", 64);
    assert!(first.iter().all(|event| shown(event) == "created /tmp/one/"));
    replaced::<ResetDone>(&mut session, json!({"type": "reset"}), 64);
}
