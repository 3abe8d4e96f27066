//! Trees in and out: archives in lines, and files of the host.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::*;
use serde_json::{Value, json};

/// A session that may use files of the host.
struct Host {
    session: Session,
    directory: tempfile::TempDir,
}

fn host() -> MutexGuard<'static, Host> {
    static HOST: LazyLock<Mutex<Host>> = LazyLock::new(|| {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["in", "out"] {
            std::fs::create_dir(directory.path().join(name)).expect("made");
        }
        let path = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
        let session = Session::start_with(&["--allow-read", &path("in"), "--allow-write", &path("out")]);
        Mutex::new(Host { session, directory })
    });
    HOST.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Host {
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("text").to_owned()
    }
}

fn upload(path: &str, host_path: &str) -> Value {
    json!({"type": "upload", "path": path, "host_path": host_path})
}

fn download(path: &str, host_path: &str) -> Value {
    json!({"type": "download", "path": path, "host_path": host_path})
}

#[test]
fn a_directory_goes_in_and_comes_out() {
    let mut host = host();
    let tree = host.path("in/tree");
    std::fs::create_dir_all(format!("{tree}/a/b")).expect("made");
    let bytes = noise(5_000_001);
    std::fs::write(format!("{tree}/a/large"), &bytes).expect("written");
    std::fs::write(format!("{tree}/program"), "#!/bin/sh\necho runs\n").expect("written");
    std::fs::set_permissions(format!("{tree}/program"), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    symlink("a/large", format!("{tree}/link")).expect("a link");
    symlink("/etc/passwd", format!("{tree}/outside")).expect("a link");
    let answer: Uploaded = host.session.request(upload("/tmp/host/tree", &tree));
    assert_eq!((answer.entries, answer.size), (6, 5_000_001 + 20));
    let shown = host.session.output(
        "cd /tmp/host/tree && ./program && sha256sum <link && readlink outside && stat -c %U program",
    );
    assert_eq!(shown, format!("runs\n{}  -\n/etc/passwd\nroot\n", sha256(&bytes)));

    host.session.output(
        "cd /tmp/host/tree && mkfifo pipe && chmod 4755 program && ln -sf /etc outside && ln -s ../.. up",
    );
    let out = host.path("out/deep/tree");
    let answer: Downloaded = host.session.request(download("/tmp/host/tree", &out));
    assert_eq!((answer.entries, answer.skipped, answer.content), (5, 3, None));
    assert!(std::fs::read(format!("{out}/a/large")).expect("there") == bytes);
    let mode = std::fs::metadata(format!("{out}/program")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(std::fs::read_link(format!("{out}/link")).expect("a link"), Path::new("a/large"));
    assert!(!Path::new(&out).join("up").exists() && !Path::new(&out).join("outside").exists());

    let single: Uploaded = host.session.request(upload("/tmp/host/single", &format!("{tree}/program")));
    assert_eq!((single.entries, host.session.output("ls /tmp/host/single").as_str()), (1, "program\n"));
    let single_out = host_out(&host, "single");
    let single: Downloaded = host.session.request(download("/tmp/host/tree/program", &single_out));
    assert_eq!((single.entries, single.size), (1, 20));
    assert!(Path::new(&single_out).join("program").exists());
}

fn host_out(host: &Host, name: &str) -> String {
    host.path(&format!("out/{name}"))
}

#[test]
fn only_what_was_allowed_is_read_and_written() {
    let mut host = host();
    std::fs::write(host.path("secret"), "secret").expect("written");
    symlink(host.path("secret"), host.path("in/way-out")).expect("a link");
    symlink(host.path("in"), host.path("out/way-in")).expect("a link");
    let (input, output, base) = (host.path("in"), host.path("out"), host.path(""));
    for path in [
        base.as_str(),
        "/etc",
        "relative",
        &output,
        &format!("{input}/../secret"),
        &format!("{input}/way-out"),
    ] {
        host.session.refusal(ErrorCode::HostPathNotAllowed, upload("/tmp/x", path));
    }
    let before = std::fs::read_dir(host.directory.path()).expect("read").count();
    for path in [base.as_str(), "/etc", &input, &format!("{output}/../new"), &format!("{output}/way-in/new")]
    {
        host.session.refusal(ErrorCode::HostPathNotAllowed, download("/etc/hostname", path));
    }
    assert_eq!(std::fs::read_dir(host.directory.path()).expect("read").count(), before);
    let why = host.session.refusal(ErrorCode::HostPathNotAllowed, download("/etc/hostname", "/etc"));
    assert!(why.contains("--allow-write"), "{why}");
    host.session.refusal(ErrorCode::NotFound, upload("/tmp/x", &format!("{input}/none")));
    host.session.refusal(ErrorCode::NotFound, download("/none", &output));
    host.session.refusal(ErrorCode::NotADirectory, upload("/etc/hostname/x", &input));
    host.session.refusal(ErrorCode::InvalidPath, upload("/tmp/x", ""));

    let mut other = shared();
    other.refusal(ErrorCode::HostPathNotAllowed, upload("/tmp/x", &input));
    other.refusal(ErrorCode::HostPathNotAllowed, download("/etc", &output));
}

#[test]
fn archives_go_in_and_come_out_in_lines() {
    let mut guest = shared();
    guest.output("rm -rf /tmp/archives && mkdir -p /tmp/archives/tree/a && cd /tmp/archives/tree && echo one >a/one && ln a/one two && ln -s two link");
    for compress in ["", "z"] {
        let archive = guest.output(&format!("cd /tmp/archives/tree && tar c{compress} . | base64 -w0"));
        let request =
            json!({"type": "upload", "path": format!("/tmp/archives/new{compress}"), "content": archive});
        let answer: Uploaded = guest.request(request);
        assert_eq!((answer.entries, answer.size), (4, 4));
        let shown =
            guest.output(&format!("cd /tmp/archives/new{compress} && cat a/one link && stat -c %h two"));
        assert_eq!(shown, "one\none\n2\n");
    }
    let answer: Downloaded = guest.request(json!({"type": "download", "path": "/tmp/archives/tree"}));
    assert_eq!((answer.entries, answer.size, answer.skipped), (4, 4, 0));
    let archive = STANDARD.decode(answer.content.expect("an archive")).expect("base64");
    guest.write_bytes("/tmp/archives/back.tar", &archive, "0644");
    assert_eq!(guest.output("tar tf /tmp/archives/back.tar | xargs"), "a/ a/one link two\n");

    let upload = |content: &str| json!({"type": "upload", "path": "/tmp/archives/bad", "content": content});
    guest.refusal(ErrorCode::InvalidBase64, upload("?"));
    guest.refusal(ErrorCode::InvalidRequest, upload(&STANDARD.encode([b'x'; 2000])));
    guest.refusal(ErrorCode::InvalidRequest, json!({"type": "upload", "path": "/tmp/x"}));
    let escaping = guest.output("cd /tmp && echo bad >archives/bad-file && tar cPf - --transform 's,.*,../../escaped,' archives/bad-file | base64 -w0");
    guest.refusal(ErrorCode::InvalidRequest, upload(&escaping));
    assert!(!guest.request::<PathExists>(json!({"type": "exists", "path": "/tmp/escaped"})).exists);
    assert_eq!(guest.request::<Uploaded>(upload("")).entries, 0);
}

#[test]
fn a_large_tree_needs_little_memory() {
    let mut host = host();
    host.session.output(
        "mkdir -p /tmp/large && for i in 1 2 3 4; do head -c 20000000 /dev/zero >/tmp/large/$i; done",
    );
    let before = host.session.host_memory("VmHWM");
    let out = host_out(&host, "large");
    let answer: Downloaded = host.session.request(download("/tmp/large", &out));
    assert_eq!(answer.size, 80_000_000);
    let more = host.session.host_memory("VmHWM") - before;
    assert!(more < 60_000_000, "{more} bytes more");
    host.session.output("rm -r /tmp/large");
}

#[test]
fn a_directory_that_is_not_there_is_a_mistake() {
    prepare();
    for option in ["--allow-read", "--allow-write"] {
        let end = Session::start_from(wasm_sandbox().args([option, "/none/such"])).wait();
        assert!(!end.status.success() && end.stderr.contains("/none/such"), "{}", end.stderr);
    }
}
