//! Code that is translated while the guest runs, and guests that change theirs, so that translations of it come and go by the
//! thousand.

mod common;

use common::{Session, at_full_tests, is_v86};
use serde_json::json;

const BASE: u32 = 0x0804_8000;
const HEADERS: usize = 52 + 32;
/// Rounds of the hot loop, of three instructions each; code is translated after 200 000 instructions in a page.
const ROUNDS: u32 = 120_000;

/// A static i386 program for Linux. It writes a number into a loop in another page, runs the loop, checks what came
/// out, writes a byte to standard output, and does so again with the next number. If the loop ever did what it was
/// before it was changed, the program exits.
fn program() -> Vec<u8> {
    let hot = BASE + 0x1000;
    let start = BASE + HEADERS as u32;
    let [r0, r1, r2, r3] = ROUNDS.to_le_bytes();
    let [h0, h1, h2, h3] = (hot + 1).to_le_bytes();
    let [c0, c1, c2, c3] = hot.wrapping_sub(start + 23).to_le_bytes();
    let [b0, b1, b2, b3] = BASE.to_le_bytes();
    #[rustfmt::skip]
    let code = [
        0xBE, 1, 0, 0, 0,                 //       mov esi, 1
        0x89, 0x35, h0, h1, h2, h3,       // next: mov [hot + 1], esi
        0xB9, r0, r1, r2, r3,             //       mov ecx, ROUNDS
        0x31, 0xC0,                       //       xor eax, eax
        0xE8, c0, c1, c2, c3,             //       call hot
        0x69, 0xD6, r0, r1, r2, r3,       //       imul edx, esi, ROUNDS
        0x39, 0xD0,                       //       cmp eax, edx
        0x75, 25,                         //       jne wrong
        0xB8, 4, 0, 0, 0,                 //       mov eax, 4 (write)
        0xBB, 1, 0, 0, 0,                 //       mov ebx, 1
        0xB9, b0, b1, b2, b3,             //       mov ecx, BASE
        0x89, 0xDA,                       //       mov edx, ebx
        0xCD, 0x80,                       //       int 0x80
        0x46,                             //       inc esi
        0x90, 0x90, 0x90,                 //       nop
        0xEB, 0xC6,                       //       jmp next
        0xB8, 1, 0, 0, 0,                 // wrong: mov eax, 1 (exit)
        0xCD, 0x80,                       //       int 0x80
    ];
    #[rustfmt::skip]
    let hot_code = [
        0x05, 0, 0, 0, 0,                 // hot:  add eax, <changes>
        0x49,                             //       dec ecx
        0x75, 0xF8,                       //       jnz hot
        0xC3,                             //       ret
    ];
    elf(&code, &hot_code)
}

/// A program with code in one page and, at 0x1000, in another.
fn elf(code: &[u8], other_page: &[u8]) -> Vec<u8> {
    let start = BASE + HEADERS as u32;
    let mut elf = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes())); // executable, for 80386
    elf.extend([1, start, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes())); // entry; segments at 52
    elf.extend([52_u16, 32, 1, 40, 0, 0].iter().flat_map(|half| half.to_le_bytes())); // sizes and counts
    let size = 0x1000 + other_page.len() as u32;
    elf.extend([1, 0, BASE, BASE, size, size, 7, 0x1000].iter().flat_map(|word| word.to_le_bytes())); // load, rwx
    elf.extend(code);
    elf.resize(0x1000, 0);
    elf.extend(other_page);
    elf
}

/// A program that executes a loop of three instructions for long, and exits with 0 if what came out is right.
fn counting() -> Vec<u8> {
    const ROUNDS: u32 = 50_000_000;
    let [r0, r1, r2, r3] = ROUNDS.to_le_bytes();
    let [e0, e1, e2, e3] = ROUNDS.wrapping_mul(3).to_le_bytes();
    let [c0, c1, c2, c3] = (BASE + 0x1000).wrapping_sub(BASE + HEADERS as u32 + 12).to_le_bytes();
    #[rustfmt::skip]
    let code = [
        0xB9, r0, r1, r2, r3,             //       mov ecx, ROUNDS
        0x31, 0xC0,                       //       xor eax, eax
        0xE8, c0, c1, c2, c3,             //       call hot
        0x31, 0xDB,                       //       xor ebx, ebx
        0x3D, e0, e1, e2, e3,             //       cmp eax, 3 * ROUNDS
        0x0F, 0x95, 0xC3,                 //       setne bl
        0xB8, 1, 0, 0, 0,                 //       mov eax, 1 (exit)
        0xCD, 0x80,                       //       int 0x80
    ];
    #[rustfmt::skip]
    let hot_code = [
        0x83, 0xC0, 3,                    // hot:  add eax, 3
        0x49,                             //       dec ecx
        0x75, 0xFA,                       //       jnz hot
        0xC3,                             //       ret
    ];
    elf(&code, &hot_code)
}

