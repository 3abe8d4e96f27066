//! The first file system of the guest's kernel in other emulators: it mounts the root, or is the root, and
//! starts the driver on the serial line.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::root::Guest;
use crate::shell::DRIVER;

/// Becomes PID 1.
const INIT: &str = r#"#!/busybox sh
/busybox mount -t devtmpfs devtmpfs /dev
root=
if [ -b /dev/vda ]; then
    root=/guest
    /busybox mount -t erofs -o ro /dev/vda $root
    /busybox mount --move /dev $root/dev
fi
/busybox mount -t proc proc $root/proc
/busybox mount -t tmpfs tmpfs $root/tmp
/busybox cp /driver $root/tmp/driver
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
exec /busybox chroot ${root:-/} /bin/bash /tmp/driver < $root/dev/ttyS0 > $root/dev/ttyS0 2>&1
"#;

/// What of the root file system is left out where all of it is in memory: no workload uses it.
const LEFT_OUT: [&str; 7] = [
    "usr/share",
    "usr/lib/git-core",
    "usr/lib/i386-linux-gnu/perl-base",
    "usr/lib/i386-linux-gnu/perl",
    "usr/include",
    "var",
    "usr/lib/python3.11/test",
];

/// What it holds beside the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content {
    /// Nothing: the root is on a disk.
    Mounter,
    /// The programs of the root file system: the emulator has no disk that the kernel knows.
    Programs,
}

/// Makes the archive.
pub fn archive(guest: &Guest, content: Content) -> Result<Vec<u8>> {
    let mut archive = Archive(Vec::new());
    for directory in ["dev", "proc", "tmp", "guest", "root"] {
        archive.add(directory, 0o040_755, &[])?;
    }
    let busybox = guest.tree.join("bin/busybox");
    archive.add("busybox", 0o100_755, &fs::read(&busybox).with_context(|| busybox.display().to_string())?)?;
    archive.add("init", 0o100_755, INIT.as_bytes())?;
    archive.add("driver", 0o100_644, DRIVER.as_bytes())?;
    if content == Content::Programs {
        for directory in ["bin", "sbin", "lib", "etc", "usr"] {
            archive.add_tree(&guest.tree, Path::new(directory))?;
        }
    }
    cpio::newc::trailer(&mut archive.0)?;
    Ok(archive.0)
}

/// A cpio archive under way.
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len())?;
        let mut file = cpio::newc::Builder::new(name).mode(mode).nlink(1).write(&mut self.0, size);
        file.write_all(content)?;
        file.finish()?;
        Ok(())
    }

    /// Adds `path` below `root` with everything in it.
    fn add_tree(&mut self, root: &Path, path: &Path) -> Result<()> {
        let name = path.to_str().context("a name that is not UTF-8")?;
        let full = root.join(path);
        let facts = fs::symlink_metadata(&full)?;
        let mode = facts.permissions().mode();
        if LEFT_OUT.contains(&name) {
            return Ok(());
        }
        if facts.is_symlink() {
            let target = fs::read_link(&full)?;
            return self.add(name, mode, target.as_os_str().as_encoded_bytes());
        }
        if facts.is_file() {
            return self.add(name, mode, &fs::read(&full)?);
        }
        if facts.is_dir() {
            self.add(name, mode, &[])?;
            let mut entries = fs::read_dir(&full)?.collect::<std::io::Result<Vec<_>>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                self.add_tree(root, &path.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}
