//! Whatever bytes come, the agent lives or leaves in order.

mod common;

use common::{Agent, argv};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wasm_sandbox_protocol::agent::*;

#[test]
fn hello_is_answered_at_any_time() {
    let mut agent = Agent::start();
    assert_eq!(agent.ready.protocol_version, PROTOCOL_VERSION);
    agent.send(&HostToAgent::Hello { protocol_version: PROTOCOL_VERSION, abandon_operations: false });
    let AgentToHost::Ready(again) = agent.receive() else { panic!("expected Ready") };
    assert_eq!(again, agent.ready);
}

#[test]
fn operations_can_be_abandoned_all_at_once() {
    let marker = format!("98769{}", std::process::id());
    let mut agent = Agent::start();
    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, stdin: Stdin::Stream, ..argv(&["cat"]) }));
    agent.send(&HostToAgent::Exec(Exec {
        op: OperationId(77),
        ..common::shell(&format!("sleep {marker} & echo on"))
    }));
    while !matches!(agent.receive(), AgentToHost::Exited(exited) if exited.background_left) {}
    agent.send(&HostToAgent::Hello { protocol_version: PROTOCOL_VERSION, abandon_operations: true });
    assert!(matches!(agent.receive(), AgentToHost::Ready(_)));
    // The identifier is free, and nothing comes about its former owner.
    let stdin = Stdin::Inline(b"again".as_slice().into());
    assert_eq!(agent.exec(Exec { op, stdin, ..argv(&["cat"]) }).expect("starts").text(), "again");
    for _ in 0..200 {
        if common::running(&marker) == 0 {
            return assert!(agent.answers());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("what was left in the background is still there");
}

#[test]
fn frames_of_random_bytes_are_reported_or_carried_out_but_never_fatal() {
    let agent = std::cell::RefCell::new(Agent::start());
    let body =
        prop::collection::vec(any::<u8>(), 0..60).prop_filter("no programs, no files, no clock", |body| {
            // The first byte selects the message. Random programs and paths would leave the test's own directory.
            !matches!(body.first(), Some(2..=7 | 14..=255))
        });
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&body, |body| {
            let mut agent = agent.borrow_mut();
            let mut frame = (body.len() as u32).to_le_bytes().to_vec();
            frame.extend_from_slice(&body);
            agent.send_bytes(&frame);
            prop_assert!(agent.answers());
            Ok(())
        })
        .expect("the agent answers");
}

#[test]
fn a_length_beyond_the_limit_ends_the_agent_in_order() {
    let mut agent = Agent::start();
    agent.send_bytes(&u32::MAX.to_le_bytes());
    assert!(agent.try_receive().is_none());
    for _ in 0..200 {
        if agent.has_ended() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the agent goes on without knowing where frames start");
}

#[test]
fn a_frame_byte_by_byte_is_a_frame() {
    let mut agent = Agent::start();
    let mut bytes = Vec::new();
    let op = agent.op();
    encode(&HostToAgent::Exec(Exec { op, ..argv(&["echo", "slowly"]) }), &mut bytes).expect("encodes");
    for byte in bytes {
        agent.send_bytes(&[byte]);
    }
    assert_eq!(agent.finish(op).expect("starts").text(), "slowly\n");
}

#[test]
fn frames_about_unknown_operations_are_ignored() {
    let mut agent = Agent::start();
    let op = OperationId(4242);
    agent.send(&HostToAgent::Stdin { op, data: "x".into() });
    agent.send(&HostToAgent::CloseStdin { op });
    agent.send(&HostToAgent::Signal { op, signal: 9, whole_group: true });
    agent.send(&HostToAgent::Resize { op, size: PtySize { cols: 1, rows: 1 } });
    agent.send(&HostToAgent::Cancel { op });
    agent.send(&HostToAgent::Credit { op, bytes: u32::MAX });
    agent.send(&HostToAgent::FileData { op, data: "x".into() });
    agent.send(&HostToAgent::FileEnd { op });
    assert!(agent.answers());
}

#[test]
fn the_end_of_the_stream_ends_the_agent() {
    let agent = Agent::start();
    drop(agent); // waits for the agent to end
}
