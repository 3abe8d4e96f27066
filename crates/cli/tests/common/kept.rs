//! Copies of the prepared snapshot in cache directories of their own, where it can be damaged.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::{Session, wasm_sandbox};

/// The variable that names the cache directory.
pub const CACHE: &str = "WASM_SANDBOX_CACHE";

/// The directory with what sandboxes start from, in the cache of whoever runs the tests.
pub static ENTRY: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = wasm_sandbox().arg("prepare").output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
    let last = stderr.lines().last().expect("a line");
    let path = last.strip_prefix("wasm-sandbox: the snapshot is ready in ");
    PathBuf::from(path.unwrap_or_else(|| panic!("{stderr:?}")))
});

/// A cache with a copy of [`ENTRY`].
pub struct Cache {
    pub root: TempDir,
    pub entry: PathBuf,
}

impl Cache {
    /// Files that the tests do not change are linked where that is possible, others come by [`Cache::change`].
    pub fn new() -> Self {
        Self::with(|from, to| {
            if fs::hard_link(from, to).is_err() {
                copy_with_time(from, to)
            }
        })
    }

    /// With copies that have times of their own.
    pub fn copied() -> Self {
        Self::with(|from, to| assert!(fs::copy(from, to).expect("a copy") > 0))
    }

    fn with(copy: fn(&Path, &Path)) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let entry = root.path().join("snapshots").join(ENTRY.file_name().expect("a name"));
        fs::create_dir_all(&entry).expect("a directory");
        allow(&entry, 0o700);
        for name in files() {
            copy(&ENTRY.join(&name), &entry.join(&name));
        }
        Self { root, entry }
    }

    /// Makes it impossible, also for root, to prepare the snapshot here, which would take minutes: what must be a
    /// file is a directory.
    pub fn cannot_be_prepared(self) -> Self {
        fs::create_dir(self.entry.join("lock")).expect("a directory");
        self
    }

    /// Replaces a file by one that is changed.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.entry.join(name);
        let mut bytes = fs::read(&path).expect("a file");
        change(&mut bytes);
        // It may be another name of a file in the user's cache.
        fs::remove_file(&path).expect("the file is there");
        fs::write(&path, bytes).expect("a file");
    }

    /// The program, with this cache.
    pub fn command(&self) -> Command {
        let mut command = wasm_sandbox();
        command.env(CACHE, self.root.path());
        command
    }

    pub fn start(&self) -> Session {
        Session::start_from(&mut self.command())
    }

    pub fn prepare(&self) -> Output {
        self.command().arg("prepare").output().expect("the program starts")
    }

    /// Whether a machine starts from here and works, with not a word on standard error.
    pub fn is_used(&self) -> bool {
        is_used(&mut self.start(), &self.entry)
    }
}

/// Whether `session` runs from the snapshot and the machine code in `entry`; it must work in any case.
pub fn is_used(session: &mut Session, entry: &Path) -> bool {
    assert_eq!(session.output("echo works"), "works\n");
    let all = files();
    let mapped = mapped(session, entry, &all);
    assert!(mapped == 0 || mapped == all.len() - 1, "all but the manifest, or nothing: {}", session.maps());
    let used = mapped > 0;
    assert_eq!(used, session.stderr().is_empty(), "{}", session.stderr());
    used
}

/// How many of the files of an entry with these names `session` has mapped.
pub fn mapped(session: &Session, entry: &Path, names: &[String]) -> usize {
    let maps = session.maps();
    names.iter().filter(|name| maps.contains(entry.join(name).to_str().expect("UTF-8"))).count()
}

/// The names of the files that make an entry.
pub fn files() -> Vec<String> {
    let names = fs::read_dir(&*ENTRY).expect("the entry").map(|file| file.expect("a file").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| !["lock", "used"].contains(&name.as_str())).collect();
    names.sort();
    assert!(names.contains(&"manifest".into()) && names.contains(&"machine.snapshot".into()), "{names:?}");
    names
}

pub fn copy_with_time(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a copy");
    let time = fs::metadata(from).and_then(|metadata| metadata.modified()).expect("a time");
    set_time(to, time);
}

pub fn set_time(path: &Path, time: std::time::SystemTime) {
    let file = fs::OpenOptions::new().append(true).open(path).expect("a file");
    file.set_modified(time).expect("its time can be set");
}

pub fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of one's own");
}

/// What the program said, each line without its beginning.
pub fn said(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8(stderr.to_vec()).expect("UTF-8");
    let line =
        |line: &str| line.strip_prefix("wasm-sandbox: ").unwrap_or_else(|| panic!("{text}")).to_owned();
    text.lines().map(line).collect()
}
