//! The root file system: Debian as an uncompressed erofs, cheap to read for an emulated
//! CPU, packed into the seekable zstd format, which the block device's native side unpacks.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::progress::Step;
use crate::recipe::{self, Key};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use zeekstd::{EncodeOptions, FrameSizePolicy};

/// Debian's release.
pub const SUITE: &str = "bookworm";
/// The file system's identity and the time stamp of all of its files: fixed, so that equal
/// contents are equal bytes.
const UUID: &str = "5ee0b3a1-7a2e-4c0f-9b61-2d1f0c8a6e11";
const EPOCH: &str = "1735689600";
/// Uncompressed bytes a frame: what one read of the guest unpacks at least.
const FRAME_SIZE: u32 = 128 << 10;
const LEVEL: i32 = 19;
/// Changes when the layout of a cache entry does.
const FORMAT: &str = "root 1";

/// A built root file system.
pub struct Root {
    /// The cache entry: `root.erofs.zst`, `root.json`, `packages.txt`.
    pub directory: PathBuf,
    /// Its key.
    pub key: String,
    /// The content of `root.json`.
    pub facts: Facts,
}

/// `root.json`: what is known of a root file system.
#[derive(Serialize, Deserialize)]
pub struct Facts {
    /// Debian's release.
    pub debian: String,
    /// Bytes of the erofs, which is the block device's size.
    pub uncompressed_size: u64,
    /// Uncompressed bytes a frame of the seekable zstd file.
    pub frame_size: u32,
    /// All Debian packages inside.
    pub packages: Vec<Package>,
}

/// A Debian package and its version.
#[derive(Clone, Serialize, Deserialize)]
pub struct Package {
    /// The name, without architecture.
    pub name: String,
    /// The version.
    pub version: String,
}

/// Builds the root file system, or finds it in the cache.
pub fn build(cache: &Cache, architecture: Architecture) -> Result<Root> {
    let key = Key::new(FORMAT)
        .with("architecture", architecture.debian().as_bytes())
        .with("suite", SUITE.as_bytes())
        .with("uuid", UUID.as_bytes())
        .with("epoch", EPOCH.as_bytes())
        .with("frame size", &FRAME_SIZE.to_le_bytes())
        .with("level", &LEVEL.to_le_bytes())
        .with_files(&["packages.list", "dpkg.cfg", "build-root.sh", "customize-root.sh"])?
        .finish();

    let directory = cache.entry("root", &key, |out| {
        recipe::install_packages()?;
        let scratch = cache.scratch()?;
        let built = scratch.path().join("out");

        let step = Step::new(&format!("root for {}", architecture.name()));
        let mut command = Command::new(recipe::directory().join("build-root.sh"));
        command
            .arg(architecture.debian())
            .arg(scratch.path().join("work"))
            .arg(&built)
            .env("DEBIAN_SUITE", SUITE)
            .env("EROFS_UUID", UUID)
            .env("SOURCE_DATE_EPOCH", EPOCH);
        step.run(&mut command, &cache.logs()?.join(format!("root-{key}.log")))?;
        step.finish();

        let erofs = built.join("root.erofs");
        pack(&erofs, &out.join("root.erofs.zst"))?;
        let list = fs::read_to_string(built.join("packages.txt"))?;
        fs::write(out.join("packages.txt"), &list)?;
        let facts = Facts {
            debian: SUITE.to_owned(),
            uncompressed_size: fs::metadata(&erofs)?.len(),
            frame_size: FRAME_SIZE,
            packages: parse_packages(&list)?,
        };
        fs::write(out.join("root.json"), serde_json::to_string_pretty(&facts)? + "\n")?;
        Ok(())
    })?;

    let facts = fs::read(directory.join("root.json"))?;
    let facts = serde_json::from_slice(&facts)
        .with_context(|| format!("reading root.json of {}", directory.display()))?;
    Ok(Root { directory, key, facts })
}

/// Reads lines of `name version`.
fn parse_packages(list: &str) -> Result<Vec<Package>> {
    list.lines()
        .map(|line| {
            let (name, version) = line.split_once(' ').with_context(|| format!("no version in {line:?}"))?;
            Ok(Package { name: name.to_owned(), version: version.to_owned() })
        })
        .collect()
}

/// Compresses a file into the seekable zstd format.
fn pack(from: &Path, to: &Path) -> Result<()> {
    let mut input = File::open(from).with_context(|| format!("reading {}", from.display()))?;
    let output = File::create(to).with_context(|| format!("creating {}", to.display()))?;
    let step = Step::bytes("root: compressing", input.metadata()?.len());
    let mut encoder = EncodeOptions::new()
        .frame_size_policy(FrameSizePolicy::Uncompressed(FRAME_SIZE))
        .compression_level(LEVEL)
        .checksum_flag(true)
        .into_encoder(output)?;
    let mut buffer = vec![0; FRAME_SIZE as usize];
    loop {
        let length = input.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        encoder.write_all(&buffer[..length])?;
        step.advance(length as u64);
    }
    encoder.finish()?;
    step.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn packed_file_is_seekable() {
        let directory = tempfile::tempdir().unwrap();
        let (plain, packed) = (directory.path().join("plain"), directory.path().join("packed"));
        let content: Vec<u8> = (0..FRAME_SIZE * 2 + 77).map(|i| (i / 1000) as u8).collect();
        fs::write(&plain, &content).unwrap();
        pack(&plain, &packed).unwrap();

        let mut decoder = zeekstd::Decoder::new(File::open(&packed).unwrap()).unwrap();
        assert_eq!(decoder.seek_table().num_frames(), 3);
        assert_eq!(decoder.seek_table().frame_start_decomp(1).unwrap(), u64::from(FRAME_SIZE));
        decoder.set_offset(u64::from(FRAME_SIZE) + 5).unwrap();
        let mut rest = Vec::new();
        io::copy(&mut decoder, &mut rest).unwrap();
        assert_eq!(rest, &content[FRAME_SIZE as usize + 5..]);
    }

    #[test]
    fn package_lines() {
        let packages = parse_packages("bash 5.2-1\nzstd 1:1.5\n").unwrap();
        assert_eq!(packages[1].version, "1:1.5");
        assert!(parse_packages("bash").is_err());
    }
}
