//! Files in and out.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Content, Encoding, ErrorCode, noise, sha256, shared, start_of};
use serde_json::json;

#[test]
fn sixteen_megabytes_go_in_and_come_out_unchanged() {
    let bytes = noise(16_000_003);
    let mut guest = shared();
    guest.write_bytes("/tmp/noise.bin", &bytes, "0644");
    assert_eq!(guest.output("sha256sum </tmp/noise.bin"), format!("{}  -\n", sha256(&bytes)));
    assert_eq!(guest.output("stat -c %s /tmp/noise.bin"), "16000003\n");
    assert_eq!(sha256(&guest.read_bytes("/tmp/noise.bin")), sha256(&bytes));
    guest.output("rm /tmp/noise.bin");
}

#[test]
fn what_the_guest_writes_can_be_read() {
    let mut guest = shared();
    guest.output("seq 100000 >/tmp/numbers; head -c 300000 /dev/urandom >/tmp/random");
    let numbers: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(guest.read_file("/tmp/numbers") == numbers);
    let random = guest.read_bytes("/tmp/random");
    assert_eq!(random.len(), 300_000);
    assert_eq!(guest.output("sha256sum </tmp/random"), format!("{}  -\n", sha256(&random)));
}

#[test]
fn every_byte_survives() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut guest = shared();
    guest.write_bytes("/tmp/bytes", &bytes, "0600");
    assert_eq!(guest.read_bytes("/tmp/bytes"), bytes);
    assert_eq!(guest.output("od -An -v -tu1 -w1 /tmp/bytes | xargs"), join(&bytes));
}

fn join(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ") + "\n"
}

#[test]
fn an_empty_file_is_a_file() {
    let mut guest = shared();
    guest.write_file("/tmp/empty", "");
    guest.write_bytes("/tmp/empty-too", b"", "0644");
    assert_eq!(guest.read_file("/tmp/empty"), "");
    assert_eq!(guest.read_bytes("/tmp/empty-too"), b"");
    assert_eq!(guest.output("stat -c '%s %F' /tmp/empty /tmp/empty-too"), "0 regular empty file\n".repeat(2));
}

#[test]
fn text_is_kept_to_the_letter() {
    let text = "no newline at the end\r\n\ttabs, NUL \0, \u{FEFF}BOM, 日本語 🦀 \u{10FFFF}";
    let mut guest = shared();
    guest.write_file("/tmp/text", text);
    assert_eq!(guest.read_file("/tmp/text"), text);
    assert_eq!(guest.read_bytes("/tmp/text"), text.as_bytes());
}

#[test]
fn names_may_be_of_any_characters_and_as_long_as_linux_takes_them() {
    let mut guest = shared();
    guest.output("mkdir /tmp/names");
    let longest = "n".repeat(255);
    let longest_unicode = "é".repeat(127);
    for name in [
        "ünïcödé 🦀",
        "new\nline",
        "-rf",
        "a\\b",
        "\"quoted\" $HOME `x`",
        " ",
        "...",
        &longest,
        &longest_unicode,
    ] {
        let path = format!("/tmp/names/{name}");
        guest.write_file(&path, name);
        assert_eq!(guest.read_file(&path), name);
        let listed = guest.output("printf '%s\\0' /tmp/names/* /tmp/names/.*");
        assert!(listed.split('\0').any(|other| other == path), "{name:?} is not in {listed:?}");
        guest.output("rm -f -- /tmp/names/* /tmp/names/...");
    }
    assert_eq!(guest.output("ls -A /tmp/names"), "", "something was left behind");
}

#[test]
fn the_mode_is_what_was_asked_for() {
    let mut guest = shared();
    for (mode, shown) in [
        ("0644", "644"),
        ("755", "755"),
        ("0", "0"),
        ("0o600", "600"),
        ("4755", "4755"),
        ("07777", "7777"),
        ("0222", "222"),
    ] {
        guest.write_bytes("/tmp/mode", b"x", mode);
        assert_eq!(guest.output("stat -c '%a %u %g' /tmp/mode"), format!("{shown} 0 0\n"), "{mode}");
    }
    guest.output("umask 077; true");
    guest.write_file("/tmp/default-mode", "x");
    assert_eq!(guest.output("stat -c %a /tmp/default-mode"), "644\n");
}

