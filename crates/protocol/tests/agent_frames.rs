//! Properties of the host-agent frames.

use proptest::prelude::*;
use wasm_sandbox_protocol::agent::*;

fn bytes(limit: usize) -> impl Strategy<Value = Bytes<'static>> {
    prop::collection::vec(any::<u8>(), 0..limit).prop_map(Bytes::from)
}

fn op() -> impl Strategy<Value = OperationId> {
    any::<u32>().prop_map(OperationId)
}

fn exec() -> impl Strategy<Value = HostToAgent<'static>> {
    let words = (
        op(),
        prop::collection::vec(bytes(40), 0..5),
        prop::collection::vec((bytes(10), bytes(10)), 0..4),
        prop::option::of(bytes(20)),
        prop::option::of(bytes(10)),
    );
    let stdin = prop_oneof![Just(Stdin::Null), bytes(100).prop_map(Stdin::Inline), Just(Stdin::Stream)];
    let numbers =
        (any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<(u16, u16)>>(), any::<(bool, bool, u16)>());
    (words, stdin, numbers).prop_map(
        |((op, argv, env, cwd, user), stdin, (wall, cpu, pty, (a, b, delay)))| {
            HostToAgent::Exec(Exec {
                op,
                argv,
                env,
                clear_env: a,
                cwd,
                user,
                stdin,
                time_limit_ms: wall,
                cpu_time_limit_ms: cpu,
                pty: pty.map(|(cols, rows)| PtySize { cols, rows }),
                announce_start: b,
                output_delay_ms: delay,
            })
        },
    )
}

fn file_request() -> impl Strategy<Value = FileRequest<'static>> {
    prop_oneof![
        (bytes(30), any::<bool>()).prop_map(|(path, follow)| FileRequest::Stat { path, follow }),
        (bytes(30), any::<u32>(), any::<u32>()).prop_map(|(path, depth, max_entries)| FileRequest::List {
            path,
            depth,
            max_entries
        }),
        (bytes(30), bytes(30), any::<bool>(), any::<bool>()).prop_map(|(from, to, recursive, overwrite)| {
            FileRequest::Copy { from, to, recursive, overwrite }
        }),
        (bytes(30), any::<Option<String>>(), any::<Option<String>>(), any::<(bool, Option<u32>, u32)>())
            .prop_map(|(path, name, content, (ignore_case, max_depth, max_results))| {
                let kind = ignore_case.then_some(FileKind::Symlink);
                FileRequest::Find(Find { path, name, kind, content, ignore_case, max_depth, max_results })
            }),
        (
            prop::collection::vec(bytes(20), 0..4),
            any::<String>(),
            any::<String>(),
            any::<(bool, Option<u64>)>()
        )
            .prop_map(|(paths, old, new, (regex, expected))| {
                FileRequest::Replace(Replace { paths, old, new, regex, expected })
            }),
        bytes(30).prop_map(|path| FileRequest::Unpack { path }),
        bytes(30).prop_map(|path| FileRequest::Pack { path, form: PackForm::Entries }),
    ]
}

fn file_reply() -> impl Strategy<Value = FileReply<'static>> {
    let counts = (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
    prop_oneof![
        (bytes(30), any::<(u64, u16, i64)>(), bytes(10), prop::option::of(bytes(30))).prop_map(
            |(path, (size, mode, modified_ns), owner, target)| {
                let (kind, group) = (FileKind::Directory, owner.clone());
                FileReply::Entry(Entry { path, kind, size, mode, owner, group, modified_ns, target })
            }
        ),
        (bytes(30), any::<u64>(), prop::option::of((any::<u64>(), bytes(100)))).prop_map(
            |(path, size, line)| FileReply::Match(Match { path, kind: FileKind::File, size, line })
        ),
        (bytes(30), prop::option::of(bytes(30)), any::<bool>()).prop_map(|(path, new_path, directory)| {
            FileReply::Change(Change { kind: ChangeKind::Renamed, path, new_path, directory })
        }),
        bytes(5000).prop_map(FileReply::Data),
        counts.prop_map(|(entries, bytes, skipped, truncated)| {
            FileReply::Done(Summary { entries, bytes, skipped, truncated })
        }),
        any::<String>().prop_map(|message| FileReply::Failed { code: FailureCode::BadArchive, message }),
    ]
}

