//! Entries that other versions of the program have left behind.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{LOCK, MANIFEST, SNAPSHOT, USED};

/// What nobody has used for so long is removed.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes the entries beside `own` which are of other versions of the program and were not used for
/// [`UNUSED`] at the time `now`. What cannot be removed stays. Returns the bytes that were freed.
pub fn remove(own: &Path, now: SystemTime) -> u64 {
    let Some((all, own)) = own.parent().zip(own.file_name()) else { return 0 };
    let Ok(entries) = std::fs::read_dir(all) else { return 0 };
    let names = entries.flatten().map(|entry| entry.file_name());
    let others = names.filter(|name| version(name).is_some_and(|of| Some(of) != version(own)));
    others.filter_map(|name| remove_if_unused(&all.join(name), now)).sum()
}

/// The name of an entry without its memory size, if it is the name of one.
fn version(name: &OsStr) -> Option<(&str, &str, &str)> {
    let mut parts = name.to_str()?.splitn(4, '-');
    let mut part = || parts.next();
    let (engine, image, memory, program) = (part()?, part()?, part()?, part()?);
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_size = memory.strip_suffix('m').is_some_and(|size| size.parse::<u32>().is_ok());
    (is_hash(engine) && is_hash(image) && is_size).then_some((engine, image, program))
}

fn remove_if_unused(entry: &Path, now: SystemTime) -> Option<u64> {
    unused(entry, now)?;
    let locked = |name| -> Option<File> {
        let file = OpenOptions::new().write(true).open(entry.join(name)).ok()?;
        file.try_lock().ok().map(|()| file)
    };
    let _nobody_makes_it = locked(LOCK)?;
    let _nobody_uses_it = if entry.join(USED).exists() { Some(locked(USED)?) } else { None };
    // Somebody may have been faster.
    let (mut files, bytes) = unused(entry, now)?;
    // The manifest first: without it, it is no entry. The lock last.
    files.sort_by_key(|path| match path.file_name() {
        Some(name) if name == MANIFEST => 0,
        Some(name) if name == LOCK => 2,
        _ => 1,
    });
    files.iter().try_for_each(std::fs::remove_file).and_then(|()| std::fs::remove_dir(entry)).ok()?;
    tracing::info!("removed {}", entry.display());
    Some(bytes)
}

/// The files of an entry and their bytes, if it is one and was not used.
fn unused(entry: &Path, now: SystemTime) -> Option<(Vec<PathBuf>, u64)> {
    let metadata = std::fs::symlink_metadata(entry).ok()?;
    if !metadata.is_dir() || metadata.uid() != std::fs::metadata("/proc/self").ok()?.uid() {
        return None;
    }
    let (mut files, mut bytes) = (Vec::new(), 0);
    for file in std::fs::read_dir(entry).ok()? {
        let file = file.ok()?;
        let metadata = file.metadata().ok()?;
        let is_old = now.duration_since(metadata.modified().ok()?).is_ok_and(|time| time > UNUSED);
        if !is_old || !metadata.is_file() || !is_ours(file.file_name().to_str()?) {
            return None;
        }
        bytes += metadata.len();
        files.push(file.path());
    }
    Some((files, bytes))
}

/// Whether this program, or an earlier version of it, gives a file this name.
fn is_ours(name: &str) -> bool {
    [LOCK, USED, MANIFEST, SNAPSHOT].contains(&name)
        || name.starts_with("code") && name.ends_with(".cwasm")
        || name.starts_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// An entry whose files have the age `days`.
    fn entry(root: &Path, name: &str, files: &[&str], days: u32) -> PathBuf {
        let path = root.join(name);
        std::fs::create_dir(&path).unwrap();
        for file in files {
            std::fs::write(path.join(file), "12345").unwrap();
            set_age(&path.join(file), days);
        }
        path
    }

    fn set_age(file: &Path, days: u32) {
        let file = OpenOptions::new().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - days * DAY).unwrap();
    }

    #[test]
    fn unused_entries_of_other_versions_are_removed_and_nothing_else() {
        const E: &str = "0123456789abcdef-0123456789abcdef";
        let root = tempfile::tempdir().unwrap();
        let entry = |name: &str, files: &[&str], days| entry(root.path(), name, files, days);
        let files = [LOCK, USED, MANIFEST, SNAPSHOT, "code-0.cwasm", "code-1.cwasm"];
        let own = entry(&format!("{E}-256m-1.0.4"), &files, 99);
        let others = [
            entry(&format!("{E}-256m-1.0.3"), &files, 31),
            entry(&format!("{E}-1024m-0.9.1"), &[LOCK, SNAPSHOT, "code.cwasm", ".tmpAb3"], 400),
            entry("fedcba9876543210-0123456789abcdef-64m-1.0.4", &files, 31),
        ];
        let recently = entry(&format!("{E}-256m-1.0.2"), &files, 31);
        set_age(&recently.join(USED), 29);
        let made = entry(&format!("{E}-256m-1.0.1"), &files, 99);
        let making = File::open(made.join(LOCK)).unwrap();
        making.try_lock().unwrap();
        let used = entry(&format!("{E}-256m-1.0.0"), &files, 99);
        let running = File::open(used.join(USED)).unwrap();
        running.try_lock_shared().unwrap();
        let kept = [
            own.clone(),
            entry(&format!("{E}-512m-1.0.4"), &files, 99),
            recently,
            made,
            used,
            entry(&format!("{E}-256m-0.0.1"), &[LOCK, "thesis.txt"], 99),
            entry(&format!("{E}-256m-0.0.2"), &[SNAPSHOT], 99),
            entry("photographs", &files, 99),
            entry("0123456789abcdef-0123456789abcdef-256-1.0.3", &files, 99),
        ];
        assert_eq!(remove(&own, SystemTime::now()), 5 * (6 + 4 + 6));
        assert!(others.iter().all(|path| !path.exists()));
        for path in &kept {
            assert!(path.is_dir() && std::fs::read_dir(path).unwrap().count() > 0, "{}", path.display());
        }
        drop((making, running));
        assert_eq!(remove(&own, SystemTime::now()), 5 * (6 + 6), "nobody has them any more");
        assert_eq!(remove(&own, SystemTime::now() - 90 * DAY), 0);
        assert_eq!(remove(Path::new("/nonexistent/entry"), SystemTime::now()), 0);
    }
}