#[test]
fn mode_0755_makes_a_program() {
    let mut guest = shared();
    let program = b"#!/usr/bin/python3\nprint('a program')\n";
    guest.write_bytes("/tmp/program", program, "0755");
    assert_eq!(guest.output("/tmp/program"), "a program\n");

    guest.write_bytes("/tmp/program", program, "0644");
    assert_eq!(guest.shell("/tmp/program").exit_code, 126);
}

#[test]
fn overwriting_keeps_nothing_of_the_old_file() {
    let mut guest = shared();
    guest.write_bytes("/tmp/twice", &noise(700_000), "0755");
    guest.write_file("/tmp/twice", "short");
    assert_eq!(guest.read_file("/tmp/twice"), "short");
    assert_eq!(guest.output("stat -c '%s %a' /tmp/twice"), "5 644\n");

    // A file of the read-only image, too.
    guest.write_file("/etc/issue", "changed");
    assert_eq!(guest.output("cat /etc/issue"), "changed");
}

#[test]
fn symbolic_links_are_followed() {
    let mut guest = shared();
    guest.output("mkdir /tmp/links && cd /tmp/links && echo old >target && ln -s target link && ln -s nowhere dangling");
    guest.write_file("/tmp/links/link", "new");
    assert_eq!(guest.output("cd /tmp/links && cat target && readlink link"), "newtarget\n");
    assert_eq!(guest.read_file("/tmp/links/link"), "new");
    guest.refusal(ErrorCode::NotFound, json!({"type": "read_file", "path": "/tmp/links/dangling"}));
}

#[test]
fn a_file_is_written_as_a_whole_or_not_at_all() {
    let mut guest = shared();
    guest.output("mkdir /tmp/whole && cd /tmp/whole && echo precious >file && ln file other");
    for content in ["YQ", "YQ==YQ==", "Y Q==", "YQ==\n", "_-8=", "Y", "=", "YR=="] {
        let request = json!({"type": "write_file", "path": "/tmp/whole/file", "content": content, "encoding": "base64"});
        let error = guest.refusal(ErrorCode::InvalidBase64, request);
        assert!(error.contains("base64"), "{error}");
    }
    assert_eq!(guest.output("cd /tmp/whole && cat file && ls -A"), "precious\nfile\nother\n");
}

#[test]
fn what_is_in_the_way_of_writing_is_said() {
    let mut guest = shared();
    guest.output("mkdir -p /tmp/way/directory && touch /tmp/way/file && mkfifo /tmp/way/pipe && ln -s loop /tmp/way/loop");
    let name_too_long = format!("/tmp/way/{}", "n".repeat(256));
    let cases = [
        ("/tmp/way/missing/file", ErrorCode::NotFound),
        ("/tmp/way/directory", ErrorCode::IsADirectory),
        ("/tmp/way/directory/", ErrorCode::IsADirectory),
        ("/", ErrorCode::IsADirectory),
        ("/tmp/way/new/", ErrorCode::IsADirectory),
        ("/tmp/way/file/below", ErrorCode::NotADirectory),
        (&name_too_long, ErrorCode::TooLarge),
        ("/tmp/way/pipe", ErrorCode::Io),
        ("/dev/null", ErrorCode::Io),
    ];
    for (path, code) in cases {
        let error = guest.refusal(code, json!({"type": "write_file", "path": path, "content": "x"}));
        assert!(error.contains(path), "{error}");
    }
    // Larger than what travels in one piece: nothing may hang or be left behind.
    let large = "x".repeat(1_000_000);
    for path in ["/tmp/way/missing/file", "/tmp/way/directory"] {
        let request = json!({"type": "write_file", "path": path, "content": large});
        let code = if path.ends_with("directory") { ErrorCode::IsADirectory } else { ErrorCode::NotFound };
        guest.refusal(code, request);
    }
    assert_eq!(guest.output("ls -A /tmp/way"), "directory\nfile\nloop\npipe\n");
}