fn host_message() -> impl Strategy<Value = HostToAgent<'static>> {
    prop_oneof![
        any::<(u32, bool)>().prop_map(|(protocol_version, abandon_operations)| HostToAgent::Hello {
            protocol_version,
            abandon_operations
        }),
        any::<u64>().prop_map(|wall_clock_ns| HostToAgent::SetClock { wall_clock_ns }),
        bytes(64).prop_map(|data| HostToAgent::AddEntropy { data }),
        exec(),
        (op(), bytes(5000)).prop_map(|(op, data)| HostToAgent::Stdin { op, data }),
        (op(), any::<u8>(), any::<bool>()).prop_map(|(op, signal, whole_group)| HostToAgent::Signal {
            op,
            signal,
            whole_group
        }),
        (op(), any::<u32>()).prop_map(|(op, bytes)| HostToAgent::Credit { op, bytes }),
        (op(), bytes(30), any::<Option<u16>>(), bytes(3000), any::<[bool; 5]>()).prop_map(
            |(op, path, mode, data, [append, create_parents, atomic, exclusive, last])| {
                let flags = WriteFlags { append, create_parents, atomic, exclusive };
                HostToAgent::WriteFile(WriteFile { op, path, mode, flags, data, last })
            }
        ),
        (op(), any::<Option<u32>>(), file_request()).prop_map(|(op, time_limit_ms, request)| {
            HostToAgent::Files(Files { op, time_limit_ms, request })
        }),
        (op(), bytes(30), any::<u64>(), any::<Option<u64>>()).prop_map(|(op, path, offset, length)| {
            HostToAgent::ReadFile(ReadFile { op, path, offset, length })
        }),
    ]
}

/// Every whole frame the decoder has now.
fn drain(decoder: &mut Decoder) -> Vec<HostToAgent<'static>> {
    let mut messages = Vec::new();
    // Encoding again and decoding from the copy detaches the message from the decoder it borrows from.
    while let Some(message) = decoder.next_frame::<HostToAgent>().expect("a frame that was encoded here") {
        let copy = Vec::leak(postcard::to_stdvec(&message).expect("encodes"));
        messages.push(postcard::from_bytes(copy).expect("decodes"));
    }
    messages
}

proptest! {
    #[test]
    fn replies_survive_in_frames_and_in_streams(op in op(), replies in prop::collection::vec(file_reply(), 1..6)) {
        let mut decoder = Decoder::new();
        for reply in &replies {
            let mut frame = Vec::new();
            encode(reply, &mut frame).expect("small");
            decoder.feed(&frame);
            prop_assert_eq!(decoder.next_frame::<FileReply>().expect("a frame").expect("whole").into_owned(), reply.clone());
            frame.clear();
            let message = AgentToHost::FileReply { op, reply: reply.clone() };
            encode(&message, &mut frame).expect("small");
            decoder.feed(&frame);
            prop_assert_eq!(decoder.next_frame::<AgentToHost>().expect("a frame"), Some(message));
        }
    }

    #[test]
    fn messages_survive_any_split_of_the_stream(
        messages in prop::collection::vec(host_message(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for message in &messages {
            encode(message, &mut stream).expect("small");
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut decoder = Decoder::new();
        let mut received = Vec::new();
        let mut from = 0;
        for to in cuts.into_iter().chain([stream.len()]) {
            decoder.feed(&stream[from..to]);
            received.extend(drain(&mut decoder));
            from = to;
        }
        prop_assert_eq!(received, messages);
        prop_assert_eq!(decoder.pending(), 0);
    }

    #[test]
    fn random_bytes_are_an_error_and_never_a_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut decoder = Decoder::new();
        for chunk in chunks {
            decoder.feed(&chunk);
            loop {
                match decoder.next_frame::<HostToAgent>() {
                    Ok(None) | Err(FrameError::Oversize { .. }) => break,
                    Ok(Some(_)) | Err(_) => {}
                }
            }
        }
    }

    #[test]
    fn a_body_of_random_bytes_loses_only_itself(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new();
        decoder.feed(&(body.len() as u32).to_le_bytes());
        decoder.feed(&body);
        let mut ping = Vec::new();
        encode(&HostToAgent::Ping { token: 7 }, &mut ping).expect("small");
        decoder.feed(&ping);
        let _either = decoder.next_frame::<HostToAgent>();
        prop_assert_eq!(decoder.next_frame::<HostToAgent>(), Ok(Some(HostToAgent::Ping { token: 7 })));
    }
}

#[test]
fn a_frame_has_a_little_endian_length_and_a_postcard_body() {
    let mut out = Vec::new();
    let op = OperationId(5);
    encode(&AgentToHost::Output { op, stream: Stream::Stderr, data: b"hi".as_slice().into() }, &mut out)
        .expect("small");
    assert_eq!(out, [6, 0, 0, 0, 4, 5, 1, 2, b'h', b'i']);
}

#[test]
fn oversize_frames_are_refused_on_both_sides() {
    let data = vec![0; MAX_BODY];
    let mut out = b"before".to_vec();
    let message = HostToAgent::Stdin { op: OperationId(1), data: data.as_slice().into() };
    assert!(matches!(encode(&message, &mut out), Err(FrameError::Oversize { .. })));
    assert_eq!(out, b"before");

    let mut decoder = Decoder::new();
    decoder.feed(&u32::MAX.to_le_bytes());
    assert_eq!(decoder.next_frame::<HostToAgent>(), Err(FrameError::Oversize { length: u32::MAX as usize }));
}

#[test]
fn the_largest_payload_fits() {
    let data = vec![0xA5; MAX_DATA];
    let mut out = Vec::new();
    let message = HostToAgent::Stdin { op: OperationId(u32::MAX), data: data.as_slice().into() };
    encode(&message, &mut out).expect("fits");
    let mut decoder = Decoder::new();
    decoder.feed(&out);
    assert_eq!(decoder.next_frame(), Ok(Some(message)));
}