/// How many pieces of machine code the program has that come from no file.
fn compiled(session: &Session) -> usize {
    let maps = session.maps();
    let fields = maps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(1) == Some(&"r-xp") && fields.len() == 5).count()
}

#[test]
fn what_a_program_executes_for_long_is_compiled_while_it_runs() {
    if is_v86() {
        // It compiles all the time.
        return;
    }
    let mut session = Session::start();
    session.write_bytes("/tmp/counting", &counting(), "0755");
    let before = compiled(&session);
    // A busy host may compile slowly.
    let mut runs = 0;
    while compiled(&session) == before {
        session.output("/tmp/counting");
        runs += 1;
        assert!(runs < 200, "nothing is compiled");
    }
    // It does what it did, here and in machines that go on from this one; a reset forgets it.
    session.output("/tmp/counting");
    let _: common::Forked = session.request(json!({"type": "fork", "name": "other"}));
    let other: common::Shell = session.request(
        json!({"type": "shell", "sandbox": "other", "command": "/tmp/counting", "time_limit_ms": 100_000}),
    );
    assert_eq!(other.exit_code, 0);
    let _: common::Closed = session.request(json!({"type": "close", "sandbox": "other"}));
    session.reset();
    // Something may just have been compiled for what is gone.
    let mut answers = 0;
    while compiled(&session) != before {
        session.output("true");
        answers += 1;
        assert!(answers < 10_000, "machine code is left of a machine that is gone");
    }
}

fn start(session: &mut Session) {
    session.write_bytes("/tmp/changing", &program(), "0755");
    session.output("setsid --fork /tmp/changing </dev/null >/tmp/turns 2>/dev/null");
}

/// How often the program has changed, while it still runs.
fn turns(session: &mut Session) -> u64 {
    session.output("pgrep -x changing >/dev/null && stat -c %s /tmp/turns").trim().parse().expect("a number")
}

#[test]
fn answers_keep_coming_and_memory_stays_bounded() {
    const MEBIBYTE: u64 = 1 << 20;
    let mut session = Session::start();
    start(&mut session);
    let goal = at_full_tests(2000, 20_000) as u64;
    let mut memory = Vec::new();
    let mut answers = 0;
    loop {
        assert_eq!(session.output("echo hi"), "hi\n");
        answers += 1;
        let turns = turns(&mut session);
        if turns / 500 > memory.len() as u64 {
            memory.push(session.host_memory("VmRSS"));
            println!("{turns} turns, {answers} answers, {} MiB", memory[memory.len() - 1] / MEBIBYTE);
        }
        if turns > goal {
            break;
        }
    }
    let most = memory.iter().max().expect("a goal above 500");
    assert!(*most < 600 * MEBIBYTE, "{memory:?}");
    assert!(answers > 20, "{answers}");
}

#[test]
fn what_changes_its_code_goes_on_through_checkpoints_and_forks() {
    let mut session = Session::start();
    start(&mut session);
    for turn in 0..5 {
        let limit = turns(&mut session) + 20;
        while turns(&mut session) < limit {}
        let _: common::Checkpointed = session.request(json!({"type": "checkpoint", "name": "changing"}));
        while turns(&mut session) < limit + 20 {}
        let _: common::Restored = session.request(json!({"type": "restore", "name": "changing"}));
        let now = turns(&mut session);
        assert!(now >= limit, "{now} {limit} in turn {turn}");
        let _: common::Forked = session.request(json!({"type": "fork", "name": "other"}));
        let shown = "until [ $(stat -c %s /tmp/turns) -gt LIMIT ]; do sleep 0.02; done; pgrep -xc changing"
            .replace("LIMIT", &(now + 20).to_string());
        let other: common::Shell = session.request(
            json!({"type": "shell", "sandbox": "other", "command": shown, "time_limit_ms": 100_000}),
        );
        assert_eq!((other.stdout.as_str(), other.restarted), ("1\n", false));
        let _: common::Closed = session.request(json!({"type": "close", "sandbox": "other"}));
        assert_eq!(session.output(&shown), "1\n");
    }
    assert_eq!(session.status().restarts, 0);
}