#[test]
fn what_is_in_the_way_of_reading_is_said() {
    let mut guest = shared();
    guest.output("mkdir -p /tmp/no && touch /tmp/no/file && mkfifo /tmp/no/pipe");
    let name_too_long = format!("/tmp/no/{}", "n".repeat(256));
    let cases = [
        ("/tmp/no/such", ErrorCode::NotFound),
        ("/tmp/no/such/file", ErrorCode::NotFound),
        ("/tmp/no", ErrorCode::IsADirectory),
        ("/", ErrorCode::IsADirectory),
        ("/tmp/no/file/below", ErrorCode::NotADirectory),
        (&name_too_long, ErrorCode::TooLarge),
        ("/tmp/no/pipe", ErrorCode::Io),
        ("/dev/zero", ErrorCode::Io),
    ];
    for (path, code) in cases {
        for encoding in ["text", "base64"] {
            let error = guest.refusal(code, json!({"type": "read_file", "path": path, "encoding": encoding}));
            assert!(error.contains(path), "{error}");
        }
    }
}

#[test]
fn files_that_do_not_know_their_size_are_read() {
    let mut guest = shared();
    let version = guest.read_file("/proc/version");
    assert!(version.starts_with("Linux version ") && version.ends_with('\n'), "{version}");
    assert_eq!(guest.output("cat /proc/version"), version);
    assert_eq!(guest.read_file("/proc/sys/kernel/ostype"), "Linux\n");
    assert_eq!(guest.read_bytes("/proc/sys/kernel/ostype"), b"Linux\n");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_advice() {
    let mut guest = shared();
    for bytes in [&b"\xFF\xFE"[..], b"half a character: \xC3", b"\xED\xA0\x80", b"\x00\x80"] {
        guest.write_bytes("/tmp/binary", bytes, "0644");
        let error = guest.refusal(ErrorCode::NotUtf8, json!({"type": "read_file", "path": "/tmp/binary"}));
        assert!(error.contains("/tmp/binary") && error.contains("\"encoding\":\"base64\""), "{error}");
        assert_eq!(guest.read_bytes("/tmp/binary"), bytes);
    }
}

#[test]
fn a_full_disk_is_said_and_can_be_emptied() {
    let mut guest = shared();
    let free = guest.status();
    let left = free.disk_limit_bytes - free.disk_used_bytes;
    let filled = guest.shell(&format!("fallocate -l {left} /tmp/filling; cat /dev/zero >/tmp/filling-too"));
    assert!(filled.stderr.contains("No space left on device"), "{}", filled.stderr);
    let large = "x".repeat(1_000_000);
    for content in ["x", large.as_str()] {
        let request = json!({"type": "write_file", "path": "/tmp/one-more", "content": content});
        guest.refusal(ErrorCode::NoSpace, request);
    }
    guest.output("rm /tmp/filling /tmp/filling-too; ! ls /tmp/one-more 2>/dev/null");
    guest.write_file("/tmp/one-more", &large);
    assert!(guest.status().disk_used_bytes < free.disk_used_bytes + 4_000_000);
}

#[test]
fn encodings_are_said_in_the_answer() {
    let mut guest = shared();
    guest.write_file("/tmp/said", "é");
    let request = json!({"type": "read_file", "path": "/tmp/said", "encoding": "base64"});
    let answer: Content = guest.request(request);
    assert_eq!((answer.encoding, answer.size, answer.content), (Encoding::Base64, 2, STANDARD.encode("é")));
    let answer: Content =
        guest.request(json!({"type": "read_file", "path": "/tmp/said", "encoding": "text"}));
    assert_eq!((answer.encoding, answer.size, answer.content.as_str()), (Encoding::Text, 2, "é"));
    assert!(!answer.restarted, "{}", start_of(answer.content.as_bytes()));
}
