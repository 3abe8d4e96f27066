//! The user's cache directory: snapshots and machine code, made once and found by every later start.

mod manifest;
mod old;

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;
use wasm_sandbox::SandboxConfig;

pub use manifest::Check;
use manifest::{Manifest, hex};

/// Raised when what is made, or how, changes without a change of engine, image or file format.
const RECIPE: u32 = 7;

/// Name of the file that is locked while an entry is made or removed.
const LOCK: &str = "lock";
/// Name of the file whose time is that of the last use; it is locked, shared, by those that run from the entry.
const USED: &str = "used";
/// Name of the list of files, which is written last: without it, an entry is not there.
const MANIFEST: &str = "manifest";
/// Name of the snapshot.
const SNAPSHOT: &str = "machine.snapshot";

/// Bytes that an entry takes, and a bit more.
const ROOM: usize = 160 << 20;
/// A use is noted again after this time.
const USE_IS_NEWS: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the snapshot of one engine, image, memory size and processor is kept, or the machine code of saved files.
#[derive(Debug)]
pub struct Entry {
    directory: PathBuf,
}

/// The checked files of an entry. They are open, so that what was checked is what is used, whatever happens in the
/// directory meanwhile.
#[derive(Debug)]
pub struct Files {
    snapshot: Option<File>,
    code: Vec<File>,
}

impl Files {
    /// A path of the snapshot.
    ///
    /// # Errors
    /// There is none.
    pub fn snapshot(&self) -> Result<PathBuf> {
        self.snapshot.as_ref().map(path_of).with_context(|| format!("its {MANIFEST} names no {SNAPSHOT}"))
    }

    /// Paths of the parts of its machine code.
    pub fn code(&self) -> impl Iterator<Item = PathBuf> {
        self.code.iter().map(path_of)
    }
}

impl Entry {
    /// The place for what `config` starts from, on this processor: computers of several kinds may share a cache.
    /// Nothing is touched yet. `None` if there is no cache directory.
    pub fn of(config: &SandboxConfig) -> Option<Self> {
        Self::named(config, &format!("{}.{RECIPE}", env!("CARGO_PKG_VERSION")))
    }

    /// The place for the machine code of translated code with this identity.
    pub fn of_code(config: &SandboxConfig, code: &[u8; 32]) -> Option<Self> {
        Self::named(config, &format!("code-{}", hex(code)))
    }

    fn named(config: &SandboxConfig, what: &str) -> Option<Self> {
        let identity = &config.identity;
        let name = format!(
            "{}-{}-{}m-{what}-{:016x}",
            hex(&identity.engine.hash[..8]),
            hex(&identity.image[..8]),
            identity.ram_bytes >> 20,
            config.engine.compatibility(),
        );
        Some(Self { directory: root()?.join("snapshots").join(name) })
    }

