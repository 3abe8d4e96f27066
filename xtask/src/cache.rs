//! The cache: finished artifacts by kind and key, `<cache>/<kind>/<key>/`.
//!
//! An entry either is complete or does not exist. It is built in a temporary sibling directory,
//! written through to the disk, and renamed; a lock file a key makes a second builder wait and then
//! find the entry finished.

use anyhow::{Context, Result, bail};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Sets the directory of the cache.
const VARIABLE: &str = "WASM_SANDBOX_CACHE";

/// The cache's directory.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$WASM_SANDBOX_CACHE`, or `wasm-sandbox` in the user's cache directory.
    pub fn open() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = if let Some(directory) = set(VARIABLE) {
            directory
        } else if let Some(directory) = set("XDG_CACHE_HOME") {
            directory.join("wasm-sandbox")
        } else if let Some(home) = set("HOME") {
            home.join(".cache/wasm-sandbox")
        } else {
            bail!("no place for the cache: set {VARIABLE} to a directory");
        };
        fs::create_dir_all(&root).with_context(|| format!("creating the cache {}", root.display()))?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// The directory for log files of builds, which outlive failed builds.
    pub fn logs(&self) -> Result<PathBuf> {
        let logs = self.root.join("log");
        fs::create_dir_all(&logs)?;
        Ok(logs)
    }

    /// The entry `kind/key`, which `build` fills if it does not exist yet.
    ///
    /// `build` gets an empty directory, which becomes the entry when it returns `Ok` and vanishes
    /// otherwise.
    pub fn entry(&self, kind: &str, key: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let shelf = self.root.join(kind);
        let finished = shelf.join(key);
        if finished.is_dir() {
            return Ok(finished);
        }
        fs::create_dir_all(&shelf)?;

        let lock_path = shelf.join(format!(".{key}.lock"));
        let lock = File::create(&lock_path).with_context(|| format!("creating {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("{kind}: another build of {key} is running, waiting for it");
            lock.lock().with_context(|| format!("locking {}", lock_path.display()))?;
        }
        if finished.is_dir() {
            return Ok(finished);
        }

        // Whoever holds the lock owns this directory, so one that exists was left by a crash.
        let partial = shelf.join(format!(".{key}.partial"));
        remove_directory(&partial)?;
        fs::create_dir(&partial).with_context(|| format!("creating {}", partial.display()))?;
        let result = build(&partial).and_then(|()| {
            sync_tree(&partial)?;
            fs::rename(&partial, &finished).with_context(|| format!("finishing {}", finished.display()))?;
            sync(&shelf)
        });
        if let Err(error) = result {
            remove_directory(&partial)?;
            return Err(error);
        }
        Ok(finished)
    }

    /// A directory on the cache's file system for a build's leftovers; it vanishes when dropped.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(".scratch-")
            .tempdir_in(&self.root)
            .context("creating a temporary directory in the cache")
    }
}

/// Removes a directory and all it holds; one that does not exist is fine.
fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file or a directory through to the disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("writing {} to the disk", path.display()))
}

/// Writes a directory and all it holds through to the disk.
fn sync_tree(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_path_buf();
        (directory, Cache { root })
    }

    #[test]
    fn builds_once() {
        let (_directory, cache) = cache();
        let builds = Cell::new(0);
        let build = |path: &Path| {
            builds.set(builds.get() + 1);
            Ok(fs::write(path.join("file"), "content")?)
        };
        let first = cache.entry("kind", "key", build).unwrap();
        let second = cache.entry("kind", "key", build).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(first.join("file")).unwrap(), "content");
        assert_eq!(builds.get(), 1);
    }

    #[test]
    fn failed_build_leaves_nothing() {
        let (_directory, cache) = cache();
        let failed = cache.entry("kind", "key", |path| {
            fs::write(path.join("file"), "half")?;
            bail!("no luck")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no luck");
        assert!(!cache.root.join("kind/key").exists());
        assert!(!cache.root.join("kind/.key.partial").exists());
    }

    #[test]
    fn crashed_build_is_thrown_away() {
        let (_directory, cache) = cache();
        fs::create_dir_all(cache.root.join("kind/.key.partial")).unwrap();
        fs::write(cache.root.join("kind/.key.partial/stale"), "").unwrap();
        let path = cache.entry("kind", "key", |_| Ok(())).unwrap();
        assert!(!path.join("stale").exists());
    }

    #[test]
    fn two_builders_do_not_race() {
        let (_directory, cache) = cache();
        let builds = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    cache.entry("kind", "key", |_| {
                        builds.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(builds.into_inner(), 1);
    }
}
