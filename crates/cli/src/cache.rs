//! The user's cache directory: snapshots and machine code, made once and found by every later start.

use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use wasm_sandbox::SnapshotIdentity;

/// Raised when what is made, or how, changes without a change of engine, image or file format.
const RECIPE: u32 = 4;

/// Name of the lock file.
const LOCK: &str = "lock";

/// Where the snapshot of one engine, image and memory size is kept.
#[derive(Debug)]
pub struct Entry {
    directory: PathBuf,
}

impl Entry {
    /// The place for `identity`; nothing is touched yet. `None` if there is no cache directory.
    pub fn of(identity: &SnapshotIdentity) -> Option<Self> {
        let root = root()?;
        let prefix = |hash: &[u8; 32]| hash[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = format!(
            "{}-{}-{}m-{}.{RECIPE}",
            prefix(&identity.engine),
            prefix(&identity.image),
            identity.ram_bytes >> 20,
            env!("CARGO_PKG_VERSION"),
        );
        Some(Self { directory: root.join("snapshots").join(name) })
    }

    /// The snapshot file.
    pub fn snapshot(&self) -> PathBuf {
        self.directory.join("machine.snapshot")
    }

    /// Part number `part` of the machine code of the snapshot's translated code.
    pub fn code(&self, part: usize) -> PathBuf {
        self.directory.join(format!("code-{part}.cwasm"))
    }

    /// Removes what is there, but for the lock.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        for file in std::fs::read_dir(&self.directory)? {
            let file = file?;
            if file.file_name() != LOCK {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// The directory, which [`Entry::lock`] makes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory, readable for the user alone since code in it is executed, and waits until
    /// no other process makes what belongs there. Dropping the file ends the lock.
    ///
    /// # Errors
    /// The directory cannot be made, or belongs to somebody else.
    pub fn lock(&self) -> Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let lock = File::create(self.directory.join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Whether the directory can be trusted: nobody else can write to it.
    ///
    /// # Errors
    /// It cannot, or it cannot be told.
    pub fn check_owner(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt;
        let directory = std::fs::metadata(&self.directory)?;
        let own = std::fs::metadata("/proc/self")?.uid();
        const WRITABLE_BY_OTHERS: u32 = 0o022;
        if directory.uid() != own || directory.mode() & WRITABLE_BY_OTHERS != 0 {
            let message = format!("{} can be written by others", self.directory.display());
            return Err(Error::new(ErrorKind::PermissionDenied, message));
        }
        Ok(())
    }
}

/// `$WASM_SANDBOX_CACHE`, `$XDG_CACHE_HOME/wasm-sandbox` or `~/.cache/wasm-sandbox`.
fn root() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("WASM_SANDBOX_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("wasm-sandbox")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/wasm-sandbox")))
}
