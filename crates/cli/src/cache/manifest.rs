//! What the files of a cache entry are: sizes, times and SHA-256 sums, as they were when they were written.
//!
//! Reading all of an entry at each start would take longer than the start. So a file counts as unchanged while its
//! size and its time of modification are those of the manifest, and is read from its first to its last byte
//! otherwise, or when everything is to be checked.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// First line of every manifest.
const TITLE: &str = "wasm-sandbox cache entry, version 1";
/// Begins the last line, which has the sum of all lines before it.
const SUM: &str = "sha256 ";
/// Longest manifest that is read, in bytes; one has a line of some 110 bytes for each file.
const LONGEST: u64 = 1 << 20;

/// How much is read to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Files that were modified since they were checked last.
    Modified,
    /// All files.
    Everything,
}

/// What the files of an entry are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    items: Vec<Item>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name in the entry's directory.
    pub name: String,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    sum: String,
}

impl Manifest {
    /// Describes files that were just written.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn of(directory: &Path, names: &[String]) -> Result<Self> {
        let describe = |name: &String| {
            let file = File::open(directory.join(name))?;
            let metadata = file.metadata()?;
            let (size, modified) = (metadata.len(), modified(&metadata));
            Ok(Item { name: name.clone(), size, modified, sum: sum(file)? })
        };
        Ok(Self { items: names.iter().map(describe).collect::<Result<_>>()? })
    }

    /// The files.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Checks that `files`, which are those of [`Manifest::items`], are what was written. Where times have
    /// changed and nothing else, the manifest with the present times.
    ///
    /// # Errors
    /// A file is not what it was.
    pub fn check(&self, files: &[File], check: Check) -> Result<Option<Self>> {
        let mut present = self.clone();
        for (item, file) in present.items.iter_mut().zip(files) {
            let metadata = file.metadata()?;
            ensure!(metadata.is_file(), "{} is no file", item.name);
            if metadata.len() != item.size {
                bail!("{} has {} bytes instead of {}", item.name, metadata.len(), item.size);
            }
            item.modified = modified(&metadata);
        }
        let doubtful =
            |(old, new): &(&Item, &Item)| check == Check::Everything || old.modified != new.modified;
        let pairs = self.items.iter().zip(&present.items);
        let doubtful: Vec<_> = pairs.zip(files).filter(|(items, _)| doubtful(items)).collect();
        std::thread::scope(|scope| {
            let sums: Vec<_> = doubtful.iter().map(|(_, file)| scope.spawn(|| sum(*file))).collect();
            for (sum, ((item, _), _)) in sums.into_iter().zip(&doubtful) {
                let sum = sum.join().unwrap_or_else(|_| bail!("the check did not end"));
                ensure!(sum? == item.sum, "{} is not what was written: its checksum is wrong", item.name);
            }
            Ok(())
        })?;
        Ok((present != *self).then_some(present))
    }

    /// The manifest as text.
    pub fn encode(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for Item { name, size, modified: (seconds, nanoseconds), sum } in &self.items {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{sum} {size} {seconds} {nanoseconds} {name}");
        }
        let sum = hex(&Sha256::digest(&text));
        text + SUM + &sum + "\n"
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// It is not one that [`Manifest::encode`] wrote.
    pub fn decode(file: File) -> Result<Self> {
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).context("it cannot be read")?;
        let at = text.rfind(SUM).context("it is cut short")?;
        let (lines, last) = text.split_at(at);
        let sum = last.strip_prefix(SUM).and_then(|sum| sum.strip_suffix('\n'));
        ensure!(sum == Some(&hex(&Sha256::digest(lines))), "its checksum is wrong");
        let mut lines = lines.lines();
        ensure!(lines.next() == Some(TITLE), "another version of the program wrote it");
        Ok(Self {
            items: lines
                .map(|line| item(line).context("a line of it makes no sense"))
                .collect::<Result<_>>()?,
        })
    }
}

fn item(line: &str) -> Option<Item> {
    let parts: Vec<&str> = line.splitn(5, ' ').collect();
    let [sum, size, seconds, nanoseconds, name] = parts[..] else { return None };
    // A name, not a way out of the directory.
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    is_name.then_some(())?;
    let modified = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
    Some(Item { name: name.to_owned(), size: size.parse().ok()?, modified, sum: sum.to_owned() })
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// SHA-256 of what `file` has from where it stands, in hexadecimal.
fn sum(mut file: impl Read) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn files(directory: &Path) -> [File; 2] {
        ["a", "b"].map(|name| File::open(directory.join(name)).unwrap())
    }

    fn decoded(text: &[u8]) -> Result<Manifest> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Manifest::decode(file.into_file())
    }

    #[test]
    fn what_changes_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs::write(path("a"), "content of a").unwrap();
        fs::write(path("b"), vec![7; 3_000_000]).unwrap();
        let manifest = Manifest::of(directory.path(), &["a".into(), "b".into()]).unwrap();
        let check = |check| manifest.check(&files(directory.path()), check);
        for kind in [Check::Modified, Check::Everything] {
            assert_eq!(check(kind).unwrap(), None);
        }
        // Only the time.
        let original = fs::metadata(path("b")).unwrap().modified().unwrap();
        let set_time =
            |time| File::options().append(true).open(path("b")).unwrap().set_modified(time).unwrap();
        set_time(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_000_000_007));
        let present = check(Check::Modified).unwrap().unwrap();
        assert_eq!(present.items()[1].modified, (1, 7));
        assert_eq!(present.check(&files(directory.path()), Check::Modified).unwrap(), None);
        // The content, with another time and with the same.
        let mut content = fs::read(path("b")).unwrap();
        content[2_999_999] ^= 1;
        fs::write(path("b"), &content).unwrap();
        assert!(check(Check::Modified).unwrap_err().to_string().contains("checksum"));
        set_time(original);
        assert!(check(Check::Modified).is_ok(), "what takes reading all of it is left to the full check");
        assert!(check(Check::Everything).unwrap_err().to_string().contains("b is not what was written"));
        // The size.
        fs::write(path("a"), "content").unwrap();
        assert!(check(Check::Modified).unwrap_err().to_string().contains("a has 7 bytes instead of 12"));
    }

    #[test]
    fn only_what_was_encoded_is_decoded() {
        let item = |name: &str| Item { name: name.into(), size: 5, modified: (-1, 3), sum: "00ff".into() };
        let manifest = Manifest { items: vec![item("machine.snapshot"), item("code-0 with spaces")] };
        let good = manifest.encode().into_bytes();
        assert_eq!(decoded(&good).unwrap(), manifest);
        for length in 0..good.len() {
            assert!(decoded(&good[..length]).is_err(), "{length} bytes");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                assert!(decoded(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(decoded(&[&good[..], b"x"].concat()).is_err());
        for name in ["", "../machine.snapshot", "/etc/passwd", "."] {
            assert!(decoded(Manifest { items: vec![item(name)] }.encode().as_bytes()).is_err(), "{name:?}");
        }
    }
}
