//! The artefacts: all that the program carries inside itself, in `target/artifacts`, where the build
//! script of `crates/cli` looks for it.
//!
//! A file is replaced only when its content changes, and then by a copy, never by a link to the cache:
//! cargo goes by time stamps, and those of the cache are older than the last build.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::progress::Step;
use crate::recipe::{self, Key};
use crate::{agent, engine, image, v86};
use anyhow::{Context, Result, ensure};
use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names another directory; the build script of `crates/cli` knows it too.
const VARIABLE: &str = "WASM_SANDBOX_ARTIFACTS";
/// Files that come out of the image as they are.
const IMAGE_FILES: [&str; 3] = ["vmlinux", "root.erofs.zst", "image.json"];
/// The program that compiles CPU engines; cargo puts it beside this one.
const PRECOMPILER: &str = "precompile-engine";
/// A regular file that everybody may read and execute.
const PROGRAM_MODE: u32 = 0o100_755;

/// Puts the artefacts together; returns their directory.
pub fn assemble(cache: &Cache, jobs: Option<usize>) -> Result<PathBuf> {
    let directory =
        env::var_os(VARIABLE).map_or_else(|| recipe::repository().join("target/artifacts"), PathBuf::from);
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;

    for (name, wasm) in [("v86", v86::fetch(cache)?), ("wx86", engine::build(cache)?)] {
        place(&wasm, &directory.join(name).with_extension("wasm"))?;
        machine_code(&wasm, &directory.join(name).with_extension("cwasm"))?;
    }

    for architecture in Architecture::ALL {
        place_image(cache, architecture, jobs, &directory.join(architecture.image_directory()))?;
    }
    Ok(directory)
}

/// Makes `directory` the image of an architecture with the agent's initial file system.
fn place_image(
    cache: &Cache,
    architecture: Architecture,
    jobs: Option<usize>,
    directory: &Path,
) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let image = image::build(cache, architecture, jobs)?;
    for name in IMAGE_FILES {
        place(&image.join(name), &directory.join(name))?;
    }
    let agent = agent::build(cache, architecture)?;
    let agent = fs::read(&agent).with_context(|| format!("reading {}", agent.display()))?;
    let archive = directory.join("initramfs.made");
    fs::write(&archive, initramfs(&agent)?).with_context(|| format!("writing {}", archive.display()))?;
    place(&archive, &directory.join("initramfs.cpio"))?;
    Ok(fs::remove_file(&archive)?)
}

/// The initial file system: the agent as `/init`. The kernel makes `/dev/console` itself.
///
/// The same agent gives the same bytes: no time stamps, no owners.
fn initramfs(agent: &[u8]) -> Result<Vec<u8>> {
    let size = u32::try_from(agent.len()).context("the agent is too large for the archive")?;
    let mut archive = Vec::new();
    let mut init = cpio::newc::Builder::new("init").mode(PROGRAM_MODE).write(&mut archive, size);
    std::io::Write::write_all(&mut init, agent)?;
    init.finish()?;
    cpio::newc::trailer(&mut archive)?;
    Ok(archive)
}

/// Compiles a CPU engine into `target`, unless it was made of the same module by the same compiler.
fn machine_code(engine: &Path, target: &Path) -> Result<()> {
    let compiler = env::current_exe()?.with_file_name(PRECOMPILER);
    ensure!(
        compiler.is_file(),
        "{} is missing: build it first (`make build` does), with the same profile as this program",
        compiler.display()
    );
    let key = Key::new("machine code 1")
        .with("engine", &fs::read(engine)?)
        .with("compiler", &fs::read(&compiler)?)
        .finish();
    let key_file = target.with_extension("cwasm.key");
    if target.is_file() && fs::read_to_string(&key_file).is_ok_and(|known| known == key) {
        return Ok(());
    }
    let step = Step::new("machine code");
    let compiled = target.with_extension("cwasm.new");
    let status = Command::new(&compiler)
        .args([engine, &compiled])
        .status()
        .with_context(|| format!("running {}", compiler.display()))?;
    ensure!(status.success(), "{} failed ({status})", compiler.display());
    place(&compiled, target)?;
    fs::remove_file(&compiled)?;
    fs::write(&key_file, key)?;
    step.finish();
    Ok(())
}

/// Makes `to` a copy of `from`, unless it is one.
fn place(from: &Path, to: &Path) -> Result<()> {
    if same_content(from, to)
        .with_context(|| format!("comparing {} with {}", from.display(), to.display()))?
    {
        return Ok(());
    }
    // Whoever reads `to` meanwhile has the whole old file or the whole new one.
    let new = to.with_extension("new");
    fs::copy(from, &new).with_context(|| format!("copying {} to {}", from.display(), new.display()))?;
    fs::rename(&new, to).with_context(|| format!("replacing {}", to.display()))
}

/// Whether two files hold the same bytes. A second file that does not exist holds none.
fn same_content(one: &Path, other: &Path) -> Result<bool> {
    const PIECE: usize = 1 << 20;
    let mut one = File::open(one)?;
    let mut other = match File::open(other) {
        Ok(other) => other,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut piece, mut counterpart) = (Vec::new(), Vec::new());
    loop {
        piece.clear();
        counterpart.clear();
        Read::by_ref(&mut one).take(PIECE as u64).read_to_end(&mut piece)?;
        Read::by_ref(&mut other).take(PIECE as u64).read_to_end(&mut counterpart)?;
        if piece != counterpart {
            return Ok(false);
        }
        if piece.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn equal_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let inode = || fs::metadata(&to).unwrap().ino();
        fs::write(&from, "one").unwrap();
        place(&from, &to).unwrap();
        let first = inode();
        place(&from, &to).unwrap();
        assert_eq!(inode(), first);
        fs::write(&from, "two").unwrap();
        place(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        assert_ne!(fs::metadata(&from).unwrap().ino(), inode(), "a copy, not a link");
    }

    #[test]
    fn the_archive_holds_one_program() {
        let archive = initramfs(b"#!").unwrap();
        assert_eq!(archive, initramfs(b"#!").unwrap());
        let mut init = cpio::newc::Reader::new(archive.as_slice()).unwrap();
        assert_eq!((init.entry().name(), init.entry().mode()), ("init", 0o100_755));
        let mut content = Vec::new();
        init.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"#!");
        assert!(cpio::newc::Reader::new(init.finish().unwrap()).unwrap().entry().is_trailer());
    }
}
