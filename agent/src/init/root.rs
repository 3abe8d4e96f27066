//! The root file system: a read-only image below, memory above, and the move into it.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, mount, mount_move};

use super::{CommandLine, Trouble};

const LOWER: &str = "/lower";
const WRITABLE: &str = "/writable";
const NEW_ROOT: &str = "/new-root";

/// How long the disk may take to appear.
const PATIENCE: Duration = Duration::from_secs(5);

/// Mounts image, memory and overlay, and makes the overlay `/`. The writable layer, which has no path any more then, is
/// given back as a descriptor that children inherit.
pub fn assemble(options: &CommandLine) -> Result<OwnedFd, Trouble> {
    for directory in [LOWER, WRITABLE, NEW_ROOT] {
        make(directory)?;
    }
    wait_for(&options.root)?;
    mount(options.root.as_str(), LOWER, options.root_type.as_str(), MountFlags::RDONLY, None)
        .map_err(|error| Trouble::new(format!("mount {} as {}", options.root, options.root_type), error))?;

    let size = CString::new(format!("mode=0755,size={}", options.overlay_size)).unwrap_or_default();
    mount("tmpfs", WRITABLE, "tmpfs", MountFlags::empty(), size.as_c_str()).map_err(|error| {
        Trouble::new(format!("mount a writable layer of {}", options.overlay_size), error)
    })?;
    let writable = rustix::fs::open(WRITABLE, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .map_err(|error| Trouble::new("open the writable layer", error))?;
    make("/writable/upper")?;
    make("/writable/work")?;
    let layers = "lowerdir=/lower,upperdir=/writable/upper,workdir=/writable/work";
    // With redirect_dir, directories of the image can be renamed as on any other file system; a kernel without the
    // feature must do with copies.
    let with_renames = CString::new(format!("{layers},redirect_dir=on")).unwrap_or_default();
    let plain = CString::new(layers).unwrap_or_default();
    mount("overlay", NEW_ROOT, "overlay", MountFlags::empty(), with_renames.as_c_str())
        .or_else(|_| mount("overlay", NEW_ROOT, "overlay", MountFlags::empty(), plain.as_c_str()))
        .map_err(|error| Trouble::new("mount the overlay", error))?;

    for directory in ["/dev", "/proc"] {
        let target = format!("{NEW_ROOT}{directory}");
        make(&target)?;
        mount_move(directory, target.as_str())
            .map_err(|error| Trouble::new(format!("move {directory} into the root"), error))?;
    }
    let enter = || {
        rustix::process::chdir(NEW_ROOT)?;
        mount_move(".", "/")?;
        rustix::process::chroot(".")?;
        rustix::process::chdir("/")
    };
    enter().map_err(|error| Trouble::new("move into the root", error))?;
    Ok(writable)
}

fn make(directory: &str) -> Result<(), Trouble> {
    match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(Trouble::new(format!("make the directory {directory}"), error)),
    }
}

/// Drivers find their devices before PID 1 starts, normally.
fn wait_for(device: &str) -> Result<(), Trouble> {
    let start = Instant::now();
    while let Err(error) = rustix::fs::stat(device) {
        if start.elapsed() > PATIENCE {
            return Err(Trouble::new(format!("find {device}"), error));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
