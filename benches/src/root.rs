//! The guest's root file system on the host: unpacked once, for references that run the same programs.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The artefacts a reference needs.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The kernel.
    pub kernel: PathBuf,
    /// The root file system as an image.
    pub image: PathBuf,
    /// The root file system as a directory.
    pub tree: PathBuf,
}

/// Finds kernel and root in `artifacts`, and unpacks the root into the directory `cache`.
pub fn unpack(artifacts: &Path, cache: &Path) -> Result<Guest> {
    let kernel = artifacts.join("image/vmlinux");
    let compressed = artifacts.join("image/root.erofs.zst");
    for file in [&kernel, &compressed] {
        ensure!(file.is_file(), "{} is missing: `make build` makes it", file.display());
    }
    // A new image has a new time stamp.
    let facts = fs::metadata(&compressed)?;
    let directory = cache.join(format!("root-{}-{}", facts.len(), facts.mtime()));
    let guest = Guest { kernel, image: directory.join("root.erofs"), tree: directory.join("tree") };
    if directory.is_dir() {
        return Ok(guest);
    }
    eprintln!("bench: unpacking the root file system for the references");
    fs::create_dir_all(cache)?;
    remove_others(cache)?;
    let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(cache)?;
    let image = partial.path().join("root.erofs");
    run(Command::new("zstd").arg("-dqc").arg(&compressed).stdout(File::create(&image)?))?;
    let mut extract = std::ffi::OsString::from("--extract=");
    extract.push(partial.path().join("tree"));
    fs::create_dir(partial.path().join("tree"))?;
    run(Command::new("fsck.erofs").arg(extract).arg(&image).stdout(Stdio::null()))?;
    fs::rename(partial.keep(), &directory)?;
    Ok(guest)
}

/// Removes what was unpacked from former images.
fn remove_others(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("root-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}