    /// The directory, which [`Entry::lock`] makes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files, if there are any.
    ///
    /// # Errors
    /// They are not what was written, or others could have written them.
    pub fn files(&self, check: Check) -> Result<Option<Files>> {
        let file = match self.open(MANIFEST) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| self.directory.join(MANIFEST).display().to_string())?,
        };
        self.check_owner()?;
        only_own(&file.metadata()?, MANIFEST)?;
        let manifest = Manifest::decode(file).with_context(|| format!("its {MANIFEST}"))?;
        let open = |item: &manifest::Item| {
            let file = self.open(&item.name).with_context(|| item.name.clone())?;
            only_own(&file.metadata()?, &item.name)?;
            Ok(file)
        };
        let files = manifest.items().iter().map(open).collect::<Result<Vec<_>>>()?;
        if let Some(present) = manifest.check(&files, check)? {
            self.note_times(&manifest, &present);
        }
        let mut files = files.into_iter();
        let begins_with_snapshot = manifest.items().first().is_some_and(|first| first.name == SNAPSHOT);
        let snapshot = if begins_with_snapshot { files.next() } else { None };
        Ok(Some(Files { snapshot, code: files.collect() }))
    }

    fn open(&self, name: &str) -> std::io::Result<File> {
        File::open(self.directory.join(name))
    }

    /// Spares later starts the reading of files that have only been touched. Where it fails, they read.
    fn note_times(&self, old: &Manifest, present: &Manifest) {
        let Ok(lock) = OpenOptions::new().write(true).open(self.directory.join(LOCK)) else { return };
        if lock.try_lock().is_err() {
            return;
        }
        // It may have been made anew since.
        let is_the_same = |file| Manifest::decode(file).is_ok_and(|manifest| manifest == *old);
        if self.open(MANIFEST).is_ok_and(is_the_same)
            && let Err(error) = self.write(MANIFEST, |file| Ok(file.write_all(present.encode().as_bytes())?))
        {
            tracing::debug!("the times of the kept files are not noted: {error:#}");
        }
    }

    /// Notes that the entry is used now, and until this process ends.
    pub fn note_use(&self) {
        let path = self.directory.join(USED);
        let writable = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let Ok(file) = writable.or_else(|_| File::open(&path)) else { return };
        let now = SystemTime::now();
        let last = file.metadata().and_then(|metadata| metadata.modified());
        if !last.is_ok_and(|last| now.duration_since(last).is_ok_and(|time| time < USE_IS_NEWS)) {
            // In a directory that cannot be written to, nothing is removed either.
            let _ = file.set_modified(now);
        }
        if file.try_lock_shared().is_ok() {
            // The lock ends with the process.
            std::mem::forget(file);
        }
    }

    /// Checks that there is room for an entry: one notices before the work, not after it.
    ///
    /// # Errors
    /// There is not.
    pub fn check_room(&self) -> Result<()> {
        let write = || {
            let mut file = NamedTempFile::new_in(&self.directory)?;
            let piece = vec![1; 1 << 20];
            (0..ROOM / piece.len()).try_for_each(|_| file.write_all(&piece))
        };
        write().with_context(|| format!("{} MiB cannot be written", ROOM >> 20))
    }

    /// Replaces what is there by a snapshot, which `snapshot` writes, and parts of machine code. The lock must be held.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self, code: &[Vec<u8>], snapshot: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        self.clear()?;
        self.write(SNAPSHOT, snapshot)?;
        self.keep_beside(vec![SNAPSHOT.to_owned()], code)
    }

    /// Replaces what is there by parts of machine code. The lock must be held.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep_code(&self, code: &[Vec<u8>]) -> Result<()> {
        self.clear()?;
        self.keep_beside(Vec::new(), code)
    }

    /// Completes the entry: parts of machine code beside the files with these names.
    fn keep_beside(&self, mut names: Vec<String>, code: &[Vec<u8>]) -> Result<()> {
        for (part, code) in code.iter().enumerate() {
            let name = format!("code-{part}.cwasm");
            self.write(&name, |file| Ok(file.write_all(code)?))?;
            names.push(name);
        }
        let manifest = Manifest::of(&self.directory, &names)?;
        self.write(MANIFEST, |file| Ok(file.write_all(manifest.encode().as_bytes())?))?;
        // The new names are to last as long as what is in the files.
        Ok(File::open(&self.directory)?.sync_all()?)
    }

    /// Removes what is there, but for the locks; the manifest first, so that what is left is no entry.
    fn clear(&self) -> Result<()> {
        let mut names = vec![MANIFEST.into()];
        for file in std::fs::read_dir(&self.directory)? {
            names.push(file?.file_name());
        }
        for name in names.iter().filter(|name| *name != LOCK && *name != USED) {
            let path = self.directory.join(name);
            let removed = match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            removed.with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        Ok(())
    }

    /// Writes a file under another name and puts it into place when it is complete. Its time has whole seconds,
    /// so that archives and file systems that know no others keep it.
    fn write(&self, name: &str, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        write(file.as_file_mut())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()))?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join(name))?;
        Ok(())
    }

    /// Makes the directory, readable for the user alone since code in it is executed, and waits until
    /// no other process makes what belongs there; calls `waiting` if there is one. Dropping the file ends the lock.
    ///
    /// # Errors
    /// The directory cannot be made, or belongs to somebody else.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<File> {
        let mut waiting = Some(waiting);
        let path = self.directory.join(LOCK);
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            // Before anything is opened for writing in a directory that others may have prepared.
            self.check_owner()?;
            let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    lock.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Who removed the entry, its lock with it, held the lock until then.
            let (held, there) = (lock.metadata()?, std::fs::metadata(&path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(lock);
            }
        }
    }

    /// Whether the directory can be trusted: nobody else can write to it.
    fn check_owner(&self) -> Result<()> {
        only_own(&std::fs::metadata(&self.directory)?, &self.directory.display().to_string())
    }

    /// Removes what other versions of the program have left and nobody has used for a while; the bytes that were freed.
    pub fn remove_old_others(&self) -> u64 {
        old::remove(&self.directory, SystemTime::now())
    }
}

/// Checks that something belongs to this process's user and that nobody else can write to it.
fn only_own(metadata: &Metadata, name: &str) -> Result<()> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let own = std::fs::metadata("/proc/self")?.uid();
    ensure!(metadata.uid() == own, "{name} belongs to another user");
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let message = format!("{name} can be written by others: remove it, or take that permission away");
        return Err(Error::new(ErrorKind::PermissionDenied, message).into());
    }
    Ok(())
}

/// A path by which this process opens a file again that it has open, whatever its name is now.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// `$WASM_SANDBOX_CACHE`, `$XDG_CACHE_HOME/wasm-sandbox` or `~/.cache/wasm-sandbox`.
fn root() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("WASM_SANDBOX_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("wasm-sandbox")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/wasm-sandbox")))
}
